//! Blocks of rules that are not in force, or that this build lacks.

use super::*;

/// The configuration in force with other rules, as a later build left it.
fn with_rules(maker: &mut Maker, rules: u32) {
    let mut record = crate::execution::config_of(&maker.state).expect("memory does not fail");
    record.config.rules = rules;
    let key = keyspace::config_at(record.height);
    maker.state.apply(&Writes::from([(key, Some(record::to_value(&record)))]));
}

/// A build that lacks what a channel's rules name cannot tell which of its blocks are valid: it stops there, and says so.
#[test]
fn above_rules_that_this_build_lacks_no_block_is_made_or_accepted() {
    let (mut maker, blocks) = chain();
    let envelope = maker.envelope(&[1], vec![log(1)]);
    let one = maker.verified(envelope);
    let sealed = Sealed::of(&maker.draft(7, vec![one.clone()]).block.expect("something is offered"));
    assert!(maker.check(&sealed).is_ok());
    with_rules(&mut maker, crate::rules::RULES + 1);
    let unknown = Invalid::UnknownRules { rules: crate::rules::RULES + 1, known: crate::rules::RULES };
    assert_eq!(maker.check(&sealed).map(|checked| checked.hash), Err(ExecutionError::Invalid(unknown)));
    let above = maker.history.above(&maker.state, &NoPages, &NoCertificates).expect("genesis");
    let (proposer, time) = (address(ORDERER), maker.time());
    let drafted = draft(&above, Draft { proposer, time, seed: DRAWN, transactions: vec![one], batches: Vec::new() });
    assert_eq!(drafted.map(|drafted| drafted.left.known), Err(ExecutionError::Invalid(unknown)));
    assert_eq!((unknown.name(), blocks.len()), ("unknown-rules", 5));
    // Whatever form a later program gives a record, and the block above it, the number says what is missing.
    let at = crate::execution::config_of(&maker.state).expect("memory does not fail").height;
    let (mut later, key) = (maker.clone(), keyspace::config_at(at));
    let record = [&[9][..], &7u32.to_le_bytes(), b"another form"].concat();
    later.state.apply(&Writes::from([(key, Some(record.as_slice().into()))]));
    let mut other = sealed.clone();
    other.block.header.version = 2;
    let unknown = Invalid::UnknownRules { rules: 7, known: crate::rules::RULES };
    assert_eq!(later.check(&other).map(|checked| checked.hash), Err(ExecutionError::Invalid(unknown)));
    let above = later.history.above(&later.state, &NoPages, &NoCertificates).expect("genesis");
    assert_eq!(crate::chain::check_rules(above.view), Err(ExecutionError::Invalid(unknown)));
    let said = crate::execution::config_of(above.view).expect_err("of another form").0;
    assert!(said.contains("the rules 7"), "{said}");
}

