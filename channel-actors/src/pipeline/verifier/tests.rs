//! What a screening refuses, by name, among good neighbours, and what it leaves to other jobs.

use crate::block::encoding::encode_receipts;
use crate::limits::VERIFY_SLICE;
use crate::pipeline::answer::{SubmitResult, Wait};
use crate::pipeline::outcomes;
use crate::pipeline::submission::{Credits, Submission};
use crate::pipeline::verifier::*;
use crate::runtime::asker::Asker;
use crate::store::BlockRecord;
use crate::test_support::{Bench, NOW, answer, arrival, config, key, transaction, whole_disk};
use ledger_classes::action::{
    Action, assets,
    channel::{Admit, Propose},
};
use ledger_classes::execution::assets::Balance;
use ledger_classes::execution::genesis_writes;
use ledger_classes::formats::config::{ChannelConfig, Fees, Limits};
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::rights::{Class, Grant, Grantee, Right};
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction};
use ledger_classes::keys::Signature;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::state::keyspace;
use ledger_classes::state::participant::{NoCertificates, Participant};
use ledger_classes::state::record;
use ledger_classes::state::view::Writes;
use std::time::Duration;

fn member(number: u8) -> Identity {
    Identity::new("test.example", "bank", Role::Client, &format!("client-{number}")).expect("valid")
}

/// A closed channel whose bank may write logs. Participants: 1 and 2 in good standing, 3 revoked, 4 expired.
fn closed_channel() -> Bench {
    let rights = [Right::Write(Class::Logs)].into_iter().collect();
    let grants = vec![Grant { to: Grantee::Organization("bank".into()), rights }];
    let mut closed = ChannelConfig { open_submit: false, public_read: false, grants, ..config() };
    closed.organizations[0].authorities = vec![HexBytes(vec![0x30])];
    let bench = Bench::new(&closed);
    let participant = |number: u8| {
        let record = Participant {
            identity: member(number),
            serial: HexBytes(vec![number]),
            issuer: Hash::plain(&[&[0x30]]),
            key: Hash([number; 32]),
            authorities: vec![Hash::plain(&[&[0x30]])],
            above: Vec::new(),
            not_after: if number == 4 { Time::from_millis(NOW.millis() - 1) } else { NOW.plus_millis(1_000_000) },
            admitted_height: 1,
            revoked_height: (number == 3).then_some(1),
            revoked_before: None,
        };
        (keyspace::participant(&key(number).public().address()), Some(record::to_value(&record)))
    };
    let writes: Writes = (1..=4).map(participant).collect();
    let store = &bench.opened.store;
    // Block 1 has committed what `committed` makes.
    let receipt = |id| Arc::new(Receipt::new(id, 1, 0, ResultCode::Done, Detail::PLAIN, Amount::ZERO, &[]));
    let ids: Vec<Hash> = committed(bench.opened.channel).iter().map(Envelope::id).collect();
    let receipts: Vec<_> = ids.iter().map(|id| receipt(*id)).collect();
    let record = BlockRecord {
        height: 1,
        header_hash: Hash([1; 32]),
        block: vec![1].into(),
        receipts: encode_receipts(&receipts).into(),
    };
    store.append(&record).expect("appends");
    let index: Vec<(Hash, u32)> = ids.into_iter().zip(0..).collect();
    let _ = store.apply_writes(1, &writes, &index).expect("applies");
    bench
}

fn signed(transaction: &Transaction, signer: u8) -> Envelope {
    Envelope::sign_binary(transaction, &[&key(signer)])
}

/// More than a payload may have.
fn too_long() -> String {
    "x".repeat(Limits::default().payload_bytes_max as usize)
}

