//! Reading a channel on its reading threads, and why what was asked has no answer.

use crate::{
    limits::RETRY_AFTER_MS,
    problem::{ApiError, Kind},
};
use channel_actors::{ChannelHandle, Reader, Unavailable};
use ledger_classes::state::view::ReadError;

/// Why a query has no answer: the caller's fault, or a store that cannot be read, which halts the channel.
#[derive(Debug)]
pub(super) enum Failed {
    /// The caller is told.
    Refused(ApiError),
    /// The channel halts.
    Broken(ReadError),
}

impl From<ApiError> for Failed {
    fn from(refusal: ApiError) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        Self::Broken(error)
    }
}

/// Runs a query on the channel's reading threads.
pub(super) async fn read<R: Send + 'static>(
    channel: &ChannelHandle,
    query: impl FnOnce(&Reader<'_>) -> Result<R, Failed> + Send + 'static,
) -> Result<R, ApiError> {
    let work = |reader: &Reader<'_>| match query(reader) {
        Ok(answer) => Ok(Ok(answer)),
        Err(Failed::Refused(refusal)) => Ok(Err(refusal)),
        Err(Failed::Broken(error)) => Err(error),
    };
    channel.read(work).await.map_err(not_readable)?
}

/// The channel cannot be read: it is busy, not open, or has just halted.
pub(super) fn not_readable(error: Unavailable) -> ApiError {
    match error {
        Unavailable::Busy { retry_after_ms } => ApiError::from(Kind::Busy).retry_after_ms(retry_after_ms),
        Unavailable::Stopped { reason } => ApiError::new(Kind::Stopped, reason).retry_after_ms(RETRY_AFTER_MS),
        // Logged by the channel, which halts with the reason.
        Unavailable::Broken(why) => ApiError::halted(format!("reading failed: {why}")),
    }
}

/// The channel does not answer now.
pub(super) fn unavailable(why: &str) -> ApiError {
    ApiError::new(Kind::Unavailable, why).retry_after_ms(RETRY_AFTER_MS)
}
