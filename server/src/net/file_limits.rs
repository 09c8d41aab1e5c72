//! File descriptors: as many as the system gives, and never so many for connections that none is left for a channel's
//! files. A peer that runs out of them could not open a store, and would say so twice a second. Every socket of a client
//! counts: those of connections, of handshakes, and of those that have given way and are not closed yet.

use crate::limits::HANDSHAKES_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for everything but client connections: listeners, logs, certificates, and what a few new channels open.
const KEPT: u64 = 256;
/// Each channel holds up to three files.
const KEPT_FOR_A_CHANNEL: u64 = 3;

/// Sockets that a thread takes beyond its part of all places, at most: whoever comes last is let in to the handshakes,
/// where the oldest goes for it.
const SPARE: usize = 16;

/// How many sockets of clients there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sockets {
    /// Connections. Half as many are in their handshake besides ([`crate::net::handshakes`]).
    pub(crate) connections: usize,
    /// Those that each thread takes beyond its part of these.
    pub(crate) spare: usize,
}

/// Raises the soft limit to the hard one; returns what of `wanted` connections fits beside `channels`, taken by `threads`.
/// Logs if that is fewer.
pub(crate) fn sockets(wanted: usize, channels: usize, threads: usize) -> Sockets {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let Some(files) = files else { return Sockets { connections: wanted, spare: SPARE } };
    let Sockets { connections, spare } = shared(fitting(files, channels), threads);
    if connections < wanted {
        tracing::warn!(files, wanted, connections, "file descriptors do not suffice for limits.connections_max");
    }
    Sockets { connections: connections.min(wanted), spare }
}

/// Shares so many sockets out: a fifth is spare, and of the others half as many are in their handshake as are connections,
/// up to the bound of these.
fn shared(all: usize, threads: usize) -> Sockets {
    let spare = (all / 5 / threads.max(1)).clamp(1, SPARE);
    let all = all.saturating_sub(spare * threads);
    Sockets { connections: all.saturating_sub(HANDSHAKES_MAX).max(all * 2 / 3).max(1), spare }
}

/// Sockets that fit into a limit of files: a quarter of it where little is left, and at least one.
fn fitting(files: u64, channels: usize) -> usize {
    let kept = KEPT.saturating_add(KEPT_FOR_A_CHANNEL.saturating_mul(channels as u64));
    let fitting = files.saturating_sub(kept).max(files / 4).max(1);
    usize::try_from(fitting).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The spare ones were beyond what fitted: 72 sockets where there was room for 40.
    #[test]
    fn all_sockets_together_are_as_many_as_fit() {
        for (all, threads, connections, spare) in
            [(40, 2, 21, 4), (1_000, 2, 645, 16), (100_000, 8, 98_848, 16), (40, 64, 1, 1), (3, 1, 1, 1), (1, 2, 1, 1)]
        {
            assert_eq!(shared(all, threads), Sockets { connections, spare }, "{all} {threads}");
            let taken = connections + crate::net::handshakes::Handshakes::new(connections).most() + spare * threads;
            assert!(taken <= all || connections == 1, "{taken} of {all}");
        }
    }

    #[test]
    fn connections_leave_files_for_channels() {
        for (files, channels, expected) in
            [(1 << 20, 10, (1 << 20) - 286), (1024, 2, 762), (1024, 400, 256), (160, 2, 40), (4, 0, 1), (0, 0, 1)]
        {
            assert_eq!(fitting(files, channels), expected, "{files} {channels}");
        }
    }
}
