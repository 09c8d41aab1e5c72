//! Good and bad certificate paths in x509-limbo's format through the built `conformance` program.
//! The suite itself is not in the repository: `docs/conformance.md` says how to put it to the program.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use tests::limbo_pairs::document;

/// Paths that our profile does not judge, by the rule that refuses them.
const BY_RULE: &[(&str, &[&str])] = &[
    (
        "a self-issued CA counts like any other towards path length and name constraints",
        &["path-length::self-issued", "constraints::self-issued-ca"],
    ),
    (
        "a CA that is constrained in directory names, mail addresses or URIs is refused",
        &[
            "constraints::directory-permitted",
            "constraints::directory-not-permitted",
            "constraints::directory-excluded",
            "constraints::directory-of-subject-not-permitted",
            "constraints::directory-of-subject-excluded",
            "constraints::mailbox-permitted",
            "constraints::mail-host-permitted",
        ],
    ),
    (
        "delta, partitioned and indirect CRLs are refused",
        &[
            "crl::delta",
            "crl::of-a-distribution-point",
            "crl::of-a-distribution-point-not-critical",
            "crl::of-a-relative-point",
            "crl::of-leaves-for-a-ca",
            "crl::of-cas",
            "crl::of-some-reasons",
            "crl::indirect",
            "crl::of-attributes",
        ],
    ),
    ("the algorithm is not in our profile", &["algorithm::ml-dsa"]),
];

/// A path of ours: whether it is good, and what was said of it.
struct Judged {
    good: bool,
    result: String,
    context: Value,
}

/// What the program says of each case, by its id without our namespace, in the order of the document.
fn judged(document: &Value, arguments: &[&str]) -> Vec<(String, Judged)> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_conformance"))
        .arg("x509")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let input = document.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let mut judged: Value = ledger_classes::primitives::json::from_slice(&output.stdout).unwrap();
    let harness = if arguments.contains(&"--library") { "rustls-webpki" } else { "chancery" };
    assert_eq!((&judged["version"], &judged["harness"]), (&json!(1), &json!(harness)));
    let (cases, results) = (document["testcases"].as_array().unwrap(), judged["results"].as_array_mut().unwrap());
    assert_eq!(cases.len(), results.len());
    let pairs = cases.iter().zip(results);
    pairs
        .map(|(case, result)| {
            assert_eq!(case["id"], result["id"]);
            let id = case["id"].as_str().unwrap();
            let judged = Judged {
                good: case["expected_result"] == "SUCCESS",
                result: result["actual_result"].as_str().unwrap().to_owned(),
                context: result["context"].take(),
            };
            (id.strip_prefix("chancery::").unwrap().to_owned(), judged)
        })
        .collect()
}

fn pairs() -> Value {
    ledger_classes::primitives::json::from_str(include_str!("../fixtures/limbo/pairs.json")).unwrap()
}

