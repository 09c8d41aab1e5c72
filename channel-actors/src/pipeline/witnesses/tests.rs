use super::*;
use crate::pipeline::vouching::Vouching;
use crate::test_support::{NOW, config, envelope, key, verified};
use ledger_classes::formats::config::{Engine, OrderingPeer};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::rules::NEXT;
use std::sync::Arc;

const CHANNEL: Hash = Hash([5; 32]);

/// Three peers of one weight order.
fn config_of(policy: Policy) -> ChannelConfig {
    let peer = |number: u8| {
        let identity = Identity::new("test.example", "bank", Role::Peer, &format!("p{number}")).expect("valid");
        OrderingPeer { identity, key: key(number).public(), weight: 1 }
    };
    let peers = [1, 2, 3].map(peer).to_vec();
    ChannelConfig { rules: NEXT, engine: Engine::Raft, peers, threshold: 2, witnesses: policy, ..config() }
}

fn transactions(numbers: std::ops::Range<u64>) -> Vec<VerifiedTransaction> {
    numbers.map(|number| verified(CHANNEL, envelope(CHANNEL, number, 7))).collect()
}

/// What three peers do for each other, of whom each hears the others at once unless it is cut off.
struct Peers {
    peers: Vec<Witnesses>,
    cut_off: Vec<usize>,
    passed: Vec<Vec<Hash>>,
    sent: usize,
    counted: Vec<&'static str>,
}

impl Peers {
    fn new(policy: Policy) -> Self {
        let peer = |number: u8| Witnesses::new(CHANNEL, key(number).public().address(), &config_of(policy));
        let (cut_off, passed, counted) = (Vec::new(), vec![Vec::new(); 3], Vec::new());
        Self { peers: [1, 2, 3].map(peer).into(), cut_off, passed, sent: 0, counted }
    }

    fn perform(&mut self, of: usize, effects: Vec<WitnessEffect>, now: Time) {
        let own = |number: usize| key(u8::try_from(number + 1).expect("few"));
        for effect in effects {
            match effect {
                WitnessEffect::Passed(all) => self.passed[of].extend(all.iter().map(VerifiedTransaction::id)),
                WitnessEffect::WakeAt(time) => assert!(time > now),
                WitnessEffect::Count(outcome) => self.counted.push(outcome),
                WitnessEffect::Vouch { to, batch, envelopes } => {
                    let key: Arc<SigningKey> = Arc::new(own(of));
                    let vouching = Vouching { channel: CHANNEL, key, seed: [2; 32], to, batch, envelopes };
                    let (to, batch, signed) = vouching.run();
                    let more = self.peers[of].vouched(to, batch, signed, now);
                    self.perform(of, more, now);
                }
                WitnessEffect::Send { to, bytes } => {
                    self.sent += 1;
                    let to = (0..3).find(|number| own(*number).public().address() == to).expect("a peer");
                    if !self.cut_off.contains(&to) && !self.cut_off.contains(&of) {
                        let more = self.peers[to].message(own(of).public().address(), &bytes, now);
                        self.perform(to, more, now);
                    }
                }
            }
        }
    }

    fn verified(&mut self, of: usize, all: Vec<VerifiedTransaction>, now: Time) {
        let effects = self.peers[of].verified(all, now);
        self.perform(of, effects, now);
    }

    fn tick(&mut self, of: usize, now: Time) {
        let effects = self.peers[of].tick(now);
        self.perform(of, effects, now);
    }
}

fn ids(of: &[VerifiedTransaction]) -> Vec<Hash> {
    of.iter().map(VerifiedTransaction::id).collect()
}

fn keeps_nothing(of: &Witnesses) -> bool {
    of.known.is_empty() && of.of.is_empty() && of.open.is_empty() && of.waiting.is_empty()
}

