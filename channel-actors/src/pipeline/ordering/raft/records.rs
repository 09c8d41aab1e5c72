//! What an engine over Raft keeps on the disk, in a form of our own (docs/formats/ordering.md), and what a start makes of it.
//! A record names the life that wrote it: those of another life are no memory of this one. What is no whole story is an
//! error by name, never a panic.

use super::form::{ENTRIES_MAX, NUMBER_MAX, Reader, malformed, put_entries, take_entries};
use super::window::{Mark, Window};
use super::wire::{Lives, Said};
use crate::pipeline::ordering::{EngineError, LifeId, OrderingEffect, Ticket};
use crate::runtime::mutants::{Mutant, planted};
use bytes::Bytes;
use ledger_classes::keys::Address;
use ledger_classes::limits::ORDERERS_MAX;
use ledger_classes::primitives::codec::DecodeError;
use ledger_classes::primitives::hash::Hash;
use raft::eraftpb::{Entry, HardState};
use std::collections::BTreeMap;

const FORM: u8 = 1;

/// A part of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// The record stands for all before it; the log begins behind this.
    Begin(Mark),
    /// Term, vote and what is known to be committed.
    Hard { term: u64, vote: u64, commit: u64 },
    /// Entries behind an index; what stood there before is gone.
    Entries { behind: u64, entries: Vec<Entry> },
    /// Another peer was met in this life of its.
    Met(Address, LifeId),
    /// The channel is founded with these.
    Founded(Lives),
    /// This peer has signed a block as final.
    Signed { height: u64, hash: Hash, place: u64 },
}

const BEGIN: u8 = 0;
const HARD: u8 = 1;
const ENTRIES: u8 = 2;
const MET: u8 = 3;
const FOUNDED: u8 = 4;
const SIGNED: u8 = 5;

pub(super) fn encode(life: LifeId, items: &[Item]) -> Vec<u8> {
    let mut out = vec![FORM];
    out.extend(life);
    let mut put = |kind: u8, numbers: &[u64], rest: &[u8]| {
        out.push(kind);
        numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
        out.extend(rest);
    };
    for item in items {
        match item {
            Item::Begin(Mark { index, term, height, hash }) => put(BEGIN, &[*index, *term, *height], &hash.0),
            Item::Hard { term, vote, commit } => put(HARD, &[*term, *vote, *commit], &[]),
            Item::Entries { behind, entries } => {
                // One part holds so many; none is left out.
                let mut behind = *behind;
                let nothing: &[Entry] = &[];
                let parts = entries.chunks(ENTRIES_MAX).chain(entries.is_empty().then_some(nothing));
                for part in parts {
                    let bytes = part.iter().map(|entry| entry.data.len() + 13).sum::<usize>() + 4;
                    let mut bytes = Vec::with_capacity(bytes);
                    put_entries(part, &mut bytes);
                    put(ENTRIES, &[behind], &bytes);
                    behind += part.len() as u64;
                }
            }
            Item::Met(address, life) => put(MET, &[], &[&address.0[..], life].concat()),
            Item::Founded(lives) => {
                let lives = lives.iter().flat_map(|(address, life)| [&address.0[..], &life[..]]);
                let bytes: Vec<u8> = lives.flatten().copied().collect();
                put(FOUNDED, &[bytes.len() as u64 / 36], &bytes);
            }
            Item::Signed { height, hash, place } => put(SIGNED, &[*height, *place], &hash.0),
        }
    }
    out
}

/// Whose a record is, and its parts.
pub(crate) fn decode(bytes: &Bytes) -> Result<(LifeId, Vec<Item>), DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    if reader.byte()? != FORM {
        return Err(malformed("of another form"));
    }
    let life = reader.array()?;
    let mut items = Vec::new();
    while !reader.is_at_end() {
        items.push(match reader.byte()? {
            BEGIN => Item::Begin(Mark {
                index: reader.number()?,
                term: reader.number()?,
                height: reader.number()?,
                hash: Hash(reader.array()?),
            }),
            HARD => Item::Hard { term: reader.number()?, vote: reader.long()?, commit: reader.number()? },
            ENTRIES => {
                let behind = reader.number()?;
                Item::Entries { behind, entries: take_entries(&mut reader, behind)? }
            }
            MET => Item::Met(Address(reader.array()?), reader.array()?),
            FOUNDED => {
                let count = reader.long()?;
                if count > ORDERERS_MAX as u64 {
                    return Err(malformed("too many peers"));
                }
                let one = |_| Ok((Address(reader.array()?), reader.array()?));
                Item::Founded((0..count).map(one).collect::<Result<_, DecodeError>>()?)
            }
            SIGNED => {
                let (height, place) = (reader.number()?, reader.number()?);
                Item::Signed { height, place, hash: Hash(reader.array()?) }
            }
            _ => return Err(malformed("a part of another kind")),
        });
    }
    Ok((life, items))
}

