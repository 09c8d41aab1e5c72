//! PEM (RFC 7468), read in one place and never in part: as many objects as there are BEGIN lines, or an error that
//! names the line. Readers that go on behind what they do not understand once dropped the second certificate of two
//! that a missing line break had joined.
//!
//! Text before, between and behind the objects is allowed (§2), unless it looks like a boundary that is damaged. Inside
//! an object there is base64 and white space; headers (RFC 1421) are refused, as are objects of a kind that nobody
//! asked for.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// A certificate (§5).
pub const CERTIFICATE: &[&str] = &["CERTIFICATE"];
/// A CRL (§6).
pub const CRL: &[&str] = &["X509 CRL"];
/// A PKCS #10 request (§7); parsers take the second label, too, which generators must not write.
pub const REQUEST: &[&str] = &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
/// A private key that is not encrypted (§10).
pub const PRIVATE_KEY: &[&str] = &["PRIVATE KEY"];
/// A private key that is encrypted (§11).
pub const ENCRYPTED_KEY: &[&str] = &["ENCRYPTED PRIVATE KEY"];

const DASHES: &str = "-----";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One object of a text.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is, such as `CERTIFICATE`.
    pub label: String,
    /// The line of its BEGIN, from 1.
    pub line: usize,
    /// What it holds; wiped when it is dropped, since it may be a key.
    pub der: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes in line {}", self.label, self.der.len(), self.line)
    }
}

/// Why a text is not read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {reason}")]
pub struct PemError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: PemReason,
}

/// What is wrong in a line.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PemReason {
    /// A boundary with something else in its line, or with other dashes than five.
    #[error("a boundary (-----BEGIN … or -----END …) stands in a line of its own, between five hyphens on each side")]
    Boundary,
    /// An END without BEGIN.
    #[error("the end of nothing: a BEGIN line is missing")]
    NoBegin,
    /// An object without its END.
    #[error("{0} has no END line")]
    NoEnd(String),
    /// Something in an object that is no base64.
    #[error("not base64")]
    Base64,
    /// A header as in RFC 1421: legacy encryption.
    #[error("headers are not read; an encrypted key is PKCS#8 (ENCRYPTED PRIVATE KEY)")]
    Header,
    /// An object without content.
    #[error("{0} holds nothing")]
    Empty(String),
    /// An object of another kind than was asked for.
    #[error("{label} where {expected} is expected")]
    Label {
        /// What it is.
        label: String,
        /// What was asked for.
        expected: &'static str,
    },
    /// No object at all where one is needed; the line is the text's last.
    #[error("no {0} in PEM")]
    Missing(&'static str),
    /// More than one object where one is expected.
    #[error("a second {0}, where one is expected")]
    Second(&'static str),
}

/// What a text holds: every object that is whole, and the first thing that is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// In the order of the text.
    pub objects: Vec<Object>,
    /// For readers that must live with a damaged file.
    pub damage: Option<PemError>,
}

impl Scan {
    fn damaged(&mut self, line: usize, reason: PemReason) {
        self.damage.get_or_insert(PemError { line, reason });
    }

    /// Objects of other kinds than `labels` are damage.
    fn only(mut self, labels: &'static [&'static str]) -> Self {
        let (wanted, others) = self.objects.into_iter().partition(|object| labels.contains(&object.label.as_str()));
        self.objects = wanted;
        let others: Vec<Object> = others;
        if let Some(other) = others.into_iter().next()
            && self.damage.as_ref().is_none_or(|damage| other.line < damage.line)
        {
            let reason = PemReason::Label { label: other.label, expected: labels[0] };
            self.damage = Some(PemError { line: other.line, reason });
        }
        self
    }
}