#[test]
fn what_is_verified_passes_with_the_signatures_that_the_policy_asks_for() {
    let later = NOW.plus_millis(WITNESS_AGAIN_MS);
    for (policy, cut_off, passes) in [
        (Policy::Own, &[1, 2][..], true),
        (Policy::Quorum, &[], true),
        (Policy::Quorum, &[2], true),
        (Policy::Quorum, &[1, 2], false),
        (Policy::All, &[], true),
        (Policy::All, &[2], false),
    ] {
        let (mut peers, all) = (Peers::new(policy), transactions(0..3));
        peers.cut_off = cut_off.to_vec();
        peers.verified(0, all.clone(), NOW);
        assert_eq!(peers.passed[0], if passes { ids(&all) } else { Vec::new() }, "{policy:?} without {cut_off:?}");
        let sent = peers.sent;
        peers.tick(0, NOW);
        assert_eq!(peers.sent, sent, "nobody is asked again at once");
        // Who could not be heard is asked again.
        peers.cut_off = Vec::new();
        peers.tick(0, later);
        assert_eq!(peers.passed[0], ids(&all), "{policy:?}");
        let batches = peers.peers[0].batches_of(&all[1..2]);
        let expected = usize::from(policy != Policy::Own);
        assert_eq!(batches.len(), expected);
        for WitnessedBatch { batch, leaves, witnesses } in batches {
            assert!(batch.is_of(&leaves) && leaves.len() == 3, "whole, whatever of it is in a block");
            assert!(witnesses.len() >= if policy == Policy::All { 3 } else { 2 });
        }
        // Nothing is kept of what is in a block.
        peers.peers[0].gone(ids(&all));
        assert!(keeps_nothing(&peers.peers[0]));
    }
}

/// A witness vouches for what it has verified, and for nothing that only its origin says.
#[test]
fn a_peer_signs_no_batch_with_anything_wrong_in_it() {
    let all = transactions(0..3);
    let leaves: Vec<Hash> = all.iter().map(VerifiedTransaction::leaf).collect();
    let origin = key(1).public().address();
    let good = Batch::of(origin, 7, &leaves);
    let envelopes: Vec<Vec<u8>> = all.iter().map(|one| one.envelope().to_vec()).collect();
    let signs = |batch: &Batch, channel: Hash, envelopes: Vec<Vec<u8>>| {
        let (key, batch) = (Arc::new(key(2)), batch.clone());
        Vouching { channel, key, seed: [2; 32], to: origin, batch, envelopes: Some(envelopes) }.run().2.is_some()
    };
    assert!(signs(&good, CHANNEL, envelopes.clone()));
    let mut forged = envelopes.clone();
    let last = forged[1].len() - 1;
    forged[1][last] ^= 1;
    let turned: Vec<_> = envelopes.iter().rev().cloned().collect();
    for (wrong, batch, channel, envelopes) in [
        ("a signature", &good, CHANNEL, forged),
        ("another order", &good, CHANNEL, turned),
        ("one is missing", &good, CHANNEL, envelopes[1..].to_vec()),
        ("another channel", &good, Hash([6; 32]), envelopes.clone()),
        ("another digest", &Batch { digest: Hash([1; 32]), ..good.clone() }, CHANNEL, envelopes.clone()),
        ("another number of them", &Batch { count: 2, ..good.clone() }, CHANNEL, envelopes.clone()),
    ] {
        assert!(!signs(batch, channel, envelopes), "{wrong}");
    }
}

/// One that does not order, says it in another's name, or signs something else is heard in vain.
#[test]
fn only_a_good_signature_of_one_that_orders_counts() {
    let (mut peers, all) = (Peers::new(Policy::Quorum), transactions(0..2));
    peers.cut_off = vec![1, 2];
    peers.verified(0, all, NOW);
    let batch = peers.peers[0].open[0].batch.clone();
    let of = |number: u8| key(number).public().address();
    let vouches =
        |batch: &Batch, signed: SealSignature| WitnessMessage::Vouches { batch: batch.clone(), signed }.encode();
    let good = batch.witness(&key(2), &CHANNEL);
    let other = Batch { number: 1, ..batch.clone() };
    let mut wrong = good.clone();
    wrong.signature.0[3] ^= 1;
    for (from, said) in [
        (of(3), vouches(&batch, good.clone())),
        (of(9), vouches(&batch, batch.witness(&key(9), &CHANNEL))),
        (of(2), vouches(&batch, wrong)),
        (of(2), vouches(&batch, batch.witness(&key(2), &Hash([6; 32])))),
        (of(2), vouches(&other, other.witness(&key(2), &CHANNEL))),
        (of(1), vouches(&batch, batch.witness(&key(1), &CHANNEL))),
        (of(2), vec![1, 2, 3]),
    ] {
        assert!(peers.peers[0].message(from, &said, NOW).is_empty());
    }
    assert!(peers.passed[0].is_empty());
    let effects = peers.peers[0].message(of(2), &vouches(&batch, good), NOW);
    peers.perform(0, effects, NOW);
    assert_eq!(peers.passed[0].len(), 2);
    // Nobody is asked in another's name.
    let asks = WitnessMessage::Asks { batch, envelopes: vec![vec![]; 2] }.encode();
    assert!(peers.peers[1].message(of(3), &asks, NOW).is_empty());
}

