//! The peer's clock. Connections are judged by it; transactions by block time, never by it.

use ledger_classes::time::Time;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock, in milliseconds. A clock before 1970 reads as 1970: every certificate is then not yet valid.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
