//! What is checked of several peers: the blocks that they tell, the answers that they give, and what is left at the end.

use super::super::disk::{Machine, STATE};
use super::super::effects::answers_of;
use super::super::world::opened;
use super::Several;
use crate::block::refusal::SubmitRefusal;
use crate::pipeline::answer::SubmitResult;
use crate::store::ChannelStore;
use ledger_classes::formats::block::Block;
use ledger_classes::formats::transaction::TransactionError;
use ledger_classes::primitives::hash::Hash;

impl Several {
    /// Takes what a peer tells of blocks.
    pub(super) fn blocks(&mut self, number: usize) -> Result<(), String> {
        let Some(channel) = &self.peers[number].channel else { return Ok(()) };
        let place = channel.place.clone();
        while self.peers[number].told < place.shared.tip().height {
            let height = self.peers[number].told + 1;
            let block = place.shared.ring.block(height).ok_or("a block that was told is not published")?;
            self.peers[number].told = height;
            match self.chain.get(usize::try_from(height).map_err(|error| error.to_string())?) {
                Some(hash) if *hash == block.header_hash => continue,
                Some(_) => return Err(format!("peer {number} has another block {height}")),
                None => {}
            }
            let ids = block.receipts.iter().map(|receipt| receipt.head.id).collect();
            self.told(&block.block, ids)?;
        }
        Ok(())
    }

    /// Takes over what a life of a peer has counted, as it ends.
    pub(super) fn counts(&mut self, number: usize) {
        let Some(channel) = &self.peers[number].channel else { return };
        let counted = |what| channel.place.metrics.ahead_so_far(what);
        self.ahead = (self.ahead.0 + counted("withheld"), self.ahead.1 + counted("refused"));
    }

    /// The next block of the chain.
    pub(super) fn told(&mut self, block: &Block, ids: Vec<Hash>) -> Result<(), String> {
        let (height, hash, proposer) = (block.header.height, block.header.hash(), block.header.proposer);
        let witnesses: usize = block.batches.iter().map(|batch| batch.witnesses.len()).sum();
        self.vouched = (self.vouched.0 + block.batches.len() as u64, self.vouched.1 + witnesses as u64);
        if height != self.height() + 1 {
            return Err(format!("block {height} was told after block {}", self.height()));
        }
        let by = self.peers.iter().position(|peer| peer.key.public().address() == proposer);
        if !self.clocks.have_come_to(block.header.time, by) {
            return Err(format!("block {height} was accepted before anybody's clock was at its time"));
        }
        self.chain.push(hash);
        *self.proposers.entry(proposer).or_default() += 1;
        self.say(format_args!("block {height} {hash} of {}", ids.len()));
        if let Some(id) = ids.iter().find(|id| self.over.contains(*id)) {
            return Err(format!("{id} is in block {height}, and was refused as one that is in none"));
        }
        let early: Vec<_> = self.early.extract_if(.., |_, early| *early <= height).collect();
        if let Some((id, _)) = early.iter().find(|(id, _)| !ids.contains(id)) {
            return Err(format!("{id} was told as committed in block {height}, and is not in it"));
        }
        match ids.into_iter().find(|id| self.included.insert(*id, height).is_some()) {
            None => Ok(()),
            Some(id) => Err(format!("{id} is in block {height}, and in one before")),
        }
    }

    pub(super) fn answers(&mut self) -> Result<(), String> {
        for mut out in std::mem::take(&mut self.out) {
            let Some(results) = answers_of(&mut out.submission) else {
                self.out.push(out);
                continue;
            };
            for result in results {
                match result {
                    SubmitResult::Committed { id, receipt } => {
                        let height = receipt.head.height;
                        match self.included.get(&id) {
                            Some(included) if *included == height => {}
                            None if height == self.height() + 1 => {
                                self.early.insert(id, height);
                            }
                            _ => return Err(format!("{id} was told as committed in block {height}")),
                        }
                        self.knows((out.client, out.number), Some(height))?;
                    }
                    other if self.again => return Err(format!("what has its outcome is answered with {other:?}")),
                    SubmitResult::Refused {
                        refusal: SubmitRefusal::Transaction(TransactionError::Expired(_)), ..
                    } => {
                        let id = self.prepared.envelopes[out.client][out.number].0;
                        if let Some(height) = self.included.get(&id) {
                            return Err(format!("{id} is in block {height}, and is refused as one that is in none"));
                        }
                        self.over.insert(id);
                        self.knows((out.client, out.number), None)?;
                    }
                    // While blocks come one will tell.
                    SubmitResult::Refused { refusal: SubmitRefusal::OutcomeUnknown, .. } => {
                        let which = (out.client, out.number);
                        if self.whole && !self.known.contains_key(&which) {
                            self.undecided.insert(which);
                        }
                    }
                    SubmitResult::Refused {
                        refusal: SubmitRefusal::Stopped { .. } | SubmitRefusal::Busy { .. },
                        ..
                    } => {}
                    other => return Err(format!("an answer that nobody expects: {other:?}")),
                }
            }
        }
        Ok(())
    }

    fn knows(&mut self, which: (usize, usize), height: Option<u64>) -> Result<(), String> {
        self.undecided.remove(&which);
        match self.known.insert(which, height) {
            Some(before) if before != height => Err(format!("{which:?} is in {before:?}, and then in {height:?}")),
            _ => Ok(()),
        }
    }

    /// Everybody has an answer, and all peers have all blocks.
    pub(super) fn end(&mut self) -> Result<(), String> {
        if let Some((id, height)) = self.early.first_key_value() {
            return Err(format!("{id} was told as committed in block {height}, which there is not"));
        }
        let mut roots = Vec::new();
        (0..self.peers.len()).for_each(|number| self.counts(number));
        for peer in &mut self.peers {
            let channel = peer.channel.take().ok_or("a peer is down at the end")?;
            let (held, _) = channel.place.credits.used();
            if held > 0 {
                return Err(format!("{held} credits are held, and nobody waits"));
            }
            let store = channel.place.store.clone();
            let root = |store: &ChannelStore| store.view().map(|view| view.tree().root());
            roots.push(root(&store).map_err(|error| error.to_string())?);
            let again = opened(&Machine::after(&peer.machine.live().without(STATE)), self.options)?;
            roots.push(root(&again.store).map_err(|error| error.to_string())?);
        }
        match roots.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(()),
            false => Err(format!("the peers have different states: {roots:?}")),
        }
    }
}
