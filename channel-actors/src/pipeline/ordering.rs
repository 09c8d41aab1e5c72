//! Ordering: what makes a proposed block final. An engine is a pure state machine behind a trait, without I/O, clock or
//! randomness of its own (a seed is given to one that needs it when it is made); the channel's machine gives it inputs and
//! has its effects done. Terms, rounds and views stay inside this folder.
//!
//! The machine sees to two things for every engine. Nothing that promises leaves before its record is on the disk
//! ([`OrderingEffect::Send`] waits for its ticket). And a block that does not become final leaves no trace: its transactions
//! wait again, in their order, with their waiters and credits ([`OrderingEffect::Discard`]).

mod solo;

pub use crate::block::sealing::Sealing;
pub use solo::Solo;

use bytes::Bytes;
use ledger_classes::chain::ExecutedBlock;
use ledger_classes::formats::config::OrderingPeer;
use ledger_classes::keys::Address;
use ledger_classes::primitives::time::Time;
use std::sync::Arc;

/// Names a record of an engine: the engine numbers them, ascending.
pub type Ticket = u64;

/// Inputs of an engine.
#[derive(Clone, Debug)]
pub enum OrderingInput<'a> {
    /// This peer has executed a block above those under way, and wants it to be the next one.
    Propose {
        /// The block, with all that others need of it.
        block: &'a Arc<ExecutedBlock>,
    },
    /// A block that [`OrderingEffect::Execute`] named was executed above those under way.
    Executed {
        /// Its height.
        height: u64,
        /// Whether it is a valid one there, and its time has come. It is under way then, and may become final; else nothing of
        /// it is left.
        valid: bool,
    },
    /// The state and the log are those of another peer now, up to this height. What was under way comes to nothing.
    Installed {
        /// The last block.
        height: u64,
    },
    /// Another peer of the channel says something.
    Message {
        /// Who, by its seal key; the link knows that it is.
        from: Address,
        /// What it says, in a form of the engine's own.
        bytes: &'a [u8],
    },
    /// A record is on the disk, and all before it.
    Persisted {
        /// Which one.
        ticket: Ticket,
    },
    /// Time has passed.
    Tick {
        /// The clock, as it stands.
        now: Time,
    },
    /// The peers that order above the last final block.
    Configure {
        /// They.
        peers: &'a [OrderingPeer],
    },
}

/// Effects of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum OrderingEffect {
    /// Put a record of the engine's on the disk; [`OrderingInput::Persisted`] follows.
    Persist {
        /// Its number.
        ticket: Ticket,
        /// In a form of the engine's own.
        record: Vec<u8>,
    },
    /// Say something to another peer, not before a record is on the disk. It may be lost.
    Send {
        /// To whom.
        to: Address,
        /// What.
        bytes: Vec<u8>,
        /// The record, if it promises anything.
        after: Option<Ticket>,
    },
    /// Execute a block that another peer proposes, above those under way; [`OrderingInput::Executed`] follows, unless it is
    /// discarded before. Of a valid one whose time is ahead of this peer's clock it follows when the clock arrives there, and
    /// of one that is too far ahead ([`AHEAD_MS_MAX`](crate::limits::AHEAD_MS_MAX)) that it is not valid here; unless it is
    /// [`Self::Settled`].
    Execute {
        /// Its height: above the last block that is under way or named so before.
        height: u64,
        /// The block, encoded; what is in the place of its seal says nothing.
        block: Bytes,
    },
    /// The block that [`Self::Execute`] named for this height is final, whatever this peer says of it, or this peer has accepted
    /// it before: its time is not asked, and a block that is not valid here halts the channel. So an engine that trusts no peer
    /// says it only of what it can prove.
    Settled {
        /// Its height.
        height: u64,
    },
    /// Who proposes from now on, by its seal key. Others propose nothing; before this is said, every peer may.
    Lead {
        /// Nobody, as far as it is known, where there is none.
        leader: Option<Address>,
    },
    /// The block at this height is final. Blocks become final in the order of height.
    Final {
        /// Its height.
        height: u64,
    },
    /// The block at this height goes to the disk with this, which proves to others that it is final. The engine has verified
    /// each signature that came from another peer: one that is wrong halts the channel.
    Seal {
        /// Its height.
        height: u64,
        /// The seal.
        seal: Sealing,
    },
    /// Blocks from this height on, executed or named for it, which are not final, will never be.
    Discard {
        /// The lowest of them.
        from: u64,
    },
    /// Have [`OrderingInput::Tick`] come at this time.
    WakeAt(Time),
    /// Stop the channel.
    Halt(String),
}

/// An ordering engine. Blocks are proposed in order of height; several may be under way.
pub trait OrderingEngine: Send {
    /// Takes an input.
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect>;

    /// Whether it ever discards a block. Transactions of blocks under way are kept for that; `solo` needs none of it.
    fn discards(&self) -> bool {
        true
    }
}