/// Of a later form nothing else of a configuration may be readable.
#[test]
fn a_genesis_of_later_rules_is_refused_for_them_whatever_its_form_is() {
    let mut block = genesis(&config()).expect("valid").0;
    let later =
        |payload: Vec<u8>| codec::encode(&Envelope { encoding: Encoding::Genesis, payload, signatures: Vec::new() });
    let unknown = Invalid::UnknownRules { rules: 7, known: crate::rules::RULES };
    // Of a version of its own no block can be read at all.
    let mut bytes = codec::encode(&block);
    assert_eq!(crate::chain::decode(&bytes), Ok(block.clone()));
    bytes[0] = 2;
    bytes.truncate(100);
    assert_eq!(crate::chain::decode(&bytes), Err(Invalid::Version { version: 2 }));
    bytes[0] = 1;
    assert_eq!(crate::chain::decode(&bytes), Err(Invalid::Malformed));
    let known = ChannelConfig { rules: 7, ..config() };
    for payload in [codec::encode(&known), [&7u32.to_le_bytes()[..], b"another form"].concat()] {
        block.transactions = vec![later(payload)].into();
        assert_eq!(crate::chain::check_genesis(&block).map(|genesis| genesis.channel), Err(unknown));
    }
    block.transactions = vec![later([&1u32.to_le_bytes()[..], b"no form"].concat())].into();
    assert_eq!(crate::chain::check_genesis(&block).map(|genesis| genesis.channel), Err(Invalid::GenesisMalformed));
    // A configuration has one form and stands in one kind of envelope: whatever else says the same is no genesis block.
    let own = codec::encode(&config());
    let envelope = |encoding, payload, signatures| codec::encode(&Envelope { encoding, payload, signatures });
    let signed = Envelope::sign(Encoding::Genesis, own.clone(), &[&signer(1)]).signatures;
    for (other, encoded) in [
        ("as a transaction", envelope(Encoding::Binary, own.clone(), Vec::new())),
        ("of later rules as one", envelope(Encoding::Binary, codec::encode(&known), Vec::new())),
        ("as JSON", envelope(Encoding::Json, serde_json::to_vec(&config()).expect("our own"), Vec::new())),
        ("signed", envelope(Encoding::Genesis, own.clone(), signed)),
        ("more behind", later([&own[..], &[0]].concat())),
        ("more behind the envelope", [&later(own)[..], &[0]].concat()),
    ] {
        let mut block = genesis(&config()).expect("valid").0;
        block.transactions = vec![encoded].into();
        block.header.transaction_root = merkle::root(&[leaf_of(&block.transactions[0])]);
        assert_eq!(
            crate::chain::check_genesis(&block).map(|genesis| genesis.channel),
            Err(Invalid::GenesisMalformed),
            "{other}"
        );
    }
    assert!(genesis(&known).is_err(), "this build begins no such channel");
}

/// What a later number brings is refused until a change raises it.
#[test]
fn an_action_of_rules_that_are_not_in_force_is_in_no_block() {
    let (mut maker, _) = chain();
    let envelope = maker.envelope(&[1], vec![log(1)]);
    let one = maker.verified(envelope);
    assert_eq!(crate::chain::sift::check_actions(1, 0, &one), Ok(()));
    let ahead = Invalid::TransactionAheadOfRules { place: 3, rules: 1 };
    assert_eq!(crate::chain::sift::check_actions(0, 3, &one), Err(ahead), "every action is of rules 1 at least");
    // Of the next rules: whoever makes a block does not offer it, since it could make none afterwards.
    let raise = Action::ChannelPropose(channel::Propose {
        changes: vec![ConfigChange::SetRules { rules: crate::rules::RULES + 1 }],
        reason: String::new(),
    });
    let envelope = maker.envelope(&[1], vec![raise]);
    let raise = maker.verified(envelope);
    let Drafted { block, left } = maker.draft(7, vec![raise.clone(), one.clone()]);
    assert_eq!(block.map(|block| block.ids.len()), Some(1));
    let ahead = crate::chain::Refused::Execution {
        code: crate::formats::outcome::ResultCode::ConfigurationInvalid,
        detail: Detail::AtMost { part: Part::Rules, most: crate::rules::RULES.into() },
    };
    assert_eq!(left.refused, [(raise.id(), ahead.clone())]);
    // Whoever follows takes it: with it, both builds decide alike.
    let above = maker.history.above(&maker.state, &NoPages, &NoCertificates).expect("genesis");
    let (block, receipts) = forced(&above, maker.time(), std::slice::from_ref(&raise));
    let sealed = Sealed { block, receipts };
    assert!(maker.check(&sealed).is_ok());
    // Nor does it offer an approval of what somebody else has proposed.
    maker.take(&sealed);
    let proposal = proposal(&maker, ConfigChange::SetRules { rules: crate::rules::RULES + 1 });
    let (ahead_of_it, known) = (Hash([1; 32]), Hash([2; 32]));
    let within = ConfigChange::SetPublicRead { public_read: true };
    let other = Proposal { subject: Subject::Configuration(vec![within]), ..proposal.clone() };
    maker.state.apply(&Writes::from([
        (keyspace::proposal(&ahead_of_it), Some(record::to_value(&proposal))),
        (keyspace::proposal(&known), Some(record::to_value(&other))),
    ]));
    let approve = |maker: &mut Maker, proposal| {
        let envelope = maker.envelope(&[1], vec![log(2), Action::ChannelApprove(channel::Approve { proposal })]);
        maker.verified(envelope)
    };
    let (refused, taken, unknown) =
        (approve(&mut maker, ahead_of_it), approve(&mut maker, known), approve(&mut maker, Hash([3; 32])));
    let Drafted { block, left } = maker.draft(7, vec![refused.clone(), taken, unknown]);
    assert_eq!(block.map(|block| block.ids.len()), Some(2), "whether they may is for execution");
    assert_eq!(left.refused, [(refused.id(), ahead)]);
}

