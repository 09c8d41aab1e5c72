//! Tests of what a configuration may be.

use crate::action::Action;
use crate::action::channel::{Propose, RevokeByEvidence};
use crate::execution::test_support::{open_config, signer};
use crate::formats::config::*;
use crate::keys::PublicKey;
use crate::primitives::identity::Identity;
use crate::state::participant::NoCertificates;

/// Paths and commands take an id or a name, and this one meant the other channel.
#[test]
fn a_name_that_reads_as_an_id_is_refused() {
    for (name, good) in
        [("a".repeat(64), false), ("0".repeat(64), false), ("g".repeat(64), true), ("a".repeat(63), true)]
    {
        assert_eq!(ChannelConfig { name: name.clone(), ..open_config() }.check(1).is_ok(), good, "{name}");
    }
}

/// Every auditor of a member saw administrative acts where anybody could read.
#[test]
fn what_anybody_may_read_makes_no_auditor() {
    let eve = Identity::new("test.example", "alpha", Role::Auditor, "eve").expect("valid");
    let mut config = open_config();
    assert!(config.public_read && !config.rights_of(Some(&eve)).allows(Right::Audit));
    assert!(config.rights_of(Some(&eve)).allows(Right::Read(Class::Logs)));
    config.grants = vec![Grant {
        to: Grantee::Organization("alpha".into()),
        rights: Class::ALL.into_iter().map(Right::Read).collect(),
    }];
    assert!(config.rights_of(Some(&eve)).allows(Right::Audit));
}

/// The quick start once made a channel of two organizations whose changes both had to approve, and only one of them
/// had an administrator.
#[test]
fn a_configuration_that_nobody_could_change_again_is_told_from_one_that_somebody_could() {
    let member = |name: &str, cas: usize| Organization {
        name: name.into(),
        title: String::new(),
        authorities: vec![HexBytes(vec![0x30]); cas],
    };
    let grants = |text: &str| -> Vec<Grant> {
        let grant = |text: &str| {
            let (to, rights) = text.split_once('=').expect("whom and what");
            let to = match Identity::parse(&format!("spiffe://test.example/{to}")) {
                Ok(identity) => Grantee::Identity(identity),
                Err(_) => Grantee::Organization(to.into()),
            };
            let rights = rights.split(',').map(|right| right.parse::<Right>().expect("a right")).collect();
            Grant { to, rights }
        };
        text.split_whitespace().map(grant).collect()
    };
    use Approvals::{All, Any, Majority};
    for (approvals, cas, text, good) in [
        (Majority, [1, 1, 0], "alpha=admin beta=admin", true),
        (Majority, [1, 1, 0], "alpha=admin", false),
        (Majority, [1, 1, 0], "alpha=admin beta=read:logs,write:logs", false),
        (Majority, [1, 1, 0], "alpha=admin beta/admin/ann=admin", true),
        // Only administrators approve.
        (Majority, [1, 1, 0], "alpha=admin beta/client/ann=admin", false),
        (Majority, [1, 0, 1], "alpha=admin beta=admin", false),
        (Majority, [1, 0, 1], "alpha=admin beta=admin gamma=admin", true),
        (All, [1, 1, 0], "alpha=admin beta=admin", false),
        (All, [1, 1, 1], "alpha=admin beta=admin gamma=admin", true),
        (Any, [1, 0, 0], "alpha=admin", true),
        (Any, [1, 1, 1], "alpha=audit", false),
        (Any, [0, 1, 1], "alpha=admin", false),
        // What several peers would have.
        (Any, [1, 1, 1], "alpha=admin alpha/peer/p1=order,hold", true),
        (Any, [1, 1, 1], "alpha=admin beta/peer/p2=hold", false),
        (Any, [1, 1, 1], "alpha=admin,order", false),
    ] {
        let mut config = open_config();
        let names = ["alpha", "beta", "gamma"];
        config.organizations = names.iter().zip(cas).map(|(name, cas)| member(name, cas)).collect();
        (config.approvals, config.grants) = (approvals, grants(text));
        assert_eq!(config.check(1), Ok(()));
        assert_eq!(config.check_founding(&NoCertificates).is_ok(), good, "{approvals:?} {cas:?} {text}");
        // Later a member without a CA has lost it, and is not asked.
        let without = config.organizations.iter().filter(|member| member.authorities.is_empty()).count();
        let governable = config.check_governable().is_ok();
        assert!(governable || !good);
        config.organizations.retain(|member| !member.authorities.is_empty());
        assert_eq!(governable, config.check_governable().is_ok(), "{approvals:?} {cas:?} {text}: {without} without");
    }
    let mut config = open_config();
    (config.grants, config.organizations) = (grants("alpha=admin"), vec![member("alpha", 1)]);
    assert_eq!(config.check_governable(), Ok(()));
    config.engine = Engine::Raft;
    let ahead = |part| Err(ConfigError(Detail::AheadOfRules { part, rules: 1 }));
    assert_eq!(config.check(1), ahead(Part::Engine));
    assert_eq!(config.check_genesis(), ahead(Part::Engine), "no channel begins so");
    config.engine = Engine::Bft;
    assert_eq!(config.check_genesis(), ahead(Part::Engine));
    (config.engine, config.witnesses) = (Engine::Solo, Witnesses::Quorum);
    assert_eq!(config.check_genesis(), ahead(Part::Witnesses));
}

