//! The logs class: append-only records with topic, digest and small body.

#[cfg(test)]
mod tests;

use super::Context;
use crate::action::logs::Append;
use crate::formats::detail::{Detail, Part};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::rights::{Class, is_act};
use crate::keys::Address;
use crate::limits::{LOG_BODY_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::primitives::identity::is_label;
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::record::Record;
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
pub fn is_topic(text: &str) -> bool {
    text.len() <= TOPIC_BYTES_MAX && text.split('.').all(is_label)
}

pub(super) fn append(context: &mut Context<'_>, body: &Append) -> Result<(), Refusal> {
    if !is_topic(&body.topic) {
        return reject(ResultCode::InvalidField, Detail::TopicForm {});
    }
    if body.body.len() > LOG_BODY_BYTES_MAX {
        return reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Body, most: LOG_BODY_BYTES_MAX as u64 });
    }
    if is_act(Class::Logs, &body.topic) {
        return reject(ResultCode::TopicIsReserved, Detail::ActTopic {});
    }
    // What tells of such an event has its kind for a topic: whoever waits for it must not be told by anybody.
    if Event::KINDS.contains(&body.topic.as_str()) {
        return reject(ResultCode::TopicIsReserved, Detail::EventTopic {});
    }
    write(context, &body.topic, body.digest, &body.body)
}

/// Appends the one record of the running action.
pub(super) fn write(context: &mut Context<'_>, topic: &str, digest: Option<Hash>, body: &str) -> Result<(), Refusal> {
    let author = context.acting();
    let (topic, body) = (topic.to_owned(), body.to_owned());
    let key = keyspace::log(&topic, context.height(), context.index(), context.action());
    let (time, transaction) = (context.time(), context.id());
    let record = LogRecord { topic: topic.clone(), author, time, transaction, digest, body: body.clone() };
    context.put(key, &record);
    context.emit(Event::LogAppended { topic, author, digest, body })
}