/// The second transaction of the block appends to a log, beside what is of rules 1.
#[test]
fn a_block_with_an_action_of_later_rules_is_refused_and_none_is_made() {
    let bench = breaks::Bench::new();
    assert!(bench.maker.check(&bench.last).is_ok());
    crate::rules::with_later("log.append", || {
        let ahead = Invalid::TransactionAheadOfRules { place: 1, rules: crate::rules::NEXT };
        assert_eq!(bench.refused(), ahead);
        let envelopes = &bench.last.block.transactions;
        let offered = verify_transactions(envelopes, bench.maker.channel(), SEED, &mut KeyCache::default());
        let Drafted { block, left } = bench.maker.draft(7, offered.expect("they verify"));
        assert_eq!(block.map(|block| block.ids.len()), Some(1));
        let unknown = crate::formats::transaction::TransactionError::UnknownAction("log.append".into());
        assert_eq!(
            left.refused.into_iter().map(|(_, why)| why).collect::<Vec<_>>(),
            [crate::chain::Refused::Limits(unknown)]
        );
    });
}

fn proposal(maker: &Maker, change: ConfigChange) -> Proposal {
    Proposal {
        subject: Subject::Configuration(vec![change]),
        reason: String::new(),
        by: Identity::new("test.example", "alpha", crate::primitives::identity::Role::Admin, "ann")
            .expect("an identity"),
        proposed_height: 1,
        proposed_at: maker.time(),
        approvals: Vec::new(),
        state: ProposalState::Open,
        ended_height: None,
    }
}

/// Whether an approved proposal is ahead of the rules was read for each of any number of large ones, outside of budgets.
#[test]
fn a_draft_reads_no_more_proposals_than_a_block_has_work_for() {
    let limits = Limits { actions_max: 65, block_transactions_max: 64, ..config().limits };
    let mut maker = Maker::new(&ChannelConfig { limits, ..config() });
    let within = ConfigChange::SetPublicRead { public_read: true };
    let large = Proposal { reason: "x".repeat(511 * 1024), ..proposal(&maker, within) };
    let large = record::to_value(&large);
    let id = |number: usize| Hash::plain(&[&number.to_le_bytes()]);
    // Sixteen transactions, of sixty-four each, take all of a block's steps.
    const EACH: usize = 64;
    let fit = config().budgets.block.steps as usize / 512 / EACH;
    let proposals = (0..(fit + 3) * EACH).map(|number| (keyspace::proposal(&id(number)), Some(large.clone())));
    maker.state.apply(&proposals.collect());
    let offered: Vec<_> = (0..fit + 3)
        .map(|one| {
            let approve = |number| Action::ChannelApprove(channel::Approve { proposal: id(number) });
            let approvals = (one * EACH..(one + 1) * EACH).map(approve);
            let envelope = maker.envelope(&[1], std::iter::once(log(1)).chain(approvals).collect());
            maker.verified(envelope)
        })
        .collect();
    let Drafted { block, left } = maker.draft(7, offered.clone());
    assert_eq!(block.map(|block| block.ids.len()), Some(fit));
    let ids = |of: &[VerifiedTransaction]| of.iter().map(VerifiedTransaction::id).collect::<Vec<_>>();
    assert_eq!(ids(&left.deferred), ids(&offered[fit..]), "in their order");
    let Drafted { block, left } = maker.draft(7, left.deferred);
    assert_eq!((block.map(|block| block.ids.len()), left.deferred.len()), (Some(3), 0), "they have their turn");
}
