//! Raft itself: the library's `RawNode` between the channel's machine, the disk and other peers.
//!
//! A follower executes a block before it accepts it: an append whose blocks are new waits here until they are executed
//! ([`Driver::drive`]), and only appends wait behind it. Final is what Raft commits. What promises waits for its record
//! (`persisted_messages`). The library's messages are taken after each step: those of a follower never leave as a leader's.

use super::form::block_of;
use super::guard::{Refused, UNCOMMITTED_BYTES_MAX, admit};
use super::records::{Item, Out, promise};
use super::sealing::Seals;
use super::window::{Mark, Named, Window};
use super::wire::{APPEND_BYTES_MAX, Behind, Lives, Said, Signed, replica};
use crate::pipeline::ordering::{EngineError, LifeId, OrderingEffect, Ticket};
use crate::runtime::mutants::{Mutant, planted};
use ledger_classes::chain::ExecutedBlock;
use ledger_classes::formats::block::Seal;
use ledger_classes::keys::Address;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use raft::eraftpb::{Message, MessageType};
use raft::{Config, RawNode, StateRole};
use std::collections::VecDeque;
use std::sync::Arc;

/// Ticks between heartbeats, and at least without one before an election; at most twice as many.
const HEARTBEAT_TICKS: usize = 2;
const ELECTION_TICKS: usize = 10;
/// Messages that wait for their blocks, and their bytes.
const HELD_MAX: usize = 256;
const HELD_BYTES_MAX: usize = 48 << 20;
/// What the window holds before it is cut, and what is left of it: entries, and bytes of blocks.
const WINDOW_MAX: usize = 4_096;
const WINDOW_BYTES_MAX: usize = 16 << 20;
/// Records after which one is written that stands for all of them.
const RECORDS_MAX: usize = 16_384;

struct Peer {
    replica: u64,
    address: Address,
    life: LifeId,
}

/// A message that waits for its blocks.
struct Held {
    message: Message,
    blocks: Vec<Named>,
    bytes: usize,
}

impl Held {
    fn last(&self) -> u64 {
        self.message.index + self.message.entries.len() as u64
    }
}

/// Something that was given to the disk, and what of the library's waits for it.
struct Asked {
    ticket: Ticket,
    ready: u64,
    entries: bool,
}

pub(super) struct Driver {
    node: RawNode<Window>,
    own: Address,
    peers: Vec<Peer>,
    random: u64,
    /// The term and the role for which a timeout was drawn.
    drawn: Option<(u64, StateRole)>,
    /// Blocks that are executed and not final, ascending, and those whose execution was asked for.
    executed: VecDeque<(u64, Hash)>,
    named: VecDeque<Named>,
    /// Appends in their order; the first one may wait for its blocks.
    held: VecDeque<Held>,
    held_bytes: usize,
    /// What the leader of a term has said to be committed, of the log that these appends are of.
    heard: (u64, u64),
    /// Committed blocks that are not told yet.
    committed: VecDeque<Mark>,
    last_final: Mark,
    /// The last block in the channel's log.
    durable: u64,
    seals: Seals,
    asked: VecDeque<Asked>,
    leader: Option<Option<Address>>,
}

impl Driver {
    /// Begins with what is on the disk: a log that ends with `tip`, and the records.
    pub(super) fn new(
        memory: (Window, raft::eraftpb::HardState),
        lives: &Lives,
        (own, life): (Address, LifeId),
        tip: (u64, Hash),
        seals: Seals,
        random: u64,
    ) -> Result<Self, EngineError> {
        let (mut window, mut hard) = memory;
        let peer = |(address, life): &(Address, LifeId)| Peer {
            replica: replica(address, life),
            address: *address,
            life: *life,
        };
        let peers: Vec<Peer> = lives.iter().map(peer).collect();
        let mut voters: Vec<u64> = peers.iter().map(|peer| peer.replica).collect();
        voters.sort_unstable();
        voters.dedup();
        if voters.len() != peers.len() || !lives.contains(&(own, life)) {
            return Err(EngineError::Founders);
        }
        let (height, hash) = tip;
        let base = window.base;
        let last_final = if base.height == height { Some(base) } else { window.block(height) };
        let last_final = last_final.ok_or(EngineError::NoRecords { height })?;
        if last_final.hash != hash {
            return Err(EngineError::OtherBlock { height, log: hash, records: last_final.hash });
        }
        // A block in the log is sealed, so it is committed.
        hard.commit = hard.commit.max(last_final.index);
        window.begin(hard, voters);
        let config = Config {
            id: replica(&own, &life),
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied: base.index,
            max_size_per_msg: APPEND_BYTES_MAX,
            // With one more block, half of what followers take.
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX as u64 / 2,
            max_inflight_msgs: 64,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, window, &logger).map_err(|error| EngineError::Library(error.to_string()))?;
        let mut driver = Self {
            node,
            own,
            peers,
            random,
            drawn: None,
            executed: VecDeque::new(),
            named: VecDeque::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            heard: (0, 0),
            committed: VecDeque::new(),
            last_final,
            durable: height,
            seals,
            asked: VecDeque::new(),
            leader: None,
        };
        driver.steady();
        Ok(driver)
    }

