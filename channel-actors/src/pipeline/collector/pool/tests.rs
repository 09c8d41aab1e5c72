//! Turns, one sentence each.

use crate::pipeline::collector::pool::*;
use crate::test_support::{NOW, Random, key, seeds, transaction, verified};
use ledger_classes::action::channel::Revoke;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::identity::{Identity, Role};

const CHANNEL: Hash = Hash([7; 32]);
const MUCH: BlockRoom = BlockRoom { transactions: 1_000, bytes: usize::MAX, places: 1_000 };

fn room(transactions: usize) -> BlockRoom {
    BlockRoom { transactions, ..MUCH }
}

/// A record of a sender, or an administrative act.
fn one(sender: u8, nonce: u64, administrative: bool) -> VerifiedTransaction {
    let mut transaction = transaction(CHANNEL, nonce, "");
    if administrative {
        let identity = Identity::new("test.example", "bank", Role::Client, "client").expect("valid");
        let revoke = Revoke { identity, serial: Some(HexBytes(vec![1])), reason: "left".into() };
        transaction.actions = vec![Action::ParticipantRevoke(revoke)];
    }
    verified(CHANNEL, Envelope::sign_binary(&transaction, &[&key(sender)]))
}

fn nonces(block: &[VerifiedTransaction]) -> Vec<u64> {
    block.iter().map(|transaction| transaction.transaction().nonce).collect()
}

/// The place of a sender, two of which have one each.
fn place(sender: u8) -> Place {
    Place::of_organization(["a", "b", "c"][usize::from(sender - 1) / 2])
}

/// The sender of a transaction.
fn sender(transaction: &VerifiedTransaction) -> u8 {
    (1..=6).find(|number| key(*number).public().address() == transaction.sender()).expect("one of them")
}

/// What a block takes of those who wait: place, sender, nonce and whether it is administrative.
fn check(waiting: &[(&str, u8, u64, bool)], room: BlockRoom, expected: &[u64]) -> Pool {
    let mut pool = Pool::default();
    for (place, sender, nonce, administrative) in waiting {
        pool.push(one(*sender, *nonce, *administrative), Place::of_organization(place), NOW);
    }
    assert_eq!(nonces(&pool.take(room)), expected);
    pool
}

#[test]
fn what_a_block_takes_at_once_goes_in_the_order_of_arrival() {
    let waiting = [("a", 1, 1, false), ("a", 1, 2, false), ("b", 2, 3, false), ("c", 3, 4, true)];
    check(&waiting, room(4), &[1, 2, 3, 4]);
}

#[test]
fn organizations_have_turns_and_their_senders_within() {
    let waiting = [
        ("a", 1, 1, false),
        ("a", 1, 2, false),
        ("a", 1, 3, false),
        ("a", 2, 4, false),
        ("a", 3, 5, false),
        ("b", 4, 6, false),
        ("b", 4, 7, false),
        ("b", 5, 8, false),
    ];
    let mut pool = check(&waiting, room(7), &[1, 6, 4, 8, 5, 7, 2]);
    pool.executed(&[], Vec::new());
    assert_eq!(nonces(&pool.take(room(7))), [3]);
    assert!(pool.crowd.is_some(), "it may come back");
    pool.executed(&[], Vec::new());
    assert!(pool.crowd.is_none() && pool.is_empty() && pool.bytes() == 0);
}

/// A revocation waited behind everything that its reason had posted.
#[test]
fn administrative_acts_have_every_other_turn() {
    let others = [("a", 1, 1, false), ("a", 1, 2, false), ("a", 1, 3, false), ("b", 2, 4, false)];
    let acts = [("a", 3, 5, true), ("b", 4, 6, true), ("b", 4, 7, true)];
    check(&[&others[..], &acts].concat(), room(6), &[5, 1, 6, 4, 7, 2]);
}

#[test]
fn a_sender_overtakes_itself_by_no_administrative_act() {
    let waiting = [
        ("a", 1, 1, false),
        ("a", 1, 2, true),
        ("a", 2, 3, true),
        ("a", 2, 4, false),
        ("b", 3, 5, false),
        ("b", 3, 6, true),
    ];
    check(&waiting, room(5), &[3, 1, 4, 5, 2]);
}