/// Committed long ago: expired since, beyond today's limits, too far ahead by this clock, by somebody revoked since.
fn committed(channel: Hash) -> Vec<Envelope> {
    let with_until = |nonce, until| Transaction { valid_until: until, ..transaction(channel, nonce, "") };
    vec![
        signed(&with_until(900, Time::from_millis(NOW.millis() - 1)), 1),
        signed(&transaction(channel, 901, &too_long()), 1),
        signed(&with_until(902, NOW.plus_millis(48 * 3_600_000)), 1),
        signed(&transaction(channel, 903, ""), 3),
    ]
}

fn json(text: String) -> Envelope {
    Envelope::sign(Encoding::Json, text.into_bytes(), &[&key(1)])
}

fn screen(bench: &Bench, envelopes: Vec<Envelope>) -> (Vec<Submission>, Arc<Credits>, Screened) {
    screen_with(bench, envelopes, Asker::PEER, whole_disk())
}

/// The same by a caller, of a channel with this part of the disk.
fn screen_with(
    bench: &Bench,
    envelopes: Vec<Envelope>,
    caller: Asker,
    quota: DiskQuota,
) -> (Vec<Submission>, Arc<Credits>, Screened) {
    let credits = Arc::new(Credits::default());
    let arrivals = envelopes.into_iter().map(|envelope| {
        let (submission, arrival) = arrival(envelope, Wait::Committed, &credits);
        let credit = credits.take(caller, [1].into_iter()).expect("room").pop().expect("one");
        (submission, Submitted { credit, ..arrival })
    });
    let (waiting, batch): (Vec<_>, Vec<_>) = arrivals.unzip();
    (waiting, credits, screen_by(bench, Screening { quota, ..screening(bench, VERIFY_SLICE) }, batch))
}

fn screening(bench: &Bench, slice: Duration) -> Screening {
    Screening {
        channel: bench.opened.channel,
        sequence: 9,
        config: Arc::new(execution::config_of(&bench.opened.store.view().expect("a view")).expect("one")),
        store: bench.opened.store.clone(),
        certificates: Arc::new(NoCertificates),
        doors: Doors::default(),
        quota: whole_disk(),
        now: NOW,
        decided: Time::from_millis(u64::MAX),
        seed: [9; 32],
        slice,
        remembers: true,
    }
}

fn screen_arrivals(bench: &Bench, batch: Vec<Submitted>) -> Screened {
    screen_by(bench, screening(bench, VERIFY_SLICE), batch)
}

fn screen_by(bench: &Bench, screening: Screening, batch: Vec<Submitted>) -> Screened {
    let mut step = screening.screen(batch).expect("readable");
    let mut screened = loop {
        match step {
            Step::Done(screened) => break *screened,
            Step::Paused(judging) => step = judging.go_on().expect("readable"),
        }
    };
    // Nothing is under way here: what is maybe_committed goes on to the index.
    let store = &bench.opened.store;
    let (refused, found) =
        outcomes::sort(store, std::mem::take(&mut screened.passed.maybe_committed)).expect("readable");
    screened.refused.extend(refused);
    found.into_iter().for_each(|found| outcomes::tell(store, found).expect("readable"));
    screened
}

/// What an envelope of these tests says.
fn payload(envelope: &Envelope) -> Transaction {
    codec::decode(&envelope.payload, usize::MAX).expect("binary")
}

