//! Log records, by topic and then by the order in which they were appended.

use super::answer::{Pieces, in_json, written};
use super::parameters::Query;
use super::query::{span, write_page};
use crate::{
    api::context::PeerContext,
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use channel_actors::Reader;
use ledger_classes::execution::logs::{LogRecord, is_topic};
use ledger_classes::formats::rights::{ACTS, Class, is_act};
use ledger_classes::state::keyspace::Family;
use ledger_classes::state::listing::{Listed, Span, list_without};
use ledger_classes::state::view::{ReadError, ReadView, Value};
use ledger_classes::state::{keyspace, record};
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
    let page = move |reader: &Reader<'_>, out: &mut Pieces| {
        let listed = records(reader.view(), &prefix, &span, acts)?;
        write_page(out, reader.height(), &listed, |(key, value)| log(key, value))
    };
    written(&visible, in_json(), page).await
}

/// A part of the records; administrative acts, which lie together, are passed over without `acts`.
fn records(view: &dyn ReadView, prefix: &[u8], span: &Span, acts: bool) -> Result<Listed<(Vec<u8>, Value)>, ReadError> {
    let first = keyspace::key(Family::Log, &[ACTS.as_bytes()]);
    let mut behind = first.clone();
    // The reserved beginning ends with a dot: the key behind all that begin so ends with the next character.
    behind.pop();
    behind.push(b'.' + 1);
    let hidden = (!acts).then_some((&first[..], &behind[..]));
    list_without(view, prefix, span, hidden, |_, rest, value| Ok((rest.to_vec(), value.clone())))
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
    use ledger_classes::keys::Address;
    use ledger_classes::primitives::hash::Hash;
    use ledger_classes::primitives::time::Time;
    use ledger_classes::state::view::{MemoryState, scan};

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
            for at in 0..all.len() {
                let after = at.checked_sub(1).map(|before| all[before][prefix.len()..].to_vec());
                let read = |acts| {
                    let span = Span { after: after.clone(), ..Span::first(limit) };
                    let listed = records(&state, &prefix, &span, acts).unwrap();
                    let keys: Vec<_> = listed.items.into_iter().map(|(key, _)| [&prefix[..], &key].concat()).collect();
                    (keys, listed.next.is_some())
                };
                let expected = |acts: bool| {
                    let behind: Vec<_> = all[at..].iter().filter(|key| acts || !act(key)).cloned().collect();
                    (behind.iter().take(limit).cloned().collect::<Vec<_>>(), behind.len() > limit)
                };
                assert_eq!((read(true), read(false)), (expected(true), expected(false)), "{at} {limit}");
            }
        }
    }
}
