//! The tables of bytes in `docs/formats` are held against what is encoded: each row is read as a rule by which the bytes
//! are put together.

#![allow(clippy::unwrap_used)]
use super::{BatchAnswer, BatchResult, STREAM_VERSION, StreamFrame, push_frame};
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;

const BATCHES: &str = include_str!("../../../docs/formats/transaction.md");
const STREAMS: &str = include_str!("../../../docs/formats/submissions.md");

/// The cells of the table that begins with this head.
fn table<'a>(document: &'a str, head: &str) -> Vec<(&'a str, &'a str)> {
    let rows = document.lines().skip_while(|line| *line != head).skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.map(|row| row.trim_matches(['|', ' ']).split_once(" | ").unwrap()).collect();
    assert!(!rows.is_empty(), "no table {head:?}");
    rows
}

/// The number or the text of a field.
enum Is {
    Number(u64),
    Text(&'static str),
    Bytes(Vec<u8>),
}

/// A row's bytes, of fields `name (form)`; what has no form is bytes that are put together elsewhere.
fn by_row(row: &str, fields: &[(&str, Is)]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in row.split(", ") {
        let (name, form) = field.split_once(" (").map_or((field, ""), |(name, form)| (name, form.trim_matches(')')));
        let known = fields.iter().find(|(known, _)| *known == name).map(|(_, is)| is);
        let number = || match known {
            Some(Is::Number(number)) => *number,
            _ => name.parse().unwrap_or_else(|_| panic!("{field:?} of {row:?}")),
        };
        match (form, known) {
            ("byte", _) => out.push(u8::try_from(number()).unwrap()),
            ("u16", _) => out.extend(u16::try_from(number()).unwrap().to_le_bytes()),
            ("u32", _) => out.extend(u32::try_from(number()).unwrap().to_le_bytes()),
            ("u64", _) => out.extend(number().to_le_bytes()),
            ("text", Some(Is::Text(text))) => {
                out.extend((text.len() as u64).to_le_bytes());
                out.extend(text.as_bytes());
            }
            ("32 bytes", Some(Is::Bytes(bytes))) => {
                assert_eq!(bytes.len(), 32);
                out.extend(bytes);
            }
            ("", Some(Is::Bytes(bytes))) => out.extend(bytes),
            _ => panic!("{field:?} of {row:?}"),
        }
    }
    out
}

#[test]
fn answers_to_batches_and_streams_are_as_their_tables_say() {
    let (id, problem, detail) = (Hash([7; 32]), "busy", "é, later");
    let is_id = || ("id", Is::Bytes(vec![7; 32]));
    let refused = BatchResult::Refused { id, problem: problem.into(), detail: detail.into(), retry_after_ms: 250 };
    let results = [
        ("accepted", BatchResult::Accepted { id }, vec![is_id()]),
        (
            "committed",
            BatchResult::Committed { id, height: 8, index: 9, code: 310 },
            vec![is_id(), ("height", Is::Number(8)), ("index", Is::Number(9)), ("code", Is::Number(310))],
        ),
        (
            "refused",
            refused.clone(),
            vec![
                is_id(),
                ("problem", Is::Text(problem)),
                ("detail", Is::Text(detail)),
                ("retry_after_ms", Is::Number(250)),
            ],
        ),
    ];
    let rows = table(BATCHES, "| Result | Bytes |");
    assert_eq!(rows.len(), results.len());
    let mut all = Vec::new();
    for ((name, row), (expected, result, fields)) in rows.into_iter().zip(&results) {
        let made = by_row(row, fields);
        assert_eq!((name, &made), (*expected, &codec::encode(result)));
        all.extend(made);
    }
    let answer = BatchAnswer { version: 1, results: results.into_iter().map(|(_, result, _)| result).collect() };
    assert_eq!(codec::encode(&answer), [&[1, 3, 0, 0, 0, 0, 0, 0, 0], all.as_slice()].concat());

    let result = || ("result", Is::Bytes(codec::encode(&refused)));
    let frames = [
        (
            "opened",
            StreamFrame::Opened { version: STREAM_VERSION, credits: 512, item_bytes_max: 1 << 20 },
            vec![("version", Is::Number(1)), ("credits", Is::Number(512)), ("item_bytes_max", Is::Number(1 << 20))],
        ),
        (
            "outcome",
            StreamFrame::Outcome { number: 5, result: refused.clone() },
            vec![("number", Is::Number(5)), result()],
        ),
        (
            "unreadable",
            StreamFrame::Unreadable { frame: 6, result: refused.clone() },
            vec![("frame", Is::Number(6)), result()],
        ),
        ("alive", StreamFrame::Alive, Vec::new()),
        (
            "ended",
            StreamFrame::Ended { problem: problem.into(), detail: detail.into(), status: 429, retry_after_ms: 250 },
            vec![
                ("problem", Is::Text(problem)),
                ("detail", Is::Text(detail)),
                ("status", Is::Number(429)),
                ("retry_after_ms", Is::Number(250)),
            ],
        ),
    ];
    let rows = table(STREAMS, "| Frame | Bytes |");
    assert_eq!(rows.len(), frames.len());
    for ((name, row), (expected, frame, fields)) in rows.into_iter().zip(&frames) {
        let made = by_row(row, fields);
        assert_eq!((name, &made), (*expected, &codec::encode(frame)));
        let mut framed = Vec::new();
        push_frame(&mut framed, &[&made]);
        assert_eq!(framed[..4], u32::try_from(made.len()).unwrap().to_le_bytes());
    }
}
