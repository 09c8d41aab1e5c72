//! What a change of configuration must leave behind.
#![allow(clippy::unwrap_used)]

use super::governance::Administrators;
use crate::action::Action;
use crate::action::channel::{Approve, Propose};
use crate::execution::config_of;
use crate::execution::test_support::{Ledger, address, open_config, signer};
use crate::formats::config::{Approvals, ChannelConfig, ConfigChange, OrderingPeer, Organization, Witnesses};
use crate::formats::detail::{Detail, Part, PathFault, PathRefusal};
use crate::formats::outcome::ResultCode;
use crate::formats::rights::{Grant, Grantee, Right, Rights};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::rules::{NEXT, RULES, configuration_version};
use crate::state::keyspace;
use crate::state::participant::{CertificatePaths, CertifiedIdentity, Participant, PathRules};
use crate::state::view::ReadView;

/// A CA certificate reads `ca of ORGANIZATION`, one of another key `KEY ca of ORGANIZATION`.
struct Readable;

impl CertificatePaths for Readable {
    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("alpha".into())
    }

    fn verify(&self, _: PathRules, _: &[&[u8]], _: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        Err(PathFault::NoCertificates.into())
    }

    fn authority(&self, _: PathRules, certificate: &[u8], _: &str, organization: &str) -> Result<(), PathRefusal> {
        let fits = certificate.ends_with(format!("ca of {organization}").as_bytes());
        if fits { Ok(()) } else { Err(PathFault::Organization.into()) }
    }
}

const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

fn organization(name: &str) -> Organization {
    let authorities = vec![HexBytes(format!("ca of {name}").into_bytes())];
    Organization { name: name.into(), title: name.into(), authorities }
}

fn admin(organization: &str) -> Identity {
    Identity::new("test.example", organization, Role::Admin, "ann").unwrap()
}

/// The first `members` of [`NAMES`] are members and administer; signer 1 is alpha's administrator, and so on. In
/// `state` each has a letter: here, revoked, expired, never.
fn ledger(members: usize, state: &str, approvals: Approvals) -> Ledger {
    let rights = Rights::from_iter([Right::Admin]);
    let grant = |name: &&str| Grant { to: Grantee::Organization((*name).into()), rights };
    let mut ledger = Ledger::with_config(ChannelConfig {
        organizations: NAMES[..members].iter().map(|name| organization(name)).collect(),
        grants: NAMES[..members].iter().map(grant).collect(),
        public_read: false,
        open_submit: false,
        approvals,
        ..open_config()
    });
    ledger.certificates = &Readable;
    for ((number, name), state) in (1..).zip(NAMES).zip(state.chars()).filter(|(_, state)| *state != 'n') {
        let mut participant = ledger.admit(number, &admin(name));
        if state == 'e' {
            participant.not_after = Time::from_millis(1);
        }
        participant.revoked_height = (state == 'r').then_some(0);
        ledger.put(keyspace::participant(&address(number)), &participant);
        ledger.put(keyspace::administrators(name), &Administrators { known: vec![address(number)] });
    }
    ledger
}

fn deny(to: &str) -> ConfigChange {
    ConfigChange::Deny(Grant { to: Grantee::Organization(to.into()), rights: Rights::from_iter([Right::Admin]) })
}

fn grant(to: Grantee) -> ConfigChange {
    ConfigChange::Grant(Grant { to, rights: Rights::from_iter([Right::Admin]) })
}

fn remove(name: &str) -> ConfigChange {
    ConfigChange::RemoveOrganization { name: name.into() }
}

fn put(name: &str) -> ConfigChange {
    ConfigChange::PutOrganization(organization(name))
}

fn approvals(approvals: Approvals) -> ConfigChange {
    ConfigChange::SetApprovals { approvals }
}

/// Proposed by signer 1 and approved by the others that are there.
fn change(ledger: &mut Ledger, state: &str, changes: Vec<ConfigChange>) -> Result<Hash, String> {
    let propose = Propose { changes, reason: String::new() };
    let receipt = ledger.run(&[(&[1], vec![Action::ChannelPropose(propose)])]).pop().unwrap();
    if receipt.head.code != ResultCode::Done.number() {
        assert_eq!(receipt.head.code, ResultCode::ConfigurationInvalid.number(), "{}", receipt.message());
        return Err(receipt.message());
    }
    let proposal = receipt.head.id;
    for (number, _) in (2u8..).zip(state.chars().skip(1)).filter(|(_, state)| *state == 'h') {
        match ledger.one(number, vec![Action::ChannelApprove(Approve { proposal })]) {
            (ResultCode::ConfigurationInvalid, why) => return Err(why),
            (ResultCode::Done | ResultCode::ProposalUnknown | ResultCode::NoRight, _) => {}
            other => panic!("{other:?}"),
        }
    }
    Ok(proposal)
}

