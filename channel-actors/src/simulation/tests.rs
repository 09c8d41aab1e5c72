//! The simulation itself: seeds hold, twice alike, and mutants do not.

use super::*;
use crate::test_support::seeds;

/// A few seeds, each twice. `cargo run --release -p simulator` has thousands.
#[test]
fn every_seed_holds_and_is_the_same_run_twice() {
    let (mut named, mut discards) = (0, 0);
    for seed in seeds(6) {
        let report = run_twice(seed, None);
        assert_eq!(report.failure, None, "seed {seed}");
        assert!(report.blocks >= BLOCKS_MIN && report.faults.len() >= KINDS_MIN, "seed {seed}: {report:?}");
        assert!(report.faults.values().sum::<u64>() >= FAULTS_MIN, "seed {seed}: {report:?}");
        named += report.rots_named;
        discards += report.discards;
    }
    println!("{named} rots were named, {discards} times blocks were lost");
    assert!(discards > 0, "some seeds have an engine that loses blocks");
}

/// A checker that finds nothing proves nothing.
#[test]
fn every_mutant_is_found_within_some_seeds() {
    for mutant in Mutant::ALL {
        let found = (0..20).find_map(|seed| run(seed, Some(mutant), false).failure.map(|failure| (seed, failure)));
        let (seed, failure) = found.unwrap_or_else(|| panic!("{} is not found", mutant.name()));
        println!("{} is found by seed {seed}: {failure}", mutant.name());
    }
}
