//! What commands print: aligned tables and short sentences for people, one JSON document for programs.
//!
//! Texts come from peers and from whoever wrote to a ledger: control characters never reach a terminal as they are.

pub(super) use super::clean::clean;
use super::failure::Failure;
use crate::limits::LOG_FLUSH;
use client::api::Page;
use ledger_classes::formats::rights::{Class, Right, Rights};
use ledger_classes::primitives::time::Time;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use unicode_width::UnicodeWidthStr;

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One JSON document instead of text.
    pub json: bool,
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Does what writes to standard output or standard error, and waits a second for it at most: a peer neither waits for
/// ever for whoever should read it, nor ends for it. `None`: it is not done.
pub(super) fn promptly<T: Send + 'static>(write: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (told, tells) = std::sync::mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "one write, which nobody waits for once it is late")]
    let started = std::thread::Builder::new().name("say".into()).spawn(move || told.send(write()));
    started.ok()?;
    tells.recv_timeout(LOG_FLUSH).ok()
}

/// Says something beside the result, on standard error.
pub(super) fn note(text: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(std::io::stderr(), "chancery: {}", clean(text));
}

fn to_json<T: Serialize>(value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::refused(format!("the result cannot be written: {error}")))
}

impl Output {
    /// Prints `value` as the JSON document, or what `text` makes of it.
    pub fn show<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json {
            let document = to_json(value)?;
            print(&ascii(&format!("{document:#}\n")))
        } else {
            print(&lines(&text(value)))
        }
    }

    /// Prints any record: all its fields, aligned.
    pub fn record<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let value = to_json(value)?;
        self.show(&value, record)
    }

    /// Prints a page of records as a table with these fields (a dot leads into an object). A column is called like the
    /// last part of its field.
    pub fn page<T: Serialize>(self, page: &Page<T>, columns: &[&str]) -> Result<(), Failure> {
        self.show(page, |page| {
            let items = to_json(&page.items).ok();
            let items = items.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            // A column that no item has is no column: classes name their fields differently.
            let has = |column: &&str| items.iter().any(|item| lookup(item, column).is_some());
            let columns: Vec<&str> = columns.iter().copied().filter(has).collect();
            let row = |item: &Value| columns.iter().map(|column| cell(item, column)).collect();
            let titles: Vec<String> = columns.iter().map(|column| title(column)).collect();
            let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
            part(&titles, &items.iter().map(row).collect::<Vec<_>>(), page.next.as_deref(), &at_height(page.height))
        })
    }

    /// Prints a part of a list as a table, a row an item.
    pub fn list<T: Serialize>(
        self,
        page: &Page<T>,
        titles: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Failure> {
        self.show(page, |page| {
            let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
            part(titles, &rows, page.next.as_deref(), &at_height(page.height))
        })
    }

    /// Prints text, whatever the form of other output.
    pub(super) fn text(self, text: &str) -> Result<(), Failure> {
        print(&lines(text))
    }

    /// Prints one JSON line, whatever the form of other output.
    pub fn line<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        print(&ascii(&format!("{}\n", to_json(value)?)))
    }
}

/// A JSON document in printable ASCII: what is not is within its texts, where JSON has escapes for it (RFC 8259 §7). A
/// terminal that shows a document for programs is not steered by it either.
pub(super) fn ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\n' | ' '..='~' => ascii.push(character),
            character => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // To write to a string does not fail.
                    let _ = write!(ascii, "\\u{unit:04x}");
                }
            }
        }
    }
    ascii
}

/// The text with everything made visible that steers a terminal but its line breaks, which are ours: what is quoted in it
/// went through [`clean`], as all does that [`pairs`] and [`table`] show.
fn lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// The fields of an object, on one line.
pub(super) fn fields(data: &Value) -> String {
    let fields = data.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" ")
}

