//! Whether a subscriber saw every event once and in order, read off the ids in its stream: HTTP/1.1 chunks around
//! Server-Sent Events whose `id` is the event's cursor.
//!
//! Only ids are looked at, not what the events say: reading JSON for thousands of subscribers would measure the reader.

use client::subscribe::Cursor;

/// The longest beginning of a line that matters.
const LINE_BYTES_MAX: usize = 96;

/// Cursors in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    last: Option<Cursor>,
    /// Events.
    pub events: u64,
    /// Events that were not after the one before.
    pub disordered: u64,
}

impl Order {
    /// Takes the next event.
    pub fn take(&mut self, cursor: Cursor) {
        self.disordered += u64::from(self.last.is_some_and(|last| cursor <= last));
        self.last = self.last.max(Some(cursor));
        self.events += 1;
    }

    /// Whether exactly these many came, each after the one before: all of them, once and in order.
    pub const fn is_whole(&self, expected: u64) -> bool {
        self.disordered == 0 && self.events == expected
    }
}

/// Where in the chunks of HTTP/1.1 the bytes are (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In a chunk's size, or in what may stand behind it on its line.
    Size { size: u64, ended: bool },
    /// In a chunk, before this many bytes more.
    Data { left: u64 },
    /// In the line end behind a chunk.
    End,
}

/// Reads a stream of events.
#[derive(Clone, Debug)]
pub struct EventReader {
    chunk: Chunk,
    line: Vec<u8>,
    id: Option<Cursor>,
    /// The frame tells where the stream is, and is no event.
    position: bool,
    /// What came.
    pub order: Order,
    /// Whether the peer ended the stream with a problem, or it is no stream of events.
    pub broken: bool,
}

impl Default for EventReader {
    fn default() -> Self {
        let chunk = Chunk::Size { size: 0, ended: false };
        Self { chunk, line: Vec::new(), id: None, position: false, order: Order::default(), broken: false }
    }
}

impl EventReader {
    /// Takes the next bytes, cut anywhere.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first().copied() {
            match &mut self.chunk {
                Chunk::Data { left } => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= length as u64;
                    let ended = *left == 0;
                    let (data, rest) = bytes.split_at(length);
                    if ended {
                        self.chunk = Chunk::End;
                    }
                    self.text(data);
                    bytes = rest;
                    continue;
                }
                Chunk::Size { size, ended } => match (first as char).to_digit(16) {
                    Some(digit) if !*ended => *size = (*size << 4) | u64::from(digit),
                    _ if first == b'\n' => {
                        let size = *size;
                        // A chunk of no bytes ends the answer: the peer goes without a word.
                        self.broken |= size == 0;
                        self.chunk = if size == 0 { Chunk::End } else { Chunk::Data { left: size } };
                    }
                    _ => *ended = true,
                },
                Chunk::End if first == b'\n' => self.chunk = Chunk::Size { size: 0, ended: false },
                Chunk::End => {}
            }
            bytes = &bytes[1..];
        }
    }

    fn text(&mut self, data: &[u8]) {
        for (at, part) in data.split(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                self.end_line();
            }
            let room = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
        }
    }

    fn end_line(&mut self) {
        if let Some(id) = self.line.strip_prefix(b"id: ") {
            self.id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            self.broken |= self.id.is_none();
        } else if self.line.starts_with(b"data: ") {
            match self.id.take() {
                Some(_) if self.position => {}
                Some(cursor) => self.order.take(cursor),
                None => self.broken = true,
            }
        } else if let Some(named) = self.line.strip_prefix(b"event: ") {
            // Our frames name no other event but a problem, with which the peer ends.
            self.position = named == b"position";
            self.broken |= !self.position;
        } else if self.line.is_empty() {
            self.position = false;
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked(texts: &[&str]) -> Vec<u8> {
        texts.iter().flat_map(|text| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()).collect()
    }

    #[test]
    fn events_are_counted_however_the_stream_is_cut() {
        let long = format!("id: 7.1.0.0000000000000000\ndata: {}\n\n", "x".repeat(400));
        let bytes = chunked(&[
            "retry: 1000\nevent: position\nid: 4.9.9.0000000000000000\ndata: {\"tip\":4}\n\n",
            "id: 5.0.0.0000000000000000\ndata: {}\n\nid: 5.0.1.0000000000000000\nda",
            "ta: {}\n\n: alive\n\n",
            "event: position\nid: 6.9.9.0000000000000000\ndata: {\"tip\":6}\n\n",
            &long,
        ]);
        for size in [1, 2, 3, 7, 64, 10_000] {
            let mut reader = EventReader::default();
            bytes.chunks(size).for_each(|part| reader.push(part));
            assert!(reader.order.is_whole(3) && !reader.broken, "{size}: {reader:?}");
        }
    }

    #[test]
    fn repetition_disorder_and_loss_are_seen() {
        let read = |ids: &[&str]| {
            let mut reader = EventReader::default();
            ids.iter().for_each(|id| reader.push(&chunked(&[&format!("id: {id}.0000000000000000\ndata: {{}}\n\n")])));
            reader.order
        };
        assert!(read(&["1.0.0", "1.0.1", "2.0.0"]).is_whole(3));
        assert!(!read(&["1.0.0", "1.0.0", "2.0.0"]).is_whole(3), "twice");
        assert!(!read(&["1.0.1", "1.0.0", "2.0.0"]).is_whole(3), "in another order");
        assert!(!read(&["1.0.0", "2.0.0"]).is_whole(3), "lost");
        assert_eq!(read(&["3.0.0", "1.0.0", "2.0.0"]).disordered, 2, "after the latest, not after the last");
    }

    #[test]
    fn a_stream_that_the_peer_ends_is_broken() {
        for text in ["event: problem\ndata: {}\n\n", "data: no id\n\n", "id: no cursor\n\n"] {
            let mut reader = EventReader::default();
            reader.push(&chunked(&[text]));
            assert!(reader.broken, "{text:?}");
        }
        let mut reader = EventReader::default();
        reader.push(b"0\r\n\r\n");
        assert!(reader.broken);
    }
}
