//! How jobs are dealt to shards.

use crate::pipeline::answer::Wait;
use crate::pipeline::batcher::*;
use crate::pipeline::submission::{Credits, submission};
use crate::test_support::{Random, envelope, seeds};
use ledger_classes::action::channel::{Admit, RevokeByEvidence};
use ledger_classes::keys::{Address, PublicKey, Signature};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use std::sync::Arc;
use std::time::Duration;

const ONE: Asker = Asker::from_number(1);
const OTHER: Asker = Asker::from_number(2);

/// Shard, number and size of each job.
fn seen(jobs: Vec<VerifyJob>) -> Vec<(usize, u64, usize)> {
    jobs.into_iter().map(|VerifyJob { shard, sequence, batch, .. }| (shard, sequence, batch.len())).collect()
}

/// Of one shard that nobody disturbs: number and size of its next job.
fn only(jobs: Vec<VerifyJob>) -> Option<(u64, usize)> {
    seen(jobs).first().map(|(_, sequence, size)| (*sequence, *size))
}

/// Of one shard: whose are the transactions of its next job, and who has its turn on the threads.
fn whose(jobs: Vec<VerifyJob>) -> (Vec<Asker>, Asker) {
    let Some(VerifyJob { caller, batch, .. }) = jobs.into_iter().next() else { panic!("no job") };
    let mut callers: Vec<Asker> = batch.iter().map(|arrival| arrival.caller).collect();
    callers.sort_unstable();
    callers.dedup();
    (callers, caller)
}

fn from(caller: Asker, envelopes: impl IntoIterator<Item = Envelope>) -> Vec<Submitted> {
    let (credits, arrived) = (Arc::new(Credits::default()), Instant::now());
    let arrival = |envelope: Envelope| {
        let waiter = submission(1, Wait::Committed).1.pop().expect("one");
        let credit = credits.take(Asker::PEER, [1].into_iter()).expect("room").pop().expect("one");
        Submitted::new(envelope, caller, waiter, credit, arrived)
    };
    envelopes.into_iter().map(arrival).collect()
}

fn arrivals(envelopes: impl IntoIterator<Item = Envelope>) -> Vec<Submitted> {
    from(ONE, envelopes)
}

fn empty(payload: usize, signatures: usize) -> Envelope {
    let mut envelope = envelope(Hash::ZERO, 1, 1);
    envelope.payload = vec![0; payload];
    envelope.signatures = vec![envelope.signatures[0].clone(); signatures];
    envelope
}

/// Wrong ones, of the slower scheme.
fn p256(signatures: usize) -> Envelope {
    let mut envelope = empty(1, signatures);
    // The generator of the group.
    let point = r#""046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5""#;
    let point: HexBytes = ledger_classes::primitives::json::from_str(point).expect("hex");
    let key = PublicKey::new(Scheme::EcdsaP256, &point.0).expect("a point");
    envelope.signatures.iter_mut().for_each(|signed| signed.key = key);
    envelope
}

fn forgers(who: &[Asker]) -> Findings {
    Findings { forgers: who.to_vec(), ..Findings::default() }
}

fn nothing() -> Findings {
    Findings::default()
}

fn right(count: usize) -> Findings {
    Findings { right: count, ..Findings::default() }
}

#[test]
fn a_busy_shard_gathers_and_has_one_job_at_a_time() {
    let mut batcher = Batcher::new(1);
    assert_eq!(only(batcher.arrive(Vec::new(), || false)), None, "nothing to do");
    assert_eq!(only(batcher.arrive(arrivals([empty(1, 1)]), || false)), Some((1, 1)));
    for _ in 0..300 {
        assert_eq!(only(batcher.arrive(arrivals([empty(1, 1), empty(1, 1)]), || false)), None);
    }
    assert_eq!(only(batcher.screened(0, nothing(), || false)), Some((2, 600)));
    assert_eq!(only(batcher.screened(0, nothing(), || false)), None);
    assert_eq!(only(batcher.arrive(arrivals([empty(1, 1)]), || false)), Some((3, 1)), "idle again");
}

/// Whoever posted together with others was in a job of its own, and they in the next.
#[test]
fn what_several_callers_post_together_is_one_job_but_for_whom_is_verified_apart() {
    let together = || from(ONE, [empty(1, 1)]).into_iter().chain(from(OTHER, [empty(1, 1)])).collect();
    let mut batcher = Batcher::new(1);
    assert_eq!(whose(batcher.arrive(together(), || false)), (vec![ONE, OTHER], Asker::PEER));
    assert_eq!(seen(batcher.screened(0, forgers(&[OTHER]), || false)), []);
    assert_eq!(whose(batcher.arrive(together(), || false)), (vec![OTHER], OTHER));
    assert_eq!(whose(batcher.screened(0, nothing(), || false)), (vec![ONE], Asker::PEER));
}

