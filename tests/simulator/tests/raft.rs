//! The trait of ordering engines is shaped so that Raft fits: a throw-away engine over `raft`'s `RawNode` orders three
//! peers in the simulator, whose machines, loop and stores are those that serve. It is no engine to be used: it keeps
//! its whole log in memory, knows no change of peers, and forgets nothing.
//!
//! A follower executes a block before it accepts it, so messages with entries wait for their blocks ([`Engine::take`]). Final
//! is what Raft commits. A peer signs only what it has executed and knows to be final; the seal is a majority of such
//! signatures. What promises waits for its record: `persisted_messages`.

#![expect(clippy::disallowed_methods, reason = "what these engines say to each other comes from nobody else")]

use bytes::Bytes;
use channel_actors::pipeline::ordering::{OrderingEffect, OrderingEngine, OrderingInput, Sealing, Ticket};
use channel_actors::simulation::{Mutant, Start, Together, run_several};
use ledger_classes::formats::block::{Block, Seal, SealSignature, seal_message};
use ledger_classes::formats::config::OrderingPeer;
use ledger_classes::keys::{Address, SigningKey, verify_strict};
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use raft::eraftpb::{Entry, EntryType, HardState, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

const TICK_MS: u64 = 10;
const ELECTION_TICKS: usize = 15;
/// After how many ticks those who have not sealed ask again.
const ASK_TICKS: u64 = 10;

/// What one engine says to another. Entries, records and messages have a form of our own: none of protobuf's is parsed.
#[derive(Serialize, Deserialize)]
enum Said {
    Raft(Box<Wire>),
    Signed { height: u64, place: u64, signed: SealSignature, asks: bool },
}

#[derive(Serialize, Deserialize)]
struct Wire {
    kind: i32,
    numbers: [u64; 8],
    reject: bool,
    priority: i64,
    context: Vec<u8>,
    entries: Vec<WireEntry>,
}

#[derive(Serialize, Deserialize)]
struct WireEntry {
    term: u64,
    index: u64,
    data: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    term: u64,
    vote: u64,
    commit: u64,
    entries: Vec<WireEntry>,
}

const KINDS: [MessageType; 10] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
    MessageType::MsgTimeoutNow,
    MessageType::MsgTransferLeader,
];

fn wire_of(entries: &[Entry]) -> Vec<WireEntry> {
    let wire = |entry: &Entry| {
        assert_eq!(entry.entry_type, EntryType::EntryNormal, "peers do not change here");
        WireEntry { term: entry.term, index: entry.index, data: entry.data.to_vec() }
    };
    entries.iter().map(wire).collect()
}

fn entries_of(wire: Vec<WireEntry>) -> Vec<Entry> {
    let entry = |WireEntry { term, index, data }| Entry { term, index, data: data.into(), ..Entry::default() };
    wire.into_iter().map(entry).collect()
}

fn wire(message: &Message) -> Wire {
    let kind = KINDS.iter().position(|kind| *kind == message.msg_type).expect("no snapshots, no reads");
    let Message { to, from, term, log_term, index, commit, commit_term, reject_hint, .. } = *message;
    Wire {
        kind: i32::try_from(kind).expect("few"),
        numbers: [to, from, term, log_term, index, commit, commit_term, reject_hint],
        reject: message.reject,
        priority: message.priority,
        context: message.context.to_vec(),
        entries: wire_of(&message.entries),
    }
}

fn message(wire: Wire) -> Option<Message> {
    let [to, from, term, log_term, index, commit, commit_term, reject_hint] = wire.numbers;
    Some(Message {
        msg_type: *KINDS.get(usize::try_from(wire.kind).ok()?)?,
        to,
        from,
        term,
        log_term,
        index,
        commit,
        commit_term,
        reject_hint,
        reject: wire.reject,
        priority: wire.priority,
        context: wire.context.into(),
        entries: entries_of(wire.entries).into(),
        ..Message::default()
    })
}

/// A block in Raft's log.
#[derive(Clone)]
struct Named {
    index: u64,
    height: u64,
    hash: Hash,
    block: Bytes,
    /// It was said that its time is not asked.
    settled: bool,
}