#[test]
fn what_is_given_back_has_the_next_turns() {
    let waiting = [
        ("a", 1, 1, false),
        ("a", 1, 2, false),
        ("a", 1, 3, false),
        ("b", 2, 4, false),
        ("b", 2, 5, false),
        ("c", 3, 6, false),
    ];
    let mut pool = Pool::default();
    for (place, sender, nonce, administrative) in waiting {
        pool.push(one(sender, nonce, administrative), Place::of_organization(place), NOW);
    }
    // In order of arrival first: the budget ended behind the first one.
    let mut block = pool.take(MUCH);
    assert_eq!(nonces(&block), [1, 2, 3, 4, 5, 6]);
    pool.push(one(4, 7, false), Place::of_organization("d"), NOW);
    let with_places = |deferred: Vec<VerifiedTransaction>| {
        let place =
            |one: &VerifiedTransaction| Place::of_organization(["a", "b", "c", "d"][usize::from(sender(one) - 1)]);
        deferred.into_iter().map(|one| (place(&one), one)).map(|(place, one)| (one, place)).collect::<Vec<_>>()
    };
    pool.executed(&[], with_places(block.split_off(1)));
    let mut block = pool.take(room(5));
    assert_eq!(nonces(&block), [2, 4, 6, 7, 3]);
    assert_eq!(pool.since(), Some(Time::ZERO), "they have waited for a block already");
    // This time behind two; what comes meanwhile waits behind its sender's.
    pool.push(one(3, 8, false), Place::of_organization("c"), NOW);
    pool.push(one(3, 9, true), Place::of_organization("c"), NOW);
    pool.push(one(1, 10, true), Place::of_organization("a"), NOW);
    pool.executed(&[], with_places(block.split_off(2)));
    assert_eq!(nonces(&pool.take(MUCH)), [6, 7, 3, 5, 8, 10, 9]);
    assert_eq!((pool.len(), pool.bytes(), pool.since()), (0, 0, None));
}

/// In any course of arrivals and of budgets that end early: a sender's transactions come in their order, each once, and one
/// that has nothing before it waits for no more than one of each place and each sender of its place.
#[test]
fn a_sender_waits_for_one_of_each_place_whatever_the_others_post() {
    let all: HashMap<(u8, u64, bool), VerifiedTransaction> = (1..=6)
        .flat_map(|sender| (0..30).flat_map(move |n| [false, true].map(|acts| (sender, n, acts))))
        .map(|(sender, nonce, acts)| ((sender, nonce, acts), one(sender, nonce, acts)))
        .collect();
    for seed in seeds(20) {
        let mut random = Random(seed);
        let mut pool = Pool::default();
        let (mut next, mut done) = ([0u64; 7], [0u64; 7]);
        let (mut waits_since, mut executed) = ([None::<usize>; 7], 0);
        let mut steps = 0;
        while steps < 400 || !pool.is_empty() {
            steps += 1;
            let mut arrive = |pool: &mut Pool, random: &mut Random, executed: usize| {
                for _ in 0..random.below(12) {
                    // The first two post most.
                    let sender = [1, 1, 1, 2, 2, 2, 3, 4, 5, 6][random.below(10)];
                    let number = &mut next[sender];
                    if *number < 30 && steps < 400 {
                        let acts = random.below(6) == 0;
                        let number_of = u8::try_from(sender).expect("small");
                        let transaction = all[&(number_of, *number, acts)].clone();
                        if waits_since[sender].is_none() {
                            waits_since[sender] = Some(executed);
                        }
                        pool.push(transaction, place(number_of), NOW);
                        *number += 1;
                    }
                }
            };
            arrive(&mut pool, &mut random, executed);
            let mut block = pool.take(room(1 + random.below(8)));
            arrive(&mut pool, &mut random, executed);
            let fitting = 1 + random.below(block.len().max(1));
            let deferred = block.split_off(fitting.min(block.len()));
            for transaction in block {
                let sender = usize::from(sender(&transaction));
                assert_eq!(transaction.transaction().nonce, done[sender], "its own order");
                done[sender] += 1;
                executed += 1;
                let waited = executed - waits_since[sender].expect("it waited");
                // A block in order of arrival that was under way, then two lanes, three places, two senders.
                assert!(waited <= 24 + 2 * 2 * 3 * 2, "sender {sender} waited for {waited} others");
                waits_since[sender] = (next[sender] > done[sender]).then_some(executed);
            }
            let with_place = |one: VerifiedTransaction| (place(sender(&one)), one);
            pool.executed(&[], deferred.into_iter().map(with_place).map(|(place, one)| (one, place)).collect());
        }
        assert_eq!(next, done);
    }
}

