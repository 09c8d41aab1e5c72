//! Ordering: what makes a proposed block final. An engine is a pure state machine behind a trait, without I/O, clock or
//! randomness of its own (a seed is given to one that needs it when it is made); the channel's machine gives it inputs and
//! has its effects done. Terms, rounds and views stay inside this folder.
//!
//! The machine sees to two things for every engine. Nothing that promises leaves before its record is on the disk
//! ([`OrderingEffect::Send`] waits for its ticket). And a block that does not become final leaves no trace: its transactions
//! wait again, in their order, with their waiters and credits ([`OrderingEffect::Discard`]).

mod making;
mod raft;
mod solo;

#[cfg(any(test, feature = "simulation"))]
pub(crate) use self::raft::{records, wire};
pub use crate::block::sealing::Sealing;
pub use making::engine;
pub use raft::recode_message;
pub use solo::Solo;

use crate::block::tip::Tip;
use bytes::Bytes;
use ledger_classes::chain::ExecutedBlock;
use ledger_classes::formats::config::{Orderers, OrderingPeer};
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::codec::DecodeError;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::sync::Arc;

/// Names a record of an engine: the engine numbers them, ascending.
pub type Ticket = u64;

/// Names a life of a peer: 16 random bytes, others after a restore or a move. What was kept in another life is no memory.
pub type LifeId = [u8; 16];

/// What an engine begins with.
pub struct Begin<'a> {
    /// The channel.
    pub channel: Hash,
    /// What its randomness follows from.
    pub seed: u64,
    /// What the peer seals with.
    pub key: Arc<SigningKey>,
    /// Who orders above the last block.
    pub orderers: &'a Orderers,
    /// The last block in the channel's log.
    pub tip: Tip,
    /// The peer's life, and the engine's records on the disk, in their order; none where no records are kept.
    pub kept: Option<(LifeId, Vec<(Ticket, Bytes)>)>,
}

/// Why there is no engine for a channel.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// The program has no such engine.
    #[error("this build has no such ordering engine")]
    NoEngine,
    /// The engine keeps records, and there is nowhere to keep them.
    #[error("this peer keeps no ordering records")]
    NothingKept,
    /// The records are not of this life: what was promised since is not in them.
    #[error("the ordering records are of life {:032x} of this peer, and this is {:032x}",
        u128::from_be_bytes(*.recorded), u128::from_be_bytes(*.own))]
    OtherLife {
        /// The life that wrote them.
        recorded: LifeId,
        /// This one.
        own: LifeId,
    },
    /// There are blocks, and no records of what made them final.
    #[error("block {height} is in the log, and the ordering records do not reach it")]
    NoRecords {
        /// The last block.
        height: u64,
    },
    /// The records and the log are not of one chain.
    #[error("block {height} is {log} in the log, and {records} by the ordering records")]
    OtherBlock {
        /// The last block in the log.
        height: u64,
        /// Its hash there.
        log: Hash,
        /// By the records.
        records: Hash,
    },
    /// The channel was founded with other peers than those that order it.
    #[error("the channel was founded with other ordering peers")]
    Founders,
    /// A record is not whole, or contradicts those before it.
    #[error("the ordering records cannot be read: {0}")]
    Records(DecodeError),
    /// What the engine is made over refuses it.
    #[error("the ordering engine cannot begin: {0}")]
    Library(String),
}

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
    /// A block is in the channel's log, with its seal, on the disk, and so are all before it.
    Appended {
        /// Its height.
        height: u64,
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
        /// It stands for all before it, which may be forgotten when it is on the disk.
        base: bool,
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