fn named(entry: &Entry) -> Option<Named> {
    let block = Bytes::copy_from_slice(&entry.data);
    let header = Block::decode(&block).ok()?.header;
    Some(Named { index: entry.index, height: header.height, hash: header.hash(), block, settled: false })
}

struct Engine {
    node: RawNode<MemStorage>,
    key: Arc<SigningKey>,
    orderers: Vec<OrderingPeer>,
    threshold: u64,
    random: u64,
    /// Blocks that are executed and not final, ascending, and those whose execution was asked for.
    executed: VecDeque<(u64, Hash)>,
    named: VecDeque<Named>,
    /// Messages in their order; the first one may wait for its blocks.
    messages: VecDeque<Message>,
    /// Committed, and not told yet: term, height, hash.
    committed: VecDeque<(u64, u64, Hash)>,
    last_final: u64,
    /// Of final blocks: term and hash.
    finals: BTreeMap<u64, (u64, Hash)>,
    signatures: BTreeMap<u64, BTreeMap<Address, (u64, SealSignature)>>,
    unsealed: BTreeSet<u64>,
    /// Numbers of what was given to the disk.
    asked: VecDeque<Ticket>,
    ticked: Option<Time>,
    ticks: u64,
    leader: Option<Option<Address>>,
}

impl Engine {
    fn new(start: Start<'_>) -> Self {
        let Start { seed, key, orderers, threshold, height, records } = start;
        let own = orderers.iter().position(|peer| peer.key == key.public()).expect("it orders") as u64 + 1;
        let voters: Vec<u64> = (1..=orderers.len() as u64).collect();
        let storage = MemStorage::new_with_conf_state((voters, Vec::new()));
        for (_, bytes) in records {
            let Record { term, vote, commit, entries } = serde_json::from_slice(bytes).expect("its own");
            let mut core = storage.wl();
            core.append(&entries_of(entries)).expect("they follow each other");
            core.set_hardstate(HardState { term, vote, commit, ..HardState::default() });
        }
        let config = Config {
            id: own,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: 3,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 64,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, storage, &logger).expect("a valid configuration");
        Self {
            node,
            key,
            orderers: orderers.to_vec(),
            threshold,
            random: seed,
            executed: VecDeque::new(),
            named: VecDeque::new(),
            messages: VecDeque::new(),
            committed: VecDeque::new(),
            last_final: height,
            finals: BTreeMap::new(),
            signatures: BTreeMap::new(),
            unsealed: BTreeSet::new(),
            asked: VecDeque::new(),
            ticked: None,
            ticks: 0,
            leader: None,
        }
    }

    fn address(&self, id: u64) -> Address {
        self.orderers[id as usize - 1].key.address()
    }

    fn say(&self, to: Address, said: &Said, after: Option<Ticket>, effects: &mut Vec<OrderingEffect>) {
        let bytes = serde_json::to_vec(said).expect("plain data");
        effects.push(OrderingEffect::Send { to, bytes, after });
    }

    /// Raft draws its timeouts from the thread's randomness, and here everything follows from a seed. It may draw the same
    /// again, so what stands there says nothing.
    fn steady(&mut self) {
        let drawn = (self.random ^ self.node.raft.term).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        self.node.raft.set_randomized_election_timeout(ELECTION_TICKS + drawn as usize % ELECTION_TICKS);
    }

    /// The blocks of Raft's log that are not final, up to an index.
    fn blocks(&self, below: u64) -> Vec<Named> {
        let entries = self.node.raft.raft_log.all_entries();
        let blocks = entries.iter().filter(|entry| entry.index < below).filter_map(named);
        blocks.filter(|block| block.height > self.last_final).collect()
    }

    /// Has these blocks executed above the last final one, and no others. True if they are.
    fn aim(&mut self, blocks: Vec<Named>, effects: &mut Vec<OrderingEffect>) -> bool {
        let have: Vec<_> =
            self.executed.iter().copied().chain(self.named.iter().map(|named| (named.height, named.hash))).collect();
        let same = have.iter().zip(&blocks).take_while(|(have, block)| **have == (block.height, block.hash)).count();
        if let Some((from, _)) = have.get(same) {
            effects.push(OrderingEffect::Discard { from: *from });
            self.named.truncate(same.saturating_sub(self.executed.len()));
            self.executed.truncate(same);
        }
        for block in blocks.into_iter().skip(same) {
            let Named { height, block: bytes, .. } = block.clone();
            effects.push(OrderingEffect::Execute { height, block: bytes });
            self.named.push_back(block);
        }
        self.named.is_empty()
    }

