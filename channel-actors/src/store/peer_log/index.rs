//! Which records count, and where they are; and what of all that segments hold does after a start.
//!
//! A record is known by its sequence number, and names the one before it of its channel. So a channel's records are a chain,
//! which begins at its first one or its newest base. What was on the disk is known by *evidence*: each record names the
//! last one of its channel that was there when it was written, and each batch lists the newest of the batch before. The
//! chain must hold what there is evidence of: if not, the channel is lost, by name, and no other. What is behind it may be
//! there or not, since nobody was told that it is: the end of the chain is where the next record is missing.
//! Never here: files and bytes.

use super::record::{Evidence, Head, Kind};
use ledger_classes::primitives::hash::Hash;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// Where copies of a record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    /// The second one is as the first if only one is whole.
    pub(super) copies: [usize; 2],
    /// Bytes of a copy.
    pub(super) bytes: usize,
}

/// A record and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) head: Head,
    pub(super) place: Place,
}

/// What there is of a channel.
#[derive(Debug)]
enum Channel {
    /// From its first record, or its newest base, to its last.
    Whole(VecDeque<Kept>),
    /// Some that were on the disk cannot be read: the last one of which that is known.
    Lost(u64),
}

/// All records that count.
#[derive(Debug, Default)]
pub(super) struct Index {
    channels: BTreeMap<Hash, Channel>,
    /// By segment: sequence numbers and channels of records that count, and the bytes of both their copies.
    segments: BTreeMap<u64, (BTreeMap<u64, Hash>, u64)>,
    bytes: u64,
}

impl Index {
    /// The last record of a channel, or what is lost of it; 0 for none.
    pub(super) fn last(&self, channel: &Hash) -> Result<u64, u64> {
        match self.channels.get(channel) {
            None => Ok(0),
            Some(Channel::Whole(chain)) => Ok(chain.back().map_or(0, |kept| kept.head.sequence)),
            Some(Channel::Lost(sequence)) => Err(*sequence),
        }
    }

    /// A channel's records, in their order.
    pub(super) fn chain(&self, channel: &Hash) -> impl Iterator<Item = &Kept> {
        let chain = match self.channels.get(channel) {
            Some(Channel::Whole(chain)) => Some(chain),
            _ => None,
        };
        chain.into_iter().flatten()
    }

    /// Those of which something is lost, as evidence.
    pub(super) fn lost(&self) -> impl Iterator<Item = (Hash, Evidence)> {
        self.channels.iter().filter_map(|(channel, of)| match of {
            Channel::Lost(sequence) => Some((*channel, Evidence { sequence: *sequence, forgotten: false })),
            Channel::Whole(_) => None,
        })
    }

    /// Bytes that both copies of all records that count take.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same in a segment.
    pub(super) fn bytes_in(&self, segment: u64) -> u64 {
        self.segments.get(&segment).map_or(0, |(_, bytes)| *bytes)
    }

    /// Records that count in a segment.
    pub(super) fn in_segment(&self, segment: u64) -> Vec<Kept> {
        let Some((records, _)) = self.segments.get(&segment) else { return Vec::new() };
        let of = |(sequence, channel): (&u64, &Hash)| self.find(channel, *sequence);
        records.iter().filter_map(of).copied().collect()
    }

    fn find(&self, channel: &Hash, sequence: u64) -> Option<&Kept> {
        let Some(Channel::Whole(chain)) = self.channels.get(channel) else { return None };
        let at = chain.binary_search_by_key(&sequence, |kept| kept.head.sequence).ok()?;
        chain.get(at)
    }

    /// One more record is on the disk.
    pub(super) fn add(&mut self, kept: Kept) {
        let Head { kind, channel, .. } = kept.head;
        if matches!(kind, Kind::Base | Kind::Forgotten) {
            self.drop_channel(&channel);
        }
        if matches!(kind, Kind::Record | Kind::Base) {
            self.counts(&kept);
            match self.channels.entry(channel).or_insert_with(|| Channel::Whole(VecDeque::new())) {
                Channel::Whole(chain) => chain.push_back(kept),
                Channel::Lost(_) => unreachable!("nothing is written of a channel that is lost"),
            }
        }
    }

    /// A record that counts was copied to another place.
    pub(super) fn moved(&mut self, to: Kept) {
        let Head { channel, sequence, .. } = to.head;
        let Some(Channel::Whole(chain)) = self.channels.get_mut(&channel) else { return };
        let Ok(at) = chain.binary_search_by_key(&sequence, |kept| kept.head.sequence) else { return };
        let from = std::mem::replace(&mut chain[at], to);
        self.counts_not(&from);
        self.counts(&to);
    }

    /// Something of a channel that was on the disk cannot be read.
    pub(super) fn lose(&mut self, channel: Hash) {
        let last = self.last(&channel).unwrap_or_else(|lost| lost);
        self.drop_channel(&channel);
        self.channels.insert(channel, Channel::Lost(last));
    }