/// Whoever posted to one channel could fill the disk for all.
#[test]
fn a_channel_above_its_part_of_the_disk_takes_acts_and_tells_what_it_has_taken() {
    let bench = closed_channel();
    let channel = bench.opened.channel;
    let record = |nonce| signed(&transaction(channel, nonce, "more"), 1);
    let act = |nonce| {
        let propose = Action::ChannelPropose(Propose { changes: Vec::new(), reason: String::new() });
        signed(&Transaction { actions: vec![propose], ..transaction(channel, nonce, "") }, 1)
    };
    let both = |nonce| {
        let both = [act(nonce), record(nonce)].map(|envelope| payload(&envelope).actions).concat();
        signed(&Transaction { actions: both, ..transaction(channel, nonce, "") }, 1)
    };
    let known = || committed(channel)[3].clone();
    // Its folder takes so many pages, of which 8 are its part.
    let disk = tempfile::tempdir().expect("a folder");
    let take = |pages: usize| {
        std::fs::create_dir_all(disk.path().join("trade")).expect("writable");
        std::fs::write(disk.path().join("trade/log.redb"), vec![7; pages * 4096]).expect("writable");
        DiskQuota::new("trade", disk.path(), 8 * 4096)
    };
    let mut nonce = 5_000;
    for (pages, caller, full) in [
        (7, Asker::from_number(1), [false, false, false]),
        (8, Asker::from_number(1), [true, false, true]),
        (9, Asker::from_number(1), [true, false, true]),
        (9, Asker::PEER, [true, false, true]),
    ] {
        nonce += 10;
        let envelopes = vec![record(nonce), act(nonce + 1), both(nonce + 2), known()];
        let (mut waiting, _, screened) = screen_with(&bench, envelopes, caller, take(pages));
        let is_full = |result: Option<SubmitResult>| {
            matches!(result, Some(SubmitResult::Refused { refusal: SubmitRefusal::ChannelFull(_), .. }))
        };
        let refused: Vec<bool> = waiting[..3].iter_mut().map(|waiting| is_full(answer(waiting))).collect();
        assert_eq!(refused, full, "{pages} pages");
        assert_eq!(
            screened.refused.iter().filter(|name| **name == "channel-full").count(),
            full.iter().filter(|it| **it).count()
        );
        assert!(matches!(answer(&mut waiting[3]), Some(SubmitResult::Committed { .. })), "known: {pages} pages");
    }
}

/// A burst went beyond the part by all that was accepted before its blocks were on the disk.
#[test]
fn what_is_accepted_counts_into_the_channels_part_of_the_disk() {
    let bench = closed_channel();
    let channel = bench.opened.channel;
    let disk = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(disk.path().join("trade")).expect("writable");
    std::fs::write(disk.path().join("trade/log.redb"), vec![7; 7 * 4096]).expect("writable");
    let quota = DiskQuota::new("trade", disk.path(), 8 * 4096);
    let envelopes = (6_000..6_006).map(|nonce| signed(&transaction(channel, nonce, "more"), 1)).collect();
    let (mut waiting, _, screened) = screen_with(&bench, envelopes, Asker::from_number(1), quota.clone());
    let accepted = screened.passed.flights.len();
    assert!((1..=3).contains(&accepted), "{accepted} of a kilobyte each are accepted beside 28 KiB of 32");
    assert_eq!(screened.refused, vec!["busy"; 6 - accepted]);
    let busy = |waiting: &mut Submission| {
        matches!(answer(waiting), Some(SubmitResult::Refused { refusal: SubmitRefusal::Busy { .. }, .. }))
    };
    assert!(waiting[accepted..].iter_mut().all(busy));
    assert!(quota.under_way() > 1024 * accepted as u64);
    drop(screened);
    assert_eq!(quota.under_way(), 0);
}

