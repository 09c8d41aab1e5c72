//! Who did what in an authorities' folder, and why: the lines of `index.jsonl` that are administrative acts, in the
//! form in which they are recorded on a ledger, and the check that both agree.
//!
//! The index is a file of this machine and not signed. Each act therefore carries a hash over all lines up to its own:
//! h(n) = SHA-256 of tag `chancery/audit/1`, 0x00, h(n − 1), line n without its end, and h(0) = 0. Once an act is on
//! a ledger, no line before it can be changed, removed or added without this showing.

use crate::office::{
    database::{Database, DatabaseError, INDEX},
    enrolment::{RequestId, TokenId},
    error::FolderError,
    folder::CertificateFolder,
};
use ledger_classes::limits::LOG_BODY_BYTES_MAX;
use ledger_classes::primitives::hash::{Hash, Tag};
use pki::x509::identifiers::{Serial, sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{fs, path::Path};

/// An index begins with its consortium and its root, whose serial no other index has.
const SOURCE_LINES: usize = 2;

/// An act of the index, as it is recorded on a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Its line, from 1.
    pub line: usize,
    /// Hash over all lines up to this one: see the head of this file.
    pub digest: Hash,
    /// What was done, by whom and why: a JSON object with `act`, `who`, `why`, `at`, `line`, `sha256` (of the line),
    /// `before` (hash over all lines before it), `source` (the index), and what the act is about.
    pub body: String,
}

/// The whole lines of an index.
#[derive(Clone, Debug)]
pub struct Index {
    bytes: Vec<u8>,
}

/// What a record on a ledger says of its line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RecordedLine {
    /// Which index: the hash over its first two lines.
    pub source: Hash,
    /// Which line, from 1.
    pub line: usize,
    /// Hash over all lines before it.
    pub before: Hash,
    /// Hash over all lines up to this one: the record's own digest, not part of its body.
    #[serde(skip)]
    pub digest: Hash,
}

/// First difference between index and ledger.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Disagreement {
    /// The ledger has an act that the index has not.
    #[error("line {line} is on the ledger and missing in the index")]
    Missing {
        /// The first one.
        line: usize,
    },
    /// A line was changed, added or removed.
    #[error("line {line} is not what the ledger recorded")]
    Line {
        /// The first one.
        line: usize,
    },
    /// One of several lines was, which are no acts and have no records of their own; or an act was put between them.
    #[error("one of the lines {first} to {last} is not what the ledger recorded")]
    Lines {
        /// The first line that may be it.
        first: usize,
        /// The last one.
        last: usize,
    },
    /// No record is of an index that begins as this one.
    #[error("no records on the ledger are of an index that begins with lines 1 and 2 of this one")]
    Beginning,
}

/// How far index and ledger agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Lines of the index.
    pub lines: usize,
    /// Records on the ledger.
    pub records: usize,
    /// The last line that a record vouches for, with all before it.
    pub vouched: usize,
    /// Acts behind it, which are not on the ledger yet.
    pub waiting: usize,
}

impl Index {
    /// Of bytes, up to the end of the last whole line.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1));
        Self { bytes }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.bytes.strip_suffix(b"\n").map(|lines| lines.split(|byte| *byte == b'\n'));
        lines.into_iter().flatten()
    }

    /// Each line's hash over all lines up to it.
    fn chain(&self) -> Vec<Hash> {
        let step = |last: &mut Hash, line| {
            *last = Hash::tagged(Tag::Audit, &[&last.0, line]);
            Some(*last)
        };
        self.lines().scan(Hash::ZERO, step).collect()
    }

    /// Which index this is: the hash over its first two lines, once it has them.
    pub fn source(&self) -> Option<Hash> {
        self.chain().get(SOURCE_LINES - 1).copied()
    }

    /// Its acts, in order, with what `database`, which was read after it, says of certificates and requests.
    pub fn acts(&self, database: &Database) -> Result<Vec<Act>, serde_json::Error> {
        let chain = self.chain();
        let Some(source) = chain.get(SOURCE_LINES - 1) else { return Ok(Vec::new()) };
        let mut acts = Vec::new();
        for ((number, line), digest) in self.lines().enumerate().zip(&chain) {
            let fields: Map<String, Value> = ledger_classes::primitives::json::from_slice(line)?;
            if is_act(&fields) {
                let before = number.checked_sub(1).and_then(|before| chain.get(before)).copied().unwrap_or_default();
                let place = Place { line: number + 1, sha256: Hash(sha256(line)), before, source: *source };
                let body = body(&fields, place, database);
                acts.push(Act { line: number + 1, digest: *digest, body });
            }
        }
        Ok(acts)
    }

    /// Compares with the records of a ledger, in their order; those of other indexes are passed over.
    pub fn compare(&self, records: &[RecordedLine]) -> Result<Agreement, Disagreement> {
        let (lines, chain): (Vec<&[u8]>, Vec<Hash>) = (self.lines().collect(), self.chain());
        let source = chain.get(SOURCE_LINES - 1);
        let own = || records.iter().filter(|record| Some(&record.source) == source);
        if own().next().is_none() && !records.is_empty() {
            return Err(Disagreement::Beginning);
        }
        let mut vouched = 0;
        for record in own() {
            let position = record.line.saturating_sub(1);
            let Some(digest) = chain.get(position) else {
                return Err(Disagreement::Missing { line: lines.len() + 1 });
            };
            if *digest != record.digest {
                // If all before it is as it was when the act was recorded, it is the act's own line.
                let before = position.checked_sub(1).and_then(|before| chain.get(before));
                let (first, same) = (vouched + 1, before == Some(&record.before));
                let last = if same { record.line } else { record.line.saturating_sub(1) };
                let one = same || first >= last;
                return Err(if one { Disagreement::Line { line: last } } else { Disagreement::Lines { first, last } });
            }
            vouched = record.line;
        }
        let behind = lines.iter().skip(vouched);
        let waiting = behind
            .filter(|line| ledger_classes::primitives::json::from_slice(line).is_ok_and(|fields| is_act(&fields)))
            .count();
        Ok(Agreement { lines: lines.len(), records: own().count(), vouched, waiting })
    }
}

