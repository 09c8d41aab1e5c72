//! The lines of the `conformance` program: JSON objects in, one answer a line out, in the order of the input.
//!
//! What is judged here must be judged by the code that the ledger runs, never by a second implementation: the
//! modules below only turn JSON into the types of `ledger-classes` and `pki`. See `docs/conformance.md`.

pub mod chain;
pub mod json;
pub mod merkle;
pub mod sig;
pub mod state;
pub mod x509;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::io::{self, BufRead, Write};

/// One answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The `id` of the line, byte for byte; null if it has none that can be read.
    pub id: Option<Box<RawValue>>,
    /// Whether the signature, proof or path is valid.
    pub ok: bool,
    /// Why the line could not be judged at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A line: its `id`, and the vector or why there is none.
#[derive(Debug)]
pub struct Line<V> {
    /// As in [`Answer`].
    pub id: Option<Box<RawValue>>,
    /// The vector.
    pub vector: Result<V, String>,
}

#[derive(Deserialize)]
struct Identified {
    #[serde(default)]
    id: Option<Box<RawValue>>,
}

/// Reads one line. Members that the vector does not know (comments of vector sets) are passed over.
pub fn parse_line<V: DeserializeOwned>(line: &str) -> Line<V> {
    // Serde takes an array for a struct; here only objects are vectors.
    if !line.trim_start().starts_with('{') {
        return Line { id: None, vector: Err("the line is not a JSON object".into()) };
    }
    match ledger_classes::primitives::json::from_str::<Identified>(line) {
        Ok(Identified { id }) => {
            Line { id, vector: ledger_classes::primitives::json::from_str(line).map_err(|error| error.to_string()) }
        }
        Err(error) => Line { id: None, vector: Err(error.to_string()) },
    }
}

/// Writes one answer as a line.
pub fn write_answer(output: &mut impl Write, answer: &Answer) -> io::Result<()> {
    serde_json::to_writer(&mut *output, answer)?;
    output.write_all(b"\n")
}

/// Calls `each` with every line of the input. Bytes that are not UTF-8 are replaced, so such a line is answered
/// like any other that cannot be read.
pub fn for_each_line(mut input: impl BufRead, mut each: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        each(&String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)))?;
    }
}

/// Answers line by line with `judge`.
pub fn answer_lines<V: DeserializeOwned>(
    input: impl BufRead,
    output: &mut impl Write,
    judge: impl Fn(&V) -> Result<bool, String>,
) -> io::Result<()> {
    for_each_line(input, |text| {
        let Line { id, vector } = parse_line::<V>(text);
        let (ok, error) = match vector.and_then(|vector| judge(&vector)) {
            Ok(ok) => (ok, None),
            Err(error) => (false, Some(error)),
        };
        write_answer(output, &Answer { id, ok, error })
    })
}
