//! Log records, by topic and then by the order in which they were appended.

use super::parameters::Query;
use super::query::{cut, limit, read};
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
    limits::STATE_KEY_BYTES_MAX,
    record,
    rights::Class,
    state::{ReadError, Value, scan},
};
use serde::{Deserialize, Serialize};

/// Which records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsQuery {
    topic: Option<String>,
    from: Option<String>,
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
    let limit = limit(query.limit)?;
    let prefix = match &query.topic {
        // A topic holds no zero byte, so a filter cannot reach into another topic.
        Some(topic) if !is_topic(topic) => {
            let what = "topic: labels of a-z, 0-9 and hyphen, joined by dots";
            return Err(ApiError::new(Kind::InvalidParameter, what));
        }
        Some(topic) => keyspace::key(Family::Log, &[topic.as_bytes(), &[0]]),
        None => keyspace::key(Family::Log, &[]),
    };
    let from = match &query.from {
        None => prefix.clone(),
        Some(token) => token_key(token)?,
    };
    let answer = read(&visible.channel, move |reader| {
        let entries = scan(reader.view(), &prefix, &from, limit + 1)?;
        let page = cut(reader.height(), entries, limit, |(key, _)| hex::encode(&key[1..]));
        let items: Result<Vec<LogView>, ReadError> = page.items.iter().map(log).collect();
        Ok(client::api::Page { height: page.height, items: items?, next: page.next })
    });
    json(&answer.await?)
}

/// A record with its place.
#[derive(Debug, Serialize)]
struct LogView {
    /// The block that appended it.
    block_height: u64,
    #[serde(flatten)]
    record: LogRecord,
}

fn log((key, value): &(Vec<u8>, Value)) -> Result<LogView, ReadError> {
    let damaged = || ReadError("a key of the logs class is damaged".into());
    let position = key.len().checked_sub(16).and_then(|start| key.get(start..start + 8)).ok_or_else(damaged)?;
    let block_height = u64::from_be_bytes(position.try_into().map_err(|_| damaged())?);
    Ok(LogView { block_height, record: record::from_value(value)? })
}

/// The first key behind the one that a page ended with.
fn token_key(token: &str) -> Result<Vec<u8>, ApiError> {
    let lower = !token.bytes().any(|byte| byte.is_ascii_uppercase());
    let rest = hex::decode(token).ok().filter(|rest| lower && rest.len() < STATE_KEY_BYTES_MAX);
    let rest = rest.ok_or_else(|| ApiError::new(Kind::InvalidParameter, "from: what the page before said in next"))?;
    Ok(keyspace::key(Family::Log, &[&rest, &[0]]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::{hash::Hash, keys::Address, state::MemoryState, time::Time};

    #[test]
    fn records_come_with_the_height_of_their_block_and_pages_go_on_behind_them() {
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
        let first = scan(&state, &prefix, &prefix, 1).unwrap();
        assert_eq!(log(&first[0]).unwrap().block_height, 4);
        let behind = token_key(&hex::encode(&first[0].0[1..])).unwrap();
        let second = scan(&state, &prefix, &behind, 9).unwrap();
        assert_eq!(second.len(), 1);
        assert_eq!(log(&second[0]).unwrap().block_height, 9);
        assert!(token_key("xyz").is_err());
    }
}
