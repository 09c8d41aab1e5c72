//! What channels run on: threads and their turns, tasks that are supervised, the life cycle, memory, metrics, the clock.
//! Never here: what a block or a transaction means.

pub(crate) mod asker;
pub mod clock;
pub mod generations;
pub(crate) mod life;
pub mod memory;
pub mod metrics;
#[cfg_attr(not(feature = "simulation"), allow(unreachable_pub))]
pub(crate) mod mutants;
pub(crate) mod place;
pub(crate) mod pool;
pub(crate) mod random;
pub mod tasks;
