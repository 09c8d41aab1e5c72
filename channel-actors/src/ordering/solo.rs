//! One peer orders alone: its signature is the seal. For one machine, and for channels whose members trust one
//! operator with the order but not with the content, which every seal and proof still binds.

use super::{OrderingEffect, OrderingEngine, OrderingInput};
use ledger_classes::block::Seal;
use ledger_classes::keys::SigningKey;
use std::sync::Arc;

/// The engine.
pub struct Solo {
    key: Arc<SigningKey>,
}

impl Solo {
    /// Seals with `key`.
    pub const fn new(key: Arc<SigningKey>) -> Self {
        Self { key }
    }
}

impl OrderingEngine for Solo {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        let OrderingInput::Propose { header, hash } = input;
        vec![OrderingEffect::Seal { height: header.height, seal: Seal::of_one(&self.key, &hash) }]
    }
}