/// A text as it is, and what is none in JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A certificate path that a peer gave in PEM, written anew; what is none stays in one line.
pub(super) fn certificate_path(pem: &str) -> String {
    match client::certificate::certificates(pem.as_bytes()) {
        Ok(path) => path.iter().map(|der| pki::pem::write("CERTIFICATE", der)).collect(),
        Err(_) => format!("{}\n", clean(pem)),
    }
}

/// A time as people read it: RFC 3339, whole seconds.
pub(super) fn when(time: Time) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// A time with how far it is, in words.
pub(super) fn until(time: Time, now: Time) -> String {
    let far = |millis: u64| {
        let seconds = millis / 1000;
        let (count, unit) = match seconds {
            172_800.. => (seconds / 86_400, "days"),
            7_200.. => (seconds / 3_600, "hours"),
            120.. => (seconds / 60, "minutes"),
            _ => (seconds, "seconds"),
        };
        format!("{count} {unit}")
    };
    match time.millis().checked_sub(now.millis()) {
        Some(left) => format!("{} (in {})", when(time), far(left)),
        None => format!("{} ({} ago)", when(time), far(now.millis() - time.millis())),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        // A time of the API's own form, and nothing else that looks like one.
        Value::String(text) => match Time::parse(text) {
            Ok(time) if time.to_string() == *text => when(time),
            _ => clean(text),
        },
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(scalar).collect::<Vec<_>>().join(", ")
        }
        // A choice with its fields, such as {"fungible": {"decimals": 2}}.
        Value::Object(fields) if fields.len() == 1 && fields.values().all(Value::is_object) => fields
            .iter()
            .map(|(name, inner)| format!("{} {}", clean(name), scalar(inner)).trim_end().to_owned())
            .collect(),
        Value::Object(fields) if fields.values().all(|value| !value.is_object() && !value.is_array()) => {
            let fields = fields.iter().map(|(name, value)| format!("{}={}", clean(name), scalar(value)));
            fields.collect::<Vec<_>>().join(" ")
        }
        value => clean(&value.to_string()),
    }
}

/// Rights, shortened: `read` and `write` stand for those of every class.
pub(super) fn rights(rights: Rights) -> String {
    let mut words = Vec::new();
    let mut left = rights;
    type Of = fn(Class) -> Right;
    for (word, of) in [("read", Right::Read as Of), ("write", Right::Write as Of)] {
        let every: Rights = Class::ALL.into_iter().map(of).collect();
        if every.without(rights).is_empty() {
            words.push(word.to_owned());
            left = left.without(every);
        }
    }
    words.extend(left.iter().map(|right| right.to_string()));
    words.join(",")
}

/// What a list reflects.
fn at_height(height: u64) -> String {
    format!("at height {height}")
}

/// A part of a list, and how to see the next. `reflects` says what an empty one is empty of.
pub(super) fn part(titles: &[&str], rows: &[Vec<String>], next: Option<&str>, reflects: &str) -> String {
    let mut text = match rows.is_empty() {
        true => format!("nothing {reflects}\n"),
        false => table(titles, rows),
    };
    if let Some(next) = next {
        let _ = writeln!(text, "more: --after {}", clean(next));
    }
    text
}

/// A field's name in words.
fn title(field: &str) -> String {
    clean(&field.rsplit('.').next().unwrap_or(field).replace('_', " "))
}

fn lookup<'a>(item: &'a Value, column: &str) -> Option<&'a Value> {
    column.split('.').try_fold(item, |value, field| value.get(field))
}

fn cell(item: &Value, column: &str) -> String {
    lookup(item, column).map_or_else(|| "-".into(), scalar)
}

/// Columns of the terminal that standard output goes to; nothing where it goes elsewhere, and no line has to fit.
fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Columns that a text takes on a terminal.
fn columns_of(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text, and spaces up to a width.
fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns_of(text))))
}

