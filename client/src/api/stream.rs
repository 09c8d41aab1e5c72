//! The forms of `…/submissions`: transactions in, each with its caller's number, and what became of them out. The peer
//! and its clients cut both directions by the same [`Cutter`] (`docs/formats/submissions.md`).

use super::{BatchResult, JsonEnvelope, Outcome, Problem};
use ledger_classes::formats::transaction::{ENVELOPE_BYTES_MAX, Envelope};
use ledger_classes::primitives::codec;
use ledger_classes::primitives::codec::{Decode, DecodeError, Encode};
use ledger_classes::primitives::hash::Hash;
use serde::{Deserialize, Serialize};

/// A JSON object a line.
pub const MEDIA_TYPE_LINES: &str = "application/x-ndjson";
/// Frames: the length of each in four bytes, little-endian, and so many bytes.
pub const MEDIA_TYPE_SUBMISSIONS: &str = "application/vnd.chancery.submissions";
/// Bytes of a frame that tell the length of the item behind them.
pub const FRAME_HEAD_BYTES: usize = 4;
/// The version of the binary form.
pub const STREAM_VERSION: u8 = 1;

/// How a direction of a stream is cut into items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines of JSON.
    Lines,
    /// Frames of bytes.
    Frames,
}

impl Form {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Lines => MEDIA_TYPE_LINES,
            Self::Frames => MEDIA_TYPE_SUBMISSIONS,
        }
    }

    /// The form of a media type without parameters.
    pub fn of(media_type: &str) -> Option<Self> {
        [Self::Lines, Self::Frames].into_iter().find(|form| form.media_type().eq_ignore_ascii_case(media_type))
    }
}

/// Why a stream cannot be cut further: where the next item would begin is not known.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CutError {
    /// An item has more bytes than are taken.
    #[error("item {item} has more than {bytes_max} bytes")]
    Oversize {
        /// Which, from 1.
        item: u64,
        /// How many are taken.
        bytes_max: usize,
    },
    /// The stream ended in the middle of a frame.
    #[error("the stream ends in the middle of item {item}")]
    Broken {
        /// Which, from 1.
        item: u64,
    },
}

/// Cuts a stream of bytes into its items, however the bytes come. Holds one item that is not complete at most, beside
/// what was pushed last.
#[derive(Debug)]
pub struct Cutter {
    form: Form,
    item_bytes_max: usize,
    bytes: Vec<u8>,
    /// What comes before it was cut.
    at: usize,
    /// In `at..looked` no line ends.
    looked: usize,
    items: u64,
}

