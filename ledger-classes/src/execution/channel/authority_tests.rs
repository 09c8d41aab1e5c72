//! When a member's CA may go on under another certificate, and what comes of it.
#![allow(clippy::unwrap_used)]

use crate::action::Action;
use crate::action::channel::RenewAuthority;
use crate::action::logs::Append;
use crate::execution::test_support::{Ledger, open_config};
use crate::execution::{ConfigRecord, config_of};
use crate::formats::config::Organization;
use crate::formats::detail::{PathFault, PathRefusal};
use crate::formats::event::Event;
use crate::formats::outcome::ResultCode;
use crate::limits::{AUTHORITY_PROOF_BYTES_MAX, CERTIFICATE_BYTES_MAX};
use crate::primitives::hash::HexBytes;
use crate::primitives::time::Time;
use crate::state::participant::{
    AuthorityContinuation, CertificatePaths, CertifiedIdentity, PathRules, authority_message,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A certificate reads `key from until`, in days; its proof is key and message.
struct Readable;

fn read(der: &[u8]) -> (String, Time, Time) {
    let text = String::from_utf8(der.to_vec()).unwrap();
    let mut words = text.split(' ');
    let key = words.next().unwrap().to_owned();
    let mut day = || Time::from_millis(words.next().unwrap().parse::<u64>().unwrap() * DAY_MS);
    (key, day(), day())
}

impl CertificatePaths for Readable {
    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("alpha".into())
    }

    fn verify(&self, _: PathRules, _: &[&[u8]], _: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        Err(PathFault::NoCertificates.into())
    }

    fn continuation(
        &self,
        _: PathRules,
        certificate: &[u8],
        listed: &[&[u8]],
        message: &[u8],
        proof: &[u8],
    ) -> Result<AuthorityContinuation, PathRefusal> {
        let (key, not_before, not_after) = read(certificate);
        let replaces = listed.iter().position(|der| read(der).0 == key).ok_or(PathFault::NoListedKey)?;
        if proof != [key.as_bytes(), message].concat() {
            return Err(PathFault::Proof.into());
        }
        let listed_not_after = read(listed[replaces]).2;
        Ok(AuthorityContinuation { replaces, listed_not_after, serial: vec![7], not_before, not_after })
    }
}

/// Block time is day 20,000. Alpha lists two CAs, beta one that has expired.
fn ledger() -> Ledger {
    let organization = |name: &str, listed: &[&str]| Organization {
        name: name.into(),
        title: name.into(),
        authorities: listed.iter().map(|text| HexBytes(text.as_bytes().to_vec())).collect(),
    };
    let mut config = open_config();
    config.open_submit = false;
    config.created = Time::from_millis(20_000 * DAY_MS);
    config.organizations =
        vec![organization("alpha", &["a1 19000 20100", "a2 19000 20900"]), organization("beta", &["b1 19000 19999"])];
    let mut ledger = Ledger::with_config(config);
    ledger.certificates = &Readable;
    ledger
}

fn renew(ledger: &Ledger, organization: &str, certificate: &str, key: &str) -> Action {
    let ConfigRecord { config, height, .. } = config_of(&ledger.state).unwrap();
    let member = config.organizations.iter().find(|member| member.name == organization);
    let listed = member.map(|member| member.authorities.clone()).unwrap_or_default();
    let message = authority_message(&ledger.channel, height, &listed, certificate.as_bytes());
    let proof = [key.as_bytes(), &message].concat();
    let certificate = HexBytes(certificate.as_bytes().to_vec());
    Action::ChannelRenewAuthority(RenewAuthority {
        organization: organization.into(),
        certificate,
        proof: HexBytes(proof),
    })
}

fn listed(ledger: &Ledger) -> Vec<String> {
    let config = config_of(&ledger.state).unwrap().config;
    let all = config.organizations.into_iter().flat_map(|member| member.authorities);
    all.map(|der| String::from_utf8(der.0).unwrap()).collect()
}