    fn window(&self) -> &Window {
        self.node.store()
    }

    fn address(&self, replica: u64) -> Option<Address> {
        self.peers.iter().find(|peer| peer.replica == replica).map(|peer| peer.address)
    }

    /// Raft draws its timeouts from the thread's randomness when its term or role changes, and here everything follows from a
    /// seed.
    fn steady(&mut self) {
        let now = (self.node.raft.term, self.node.raft.state);
        if self.drawn != Some(now) {
            self.drawn = Some(now);
            // SplitMix64.
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = (mixed >> 33) as usize % ELECTION_TICKS;
            self.node.raft.set_randomized_election_timeout(ELECTION_TICKS + drawn);
        }
    }

    /// Has these blocks executed above the last final one, and no others. True if they are.
    fn aim(&mut self, blocks: Vec<Named>, out: &mut Out) -> bool {
        let named = self.named.iter().map(|named| (named.height, named.hash));
        let have: Vec<_> = self.executed.iter().copied().chain(named).collect();
        let same = have.iter().zip(&blocks).take_while(|(have, block)| **have == (block.height, block.hash)).count();
        if let Some((from, _)) = have.get(same) {
            out.push(OrderingEffect::Discard { from: *from });
            self.named.truncate(same.saturating_sub(self.executed.len()));
            self.executed.truncate(same);
        }
        for block in blocks.into_iter().skip(same) {
            out.push(OrderingEffect::Execute { height: block.height, block: block.block.clone() });
            self.named.push_back(block);
        }
        self.named.is_empty()
    }

    /// Blocks up to this index are in this peer's log, or committed: their time is not asked, or not again.
    fn settle(&mut self, last: u64, out: &mut Out) {
        for named in self.named.iter_mut().filter(|named| named.index <= last && !named.settled) {
            named.settled = true;
            out.push(OrderingEffect::Settled { height: named.height });
        }
    }

    /// Where the entries begin that an append would put into the log, if it would put any.
    fn news(&self, held: &Held) -> Option<u64> {
        let (log, message) = (&self.node.raft.raft_log, &held.message);
        let fits = message.term >= self.node.raft.term
            && message.index >= log.committed
            && log.match_term(message.index, message.log_term);
        let new = message.entries.iter().find(|entry| !log.match_term(entry.index, entry.term));
        new.filter(|_| fits).map(|entry| entry.index)
    }

    /// Steps appends, up to one whose blocks are not executed yet, and has that executed which this peer's log holds, with
    /// what that one adds, and nothing else.
    pub(super) fn drive(&mut self, out: &mut Out) {
        self.ready(out);
        while let Some(held) = self.held.pop_front() {
            let new = match self.admits(&held.message) {
                Ok(()) => self.news(&held),
                Err(refused) => {
                    self.held_bytes -= held.bytes;
                    self.refuse(&held.message, refused);
                    continue;
                }
            };
            if let Some(first) = new {
                let mut blocks = self.window().named(self.last_final.index, first - 1);
                blocks.extend(held.blocks.iter().filter(|block| block.index >= first).cloned());
                if !self.aim(blocks, out) {
                    // What its leader says of its commit is of the same log.
                    let (term, commit) = self.heard;
                    let committed = if term == held.message.term { commit } else { held.message.commit };
                    self.held.push_front(held);
                    self.settle(committed.max(first - 1), out);
                    return self.finish(out);
                }
            }
            self.held_bytes -= held.bytes;
            self.step(held.message, out);
        }
        let blocks = self.window().named(self.last_final.index, u64::MAX);
        self.aim(blocks, out);
        self.settle(u64::MAX, out);
        self.finish(out);
    }

