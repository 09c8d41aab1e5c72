//! Receipts: the outcome of one transaction or of one timer.
//!
//! Nothing here depends on words: code, detail and events do the telling, and words are made when they are shown.
//! A receipt's leaf in the block's receipt root holds a Merkle root over its events, not the events, so that one
//! event can be proven to a reader who may not see the others, and the hash of why it failed, not the reason. Each leaf is
//! blinded ([`crate::formats::blinding`]): what stands beside one tells nothing.

use crate::formats::blinding::{Blinded, Blinder};
use crate::formats::detail::Detail;
use crate::formats::event::Event;
use crate::formats::outcome::ResultCode;
use crate::merkle;
use crate::primitives::amount::Amount;
use crate::primitives::codec;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;

/// The provable part of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReceiptHead {
    /// Format version, 1.
    pub version: u8,
    /// The transaction's id; for a timer, the hash of its key and height.
    pub id: Hash,
    /// The block.
    pub height: u64,
    /// Position among the block's receipts. Receipts of timers come first.
    pub index: u32,
    /// Result code, see [`ResultCode`].
    pub code: u16,
    /// What the sender paid.
    pub fee: Amount,
    /// Events that follow.
    pub events: u32,
    /// RFC 9162 root over the events' encodings, each blinded. Zero until the block is made ([`Receipt::blind`]).
    pub events_root: Hash,
    /// Hash of why it failed ([`Detail`]), blinded; none if everything was done, and until the block is made.
    pub detail: Option<Hash>,
}

/// A receipt with its events.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// What the receipt root covers.
    pub head: ReceiptHead,
    /// Why it failed, as far as the code leaves that open.
    pub detail: Detail,
    /// The events, each in its binary encoding, as the events root covers them.
    pub events: Vec<Vec<u8>>,
}

impl Receipt {
    /// Makes a receipt that no block holds yet.
    pub fn new(
        id: Hash,
        height: u64,
        index: u32,
        code: ResultCode,
        detail: Detail,
        fee: Amount,
        events: &[Event],
    ) -> Self {
        Self::of_encoded(id, height, index, code, detail, fee, events.iter().map(codec::encode).collect())
    }

    /// Makes such a receipt of events in their encoding.
    pub(crate) fn of_encoded(
        id: Hash,
        height: u64,
        index: u32,
        code: ResultCode,
        detail: Detail,
        fee: Amount,
        events: Vec<Vec<u8>>,
    ) -> Self {
        let head = ReceiptHead {
            version: 1,
            id,
            height,
            index,
            code: code.number(),
            fee,
            events: u32::try_from(events.len()).expect("events are limited"),
            events_root: Hash::ZERO,
            detail: None,
        };
        Self { head, detail, events }
    }

    /// Why it failed, in words; empty if it did not fail.
    pub fn message(&self) -> String {
        match ResultCode::from_number(self.head.code) {
            Some(ResultCode::Done) => String::new(),
            Some(code) => self.detail.words(code),
            None => self.detail.to_string(),
        }
    }

    /// Hashes events and detail as those of a block with these blindings: the head is then the one that its receipt root
    /// covers.
    pub fn blind(&mut self, blinder: &Blinder) {
        self.head.events_root = merkle::root(&self.event_leaves(blinder));
        let place = Blinded::Detail { receipt: self.head.index };
        self.head.detail = (!self.is_done()).then(|| blinder.leaf(place, &codec::encode(&self.detail)));
    }

    /// The leaf hash of this receipt in the receipt root.
    pub fn leaf(&self, blinder: &Blinder) -> Hash {
        blinder.leaf(Blinded::Receipt { index: self.head.index }, &codec::encode(&self.head))
    }

    /// Leaf hashes of the events in the events root.
    pub fn event_leaves(&self, blinder: &Blinder) -> Vec<Hash> {
        let leaf =
            |(index, event): (u32, &Vec<u8>)| blinder.leaf(Blinded::Event { receipt: self.head.index, index }, event);
        (0u32..).zip(&self.events).map(leaf).collect()
    }

    /// The events, decoded. The store's bytes may be damaged, so this can fail.
    pub fn decoded_events(&self) -> Result<Vec<Event>, codec::DecodeError> {
        self.events.iter().map(|bytes| decode_event(bytes)).collect()
    }

    /// Whether the transaction did what it says.
    pub const fn is_done(&self) -> bool {
        self.head.code == 0
    }
}

/// Decodes one event.
pub fn decode_event(bytes: &[u8]) -> Result<Event, codec::DecodeError> {
    codec::decode(bytes, 1024 * 1024)
}