/// A text in lines of at most `room` columns. What has no space to break at stays whole: ids and paths are copied.
fn folded(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if columns_of(line) + 1 + columns_of(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Names and values, aligned. A value that is longer than the terminal is wide goes on below.
pub(super) fn pairs<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    pairs_within(pairs, terminal_columns())
}

fn pairs_within<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)], columns: Option<usize>) -> String {
    let pairs: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| (clean(name.as_ref()), clean(value.as_ref()))).collect();
    let width = pairs.iter().map(|(name, _)| columns_of(name)).max().unwrap_or(0);
    let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(width + 2));
    let mut text = String::new();
    for (name, value) in &pairs {
        let mut name = name.as_str();
        for line in folded(value, room) {
            text.push_str(format!("{}  {line}", padded(name, width)).trim_end());
            text.push('\n');
            name = "";
        }
    }
    text
}

/// A table with a line of titles. One that is wider than the terminal becomes a paragraph for each row, so that nothing
/// is cut and nothing is broken in the middle.
pub(super) fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    table_within(columns, rows, terminal_columns())
}

fn table_within(columns: &[&str], rows: &[Vec<String>], terminal: Option<usize>) -> String {
    let titles: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            std::iter::once(&titles).chain(&rows).filter_map(|row| row.get(at).map(|cell| columns_of(cell))).max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    let width = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    if terminal.is_some_and(|terminal| width > terminal) {
        let paragraph = |row: &Vec<String>| {
            let named: Vec<(&str, &str)> = columns.iter().copied().zip(row.iter().map(String::as_str)).collect();
            pairs_within(&named, terminal)
        };
        return rows.iter().map(paragraph).collect::<Vec<_>>().join("\n");
    }
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(&rows) {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// All fields of a value, aligned; what is inside of a field is below it, two columns in.
pub(super) fn record(value: &Value) -> String {
    fn walk(indent: usize, name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
        let heading = format!("{}{}", " ".repeat(indent), clean(&name.replace('_', " ")));
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                lines.push((heading, String::new()));
                fields.iter().for_each(|(name, value)| walk(indent + 2, name, value, lines));
            }
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                for (at, item) in items.iter().enumerate() {
                    walk(indent, &format!("{name} {}", at + 1), item, lines);
                }
            }
            value => lines.push((heading, scalar(value))),
        }
    }
    let mut lines = Vec::new();
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| walk(0, name, value, &mut lines)),
        value => walk(0, "", value, &mut lines),
    }
    pairs(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_and_tables_are_aligned() {
        let value = json!({ "height": 7, "record": { "owner": "0xab", "frozen": false }, "list": [], "none": null,
            "topics": ["a", "b"], "grants": [{ "to": "bank" }], "not_after": "2026-11-21T10:05:54.123Z" });
        let text = "grants 1\n  to       bank\nheight     7\nlist\nnone       -\nnot after  2026-11-21T10:05:54Z\n\
                    record\n  frozen   false\n  owner    0xab\ntopics     a, b\n";
        assert_eq!(record(&value), text);
        let rows = [vec!["coin".to_owned(), "5".into()], vec!["g".into(), "1000".into()]];
        assert_eq!(table(&["asset", "owned"], &rows), "ASSET  OWNED\ncoin   5\ng      1000\n");
        let wide = [vec!["\u{6e2f}\u{53e3}".to_owned(), "5".into()]];
        assert_eq!(table(&["a", "b"], &wide), "A     B\n\u{6e2f}\u{53e3}  5\n", "wide letters take two columns");
        assert_eq!(cell(&value, "record.owner"), "0xab");
        assert_eq!(cell(&value, "record"), "frozen=false owner=0xab");
        let kinds = json!({ "coin": { "fungible": { "decimals": 2, "supply_cap": null } }, "deed": { "unique": {} } });
        assert_eq!(cell(&kinds, "coin"), "fungible decimals=2 supply_cap=-");
        assert_eq!(cell(&kinds, "deed"), "unique");
        let (bank, all) = (Rights::from_iter([Right::Read(Class::Logs), Right::Admin]), Rights::member());
        assert_eq!((rights(bank).as_str(), rights(all).as_str()), ("read:logs,admin", "read,write"));
        assert_eq!(
            rights(all.without(Rights::from_iter([Right::Write(Class::Apps)]))),
            "read,write:assets,write:contracts,write:logs"
        );
        assert_eq!(cell(&value, "record.title"), "-");
    }

    #[test]
    fn a_table_that_is_wider_than_the_terminal_becomes_paragraphs() {
        let rows =
            [vec!["0123456789abcdef".to_owned(), "a reason of some length".into()], vec!["f".into(), "-".into()]];
        let columns = ["id", "reason"];
        let whole = "ID                REASON\n0123456789abcdef  a reason of some length\nf                 -\n";
        assert_eq!(table_within(&columns, &rows, None), whole);
        assert_eq!(table_within(&columns, &rows, Some(41)), whole, "it fits exactly");
        let narrow = "id      0123456789abcdef\nreason  a reason\n        of some\n        length\n\nid      f\n\
                      reason  -\n";
        assert_eq!(table_within(&columns, &rows, Some(18)), narrow, "ids stay whole, words do not break");
    }

    #[test]
    fn columns_are_called_by_words_and_not_by_paths() {
        assert_eq!((title("header.created_by"), title("asset")), ("created by".into(), "asset".into()));
    }

    #[test]
    fn times_are_whole_seconds_and_say_how_far_they_are() {
        let now = Time::parse("2026-11-21T10:05:54.123Z").unwrap_or_default();
        assert_eq!(when(now), "2026-11-21T10:05:54Z");
        for (millis, far) in [(3_000, "in 3 seconds"), (600_000, "in 10 minutes"), (10_800_000, "in 3 hours")] {
            assert!(until(now.plus_millis(millis), now).ends_with(&format!("({far})")), "{far}");
        }
        assert!(until(now.plus_millis(30 * 86_400_000), now).ends_with("(in 30 days)"));
        assert!(until(now, now.plus_millis(172_800_000)).ends_with("(2 days ago)"));
        // Somebody's text is no time of ours.
        assert_eq!(scalar(&json!("2026-11-21T10:05:54.1Z")), "2026-11-21T10:05:54.1Z");
    }

    #[test]
    fn a_ledger_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d é"), "a\\u{1b}[2Jb\\nc\\u{202e}d é");
        assert_eq!(record(&json!({ "me\u{1b}mo": "\u{7}" })), "me\\u{1b}mo  \\u{7}\n");
        assert_eq!(pairs(&[("a\rb", "c\nd")]), "a\\rb  c\\nd\n", "also what nobody has cleaned before");
        assert_eq!(table(&["a"], &[vec!["b\nc\u{1b}".into()]]), "A\nb\\nc\\u{1b}\n");
        assert_eq!(lines("a\u{1b}\r\nb"), "a\\u{1b}\\r\nb");
        for hidden in ['\u{200b}', '\u{61c}', '\u{2028}', '\u{feff}', '\u{7f}', '\u{9b}', '\u{e0041}', '\u{ad}'] {
            let shown = clean(&format!("a{hidden}b"));
            assert!(shown.is_ascii() && shown.contains("\\u{"), "{shown}");
        }
    }

    #[test]
    fn a_document_for_programs_cannot_steer_the_terminal_and_says_the_same() {
        let text = "a\u{1b}b\u{7f}c\u{9b}d\u{202e}e\u{1f600}f é \"\\ \n";
        for document in [format!("{:#}\n", json!({ text: text })), format!("{}\n", json!([text]))] {
            let shown = ascii(&document);
            assert!(shown.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{shown}");
            let read = |text: &str| ledger_classes::primitives::json::from_str::<Value>(text).expect("JSON");
            assert_eq!(read(&shown), read(&document));
        }
    }
}
