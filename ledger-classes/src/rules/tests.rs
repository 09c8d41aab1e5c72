//! What came with which number.

use super::*;
use crate::action::Action;
use crate::action::channel::Approve;
use crate::execution::contracts::builtin::CODES;
use crate::formats::config::{Approvals, Budgets, ConfigChange, Fees, Limits, Organization};
use crate::formats::event::Event;
use crate::formats::outcome::ResultCode;
use crate::formats::rights::{Grant, Grantee, Rights};
use crate::formats::transaction::Encoding;
use crate::keys::Scheme;
use crate::primitives::codec;
use crate::primitives::hash::Hash;
use crate::rules::since::{change_since, scheme_since};

/// One of each change, in the order of their numbers.
fn changes() -> Vec<ConfigChange> {
    let grant = || Grant { to: Grantee::Organization("alpha".into()), rights: Rights::NONE };
    let organization = Organization { name: "alpha".into(), title: String::new(), authorities: Vec::new() };
    vec![
        ConfigChange::Grant(grant()),
        ConfigChange::Deny(grant()),
        ConfigChange::PutOrganization(organization),
        ConfigChange::RemoveOrganization { name: "alpha".into() },
        ConfigChange::SetLimits(Limits::default()),
        ConfigChange::SetFees(Fees::default()),
        ConfigChange::SetApprovals { approvals: Approvals::All },
        ConfigChange::SetPeers { peers: Vec::new(), threshold: 0 },
        ConfigChange::SetPublicRead { public_read: true },
        ConfigChange::SetOpenSubmit { open_submit: true },
        ConfigChange::SetRules { rules: 2 },
        ConfigChange::SetWitnesses { witnesses: Witnesses::Own },
        ConfigChange::SetBudgets(Budgets::default()),
    ]
}

/// Whoever adds an action, a scheme, a contract or a policy after formats are kept adds it under a later number.
#[test]
fn what_came_with_which_number_is_in_the_golden_file() {
    let schema: serde_json::Value =
        crate::primitives::json::from_str(include_str!("../../../docs/formats/transaction.schema.json")).expect("JSON");
    let mut made = String::new();
    for (number, kind) in Action::TYPES.iter().enumerate() {
        let example = schema["$defs"][*kind]["examples"][0].clone();
        let action: Action = crate::primitives::json::from_value(example).expect("an example");
        made += &format!("{} action {number} {kind}\n", action_since(&action));
    }
    for (number, change) in (0u32..).zip(changes()) {
        let (bytes, json) = (codec::encode(&change), serde_json::to_value(&change).expect("our own"));
        assert_eq!(bytes[..4], number.to_le_bytes());
        made += &format!("{} change {number} {}\n", change_since(&change), json["change"].as_str().expect("a name"));
    }
    let next = (changes().len() as u32).to_le_bytes();
    let unknown = codec::decode::<ConfigChange>(&[&next[..], &[0; 64]].concat(), 1024);
    assert!(matches!(unknown, Err(codec::DecodeError::Malformed(_))), "a change that is not listed here: {unknown:?}");
    for (encoding, name) in [(Encoding::Genesis, "genesis"), (Encoding::Binary, "binary"), (Encoding::Json, "json")] {
        made += &format!("{} encoding {} {name}\n", since(encoding, [], &[]), encoding as u8);
    }
    for scheme in [Scheme::Ed25519, Scheme::EcdsaP256] {
        made += &format!("{} scheme {} {scheme}\n", scheme_since(scheme), scheme.byte());
    }
    let known = |since: &u32| *since <= RULES;
    for (since, engine) in ENGINES.iter().filter(|(since, _)| known(since)) {
        let name = serde_json::to_value(engine).expect("our own");
        made += &format!("{since} engine {} {}\n", *engine as u8, name.as_str().expect("a word"));
    }
    for (since, policy) in WITNESSES.iter().filter(|(since, _)| known(since)) {
        made += &format!("{since} witnesses {} {}\n", *policy as u8, policy.text());
    }
    for (since, code) in CODES {
        made += &format!("{since} contract {code}\n");
    }
    for code in ResultCode::ALL {
        made += &format!("{} code {} {}\n", code_since(*code), code.number(), code.name());
    }
    // Numbers ascend among details; what their arguments can be came with them.
    for line in include_str!("../../../docs/formats/refusal-details.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0].parse() {
            Ok(number) => made += &format!("{} detail {number} {}\n", detail_since(number), words[2]),
            Err(_) => made += &format!("1 argument {line}\n"),
        }
    }
    for (number, kind) in Event::KINDS.iter().enumerate() {
        made += &format!("{} event {number} {kind}\n", event_since(kind));
    }
    for (number, paths) in PATHS {
        made += &format!("{number} paths {}\n", paths.number());
    }
    made += &format!("1 configuration {}\n", configuration_version(1));
    let golden = include_str!("../../../docs/formats/rules.txt");
    assert!(golden == made, "docs/formats/rules.txt should read:\n{made}");
}

