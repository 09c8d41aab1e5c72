//! What is done with whole blocks: executed, appended, replayed, verified offline, shared as committed ones, and kept in
//! plain files. Never here: what may be in flight; the pipeline decides that.

pub(crate) mod committed;
pub(crate) mod disk_needs;
pub(crate) mod encoding;
pub(crate) mod error;
pub(crate) mod execute;
pub mod file;
pub mod folder;
pub(crate) mod key_cache;
pub(crate) mod refusal;
pub(crate) mod replay;
pub mod sealing;
pub(crate) mod tip;
pub mod verify_offline;