/// Single requests once made jobs of four on each shard, of which half the cost was that of a job.
#[test]
fn little_is_gathered_for_one_shard_and_much_is_spread_over_all() {
    let many = |count| arrivals(vec![empty(1, 1); count]);
    let worth = usize::try_from(VERIFY_JOB_WORTH_MICROS.div_ceil(VERIFY_ED25519_MICROS + 1)).expect("few");
    let mut batcher = Batcher::new(3);
    assert_eq!(seen(batcher.arrive(many(5), || false)), [(0, 1, 5)]);
    assert_eq!(seen(batcher.arrive(many(worth - 1), || false)), [], "not worth a second job");
    let second = seen(batcher.arrive(many(1), || false));
    assert!(matches!(second[..], [(1, 2, size)] if size >= worth - 1), "{second:?}");
    assert_eq!(seen(batcher.arrive(many(7), || false)), []);
    assert_eq!(seen(batcher.screened(0, nothing(), || false)), [], "one still runs");
    assert_eq!(seen(batcher.screened(1, nothing(), || false)).len(), 1);
    assert_eq!(seen(batcher.screened(1, nothing(), || false)), []);
    let shares = seen(batcher.arrive(many(600), || false));
    assert_eq!(
        shares.iter().map(|(_, sequence, size)| (*sequence, *size)).collect::<Vec<_>>(),
        [(4, 200), (5, 200), (6, 200)]
    );
    assert_eq!(seen(batcher.arrive(many(5_000), || false)), [], "every shard has its job");
    assert_eq!(seen(batcher.screened(2, nothing(), || false)), [(2, 7, VERIFY_JOB_TRANSACTIONS_MAX)]);
}

/// Few transactions may have many signatures.
#[test]
fn shards_share_signatures() {
    let many = arrivals(vec![empty(1, 32); 128]);
    let mut batcher = Batcher::new(4);
    assert_eq!(seen(batcher.arrive(many, || false)), [(0, 1, 32), (1, 2, 32), (2, 3, 32), (3, 4, 32)]);
    let unsigned = arrivals(vec![empty(1, 0); 2]);
    let mut batcher = Batcher::new(1);
    assert_eq!(only(batcher.arrive(unsigned, || false)), Some((1, 2)));
}

/// A job of 1,024 transactions of 32 signatures each held the verification threads for seconds, during which no
/// other channel had its turn; one of 2,048 P-256 signatures still for 110 ms.
#[test]
fn a_job_is_bounded_by_transactions_cost_and_bytes() {
    let of = |one: u64| usize::try_from(VERIFY_JOB_MICROS_MAX / one).expect("few");
    for (what, one, many, first) in [
        ("transactions", empty(1, 1), VERIFY_JOB_TRANSACTIONS_MAX + 5, VERIFY_JOB_TRANSACTIONS_MAX),
        ("signatures", empty(1, 32), 80, of(1 + 32 * VERIFY_ED25519_MICROS)),
        ("signatures of the slower kind", p256(32), 26, of(1 + 32 * VERIFY_P256_MICROS)),
        ("bytes", empty(1024 * 1024, 1), 4, of(1 + VERIFY_ED25519_MICROS + 1024 * 1024 / VERIFY_BYTES_OF_MICRO)),
        ("one beyond every bound goes alone", empty(1, 2_000), 2, 1),
    ] {
        let mut batcher = Batcher::new(1);
        assert_eq!(only(batcher.arrive(arrivals(vec![one; many]), || false)), Some((1, first)), "{what}");
        assert_eq!(only(batcher.screened(0, nothing(), || false)), Some((2, many - first)), "{what}: the rest");
    }
}

#[test]
fn jobs_are_short_in_a_crowd() {
    let mut batcher = Batcher::new(1);
    let crowded = usize::try_from(VERIFY_JOB_CROWDED_MICROS_MAX / (1 + VERIFY_ED25519_MICROS)).expect("few");
    assert_eq!(only(batcher.arrive(arrivals(vec![empty(1, 1); 5_000]), || false)), Some((1, 1_024)));
    assert_eq!(only(batcher.screened(0, nothing(), || true)), Some((2, crowded)));
    assert_eq!(only(batcher.screened(0, nothing(), || false)), Some((3, 1_024)));
}