/// Every event is an act but those that announce one, or ask for one.
fn is_act(fields: &Map<String, Value>) -> bool {
    let event = fields.get("event").and_then(Value::as_str);
    event.is_some_and(|event| !event.ends_with("intended") && event != "created" && event != "requested")
}

/// A body, with what people look for first.
#[derive(Serialize)]
struct Body<'a> {
    act: &'a str,
    who: &'a str,
    why: &'a str,
    at: &'a str,
    /// What the act is about.
    #[serde(flatten)]
    about: Map<String, Value>,
    #[serde(flatten)]
    place: Place,
}

/// Where an act is.
#[derive(Serialize)]
struct Place {
    line: usize,
    sha256: Hash,
    before: Hash,
    source: Hash,
}

/// What tells a request's records apart from those of others and not its number: 16 hex digits of the SHA-256 of that.
fn hidden(request: &str) -> String {
    let mut digest = Hash::plain(&[request.as_bytes()]).to_string();
    digest.truncate(16);
    digest
}

/// The line's own fields, with what they are about in full. A token's hash is nobody's business.
fn body(fields: &Map<String, Value>, place: Place, database: &Database) -> String {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let mut act = text("event").unwrap_or_default();
    let mut about: Map<String, Value> = fields.clone();
    about.retain(|name, _| !["event", "who", "why", "at", "by", "hash"].contains(&name.as_str()));
    let mut put = |name: &str, value: String| about.insert(name.to_owned(), value.into());
    let serial: Option<Serial> = text("serial").and_then(|serial| serial.parse().ok());
    if let Some(record) = serial.and_then(|serial| database.certificate(&serial)) {
        put("identity", record.identity.to_string());
        put("authority", record.authority.clone());
        put("not_after", record.not_after.to_string());
        if act == "issued" {
            if let Some(renews) = &record.renews {
                act = "renewed";
                put("renews", renews.to_string());
            }
            if let Some(request) = &record.request {
                put("request", request.to_string());
            }
        }
    }
    let request: Option<RequestId> = text("request").and_then(|request| request.parse().ok());
    if let Some(record) = request.and_then(|request| database.request(&request)) {
        put("identity", record.identity.to_string());
    }
    let token: Option<TokenId> = text("token").and_then(|token| token.parse().ok());
    if let Some(record) = token.and_then(|token| database.tokens().get(&token)) {
        put("identity", record.identity.to_string());
    }
    // Whoever knows a request's number may ask for it: members of every organization read this record.
    if let Some(Value::String(id)) = about.get_mut("request") {
        *id = hidden(id);
    }
    let who = text("who").or(text("by")).unwrap_or("unknown");
    let why = text("why").or(text("reason")).unwrap_or_default();
    let mut body = Body { act, who, why, at: text("at").unwrap_or_default(), about, place };
    let json = |body: &Body<'_>| serde_json::to_string(body).expect("texts and numbers serialize");
    let whole = json(&body);
    if whole.len() <= LOG_BODY_BYTES_MAX {
        return whole;
    }
    // What made it long can be read in the index, whose line the digest names.
    body.about.clear();
    json(&body)
}

/// The acts of a folder, with the index that they are of.
pub fn acts(folder: &CertificateFolder) -> Result<(Index, Vec<Act>), FolderError> {
    // In this order: the database knows everything that the index names.
    let index = read_index(folder.layout.directory())?;
    let records = folder.records()?;
    let acts = index.acts(&records).map_err(|error| DatabaseError::Corrupt {
        path: folder.layout.directory().display().to_string(),
        line: 0,
        reason: error.to_string(),
    })?;
    Ok((index, acts))
}

/// The index in a folder `<dir>/ca/`, as it is on disk. Reads it whole and understands nothing, so that a damaged one can
/// be compared too.
pub fn read_index(directory: &Path) -> Result<Index, DatabaseError> {
    let path = directory.join(INDEX);
    fs::read(&path).map(Index::new).map_err(|source| DatabaseError::of_file(&path, source))
}

#[cfg(test)]
mod tests;