impl Cutter {
    /// Of items that have so many bytes at most.
    pub const fn new(form: Form, item_bytes_max: usize) -> Self {
        Self { form, item_bytes_max, bytes: Vec::new(), at: 0, looked: 0, items: 0 }
    }

    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.looked -= self.at;
        self.at = 0;
        if self.bytes.is_empty() {
            // One large item does not make the stream hold as much for ever.
            self.bytes.shrink_to(64 * 1024);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that are held and not cut yet.
    pub const fn held(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Bytes of memory that it takes.
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Items so far, blank lines among them: the number of the one that was cut last.
    pub const fn items(&self) -> u64 {
        self.items
    }

    /// The next item, if it is complete. Of lines without what ends them; blank ones are passed over.
    ///
    /// # Errors
    /// It has too many bytes.
    pub fn cut(&mut self) -> Result<Option<&[u8]>, CutError> {
        let item = match self.form {
            Form::Frames => self.next_frame()?,
            Form::Lines => loop {
                match self.next_line()? {
                    Some((begin, end)) if self.bytes[begin..end].trim_ascii().is_empty() => {}
                    other => break other,
                }
            },
        };
        Ok(item.map(|(begin, end)| &self.bytes[begin..end]))
    }

    fn oversize(&self) -> CutError {
        CutError::Oversize { item: self.items + 1, bytes_max: self.item_bytes_max }
    }

    fn next_line(&mut self) -> Result<Option<(usize, usize)>, CutError> {
        let (begin, end) = match self.bytes[self.looked..].iter().position(|byte| *byte == b'\n') {
            Some(place) => (self.at, self.looked + place),
            None => {
                self.looked = self.bytes.len();
                return if self.held() > self.item_bytes_max { Err(self.oversize()) } else { Ok(None) };
            }
        };
        if end - begin > self.item_bytes_max {
            return Err(self.oversize());
        }
        self.at = end + 1;
        self.looked = self.at;
        self.items += 1;
        Ok(Some((begin, end)))
    }

    fn next_frame(&mut self) -> Result<Option<(usize, usize)>, CutError> {
        let Some((length, _)) = self.bytes[self.at..].split_first_chunk() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.item_bytes_max {
            return Err(self.oversize());
        }
        let begin = self.at + FRAME_HEAD_BYTES;
        if self.bytes.len() - begin < length {
            return Ok(None);
        }
        self.at = begin + length;
        self.looked = self.at;
        self.items += 1;
        Ok(Some((begin, self.at)))
    }

    /// The stream has ended: its last line, if nothing ended that.
    ///
    /// # Errors
    /// It has too many bytes, or the stream ended in a frame.
    pub fn finish(&mut self) -> Result<Option<&[u8]>, CutError> {
        match self.form {
            Form::Lines if self.held() == 0 => Ok(None),
            Form::Lines => {
                self.push(b"\n");
                self.cut()
            }
            Form::Frames if self.held() > 0 => Err(CutError::Broken { item: self.items + 1 }),
            Form::Frames => Ok(None),
        }
    }
}

/// Adds a frame to what is sent.
pub fn push_frame(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// A transaction that is posted on a stream, as a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmissionLine {
    /// The caller's own number, which its outcome comes with.
    pub number: u64,
    /// The transaction.
    pub transaction: JsonEnvelope,
}

/// The bytes of a frame with a transaction: the caller's number, little-endian, and the encoded envelope.
pub fn submission_frame(number: u64, envelope: &Envelope) -> Vec<u8> {
    let mut out = Vec::new();
    push_frame(&mut out, &[&number.to_le_bytes(), &codec::encode(envelope)]);
    out
}

/// Why an item is not a transaction.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ItemError {
    /// It cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// The envelope is larger than any transaction.
    #[error("{0}")]
    Oversize(String),
}

/// An item of a stream: the caller's number, as far as it could be read, and the transaction.
pub fn read_submission(form: Form, item: &[u8]) -> (Option<u64>, Result<Envelope, ItemError>) {
    let malformed = |error: String| ItemError::Malformed(error);
    match form {
        Form::Lines => match ledger_classes::primitives::json::from_slice::<SubmissionLine>(item) {
            Err(error) => (None, Err(malformed(error.to_string()))),
            Ok(SubmissionLine { number, transaction }) => {
                (Some(number), Envelope::try_from(transaction).map_err(|error| malformed(error.to_string())))
            }
        },
        Form::Frames => match item.split_first_chunk() {
            None => (None, Err(malformed("a frame begins with a number of eight bytes".into()))),
            Some((number, envelope)) => {
                let envelope = codec::decode(envelope, ENVELOPE_BYTES_MAX).map_err(|error| match error {
                    DecodeError::Oversize { .. } => ItemError::Oversize(error.to_string()),
                    error => malformed(error.to_string()),
                });
                (Some(u64::from_le_bytes(*number)), envelope)
            }
        },
    }
}

/// What a peer says on a stream, as a line. The first has `credits` and `item_bytes_max`; the last one `problem`, if the
/// peer ends the stream; all others have `outcome` with the caller's `number`, or the `line` if that has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamLine {
    /// Transactions that the peer takes before it has told what became of them; of more it reads nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<u32>,
    /// Bytes that a line may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_bytes_max: Option<u32>,
    /// The caller's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The number of a line in which no number could be read, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why the peer ends the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What a peer says on a stream, as a frame.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub enum StreamFrame {
    /// The first.
    Opened {
        /// [`STREAM_VERSION`].
        version: u8,
        /// Transactions that the peer takes before it has told what became of them; of more it reads nothing.
        credits: u32,
        /// Bytes that a frame may have.
        item_bytes_max: u32,
    },
    /// What became of a transaction.
    Outcome {
        /// The caller's own number.
        number: u64,
        /// What.
        result: BatchResult,
    },
    /// A frame in which no number could be read.
    Unreadable {
        /// Which, from 1.
        frame: u64,
        /// Why.
        result: BatchResult,
    },
    /// The peer is there, and nothing has happened for a while.
    Alive,
    /// The last one, if the peer ends the stream.
    Ended {
        /// Last part of the problem's `type`.
        problem: String,
        /// For people to read.
        detail: String,
        /// HTTP status.
        status: u16,
        /// Milliseconds after which another stream may help; 0 where none does.
        retry_after_ms: u32,
    },
}

