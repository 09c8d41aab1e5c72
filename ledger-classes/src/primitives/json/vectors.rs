//! Which JSON texts are taken: `docs/formats/json.jsonl`, for programs in other languages, and so that no release of a
//! library takes others in silence. A payload or a document of a transaction that is taken by one build and refused by
//! another parts their ledgers.

use super::{check_document, from_slice};
use crate::formats::transaction::Transaction;
use serde_json::json;

/// What a text is read as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A transaction's payload.
    Payload,
    /// A document within one, of which only the form matters: an application's settings.
    Document,
}

fn is_taken(kind: Kind, text: &[u8]) -> bool {
    match kind {
        Kind::Payload => from_slice::<Transaction>(text).is_ok(),
        Kind::Document => std::str::from_utf8(text).is_ok_and(|text| check_document(text).is_ok()),
    }
}

/// A payload with something in the place of one of its parts.
fn payload(part: &str, with: &str) -> Vec<u8> {
    let channel = format!("\"{}\"", "07".repeat(32));
    let action = |rules: &str, reason: &str| {
        format!(
            r#"{{"type":"channel.propose","changes":[{{"change":"set_rules","rules":{rules}}}],"reason":{reason}}}"#
        )
    };
    let of = |name: &str, usual: &str| if part == name { with.to_owned() } else { usual.to_owned() };
    let action = of("action", &action(&of("rules", "2"), &of("reason", "\"\"")));
    let text = format!(
        r#"{}{{"channel":{},"nonce":{},"valid_until":{},"fee_max":{},"actions":[{action}]{}}}{}"#,
        of("before", ""),
        of("channel", &channel),
        of("nonce", "\"1\""),
        of("time", "\"2026-11-21T10:05:54Z\""),
        of("amount", "\"0\""),
        of("more", ""),
        of("behind", ""),
    );
    text.into_bytes()
}

