//! Events as subscribers are sent them: one frame of Server-Sent Events each, holding a CloudEvent. Encoded once for a
//! block and shared by all who read it; evidence shows an event and its way to the sealed header, never another event.

use super::cursor::Cursor;
use crate::limits::LOOK_BYTES_MAX;
use bytes::Bytes;
use channel_actors::{CommittedBlock, EventTree, Frame};
use client::api::{CloudEvent, Position, Problem};

/// Encodes every event of a receipt, in order. Evidence is made only for what is delivered: of a whole block with many
/// events it would be hundreds of megabytes.
pub(super) fn encode(channel: &str, block: &CommittedBlock, index: u32, proven: bool) -> Vec<Frame> {
    let header = &block.block.header;
    let Some(receipt) = block.receipts.get(index as usize) else { return Vec::new() };
    // The store has checked these bytes against their digest: they decode, or the channel has halted.
    let Ok(events) = receipt.decoded_events() else { return Vec::new() };
    let tree = if proven { EventTree::of(block, index) } else { None };
    let mut frames = Vec::with_capacity(events.len());
    for (number, event) in (0u32..).zip(events) {
        let cursor = Cursor::new(header.height, index, number, &block.header_hash);
        let evidence = tree.as_ref().and_then(|tree| serde_json::to_string(&tree.evidence(number)?).ok());
        let (class, topic) = (event.class(), event.topic().to_owned());
        let cloud = CloudEvent {
            specversion: "1.0".into(),
            id: cursor.to_string(),
            source: format!("/v1/channels/{channel}"),
            type_text: format!("chancery.{}", event.kind()),
            subject: topic.clone(),
            time: header.time,
            datacontenttype: "application/json".into(),
            class,
            transaction: receipt.head.id,
            data: event,
            evidence,
        };
        if let Some(bytes) = frame(&cursor, &cloud) {
            frames.push(Frame { event: number, class, topic, bytes });
        }
    }
    frames
}

/// WHATWG HTML §9.2.6: `id`, one line of `data`, an empty line. JSON has no line breaks outside of escapes.
fn frame(cursor: &Cursor, event: &CloudEvent) -> Option<Bytes> {
    let mut bytes = format!("id: {cursor}\ndata: ").into_bytes();
    serde_json::to_writer(&mut bytes, event).ok()?;
    bytes.extend_from_slice(b"\n\n");
    Some(bytes.into())
}

/// The last frame of a subscription that the peer ends.
pub(super) fn ending(problem: &Problem) -> Bytes {
    let problem = serde_json::to_string(problem).unwrap_or_default();
    format!("event: problem\ndata: {problem}\n\n").into()
}

/// Where a subscription is: behind everything up to here. An event of its own with data, because there are readers that
/// keep no id of a frame that is none; those that ask for messages alone do not see it.
pub(super) fn position(cursor: &Cursor, tip: u64) -> Bytes {
    let position = serde_json::to_string(&Position { tip }).unwrap_or_default();
    format!("event: position\nid: {cursor}\ndata: {position}\n\n").into()
}

/// The first frame: a browser learns when to come back, and where from.
pub(super) fn begin(cursor: &Cursor, tip: u64) -> Bytes {
    let mut bytes = b"retry: 1000\n".to_vec();
    bytes.extend_from_slice(&position(cursor, tip));
    bytes.into()
}

/// A sign of life.
pub(super) const ALIVE: &[u8] = b": alive\n\n";

/// Whether an event passes a subscription's topic filter: equal, or with a trailing `*`, beginning alike.
pub(super) fn topic_matches(filter: &str, topic: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(prefix) => topic.starts_with(prefix),
        None => filter == topic,
    }
}

/// Whether a block is to be looked through on a thread of its own: a receipt may hold a thousand events. The first
/// reader does it for all.
pub(super) fn takes_long(block: &CommittedBlock) -> bool {
    block.bytes > LOOK_BYTES_MAX && !block.looked_through()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::formats::event::Event;
    use ledger_classes::primitives::hash::Hash;

    #[test]
    fn a_topic_filter_is_exact_unless_it_ends_in_a_star() {
        for (filter, topic, matches) in [
            ("coin", "coin", true),
            ("coin", "coins", false),
            ("coin*", "coins", true),
            ("trace.*", "trace.step", true),
            ("trace.*", "trace", false),
            ("*", "anything", true),
            ("", "anything", false),
        ] {
            assert_eq!(topic_matches(filter, topic), matches, "{filter} {topic}");
        }
    }

    #[test]
    fn a_stream_begins_with_its_place() {
        let frame = begin(&Cursor::end_of(3, &Hash([9; 32])), 7);
        let expected =
            "retry: 1000\nevent: position\nid: 3.4294967295.4294967295.0909090909090909\ndata: {\"tip\":7}\n\n";
        assert_eq!(std::str::from_utf8(&frame).unwrap(), expected);
    }

    #[test]
    fn a_frame_is_one_line_of_data() {
        let cursor = Cursor::new(3, 0, 1, &Hash([9; 32]));
        let event = Event::LogAppended {
            topic: "a".into(),
            author: Default::default(),
            digest: None,
            body: "two\nlines\r\nand more".into(),
        };
        let cloud = CloudEvent {
            specversion: "1.0".into(),
            id: cursor.to_string(),
            source: "/v1/channels/main".into(),
            type_text: "chancery.log.appended".into(),
            subject: "a".into(),
            time: Default::default(),
            datacontenttype: "application/json".into(),
            class: event.class(),
            transaction: Hash::ZERO,
            data: event,
            evidence: None,
        };
        let bytes = frame(&cursor, &cloud).unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!((lines.len(), lines[0], lines[2], lines[3]), (4, "id: 3.0.1.0909090909090909", "", ""));
        let data = lines[1].strip_prefix("data: ").unwrap();
        assert!(!data.contains('\r'));
        assert_eq!(ledger_classes::primitives::json::from_str::<CloudEvent>(data).unwrap(), cloud);
    }
}