#[test]
fn only_the_bad_are_refused_each_by_its_name() {
    let bench = closed_channel();
    let channel = bench.opened.channel;
    let base = |nonce| transaction(channel, nonce, "");
    let text = |nonce| serde_json::to_string(&base(nonce)).expect("serializes");
    let replaced = |nonce, from: &str, to: &str| {
        let text = text(nonce);
        assert!(text.contains(from), "{text}");
        json(text.replacen(from, to, 1))
    };
    let with_until = |nonce, until| signed(&Transaction { valid_until: until, ..base(nonce) }, 1);
    let mut forged = signed(&base(1), 1);
    forged.signatures[0].signature = Signature([1; 64]);
    let named = |nonce| Transaction { sender: Some(key(1).public().address()), ..base(nonce) };
    let mut half_forged = Envelope::sign_binary(&named(2), &[&key(1), &key(2)]);
    half_forged.signatures[1].signature = half_forged.signatures[0].signature;
    let mut unsigned = signed(&base(3), 1);
    unsigned.signatures.clear();
    let mut twice = signed(&base(4), 1);
    twice.signatures.push(twice.signatures[0].clone());
    let trailing = {
        let mut payload = codec::encode(&base(5));
        payload.push(0);
        Envelope::sign(Encoding::Binary, payload, &[&key(1)])
    };
    let genesis = Envelope::sign(Encoding::Genesis, codec::encode(&base(6)), &[&key(1)]);
    let mint = assets::Mint { asset: "usd".into(), to: key(1).public().address(), amount: Amount(1) };
    let cases: Vec<(&str, Envelope)> = vec![
        ("wrong-signature", forged),
        ("wrong-signature", half_forged),
        ("signatures", unsigned),
        ("signatures", twice),
        // Else in another order another signer pays.
        ("signatures", Envelope::sign_binary(&base(2), &[&key(1), &key(2)])),
        ("signatures", Envelope::sign_binary(&named(2), &[&key(2), &key(1)])),
        ("wrong-channel", signed(&transaction(Hash([3; 32]), 7, ""), 1)),
        ("expired", with_until(8, Time::from_millis(NOW.millis() - 1))),
        ("too-far-ahead", with_until(9, NOW.plus_millis(24 * 3_600_000 + 1))),
        ("signatures", signed(&Transaction { sender: Some(key(9).public().address()), ..base(40) }, 1)),
        ("oversize", signed(&transaction(channel, 10, &too_long()), 1)),
        ("oversize", signed(&Transaction { memo: "m".repeat(257), ..base(11) }, 1)),
        ("malformed", trailing),
        ("malformed", genesis),
        ("malformed", signed(&Transaction { actions: vec![], ..base(12) }, 1)),
        ("malformed", json(text(13) + "x")),
        ("unknown-action", replaced(14, "log.append", "log.erase")),
        ("malformed", replaced(15, r#""memo""#, r#""extra":1,"memo""#)),
        ("malformed", replaced(16, r#""topic""#, r#""color":"red","topic""#)),
        ("malformed", replaced(17, r#""memo""#, r#""nonce":"17","memo""#)),
        ("malformed", replaced(18, r#""topic""#, r#""topic":"test","topic""#)),
        ("malformed", replaced(19, r#""nonce":"19""#, r#""nonce":true"#)),
        ("malformed", replaced(20, r#""memo":"""#, r#""memo":7"#)),
        ("malformed", json("{".repeat(5_000))),
        ("no-right", signed(&Transaction { actions: vec![Action::AssetMint(mint)], ..base(21) }, 1)),
        ("not-a-participant", signed(&base(22), 5)),
        ("participant-revoked", signed(&base(23), 3)),
        ("participant-expired", signed(&base(24), 4)),
    ];
    // A good one before, between and after.
    let mut good = (1_000..).map(|nonce| if nonce % 2 == 0 { signed(&base(nonce), 1) } else { json(text(nonce)) });
    let mut envelopes = vec![good.next().expect("endless")];
    for (_, bad) in &cases {
        envelopes.extend([bad.clone(), good.next().expect("endless")]);
    }
    let passing: Vec<Hash> = envelopes.iter().step_by(2).map(Envelope::id).collect();
    let (mut waiting, credits, screened) = screen(&bench, envelopes);

    let passed: Vec<Hash> = screened.passed.flights.iter().map(|flight| flight.transaction.id()).collect();
    assert_eq!(passed, passing, "every good one, in order");
    assert_eq!(screened.findings.forgers, [Asker::PEER]);
    assert_eq!(screened.passed.sequence, 9, "it has the turn of its job");
    assert_eq!(credits.used().0 as usize, passing.len(), "the refused gave their credits back");
    let name = |result: SubmitResult| match result {
        SubmitResult::Refused { refusal: SubmitRefusal::Transaction(error), id: Some(_) } => error.name(),
        SubmitResult::Refused { refusal: SubmitRefusal::Rejected { code, .. }, id: Some(_) } => code.name(),
        other => panic!("{other:?}"),
    };
    for (number, (expected, bad)) in cases.iter().enumerate() {
        let result = answer(&mut waiting[2 * number + 1]).expect("answered at once");
        assert_eq!(name(result.clone()), *expected, "case {number}: {result:?} {:?}", bad.encoding);
    }
    let mut counted = screened.refused.clone();
    let mut expected: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    counted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(counted, expected);
    assert!(waiting.iter_mut().step_by(2).all(|one| answer(one).is_none()), "the good wait on");
}

/// Exactly once: whatever has changed since, a committed id is answered with its receipt.
#[test]
fn a_committed_id_gets_its_receipt_when_it_would_be_refused_today() {
    let bench = closed_channel();
    let envelopes = committed(bench.opened.channel);
    let ids: Vec<Hash> = envelopes.iter().map(Envelope::id).collect();
    let (mut waiting, _, screened) = screen(&bench, envelopes);
    assert_eq!((screened.passed.flights.len(), screened.refused.len()), (0, 0));
    assert!(screened.findings.forgers.is_empty());
    for (one, id) in waiting.iter_mut().zip(ids) {
        let Some(SubmitResult::Committed { receipt, .. }) = answer(one) else { panic!("no receipt for {id}") };
        assert_eq!((receipt.head.id, receipt.head.height), (id, 1));
    }
}

/// A channel whose first block made it cost 5 of `asset`, and wrote `more`.
fn with_fees(asset: &str, more: Writes) -> Bench {
    let bench = Bench::new(&config());
    let issuer = Some(key(1).public().address());
    let fees = Fees { asset: Some(asset.into()), issuer, base: Amount(5), ..Fees::default() };
    let mut writes = genesis_writes(&ChannelConfig { fees, ..config() });
    writes.extend(more);
    let record = BlockRecord {
        height: 1,
        header_hash: Hash::ZERO,
        block: vec![1].into(),
        receipts: encode_receipts(&[]).into(),
    };
    bench.opened.store.append(&record).expect("appends");
    let _ = bench.opened.store.apply_writes(1, &writes, &[]).expect("applies");
    bench
}

/// What costs nothing and would fail takes no room in a block: whoever posts it has nothing to lose.
#[test]
fn an_admission_that_would_fail_is_refused_at_the_door() {
    for asset in [Some("coin"), None] {
        let bench = match asset {
            Some(asset) => with_fees(asset, Writes::new()),
            None => Bench::new(&config()),
        };
        let address = key(7).public().address();
        let admit = Admit { address, path: vec![HexBytes(vec![0x30])], possession: Signature([1; 64]) };
        let admission =
            Transaction { actions: vec![Action::ParticipantAdmit(admit)], ..transaction(bench.opened.channel, 1, "") };
        let (_, _, screened) = screen(&bench, vec![signed(&admission, 7)]);
        assert_eq!(screened.refused, ["path-refused"]);
        assert_eq!(screened.passed.flights.len(), 0);
    }
}

/// An admission weighed as much as any transaction, and 1,024 of them in a job held a thread for a second: commits of
/// other channels took 700 to 1,600 ms instead of 5.
#[test]
fn more_admissions_than_fit_beside_other_work_are_set_aside_and_judged_in_jobs_of_their_own() {
    let bench = closed_channel();
    let channel = bench.opened.channel;
    let admission = |nonce, certificates| {
        let path = vec![HexBytes(vec![0x30]); certificates];
        let admit = Admit { address: key(7).public().address(), path, possession: Signature([1; 64]) };
        signed(&Transaction { actions: vec![Action::ParticipantAdmit(admit)], ..transaction(channel, nonce, "") }, 7)
    };
    let fitting = VERIFY_JOB_CHECKS_MICROS_MAX / cost_at_the_door_of(&admission(0, 1));
    assert!((2..=8).contains(&fitting), "{fitting}: a member joins at once, a flood does not");
    let mut offered: Vec<Envelope> = (0..fitting + 3).map(|nonce| admission(nonce, 1)).collect();
    // A long path does not fit behind these, and shorter ones do.
    offered.insert(2, admission(100, 5));
    let plain = [signed(&transaction(channel, 200, ""), 1), signed(&transaction(channel, 201, ""), 2)];
    offered.splice(0..0, [plain[0].clone()]);
    offered.push(plain[1].clone());
    let (mut waiting, credits, screened) = screen(&bench, offered);
    let passed: Vec<Hash> = screened.passed.flights.iter().map(|flight| flight.transaction.id()).collect();
    assert_eq!(passed, plain.each_ref().map(Envelope::id), "whatever stands between them");
    assert_eq!(screened.refused.len(), usize::try_from(fitting).expect("few"));
    let aside = screened.findings.aside;
    assert_eq!(aside.len(), 4);
    assert!(
        aside.iter().all(|arrival| arrival.cost > cost_at_the_door_of(&admission(0, 1))),
        "they weigh what they cost"
    );
    waiting.retain_mut(|one| answer(one).is_none());
    assert_eq!(waiting.len(), 4 + 2, "they wait, and so do those that passed");
    let screened = screen_arrivals(&bench, aside);
    assert_eq!((screened.refused.len(), screened.findings.aside.len()), (4, 0));
    waiting.retain_mut(|one| answer(one).is_none());
    assert_eq!(waiting.len(), 2);
    drop(screened.passed);
    assert_eq!(credits.used().0, 2);
}

/// By its signatures an admission is quick: it was verified by the thread that executes and persists, certificates and all.
#[test]
fn beside_execution_no_certificate_is_verified() {
    let bench = closed_channel();
    let channel = bench.opened.channel;
    let admit =
        Admit { address: key(7).public().address(), path: vec![HexBytes(vec![0x30])], possession: Signature([1; 64]) };
    let admission = Transaction { actions: vec![Action::ParticipantAdmit(admit)], ..transaction(channel, 1, "") };
    for (remembers, aside) in [(true, 0), (false, 1)] {
        let offered = [signed(&admission, 7), signed(&transaction(channel, 2, ""), 1)];
        let credits = Arc::new(Credits::default());
        let arrivals = offered.map(|envelope| arrival(envelope, Wait::Committed, &credits));
        let (_waiting, batch): (Vec<_>, Vec<_>) = arrivals.into_iter().unzip();
        let screened = screen_by(&bench, Screening { remembers, ..screening(&bench, VERIFY_SLICE) }, batch);
        assert_eq!(screened.findings.aside.len(), aside);
        assert_eq!((screened.passed.flights.len(), screened.refused.len()), (1, 1 - aside));
    }
}

fn cost_at_the_door_of(envelope: &Envelope) -> u64 {
    cost_at_the_door(
        transaction::parse(envelope.clone(), one_channel(envelope), &Limits::default()).expect("whole").actions(),
    )
}

/// The channel that a payload names.
fn one_channel(envelope: &Envelope) -> Hash {
    codec::decode::<Transaction>(&envelope.payload, 1 << 20).expect("binary").channel
}

/// 31 further signatures were verified for whoever may not send at all: 32 of P-256 a transaction held a channel for 16 s.
#[test]
fn who_may_not_send_has_only_its_own_signature_verified() {
    let bench = closed_channel();
    let forged_after = |signer: u8, nonce| {
        let sender = Some(key(signer).public().address());
        let others = [&key(signer), &key(60), &key(61)];
        let mut envelope =
            Envelope::sign_binary(&Transaction { sender, ..transaction(bench.opened.channel, nonce, "") }, &others);
        envelope.signatures[2].signature = Signature([1; 64]);
        envelope
    };
    let (_, _, screened) = screen(&bench, vec![forged_after(3, 1), forged_after(1, 2), forged_after(5, 3)]);
    let mut refused = screened.refused;
    refused.sort_unstable();
    assert_eq!(refused, ["not-a-participant", "participant-revoked", "wrong-signature"]);
}

/// A job that takes long gives its thread to others and goes on later, with what it knows.
#[test]
fn a_screening_that_pauses_comes_to_the_same() {
    let bench = closed_channel();
    let channel = bench.opened.channel;
    let mut envelopes: Vec<Envelope> = (0..40).map(|nonce| signed(&transaction(channel, nonce, ""), 1)).collect();
    envelopes[7].signatures[0].signature = Signature([1; 64]);
    let credits = Arc::new(Credits::default());
    let batch: Vec<Submitted> =
        envelopes.iter().map(|envelope| arrival(envelope.clone(), Wait::Committed, &credits).1).collect();
    let mut step = screening(&bench, Duration::ZERO).screen(batch).expect("readable");
    let mut pauses = 0;
    let screened = loop {
        match step {
            Step::Done(screened) => break *screened,
            Step::Paused(judging) => step = judging.go_on().expect("readable"),
        }
        pauses += 1;
    };
    assert!(pauses >= 5, "{pauses}");
    assert_eq!((screened.passed.flights.len(), screened.refused.len()), (39, 1));
}

/// A sender without funds, or one who would pay nothing, filled a channel that has fees: 34.5 MB in half a second.
#[test]
fn what_cannot_pay_is_refused_at_the_door_with_what_passed_before_it() {
    let rich = Balance { owned: Amount(12), frozen: Amount::ZERO, locks: Vec::new() };
    let key = keyspace::balance(&key(7).public().address(), "coin");
    let bench = with_fees("coin", Writes::from([(key, Some(record::to_value(&rich)))]));
    let costly = |nonce| transaction(bench.opened.channel, nonce, "x");
    let frugal = |nonce| Transaction { fee_max: Amount(4), ..costly(nonce) };
    let paying = |nonce| Transaction { fee_max: Amount(5), ..costly(nonce) };
    let offered = [(paying(1), 7), (paying(2), 8), (frugal(3), 7), (paying(4), 7), (paying(5), 7)];
    let offered = offered.iter().map(|(transaction, number)| signed(transaction, *number)).collect();
    let (_, _, screened) = screen(&bench, offered);
    assert_eq!(screened.passed.flights.len(), 2, "12 units pay two fees");
    let mut refused = screened.refused;
    refused.sort_unstable();
    assert_eq!(refused, ["fee-above-max", "fee-unpaid", "fee-unpaid"]);
}

/// Where several peers order, one that is behind refused as expired what a block that it did not have yet held.
#[test]
fn what_is_over_is_refused_for_ever_only_where_no_block_that_is_not_here_can_have_it() {
    let bench = closed_channel();
    let until = Time::from_millis(NOW.millis() - 1);
    for (decided, certain) in [(NOW, true), (until, false), (Time::ZERO, false)] {
        let late = Transaction { valid_until: until, ..transaction(bench.opened.channel, 1, "") };
        let envelope = Envelope::sign_binary(&late, &[&key(1)]);
        let (mut waiting, one) = arrival(envelope, Wait::Committed, &Arc::new(Credits::default()));
        screen_by(&bench, Screening { decided, ..screening(&bench, VERIFY_SLICE) }, vec![one]);
        let expected = match certain {
            true => TransactionError::Expired(until).into(),
            false => SubmitRefusal::OutcomeUnknown,
        };
        let Some(SubmitResult::Refused { refusal, .. }) = answer(&mut waiting) else { panic!("it is refused") };
        assert_eq!(refusal, expected);
    }
}