#[test]
fn what_is_tried_for_the_next_number_is_of_no_earlier_one() {
    assert_eq!(NEXT, RULES + 1);
    for (engine, policy, number) in [
        (Engine::Solo, Witnesses::Own, 1),
        (Engine::Raft, Witnesses::Quorum, NEXT),
        (Engine::Raft, Witnesses::All, NEXT),
        (Engine::Bft, Witnesses::All, u32::MAX),
    ] {
        for in_force in 0..4 {
            assert_eq!(has_engine(in_force, engine), number <= in_force, "{engine:?} under {in_force}");
            assert_eq!(has_witnesses(in_force, policy), number.min(NEXT) <= in_force, "{policy:?} under {in_force}");
        }
    }
    assert_eq!(known(), RULES, "in the process of these tests as in a program's");
}

/// Only what says the number itself is beyond: an approval is looked up.
#[test]
fn a_change_to_a_number_that_this_build_lacks_is_beyond_what_it_knows() {
    for (rules, beyond) in [(RULES, false), (RULES + 1, true), (u32::MAX, true)] {
        let mut changes = changes();
        changes.retain(|change| !matches!(change, ConfigChange::SetRules { .. }));
        assert!(!raises_beyond_known(&changes));
        changes.push(ConfigChange::SetRules { rules });
        assert_eq!(raises_beyond_known(&changes), beyond, "{rules}");
    }
    let approve = Action::ChannelApprove(Approve { proposal: Hash::ZERO });
    assert_eq!(since(Encoding::Json, [Scheme::EcdsaP256], &[approve]), 1);
}

/// Who takes another release of one of these looks first at whether it judges alike.
#[test]
fn the_libraries_whose_judgement_is_part_of_validity_are_those_of_the_golden_file() {
    let (lock, manifest) = (include_str!("../../../Cargo.lock"), include_str!("../../../Cargo.toml"));
    for line in include_str!("../../../docs/formats/judges.txt").lines() {
        let mut words = line.split(' ');
        let (name, version) = (words.next().expect("a name"), words.next().expect("a version"));
        let entry = |version: &str| format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&entry(version)), "{line}: another release is in the lock file");
        assert_eq!(lock.matches(&format!("name = \"{name}\"\n")).count(), 1, "{name} is there in several releases");
        let direct = manifest.lines().find(|line| line.starts_with(&format!("{name} = ")));
        let free = direct.filter(|line| !line.contains(&format!("\"={version}\"")));
        // What the library gives that is no judgement is taken as it comes.
        assert!(free.is_none() || ["hex", "time"].contains(&name), "{name} has no exact version: {free:?}");
    }
}

/// Bounds and costs decide what is valid: another one is of another number, as an action would be.
#[test]
fn the_bounds_and_costs_of_the_rules_are_those_of_the_golden_file() {
    let mut made = String::new();
    for source in [include_str!("../limits.rs"), include_str!("../execution/budget.rs")] {
        for from in source.split("const ").skip(1) {
            let name =
                from.split(|letter: char| letter != '_' && !letter.is_ascii_uppercase()).next().unwrap_or_default();
            // What has a type is a constant; functions have small letters, and what only costs turns is no rule.
            let is_constant = !name.trim_matches('_').is_empty() && from[name.len()..].starts_with(": ");
            if is_constant && !["BLOCK_COST", "TRUST_LINKS_MAX"].contains(&name) {
                let value = from.split(';').next().and_then(|text| text.split_once(" = ")).expect("a constant").1;
                made += &format!("1 {name} {}\n", value.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    let golden = include_str!("../../../docs/formats/limits.txt");
    assert!(golden == made, "docs/formats/limits.txt should read:\n{made}");
}