/// The vectors: what each is of, where the text stands, the text, and whether it is taken.
fn rows() -> Vec<(&'static str, &'static str, String, bool)> {
    let mut rows: Vec<(&str, &str, String, bool)> = Vec::new();
    let mut row = |what, part, text: &str, taken| rows.push((what, part, text.to_owned(), taken));
    row("as it is", "more", "", true);
    for (text, taken) in
        [(" ", true), ("\t\r\n", true), ("\u{c}", false), ("\u{a0}", false), ("\u{feff}", false), ("\0", false)]
    {
        row("what stands before", "before", text, taken);
        row("what stands behind", "behind", text, taken);
    }
    for text in [",", "{}", "null", "}", "//"] {
        row("what stands behind", "behind", text, false);
    }
    // Numbers are in few places: those of a change, and of a configuration.
    for (text, taken) in [
        ("0", true),
        ("4294967295", true),
        ("4294967296", false),
        ("18446744073709551616", false),
        ("-0", false),
        ("-1", false),
        ("+1", false),
        ("01", false),
        ("1.0", false),
        ("1.", false),
        (".1", false),
        ("1e0", false),
        ("1E2", false),
        ("0x1", false),
        ("\"1\"", false),
        ("null", false),
        ("true", false),
        ("[1]", false),
        ("NaN", false),
    ] {
        row("number", "rules", text, taken);
    }
    for (text, taken) in [
        ("\"0\"", true),
        ("\"18446744073709551615\"", true),
        ("\"18446744073709551616\"", false),
        ("\"01\"", false),
        ("\"\"", false),
        ("\"+1\"", false),
        ("\"-0\"", false),
        ("\" 1\"", false),
        ("\"1.0\"", false),
        ("\"1e3\"", false),
        ("\"\\u0031\"", true),
        ("\"\u{661}\"", false),
        ("1", false),
        ("null", false),
    ] {
        row("decimal text", "nonce", text, taken);
    }
    for (text, taken) in [
        ("\"340282366920938463463374607431768211455\"", true),
        ("\"340282366920938463463374607431768211456\"", false),
        ("\"00\"", false),
        ("0", false),
    ] {
        row("amount", "amount", text, taken);
    }
    for (text, taken) in [
        ("\"2026-11-21T10:05:54.123Z\"", true),
        ("\"2026-11-21T10:05:54.123000Z\"", true),
        ("\"2026-11-21T10:05:54.1234Z\"", false),
        ("\"2026-11-21T11:05:54+01:00\"", true),
        ("\"2026-11-21T10:05:54z\"", false),
        ("\"2026-11-21t10:05:54Z\"", false),
        ("\"2026-11-21 10:05:54Z\"", false),
        ("\"2016-12-31T23:59:60Z\"", false),
        ("\"2026-02-29T00:00:00Z\"", false),
        ("\"9999-12-31T23:59:59.999Z\"", true),
        ("\"1969-12-31T23:59:59Z\"", false),
        ("1795255554000", false),
    ] {
        row("time", "time", text, taken);
    }
    let hex = |digits: &str| format!("\"{digits}\"");
    row("hex", "channel", &hex(&"AB".repeat(32)), false);
    row("hex", "channel", &hex(&"ab".repeat(32)), true);
    row("hex", "channel", &hex(&"ab".repeat(31)), false);
    row("hex", "channel", &hex(&format!("0x{}", "ab".repeat(32))), false);
    for (text, taken) in [
        (r#""\u00e9\u00E9\/\b\f\n\r\t\"\\""#, true),
        (r#""\u0000""#, true),
        (r#""\ud83d\ude00""#, true),
        (r#""\ud83d""#, false),
        (r#""\ude00\ud83d""#, false),
        (r#""\ud83d\u0041""#, false),
        (r#""\x41""#, false),
        (r#""\u41""#, false),
        (r#""\U00000041""#, false),
        ("\"\u{7f}\u{80}\u{10ffff}\"", true),
        ("\"\t\"", false),
        ("\"\n\"", false),
        ("\"\0\"", false),
        ("'a'", false),
        ("a", false),
        ("null", false),
        ("[\"a\"]", false),
    ] {
        row("text", "reason", text, taken);
    }
    for (text, taken) in [
        (r#","memo":"a""#, true),
        (r#","m\u0065mo":"a""#, true),
        (r#","memo":"a","memo":"a""#, false),
        (r#","memo":"a","m\u0065mo":"a""#, false),
        (r#","memo":null"#, false),
        (r#","Memo":"a""#, false),
        (r#","sender":null"#, true),
        (r#","sender":"0x0000000000000000000000000000000000000001""#, true),
        (r#","other":1"#, false),
        (",", false),
        (r#","memo""#, false),
    ] {
        row("member", "more", text, taken);
    }
    for (text, taken) in [
        (r#"{"type":"asset.pause","asset":"a"}"#, true),
        (r#"{"asset":"a","type":"asset.pause"}"#, true),
        (r#"{"type":"asset.p\u0061use","asset":"a"}"#, true),
        (r#"{"type":"asset.pause","asset":"a","type":"asset.pause"}"#, false),
        (r#"{"type":"asset.pause","asset":"a","asset":"a"}"#, false),
        (r#"{"asset":"a","type":"asset.pause","asset":"a"}"#, false),
        (r#"{"type":"asset.pause","asset":"a","more":null}"#, false),
        (r#"{"type":"asset.pause"}"#, false),
        (r#"{"type":"asset.fly","asset":"a"}"#, false),
        (r#"{"type":10,"asset":"a"}"#, false),
        (r#"["asset.pause","a"]"#, false),
        (r#"{"asset.pause":{"asset":"a"}}"#, false),
        (r#""asset.pause""#, false),
    ] {
        row("action", "action", text, taken);
    }
    for (text, taken) in [
        ("{}", true),
        (" [ ] ", true),
        ("null", true),
        ("\"\"", true),
        ("", false),
        ("-0", true),
        ("1e3", true),
        ("1E+3", true),
        ("1.5e-3", true),
        ("123456789012345678901234567890", true),
        ("1e308", true),
        ("1e309", false),
        ("1e-400", true),
        ("-1e400", false),
        ("01", false),
        ("1.", false),
        (".5", false),
        ("+1", false),
        ("Infinity", false),
        ("[1,]", false),
        ("{\"a\":1,}", false),
        ("{\"a\":1,\"b\":{\"a\":1}}", true),
        ("{\"a\":1,\"a\":2}", false),
        (r#"{"a":1,"\u0061":2}"#, false),
        ("{a:1}", false),
        (r#""\ud800""#, false),
        (r#"{"\udc00":1}"#, false),
        ("{} {}", false),
        ("{}\n", true),
        ("\u{feff}{}", false),
        ("TRUE", false),
        ("/**/{}", false),
    ] {
        row("document", "", text, taken);
    }
    for (depth, taken) in [(1, true), (127, true), (128, false), (129, false)] {
        row("depth of arrays", "", &("[".repeat(depth) + &"]".repeat(depth)), taken);
        row("depth of objects", "", &("{\"a\":".repeat(depth - 1) + "{}" + &"}".repeat(depth - 1)), taken);
    }
    rows
}

#[test]
fn which_json_is_taken_is_in_the_golden_file() {
    let mut made = String::new();
    let mut line = |id: String, kind: Kind, text: &[u8], taken: bool| {
        assert_eq!(is_taken(kind, text), taken, "{id}: {}", String::from_utf8_lossy(text));
        let kind = if kind == Kind::Payload { "payload" } else { "document" };
        made += &match std::str::from_utf8(text) {
            Ok(text) => format!("{}\n", json!({ "id": id, "ok": taken, "kind": kind, "text": text })),
            Err(_) => format!("{}\n", json!({ "id": id, "ok": taken, "kind": kind, "hex": hex::encode(text) })),
        };
    };
    for (number, (what, part, text, taken)) in rows().into_iter().enumerate() {
        match part {
            "" => line(format!("{number} {what}"), Kind::Document, text.as_bytes(), taken),
            part => line(format!("{number} {what}"), Kind::Payload, &payload(part, &text), taken),
        }
    }
    let mut wrong = payload("reason", "\"a\"");
    let at = wrong.windows(3).position(|three| three == b"\"a\"").expect("the reason") + 1;
    for bytes in [&[0xff][..], &[0xc0, 0x80], &[0xed, 0xa0, 0x80], &[0xf4, 0x90, 0x80, 0x80]] {
        let mut text = wrong.clone();
        text.splice(at..=at, bytes.iter().copied());
        line(format!("not UTF-8 {}", hex::encode(bytes)), Kind::Payload, &text, false);
    }
    wrong.truncate(wrong.len() - 1);
    line("cut off".into(), Kind::Payload, &wrong, false);
    let golden = include_str!("../../../../docs/formats/json.jsonl");
    assert!(golden == made, "docs/formats/json.jsonl should read:\n{made}");
}
