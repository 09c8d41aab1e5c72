//! The logs class: append-only records with topic, digest and small body.

#[cfg(test)]
mod tests;

use super::Context;
use crate::action::logs::Append;
use crate::codec::{Decode, Encode};
use crate::event::Event;
use crate::hash::Hash;
use crate::identity::is_label;
use crate::keys::Address;
use crate::keyspace;
use crate::limits::{LOG_BODY_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::outcome::{Refusal, ResultCode, reject};
use crate::record::Record;
use crate::time::Time;
use serde::Serialize;

/// A log record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct LogRecord {
    /// Topic.
    pub topic: String,
    /// Who appended it.
    pub author: Address,
    /// Block time.
    pub time: Time,
    /// The transaction.
    pub transaction: Hash,
    /// Digest of the evidence.
    pub digest: Option<Hash>,
    /// Text.
    pub body: String,
}

impl Record for LogRecord {}

/// Whether `text` is labels joined by dots, within the limit.
pub(super) fn is_topic(text: &str) -> bool {
    text.len() <= TOPIC_BYTES_MAX && text.split('.').all(is_label)
}

pub(super) fn append(context: &mut Context<'_>, body: &Append) -> Result<(), Refusal> {
    if !is_topic(&body.topic) {
        return reject(ResultCode::InvalidField, "a topic is labels of a-z, 0-9 and hyphen, joined by dots");
    }
    if body.body.len() > LOG_BODY_BYTES_MAX {
        return reject(ResultCode::InvalidField, format!("a body has at most {LOG_BODY_BYTES_MAX} bytes"));
    }
    let author = context.acting();
    let record = LogRecord {
        topic: body.topic.clone(),
        author,
        time: context.time(),
        transaction: context.id(),
        digest: body.digest,
        body: body.body.clone(),
    };
    let key = keyspace::log(&body.topic, context.height(), context.index(), context.action());
    context.put(key, &record);
    context.emit(Event::LogAppended { topic: body.topic.clone(), author, digest: body.digest, body: body.body.clone() })
}
