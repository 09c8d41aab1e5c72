//! One peer orders alone: its signature is the seal. For one machine, and for channels whose members trust one
//! operator with the order but not with the content, which every seal and proof still binds.

use super::{OrderingEffect, OrderingEngine, OrderingInput, Sealing};

/// The engine. It promises nothing to anybody, so it has no records: the block with its seal is all.
pub struct Solo;

impl OrderingEngine for Solo {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        let OrderingInput::Propose { block } = input else { return Vec::new() };
        let height = block.header.height;
        vec![OrderingEffect::Final { height }, OrderingEffect::Seal { height, seal: Sealing::Alone }]
    }

    fn discards(&self) -> bool {
        false
    }
}