impl BatchResult {
    /// The id; zero if the envelope could not be read.
    pub const fn id(&self) -> &Hash {
        match self {
            Self::Accepted { id } | Self::Committed { id, .. } | Self::Refused { id, .. } => id,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cut(form: Form, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<CutError>) {
        let (mut cutter, mut items) = (Cutter::new(form, 8), Vec::new());
        let mut all = || {
            for piece in pieces {
                cutter.push(piece);
                while let Some(item) = cutter.cut()? {
                    items.push(item.to_vec());
                }
            }
            if let Some(item) = cutter.finish()? {
                items.push(item.to_vec());
            }
            Ok(())
        };
        let error = all().err();
        (items, error)
    }

    #[test]
    fn a_stream_gives_its_items_however_it_is_cut() {
        let frames = |items: &[&[u8]]| {
            let mut out = Vec::new();
            items.iter().for_each(|item| push_frame(&mut out, &[item]));
            out
        };
        let cut_off = &frames(&[b"one", b"two"])[..12];
        let oversize = |item| Some(CutError::Oversize { item, bytes_max: 8 });
        type Row<'a> = (Form, &'a [u8], &'a [&'a [u8]], Option<CutError>);
        let table: &[Row<'_>] = &[
            (Form::Lines, b"", &[], None),
            (Form::Lines, b"one\ntwo\n", &[b"one", b"two"], None),
            (Form::Lines, b"one\r\n\r\n \n\ntwo", &[b"one\r", b"two"], None),
            (Form::Lines, b"12345678\n", &[b"12345678"], None),
            (Form::Lines, b"one\n123456789\ntwo\n", &[b"one"], oversize(2)),
            (Form::Lines, b"\n\n123456789", &[], oversize(3)),
            (Form::Frames, &frames(&[b"one", b"", b"12345678"]), &[b"one", b"", b"12345678"], None),
            (Form::Frames, &frames(&[b"one", b"123456789"]), &[b"one"], oversize(2)),
            (Form::Frames, cut_off, &[b"one"], Some(CutError::Broken { item: 2 })),
            (Form::Frames, b"\xff\xff\xff\xff", &[], oversize(1)),
        ];
        for (form, bytes, items, error) in table {
            let expected = (items.iter().map(|item| item.to_vec()).collect::<Vec<_>>(), *error);
            assert_eq!(cut(*form, &[bytes]), expected, "{bytes:?}");
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(cut(*form, &each), expected, "{bytes:?} byte by byte");
            for at in 0..bytes.len() {
                let (one, two) = bytes.split_at(at);
                assert_eq!(cut(*form, &[one, two]), expected, "{bytes:?} cut at {at}");
            }
        }
    }

    #[test]
    fn a_bad_item_has_its_number_if_that_can_be_read() {
        for (form, item, number) in [
            (Form::Lines, b"{\"number\":7,\"transaction\":{\"signatures\":[]}}".as_slice(), Some(7)),
            (Form::Lines, b"{\"number\":7}", None),
            (Form::Lines, b"7", None),
            (Form::Lines, b"{\"number\":7,\"transaction\":{\"payload\":\"\",\"signatures\":[]},\"more\":1}", None),
            (Form::Frames, b"1234567", None),
            (Form::Frames, &[7, 0, 0, 0, 0, 0, 0, 0, 9], Some(7)),
        ] {
            let (read, envelope) = read_submission(form, item);
            assert_eq!(read, number, "{item:?}");
            assert!(matches!(envelope, Err(ItemError::Malformed(_))), "{item:?}");
        }
        let large = [&[7; 8], vec![0; ENVELOPE_BYTES_MAX + 1].as_slice()].concat();
        assert!(matches!(read_submission(Form::Frames, &large).1, Err(ItemError::Oversize(_))));
    }
}