/// At `payload_bytes_max: 1` every later change was oversize, at 1200 no revocation by evidence fitted.
#[test]
fn no_limit_of_a_channel_keeps_it_from_being_changed_or_people_from_being_revoked() {
    let good = Limits {
        payload_bytes_max: u32::try_from(limits::PAYLOAD_BYTES_MIN).expect("fits"),
        actions_max: 2,
        block_transactions_max: 16,
        block_bytes_max: u32::try_from(limits::PAYLOAD_BYTES_MIN + limits::ENVELOPE_ROOM_BYTES).expect("fits"),
        block_age_ms_max: 0,
    };
    let check = |limits| ChannelConfig { limits, ..open_config() }.check(1);
    assert_eq!((check(good), check(Limits::default())), (Ok(()), Ok(())));
    for (bad, what) in [
        (Limits { payload_bytes_max: 1, ..Limits::default() }, "payload_bytes_max"),
        (Limits { payload_bytes_max: 1_200, ..Limits::default() }, "payload_bytes_max"),
        (Limits { payload_bytes_max: good.payload_bytes_max - 1, ..good }, "payload_bytes_max"),
        (Limits { actions_max: 1, ..good }, "actions_max"),
        (Limits { block_transactions_max: 15, ..good }, "block_transactions_max"),
        (Limits { block_bytes_max: good.block_bytes_max - 1, ..good }, "block_bytes_max"),
        (Limits { block_age_ms_max: limits::BLOCK_AGE_MS_MAX + 1, ..good }, "block_age_ms_max"),
    ] {
        let refused = check(bad).expect_err("it would lock the channel").to_string();
        assert!(refused.contains(&format!("{what} is ")), "{refused}");
    }
    // The largest that must fit, as people post it.
    let certificate = || HexBytes(vec![0xff; limits::CERTIFICATE_BYTES_MAX]);
    let evidence = Action::ParticipantRevokeByEvidence(RevokeByEvidence {
        path: vec![certificate(); limits::CERTIFICATE_PATH_MAX],
        evidence: HexBytes(vec![0xff; limits::OCSP_BYTES_MAX]),
    });
    let raise = Action::ChannelPropose(Propose {
        changes: vec![ConfigChange::SetLimits(Limits::default())],
        reason: "x".repeat(limits::MEMO_BYTES_MAX),
    });
    for action in [evidence, raise] {
        let transaction = crate::formats::transaction::Transaction {
            channel: crate::primitives::hash::Hash([7; 32]),
            nonce: u64::MAX,
            valid_until: Time::from_millis(1_795_000_000_000),
            fee_max: Amount::MAX,
            actions: vec![action],
            memo: "x".repeat(limits::MEMO_BYTES_MAX),
            sender: Some(signer(1).public().address()),
        };
        let json = serde_json::to_vec(&transaction).expect("a transaction serializes");
        assert!(json.len() <= limits::PAYLOAD_BYTES_MIN, "{}", json.len());
    }
}

#[test]
fn a_configuration_fits_one_record_and_its_orderers_keys_are_their_own() {
    assert_eq!(open_config().check(1), Ok(()));
    let organization = |number: usize| Organization {
        name: format!("org-{number}"),
        title: String::new(),
        authorities: vec![HexBytes(vec![0; limits::CERTIFICATE_BYTES_MAX]); 8],
    };
    let mut config = open_config();
    config.organizations.extend((0..2).map(organization));
    assert_eq!(config.check(1), Ok(()));
    config.organizations.extend((2..4).map(organization));
    assert!(config.check(1).is_err(), "it would be written once and never be read again");

    // As many members as there may be, each with a CA certificate of the usual size and a grant.
    let member = |number: usize| Organization {
        name: format!("organization-{number}"),
        title: format!("Organization {number}"),
        authorities: vec![HexBytes(vec![0; 600])],
    };
    let mut config = open_config();
    config.organizations = (0..limits::ORGANIZATIONS_MAX).map(member).collect();
    config.grants = config
        .organizations
        .iter()
        .map(|member| Grant {
            to: Grantee::Organization(member.name.clone()),
            rights: [Right::Admin].into_iter().collect(),
        })
        .collect();
    assert_eq!(config.check(1), Ok(()));

    let mut config = open_config();
    let mut neutral = [0; 32];
    neutral[0] = 1;
    config.peers[0].key = PublicKey::ed25519(neutral);
    assert!(config.check(1).is_err(), "anybody could seal");
    config.peers[0].key = signer(1).public();
    assert_eq!(config.check(1), Ok(()));
}

