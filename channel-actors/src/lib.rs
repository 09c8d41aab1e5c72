//! A channel: its machine with ordering, its store; and the registry of a peer's channels.
//!
//! Decisions are in one pure state machine for a channel (`machine`, made of `dealer`, `collector`, `acceptor` and
//! `ordering`), work that blocks in functions that run on pools (`verifier::Screening`, `production`, `opening`). `effects` is
//! the loop between the two, and `group` the thin shell of actix around it.
//! Absent on purpose: HTTP, JSON, certificates' inner form, contract rules. Only `store` knows redb.

mod acceptor;
mod asker;
pub mod audit;
pub mod block_file;
pub mod block_folder;
pub mod clock;
mod collector;
mod committed;
mod dealer;
mod door;
mod effects;
mod feed;
pub mod fence;
mod gate;
mod group;
mod halt;
mod handle;
mod hold;
mod inbox;
mod index;
pub mod limits;
mod links;
mod machine;
pub mod memory;
pub mod metrics;
#[cfg_attr(not(feature = "simulation"), allow(unreachable_pub))]
mod mutants;
mod needs;
mod opening;
pub mod ordering;
mod part;
mod place;
mod pool;
mod production;
mod reader;
mod reads;
mod recall;
mod registry;
mod remains;
mod remembered;
mod rest;
mod shared;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod store;
mod summary;
pub mod tasks;
#[cfg(test)]
mod test_support;
mod ticket;
mod verifier;

pub use asker::Asker;
pub use committed::{CommittedBlock, Contents, Frame};
pub use door::Door;
pub use halt::LifeCycle;
pub use handle::{ChannelHandle, QueueDepth, Subscription, Unavailable};
pub use hold::hold;
pub use inbox::Inbox;
pub use index::Scope;
pub use reader::{Committed, EventTree, Proven, Reader, evidence};
pub use registry::{ChannelRegistry, CreateError, RegistryOptions, Undecided};
pub use shared::Tip;
pub use ticket::{Submission, SubmitRefusal, SubmitResult, Wait};