/// A line that is a boundary, a damaged one, or none.
enum Line<'a> {
    Begin(&'a str),
    End(&'a str),
    Damaged,
    Other,
}

fn classify(whole: &[u8]) -> Line<'_> {
    // §3: white space may follow a boundary, and nothing else.
    let line = whole.trim_ascii_end();
    let is_label = |text: &&str| {
        let printable = !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
        printable && !text.contains("--") && !text.starts_with([' ', '-']) && !text.ends_with([' ', '-'])
    };
    let inner = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(DASHES)?.strip_suffix(DASHES));
    if let Some(begin) = inner.and_then(|inner| inner.strip_prefix("BEGIN ")).filter(is_label) {
        return Line::Begin(begin);
    }
    if let Some(end) = inner.and_then(|inner| inner.strip_prefix("END ")).filter(is_label) {
        return Line::End(end);
    }
    // Words of explanation have no hyphens around BEGIN and END.
    let has = |part: &[u8]| whole.windows(part.len()).any(|window| window == part);
    let bare = line.trim_ascii_start();
    let half = (bare.starts_with(b"BEGIN ") || bare.starts_with(b"END ")) && bare.ends_with(b"--");
    if has(b"-BEGIN ") || has(b"-END ") || half { Line::Damaged } else { Line::Other }
}

/// The lines of a text with their numbers; §3: a line ends with CRLF, CR or LF.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = Some(text);
    let next = move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(text);
        };
        let after = if text[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[after..]);
        Some(&text[..end])
    };
    std::iter::from_fn(next).enumerate().map(|(at, line)| (at + 1, line))
}

/// Reads every object. An object begins at its BEGIN line, whatever is before it.
pub fn scan(text: &[u8]) -> Scan {
    // What editors write before a text is no part of its first line.
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut scan = Scan::default();
    let mut open: Option<(String, usize, Zeroizing<Vec<u8>>)> = None;
    for (number, line) in lines(text) {
        match (classify(line), open.take()) {
            (Line::Damaged, _) => scan.damaged(number, PemReason::Boundary),
            (Line::Other, None) => {}
            (Line::End(_), None) => scan.damaged(number, PemReason::NoBegin),
            (Line::Begin(label), before) => {
                if let Some((label, line, _)) = before {
                    scan.damaged(line, PemReason::NoEnd(label));
                }
                open = Some((label.to_owned(), number, Zeroizing::new(Vec::with_capacity(4096))));
            }
            (Line::Other, Some((label, begin, mut base64))) => {
                let content = line.trim_ascii();
                if content.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')) {
                    grow(&mut base64, content);
                    open = Some((label, begin, base64));
                } else if content.contains(&b':') {
                    scan.damaged(number, PemReason::Header);
                } else {
                    scan.damaged(number, PemReason::Base64);
                }
            }
            (Line::End(end), Some((label, begin, base64))) => {
                if end != label {
                    scan.damaged(begin, PemReason::NoEnd(label));
                    continue;
                }
                match STANDARD.decode(&*base64).map(Zeroizing::new) {
                    Ok(der) if der.is_empty() => scan.damaged(begin, PemReason::Empty(label)),
                    Ok(der) => scan.objects.push(Object { label, line: begin, der }),
                    Err(_) => scan.damaged(begin, PemReason::Base64),
                }
            }
        }
    }
    if let Some((label, line, _)) = open {
        scan.damaged(line, PemReason::NoEnd(label));
    }
    scan
}

/// Appends without leaving a copy behind where the buffer must move.
fn grow(buffer: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    if buffer.capacity() - buffer.len() < more.len() {
        let mut larger = Vec::with_capacity(2 * (buffer.len() + more.len()));
        larger.extend_from_slice(buffer);
        std::mem::swap(&mut **buffer, &mut larger);
        larger.zeroize();
    }
    buffer.extend_from_slice(more);
}

/// Every object of one kind that is whole, and the first thing that is wrong.
pub fn scan_for(text: &[u8], labels: &'static [&'static str]) -> Scan {
    scan(text).only(labels)
}

/// Every object of a text, all of one kind; none if there is no BEGIN line.
pub fn read_all(text: &[u8], labels: &'static [&'static str]) -> Result<Vec<Vec<u8>>, PemError> {
    let Scan { objects, damage } = scan_for(text, labels);
    match damage {
        Some(damage) => Err(damage),
        None => Ok(objects.into_iter().map(|object| object.der.to_vec()).collect()),
    }
}