    /// Blocks up to this index are in this peer's log, or committed: their time is not asked, or not again.
    fn settle(&mut self, last: u64, effects: &mut Vec<OrderingEffect>) {
        for named in self.named.iter_mut().filter(|named| named.index <= last && !named.settled) {
            named.settled = true;
            effects.push(OrderingEffect::Settled { height: named.height });
        }
    }

    /// Takes messages, up to one whose blocks are not executed yet.
    fn take(&mut self, effects: &mut Vec<OrderingEffect>) {
        while let Some(message) = self.messages.front() {
            let log = &self.node.raft.raft_log;
            let fits = message.msg_type == MessageType::MsgAppend
                && message.term >= self.node.raft.term
                && log.match_term(message.index, message.log_term);
            let first = message.entries.iter().position(|entry| !log.match_term(entry.index, entry.term));
            if let Some(first) = first.filter(|_| fits) {
                let new: &[Entry] = &message.entries;
                let new = &new[first..];
                let mut blocks = self.blocks(new[0].index);
                blocks.extend(new.iter().filter_map(named).filter(|block| block.height > self.last_final));
                let (own, term) = (new[0].index - 1, message.term);
                if !self.aim(blocks, effects) {
                    // What its leader says later is of the same log.
                    let committed = self.messages.iter().filter(|later| later.term == term).map(|later| later.commit);
                    self.settle(committed.fold(own, u64::max), effects);
                    return;
                }
            }
            let Some(message) = self.messages.pop_front() else { return };
            // What does not fit is no error of this peer's.
            let _ = self.node.step(message);
            self.steady();
            self.aim_at_log(effects);
        }
    }

    /// Has what this peer's log holds executed, and nothing else.
    fn aim_at_log(&mut self, effects: &mut Vec<OrderingEffect>) {
        let blocks = self.blocks(u64::MAX);
        self.aim(blocks, effects);
        self.settle(u64::MAX, effects);
    }