/// What some of those who wait are executed at: a block ends when its budget is used, as execution does it. Gives what each
/// sender has had, in blocks, and calls `each` after every block, until it says that this is enough.
fn run(pool: &mut Pool, cost: impl Fn(u8) -> u64, mut each: impl FnMut(&mut Pool, &HashMap<u8, (usize, f64)>) -> bool) {
    let mut had = HashMap::<u8, (usize, f64)>::new();
    loop {
        let mut offered: VecDeque<VerifiedTransaction> = pool.take(MUCH).into();
        let (mut used, mut costs) = (0, Vec::new());
        while used < BLOCK_COST
            && let Some(one) = offered.pop_front()
        {
            let number = sender(&one);
            costs.push((one.id(), cost(number)));
            used += cost(number);
            let had = had.entry(number).or_default();
            *had = (had.0 + 1, had.1 + cost(number) as f64 / BLOCK_COST as f64);
        }
        pool.executed(
            &costs,
            offered.into_iter().map(|one| (place(sender(&one)), one)).map(|(place, one)| (one, place)).collect(),
        );
        if !each(pool, &had) {
            return;
        }
    }
}

fn waiting_of(pool: &mut Pool, sender: u8, nonces: std::ops::Range<u64>, administrative: bool) {
    nonces.for_each(|nonce| pool.push(one(sender, nonce, administrative), place(sender), NOW));
}

/// Turns of one transaction gave a flood of costly ones nearly all of each block: beside recoveries that take a quarter of a
/// block each, a transfer of another member came with each, and its thousandth after 250 blocks.
#[test]
fn who_posts_what_is_costly_has_its_part_of_the_blocks_and_no_more() {
    let mut pool = Pool::default();
    // 1 is of the first organization, 3 of the second.
    waiting_of(&mut pool, 1, 0..200, false);
    waiting_of(&mut pool, 3, 0..600, false);
    let cost = |sender| if sender == 1 { BLOCK_COST / 4 } else { BLOCK_COST / 500 };
    let mut blocks = 0;
    run(&mut pool, cost, |_, had| {
        blocks += 1;
        let (costly, cheap) = (had.get(&1).copied().unwrap_or_default(), had.get(&3).copied().unwrap_or_default());
        // The first block is in the order of arrival, and what is costly is known after the second.
        assert!(costly.1 <= cheap.1 + 2.5, "{blocks}: {costly:?} {cheap:?}");
        cheap.0 < 600
    });
    assert!(blocks <= 14, "{blocks}");
}

#[test]
fn within_an_organization_a_sender_of_costly_ones_waits_for_itself() {
    let mut pool = Pool::default();
    waiting_of(&mut pool, 1, 0..100, false);
    waiting_of(&mut pool, 2, 0..300, false);
    let mut blocks = 0;
    run(
        &mut pool,
        |sender| if sender == 1 { BLOCK_COST / 4 } else { BLOCK_COST / 500 },
        |_, had| {
            blocks += 1;
            had.get(&2).is_none_or(|had| had.0 < 300)
        },
    );
    assert!(blocks <= 9, "{blocks}");
}

/// Administrative acts are free where others pay, so a flood of them must not take the blocks either.
#[test]
fn administrative_acts_have_half_of_the_blocks_whatever_they_cost() {
    let mut pool = Pool::default();
    waiting_of(&mut pool, 1, 0..100, true);
    waiting_of(&mut pool, 3, 0..600, false);
    let mut blocks = 0;
    run(
        &mut pool,
        |sender| if sender == 1 { BLOCK_COST / 4 } else { BLOCK_COST / 500 },
        |_, had| {
            blocks += 1;
            let acts = had.get(&1).copied().unwrap_or_default();
            assert!(acts.0 > blocks / 2, "neither wait the acts: {acts:?} in {blocks}");
            had.get(&3).is_none_or(|had| had.0 < 600)
        },
    );
    assert!(blocks <= 14, "{blocks}");
}