    fn admits(&self, message: &Message) -> Result<(), Refused> {
        admit(&self.node.raft, self.asked.iter().any(|asked| asked.entries), message)
    }

    fn refuse(&self, message: &Message, refused: Refused) {
        let from = self.address(message.from).unwrap_or_default();
        match refused {
            Refused::Conflict => {
                tracing::error!(peer = %from, "it contradicts what is final here: its log is another one")
            }
            _ => tracing::debug!(peer = %from, ?refused, kind = ?message.msg_type, "a message of Raft's was refused"),
        }
    }

    /// Hands a message that was admitted to the library.
    fn step(&mut self, message: Message, out: &mut Out) {
        // What it drops is no error of this peer's.
        let _ = self.node.step(message);
        self.steady();
        self.ready(out);
    }

    /// What Raft wants done.
    fn ready(&mut self, out: &mut Out) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            let number = ready.number();
            for message in ready.take_messages() {
                self.say(message, None, out);
            }
            let entries = ready.take_entries();
            let holds = !entries.is_empty();
            let mut items = Vec::new();
            if holds {
                items.push(Item::Entries { behind: entries[0].index - 1, entries: entries.clone() });
            }
            // A commit alone waits for the next record: a start knows better, by the log.
            if let Some(hard) = ready.hs().filter(|_| ready.must_sync()) {
                items.push(promise(hard));
            }
            if holds && let Err(error) = self.node.mut_store().append(entries[0].index - 1, entries) {
                return out.halt(format!("the library's entries are none: {error}"));
            }
            let after = if !items.is_empty() {
                let ticket = out.persist(&items);
                self.asked.push_back(Asked { ticket, ready: number, entries: holds });
                Some(ticket)
            } else if let Some(last) = self.asked.back_mut() {
                last.ready = number;
                Some(last.ticket)
            } else {
                None
            };
            for message in ready.take_persisted_messages() {
                self.say(message, after, out);
            }
            let committed = ready.take_committed_entries();
            self.node.advance_append_async(ready);
            if let Some(last) = committed.last() {
                self.node.advance_apply_to(last.index);
            }
            let blocks = committed.iter().filter(|entry| !entry.data.is_empty());
            let blocks: Vec<_> = blocks.filter_map(|entry| self.window().mark(entry.index)).collect();
            self.committed.extend(blocks);
            if after.is_none() {
                self.node.on_persist_ready(number);
            }
            self.steady();
        }
    }

    fn say(&self, message: Message, after: Option<Ticket>, out: &mut Out) {
        let find = |replica| self.peers.iter().find(|peer| peer.replica == replica);
        if let (Some(to), Some(from)) = (find(message.to), find(message.from)) {
            let said = Said::Raft { to: to.life, from: from.life, message: Box::new(message) };
            out.say(to.address, &said, after);
        }
    }

    /// What is committed and executed is final.
    fn finish(&mut self, out: &mut Out) {
        while let Some(block) = self.committed.front().copied() {
            if block.height > self.last_final.height {
                match self.executed.front() {
                    None => break,
                    Some(executed) if *executed == (block.height, block.hash) => {}
                    Some((height, hash)) => {
                        let Mark { height: at, hash: committed, .. } = block;
                        return out.halt(format!(
                            "block {at} {committed} is committed, and block {height} {hash} was executed"
                        ));
                    }
                }
                self.executed.pop_front();
                self.last_final = block;
                out.push(OrderingEffect::Final { height: block.height });
                self.seals.open(block, out);
            }
            self.committed.pop_front();
        }
        self.lead(out);
    }

    fn lead(&mut self, out: &mut Out) {
        let raft = &self.node.raft;
        let leader = match raft.state {
            StateRole::Leader => self.leads().then_some(self.own),
            _ => self.address(raft.leader_id),
        };
        if self.leader.replace(leader) != Some(leader) {
            out.push(OrderingEffect::Lead { leader });
        }
    }

    /// Not before all that is in its log is executed, and something of its own term is committed.
    fn leads(&self) -> bool {
        let raft = &self.node.raft;
        raft.state == StateRole::Leader && self.named.is_empty() && raft.commit_to_current_term()
    }

    pub(super) fn propose(&mut self, block: &Arc<ExecutedBlock>, out: &mut Out) {
        let (height, hash) = (block.header.height, block.hash);
        let last = self.executed.back().map_or(self.last_final.height, |(height, _)| *height);
        let bytes = codec::encode(&block.with_seal(Seal::Quorum { place: 0, signatures: Vec::new() }));
        if self.leads() && height == last + 1 && self.node.propose(Vec::new(), bytes).is_ok() {
            self.executed.push_back((height, hash));
        } else {
            out.push(OrderingEffect::Discard { from: height });
            // With it went what was to be executed instead.
            for Named { height, block, settled, .. } in self.named.iter().cloned() {
                out.push(OrderingEffect::Execute { height, block });
                if settled {
                    out.push(OrderingEffect::Settled { height });
                }
            }
        }
        self.drive(out);
    }

    pub(super) fn executed(&mut self, height: u64, valid: bool, out: &mut Out) {
        let Some(named) = self.named.pop_front().filter(|named| named.height == height) else {
            return out.halt(format!("block {height} was executed, and nobody asked for it"));
        };
        if valid {
            self.executed.push_back((height, named.hash));
            if planted(Mutant::SealBeforeFinal) {
                let Named { index, term, height, hash, .. } = named;
                self.seals.sign(Mark { index, term, height, hash }, None, false, out);
            }
        } else if named.settled {
            return out.halt(format!("block {height} is in this peer's log, and is no valid one"));
        } else {
            // It is ahead of the clock, or its leader is wrong; so is what came above it. The message is as good as lost: the
            // leader sends it again.
            out.push(OrderingEffect::Discard { from: height });
            self.named.clear();
            if let Some(held) = self.held.pop_front() {
                self.held_bytes -= held.bytes;
            }
        }
        self.drive(out);
    }

    /// A message of Raft's, from one life of a peer to one of another.
    pub(super) fn hears(&mut self, from: (Address, LifeId), to: LifeId, mut message: Message, out: &mut Out) {
        let own = self.peers.iter().find(|peer| peer.address == self.own).filter(|own| own.life == to);
        let other = self.peers.iter().find(|peer| (peer.address, peer.life) == from && from.0 != self.own);
        let (Some(own), Some(other)) = (own, other) else {
            return tracing::debug!(peer = %from.0, "a message of Raft's was refused: from or to another life");
        };
        (message.to, message.from) = (own.replica, other.replica);
        if message.msg_type == MessageType::MsgAppend {
            self.hold(message);
        } else {
            match self.admits(&message) {
                Ok(()) => self.step(message, out),
                Err(refused) => self.refuse(&message, refused),
            }
        }
        self.drive(out);
    }

    /// Puts an append behind those that wait. One that adds nothing to them is known already.
    fn hold(&mut self, message: Message) {
        if let Err(refused) = self.admits(&message) {
            return self.refuse(&message, refused);
        }
        if self.heard.0 < message.term {
            self.heard = (message.term, 0);
        }
        if self.heard.0 == message.term {
            self.heard.1 = self.heard.1.max(message.commit);
        }
        let mut blocks = Vec::new();
        for entry in message.entries.iter() {
            match block_of(entry) {
                Ok(block) => blocks.extend(block.map(|(height, hash)| Named::at(entry, height, hash))),
                Err(_) => return self.refuse(&message, Refused::Entries),
            }
        }
        let bytes = message.entries.iter().map(|entry| entry.data.len()).sum::<usize>();
        let held = Held { message, blocks, bytes };
        let known = |other: &Held| other.message.term == held.message.term && other.last() >= held.last();
        if self.held.iter().any(known) {
            return;
        }
        if self.held.len() >= HELD_MAX || self.held_bytes + bytes > HELD_BYTES_MAX {
            return self.refuse(&held.message, Refused::TooMany);
        }
        self.held_bytes += bytes;
        self.held.push_back(held);
    }

    /// Another peer's signature.
    pub(super) fn signed(&mut self, from: Address, signed: Signed, out: &mut Out) {
        let (height, asks) = (signed.height, signed.asks);
        self.seals.hears(from, signed, self.last_final.height, out);
        if asks
            && height <= self.last_final.height
            && let Some(block) = self.window().block(height)
        {
            self.seals.sign(block, Some(from), false, out);
        }
    }

    /// A leader holds nothing any more that this peer could go on with.
    pub(super) fn behind(&mut self, from: Address, behind: &Behind, out: &mut Out) {
        let raft = &self.node.raft;
        let Mark { height, .. } = self.window().last();
        if behind.term == raft.term && self.address(raft.leader_id) == Some(from) && height < behind.height {
            out.halt(format!(
                "this peer is behind what the leader still holds: it has blocks up to {height}, and the leader gives those above {}",
                behind.height
            ));
        }
    }

    pub(super) fn persisted(&mut self, ticket: Ticket, out: &mut Out) {
        let mut ready = None;
        while let Some(asked) = self.asked.pop_front_if(|asked| asked.ticket <= ticket) {
            ready = Some(asked.ready);
        }
        if let Some(ready) = ready {
            self.node.on_persist_ready(ready);
        }
        self.seals.persisted(ticket, out);
        self.drive(out);
    }

    /// A tick of the engine's clock.
    pub(super) fn tick(&mut self, out: &mut Out) {
        self.node.tick();
        self.steady();
        self.drive(out);
    }

    /// From time to time: asks for what may be lost.
    pub(super) fn asks(&mut self, out: &mut Out) {
        for height in self.seals.unsealed() {
            if let Some(block) = self.window().block(height) {
                self.seals.sign(block, None, true, out);
            }
        }
        if self.node.raft.state != StateRole::Leader {
            return;
        }
        let (term, base) = (self.node.raft.term, self.window().base);
        for (replica, progress) in self.node.raft.prs().iter() {
            if progress.recent_active
                && progress.next_idx <= base.index
                && let Some(to) = self.address(*replica)
            {
                out.say(to, &Said::Behind(Behind { term, height: base.height }), None);
            }
        }
    }

    /// A block is in the channel's log, and all before it.
    pub(super) fn appended(&mut self, height: u64) {
        self.durable = self.durable.max(height);
    }

    /// Cuts the log where it has grown too long, up to a block that is in the channel's log. True if all that is kept is to be
    /// recorded anew.
    pub(super) fn cut(&mut self, records: usize) -> bool {
        let window = self.node.store();
        let mut cut = false;
        if window.count() > WINDOW_MAX || window.bytes() > WINDOW_BYTES_MAX {
            let last = window.up_to(self.durable).min(self.node.raft.raft_log.applied).min(self.last_final.index);
            cut = self.node.mut_store().cut(last, WINDOW_MAX / 2, WINDOW_BYTES_MAX / 2);
            self.seals.cut(self.window().base.height);
        }
        cut || records > RECORDS_MAX
    }

    /// Parts of a record that stands for all before it: the mark, and what is above it.
    pub(super) fn items(&self) -> Vec<Item> {
        let (window, hard) = (self.window(), self.node.raft.hard_state());
        let entries = Item::Entries { behind: window.base.index, entries: window.entries() };
        let mut items = vec![Item::Begin(window.base), entries, promise(&hard)];
        items.extend(self.seals.items());
        items
    }

    /// Messages that wait for their blocks.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.held.len()
    }

    /// The last block that is executed.
    #[cfg(test)]
    pub(super) fn height(&self) -> u64 {
        self.executed.back().map_or(self.last_final.height, |(height, _)| *height)
    }

    /// The block whose execution is awaited first.
    #[cfg(test)]
    pub(super) fn wants(&self) -> Option<u64> {
        self.named.front().map(|named| named.height)
    }

    /// Signatures of blocks that are not final here.
    #[cfg(test)]
    pub(super) fn early(&self) -> usize {
        self.seals.early()
    }
}
