//! The one gate between other peers and the library: raft 0.7 ends the process, or believes what cannot be, when a message is
//! not as it expects. Form and ranges are [`super::wire`]'s, who says it [`super::driver`] knows; here a message is held against
//! what the library knows at the moment at which it is stepped. Nothing may be stepped that was not admitted just before.
//!
//! Raft bears peers that stop, not peers that lie: a message that is possible is believed.

use super::form::block_of;
use super::window::Window;
use raft::eraftpb::{Message, MessageType};
use raft::{Raft, StateRole};

/// How far a term may be ahead of this peer's.
pub(super) const TERMS_AHEAD_MAX: u64 = 1 << 20;
/// Entries that are not committed, at most, and their bytes.
pub(super) const UNCOMMITTED_MAX: u64 = 8_192;
pub(super) const UNCOMMITTED_BYTES_MAX: usize = 64 << 20;

/// Why a message is not stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No term, which the library takes for a message of its own, or one far ahead.
    Term,
    /// Entries that are in no leader's log: terms or heights that do not follow each other.
    Entries,
    /// More entries than a leader sends before they are committed.
    TooMany,
    /// It contradicts what is committed here.
    Conflict,
    /// A commit, or an answer, beyond this peer's log.
    Beyond,
    /// Another leader of the same term.
    SecondLeader,
    /// A vote that this peer has not asked for yet.
    Unasked,
}

/// Whether a message may be stepped now. `records` says whether entries are on their way to the disk.
pub(super) fn admit(raft: &Raft<Window>, records: bool, message: &Message) -> Result<(), Refused> {
    let log = &raft.raft_log;
    if message.term == 0 || message.term > raft.term + TERMS_AHEAD_MAX {
        return Err(Refused::Term);
    }
    let of_leader = matches!(message.msg_type, MessageType::MsgAppend | MessageType::MsgHeartbeat);
    let leads = raft.state == StateRole::Leader;
    if of_leader && message.term == raft.term && (leads || ![0, message.from].contains(&raft.leader_id)) {
        return Err(Refused::SecondLeader);
    }
    match message.msg_type {
        // The library answers to an older term, and reads nothing of the message.
        _ if message.term < raft.term => Ok(()),
        MessageType::MsgAppend => append(raft, message),
        MessageType::MsgHeartbeat if message.commit > log.last_index() => Err(Refused::Beyond),
        MessageType::MsgAppendResponse
            if leads && message.term == raft.term && message.index.max(message.reject_hint) > log.last_index() =>
        {
            Err(Refused::Beyond)
        }
        // Who asks for votes has all that it has on the disk; a leader relies on that.
        MessageType::MsgRequestVoteResponse
            if raft.state == StateRole::Candidate && (records || log.persisted != log.last_index()) =>
        {
            Err(Refused::Unasked)
        }
        _ => Ok(()),
    }
}

fn append(raft: &Raft<Window>, message: &Message) -> Result<(), Refused> {
    let (log, window) = (&raft.raft_log, raft.store());
    // To the library an entry that is not there has term 0, so it fits whatever stands behind it.
    if message.log_term == 0 && message.index != 0 {
        return Err(Refused::Entries);
    }
    let mut term = message.log_term;
    let mut bytes = 0;
    for entry in message.entries.iter() {
        if entry.term < term || entry.term == 0 {
            return Err(Refused::Entries);
        }
        term = entry.term;
        bytes += entry.data.len();
    }
    if term > message.term {
        return Err(Refused::Entries);
    }
    let known = |index: u64| (window.base.index..=log.committed).contains(&index);
    let contradicts = |index: u64, term: u64| known(index) && !log.match_term(index, term);
    if contradicts(message.index, message.log_term)
        || message.entries.iter().any(|entry| contradicts(entry.index, entry.term))
    {
        return Err(Refused::Conflict);
    }
    let last = message.index + message.entries.len() as u64;
    let held = window.bytes_between(log.committed, message.index);
    if last > log.last_index() + UNCOMMITTED_MAX
        || message.index.min(log.last_index()) > log.committed + UNCOMMITTED_MAX
        || bytes + held > UNCOMMITTED_BYTES_MAX
    {
        return Err(Refused::TooMany);
    }
    let Some(before) = window.mark(message.index).filter(|before| before.term == message.log_term) else {
        // It does not fit, and the library says so to its leader.
        return Ok(());
    };
    let mut height = before.height;
    for entry in message.entries.iter() {
        match block_of(entry) {
            Ok(None) => {}
            Ok(Some((block, _))) if block == height + 1 => height = block,
            _ => return Err(Refused::Entries),
        }
    }
    Ok(())
}