/// `deny` of the last administrator was once done without a word.
#[test]
fn a_change_leaves_a_channel_that_can_be_changed_again() {
    use Approvals::{All, Any, Majority};
    let ann = || Grantee::Identity(admin("alpha"));
    let bob = || Grantee::Identity(Identity::new("test.example", "alpha", Role::Admin, "bob").unwrap());
    let rows: Vec<(usize, &str, Approvals, Vec<ConfigChange>, bool)> = vec![
        // The last administrator, alone or with other changes around it.
        (1, "h", Any, vec![deny("alpha")], false),
        (1, "h", Any, vec![approvals(All), deny("alpha")], false),
        (1, "h", Any, vec![deny("alpha"), grant(ann())], true),
        (1, "h", Any, vec![remove("alpha")], false),
        (2, "hh", Any, vec![deny("alpha")], true),
        (2, "hh", Majority, vec![deny("beta")], false),
        (2, "hh", Majority, vec![deny("beta"), approvals(Any)], true),
        (2, "hh", Majority, vec![remove("beta")], true),
        (3, "hhh", Majority, vec![deny("gamma")], true),
        (3, "hhh", Majority, vec![deny("gamma"), approvals(All)], false),
        // Another name of the same organization counts once its holder is there.
        (1, "h", Any, vec![deny("alpha"), grant(bob())], false),
        // New organizations have nobody on the channel yet; without a right, or a CA of theirs, they never will.
        (1, "h", Majority, vec![put("beta")], false),
        (1, "h", Majority, vec![put("beta"), grant(Grantee::Organization("beta".into()))], true),
        (2, "hn", Majority, vec![approvals(Any)], true),
        (3, "hhn", Majority, vec![put("delta"), grant(Grantee::Organization("delta".into()))], true),
        // Who is known to be gone comes back first.
        (3, "hhr", Majority, vec![approvals(All)], false),
        (3, "hhe", Majority, vec![approvals(All)], false),
        (3, "hhn", Majority, vec![approvals(All)], false),
        (3, "hhr", Majority, vec![remove("beta")], false),
        (3, "hhr", Majority, vec![remove("gamma")], true),
    ];
    for (members, state, policy, changes, good) in rows {
        let what = format!("{members} {state} {policy:?} {changes:?}");
        let mut ledger = ledger(members, state, policy);
        let before = config_of(&ledger.state).unwrap().config;
        let outcome = change(&mut ledger, state, changes);
        assert_eq!(outcome.is_ok(), good, "{what}: {outcome:?}");
        if let Err(why) = &outcome {
            assert!(why.contains("nobody could change it again") || why.contains("1 to 256"), "{what}: {why}");
            assert_eq!(config_of(&ledger.state).unwrap().config, before, "{what}");
        }
    }
}

/// An organization without a person counted as one who could approve: two that never came made a majority of four that the
/// two others could not reach, and `any` with one stolen key ended in `all` of somebody who does not exist.
#[test]
fn who_never_came_is_neither_asked_nor_counted_as_able() {
    let join = |name: &str| vec![put(name), grant(Grantee::Organization(name.into()))];
    let mut ledger = ledger(2, "hh", Approvals::Majority);
    change(&mut ledger, "hh", [join("gamma"), join("delta")].concat()).unwrap();
    let config = |ledger: &Ledger| config_of(&ledger.state).unwrap().config;
    assert_eq!(config(&ledger).organizations.len(), 4);
    let read = |public_read| vec![ConfigChange::SetPublicRead { public_read }];
    change(&mut ledger, "hh", read(true)).unwrap();
    assert!(config(&ledger).public_read, "two of the two who are there");
    // Who has come is asked, and so the majority of four are three.
    for (number, name) in [(3, "gamma"), (4, "delta")] {
        ledger.admit(number, &admin(name));
        ledger.put(keyspace::administrators(name), &Administrators { known: vec![address(number)] });
    }
    change(&mut ledger, "hh", read(false)).unwrap();
    assert!(config(&ledger).public_read, "two of four");
    change(&mut ledger, "hhhn", read(false)).unwrap();
    assert!(!config(&ledger).public_read);
}

#[test]
fn one_administrator_does_not_bind_a_channel_to_people_who_do_not_exist() {
    let mut ledger = ledger(2, "hn", Approvals::Any);
    let ghost = vec![put("gamma"), grant(Grantee::Organization("gamma".into())), approvals(Approvals::All)];
    let refused = change(&mut ledger, "h", ghost).unwrap_err();
    assert!(refused.contains("nobody could change it again") && refused.contains("beta, gamma"), "{refused}");
}

