//! What commands print: aligned tables and short sentences for people, one JSON document for programs.
//!
//! Texts come from peers and from whoever wrote to a ledger: control characters never reach a terminal as they are.

use super::failure::Failure;
use crate::limits::LOG_FLUSH;
use ledger_classes::rights::{Class, Right, Rights};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;

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
            print(&format!("{document:#}\n"))
        } else {
            print(&text(value))
        }
    }

    /// Prints any record: all its fields, aligned.
    pub fn record<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let value = to_json(value)?;
        self.show(&value, record)
    }

    /// Prints a page of records as a table with these fields (a dot leads into an object).
    pub fn page<T: Serialize>(self, page: &client::api::Page<T>, columns: &[&str]) -> Result<(), Failure> {
        self.show(page, |page| {
            let items = to_json(&page.items).ok();
            let items = items.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            // A column that no item has is no column: classes name their fields differently.
            let has = |column: &&str| items.iter().any(|item| lookup(item, column).is_some());
            let columns: Vec<&str> = columns.iter().copied().filter(has).collect();
            let rows: Vec<Vec<String>> =
                items.iter().map(|item| columns.iter().map(|column| cell(item, column)).collect()).collect();
            let mut text = match rows.is_empty() {
                true => format!("nothing at height {}\n", page.height),
                false => table(&columns, &rows),
            };
            if let Some(next) = &page.next {
                let _ = writeln!(text, "more: --from {}", clean(next));
            }
            text
        })
    }

    /// Prints text as it is, whatever the form of other output.
    pub(super) fn text(self, text: &str) -> Result<(), Failure> {
        print(text)
    }

    /// Prints one JSON line, whatever the form of other output.
    pub fn line<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        print(&format!("{}\n", to_json(value)?))
    }
}

/// The text with control characters made visible.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            character if character.is_control() => clean.extend(character.escape_default()),
            // Direction overrides make a terminal show another text than was signed.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                clean.extend(character.escape_unicode());
            }
            character => clean.push(character),
        }
    }
    clean
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => clean(text),
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

fn lookup<'a>(item: &'a Value, column: &str) -> Option<&'a Value> {
    column.split('.').try_fold(item, |value, field| value.get(field))
}

fn cell(item: &Value, column: &str) -> String {
    lookup(item, column).map_or_else(|| "-".into(), scalar)
}

/// Names and values, aligned; a line each.
pub(super) fn pairs<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.as_ref().chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in pairs {
        let _ = writeln!(text, "{:width$}  {}", name.as_ref(), value.as_ref());
    }
    text
}

/// A table with a line of titles.
pub(super) fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| std::iter::once(&titles).chain(rows).filter_map(|row| row.get(at)?.chars().count().into()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// All fields of a value, aligned; fields of objects inside are joined by dots.
pub(super) fn record(value: &Value) -> String {
    fn walk(name: &str, value: &Value, fields: &mut Vec<(String, String)>) {
        let join = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
        match value {
            Value::Object(map) if !map.is_empty() => {
                map.iter().for_each(|(part, value)| walk(&join(part), value, fields));
            }
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                items.iter().enumerate().for_each(|(at, value)| walk(&join(&at.to_string()), value, fields));
            }
            value => fields.push((clean(name), scalar(value))),
        }
    }
    let mut fields = Vec::new();
    walk("", value, &mut fields);
    pairs(&fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_and_tables_are_aligned() {
        let value = json!({ "height": 7, "record": { "owner": "0xab", "frozen": false }, "list": [], "none": null,
            "topics": ["a", "b"], "grants": [{ "to": "bank" }] });
        let text = "grants.0.to    bank\nheight         7\nlist           \nnone           -\nrecord.frozen  false\n\
                    record.owner   0xab\ntopics         a, b\n";
        assert_eq!(record(&value), text);
        let rows = [vec!["coin".to_owned(), "5".into()], vec!["g".into(), "1000".into()]];
        assert_eq!(table(&["asset", "owned"], &rows), "ASSET  OWNED\ncoin   5\ng      1000\n");
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
    fn a_ledger_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d é"), "a\\u{1b}[2Jb\\nc\\u{202e}d é");
        assert_eq!(record(&json!({ "me\u{1b}mo": "\u{7}" })), "me\\u{1b}mo  \\u{7}\n");
    }
}