/// A consortium whose CA certificates had all expired could admit nobody, and so change nothing, for ever.
#[test]
fn a_stranger_may_bring_what_the_cas_key_has_signed() {
    let mut ledger = ledger();
    let (beta, alpha) =
        (renew(&ledger, "beta", "b1 19990 23000", "b1"), renew(&ledger, "alpha", "a1 20000 23000", "a1"));
    // Of two changes in one block a light client could be shown the one that never ruled: the second is in none, and
    // comes again.
    let receipts = ledger.run(&[(&[9], vec![beta]), (&[9], vec![alpha.clone()])]);
    let codes: Vec<u16> = receipts.iter().map(|receipt| receipt.head.code).collect();
    assert_eq!(codes, [ResultCode::Done.number()]);
    assert_eq!(listed(&ledger), ["a1 19000 20100", "a2 19000 20900", "b1 19990 23000"]);
    // A consent is for one configuration: the CA signs again.
    assert!(ledger.clone().one(9, vec![alpha]).1.contains("did not sign what it should have"));
    let alpha = renew(&ledger, "alpha", "a1 20000 23000", "a1");
    let receipt = ledger.run(&[(&[9], vec![alpha])]).pop().unwrap();
    assert_eq!(receipt.head.code, ResultCode::Done.number(), "{}", receipt.message());
    assert_eq!(listed(&ledger), ["a1 20000 23000", "a2 19000 20900", "b1 19990 23000"]);

    let events: Vec<Event> = receipt.decoded_events().unwrap();
    let renewed = events.iter().filter(|event| matches!(event, Event::AuthorityRenewed { .. })).count();
    let configured = events.iter().rev().find_map(|event| match event {
        Event::ChannelConfigured { height, configuration, proposal } => Some((*height, *configuration, *proposal)),
        _ => None,
    });
    let record = config_of(&ledger.state).unwrap();
    let expected = (3, record.hash(), receipt.head.id);
    assert_eq!((renewed, configured, record.height, record.orderers_since), (1, Some(expected), 2, 0));
    let told = events.iter().filter_map(|event| match event {
        Event::LogAppended { topic, body, .. } if topic == "audit.channel" => Some(body.clone()),
        _ => None,
    });
    let body = "{\"act\":\"channel.renew_authority\",\"who\":\"ca:alpha\",\"certificate\":\"07\",\
                \"not_after\":\"2032-12-21T00:00:00.000Z\",\"effective\":3}";
    assert_eq!(told.collect::<Vec<_>>().last().map(String::as_str), Some(body));
}

#[test]
fn what_does_not_continue_a_listed_certificate_changes_nothing() {
    use ResultCode::{AuthorityRefused, InvalidField};
    let long = format!("b1 19990 23000{}", " ".repeat(CERTIFICATE_BYTES_MAX));
    let proof = "b".repeat(AUTHORITY_PROOF_BYTES_MAX + 1);
    for (organization, certificate, key, code, why) in [
        ("beta", "b1 19990 20029", "b1", ResultCode::Done, ""),
        ("beta", "b1 19990 20028", "b1", AuthorityRefused, "less than 30 days after"),
        ("beta", "b1 19000 19998", "b1", AuthorityRefused, "not valid at block time"),
        ("beta", "b1 20001 23000", "b1", AuthorityRefused, "not valid at block time"),
        ("beta", "b1 19990 23000", "b2", AuthorityRefused, "did not sign what it should have"),
        ("beta", "b2 19990 23000", "b2", AuthorityRefused, "no listed CA certificate has this key"),
        ("alpha", "b1 19990 23000", "b1", AuthorityRefused, "no listed CA certificate has this key"),
        ("gamma", "b1 19990 23000", "b1", AuthorityRefused, "not a member"),
        ("alpha", "a2 19990 23000", "a2", AuthorityRefused, "more than a year"),
        ("beta", &long, "b1", InvalidField, "8 KiB"),
        ("beta", "b1 19990 23000", &proof, InvalidField, "160"),
    ] {
        let mut ledger = ledger();
        let before = listed(&ledger);
        let action = renew(&ledger, organization, certificate, key);
        let (is, message) = ledger.one(9, vec![action.clone()]);
        assert!(is == code && message.contains(why), "{certificate:.40} by {key:.9}: {is:?} {message}");
        assert_eq!(listed(&ledger) == before, code != ResultCode::Done);
        if code == ResultCode::Done {
            // The consent is spent; the same certificate with a new one is no later than what is listed.
            let again = ledger.one(9, vec![action]);
            assert!(again.1.contains("did not sign what it should have"), "{again:?}");
            let again = renew(&ledger, organization, certificate, key);
            let again = ledger.one(9, vec![again]);
            assert!(again.1.contains("less than 30 days after"), "{again:?}");
        }
    }
    let mut ledger = ledger();
    let append = Action::LogAppend(Append { topic: "tests".into(), digest: None, body: String::new() });
    let actions = vec![renew(&ledger, "beta", "b1 19990 23000", "b1"), append];
    assert_eq!(ledger.one(9, actions).0, ResultCode::NotAParticipant, "it opens the door to nothing else");
}

/// It came back once the members had put the list back, by whoever had kept it.
#[test]
fn a_consent_is_spent_with_its_configuration_even_if_the_list_comes_back() {
    let mut ledger = ledger();
    let old = renew(&ledger, "beta", "b1 19990 23000", "b1");
    let before = config_of(&ledger.state).unwrap();
    ledger.done(9, vec![old.clone()]);
    let back = ConfigRecord { height: before.height + 1, ..before };
    let (_, writes) = crate::execution::configuration::writes_of(&back, 1);
    ledger.state.apply(&writes.into_iter().map(|(key, value)| (key, Some(value))).collect());
    assert!(listed(&ledger).contains(&"b1 19000 19999".to_owned()));
    let (code, message) = ledger.one(9, vec![old]);
    assert_eq!(code, ResultCode::AuthorityRefused, "{message}");
    let new = renew(&ledger, "beta", "b1 19990 23000", "b1");
    ledger.done(9, vec![new]);
}
