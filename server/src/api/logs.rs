//! Log records, by topic and then by the order in which they were appended.

use super::parameters::Query;
use super::query::{page_of, read, span};
use super::service::json;
use crate::{
    context::PeerContext,
    problem::{ApiError, Kind},
    tls::Caller,
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use ledger_classes::{
    execution::logs::{LogRecord, is_topic},
    keyspace::{self, Family},
    listing::Listed,
    record,
    rights::{ACTS, Class, is_act},
    state::{ReadError, ReadView, Value, scan},
};
use serde::{Deserialize, Serialize};

/// Which records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsQuery {
    topic: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<LogsQuery>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.read(Class::Logs)?;
    let span = span(query.after.as_deref(), query.limit)?;
    if query.topic.as_ref().is_some_and(|topic| is_act(Class::Logs, topic)) {
        visible.acts()?;
    }
    let acts = visible.rights.reads_acts();
    let prefix = match &query.topic {
        // A topic holds no zero byte, so a filter cannot reach into another topic.
        Some(topic) if !is_topic(topic) => {
            let what = "topic: labels of a-z, 0-9 and hyphen, joined by dots";
            return Err(ApiError::new(Kind::InvalidParameter, what));
        }
        Some(topic) => keyspace::key(Family::Log, &[topic.as_bytes(), &[0]]),
        None => keyspace::key(Family::Log, &[]),
    };
    let answer = read(&visible.channel, move |reader| {
        let from = match &span.after {
            None => prefix.clone(),
            Some(after) => [&prefix[..], after, &[0]].concat(),
        };
        let mut entries = records(reader.view(), &prefix, from, span.limit + 1, acts)?;
        let more = entries.len() > span.limit;
        entries.truncate(span.limit);
        let next = entries.last().filter(|_| more).map(|(key, _)| key[prefix.len()..].to_vec());
        let items: Result<Vec<LogView>, ReadError> = entries.iter().map(|(key, value)| log(key, value)).collect();
        Ok(page_of(reader.height(), &Listed { items: items?, next }, |record| Ok(record.clone()))?)
    });
    json(&answer.await?)
}

/// Up to `limit` records from `from` on; administrative acts, which lie together, are passed over without `acts`.
fn records(
    view: &dyn ReadView,
    prefix: &[u8],
    mut from: Vec<u8>,
    limit: usize,
    acts: bool,
) -> Result<Vec<(Vec<u8>, Value)>, ReadError> {
    let first = keyspace::key(Family::Log, &[ACTS.as_bytes()]);
    let mut behind = first.clone();
    // The reserved beginning ends with a dot: the key behind all that begin so ends with the next character.
    behind.pop();
    behind.push(b'.' + 1);
    let hidden = |key: &[u8]| !acts && *first <= *key && *key < *behind;
    if hidden(&from) {
        from.clone_from(&behind);
    }
    let mut entries = scan(view, prefix, &from, limit)?;
    if let Some(at) = entries.iter().position(|(key, _)| hidden(key)) {
        entries.truncate(at);
        entries.extend(scan(view, prefix, &behind, limit - at)?);
    }
    Ok(entries)
}

/// A record with its place.
#[derive(Clone, Debug, Serialize)]
struct LogView {
    /// The block that appended it.
    block_height: u64,
    #[serde(flatten)]
    record: LogRecord,
}

fn log(rest: &[u8], value: &Value) -> Result<LogView, ReadError> {
    let damaged = || ReadError("a key of the logs class is damaged".into());
    let position = rest.len().checked_sub(16).and_then(|start| rest.get(start..start + 8)).ok_or_else(damaged)?;
    let block_height = u64::from_be_bytes(position.try_into().map_err(|_| damaged())?);
    Ok(LogView { block_height, record: record::from_value(value)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::{hash::Hash, keys::Address, state::MemoryState, time::Time};

    #[test]
    fn records_come_with_the_height_of_their_block() {
        let record = LogRecord {
            topic: "trace".into(),
            author: Address::ZERO,
            time: Time::from_millis(1),
            transaction: Hash::ZERO,
            digest: None,
            body: "x".into(),
        };
        let mut state = MemoryState::default();
        let entry = |height| (keyspace::log("trace", height, 0, 0), Some(record::to_value(&record)));
        state.apply(&[entry(4), entry(9)].into_iter().collect());
        let prefix = keyspace::key(Family::Log, &[b"trace", &[0]]);
        let all = scan(&state, &prefix, &prefix, 9).unwrap();
        let heights: Vec<u64> = all.iter().map(|(key, value)| log(key, value).unwrap().block_height).collect();
        assert_eq!(heights, [4, 9]);
    }

    #[test]
    fn acts_are_passed_over_for_who_may_not_read_them_wherever_a_page_begins() {
        let topics = ["audit", "audit.a", "audit.b", "audit-a", "auditor", "b"];
        let mut state = MemoryState::default();
        for topic in topics {
            for height in 1..4 {
                let entry = (keyspace::log(topic, height, 0, 0), Some([1u8].as_slice().into()));
                state.apply(&[entry].into_iter().collect());
            }
        }
        let prefix = keyspace::key(Family::Log, &[]);
        let all: Vec<Vec<u8>> = scan(&state, &prefix, &prefix, 99).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(all.len(), 18);
        let act = |key: &Vec<u8>| key.starts_with(&keyspace::key(Family::Log, &[b"audit."]));
        for limit in 1..20 {
            for (at, from) in all.iter().enumerate() {
                let read = |acts| {
                    let entries = records(&state, &prefix, from.clone(), limit, acts).unwrap();
                    entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
                };
                let expected = |acts: bool| {
                    let behind = all[at..].iter().filter(|key| acts || !act(key));
                    behind.take(limit).cloned().collect::<Vec<_>>()
                };
                assert_eq!((read(true), read(false)), (expected(true), expected(false)), "{at} {limit}");
            }
        }
    }
}
