//! What peers promise each other is on the disk when it is said: a vote, the acceptance of entries, a signature; and what one
//! signs as final a majority has on its disks. So a promise that is not kept is found when it is made, not when somebody
//! happens to rely on it.

use super::{Peer, life_of};
use crate::pipeline::ordering::records::{Item, decode};
use crate::pipeline::ordering::wire::{Said, Signed, replica};
use bytes::Bytes;
use ledger_classes::formats::block::{Header, seal_message};
use ledger_classes::keys::verify_strict;
use ledger_classes::primitives::hash::Hash;
use raft::eraftpb::MessageType;
use std::collections::BTreeMap;

/// What the records on a peer's disk say.
#[derive(Default)]
struct OnDisk {
    hard: (u64, u64),
    last: u64,
    /// Up to this height all blocks are in the log that records stand for.
    below: u64,
    /// Of an entry, the block.
    blocks: BTreeMap<u64, (u64, Hash)>,
    signed: BTreeMap<u64, (Hash, u64)>,
}

pub(super) struct Promises(Vec<OnDisk>);

impl Promises {
    pub(super) fn new(peers: u8) -> Self {
        Self((0..peers).map(|_| OnDisk::default()).collect())
    }

    /// A record is on a peer's disk.
    pub(super) fn recorded(&mut self, number: usize, record: &Bytes) -> Result<(), String> {
        let on_disk = &mut self.0[number];
        let (_, items) = decode(record).map_err(|error| error.to_string())?;
        for item in items {
            match item {
                Item::Begin(mark) => {
                    on_disk.blocks.retain(|index, _| *index > mark.index);
                    (on_disk.last, on_disk.below) = (mark.index, mark.height);
                    on_disk.signed.clear();
                }
                Item::Hard { term, vote, .. } => on_disk.hard = (term, vote),
                Item::Entries { behind, entries } => {
                    on_disk.blocks.retain(|index, _| *index <= behind);
                    on_disk.last = behind + entries.len() as u64;
                    for entry in entries.iter().filter(|entry| !entry.data.is_empty()) {
                        let header = Header::of_block(&entry.data).map_err(|error| error.to_string())?;
                        on_disk.blocks.insert(entry.index, (header.height, header.hash()));
                    }
                }
                Item::Signed { height, hash, place } => {
                    on_disk.signed.insert(height, (hash, place));
                }
                Item::Met(..) | Item::Founded(_) => {}
            }
        }
        Ok(())
    }

    /// A peer says something to another one.
    pub(super) fn said(&self, number: usize, to: usize, bytes: &[u8], peers: &[Peer]) -> Result<(), String> {
        let Some((0, bytes)) = bytes.split_first() else { return Ok(()) };
        let on_disk = &self.0[number];
        let of = |number: usize| replica(&peers[number].key.public().address(), &life_of(number));
        let voted = |term: u64, whom: usize| match on_disk.hard {
            (on_disk, _) if on_disk > term => Ok(()),
            promised if promised == (term, of(whom)) => Ok(()),
            promised => Err(format!("peer {number} votes for {whom} in term {term}, and {promised:?} is on its disk")),
        };
        match Said::decode(bytes).map_err(|error| error.to_string())? {
            Said::Raft { message, .. } => match message.msg_type {
                MessageType::MsgRequestVote => voted(message.term, number),
                MessageType::MsgRequestVoteResponse if !message.reject => voted(message.term, to),
                MessageType::MsgAppendResponse
                    if !message.reject && message.term == on_disk.hard.0 && message.index > on_disk.last =>
                {
                    let (index, last) = (message.index, on_disk.last);
                    Err(format!("peer {number} has accepted entry {index}, and {last} is the last on its disk"))
                }
                _ => Ok(()),
            },
            Said::Signed(signed) => self.signed(number, &signed),
            Said::Here(_) | Said::Behind(_) => Ok(()),
        }
    }

    fn signed(&self, number: usize, said: &Signed) -> Result<(), String> {
        let Signed { height, place, signed, .. } = said;
        let Some((hash, _)) = self.0[number].signed.get(height).filter(|(_, at)| at == place) else {
            return Err(format!("peer {number} has signed block {height}, and that is not on its disk"));
        };
        if verify_strict(&signed.key, &seal_message(hash, *place), &signed.signature).is_err() {
            return Err(format!("peer {number} has signed another block {height} than the one on its disk"));
        }
        let has = |on_disk: &&OnDisk| {
            on_disk.below >= *height || on_disk.blocks.values().any(|have| *have == (*height, *hash))
        };
        match self.0.iter().filter(has).count() {
            few if few <= self.0.len() / 2 => {
                Err(format!("peer {number} has signed block {height} as final, and {few} have it on their disks"))
            }
            _ => Ok(()),
        }
    }
}
