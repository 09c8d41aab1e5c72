//! What the peer keeps for those who watch over it: logs and counters.

pub mod cut;
pub mod log_lines;
pub mod logging;
pub mod metrics;
pub(crate) mod process_metrics;
pub(crate) mod seldom;
