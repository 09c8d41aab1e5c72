//! How jobs are dealt to shards, and what a screening refuses, by name, among good neighbours.

use super::*;
use crate::production::encode_receipts;
use crate::recall;
use crate::store::BlockRecord;
use crate::test_support::{Bench, NOW, answer, arrival, config, envelope, key, transaction};
use crate::ticket::{Credits, Submission, SubmitResult, Wait};
use ledger_classes::action::{Action, assets, channel::Admit};
use ledger_classes::amount::Amount;
use ledger_classes::codec;
use ledger_classes::config::{ChannelConfig, Fees};
use ledger_classes::execution::assets::Balance;
use ledger_classes::execution::genesis_writes;
use ledger_classes::hash::HexBytes;
use ledger_classes::identity::{Identity, Role};
use ledger_classes::keyspace;
use ledger_classes::outcome::ResultCode;
use ledger_classes::participant::{NoCertificates, Participant};
use ledger_classes::receipt::Receipt;
use ledger_classes::record;
use ledger_classes::rights::{Class, Grant, Grantee, Right};
use ledger_classes::state::Writes;
use ledger_classes::transaction::{Encoding, Transaction};

/// Shard, number and size of each job.
fn seen(jobs: Vec<Job>) -> Vec<(usize, u64, usize)> {
    jobs.into_iter().map(|Job { shard, sequence, batch }| (shard, sequence, batch.len())).collect()
}

/// Of one shard that nobody disturbs: number and size of its next job.
fn only(jobs: Vec<Job>) -> Option<(u64, usize)> {
    seen(jobs).first().map(|(_, sequence, size)| (*sequence, *size))
}

fn arrivals(envelopes: impl IntoIterator<Item = Envelope>) -> Vec<Arrival> {
    let credits = Arc::new(Credits::default());
    envelopes.into_iter().map(|envelope| arrival(envelope, Wait::Committed, &credits).1).collect()
}

fn empty(payload: usize, signatures: usize) -> Envelope {
    let mut envelope = envelope(Hash::ZERO, 1, 1);
    envelope.payload = vec![0; payload];
    envelope.signatures = vec![envelope.signatures[0].clone(); signatures];
    envelope
}

#[test]
fn a_busy_shard_gathers_and_has_one_job_at_a_time() {
    let mut dealer = Dealer::new(1);
    assert_eq!(only(dealer.arrive(Vec::new(), || false)), None, "nothing to do");
    assert_eq!(only(dealer.arrive(arrivals([empty(1, 1)]), || false)), Some((1, 1)));
    for _ in 0..300 {
        assert_eq!(only(dealer.arrive(arrivals([empty(1, 1), empty(1, 1)]), || false)), None);
    }
    assert_eq!(only(dealer.screened(0, false, || false)), Some((2, 600)));
    assert_eq!(only(dealer.screened(0, false, || false)), None);
    assert_eq!(only(dealer.arrive(arrivals([empty(1, 1)]), || false)), Some((3, 1)), "idle again");
}

/// Single requests once made jobs of four on each shard, of which half the cost was the witness.
#[test]
fn little_is_gathered_for_one_shard_and_much_is_spread_over_all() {
    let many = |count| arrivals(vec![empty(1, 1); count]);
    let mut dealer = Dealer::new(3);
    assert_eq!(seen(dealer.arrive(many(5), || false)), [(0, 1, 5)]);
    assert_eq!(seen(dealer.arrive(many(VERIFY_JOB_WORTH - 1), || false)), [], "not worth a second job");
    assert_eq!(seen(dealer.arrive(many(1), || false)), [(1, 2, VERIFY_JOB_WORTH)]);
    assert_eq!(seen(dealer.arrive(many(7), || false)), []);
    assert_eq!(seen(dealer.screened(0, false, || false)), [], "one still runs");
    assert_eq!(seen(dealer.screened(1, false, || false)), [(1, 3, 7)]);
    assert_eq!(seen(dealer.screened(1, false, || false)), []);
    let shares = seen(dealer.arrive(many(601), || false));
    assert_eq!(
        shares.iter().map(|(_, sequence, size)| (*sequence, *size)).collect::<Vec<_>>(),
        [(4, 201), (5, 200), (6, 200)]
    );
    assert_eq!(seen(dealer.arrive(many(5_000), || false)), [], "every shard has its job");
    assert_eq!(seen(dealer.screened(2, false, || false)), [(2, 7, VERIFY_JOB_TRANSACTIONS_MAX)]);
}

