//! An ordering engine that does what `solo` never does: it keeps records, says what it promises only after them, learns of
//! its own messages late, and loses blocks that were executed. So the simulator runs all that the machine has for engines.

use super::Random;
use crate::pipeline::ordering::{OrderingEffect, OrderingEngine, OrderingInput, Sealing, Ticket};
use ledger_classes::formats::block::Seal;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::hash::Hash;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Fickle {
    key: Arc<SigningKey>,
    random: Random,
    ticket: Ticket,
    /// Blocks under way, ascending: the record of each, its height and its hash.
    proposed: VecDeque<(Ticket, u64, Hash)>,
    discards: Arc<AtomicU64>,
}

impl Fickle {
    fn discard(&mut self, from: u64) -> OrderingEffect {
        self.proposed.clear();
        self.discards.fetch_add(1, Ordering::Relaxed);
        OrderingEffect::Discard { from }
    }
}

impl Fickle {
    pub(super) const fn new(key: Arc<SigningKey>, seed: u64, discards: Arc<AtomicU64>) -> Self {
        Self { key, random: Random(seed), ticket: 0, proposed: VecDeque::new(), discards }
    }
}

impl OrderingEngine for Fickle {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        match input {
            OrderingInput::Propose { block } => {
                self.ticket += 1;
                let (ticket, height) = (self.ticket, block.header.height);
                self.proposed.push_back((ticket, height, block.hash));
                // It hears of it itself, when it may be said.
                let (to, bytes) = (self.key.public().address(), ticket.to_le_bytes().to_vec());
                let record = block.hash.0.to_vec();
                vec![
                    OrderingEffect::Send { to, bytes, after: Some(ticket) },
                    OrderingEffect::Persist { ticket, record, base: false },
                ]
            }
            OrderingInput::Message { bytes, .. } => {
                let said = bytes.try_into().map_or(0, Ticket::from_le_bytes);
                let mut effects = Vec::new();
                // One message may overtake another, whose record is on the disk before.
                while let Some((_, height, hash)) = self.proposed.pop_front_if(|(ticket, _, _)| *ticket <= said) {
                    if self.random.one_in(8) {
                        effects.push(self.discard(height));
                        break;
                    }
                    let seal = Sealing::Signed(Seal::of_one(&self.key, &hash));
                    effects.extend([OrderingEffect::Final { height }, OrderingEffect::Seal { height, seal }]);
                }
                effects
            }
            OrderingInput::Installed { .. } => {
                self.proposed.clear();
                Vec::new()
            }
            OrderingInput::Executed { .. }
            | OrderingInput::Persisted { .. }
            | OrderingInput::Appended { .. }
            | OrderingInput::Tick { .. }
            | OrderingInput::Configure { .. } => Vec::new(),
        }
    }
}