#[test]
fn nobody_saves_up_turns() {
    let mut pool = Pool::default();
    waiting_of(&mut pool, 1, 0..600, false);
    let (mut blocks, mut since) = (0, None);
    run(
        &mut pool,
        |_| BLOCK_COST / 16,
        |pool, had| {
            blocks += 1;
            if blocks == 10 {
                waiting_of(pool, 3, 0..300, false);
                since = Some(had[&1].1);
            }
            let (Some(since), Some(other)) = (since, had.get(&3)) else { return true };
            let own = had[&1].1 - since;
            assert!((own - other.1).abs() <= 1.0, "{own} {other:?}");
            blocks < 30
        },
    );
}

/// Whose block was discarded had its turn, and paid for it again when it came into another one.
#[test]
fn what_comes_back_from_a_block_that_will_not_be_pays_for_one_turn() {
    let mut pool = Pool::default();
    for (sender, nonce) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
        pool.push(one(sender, nonce, false), place(sender * 2), NOW);
    }
    let had = |pool: &Pool| pool.crowd.as_ref().expect("more waits than a block takes").had;
    let block = pool.take(room(2));
    let costs: Vec<(Hash, u64)> = block.iter().map(|transaction| (transaction.id(), BLOCK_COST / 4)).collect();
    pool.executed(&costs, Vec::new());
    let paid = had(&pool);
    assert_eq!(paid[OTHERS], BLOCK_COST / 2);
    let with_places = |block: Vec<VerifiedTransaction>| -> Vec<(VerifiedTransaction, Place)> {
        block.into_iter().map(|one| (place(sender(&one) * 2), one)).map(|(place, one)| (one, place)).collect()
    };
    pool.returned(with_places(block.clone()));
    assert_eq!(pool.len(), 4);
    // Its budget ends before them, and they come back once more.
    let again = pool.take(room(2));
    assert_eq!(nonces(&again), nonces(&block));
    pool.executed(&[], with_places(again));
    let again = pool.take(room(2));
    assert_eq!((nonces(&again), had(&pool)), (nonces(&block), paid));
    pool.executed(&costs, Vec::new());
    assert_eq!(had(&pool), paid);
    let others = pool.take(room(2));
    assert_eq!(others.len(), 2);
    assert!(had(&pool)[OTHERS] > paid[OTHERS]);
}

/// What is taken out has had no turn, and those that stay have theirs as if it had never been there.
#[test]
fn what_does_not_stay_leaves_nothing_behind() {
    let waiting = [
        ("a", 1, 1, false),
        ("a", 1, 2, false),
        ("a", 2, 3, false),
        ("b", 3, 4, false),
        ("b", 3, 5, false),
        ("c", 4, 6, true),
    ];
    for in_turns in [false, true] {
        let mut pool = match in_turns {
            false => check(&[], room(1), &[]),
            true => check(&[("a", 1, 90, false), ("a", 1, 91, false)], room(1), &[90]),
        };
        for (name, sender, nonce, administrative) in waiting {
            pool.push(one(sender, nonce, administrative), Place::of_organization(name), NOW);
        }
        pool.retain(|one| [1, 5].contains(&one.transaction().nonce));
        let bytes: usize = [one(1, 1, false), one(3, 5, false)].iter().map(|one| one.envelope().len()).sum();
        assert_eq!((pool.len(), pool.bytes()), (2, bytes), "{in_turns}");
        pool.executed(&[], Vec::new());
        let mut taken = nonces(&pool.take(MUCH));
        taken.sort_unstable();
        assert_eq!(taken, [1, 5]);
        assert_eq!((pool.len(), pool.bytes(), pool.since()), (0, 0, None));
        pool.executed(&[], Vec::new());
        assert!(pool.crowd.is_none());
        pool.push(one(1, 7, false), Place::of_organization("a"), NOW);
        pool.retain(|_| false);
        assert_eq!((pool.len(), pool.bytes(), pool.since()), (0, 0, None));
    }
}
