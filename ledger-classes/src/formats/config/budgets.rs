//! What a transaction and a block of one channel may cause, within [`crate::limits`]. How it is counted and what comes of it
//! is in `execution/budget.rs`.

use super::error::ConfigError;
use crate::formats::detail::{Detail, Part};
use crate::limits::{
    BLOCK_EVENTS, BLOCK_RECEIPT_BYTES, BLOCK_STEPS, BLOCK_UNITS_MIN, BLOCK_WRITTEN_BYTES, EVENTS_MAX, UNIT_EVENTS_MIN,
    UNIT_RECEIPT_BYTES_MAX, UNIT_RECEIPT_BYTES_MIN, UNIT_STEPS_MAX, UNIT_STEPS_MIN, UNIT_WRITTEN_BYTES_MAX,
    UNIT_WRITTEN_BYTES_MIN,
};
use crate::primitives::codec::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// An amount of each kind of cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Work, in steps of about a microsecond.
    pub steps: u32,
    /// Events.
    pub events: u32,
    /// Bytes of receipts with their events.
    pub receipt_bytes: u32,
    /// Bytes of keys and values written.
    pub written_bytes: u32,
}

impl Budget {
    const fn amounts(&self) -> [u64; 4] {
        [self.steps as u64, self.events as u64, self.receipt_bytes as u64, self.written_bytes as u64]
    }
}

/// The budgets of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// What one transaction or timer may cause: beyond, it fails.
    pub transaction: Budget,
    /// After how much no other transaction begins in a block; half of it for timers.
    pub block: Budget,
}

/// The most, which is also what a channel has unless somebody says otherwise.
const MOST: Budgets = Budgets {
    transaction: Budget {
        steps: UNIT_STEPS_MAX as u32,
        events: EVENTS_MAX as u32,
        receipt_bytes: UNIT_RECEIPT_BYTES_MAX as u32,
        written_bytes: UNIT_WRITTEN_BYTES_MAX as u32,
    },
    block: Budget {
        steps: BLOCK_STEPS as u32,
        events: BLOCK_EVENTS as u32,
        receipt_bytes: BLOCK_RECEIPT_BYTES as u32,
        written_bytes: BLOCK_WRITTEN_BYTES as u32,
    },
};

/// The least of a transaction: with less, people could not be revoked nor this be changed again.
const LEAST: Budget = Budget {
    steps: UNIT_STEPS_MIN as u32,
    events: UNIT_EVENTS_MIN as u32,
    receipt_bytes: UNIT_RECEIPT_BYTES_MIN as u32,
    written_bytes: UNIT_WRITTEN_BYTES_MIN as u32,
};

const _: () = assert!(BLOCK_RECEIPT_BYTES <= BLOCK_WRITTEN_BYTES && BLOCK_WRITTEN_BYTES <= u32::MAX as u64);

impl Default for Budgets {
    fn default() -> Self {
        MOST
    }
}

impl Budgets {
    /// The narrowest that a channel may have.
    pub const fn least() -> Self {
        let times = BLOCK_UNITS_MIN as u32;
        let block = Budget {
            steps: times * LEAST.steps,
            events: times * LEAST.events,
            receipt_bytes: times * LEAST.receipt_bytes,
            written_bytes: times * LEAST.written_bytes,
        };
        Self { transaction: LEAST, block }
    }

    /// Checks that what nobody may be kept from fits, that readers can take what fits, and that a block has room for several
    /// transactions.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        use Part::{
            BlockEvents, BlockReceiptBytes, BlockSteps, BlockWrittenBytes, TransactionEvents, TransactionReceiptBytes,
            TransactionSteps, TransactionWrittenBytes,
        };
        let unit = [TransactionSteps, TransactionEvents, TransactionReceiptBytes, TransactionWrittenBytes];
        let block = [BlockSteps, BlockEvents, BlockReceiptBytes, BlockWrittenBytes];
        let between = |part, least, most, found| match (least..=most).contains(&found) {
            true => Ok(()),
            false => Err(ConfigError(Detail::NotBetween { part, least, most, found })),
        };
        let (of_unit, of_block) = (self.transaction.amounts(), self.block.amounts());
        for place in 0..4 {
            let (least, most) = (LEAST.amounts()[place], MOST.transaction.amounts()[place]);
            between(unit[place], least, most, of_unit[place])?;
            let (least, most) = (BLOCK_UNITS_MIN * of_unit[place], MOST.block.amounts()[place]);
            between(block[place], least, most, of_block[place])?;
        }
        Ok(())
    }
}