/// [`read_all`], where there must be one at least.
pub fn read_some(text: &[u8], labels: &'static [&'static str]) -> Result<Vec<Vec<u8>>, PemError> {
    let objects = read_all(text, labels)?;
    if objects.is_empty() { Err(missing(text, labels)) } else { Ok(objects) }
}

/// What the one object of a text holds.
pub fn read_one(text: &[u8], labels: &'static [&'static str]) -> Result<Zeroizing<Vec<u8>>, PemError> {
    read_object(text, labels).map(|object| object.der)
}

/// The one object of a text.
pub fn read_object(text: &[u8], labels: &'static [&'static str]) -> Result<Object, PemError> {
    let Scan { objects, damage } = scan_for(text, labels);
    if let Some(damage) = damage {
        return Err(damage);
    }
    let mut objects = objects.into_iter();
    let first = objects.next().ok_or_else(|| missing(text, labels))?;
    match objects.next() {
        Some(second) => Err(PemError { line: second.line, reason: PemReason::Second(labels[0]) }),
        None => Ok(first),
    }
}

pub(crate) fn missing(text: &[u8], labels: &'static [&'static str]) -> PemError {
    PemError { line: lines(text).count(), reason: PemReason::Missing(labels[0]) }
}

/// An object as PEM (§2: lines of 64 characters).
pub fn write(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    for start in (0..body.len()).step_by(64) {
        text.extend([&body[start..body.len().min(start + 64)], "\n"]);
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n";
    const TWO: &str = "-----BEGIN CERTIFICATE-----\nAg==\n-----END CERTIFICATE-----\n";

    fn all(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
        read_all(text.as_bytes(), CERTIFICATE)
    }

    #[test]
    fn what_was_written_comes_back() {
        for length in [1, 2, 3, 47, 48, 49, 200, 5000] {
            let der: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let text = write("CERTIFICATE", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(all(&text), Ok(vec![der]));
        }
        assert_eq!(all(""), Ok(vec![]));
        assert_eq!(all("nothing of it\n"), Ok(vec![]));
    }

    #[test]
    fn forms_that_rfc_7468_allows_are_read() {
        let both = Ok(vec![vec![1], vec![2]]);
        for text in [
            format!("{ONE}{TWO}"),
            format!("\u{feff}{ONE}{TWO}"),
            format!("{ONE}{TWO}").replace('\n', "\r\n"),
            format!("{ONE}{TWO}").replace('\n', "\r"),
            format!("{ONE}{TWO}").trim_end().to_owned(),
            format!("subject=/CN=Bank – North\nissuer: BEGIN here\n{ONE}\nand the END of it\n\n{TWO}-- \nsigned\n"),
            format!("{ONE}{TWO}").replace("AQ==", "  A\n\tQ= \n\n=  "),
            format!("{ONE}{TWO}").replace("-----\n", "----- \t\n"),
        ] {
            assert_eq!(all(&text), both, "{text:?}");
        }
        let mut latin = b"Z\xfcrich\n".to_vec();
        latin.extend(ONE.bytes());
        assert_eq!(read_all(&latin, CERTIFICATE), Ok(vec![vec![1]]), "text outside is anybody's");
    }

    /// The first two rows were seen: the second certificate of a glued pair, and the first behind a byte order mark,
    /// were dropped without a word.
    #[test]
    fn nothing_is_read_in_part() {
        let boundary = || PemReason::Boundary;
        let rows: Vec<(String, usize, PemReason)> = vec![
            (format!("{}{TWO}", ONE.trim_end()), 3, boundary()),
            (format!("{ONE}\u{feff}{TWO}"), 4, boundary()),
            (format!("note: {ONE}"), 1, boundary()),
            (format!("{ONE}{}", &TWO.replacen("-----BEGIN", "BEGIN", 1)), 4, boundary()),
            (format!("{ONE}{}", &TWO.replacen("-----BEGIN", "----BEGIN", 1)), 4, boundary()),
            (format!("{ONE}{}", &TWO.replacen("-----BEGIN", "------BEGIN", 1)), 4, boundary()),
            (format!("{ONE}{}", &TWO.replacen("CERTIFICATE-----\n", "CERTIFICATE----\n", 1)), 4, boundary()),
            (format!("{ONE} {TWO}"), 4, boundary()),
            (format!("{ONE}-----BEGIN "), 4, boundary()),
            (format!("{ONE}{}", TWO.replace("-----END", "-----\nEND")), 6, PemReason::Base64),
            (format!("{ONE}{}", &TWO[..33]), 4, PemReason::NoEnd("CERTIFICATE".into())),
            (TWO.replace("-----END CERTIFICATE-----\n", "") + ONE, 1, PemReason::NoEnd("CERTIFICATE".into())),
            (TWO.replace("END CERTIFICATE", "END X509 CRL"), 1, PemReason::NoEnd("CERTIFICATE".into())),
            (format!("{ONE}-----END CERTIFICATE-----\n"), 4, PemReason::NoBegin),
            (ONE.replace("AQ==", "A*=="), 2, PemReason::Base64),
            (ONE.replace("AQ==", "AQ="), 1, PemReason::Base64),
            (ONE.replace("AQ==", "AR=="), 1, PemReason::Base64),
            (ONE.replace("AQ==", "AQ==AQ=="), 1, PemReason::Base64),
            (ONE.replace("AQ==", "Proc-Type: 4,ENCRYPTED\n\nAQ=="), 2, PemReason::Header),
            (ONE.replace("AQ==\n", ""), 1, PemReason::Empty("CERTIFICATE".into())),
            (
                format!("{ONE}{}", write("PRIVATE KEY", &[1])),
                4,
                PemReason::Label { label: "PRIVATE KEY".into(), expected: "CERTIFICATE" },
            ),
            (
                ONE.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
                1,
                PemReason::Label { label: "TRUSTED CERTIFICATE".into(), expected: "CERTIFICATE" },
            ),
        ];
        for (text, line, reason) in rows {
            assert_eq!(all(&text), Err(PemError { line, reason }), "{text}");
        }
        let mut damaged = b"Z\xfcrich -----BEGIN CERTIFICATE-----\n".to_vec();
        damaged.extend(ONE.bytes());
        assert_eq!(read_all(&damaged, CERTIFICATE).unwrap_err().line, 1);
    }

    #[test]
    fn what_is_whole_is_found_beside_what_is_damaged() {
        let three = ONE.replace("AQ==", "Aw==");
        let scan = |text: String| {
            let Scan { objects, damage } = scan_for(text.as_bytes(), CERTIFICATE);
            (objects.into_iter().map(|object| object.der[0]).collect::<Vec<_>>(), damage.map(|damage| damage.line))
        };
        assert_eq!(scan(format!("{}{three}", TWO.replace("Ag==", "A*=="))), (vec![3], Some(2)));
        assert_eq!(scan(format!("{ONE}{}{three}", &TWO[..40])), (vec![1], Some(6)), "torn, and glued to the next");
        assert_eq!(scan(format!("{ONE}{}\n{three}", &TWO[..30])), (vec![1, 3], Some(4)));
        assert_eq!(scan(format!("{}{TWO}{three}", ONE.trim_end())), (vec![3], Some(3)));
        assert_eq!(scan(format!("{ONE}{}{three}", write("X509 CRL", &[9]))), (vec![1, 3], Some(4)));
    }

    #[test]
    fn where_one_is_expected_there_is_one() {
        let one = |text: &str| read_one(text.as_bytes(), CERTIFICATE).map(|der| der.to_vec());
        assert_eq!(one(ONE), Ok(vec![1]));
        assert_eq!(one(&format!("{ONE}{TWO}")), Err(PemError { line: 4, reason: PemReason::Second("CERTIFICATE") }));
        let missing = Err(PemError { line: 2, reason: PemReason::Missing("CERTIFICATE") });
        assert_eq!(one("text\n"), missing);
        assert_eq!(read_some(b"text\n", CERTIFICATE).map(|_| vec![]), missing);
        for label in ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"] {
            assert_eq!(read_one(write(label, &[5]).as_bytes(), REQUEST).unwrap().as_slice(), [5]);
        }
    }
}
