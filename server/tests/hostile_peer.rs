//! What a peer says, and what others wrote on a ledger, is quoted: it begins no line and steers no terminal, whether it
//! comes as an error or as an answer. Every example of every command's help is shown such texts, in its form for people.

#![allow(clippy::unwrap_used)]

#[path = "support/examples.rs"]
mod examples;
#[path = "../../client/tests/support/peer.rs"]
mod peer;

use client::keys::write_account_key;
use examples::{asking, prepared};
use ledger_classes::keys::SigningKey;
use peer::{Authority, Seen, answer, peer, profile};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Every line break and every way to steer a terminal that there is a word for.
const HOSTILE: &str = "x\nFORGED: paid\r\u{1b}[2J\u{7}\u{85}\u{9b}\u{202e}\u{2028}\u{2029}\u{200b}FORGED";

/// How many of the examples ended with 0.
fn shows_nothing_forged(what: &str, url: &str, authority: &Authority, here: &Path) -> usize {
    let (folder, _) = profile(authority, authority, url);
    write_account_key(&folder.path().join("account.key"), &SigningKey::from_seed(&[1; 32])).unwrap();
    let at = ["--profile", folder.path().to_str().unwrap()];
    let (queue, wrong, done) = (Mutex::new(asking()), Mutex::new(Vec::new()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some(words) = queue.lock().unwrap().pop() else { break };
                    // A subscription has another form, and no end.
                    if words[0] == "watch" {
                        continue;
                    }
                    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
                    command.env_clear().current_dir(here).stdin(Stdio::null());
                    let output = command.args(&words).args(at).output().unwrap();
                    *done.lock().unwrap() += usize::from(output.status.success());
                    for said in [&output.stdout, &output.stderr] {
                        let said = String::from_utf8_lossy(said);
                        let steers = |letter: char| {
                            letter != '\n' && (letter.is_control() || HOSTILE.contains(letter) && !letter.is_ascii())
                        };
                        if said.chars().any(steers) || said.lines().any(|line| line.trim_start().starts_with("FORGED"))
                        {
                            wrong.lock().unwrap().push(format!("{words:?}: {said:?}"));
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
    done.into_inner().unwrap()
}

#[test]
fn a_problems_words_stay_in_their_line_for_every_command() {
    let (authority, here) = (Authority::new("root"), prepared());
    for status in ["403 Forbidden", "404 Not Found", "503 Service Unavailable"] {
        let number: u16 = status[..3].parse().unwrap();
        let body = json!({ "type": format!("urn:chancery:problem:{HOSTILE}"), "title": HOSTILE, "status": number,
            "detail": HOSTILE, "retry_after_ms": 60_000 });
        let hostile = peer(&authority, move |_, _| answer(status, "application/problem+json", "", &body.to_string()));
        assert_eq!(shows_nothing_forged(status, &hostile.url, &authority, here.path()), 0);
    }
    let garbage = peer(&authority, |_, _| answer("200 OK", "application/json", "", &json!([HOSTILE]).to_string()));
    shows_nothing_forged("another document", &garbage.url, &authority, here.path());
}

#[test]
fn what_is_written_on_a_ledger_stays_in_its_line_for_every_command_that_shows_it() {
    let (authority, here) = (Authority::new("root"), prepared());
    let document = server::api::document();
    let hostile = peer(&authority, move |_, seen| respond(&document, seen));
    let done = shows_nothing_forged("an answer", &hostile.url, &authority, here.path());
    assert!(done >= 20, "{done} commands could read what they were answered");
}

/// An answer of the form that the API describes, with hostile text wherever that leaves text free.
fn respond(document: &Value, seen: &Seen) -> String {
    let mut words = seen.line.split(' ');
    let method = words.next().unwrap_or_default().to_lowercase();
    let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default();
    let is_at = |template: &str| {
        let (mine, theirs): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
        mine.len() == theirs.len() && mine.iter().zip(&theirs).all(|(mine, it)| it.starts_with('{') || mine == it)
    };
    let routes = document["paths"].as_object().unwrap();
    let operation = routes.iter().filter(|(template, _)| is_at(template)).find_map(|(_, at)| at.get(&method));
    let answers = operation.and_then(|operation| operation["responses"].as_object());
    let good = answers.and_then(|answers| answers.iter().find(|(status, _)| status.starts_with('2')));
    let Some((status, good)) = good else { return answer("404 Not Found", "text/plain", "", HOSTILE) };
    let status = format!("{status} OK");
    match good["content"].get("application/json") {
        Some(content) => {
            let made = made(document, &content["schema"], "", 0);
            answer(&status, "application/json", "", &made.to_string())
        }
        None => answer(&status, "text/plain", "", HOSTILE),
    }
}

/// A value of a schema. `name` is the field's, since a text may be a channel, an address or a hash.
fn made(document: &Value, schema: &Value, name: &str, depth: usize) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let of = document.pointer(reference.trim_start_matches('#')).unwrap();
        return if depth > 12 { Value::Null } else { made(document, of, name, depth + 1) };
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    for choice in ["oneOf", "anyOf"] {
        let all = schema[choice].as_array().into_iter().flatten();
        if let Some(first) = all.clone().find(|of| of["type"] != "null") {
            return made(document, first, name, depth + 1);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts.iter().filter_map(|part| made(document, part, name, depth + 1).as_object().cloned());
        return Value::Object(parts.flatten().collect());
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    match kind.as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let mut object: Map<String, Value> =
                fields.map(|(name, of)| (name.clone(), made(document, of, name, depth + 1))).collect();
            if object.is_empty() {
                object.insert(HOSTILE.into(), json!([HOSTILE, { HOSTILE: HOSTILE }]));
            }
            Value::Object(object)
        }
        Some("array") => json!([made(document, &schema["items"], name, depth + 1)]),
        Some("integer" | "number") => schema.get("minimum").filter(|least| **least != 0).cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        _ => text(schema, name).into(),
    }
}

/// A text: of its form where a program could not read another, else hostile. A name need not be one.
fn text(schema: &Value, name: &str) -> String {
    const ADDRESS: &str = "0x5cb4b8a1c62bd8ae4bdbb6ea1c0da9ba2b4f2e51";
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match name {
        _ if schema["format"] == "date-time" => "2026-11-21T10:05:54.123Z".into(),
        _ if pattern.starts_with("^[0-9]") => "5".into(),
        _ if pattern.contains("0x") => ADDRESS.into(),
        _ if pattern == "^[0-9a-f]{64}$" => "ab".repeat(32),
        _ if pattern.contains("[0-9a-f]{2}") => "0a".into(),
        "address" | "account" | "from" | "to" | "owner" | "spender" | "sender" => ADDRESS.into(),
        _ => HOSTILE.into(),
    }
}
