//! The JSON of blocks, and of the way from genesis to a configuration, written slice by slice. What is written here is what
//! serde writes of [`client::api::BlockView`], [`client::api::Page`], [`ledger_classes::formats::proof::Trust`],
//! [`ledger_classes::formats::proof::Proof`] and [`ledger_classes::formats::proof::StateProof`]: tests compare the two.

use super::{
    answer::{Pieces, Slices, there},
    carried::{carries_act, decoded},
    reading::Failed,
};
use crate::{
    api::budget::{Held, Purse, Use},
    limits::{LINKS_AT_ONCE, PAGE_BYTES_MAX, SLICE_BYTES, SLICE_READ_BYTES},
    problem::{ApiError, Kind},
};
use channel_actors::{CommittedBlock, Proven, Reader};
use client::{
    api::{BatchAnswer, ReceiptView, TransactionView, tells_why},
    verify::decode_payload,
};
use ledger_classes::formats::proof::StateEvidence;
use ledger_classes::formats::rights::Rights;
use ledger_classes::formats::transaction::ENVELOPE_BYTES_MAX;
use ledger_classes::limits::TRUST_LINKS_MAX;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use std::{sync::Arc, vec};

/// A block as JSON. What does not decode is left out, which the store's own checks make impossible.
pub(super) struct BlockWriter {
    block: Arc<CommittedBlock>,
    rights: Rights,
    /// Transactions, and then timers, that were looked at.
    at: usize,
    begun: bool,
    /// Whether the list that is being written has an item.
    some: bool,
    withheld: u32,
}

impl BlockWriter {
    pub(super) const fn new(block: Arc<CommittedBlock>, rights: Rights) -> Self {
        Self { block, rights, at: 0, begun: false, some: false, withheld: 0 }
    }

    fn item<T: serde::Serialize>(&mut self, item: &T, out: &mut Pieces) -> Result<(), Failed> {
        if std::mem::replace(&mut self.some, true) {
            out.text(",")?;
        }
        out.json(item)
    }

    /// Writes up to about `end` bytes of the whole answer. True once the block is written.
    pub(super) fn write(&mut self, out: &mut Pieces, end: usize) -> Result<bool, Failed> {
        let committed = Arc::clone(&self.block);
        let block = &committed.block;
        let (transactions, timers) = (block.transactions.len(), committed.timers());
        if !std::mem::replace(&mut self.begun, true) {
            out.text("{\"hash\":")?;
            out.json(&committed.header_hash)?;
            out.text(",\"header\":")?;
            out.json(&block.header)?;
            out.text(",\"seal\":")?;
            out.json(&block.seal)?;
            out.text(",\"transactions\":[")?;
        }
        let mut looked = 0;
        while self.at < transactions {
            if out.total() >= end || looked >= SLICE_READ_BYTES {
                return Ok(false);
            }
            let at = self.at;
            self.at += 1;
            let (Some(bytes), Some(receipt)) = (block.transactions.get(at), committed.receipts.get(timers + at)) else {
                continue;
            };
            looked += bytes.len();
            let Some((sender, transaction)) = decoded(bytes) else { continue };
            if carries_act(&transaction) && !self.rights.reads_acts() {
                self.withheld += 1;
                continue;
            }
            let (id, receipt) = (receipt.head.id, ReceiptView::new(receipt, self.rights));
            self.item(&TransactionView { id, sender, transaction, receipt }, out)?;
        }
        if self.at == transactions {
            self.at += 1;
            self.some = false;
            out.text(&format!("],\"withheld\":{},\"timers\":[", self.withheld))?;
        }
        while let Some(receipt) =
            committed.receipts.get(self.at - transactions - 1).filter(|_| self.at - transactions <= timers)
        {
            if out.total() >= end {
                return Ok(false);
            }
            self.at += 1;
            self.item(&ReceiptView::new(receipt, self.rights), out)?;
        }
        out.text("]}")?;
        Ok(true)
    }
}

/// One block, which counts against the budget while it is being written.
pub(super) struct OneBlock {
    pub(super) purse: Purse,
    pub(super) rights: Rights,
    pub(super) height: u64,
    pub(super) current: Option<(BlockWriter, Held)>,
}