/// One caller's bad signatures made all jobs of its channel short, and its neighbours' batches be searched for them.
#[test]
fn whose_signatures_were_wrong_has_short_jobs_apart_until_it_has_posted_good_ones() {
    let apart = usize::try_from(VERIFY_JOB_APART_MICROS_MAX / (1 + VERIFY_ED25519_MICROS)).expect("few");
    let mut batcher = Batcher::new(1);
    let both = |batcher: &mut Batcher| {
        let mut jobs = batcher.arrive(from(ONE, vec![empty(1, 1); 300]), || false);
        jobs.extend(batcher.arrive(from(OTHER, vec![empty(1, 1); 300]), || false));
        jobs
    };
    assert_eq!(whose(both(&mut batcher)), (vec![ONE], Asker::PEER));
    let jobs = batcher.screened(0, forgers(&[ONE]), || false);
    assert_eq!(whose(jobs), (vec![OTHER], Asker::PEER), "first what others have");
    let _ = both(&mut batcher);
    let mut others = 0;
    for turn in 1.. {
        let jobs = batcher.screened(0, nothing(), || false);
        let Some(size) = jobs.first().map(|job| job.batch.len()) else { break };
        let (callers, caller) = whose(jobs);
        assert!(callers == [caller] || callers == [OTHER] && caller == Asker::PEER, "{callers:?} {caller:?}");
        assert!(caller != ONE || size <= apart, "{size}");
        others += usize::from(callers == [OTHER]);
        assert!(turn > 1 || callers == [ONE], "who had less is next");
    }
    assert!(others > 0);
    assert!(batcher.apart.callers.is_empty() && batcher.apart.cost == 0 && batcher.together.cost == 0);
    // What does not even decode has no right signature: it is trusted again for those that have.
    let mut post = |good: bool| {
        let mut left = 4_000;
        while left > 0 {
            let mut jobs = batcher.arrive(from(ONE, vec![empty(1, 1); 100]), || false);
            while let Some(VerifyJob { shard, batch, .. }) = jobs.pop() {
                left -= batch.len().min(left);
                jobs = batcher.screened(shard, if good { right(batch.len()) } else { nothing() }, || false);
            }
        }
        batcher.suspects.is_empty()
    };
    assert!(!post(false));
    assert!(post(true));
    assert_eq!(whose(batcher.arrive(from(ONE, vec![empty(1, 1); 100]), || false)), (vec![ONE], Asker::PEER));
}

/// Behind 1,024 admissions of somebody, each of which took a millisecond, all others of the channel waited for a second.
#[test]
fn what_was_set_aside_comes_a_little_at_a_time_beside_the_others() {
    let mut batcher = Batcher::new(1);
    let aside = |count| {
        let mut aside = arrivals(vec![empty(1, 1); count]);
        aside.iter_mut().for_each(|arrival| arrival.cost = 1_500);
        Findings { aside, ..Findings::default() }
    };
    assert_eq!(only(batcher.arrive(arrivals(vec![empty(1, 1); 10]), || false)), Some((1, 10)));
    let _ = batcher.arrive(from(OTHER, vec![empty(1, 1); 2_000]), || false);
    let mut dealt = Vec::new();
    let mut jobs = batcher.screened(0, aside(10), || false);
    while let Some(VerifyJob { batch, caller, .. }) = jobs.pop() {
        let cost: u64 = batch.iter().map(|arrival| arrival.cost).sum();
        assert!(batcher.apart.cost == 0 || cost <= VERIFY_JOB_CROWDED_MICROS_MAX, "{cost}");
        dealt.push((caller, batch.len()));
        jobs = batcher.screened(0, nothing(), || false);
    }
    assert!(dealt[..2].iter().any(|(caller, _)| *caller != ONE), "{dealt:?}");
    assert_eq!(dealt.iter().filter(|(caller, size)| *caller == ONE && *size == 1).count(), 10, "{dealt:?}");
    assert_eq!(dealt.iter().filter(|(caller, _)| *caller != ONE).map(|(_, size)| size).sum::<usize>(), 2_000);
}

/// One caller's 16,384 transactions of 32 signatures are ten seconds of work; another's next one waited for all of them.
#[test]
fn callers_have_turns_by_what_their_transactions_cost() {
    let mut batcher = Batcher::new(1);
    let _ = batcher.arrive(from(ONE, vec![p256(32); 500]), || true);
    let mut jobs = batcher.arrive(from(OTHER, vec![empty(1, 1); 1_000]), || true);
    assert!(jobs.is_empty(), "one runs");
    let mut cost = [0, 0];
    loop {
        jobs = batcher.screened(0, nothing(), || true);
        let batch = jobs.pop().expect("much waits").batch;
        batch.iter().for_each(|arrival| cost[usize::from(arrival.caller == OTHER)] += arrival.cost);
        if !batch.iter().any(|arrival| arrival.caller == OTHER) {
            break;
        }
        assert!(cost[0] <= cost[1] + 2 * VERIFY_JOB_CROWDED_MICROS_MAX, "{cost:?}");
    }
    assert_eq!(cost[1], 1_000 * (1 + VERIFY_ED25519_MICROS), "all of the other's are done");
}

