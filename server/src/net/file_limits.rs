//! File descriptors: as many as the system gives, and never so many for connections that none is left for a channel's
//! files. A peer that runs out of them could not open a store, and would say so twice a second.

use crate::limits::HANDSHAKES_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for everything but client connections: listeners, logs, certificates, and what a few new channels open.
const KEPT: u64 = 256;
/// Each channel holds up to three files.
const KEPT_FOR_A_CHANNEL: u64 = 3;

/// Raises the soft limit to the hard one; returns how many of `wanted` connections fit beside `channels`, with those in
/// their handshake besides ([`crate::net::handshakes`]). Logs if that is fewer.
pub(crate) fn connections(wanted: usize, channels: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let Some(files) = files else { return wanted };
    let all = fitting(files, channels);
    // Half as many are in their handshake, up to the bound of these.
    let fitting = all.saturating_sub(HANDSHAKES_MAX).max(all * 2 / 3).max(1);
    if fitting < wanted {
        tracing::warn!(
            files,
            wanted,
            connections = fitting,
            "file descriptors do not suffice for limits.connections_max"
        );
    }
    fitting.min(wanted)
}

/// Connections that fit into a limit of files: a quarter of it where little is left, and at least one.
fn fitting(files: u64, channels: usize) -> usize {
    let kept = KEPT.saturating_add(KEPT_FOR_A_CHANNEL.saturating_mul(channels as u64));
    let fitting = files.saturating_sub(kept).max(files / 4).max(1);
    usize::try_from(fitting).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_channels() {
        for (files, channels, expected) in
            [(1 << 20, 10, (1 << 20) - 286), (1024, 2, 762), (1024, 400, 256), (160, 2, 40), (4, 0, 1), (0, 0, 1)]
        {
            assert_eq!(fitting(files, channels), expected, "{files} {channels}");
        }
    }
}
