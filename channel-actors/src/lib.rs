//! A channel: its machine with ordering, its store; and the registry of a peer's channels.
//!
//! Decisions are in one pure state machine for a channel (`machine`, made of `dealer`, `collector`, `acceptor` and
//! `ordering`), work that blocks in functions that run on pools (`pipeline::verifier::Screening`, `production`, `opening`). `effects` is
//! the loop between the two, and `group` the thin shell of actix around it.
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
pub use channel::handle::{ChannelHandle, QueueDepth, Subscription, Unavailable};
pub use channel::shared::Tip;
pub use delivery::reader::{Committed, EventTree, Proven, Reader, evidence};
pub use peer::directory_lock::lock_directory;
pub use peer::registry::{ChannelRegistry, CreateError, RegistryOptions, Undecided};
pub use peer::visibility::Scope;
pub use pipeline::door::Door;
pub use pipeline::inbox::Inbox;
pub use pipeline::submission::{Submission, SubmitRefusal, SubmitResult, Wait};
pub use runtime::asker::Asker;
pub use runtime::life::LifeCycle;