/// What an engine wants done in one turn, and the numbers of its records.
pub(super) struct Out {
    life: LifeId,
    ticket: Ticket,
    /// Records since one that stands for all before it.
    pub(super) records: usize,
    effects: Vec<OrderingEffect>,
}

impl Out {
    pub(super) const fn new(life: LifeId, last: Ticket, records: usize) -> Self {
        Self { life, ticket: last, records, effects: Vec::new() }
    }

    pub(super) fn push(&mut self, effect: OrderingEffect) {
        self.effects.push(effect);
    }

    pub(super) fn halt(&mut self, reason: String) {
        self.push(OrderingEffect::Halt(reason));
    }

    /// Puts a record on the disk. One that begins with [`Item::Begin`] stands for all before it.
    pub(super) fn persist(&mut self, items: &[Item]) -> Ticket {
        let base = matches!(items.first(), Some(Item::Begin(_)));
        self.records = if base { 0 } else { self.records + 1 };
        self.ticket += 1;
        let (ticket, record) = (self.ticket, encode(self.life, items));
        self.push(OrderingEffect::Persist { ticket, record, base });
        ticket
    }

    pub(super) fn say(&mut self, to: Address, said: &Said, after: Option<Ticket>) {
        match said.encode() {
            Some(bytes) => self.push(OrderingEffect::Send { to, bytes, after }),
            None => tracing::warn!(%to, "a message of Raft's is of a kind that is not carried"),
        }
    }

    /// All of it, in order. Whether it stops the channel.
    pub(super) fn done(&mut self) -> (Vec<OrderingEffect>, bool) {
        let effects = std::mem::take(&mut self.effects);
        let halts = effects.iter().any(|effect| matches!(effect, OrderingEffect::Halt(_)));
        (effects, halts)
    }
}

/// What an engine remembers.
pub(super) struct Memory {
    pub(super) met: BTreeMap<Address, LifeId>,
    pub(super) founded: Option<Lives>,
    pub(super) window: Window,
    pub(super) hard: HardState,
    /// Of blocks that this peer has signed: hash and place.
    pub(super) signed: BTreeMap<u64, (Hash, u64)>,
    pub(super) last: Ticket,
    pub(super) records: usize,
}

impl Memory {
    /// What the records of a life say of a channel.
    pub(super) fn of(channel: Hash, life: LifeId, records: &[(Ticket, Bytes)]) -> Result<Self, EngineError> {
        let mut memory = Self {
            met: BTreeMap::new(),
            founded: None,
            window: Window::new(Mark { index: 0, term: 0, height: 0, hash: channel }),
            hard: HardState::default(),
            signed: BTreeMap::new(),
            last: 0,
            records: 0,
        };
        for (ticket, bytes) in records {
            let (recorded, items) = decode(bytes).map_err(EngineError::Records)?;
            if recorded != life {
                return Err(EngineError::OtherLife { recorded, own: life });
            }
            if *ticket <= memory.last {
                return Err(broken("two records of one number"));
            }
            memory.last = *ticket;
            memory.records += 1;
            items.into_iter().try_for_each(|item| memory.take(item))?;
        }
        let (last, hard) = (memory.window.last(), &memory.hard);
        if hard.commit > last.index || last.term > hard.term {
            return Err(broken("a term or a commit beyond the log"));
        }
        Ok(memory)
    }

    fn take(&mut self, item: Item) -> Result<(), EngineError> {
        match item {
            Item::Begin(mark) => {
                self.window = Window::new(mark);
                (self.founded, self.hard, self.records) = (None, HardState::default(), 0);
                self.met.clear();
                self.signed.clear();
            }
            Item::Hard { term, vote, commit } => {
                if term < self.hard.term || commit < self.hard.commit {
                    return Err(broken("a term or a commit goes back"));
                }
                self.hard = HardState { term, vote, commit, ..HardState::default() };
            }
            Item::Entries { behind, entries } => {
                if behind < self.hard.commit.max(self.window.base.index) || behind > self.window.last().index {
                    return Err(broken("entries do not follow the log"));
                }
                self.window.append(behind, entries).map_err(EngineError::Records)?;
            }
            Item::Met(address, life) => match self.met.insert(address, life) {
                Some(before) if before != life => return Err(broken("a peer was met in two lives")),
                _ => {}
            },
            Item::Founded(lives) => match self.founded.replace(lives.clone()) {
                Some(before) if before != lives => return Err(broken("the channel was founded twice")),
                _ => {}
            },
            Item::Signed { height, hash, place } => match self.signed.insert(height, (hash, place)) {
                Some(before) if before != (hash, place) => return Err(broken("two blocks of one height were signed")),
                _ => {}
            },
        }
        Ok(())
    }
}

fn broken(why: &str) -> EngineError {
    EngineError::Records(malformed(why))
}

/// Raft's promise, as it is recorded.
pub(super) fn promise(hard: &HardState) -> Item {
    let vote = if planted(Mutant::VoteNotKept) { 0 } else { hard.vote };
    Item::Hard { term: hard.term.min(NUMBER_MAX), vote, commit: hard.commit }
}
