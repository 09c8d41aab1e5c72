//! One peer orders alone: its signature is the seal. For one machine, and for channels whose members trust one
//! operator with the order but not with the content, which every seal and proof still binds.

use super::{OrderingEffect, OrderingEngine, OrderingInput};
use ledger_classes::formats::block::Seal;
use ledger_classes::keys::SigningKey;
use std::sync::Arc;

/// The engine. It promises nothing to anybody, so it has no records: the block with its seal is all.
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
        let OrderingInput::Propose { block } = input else { return Vec::new() };
        let (height, seal) = (block.header.height, Seal::of_one(&self.key, &block.hash));
        vec![OrderingEffect::Final { height }, OrderingEffect::Seal { height, seal }]
    }

    fn discards(&self) -> bool {
        false
    }
}
