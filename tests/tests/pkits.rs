//! NIST's Public Key Interoperability Test Suite (PKITS 1.0.1) through the code that admits our peers, with RSA let
//! in, because the suite is written in it. What our profile leaves out by rule is listed, not passed over in silence.
#![allow(clippy::unwrap_used)]

use ledger_classes::primitives::time::Time;
use serde::Deserialize;
use std::collections::BTreeMap;
use tests::conformance::x509::{Case, Verdict, judge};

#[derive(Deserialize)]
struct Suite {
    certificates: BTreeMap<String, String>,
    crls: BTreeMap<String, String>,
    cases: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    id: String,
    name: String,
    leaf: String,
    good: bool,
    intermediates: Vec<String>,
    crls: Vec<String>,
    /// It gives the validator policies to start from.
    #[serde(default)]
    policies: bool,
}

/// Good paths that we refuse, and the rule: RFC 5280's where PKITS follows older ones, or our own.
const REFUSED: &[(&[&str], &str)] = &[
    (&["40104", "40105"], "no DSA"),
    (&["40203"], "no date is before 1970"),
    (&["40204"], "RFC 5280 §4.1.2.5: dates through 2049 are UTCTime"),
    (&["40303", "40304", "40305", "40310", "40311"], "names are compared octet by octet"),
    (&["40306"], "RFC 5280 §4.1.2.8: no unique identifiers"),
    (&["40414"], "RFC 5280 §4.1.2.2: serials are positive"),
    (&["40419", "40501"], "a CRL is signed by the key that signed the certificates"),
    (&["40604"], "RFC 5280 §4.2.1.9: a CA's basicConstraints are critical"),
    (&["40810", "40811", "40813", "40814"], "RFC 5280 §4.2.1.11: policyConstraints are critical"),
];

/// The fixture holds DER in base64; cases hold PEM.
fn pem(base64: &str) -> String {
    format!("-----BEGIN DER-----\n{base64}\n-----END DER-----\n")
}

fn verdict(suite: &Suite, test: &Test) -> Verdict {
    if test.policies {
        return Verdict::Skipped("there are no policies to start from");
    }
    if test.id.starts_with("415") {
        return Verdict::Skipped("delta CRLs are refused, and complete ones count");
    }
    let mut crls: Vec<String> = test.crls.iter().map(|name| pem(&suite.crls[name])).collect();
    crls.push(pem(&suite.crls["TrustAnchorRootCRL.crl"]));
    let case = Case {
        id: test.id.clone(),
        trusted_certs: vec![pem(&suite.certificates["TrustAnchorRootCertificate.crt"])],
        untrusted_intermediates: test.intermediates.iter().map(|name| pem(&suite.certificates[name])).collect(),
        peer_certificate: pem(&suite.certificates[&test.leaf]),
        crls,
        validation_time: Some("2020-01-01T00:00:00Z".into()),
        extended_key_usage: vec!["anyExtendedKeyUsage".into()],
        ..Case::default()
    };
    judge(&case, true, Time::from_millis(0))
}

#[test]
fn no_bad_path_is_admitted_and_good_ones_are_refused_only_by_rule() {
    let suite: Suite =
        ledger_classes::primitives::json::from_str(include_str!("../fixtures/pkits/pkits.json")).unwrap();
    let (mut admitted, mut refused, mut by_rule, mut wrong) = (0, 0, 0, Vec::new());
    let mut skipped = BTreeMap::<&str, (usize, usize)>::new();
    for test in &suite.cases {
        let rule = REFUSED.iter().find(|(ids, _)| ids.contains(&test.id.as_str()));
        match (test.good, verdict(&suite, test)) {
            (true, Verdict::Success) if rule.is_none() => admitted += 1,
            (false, Verdict::Failure(_)) => refused += 1,
            (true, Verdict::Failure(_)) if rule.is_some() => by_rule += 1,
            (good, Verdict::Skipped(rule)) => {
                let (of_good, of_bad) = skipped.entry(rule).or_default();
                *(if good { of_good } else { of_bad }) += 1;
            }
            (good, verdict) => wrong.push(format!("{} {} good: {good}, {verdict:?}", test.id, test.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // docs/conformance.md has these figures: of good paths, of bad ones.
    let expected = BTreeMap::from([
        ("a CA certificate is not accepted at the end of a path", (4, 7)),
        ("a CA that is constrained in directory names, mail addresses or URIs is refused", (13, 18)),
        ("a self-issued CA counts like any other towards path length and name constraints", (3, 2)),
        ("certificate policies are not processed; critical ones are refused", (15, 22)),
        ("delta CRLs are refused, and complete ones count", (4, 6)),
        ("delta, partitioned and indirect CRLs are refused", (16, 20)),
        ("there are no policies to start from", (18, 15)),
    ]);
    assert_eq!((admitted, refused, by_rule, skipped), (19, 46, 18, expected));
}

#[test]
fn without_rsa_nothing_of_it_is_admitted() {
    let suite: Suite =
        ledger_classes::primitives::json::from_str(include_str!("../fixtures/pkits/pkits.json")).unwrap();
    let case = Case {
        trusted_certs: vec![pem(&suite.certificates["TrustAnchorRootCertificate.crt"])],
        untrusted_intermediates: vec![pem(&suite.certificates["GoodCACert.crt"])],
        peer_certificate: pem(&suite.certificates["ValidCertificatePathTest1EE.crt"]),
        validation_time: Some("2020-01-01T00:00:00Z".into()),
        ..Case::default()
    };
    assert_eq!(judge(&case, true, Time::from_millis(0)), Verdict::Success);
    assert_eq!(judge(&case, false, Time::from_millis(0)), Verdict::Skipped("RSA is not in our profile"));
}