/// The first to come would govern alone, if those who have not come were not asked.
#[test]
fn who_founded_a_channel_is_asked_before_it_has_come() {
    let mut ledger = ledger(3, "hnn", Approvals::Majority);
    change(&mut ledger, "h", vec![approvals(Approvals::Any)]).unwrap();
    assert_eq!(config_of(&ledger.state).unwrap().config.approvals, Approvals::Majority, "one of three");
}

/// By a CA of their own in another member's entry the others were that member, and what it has was theirs.
#[test]
fn the_cas_of_a_member_change_with_its_own_approval_only() {
    let theirs = |name: &str| {
        let mut member = organization(name);
        member.authorities.push(HexBytes(format!("stolen ca of {name}").into_bytes()));
        ConfigChange::PutOrganization(member)
    };
    let listed = |ledger: &Ledger| {
        let config = config_of(&ledger.state).unwrap().config;
        config.organizations.into_iter().find(|member| member.name == "gamma").map(|member| member.authorities.len())
    };
    let again = || vec![remove("gamma"), theirs("gamma"), grant(Grantee::Organization("gamma".into()))];
    for changes in [vec![theirs("gamma")], again()] {
        for policy in [Approvals::Any, Approvals::Majority] {
            let mut ledger = ledger(3, "hhh", policy);
            let proposal = change(&mut ledger, "h", changes.clone()).unwrap();
            let approve = || vec![Action::ChannelApprove(Approve { proposal })];
            ledger.done(2, approve());
            assert_eq!(listed(&ledger), Some(1), "two of three, and not whose CAs they are");
            assert_eq!(ledger.one(2, approve()).0, ResultCode::AlreadyApproved);
            ledger.done(3, approve());
            assert_eq!(listed(&ledger), Some(2));
        }
    }
    // Its title is the others' to set, and so is whether it is a member.
    let mut ledger = ledger(3, "hhh", Approvals::Majority);
    let titled = Organization { title: "The third".into(), ..organization("gamma") };
    change(&mut ledger, "hh", vec![ConfigChange::PutOrganization(titled)]).unwrap();
    assert_eq!(config_of(&ledger.state).unwrap().config.organizations[2].title, "The third");
    change(&mut ledger, "hh", vec![remove("gamma")]).unwrap();
    assert_eq!(listed(&ledger), None);
}

/// Another CA of the same name was done, and from then on every member got `channel-unknown`: nobody could change it back.
#[test]
fn a_ca_that_vouches_for_nobody_who_is_there_does_not_replace_the_one_that_does() {
    let listing = |cas: &[&str]| {
        let authorities = cas.iter().map(|ca| HexBytes(format!("{ca}ca of alpha").into_bytes())).collect();
        vec![ConfigChange::PutOrganization(Organization { authorities, ..organization("alpha") })]
    };
    let (old, both, new) = (|| listing(&[""]), || listing(&["", "new "]), || listing(&["new "]));
    for (members, state, policy, good) in [
        (1, "h", Approvals::Any, false),
        (2, "hh", Approvals::Majority, false),
        (2, "hh", Approvals::Any, true),
        (3, "hhh", Approvals::Majority, true),
    ] {
        let outcome = change(&mut ledger(members, state, policy), state, new());
        assert_eq!(outcome.is_ok(), good, "{members} {policy:?}: {outcome:?}");
    }
    // In one proposal out and in again is no way around it.
    let mut around = vec![remove("alpha"), grant(Grantee::Organization("alpha".into()))];
    around.splice(1..1, new());
    assert!(change(&mut ledger(2, "hh", Approvals::Majority), "hh", around).is_err());
    // A rollover: both, then an administrator by the new one, then the new one alone.
    let mut ledger = ledger(1, "h", Approvals::Any);
    change(&mut ledger, "h", both()).unwrap();
    assert!(change(&mut ledger, "h", new()).unwrap_err().contains("a CA that is listed then"));
    let key = keyspace::participant(&address(1));
    let admitted: Participant = crate::state::record::read(&ledger.state, &key).unwrap().unwrap();
    ledger.put(key, &Participant { authorities: vec![Hash::plain(&[b"new ca of alpha"])], ..admitted });
    change(&mut ledger, "h", new()).unwrap();
    assert!(change(&mut ledger, "h", old()).is_err());
}

/// What was known of its administrators outlived the membership, and nobody of it could be admitted before it came back.
#[test]
fn an_organization_that_left_comes_back_as_one_that_was_never_there() {
    let mut ledger = ledger(2, "hh", Approvals::Majority);
    change(&mut ledger, "hh", vec![remove("beta")]).unwrap();
    let key = keyspace::participant(&address(2));
    let mut beta: Participant = crate::state::record::read(&ledger.state, &key).unwrap().unwrap();
    beta.revoked_height = Some(1);
    ledger.put(key, &beta);
    change(&mut ledger, "h", vec![put("beta"), grant(Grantee::Organization("beta".into()))]).unwrap();
    let organizations = config_of(&ledger.state).unwrap().config.organizations;
    assert_eq!(organizations.len(), 2);
}