/// Few transactions may have many signatures.
#[test]
fn shards_share_signatures() {
    let many = arrivals(vec![empty(1, 32); 127]);
    let mut dealer = Dealer::new(4);
    assert_eq!(seen(dealer.arrive(many, || false)), [(0, 1, 31), (1, 2, 32), (2, 3, 32), (3, 4, 32)]);
    let unsigned = arrivals(vec![empty(1, 0); 2]);
    let mut dealer = Dealer::new(1);
    assert_eq!(only(dealer.arrive(unsigned, || false)), Some((1, 2)));
}

/// A job of 1,024 transactions of 32 signatures each held the verification threads for seconds, during which no
/// other channel had its turn.
#[test]
fn a_job_is_bounded_by_transactions_signatures_and_bytes() {
    for (what, one, many, first) in [
        ("transactions", empty(1, 1), VERIFY_JOB_TRANSACTIONS_MAX + 5, VERIFY_JOB_TRANSACTIONS_MAX),
        ("signatures", empty(1, 32), 100, VERIFY_JOB_SIGNATURES_MAX / 32),
        ("bytes", empty(1024 * 1024, 1), 12, VERIFY_JOB_BYTES_MAX / (1024 * 1024)),
        ("one beyond every bound goes alone", empty(1, VERIFY_JOB_SIGNATURES_MAX + 1), 2, 1),
    ] {
        let mut dealer = Dealer::new(1);
        assert_eq!(only(dealer.arrive(arrivals(vec![one; many]), || false)), Some((1, first)), "{what}");
        assert_eq!(only(dealer.screened(0, false, || false)), Some((2, many - first)), "{what}: the rest");
    }
}

/// Once, a flood of bad signatures made jobs of 1,024 that took 50 ms each, and other channels waited for them.
#[test]
fn jobs_are_short_in_a_crowd_and_shorter_as_long_as_they_hold_bad_signatures() {
    let mut dealer = Dealer::new(1);
    let (crowded, suspect) = (VERIFY_JOB_CROWDED_SIGNATURES_MAX, VERIFY_JOB_SUSPECT_SIGNATURES_MAX);
    assert_eq!(only(dealer.arrive(arrivals(vec![empty(1, 1); 5_000]), || false)), Some((1, 1_024)));
    assert_eq!(only(dealer.screened(0, true, || false)), Some((2, suspect)));
    assert_eq!(only(dealer.screened(0, true, || true)), Some((3, suspect)));
    assert_eq!(only(dealer.screened(0, false, || false)), Some((4, 1_024)));
    assert_eq!(only(dealer.screened(0, false, || true)), Some((5, crowded)));
    assert_eq!(only(dealer.screened(0, false, || false)), Some((6, 1_024)));
}

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
    let receipt = |id| Arc::new(Receipt::new(id, 1, 0, ResultCode::Done, String::new(), Amount::ZERO, &[]));
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
    let _ = store.apply(1, &writes, &index).expect("applies");
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
    let credits = Arc::new(Credits::default());
    let arrivals = envelopes.into_iter().map(|envelope| arrival(envelope, Wait::Committed, &credits));
    let (waiting, batch): (Vec<_>, Vec<_>) = arrivals.unzip();
    let screening = Screening {
        channel: bench.opened.channel,
        shard: 3,
        sequence: 9,
        key: Arc::new(key(50)),
        limits: Limits::default(),
        store: bench.opened.store.clone(),
        certificates: Arc::new(NoCertificates),
        doors: Doors::default(),
        now: NOW,
        seed: [9; 32],
    };
    let mut screened = screening.screen(batch).expect("readable");
    // Nothing is under way here: what is doubted goes on to the index.
    let store = &bench.opened.store;
    let (refused, found) = recall::sort(store, std::mem::take(&mut screened.passed.doubted)).expect("readable");
    screened.refused.extend(refused);
    found.into_iter().for_each(|found| recall::tell(store, found).expect("readable"));
    (waiting, credits, screened)
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
    assert!(screened.bad_signatures);
    assert!(screened.passed.check(&channel, &key(50).public()), "the witness is over exactly these");
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
    assert!(!screened.bad_signatures);
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
    let _ = bench.opened.store.apply(1, &writes, &[]).expect("applies");
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