impl Slices for OneBlock {
    fn next(&mut self, reader: Option<&Reader<'_>>, out: &mut Pieces) -> Result<bool, Failed> {
        let end = out.total() + SLICE_BYTES;
        if self.current.is_none() {
            let block = there(reader)?.block(self.height)?.ok_or_else(|| ApiError::from(Kind::BlockUnknown))?;
            let mut held = self.purse.hold(Use::Answers);
            held.grow(block.bytes).map_err(ApiError::from)?;
            self.current = Some((BlockWriter::new(block, self.rights), held));
        }
        let written = self.current.as_mut().map_or(Ok(true), |(writer, _)| writer.write(out, end))?;
        Ok(!written)
    }
}

/// A page of blocks: it ends by their number or by the bytes that were written, and has one block at least.
pub(super) struct BlocksPage {
    pub(super) purse: Purse,
    pub(super) rights: Rights,
    /// The channel's last block when it was asked.
    pub(super) height: u64,
    pub(super) from: u64,
    /// The block that comes next.
    pub(super) at: u64,
    /// Behind the last block that is asked for.
    pub(super) end: u64,
    pub(super) current: Option<(BlockWriter, Held)>,
    pub(super) begun: bool,
}

impl Slices for BlocksPage {
    fn next(&mut self, reader: Option<&Reader<'_>>, out: &mut Pieces) -> Result<bool, Failed> {
        let until = out.total() + SLICE_BYTES;
        if !std::mem::replace(&mut self.begun, true) {
            out.text(&format!("{{\"height\":{},\"items\":[", self.height))?;
        }
        loop {
            if let Some((writer, _)) = &mut self.current {
                if !writer.write(out, until)? {
                    return Ok(true);
                }
                self.current = None;
                self.at += 1;
            }
            if self.at >= self.end || out.total() >= PAGE_BYTES_MAX {
                break;
            }
            if out.total() >= until {
                return Ok(true);
            }
            let Some(block) = there(reader)?.block(self.at)? else { break };
            let mut held = self.purse.hold(Use::Answers);
            match held.grow(block.bytes) {
                Ok(()) => {}
                Err(used_up) if self.at == self.from => return Err(ApiError::from(used_up).into()),
                // What there is room for; the rest is another page.
                Err(_) => break,
            }
            if self.at > self.from {
                out.text(",")?;
            }
            self.current = Some((BlockWriter::new(block, self.rights), held));
        }
        out.text("]")?;
        if self.at > self.from && self.at <= self.height {
            out.text(&format!(",\"next\":\"{}\"", self.at))?;
        }
        out.text("}")?;
        Ok(false)
    }
}

/// The way from genesis to those who have sealed a block. Of more than [`TRUST_LINKS_MAX`] changes the newest:
/// enough for whoever trusts one of those headers, while an error here would say that the store is broken.
pub(super) struct TrustWriter {
    /// The change that is looked for next.
    below: u64,
    /// Changes, newest first.
    heights: Vec<u64>,
    begun: bool,
    some: bool,
}

impl TrustWriter {
    /// The way to those who seal since the block at a height.
    pub(super) const fn new(orderers_since: u64) -> Self {
        Self { below: orderers_since, heights: Vec::new(), begun: false, some: false }
    }

    fn write(&mut self, reader: &Reader<'_>, out: &mut Pieces, end: usize) -> Result<bool, Failed> {
        let mut links = 0;
        while self.below > 0 && !self.begun && self.heights.len() < TRUST_LINKS_MAX {
            if links == LINKS_AT_ONCE {
                return Ok(false);
            }
            links += 1;
            self.heights.push(self.below);
            self.below = reader.change_below(self.below)?;
        }
        if !std::mem::replace(&mut self.begun, true) {
            out.text("{\"genesis\":")?;
            out.json(&reader.genesis()?)?;
            out.text(",\"links\":[")?;
        }
        while let Some(height) = self.heights.last().copied() {
            if out.total() >= end || links == LINKS_AT_ONCE {
                return Ok(false);
            }
            links += 1;
            if std::mem::replace(&mut self.some, true) {
                out.text(",")?;
            }
            out.json(&*reader.link(height)?)?;
            self.heights.pop();
        }
        out.text("]}")?;
        Ok(true)
    }
}

/// The way to those who may seal the next block.
#[derive(Default)]
pub(super) struct TrustSlices(Option<TrustWriter>);