#[test]
fn a_ca_that_is_none_of_its_organization_is_refused() {
    let mut other = organization("beta");
    other.authorities = organization("alpha").authorities;
    let changes = vec![ConfigChange::PutOrganization(other), grant(Grantee::Organization("beta".into()))];
    let refused = change(&mut ledger(1, "h", Approvals::Any), "h", changes).unwrap_err();
    assert!(refused.contains("a CA certificate of beta: it is of another organization"), "{refused}");
}

/// `set_peers` to a stranger halted the channel for good.
#[test]
fn the_ordering_peer_and_its_key_stay_until_there_can_be_several() {
    let present = open_config().peers[0].clone();
    let other = Identity::new("test.example", "alpha", Role::Peer, "p2").unwrap();
    for (peers, good) in [
        (vec![present.clone()], true),
        (vec![OrderingPeer { weight: 0, ..present.clone() }], false),
        (vec![OrderingPeer { weight: 2, ..present.clone() }], false),
        (vec![OrderingPeer { identity: other.clone(), ..present.clone() }], false),
        (vec![OrderingPeer { key: signer(201).public(), ..present.clone() }], false),
        (vec![present, OrderingPeer { identity: other, key: signer(201).public(), weight: 1 }], false),
    ] {
        let mut ledger = ledger(1, "h", Approvals::Any);
        let read = ConfigChange::SetPublicRead { public_read: true };
        let outcome =
            change(&mut ledger, "h", vec![ConfigChange::SetPeers { peers: peers.clone(), threshold: 1 }, read]);
        assert_eq!(outcome.is_ok(), good, "{peers:?}: {outcome:?}");
        ledger.done(
            1,
            vec![Action::ChannelPropose(Propose { changes: vec![approvals(Approvals::All)], reason: String::new() })],
        );
    }
}

/// Two proposals that are each harmless: the second to take effect is judged by what the first has left.
#[test]
fn an_older_proposal_is_judged_again_when_it_takes_effect() {
    let mut ledger = ledger(3, "hhh", Approvals::Majority);
    let mut propose = |changes| {
        let action = Action::ChannelPropose(Propose { changes, reason: String::new() });
        let receipt = ledger.run(&[(&[1], vec![action])]).pop().unwrap();
        assert_eq!(receipt.head.code, ResultCode::Done.number(), "{}", receipt.message());
        receipt.head.id
    };
    let (older, newer) = (propose(vec![deny("beta")]), propose(vec![deny("gamma")]));
    ledger.done(2, vec![Action::ChannelApprove(Approve { proposal: newer })]);
    let (code, message) = ledger.one(2, vec![Action::ChannelApprove(Approve { proposal: older })]);
    assert_eq!(code, ResultCode::ConfigurationInvalid, "{message}");
    assert!(message.contains("missing in beta, gamma"), "{message}");
}

/// A program of the number before executes such a change, too, and both must come to one receipt and one record: what the
/// next number brings, or how it writes a configuration, is no matter before it is in force.
#[test]
fn a_change_that_raises_the_rules_is_judged_and_written_by_those_in_force() {
    let mut ledger = ledger(1, "h", Approvals::Any);
    let (rules, witnesses) = (ConfigChange::SetRules { rules: NEXT }, Witnesses::Quorum);
    let witnessed = ConfigChange::SetWitnesses { witnesses };
    let ahead = Detail::AheadOfRules { part: Part::Witnesses, rules: RULES.into() }.to_string();
    for changes in
        [vec![witnessed.clone()], vec![rules.clone(), witnessed.clone()], vec![witnessed.clone(), rules.clone()]]
    {
        assert_eq!(change(&mut ledger, "h", changes), Err(ahead.clone()));
    }
    change(&mut ledger, "h", vec![rules]).unwrap();
    let raised = config_of(&ledger.state).unwrap();
    assert_eq!((raised.config.rules, raised.config.witnesses), (NEXT, Witnesses::Own));
    let value = ledger.state.get(&keyspace::config_at(raised.height)).unwrap().unwrap();
    assert_eq!(value[..5], [&[configuration_version(RULES)][..], &NEXT.to_le_bytes()].concat());
    change(&mut ledger, "h", vec![witnessed]).unwrap();
    assert_eq!(config_of(&ledger.state).unwrap().config.witnesses, Witnesses::Quorum);
    // No number goes back, and none is left out.
    for rules in [RULES, NEXT + 2] {
        assert!(change(&mut ledger, "h", vec![ConfigChange::SetRules { rules }]).is_err(), "{rules}");
    }
}