/// With a lower threshold two blocks of one height could be final, with a higher one none; a peer that is listed twice would
/// count twice.
#[test]
fn a_threshold_is_between_what_two_blocks_cannot_both_have_and_all_weight() {
    let peer = |number: u8, weight: u32| OrderingPeer {
        identity: Identity::new("test.example", "alpha", Role::Peer, &format!("p{number}")).expect("an identity"),
        key: signer(number).public(),
        weight,
    };
    let many = |weight: u32| (1..=4).map(|number| peer(number, weight)).collect::<Vec<_>>();
    for (engine, peers, threshold, good) in [
        (Engine::Solo, vec![peer(1, 1)], 1, true),
        (Engine::Solo, vec![peer(1, 7)], 7, true),
        (Engine::Solo, vec![peer(1, 7)], 6, false),
        (Engine::Solo, vec![peer(1, 1)], 0, false),
        (Engine::Solo, vec![peer(1, 1)], 2, false),
        (Engine::Solo, vec![peer(1, 0)], 0, false),
        (Engine::Solo, vec![peer(1, limits::WEIGHT_MAX)], u64::from(limits::WEIGHT_MAX), true),
        (Engine::Solo, vec![peer(1, limits::WEIGHT_MAX + 1)], u64::from(limits::WEIGHT_MAX) + 1, false),
        (Engine::Solo, many(1), 4, false),
        (Engine::Raft, many(1), 3, true),
        (Engine::Raft, many(1), 2, false),
        (Engine::Raft, many(2), 5, true),
        (Engine::Raft, many(1), 5, false),
        (Engine::Bft, many(1), 3, true),
        (Engine::Bft, many(3), 8, false),
        (Engine::Bft, many(3), 9, true),
        (Engine::Raft, vec![peer(1, 1), peer(1, 1)], 2, false),
        (Engine::Raft, vec![peer(1, 1), OrderingPeer { key: signer(1).public(), ..peer(2, 1) }], 2, false),
        (Engine::Raft, vec![], 0, false),
        (Engine::Raft, (0..=128).map(|number| peer(number, 1)).collect(), 100, false),
    ] {
        let orderers = Orderers { engine, peers, threshold };
        let verdict = orderers.check();
        assert_eq!(verdict.is_ok(), good, "{orderers:?}: {verdict:?}");
        let Orderers { engine, peers, threshold } = orderers;
        let config = ChannelConfig { engine, peers, threshold, ..open_config() };
        assert_eq!(config.check(rules::NEXT).is_ok(), good && engine != Engine::Bft);
    }
}

#[test]
fn each_budget_is_between_its_least_and_its_most_and_a_block_has_room_for_four_of_a_transaction() {
    let check =
        |budgets: Budgets| ChannelConfig { budgets, ..open_config() }.check(1).map_err(|error| error.to_string());
    let (least, most) = (Budgets::least(), Budgets::default());
    assert_eq!((check(least), check(most)), (Ok(()), Ok(())));
    type Field = fn(&mut Budget) -> &mut u32;
    let fields: [(&str, Field); 4] = [
        ("steps", |budget| &mut budget.steps),
        ("events", |budget| &mut budget.events),
        ("receipt_bytes", |budget| &mut budget.receipt_bytes),
        ("written_bytes", |budget| &mut budget.written_bytes),
    ];
    for (name, field) in fields {
        for (budgets, step, whose) in
            [(least, -1, "transaction"), (most, 1, "transaction"), (least, -1, "block"), (most, 1, "block")]
        {
            let mut changed = budgets;
            let budget = if whose == "block" { &mut changed.block } else { &mut changed.transaction };
            let value = field(budget);
            *value = value.saturating_add_signed(step);
            let refused = check(changed).expect_err(name);
            assert!(refused.contains(&format!("the budget of a {whose}: {name} is")), "{refused}");
        }
        let mut wide = least;
        *field(&mut wide.transaction) += 1;
        assert!(check(wide).expect_err(name).contains("the budget of a block"), "it is four of a transaction at least");
        *field(&mut wide.block) += 4;
        assert_eq!(check(wide), Ok(()));
    }
}

#[test]
fn rules_are_numbered_from_1_and_no_peer_vouches_for_another_yet() {
    for (rules, witnesses, good) in [
        (1, Witnesses::Own, true),
        (0, Witnesses::Own, false),
        (1, Witnesses::Quorum, false),
        (1, Witnesses::All, false),
    ] {
        let verdict = ChannelConfig { rules, witnesses, ..open_config() }.check(1);
        assert_eq!(verdict.is_ok(), good, "{rules} {witnesses:?}: {verdict:?}");
    }
    // Whoever knows less could not tell what follows, and judges the change itself all the same: by the number in force.
    let later = ChannelConfig { rules: rules::RULES + 1, ..open_config() };
    assert!(later.check(rules::RULES).is_ok() && later.check_genesis().is_err());
    let both = ChannelConfig { witnesses: Witnesses::Quorum, ..later };
    assert!(both.check(rules::RULES).is_err() && both.check(rules::RULES + 1).is_ok());
}