#[test]
fn what_carries_certificates_weighs_what_it_carries() {
    let (path, possession) = (vec![HexBytes(vec![1]); 4], Signature([0; 64]));
    let admit = Action::ParticipantAdmit(Admit { address: Address::ZERO, path: path.clone(), possession });
    let evidence = Action::ParticipantRevokeByEvidence(RevokeByEvidence { path, evidence: HexBytes(vec![1]) });
    let [admission, revocation] = [&admit, &evidence].map(|action| cost_at_the_door(std::slice::from_ref(action)));
    assert_eq!((admission, revocation), (5 * VERIFY_CERTIFICATE_MICROS, 6 * VERIFY_CERTIFICATE_MICROS));
    assert_eq!(cost_at_the_door(&[admit, evidence]), admission + revocation);
    assert_eq!(cost_at_the_door(&[]), 0);
}

/// In any course: each transaction is dealt once, a caller's in its order, no job is above its bounds, and the sums agree.
#[test]
fn each_callers_transactions_are_dealt_once_and_in_their_order() {
    for seed in seeds(30) {
        let mut random = Random(seed);
        let shards = 1 + random.below(3);
        let mut batcher = Batcher::new(shards);
        let mut running: Vec<VerifyJob> = Vec::new();
        let mut posted: HashMap<Asker, u64> = HashMap::new();
        let mut dealt: HashMap<Asker, u64> = HashMap::new();
        let mut sequence = 0;
        let begin = Instant::now();
        for step in 0..600 {
            let mut jobs = Vec::new();
            if step < 300 && random.below(2) == 0 {
                let caller = Asker::from_number(1 + random.below(4) as u64);
                let mut batch = from(caller, vec![empty(1, 1); random.below(60)]);
                for arrival in &mut batch {
                    let number = posted.entry(caller).or_default();
                    *number += 1;
                    // The number of a caller's transaction is its time, and its cost tells nothing of that.
                    arrival.arrived = begin + Duration::from_micros(*number);
                    arrival.cost = 1 + random.below(3_000) as u64;
                }
                jobs = batcher.arrive(batch, || step % 3 == 0);
            } else if !running.is_empty() {
                let VerifyJob { shard, batch, .. } = running.swap_remove(random.below(running.len()));
                let mut findings = Findings::default();
                for arrival in batch {
                    match random.below(20) {
                        0 => findings.forgers.push(arrival.caller),
                        1 if arrival.arrived > begin => {
                            let mut arrival = arrival;
                            arrival.arrived = begin;
                            findings.aside.push(arrival);
                        }
                        _ => {}
                    }
                }
                jobs = batcher.screened(shard, findings, || step % 3 == 0);
            }
            for job in jobs {
                sequence += 1;
                assert_eq!(job.sequence, sequence);
                assert!(!job.batch.is_empty() && job.batch.len() <= VERIFY_JOB_TRANSACTIONS_MAX);
                let cost: u64 = job.batch.iter().map(|arrival| arrival.cost).sum();
                assert!(cost <= VERIFY_JOB_MICROS_MAX || job.batch.len() == 1);
                assert!(job.caller == Asker::PEER || job.batch.iter().all(|arrival| arrival.caller == job.caller));
                for arrival in &job.batch {
                    // What was set aside has no number here.
                    if arrival.arrived > begin {
                        let last = dealt.entry(arrival.caller).or_default();
                        let number = arrival.arrived.duration_since(begin).as_micros() as u64;
                        assert_eq!(number, *last + 1, "its order");
                        *last = number;
                    }
                }
                running.push(job);
            }
            let sum = |lane: &CallerTurns| {
                lane.callers.values().flat_map(|queue| &queue.waiting).map(|arrival| arrival.cost).sum::<u64>()
            };
            assert_eq!((sum(&batcher.together), sum(&batcher.apart)), (batcher.together.cost, batcher.apart.cost));
        }
        while let Some(VerifyJob { shard, .. }) = running.pop() {
            for job in batcher.screened(shard, Findings::default(), || false) {
                for arrival in job.batch.iter().filter(|arrival| arrival.arrived > begin) {
                    *dealt.entry(arrival.caller).or_default() += 1;
                }
                running.push(job);
            }
        }
        assert_eq!(dealt, posted.into_iter().filter(|(_, count)| *count > 0).collect());
    }
}