    /// What Raft wants done.
    fn ready(&mut self, effects: &mut Vec<OrderingEffect>) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            let number = ready.number();
            for message in ready.take_messages() {
                self.say(self.address(message.to), &Said::Raft(Box::new(wire(&message))), None, effects);
            }
            let kept = !ready.entries().is_empty() || ready.hs().is_some() || !self.asked.is_empty();
            let later = ready.take_persisted_messages();
            if kept {
                let mut core = self.node.mut_store().wl();
                core.append(ready.entries()).expect("they follow the log");
                if let Some(state) = ready.hs() {
                    core.set_hardstate(state.clone());
                }
                let HardState { term, vote, commit, .. } = *core.hard_state();
                let record = Record { term, vote, commit, entries: wire_of(ready.entries()) };
                drop(core);
                let record = serde_json::to_vec(&record).expect("plain data");
                effects.push(OrderingEffect::Persist { ticket: number, record });
                self.asked.push_back(number);
            }
            for message in later {
                let after = kept.then_some(number);
                self.say(self.address(message.to), &Said::Raft(Box::new(wire(&message))), after, effects);
            }
            let committed = ready.take_committed_entries();
            self.node.advance_append_async(ready);
            if let Some(last) = committed.last() {
                self.node.advance_apply_to(last.index);
            }
            for entry in &committed {
                self.committed.extend(named(entry).map(|block| (entry.term, block.height, block.hash)));
            }
            if !kept {
                self.node.on_persist_ready(number);
            }
            self.steady();
        }
    }

    /// What is committed and executed is final.
    fn finish(&mut self, effects: &mut Vec<OrderingEffect>) {
        while let Some((term, height, hash)) = self.committed.front().copied() {
            if height > self.last_final {
                if self.executed.front() != Some(&(height, hash)) {
                    assert!(self.executed.is_empty() || !self.named.is_empty(), "another block {height} is committed");
                    return;
                }
                self.executed.pop_front();
                self.last_final = height;
                effects.push(OrderingEffect::Final { height });
                self.unsealed.insert(height);
            }
            self.committed.pop_front();
            self.finals.insert(height, (term, hash));
            if self.unsealed.contains(&height) {
                self.sign(height, None, false, effects);
                self.seal(height, effects);
            }
        }
    }

    /// Signs a final block, for one peer or all others.
    fn sign(&mut self, height: u64, only: Option<Address>, asks: bool, effects: &mut Vec<OrderingEffect>) {
        let Some(&(place, hash)) = self.finals.get(&height) else { return };
        let (key, own) = (self.key.public(), self.key.public().address());
        let signed = SealSignature { key, signature: self.key.sign(&seal_message(&hash, place)) };
        self.signatures.entry(height).or_default().insert(own, (place, signed.clone()));
        let others: Vec<Address> = self.orderers.iter().map(|peer| peer.key.address()).collect();
        for to in others.into_iter().filter(|to| *to != own && only.is_none_or(|only| only == *to)) {
            self.say(to, &Said::Signed { height, place, signed: signed.clone(), asks }, None, effects);
        }
    }

    fn seal(&mut self, height: u64, effects: &mut Vec<OrderingEffect>) {
        let Some(&(place, hash)) = self.finals.get(&height) else { return };
        let given = self.signatures.entry(height).or_default();
        let message = seal_message(&hash, place);
        let good = |peer: &OrderingPeer| {
            let (at, signed) = given.get(&peer.key.address())?;
            let good = *at == place && verify_strict(&peer.key, &message, &signed.signature).is_ok();
            good.then(|| (peer.weight, signed.clone()))
        };
        let signed: Vec<_> = self.orderers.iter().filter_map(good).collect();
        if signed.iter().map(|(weight, _)| u64::from(*weight)).sum::<u64>() >= self.threshold
            && self.unsealed.remove(&height)
        {
            let signatures = signed.into_iter().map(|(_, signed)| signed).collect();
            let seal = Sealing::Signed(Seal::Quorum { place, signatures });
            effects.push(OrderingEffect::Seal { height, seal });
        }
    }

    fn tick(&mut self, now: Time, effects: &mut Vec<OrderingEffect>) {
        let ticked = *self.ticked.get_or_insert(now);
        let count = now.millis_since(ticked) / TICK_MS;
        self.ticked = Some(ticked.plus_millis(count * TICK_MS));
        for _ in 0..count.min(ELECTION_TICKS as u64) {
            self.node.tick();
            self.steady();
            self.ticks += 1;
            if self.ticks.is_multiple_of(ASK_TICKS) {
                for height in self.unsealed.clone() {
                    self.sign(height, None, true, effects);
                }
            }
        }
        effects.push(OrderingEffect::WakeAt(now.plus_millis(TICK_MS)));
    }

    fn lead(&mut self, effects: &mut Vec<OrderingEffect>) {
        let raft = &self.node.raft;
        let leader = match raft.state {
            // Not before all that is in its log is executed.
            StateRole::Leader if self.named.is_empty() => Some(self.key.public().address()),
            StateRole::Leader => None,
            _ => (raft.leader_id != 0).then(|| self.address(raft.leader_id)),
        };
        if self.leader.replace(leader) != Some(leader) {
            effects.push(OrderingEffect::Lead { leader });
        }
    }
}