impl Slices for TrustSlices {
    fn next(&mut self, reader: Option<&Reader<'_>>, out: &mut Pieces) -> Result<bool, Failed> {
        let (reader, end) = (there(reader)?, out.total() + SLICE_BYTES);
        let writer = match &mut self.0 {
            Some(writer) => writer,
            none => none.insert(TrustWriter::new(reader.orderers_since()?)),
        };
        Ok(!writer.write(reader, out, end)?)
    }
}

/// A proof of what a key has in the state.
pub(super) struct StateSlices {
    pub(super) key: Vec<u8>,
    pub(super) found: Option<(StateEvidence, TrustWriter)>,
}

impl Slices for StateSlices {
    fn next(&mut self, reader: Option<&Reader<'_>>, out: &mut Pieces) -> Result<bool, Failed> {
        let (reader, end) = (there(reader)?, out.total() + SLICE_BYTES);
        if self.found.is_none() {
            let since = reader.change_below(reader.height())?;
            self.found = Some((reader.proven_state(&self.key)?, TrustWriter::new(since)));
            out.text("{\"version\":1,\"trust\":")?;
        }
        let Some((proven, trust)) = &mut self.found else { return Ok(false) };
        if !trust.write(reader, out, end)? {
            return Ok(true);
        }
        out.text(",\"state\":")?;
        out.json(&*proven)?;
        out.text("}")?;
        Ok(false)
    }
}

/// A proof of a transaction, as far as its reader may know.
pub(super) struct ProofSlices {
    pub(super) id: Hash,
    pub(super) later: Option<u64>,
    /// Whether every class may be read.
    pub(super) reads_all: bool,
    /// What the reader may.
    pub(super) rights: Rights,
    pub(super) found: Option<(Proven, TrustWriter)>,
}

impl ProofSlices {
    fn find(&self, reader: &Reader<'_>) -> Result<Proven, Failed> {
        let unknown = || ApiError::from(Kind::TransactionUnknown);
        let height = reader.height_of(&self.id)?.ok_or_else(unknown)?;
        if self.later.is_some_and(|later| later <= height || later > reader.height()) {
            let detail = format!("later: above {height} and at most {}", reader.height());
            return Err(ApiError::new(Kind::InvalidParameter, detail).into());
        }
        let mut proven = reader.proven(&self.id, self.later)?.ok_or_else(unknown)?;
        let carried = proven.evidence.transaction.as_ref();
        let carried = carried.and_then(|carried| codec::decode(&carried.envelope.0, ENVELOPE_BYTES_MAX).ok());
        let has_act =
            carried.and_then(|envelope| decode_payload(&envelope)).is_none_or(|carried| carries_act(&carried));
        if !self.reads_all || (has_act && !self.rights.reads_acts()) {
            // The payload says what was done in every class; the receipt's head proves the outcome without it.
            proven.evidence.transaction = None;
            proven.evidence.event = None;
        }
        let found = reader.transaction(&self.id)?.ok_or_else(unknown)?.receipt;
        if !tells_why(found.head.code, &found.detail, self.rights) {
            proven.evidence.detail = None;
        }
        Ok(proven)
    }
}

impl Slices for ProofSlices {
    fn next(&mut self, reader: Option<&Reader<'_>>, out: &mut Pieces) -> Result<bool, Failed> {
        let (reader, end) = (there(reader)?, out.total() + SLICE_BYTES);
        if self.found.is_none() {
            let proven = self.find(reader)?;
            let trust = TrustWriter::new(proven.orderers_since);
            self.found = Some((proven, trust));
            out.text("{\"version\":1,\"trust\":")?;
        }
        let Some((proven, trust)) = &mut self.found else { return Ok(false) };
        if !trust.write(reader, out, end)? {
            return Ok(true);
        }
        out.text(",\"evidence\":")?;
        out.json(&proven.evidence)?;
        if let Some(later) = &proven.later {
            out.text(",\"later\":")?;
            out.json(later)?;
        }
        out.text("}")?;
        Ok(false)
    }
}

/// What became of the transactions of a batch, in JSON or binary: each is encoded when its turn comes, and what it holds
/// counts until then.
pub(super) struct Outcomes<T, W> {
    left: vec::IntoIter<T>,
    /// Writes one of them, and tells the bytes that it held.
    write: W,
    held: Held,
    /// What comes before the first one, between two, and at the end.
    form: (Vec<u8>, &'static str, &'static str),
    begun: bool,
}