#[test]
fn good_paths_are_admitted_and_bad_ones_are_not() {
    let mut by_rule: BTreeMap<&str, &str> = BTreeMap::new();
    for (rule, ids) in BY_RULE {
        by_rule.extend(ids.iter().map(|id| (*id, *rule)));
    }
    let mut wrong = Vec::new();
    for (id, Judged { good, result, context }) in judged(&pairs(), &[]) {
        let expected = match by_rule.remove(id.as_str()) {
            Some(rule) => result == "SKIPPED" && context == rule,
            None => result == if good { "SUCCESS" } else { "FAILURE" },
        };
        if !expected {
            wrong.push(format!("{id}: {result} {context}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(by_rule.is_empty(), "no such paths: {by_rule:?}");
}

/// The figures of docs/conformance.md, and that our paths stand for limbo's.
#[test]
fn what_the_library_alone_admits_is_refused_here() {
    let page = include_str!("../../docs/conformance.md");
    let (ours, library) = (judged(&pairs(), &[]), judged(&pairs(), &["--library"]));
    let bad = |judged: &[(String, Judged)]| -> BTreeSet<String> {
        judged.iter().filter(|(_, judged)| !judged.good).map(|(id, _)| id.clone()).collect()
    };
    let admitted = |judged: &[(String, Judged)]| -> BTreeSet<String> {
        let wrongly = judged.iter().filter(|(_, judged)| !judged.good && judged.result == "SUCCESS");
        wrongly.map(|(id, _)| id.clone()).collect()
    };
    let (bad, alone, here) = (bad(&ours), admitted(&library), admitted(&ours));
    println!("rustls-webpki alone admits {}:\n{}", alone.len(), alone.iter().cloned().collect::<Vec<_>>().join("\n"));

    // Rows whose first column is one of limbo's ids and whose last one holds paths of ours.
    let (mut cases, mut open) = (0, 0);
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [case, _, paths] = columns[..] else { continue };
        let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let core = ["pathlen", "invalid", "pathological", "cve", "rfc5280", "crl", "rfc9881"];
        let namespace = quoted(case)[0].split("::").next().unwrap().to_owned();
        if !core.contains(&namespace.as_str()) && namespace != "webpki" {
            continue;
        }
        let paths = quoted(paths);
        assert!(paths.iter().all(|path| bad.contains(path)), "not among our bad paths: {line}");
        assert!(!paths.is_empty() || line.contains("skipped: "), "no path of ours: {line}");
        if namespace != "webpki" {
            cases += 1;
            open += usize::from(paths.iter().any(|path| alone.contains(path)));
        }
    }
    let lists = |ids: &BTreeSet<String>| ids.iter().filter(|id| id.starts_with("crl::")).count();
    for sentence in [
        format!("holds {} paths of our own", ours.len()),
        format!(
            "Of the {} bad paths rustls-webpki alone admits {}, {} of them with CRLs; the ledger admits {}.",
            bad.len(),
            alone.len(),
            lists(&alone),
            here.len()
        ),
        format!(
            "Of the paths that stand for limbo's {cases} cases below it admits those of {open}; the ledger those of 0."
        ),
    ] {
        println!("{sentence}");
        assert!(page.contains(&sentence), "docs/conformance.md does not say: {sentence}");
    }
    assert!(here.is_empty(), "{here:?}");
}

/// The forms in which documents of the suite, old and new, say the same.
#[test]
fn members_are_read_by_their_meaning() {
    let lists = ["features", "signature_algorithms", "key_usage", "extended_key_usage", "expected_peer_names", "crls"];
    let plain = pairs()["testcases"][0].take();
    assert_eq!(plain["id"], "chancery::path::plain");
    let mut cases = Vec::new();
    let mut add = |expected: &str, changes: &[(&str, Value)]| {
        let mut case = plain.clone();
        for (member, value) in changes {
            case[*member] = value.clone();
        }
        case["expected_result"] = json!(expected);
        cases.push(case);
    };
    add("SUCCESS", &lists.map(|member| (member, Value::Null)));
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    add("SUCCESS", &[("peer_certificate_key", json!(key)), ("importance", json!("critical")), ("more", json!([1]))]);
    let leaf = plain["peer_certificate"].as_str().unwrap();
    add("SUCCESS", &[("peer_certificate", json!(format!("a leaf\n{}", leaf.replace('\n', "\r\n"))))]);
    add("FAILURE", &[("peer_certificate", json!("AAAA"))]);
    for (at, expected) in [
        (json!("2026-01-01T00:00:00Z"), "SUCCESS"),
        (json!("2026-01-01T01:00:00+01:00"), "SUCCESS"),
        (json!("2023-12-31T23:59:59Z"), "FAILURE"),
        // The leaf begins in this second.
        (json!("2024-01-01T00:00:00.500000+00:00"), "SUCCESS"),
        (json!("2023-12-31T23:59:59.999000+00:00"), "FAILURE"),
        (json!("yesterday"), "FAILURE"),
        // Now: our paths are good until 2034.
        (Value::Null, "SUCCESS"),
    ] {
        add(expected, &[("validation_time", at)]);
    }
    for (algorithms, expected) in [
        (json!(["ED25519", "RSASSA_PSS"]), "SUCCESS"),
        (json!(["ECDSA_WITH_SHA256"]), "FAILURE"),
        (json!(["GOSTR3411_94_WITH_3410_2001"]), "FAILURE"),
    ] {
        add(expected, &[("signature_algorithms", algorithms)]);
    }
    for (usage, expected) in [
        (json!(["digitalSignature"]), "SUCCESS"),
        (json!(["contentCommitment"]), "FAILURE"),
        (json!(["encipher_only"]), "FAILURE"),
        (json!(["decipherOnly"]), "FAILURE"),
        (json!(["signature"]), "SKIPPED"),
    ] {
        add(expected, &[("key_usage", usage)]);
    }
    for (purposes, expected) in [
        (json!(["serverAuth"]), "SUCCESS"),
        (json!(["anyExtendedKeyUsage"]), "SUCCESS"),
        (json!(["timeStamping"]), "FAILURE"),
        (json!(["OCSPSigning"]), "FAILURE"),
        (json!(["1.3.6.1.5.5.7.3.17"]), "SKIPPED"),
    ] {
        add(expected, &[("extended_key_usage", purposes)]);
    }
    for (name, expected) in [
        (Value::Null, "SUCCESS"),
        (json!({"kind": "DNS", "value": "EXAMPLE.com"}), "SUCCESS"),
        (json!({"kind": "IP", "value": "example.com"}), "FAILURE"),
        (json!({"kind": "DNS", "value": "192.0.2.1"}), "FAILURE"),
        (json!({"kind": "RFC822", "value": "example.com"}), "FAILURE"),
        (json!({"kind": "URI", "value": "example.com"}), "FAILURE"),
    ] {
        add(expected, &[("expected_peer_name", name)]);
    }
    for (depth, expected) in [(Value::Null, "SUCCESS"), (json!(255), "SUCCESS"), (json!(0), "FAILURE")] {
        add(expected, &[("max_chain_depth", depth)]);
    }
    let large = json!(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "AAAA".repeat(3000)));
    add("SKIPPED", &[("peer_certificate", large.clone())]);
    add("FAILURE", &[("peer_certificate", large), ("features", json!(["denial-of-service"]))]);
    add("SKIPPED", &[("features", json!(["has-cert-policies"]))]);
    add("SUCCESS", &[("features", json!(["pedantic-rfc5280", "a-feature-of-the-future"]))]);

    let document = json!({"version": 1, "testcases": cases});
    for (case, (_, judged)) in cases.iter().zip(judged(&document, &[])) {
        assert_eq!(judged.result, case["expected_result"], "{} of {case}", judged.context);
    }
}

#[test]
fn the_document_is_what_its_program_writes() {
    assert!(pairs() == document(), "run: cargo run -p tests --bin limbo-pairs > tests/fixtures/limbo/pairs.json");
}
