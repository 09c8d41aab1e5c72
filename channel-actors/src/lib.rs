//! The channels of a peer: each a machine with ordering above a store of its own, and the registry of them.
//!
//! The rooms, from the ground up; each imports those before it and none behind it: [`limits`], [`runtime`] (threads, tasks,
//! memory, metrics, life cycle), [`store`] (files, log, state), [`block`] (whole blocks: execute, append, replay, verify
//! offline), `delivery` (what readers and subscribers get), [`pipeline`] (from a submission to a committed block),
//! `channel` (one channel as the peer holds it), [`peer`] (all of them). Tests may import anything, and the simulator is
//! above all of them.
//! What a channel decides is decided by the pure machine in `pipeline/machine.rs`; `pipeline/effects.rs` is the loop
//! that performs it, and `channel/actor.rs` the thin shell of threads and timers around it.
//! Absent on purpose: HTTP, JSON, certificates' inner form, contract rules. Only `store` knows redb.

pub mod block;
pub(crate) mod channel;
pub(crate) mod delivery;
pub mod limits;
pub mod peer;
pub mod pipeline;
pub mod runtime;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod store;
#[cfg(test)]
mod test_support;

pub use block::committed::{CommittedBlock, Contents, Frame};
pub use block::error::ChannelError;
pub use block::refusal::SubmitRefusal;
pub use block::tip::Tip;
pub use channel::handle::{ChannelHandle, QueueDepth, Subscription, Unavailable};
pub use delivery::reader::{Committed, EventTree, Proven, Reader, evidence};
pub use peer::directory_lock::lock_directory;
pub use peer::registry::{ChannelRegistry, CreateError, RegistryOptions, Undecided};
pub use peer::visibility::Scope;
pub use pipeline::answer::{SubmitResult, Wait};
pub use pipeline::door::Door;
pub use pipeline::inbox::Inbox;
pub use pipeline::submission::Submission;
pub use runtime::asker::Asker;
pub use runtime::life::LifeCycle;
