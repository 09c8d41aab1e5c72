//! The bytes of a record, and which are found in a segment (docs/formats/peer-log.md).
//!
//! Always: what is found was written by this peer, under the key of its segment, whole and at this place of the file.

use crate::store::file::check::{CHECK_BYTES, Check, check, under};
use crate::store::log::pages::{Key, SECTOR};
use ledger_classes::primitives::hash::Hash;
use std::collections::BTreeMap;

/// First byte of a record, and of the head of a segment.
pub(super) const FORMAT: u8 = 1;
/// Version, kind, channel, three sequence numbers, length, check of the body, secret check.
pub(super) const HEAD_BYTES: usize = 1 + 1 + 32 + 3 * 8 + 4 + 2 * CHECK_BYTES;
/// Of a channel in a list of what is on the disk.
const ENTRY_BYTES: usize = 32 + 8 + 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One more of its channel.
    Record,
    /// Stands for all of its channel before it.
    Base,
    /// The channel has none any more.
    Forgotten,
    /// Of no channel: a list of records that were on the disk before it was written.
    Synced,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Record,
            1 => Self::Base,
            2 => Self::Forgotten,
            3 => Self::Synced,
            _ => return None,
        })
    }
}

/// What is known of a record beside its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) channel: Hash,
    /// Which record of the log it is: each has its own, ascending. One that is copied keeps it.
    pub(super) sequence: u64,
    /// The one before it of its channel; 0 for the first.
    pub(super) before: u64,
    /// The last one of its channel that was on the disk when it was written; 0 for none.
    pub(super) durable: u64,
}

impl Head {
    /// Bytes that one of two copies of a record takes.
    pub(super) const fn copy_bytes(body: usize) -> usize {
        (HEAD_BYTES + body).next_multiple_of(SECTOR)
    }
}

/// Appends a record, up to the end of its last sector.
pub(super) fn encode(head: &Head, body: &[u8], key: &Key, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.extend_from_slice(&[FORMAT, head.kind as u8]);
    bytes.extend_from_slice(&head.channel.0);
    for number in [head.sequence, head.before, head.durable] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&u32::try_from(body.len()).expect("a record is bounded").to_le_bytes());
    bytes.extend_from_slice(&check(key, body));
    let checksum = under(key, &bytes[start..]);
    bytes.extend_from_slice(&checksum);
    bytes.extend_from_slice(body);
    bytes.resize(start + Head::copy_bytes(body.len()), 0);
}

/// The record that begins here, if one does and is whole.
pub(super) fn decode<'a>(bytes: &'a [u8], key: &Key) -> Option<(Head, &'a [u8])> {
    if bytes.first() != Some(&FORMAT) {
        return None;
    }
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let (content, checksum) = head.split_last_chunk::<CHECK_BYTES>()?;
    if under(key, content) != *checksum {
        return None;
    }
    let (&[_, kind], fields) = content.split_first_chunk()?;
    let (channel, fields) = fields.split_first_chunk()?;
    let (sequence, fields) = fields.split_first_chunk()?;
    let (before, fields) = fields.split_first_chunk()?;
    let (durable, fields) = fields.split_first_chunk()?;
    let (length, body_check) = fields.split_first_chunk()?;
    let body = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    // Under the key, too: whoever chooses bytes of a body must not choose some that are whole when a part of them is not.
    let body_check: &Check = body_check.try_into().ok()?;
    if check(key, body) != *body_check {
        return None;
    }
    let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let head = Head {
        kind: Kind::of(kind)?,
        channel: Hash(*channel),
        sequence: number(sequence),
        before: number(before),
        durable: number(durable),
    };
    // Numbers ascend: whatever it names came before it.
    Some((head, body)).filter(|(head, _)| head.before < head.sequence && head.durable < head.sequence)
}

/// All whole records of a segment with the places of their copies, which come one by one.
pub(super) fn scan(bytes: &[u8], key: &Key, mut found: impl FnMut(Head, usize, &[u8])) {
    let mut at = 0;
    while at < bytes.len() {
        let whole = decode(&bytes[at..], key).map(|(head, body)| (head, body, at + Head::copy_bytes(body.len())));
        match whole.filter(|(.., end)| *end <= bytes.len()) {
            Some((head, body, end)) => {
                found(head, at, body);
                at = end;
            }
            None => at += SECTOR,
        }
    }
}

/// That this record of a channel was on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) sequence: u64,
    /// It said that the channel has none any more.
    pub(super) forgotten: bool,
}

/// The body of a list of what was on the disk.
pub(super) fn encode_synced(synced: &BTreeMap<Hash, Evidence>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(synced.len() * ENTRY_BYTES);
    for (channel, evidence) in synced {
        bytes.extend_from_slice(&channel.0);
        bytes.extend_from_slice(&evidence.sequence.to_le_bytes());
        bytes.push(u8::from(evidence.forgotten));
    }
    bytes
}

/// What such a body says.
pub(super) fn decode_synced(body: &[u8]) -> impl Iterator<Item = (Hash, Evidence)> {
    body.chunks_exact(ENTRY_BYTES).filter_map(|entry| {
        let (channel, rest) = entry.split_first_chunk()?;
        let (sequence, forgotten) = rest.split_first_chunk()?;
        let evidence = Evidence { sequence: u64::from_le_bytes(*sequence), forgotten: forgotten == [1] };
        Some((Hash(*channel), evidence))
    })
}
