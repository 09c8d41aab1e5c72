//! What engines over Raft say to each other, in a form of our own (docs/formats/ordering.md): nothing of protobuf is parsed.
//! Bytes of other peers come in by [`Said::decode`] only; whether what they say may reach the library is the guard's to say.

use super::form::{Reader, malformed, put_entries, take_entries};
use crate::pipeline::ordering::LifeId;
use bytes::Bytes;
use ledger_classes::formats::block::{BLOCK_ENCODED_BYTES_MAX, SealSignature};
use ledger_classes::keys::Address;
use ledger_classes::limits::ORDERERS_MAX;
use ledger_classes::primitives::codec::{self, Decode, DecodeError, Encode};
use ledger_classes::primitives::hash::{Hash, Tag};
use raft::eraftpb::{Message, MessageType};

const FORM: u8 = 1;
const REJECTS: u8 = 1;
/// Bytes of one message of Raft's that carries more than one entry, as the library bounds it.
pub(super) const APPEND_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of anything that is said.
const SAID_BYTES_MAX: usize = BLOCK_ENCODED_BYTES_MAX + APPEND_BYTES_MAX as usize + (1 << 18);

/// What is carried of Raft's messages, by its number. Nothing else is: no snapshot, no proposal or read that is forwarded, no
/// transfer of the lead, nothing that is local.
const KINDS: [MessageType; 8] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

/// What one engine says to another.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// A message of Raft's, from one life of a peer to one of another; who they are to Raft is not in it.
    Raft {
        to: LifeId,
        from: LifeId,
        message: Box<Message>,
    },
    Signed(Signed),
    Here(Here),
    Behind(Behind),
}

/// Who a peer in one of its lives is to Raft.
pub(crate) fn replica(address: &Address, life: &LifeId) -> u64 {
    let hash = Hash::tagged(Tag::Replica, &[&address.0, life]);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.0[..8]);
    // None is nobody.
    u64::from_le_bytes(bytes).max(1)
}

/// A signature that a block is final.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub(crate) struct Signed {
    pub(crate) height: u64,
    pub(crate) place: u64,
    pub(crate) signed: SealSignature,
    /// The other's is asked for.
    pub(crate) asks: bool,
}

/// Who a peer is and which others it has met, until a channel is founded.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub(crate) struct Here {
    pub(crate) life: LifeId,
    pub(crate) met: Lives,
    pub(crate) founded: Option<Lives>,
}

/// The lives of peers, ascending by address.
pub(crate) type Lives = Vec<(Address, LifeId)>;

/// The leader's log begins above what a follower has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub(crate) struct Behind {
    pub(crate) term: u64,
    /// The block before the first one that the leader still holds for others.
    pub(crate) height: u64,
}

const OF_RAFT: u8 = 0;
const OF_SEALS: u8 = 1;
const OF_LIVES: u8 = 2;
const OF_WINDOW: u8 = 3;

impl Said {
    /// Encodes it. None for a message of the library's that is not carried, of which this engine makes none.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut out = vec![FORM];
        match self {
            Self::Raft { to, from, message } => {
                let kind = KINDS.iter().position(|kind| *kind == message.msg_type)?;
                out.extend([OF_RAFT, kind as u8, if message.reject { REJECTS } else { 0 }]);
                out.extend(to);
                out.extend(from);
                let Message { term, log_term, index, commit, commit_term, reject_hint, .. } = **message;
                for number in [term, log_term, index, commit, commit_term, reject_hint] {
                    out.extend(number.to_le_bytes());
                }
                put_entries(&message.entries, &mut out);
            }
            Self::Signed(signed) => {
                out.push(OF_SEALS);
                codec::encode_into(signed, &mut out);
            }
            Self::Here(here) => {
                out.push(OF_LIVES);
                codec::encode_into(here, &mut out);
            }
            Self::Behind(behind) => {
                out.push(OF_WINDOW);
                codec::encode_into(behind, &mut out);
            }
        }
        Some(out)
    }

    /// Decodes what another peer says; in one form only.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > SAID_BYTES_MAX {
            return Err(DecodeError::Oversize { bytes: bytes.len(), bytes_max: SAID_BYTES_MAX });
        }
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        if reader.byte()? != FORM {
            return Err(malformed("of another form"));
        }
        match reader.byte()? {
            OF_RAFT => raft(reader),
            OF_SEALS => codec::decode(&reader.rest(), 512).map(Self::Signed),
            OF_LIVES => codec::decode(&reader.rest(), 64 + 2 * ORDERERS_MAX * 64).map(Self::Here),
            OF_WINDOW => codec::decode(&reader.rest(), 16).map(Self::Behind),
            _ => Err(malformed("of another kind")),
        }
    }
}

fn raft(mut reader: Reader) -> Result<Said, DecodeError> {
    let kind = KINDS.get(usize::from(reader.byte()?)).ok_or_else(|| malformed("a message of another kind"))?;
    let flags = reader.byte()?;
    if flags & !REJECTS != 0 {
        return Err(malformed("flags that are none"));
    }
    let (to, from) = (reader.array()?, reader.array()?);
    let mut numbers = [0; 6];
    for number in &mut numbers {
        *number = reader.number()?;
    }
    let [term, log_term, index, commit, commit_term, reject_hint] = numbers;
    let entries = take_entries(&mut reader, index)?;
    reader.end()?;
    if !entries.is_empty() && *kind != MessageType::MsgAppend {
        return Err(malformed("entries where none are"));
    }
    let message = Message {
        msg_type: *kind,
        reject: flags & REJECTS != 0,
        term,
        log_term,
        index,
        commit,
        commit_term,
        reject_hint,
        entries: entries.into(),
        ..Message::default()
    };
    Ok(Said::Raft { to, from, message: Box::new(message) })
}
