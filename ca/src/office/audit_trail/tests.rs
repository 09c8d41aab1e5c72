//! What is recorded of each act, and that no change of the index goes unnoticed.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    KeyPair, Keyring, PassphraseSource, Terms,
    holder::request::make_request,
    limits::{WHO_CHARS_MAX, WHY_CHARS_MAX},
    office::{cause::Cause, enrolment::EnrolmentPolicy, issuing::LeafOptions, revocation::Selection},
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::{CertificateRequest, KeyAlgorithm, RevocationReason};

const NOW: Time = Time::from_millis(1_800_000_000_000);

fn cause(who: &str, why: &str) -> Cause {
    Cause::new(who, Some(why)).unwrap()
}

fn identity(name: &str) -> Identity {
    format!("spiffe://harbour.example/north/client/{name}").parse().unwrap()
}

fn request(name: &str) -> CertificateRequest {
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    CertificateRequest::parse(make_request(&key, &identity(name)).unwrap().as_bytes()).unwrap()
}

/// A folder in which each kind of act was done once.
fn folder(dir: &Path) -> CertificateFolder {
    let source = PassphraseSource::usual(dir);
    source.make().unwrap();
    let (keys, algorithm, by) = (Keyring::new(source), KeyAlgorithm::Ed25519, cause("root@ca", "init"));
    let folder = CertificateFolder::create_with(dir, "harbour.example", algorithm, keys, by, NOW);
    let folder = folder.unwrap().because(cause("ann", "a new member"));
    folder.authorities().add_organization("north", KeyAlgorithm::Ed25519, NOW).unwrap();
    let profile = dir.join("alice");
    folder.issuing().issue_profile(&identity("alice"), &LeafOptions::default(), &profile, NOW).unwrap();

    // The folder itself says nothing: what is done says it.
    let folder = folder.because(Cause::default());
    folder.renewal().renew_credentials(&profile, None, None, NOW).unwrap();
    let filed =
        |name: &str| folder.registration().file_request(&request(name), None, "192.0.2.7", NOW).unwrap().record.id;
    let admin = "spiffe://harbour.example/north/admin/ann";
    folder.registration().approve(&filed("bob"), admin, None, NOW).unwrap();
    folder.registration().reject(&filed("carl"), admin, "not known to us", NOW).unwrap();
    let (token, _) = folder.registration().add_token(&identity("dora"), None, Terms::default(), 1_000, NOW).unwrap();
    folder.registration().enrol(&request("dora"), None, &token, "192.0.2.8", NOW).unwrap();
    folder.registration().set_policy(EnrolmentPolicy { approvals: 2 }, NOW).unwrap();
    folder.revocation().revoke(&Selection::Identity(identity("bob")), RevocationReason::KeyCompromise, NOW).unwrap();
    folder
        .because(cause("eve@ca", "the end"))
        .revocation()
        .revoke_organization("north", RevocationReason::Superseded, NOW)
        .unwrap();
    folder
}

#[test]
fn each_act_says_who_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let (index, acts) = acts(&folder).unwrap();
    let bodies: Vec<Value> =
        acts.iter().map(|act| ledger_classes::primitives::json::from_str(&act.body).unwrap()).collect();
    let told = |body: &Value| {
        let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let about = field("identity").rsplit('/').next().unwrap_or_default().to_owned();
        [field("act"), field("who"), field("why"), if about.is_empty() { field("name") } else { about }]
    };
    let told: Vec<[String; 4]> = bodies.iter().map(told).collect();
    let admin = "spiffe://harbour.example/north/admin/ann";
    let alice = "spiffe://harbour.example/north/client/alice";
    let token = told[8][2].clone();
    assert!(token.starts_with("enrolment token "), "{token}");
    let expected = [
        ["authority-added", "root@ca", "init", "root"],
        ["authority-added", "ann", "a new member", "north"],
        ["issued", "ann", "a new member", "alice"],
        ["renewed", alice, "renewal", "alice"],
        ["approved", admin, "", "bob"],
        ["issued", admin, "", "bob"],
        ["rejected", admin, "not known to us", "carl"],
        ["token-added", "unknown", "", "dora"],
        ["issued", "spiffe://harbour.example/north/client/dora", &token, "dora"],
        ["policy-set", "unknown", "", ""],
        ["revoked", "unknown", "key-compromise", "bob"],
        ["authority-revoked", "eve@ca", "the end", "north"],
    ];
    assert_eq!(told, expected.map(|row| row.map(str::to_owned)));
    for (act, body) in acts.iter().zip(&bodies) {
        assert_eq!(body["line"], act.line);
        assert_eq!(body["source"], index.source().unwrap().to_string());
        assert!(!act.body.contains("\"hash\"") && act.body.len() <= LOG_BODY_BYTES_MAX);
    }
    assert_eq!(acts[0].digest, index.source().unwrap(), "the first act is the source");

    let alice = folder.records().unwrap().certificates()[0].clone();
    let shown = serde_json::to_value(&alice.acts).unwrap();
    assert_eq!(shown[0]["who"], "ann");
    assert_eq!(shown[0]["act"], "issued");
}

