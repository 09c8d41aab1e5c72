//! `conformance json`: which JSON texts are taken, through `ledger_classes::primitives::json`.

use super::answer_lines;
use ledger_classes::formats::transaction::Transaction;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::json::{check_document, from_slice};
use serde::Deserialize;
use std::io::{self, BufRead, Write};

/// What a text is read as.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A transaction's payload.
    Payload,
    /// A document within one, of which only the form matters.
    Document,
}

/// A vector: a text, or its bytes in hex where it is no UTF-8.
#[derive(Debug, Deserialize)]
pub struct JsonVector {
    kind: Kind,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    hex: Option<HexBytes>,
}

/// Answers every line of `input`.
pub fn run(input: impl BufRead, output: &mut impl Write) -> io::Result<()> {
    answer_lines(input, output, |JsonVector { kind, text, hex }| {
        let bytes = match (text, hex) {
            (Some(text), None) => text.as_bytes(),
            (None, Some(HexBytes(bytes))) => bytes,
            _ => return Err("either text or hex".into()),
        };
        Ok(match kind {
            Kind::Payload => from_slice::<Transaction>(bytes).is_ok(),
            Kind::Document => std::str::from_utf8(bytes).is_ok_and(|text| check_document(text).is_ok()),
        })
    })
}
