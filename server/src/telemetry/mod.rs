//! What the peer tells those who watch over it: logs, metrics, and the listener that answers them.

pub mod log_lines;
pub mod logging;
pub mod metrics;
pub(crate) mod monitor;
pub(crate) mod process_metrics;
pub(crate) mod seldom;