/// What a ledger would have of an index.
fn recorded(folder: &CertificateFolder) -> Vec<RecordedLine> {
    let of = |act: &Act| RecordedLine {
        digest: act.digest,
        ..ledger_classes::primitives::json::from_str(&act.body).unwrap()
    };
    acts(folder).unwrap().1.iter().map(of).collect()
}

#[test]
fn a_change_of_any_line_is_noticed_and_located() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let records = recorded(&folder);
    let path = dir.path().join("ca/index.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let compare = |lines: &[&str], records: &[RecordedLine]| {
        Index::new(format!("{}\n", lines.join("\n")).into_bytes()).compare(records)
    };
    let agreed = compare(&lines, &records).unwrap();
    assert_eq!((agreed.records, agreed.waiting, agreed.lines), (12, 0, lines.len()));
    let fewer = compare(&lines, &records[..10]).unwrap();
    assert_eq!((fewer.records, fewer.waiting), (10, 2));
    assert_eq!(compare(&lines, &[]).unwrap().vouched, 0, "nothing is posted yet");

    let act_lines: Vec<usize> = records.iter().map(|record| record.line).collect();
    for number in 1..=lines.len() {
        let mut changed = lines.clone();
        let other = lines[number - 1].replace("\"at\":\"2027", "\"at\":\"2026");
        assert_ne!(other, lines[number - 1]);
        changed[number - 1] = &other;
        let mut removed = lines.clone();
        removed.remove(number - 1);
        let mut added = lines.clone();
        added.insert(number - 1, lines[number - 1]);
        for (what, tampered) in [("changed", changed), ("removed", removed), ("added", added)] {
            let result = compare(&tampered, &records);
            let same = tampered.iter().zip(&lines).take_while(|(new, old)| new == old).count();
            let number = same + 1;
            let next = act_lines.iter().copied().find(|line| *line >= number);
            let Some(next) = next else {
                // Behind the last record: nothing vouches for it yet.
                assert!(result.is_ok(), "{what} {number}");
                continue;
            };
            match result.unwrap_err() {
                Disagreement::Beginning => assert!(number <= 2, "{what} {number}"),
                Disagreement::Line { line } => assert_eq!(line, number, "{what}"),
                Disagreement::Lines { first, last } => {
                    assert!(first <= number && number <= last && last <= next, "{what} {number}: {first} to {last}");
                }
                Disagreement::Missing { line } => {
                    assert_eq!((what, line), ("removed", lines.len()), "{number}");
                    assert_eq!(next, lines.len());
                }
            }
        }
    }
    assert_eq!(compare(&lines[..lines.len() - 3], &records), Err(Disagreement::Missing { line: lines.len() - 2 }));
    assert_eq!(compare(&["{}"], &records), Err(Disagreement::Beginning), "whatever is left of it");
}

/// An index of a release that did not know who and why.
#[test]
fn old_lines_stay_readable() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let path = dir.path().join("ca/index.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let strip = |line: &str| {
        let mut fields: Map<String, Value> = ledger_classes::primitives::json::from_str(line).unwrap();
        fields.retain(|name, _| !["who", "why"].contains(&name.as_str()));
        Value::Object(fields).to_string() + "\n"
    };
    fs::write(&path, text.lines().map(strip).collect::<String>()).unwrap();
    let (_, acts) = acts(&folder).unwrap();
    assert_eq!(acts.len(), 12);
    assert!(acts[0].body.contains(r#""who":"unknown""#) && acts[0].body.contains(r#""why":"""#), "{}", acts[0].body);
    assert_eq!(folder.records().unwrap().certificates()[0].acts[0].cause, Cause::default());
}

#[test]
fn names_and_reasons_are_bounded() {
    for (who, why, fits) in [
        ("a", Some("b"), true),
        ("a", None, true),
        ("a", Some(""), true),
        ("", Some("b"), false),
        (&"a".repeat(WHO_CHARS_MAX + 1), None, false),
        ("a", Some(&"b".repeat(WHY_CHARS_MAX + 1)), false),
        ("a", Some("\u{1b}[2J"), false),
    ] {
        assert_eq!(Cause::new(who, why).is_ok(), fits, "{who:.9} {why:?}");
    }
}