#[test]
fn batches_pass_in_their_order_and_what_waits_makes_the_next_one_larger() {
    let mut peers = Peers::new(Policy::Quorum);
    peers.cut_off = vec![1, 2];
    let all = transactions(0..20);
    for one in &all {
        peers.verified(0, vec![one.clone()], NOW);
    }
    assert_eq!(peers.peers[0].open.len(), WITNESS_BATCHES_OPEN_MAX);
    // The last of those that are open has its signature first.
    let last = peers.peers[0].open.back().expect("four").batch.clone();
    let signed = last.witness(&key(2), &CHANNEL);
    assert!(peers.peers[0].signed(&last, signed, NOW).iter().all(|effect| !matches!(effect, WitnessEffect::Passed(_))));
    peers.cut_off = Vec::new();
    peers.tick(0, NOW.plus_millis(WITNESS_AGAIN_MS));
    assert_eq!(peers.passed[0], ids(&all));
    assert_eq!(peers.peers[0].known.len(), WITNESS_BATCHES_OPEN_MAX + 1);
    let numbers: Vec<u64> = peers.peers[0].known.keys().copied().collect();
    assert!(numbers.is_sorted_by(|one, next| one < next));
}

/// An id that had its outcome while its batch was open, and was sent again, stood in two: it passed twice, and the first of
/// them was kept for ever.
#[test]
fn an_id_that_comes_again_while_its_batch_is_open_passes_once_and_leaves_nothing() {
    let (mut peers, all) = (Peers::new(Policy::Quorum), transactions(0..2));
    peers.cut_off = vec![1, 2];
    peers.verified(0, all.clone(), NOW);
    peers.verified(0, all.clone(), NOW);
    assert_eq!(peers.peers[0].open.len(), 1, "it comes with the batch in which it stands");
    peers.peers[0].gone([all[0].id()]);
    peers.verified(0, vec![all[0].clone()], NOW);
    peers.cut_off = Vec::new();
    peers.tick(0, NOW.plus_millis(WITNESS_AGAIN_MS));
    assert_eq!(peers.passed[0], [all[1].id(), all[0].id()]);
    assert_eq!(peers.peers[0].batches_of(&all).len(), 2);
    peers.verified(0, vec![all[0].clone()], NOW);
    assert_eq!(peers.passed[0].len(), 3, "its witnesses hold");
    peers.peers[0].gone(ids(&all));
    assert!(keeps_nothing(&peers.peers[0]));
}

#[test]
fn of_what_has_its_outcome_nothing_is_kept_and_nothing_asked() {
    let (mut peers, all) = (Peers::new(Policy::All), transactions(0..20));
    peers.cut_off = vec![1, 2];
    for one in &all {
        peers.verified(0, vec![one.clone()], NOW);
    }
    let of = &mut peers.peers[0];
    assert_eq!((of.open.len(), of.waiting.len()), (WITNESS_BATCHES_OPEN_MAX, 16));
    of.gone(ids(&all[..WITNESS_BATCHES_OPEN_MAX]));
    assert_eq!((of.open.len(), of.waiting.len()), (0, 16));
    of.gone(ids(&all[11..]));
    assert_eq!(of.not_passed().map(VerifiedTransaction::id).collect::<Vec<_>>(), ids(&all[4..11]));
    assert_eq!(of.waiting.len(), 7);
    peers.cut_off = Vec::new();
    peers.tick(0, NOW.plus_millis(WITNESS_AGAIN_MS));
    assert_eq!(peers.passed[0], ids(&all[4..11]), "what waits needs no other occasion");
    peers.peers[0].gone(ids(&all));
    assert!(keeps_nothing(&peers.peers[0]));
}

/// One whose policy was met waited for ever behind one of which nothing was left.
#[test]
fn a_batch_that_is_met_passes_once_those_before_it_are_gone() {
    let (mut peers, all) = (Peers::new(Policy::Quorum), transactions(0..2));
    peers.cut_off = vec![1, 2];
    peers.verified(0, all[..1].to_vec(), NOW);
    peers.cut_off = vec![2];
    peers.verified(0, all[1..].to_vec(), NOW);
    assert_eq!((peers.passed[0].len(), peers.peers[0].open.len()), (0, 2));
    peers.cut_off = vec![1, 2];
    peers.peers[0].gone(ids(&all[..1]));
    peers.tick(0, NOW);
    assert_eq!(peers.passed[0], ids(&all[1..]));
}

