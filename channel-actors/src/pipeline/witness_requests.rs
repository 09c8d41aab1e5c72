//! What other peers ask this one to vouch for: how much of it is under way, and what was signed of late. A part of
//! [`super::witnesses`], and as pure.
//!
//! An honest peer has few batches open at a time, and asks for each again until it has its answer. So of each peer few are
//! verified at a time, one that is asked for again is verified once, and what was signed of late is answered without
//! verifying it anew. Whatever is beyond is refused and counted: whoever is honest asks again.
//!
//! Always: the bytes of what is under way are bounded, for each peer and for all of them together.

use crate::limits::{WITNESS_BATCHES_OPEN_MAX, WITNESS_REQUESTS_BYTES_MAX};
use ledger_classes::formats::block::{Batch, SealSignature};
use ledger_classes::keys::Address;
use std::collections::{BTreeMap, VecDeque};

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It is to be verified; [`Requests::done`] follows.
    Verify,
    /// It was signed of late.
    Signed(SealSignature),
    /// It is being verified.
    UnderWay,
    /// There is no room for it.
    Refused,
}

/// Those of one peer.
#[derive(Default)]
struct OfPeer {
    /// What is being verified, with the bytes of its request.
    under_way: Vec<(Batch, usize)>,
    /// What was signed last.
    signed: VecDeque<(Batch, SealSignature)>,
    /// It was said in the log that this peer asks for too much, or for what is not so.
    warned: bool,
}

impl OfPeer {
    fn warn(&mut self, from: &Address, what: &'static str) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(peer = %from, "{what}; the metric of witness requests counts what follows");
        }
    }
}

/// The requests of all peers.
#[derive(Default)]
pub(crate) struct Requests {
    of: BTreeMap<Address, OfPeer>,
    bytes: usize,
}

impl Requests {
    /// A peer that orders asks with a message of so many bytes.
    pub(crate) fn ask(&mut self, from: Address, batch: &Batch, bytes: usize) -> Asked {
        let of = self.of.entry(from).or_default();
        if let Some((_, signed)) = of.signed.iter().find(|(signed, _)| signed == batch) {
            return Asked::Signed(signed.clone());
        }
        if of.under_way.iter().any(|(under_way, _)| under_way == batch) {
            return Asked::UnderWay;
        }
        if of.under_way.len() >= WITNESS_BATCHES_OPEN_MAX {
            of.warn(&from, "a peer asks for more witnesses at a time than it may");
            return Asked::Refused;
        }
        // What others have under way is not this one's fault: one batch of each peer has room whatever they ask for.
        if !of.under_way.is_empty() && self.bytes + bytes > WITNESS_REQUESTS_BYTES_MAX {
            return Asked::Refused;
        }
        of.under_way.push((batch.clone(), bytes));
        self.bytes += bytes;
        Asked::Verify
    }

    /// A request was verified, and signed if it is right.
    pub(crate) fn done(&mut self, from: Address, batch: &Batch, signed: Option<&SealSignature>) {
        let Some(of) = self.of.get_mut(&from) else { return };
        let Some(place) = of.under_way.iter().position(|(under_way, _)| under_way == batch) else { return };
        let (batch, bytes) = of.under_way.swap_remove(place);
        self.bytes -= bytes;
        match signed {
            Some(signed) => {
                of.signed.push_back((batch, signed.clone()));
                if of.signed.len() > WITNESS_BATCHES_OPEN_MAX {
                    of.signed.pop_front();
                }
            }
            None => of.warn(&from, "a peer asks for a witness of what is not so"),
        }
    }

    /// Only these order from now on. What is under way of others is counted until it is done.
    pub(crate) fn retain(&mut self, orders: impl Fn(&Address) -> bool) {
        self.of.retain(|peer, of| !of.under_way.is_empty() || orders(peer));
    }
}
