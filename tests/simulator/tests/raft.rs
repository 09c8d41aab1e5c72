//! The engine over Raft orders three peers in virtual time, with the machines, loop and stores that serve. What must hold is
//! checked by the simulator (`channel_actors::simulation`); here is which runs there are, and that its checks find what is
//! planted.

use channel_actors::simulation::{Mutant, Together, run_several};

/// `CHANCERY_SEED` and `CHANCERY_RUNS` choose others.
#[test]
fn raft_orders_three_peers() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (first, runs) = (number("CHANCERY_SEED", 1), number("CHANCERY_RUNS", 2));
    let (mut proposers, mut starts, mut cuts, mut ahead) = (0, 0, 0, (0, 0));
    for seed in first..first + runs {
        let run = || run_several(seed, None, false).0;
        let together = run().unwrap_or_else(|reason| panic!("seed {seed}: {reason}"));
        println!("seed {seed}: {together:?}");
        assert!(together.blocks >= 60 && together.transactions > 60, "seed {seed}: {together:?}");
        // Odd seeds ask for as many witnesses as seal a block, even ones for all.
        let each = if seed % 2 == 0 { 3 } else { 2 };
        let Together { batches, witnesses, .. } = together;
        assert!(batches > 30 && witnesses >= each * batches, "seed {seed}: {together:?}");
        assert_eq!(run().as_ref(), Ok(&together), "seed {seed} is another run the second time");
        proposers = proposers.max(together.proposers);
        (starts, cuts) = (starts + together.starts, cuts + together.cuts);
        ahead = (ahead.0 + together.withheld, ahead.1 + together.refused);
    }
    assert!(ahead.0 > 0, "blocks ahead of clocks: {ahead:?} withheld and refused");
    assert!(proposers > 1 && starts > 3 * runs && cuts > 0, "{proposers} proposers, {starts} starts, {cuts} cuts");
}

/// The reason for which the first of a few seeds fails.
fn found(mutant: Mutant, seeds: u64) -> String {
    let found = (1..=seeds).find_map(|seed| run_several(seed, Some(mutant), false).0.err());
    found.unwrap_or_else(|| panic!("{} is not found in {seeds} seeds", mutant.name()))
}

/// A peer that counts itself alone as a witness makes blocks that are none: the first of them stops it.
#[test]
fn a_batch_that_only_its_origin_has_signed_is_in_no_block() {
    let reason = found(Mutant::WitnessAlone, 1);
    assert!(reason.contains("halts") && reason.contains("the witnesses of batch"), "{reason}");
}

/// A leader whose clock is ahead has its blocks accepted at once: nobody's clock was there.
#[test]
fn a_follower_that_does_not_ask_its_clock_is_found() {
    let reason = found(Mutant::ClockNotAsked, 20);
    assert!(reason.contains("before anybody's clock was at its time"), "{reason}");
}

/// A peer that forgets for whom it has voted may vote twice in a term.
#[test]
fn a_vote_that_is_not_kept_is_found() {
    let reason = found(Mutant::VoteNotKept, 2);
    assert!(reason.contains("votes for") && reason.contains("on its disk"), "{reason}");
}

/// A signature says that a block is final.
#[test]
fn a_signature_of_what_is_not_final_is_found() {
    let reason = found(Mutant::SealBeforeFinal, 2);
    assert!(reason.contains("as final, and"), "{reason}");
}

/// What is promised by a record leaves after it.
#[test]
fn what_is_said_before_its_record_is_found() {
    let reason = found(Mutant::RecordedBeforeSync, 2);
    assert!(reason.contains("on its disk"), "{reason}");
}