impl<T, W: FnMut(T, &mut Pieces) -> Result<usize, Failed>> Outcomes<T, W> {
    /// Outcomes in order, as a list in JSON.
    pub(super) fn in_json(all: Vec<T>, write: W, held: Held) -> Self {
        Self { left: all.into_iter(), write, held, form: (b"[".to_vec(), ",", "]"), begun: false }
    }

    /// Outcomes in order, as a [`BatchAnswer`].
    pub(super) fn binary(all: Vec<T>, write: W, held: Held) -> Self {
        // An answer to nothing, and in place of its count the true one.
        let mut before = codec::encode(&BatchAnswer { version: 1, results: Vec::new() });
        before.truncate(before.len() - size_of::<u64>());
        before.extend((all.len() as u64).to_le_bytes());
        Self { left: all.into_iter(), write, held, form: (before, "", ""), begun: false }
    }

    /// Writes outcomes up to a slice, and adds what they held to `freed`. False once all are written.
    fn fill(&mut self, out: &mut Pieces, freed: &mut usize) -> Result<bool, Failed> {
        let end = out.total() + SLICE_BYTES;
        let (before, between, after) = &self.form;
        if !self.begun {
            out.raw(before)?;
        }
        while out.total() < end {
            let Some(outcome) = self.left.next() else {
                self.begun = true;
                out.text(after)?;
                return Ok(false);
            };
            if std::mem::replace(&mut self.begun, true) {
                out.text(between)?;
            }
            *freed += (self.write)(outcome, out)?;
        }
        Ok(true)
    }
}

impl<T, W> Slices for Outcomes<T, W>
where
    T: Send + 'static,
    W: FnMut(T, &mut Pieces) -> Result<usize, Failed> + Send + 'static,
{
    fn next(&mut self, _: Option<&Reader<'_>>, out: &mut Pieces) -> Result<bool, Failed> {
        let mut freed = 0;
        let more = self.fill(out, &mut freed);
        self.held.shrink(freed);
        more
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::budget::{Budget, Payer};
    use crate::net::standing::Standing;
    use channel_actors::Asker;
    use client::api::{BatchResult, Outcome, SubmissionStatus};

    /// Binary answers were encoded whole, on a thread that serves connections, and counted nowhere.
    #[test]
    fn outcomes_of_a_batch_come_in_slices_and_as_one_would_write_the_whole() {
        let outcome = |number: u8| Outcome {
            id: Some(Hash([number; 32])),
            status: SubmissionStatus::Accepted,
            receipt: None,
            problem: None,
        };
        let result = |number: u8| BatchResult::Refused {
            id: Hash([number; 32]),
            problem: "malformed".into(),
            detail: "x".repeat(usize::from(number)),
            retry_after_ms: 0,
        };
        let budget = Budget::new(1 << 20);
        let payer = Payer { standing: Standing::Member, asker: Asker::from_number(1), channel: None };
        let held = |count: usize| {
            let mut held = budget.hold(payer, Use::Answers);
            held.add(count * 100);
            held
        };
        for count in [0, 1, 2, 5_000] {
            let all: Vec<Outcome> = (0..count).map(|number| outcome((number % 251) as u8)).collect();
            let results: Vec<BatchResult> = (0..count).map(|number| result((number % 251) as u8)).collect();
            let json = |outcome: Outcome, out: &mut Pieces| out.json(&outcome).map(|()| 100);
            let binary = |result: BatchResult, out: &mut Pieces| out.raw(&codec::encode(&result)).map(|()| 100);
            let both: [(Box<dyn Slices>, Vec<u8>); 2] = [
                (Box::new(Outcomes::in_json(all.clone(), json, held(count))), serde_json::to_vec(&all).unwrap()),
                (
                    Box::new(Outcomes::binary(results.clone(), binary, held(count))),
                    codec::encode(&BatchAnswer { version: 1, results }),
                ),
            ];
            // What the other one holds.
            let mut others = count * 100;
            for (mut slices, encoded) in both {
                let (mut out, mut turns, mut before) = (Pieces::unpaid(), 1, 0);
                while slices.next(None, &mut out).ok().unwrap() {
                    assert!(out.total() - before < SLICE_BYTES + 1_000);
                    (turns, before) = (turns + 1, out.total());
                }
                assert_eq!(turns, encoded.len() / SLICE_BYTES + 1, "{count}");
                assert!(out.all() == encoded, "{count}");
                assert_eq!(budget.used(Use::Answers), others, "what is written holds nothing more");
                others = 0;
            }
        }
    }
}