/// One peer could have this one verify for it alone, and hold any number of its batches.
#[test]
fn of_what_one_peer_asks_little_is_verified_at_a_time_and_nothing_twice() {
    let mut peers = Peers::new(Policy::Quorum);
    let of = |number: u8| key(number).public().address();
    let asks = |origin: u8, number: u64| {
        let all = transactions(number..number + 1);
        let envelopes = all.iter().map(|one| one.envelope().to_vec()).collect();
        WitnessMessage::Asks { batch: Batch::of(of(origin), number, &[all[0].leaf()]), envelopes }.encode()
    };
    let ask =
        |peers: &mut Peers, origin: u8, number: u64| peers.peers[1].message(of(origin), &asks(origin, number), NOW);
    let counts = |effects: &[WitnessEffect], expected: &str| matches!(effects, [WitnessEffect::Count(outcome)] if *outcome == expected);
    let mut under_way: Vec<_> = (0..4).flat_map(|number| ask(&mut peers, 1, number)).collect();
    assert_eq!(under_way.len(), WITNESS_BATCHES_OPEN_MAX);
    assert!(under_way.iter().all(|effect| matches!(effect, WitnessEffect::Vouch { .. })));
    assert!(counts(&ask(&mut peers, 1, 3), "repeated"), "it is verified already");
    assert!(counts(&ask(&mut peers, 1, 4), "refused"), "a fifth");
    assert!(matches!(ask(&mut peers, 3, 4).as_slice(), [WitnessEffect::Vouch { .. }]), "another peer has its own");
    let last = under_way.pop();
    peers.perform(1, last.into_iter().collect(), NOW);
    assert_eq!(peers.counted, ["signed"]);
    assert!(matches!(ask(&mut peers, 1, 4).as_slice(), [WitnessEffect::Vouch { .. }]), "there is room again");
    let again = ask(&mut peers, 1, 3);
    let [WitnessEffect::Count("repeated"), WitnessEffect::Send { to, .. }] = again.as_slice() else {
        panic!("what was signed is said again")
    };
    assert_eq!(*to, of(1));
    // What is not so has its place for as long as that is not known.
    let Some(WitnessEffect::Vouch { to, batch, .. }) = under_way.pop() else { panic!("three are left") };
    assert!(counts(&peers.peers[1].vouched(to, batch, None, NOW), "wrong"));
    assert!(matches!(ask(&mut peers, 1, 5).as_slice(), [WitnessEffect::Vouch { .. }]));
}

#[test]
fn another_policy_or_other_peers_make_all_signatures_void() {
    let (mut peers, all) = (Peers::new(Policy::Quorum), transactions(0..4));
    peers.verified(0, all[..2].to_vec(), NOW);
    peers.cut_off = vec![1, 2];
    peers.verified(0, all[2..].to_vec(), NOW);
    assert_eq!(peers.passed[0], ids(&all[..2]));
    let of = &mut peers.peers[0];
    assert!(!of.configure(&config_of(Policy::Quorum)), "the same");
    assert!(of.configure(&ChannelConfig { threshold: 3, ..config_of(Policy::Quorum) }));
    assert!(of.configure(&config_of(Policy::All)));
    let effects = of.again(all[..2].to_vec(), NOW);
    assert!(of.known.is_empty() && of.batches_of(&all).is_empty());
    peers.passed[0].clear();
    peers.cut_off = Vec::new();
    for peer in &mut peers.peers[1..] {
        assert!(peer.configure(&config_of(Policy::All)));
    }
    peers.perform(0, effects, NOW);
    peers.tick(0, NOW.plus_millis(WITNESS_AGAIN_MS));
    assert_eq!(peers.passed[0], ids(&all), "in their order, all of them");
    assert!(peers.peers[0].batches_of(&all).iter().all(|batch| batch.witnesses.len() == 3));
    // Without a policy nothing waits.
    let of = &mut peers.peers[0];
    assert!(of.configure(&config_of(Policy::Own)) && of.are_own());
    let effects = of.again(all.clone(), NOW);
    assert!(matches!(effects.as_slice(), [WitnessEffect::Passed(passed)] if passed.len() == all.len()));
}