    fn drop_channel(&mut self, channel: &Hash) {
        if let Some(Channel::Whole(chain)) = self.channels.remove(channel) {
            chain.iter().for_each(|kept| self.counts_not(kept));
        }
    }

    fn counts(&mut self, kept: &Kept) {
        let bytes = 2 * kept.place.bytes as u64;
        let (records, all) = self.segments.entry(kept.place.segment).or_default();
        records.insert(kept.head.sequence, kept.head.channel);
        *all += bytes;
        self.bytes += bytes;
    }

    fn counts_not(&mut self, kept: &Kept) {
        let bytes = 2 * kept.place.bytes as u64;
        let Some((records, all)) = self.segments.get_mut(&kept.place.segment) else { return };
        records.remove(&kept.head.sequence);
        *all -= bytes;
        self.bytes -= bytes;
        if records.is_empty() {
            self.segments.remove(&kept.place.segment);
        }
    }
}

/// What was found in the segments.
#[derive(Debug, Default)]
pub(super) struct Found {
    records: BTreeMap<Hash, BTreeMap<u64, Kept>>,
    evidence: BTreeMap<Hash, Evidence>,
    newest: u64,
}

impl Found {
    /// A whole copy of a record. Segments come in their order.
    pub(super) fn record(&mut self, head: Head, segment: u64, at: usize, bytes: usize) {
        self.newest = self.newest.max(head.sequence);
        if head.kind == Kind::Synced {
            return;
        }
        self.synced(head.channel, Evidence { sequence: head.durable, forgotten: false });
        let kept = Kept { head, place: Place { segment, copies: [at; 2], bytes } };
        let known = self.records.entry(head.channel).or_default().entry(head.sequence).or_insert(kept);
        // One that was copied to a later segment is surely where it was: the copy may never have been synced.
        if known.place.segment == segment {
            known.place.copies[1] = at;
        }
    }

    /// That a record of a channel was on the disk.
    pub(super) fn synced(&mut self, channel: Hash, evidence: Evidence) {
        self.newest = self.newest.max(evidence.sequence);
        let known = self.evidence.entry(channel).or_default();
        if evidence.sequence > known.sequence {
            *known = evidence;
        }
    }

    /// The highest sequence number that was seen.
    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// What counts, and those records that count and of which nothing says that they were on the disk, in their order:
    /// they may be in the system's memory alone.
    pub(super) fn settle(self) -> (Index, Vec<Kept>) {
        let (mut index, mut unsure) = (Index::default(), Vec::<Kept>::new());
        for (channel, evidence) in self.evidence {
            match chain(self.records.get(&channel), evidence) {
                Ok(chain) => {
                    unsure.extend(chain.iter().filter(|kept| kept.head.sequence > evidence.sequence));
                    chain.into_iter().for_each(|kept| index.add(kept));
                }
                Err(Broken) => drop(index.channels.insert(channel, Channel::Lost(evidence.sequence))),
            }
        }
        unsure.sort_by_key(|kept| kept.head.sequence);
        (index, unsure)
    }
}

/// Something that was on the disk is not there.
struct Broken;

/// The chain of a channel's records, of which that of the evidence was on the disk, and all before it.
fn chain(records: Option<&BTreeMap<u64, Kept>>, evidence: Evidence) -> Result<VecDeque<Kept>, Broken> {
    let (mut chain, mut last) = (VecDeque::<Kept>::new(), evidence.sequence);
    let mut wanted = if evidence.forgotten { 0 } else { last };
    while wanted > 0 {
        let found = records.and_then(|records| records.get(&wanted)).filter(|kept| kept.head.before < wanted);
        let Some(kept) = found else { break };
        chain.push_front(*kept);
        wanted = if stands_for_all(kept) { 0 } else { kept.head.before };
    }
    // What the next one names as the one before it, where nothing is missing.
    let mut end = (wanted == 0).then(|| chain.back().map_or(0, name_for_next));
    if end.is_none() {
        chain.clear();
    }
    let is_broken = end.is_none();
    loop {
        let behind = || {
            let range = (Bound::Excluded(last), Bound::Unbounded);
            records.into_iter().flat_map(move |records| records.range(range)).map(|(_, kept)| kept).rev()
        };
        // Of two that name the same one before them the newer one counts: the other was refused.
        let next = behind().find(|kept| Some(kept.head.before) == end);
        let Some(next) = next.or_else(|| behind().find(|kept| stands_for_all(kept))) else { break };
        if stands_for_all(next) {
            chain.clear();
        }
        chain.push_back(*next);
        (last, end) = (next.head.sequence, Some(name_for_next(next)));
    }
    if is_broken && chain.is_empty() { Err(Broken) } else { Ok(chain) }
}

/// Whatever is missing before it: nothing of that counts.
fn stands_for_all(kept: &Kept) -> bool {
    matches!(kept.head.kind, Kind::Base | Kind::Forgotten)
}

/// What the next one of the channel names as the one before it: who was forgotten begins anew.
fn name_for_next(kept: &Kept) -> u64 {
    if kept.head.kind == Kind::Forgotten { 0 } else { kept.head.sequence }
}