impl OrderingEngine for Engine {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        let mut effects = Vec::new();
        match input {
            OrderingInput::Propose { block } => {
                let (height, hash) = (block.header.height, block.hash);
                let bytes = codec::encode(&block.with_seal(Seal::Quorum { place: 0, signatures: Vec::new() }));
                let leads = self.node.raft.state == StateRole::Leader && self.named.is_empty();
                if leads && self.node.propose(Vec::new(), bytes).is_ok() {
                    self.executed.push_back((height, hash));
                } else {
                    effects.push(OrderingEffect::Discard { from: height });
                    // With it went what was to be executed instead.
                    for Named { height, block, settled, .. } in self.named.iter().cloned() {
                        effects.push(OrderingEffect::Execute { height, block });
                        effects.extend(settled.then_some(OrderingEffect::Settled { height }));
                    }
                }
            }
            OrderingInput::Executed { height, valid } => {
                let named = self.named.pop_front().expect("it was asked for");
                assert_eq!(named.height, height);
                if valid {
                    self.executed.push_back((height, named.hash));
                } else {
                    // It is ahead of the clock, since honest peers propose valid blocks; so is what came above it. The
                    // message is as good as lost: the leader sends it again.
                    assert!(!named.settled, "what is settled is not asked");
                    effects.push(OrderingEffect::Discard { from: height });
                    self.named.clear();
                    self.messages.pop_front();
                }
            }
            OrderingInput::Message { from, bytes } => match serde_json::from_slice(bytes) {
                Ok(Said::Raft(wire)) => self.messages.extend(message(*wire)),
                Ok(Said::Signed { height, place, signed, asks }) => {
                    self.signatures.entry(height).or_default().insert(from, (place, signed));
                    if asks {
                        self.sign(height, Some(from), false, &mut effects);
                    }
                    self.seal(height, &mut effects);
                }
                Err(_) => {}
            },
            OrderingInput::Persisted { ticket } => {
                while self.asked.pop_front_if(|asked| *asked <= ticket).is_some() {}
                self.node.on_persist_ready(ticket);
            }
            OrderingInput::Tick { now } => self.tick(now, &mut effects),
            OrderingInput::Installed { .. } | OrderingInput::Configure { .. } => {}
        }
        if self.leader.is_none() {
            // What its records hold.
            self.aim_at_log(&mut effects);
        }
        self.take(&mut effects);
        self.ready(&mut effects);
        self.finish(&mut effects);
        self.lead(&mut effects);
        effects
    }
}

/// `CHANCERY_SEED` and `CHANCERY_RUNS` choose others.
#[test]
fn raft_orders_three_peers_by_the_trait_of_ordering_engines() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (first, runs) = (number("CHANCERY_SEED", 1), number("CHANCERY_RUNS", 2));
    let (mut proposers, mut starts, mut cuts, mut ahead) = (0, 0, 0, (0, 0));
    for seed in first..first + runs {
        let run = || run_several(seed, None, &|start| Box::new(Engine::new(start)));
        let together = run().unwrap_or_else(|reason| panic!("seed {seed}: {reason}"));
        println!("seed {seed}: {together:?}");
        assert!(together.blocks >= 60 && together.transactions > 60, "seed {seed}: {together:?}");
        // Odd seeds ask for as many witnesses as seal a block, even ones for all.
        let each = if seed % 2 == 0 { 3 } else { 2 };
        let Together { batches, witnesses, .. } = together;
        assert!(batches > 30 && witnesses >= each * batches, "seed {seed}: {together:?}");
        assert_eq!(run().as_ref(), Ok(&together), "seed {seed} is another run the second time");
        proposers = proposers.max(together.proposers);
        (starts, cuts) = (starts + together.starts, cuts + together.cuts);
        ahead = (ahead.0 + together.withheld, ahead.1 + together.refused);
    }
    assert!(ahead.0 > 0, "blocks ahead of clocks: {ahead:?} withheld and refused");
    assert!(proposers > 1 && starts > 3 * runs && cuts > 0, "{proposers} proposers, {starts} starts, {cuts} cuts");
}

/// A peer that counts itself alone as a witness makes blocks that are none: the first of them stops it.
#[test]
fn a_batch_that_only_its_origin_has_signed_is_in_no_block() {
    let failed = run_several(1, Some(Mutant::WitnessAlone), &|start| Box::new(Engine::new(start)));
    let reason = failed.expect_err("it is found");
    assert!(reason.contains("halts") && reason.contains("the witnesses of batch"), "{reason}");
}

/// A leader whose clock is ahead has its blocks accepted at once: nobody's clock was there.
#[test]
fn a_follower_that_does_not_ask_its_clock_is_found() {
    let found = (1..20)
        .find_map(|seed| run_several(seed, Some(Mutant::ClockNotAsked), &|start| Box::new(Engine::new(start))).err());
    let reason = found.expect("it is found");
    assert!(reason.contains("before anybody's clock was at its time"), "{reason}");
}
