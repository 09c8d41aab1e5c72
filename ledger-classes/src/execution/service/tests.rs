#![allow(clippy::unwrap_used)]

use super::*;
use crate::execution::contracts::timers::Timer;
use crate::execution::next_timer;
use crate::execution::test_support::Ledger;
use proptest::prelude::*;

/// A ledger whose timer is due so many milliseconds from now.
fn waiting(millis: u64) -> Ledger {
    let mut ledger = Ledger::new();
    let due = ledger.time.plus_millis(millis);
    let timer = Timer { due, instance: "a1".into(), timer: "t".into() };
    ledger.put(keyspace::timer(due, "a1", "t"), &timer);
    ledger.put(keyspace::timer_time("a1", "t"), &timer);
    ledger.run(&[]);
    ledger
}

fn lost_of(ledger: &Ledger) -> u64 {
    lost(&ledger.state).unwrap()
}

#[test]
fn a_channel_marks_time_at_least_each_minute_while_a_timer_is_set_and_never_otherwise() {
    let mut idle = Ledger::new();
    assert_eq!(idle.serve(86_400_000), []);
    assert_eq!(next_timer(&idle.state).unwrap(), None);
    assert_eq!(idle.state.entries().filter(|(key, _)| key[0] == keyspace::Family::ServiceClock as u8).count(), 0);

    let mut ledger = waiting(600_000);
    let began = ledger.time;
    let receipts = ledger.serve(599_000);
    assert_eq!(receipts.len(), 11, "each fifty seconds");
    assert!(receipts.iter().all(|receipt| receipt.head.code == 0 && receipt.events.is_empty()));
    assert!(next_timer(&ledger.state).unwrap().unwrap().millis_since(began) < 60_000 * 12);
    assert_eq!(lost_of(&ledger), 0);
    // The timer of no instance fails, and is the last.
    ledger.serve(1_000_000);
    assert_eq!(next_timer(&ledger.state).unwrap(), None, "no timer, no marks");
}

#[test]
fn a_mark_costs_the_same_for_one_deadline_as_for_thousands() {
    let mut ledger = waiting(600_000);
    for number in 0..5_000 {
        let (due, instance) = (ledger.time.plus_millis(600_000 + number), format!("i{number}"));
        ledger.put(keyspace::timer(due, &instance, "t"), &Timer { due, instance: instance.clone(), timer: "t".into() });
    }
    ledger.time = next_timer(&ledger.state).unwrap().unwrap();
    let executed = ledger.preview(&[]);
    assert_eq!((executed.receipts.len(), executed.writes.len()), (1, 1));
}

#[test]
fn a_block_that_comes_late_proves_an_outage_and_busy_blocks_prove_none() {
    for (gap, expected) in [
        (MARK_MS, 0),
        (MARK_MS + LATE_MS, 0),
        (MARK_MS + LATE_MS + 1, 1 + RETURN_MS),
        (MARK_MS + LATE_MS + 3_600_000, 3_600_000 + RETURN_MS),
    ] {
        let mut ledger = waiting(86_400_000);
        ledger.time = Time::from_millis(ledger.time.millis() - 1 + gap);
        let receipts = ledger.run(&[]);
        assert_eq!((receipts.len(), lost_of(&ledger)), (1, expected), "{gap}");
        assert_eq!(receipts[0].events.len(), usize::from(expected > 0));
        ledger.run(&[]);
        assert_eq!(lost_of(&ledger), expected, "only once");
    }
    let mut busy = waiting(86_400_000);
    for _ in 0..100 {
        busy.time = busy.time.plus_millis(MARK_MS - 2);
        assert_eq!(busy.run(&[]), [], "no mark is needed");
    }
    assert_eq!(lost_of(&busy), 0);
}

/// A short restart over a deadline is an outage as well: nobody could act when it came.
#[test]
fn a_timer_that_comes_late_proves_an_outage() {
    let mut ledger = waiting(10_000);
    ledger.time = ledger.time.plus_millis(10_000 + LATE_MS);
    let receipts = ledger.run(&[]);
    assert_eq!((receipts.len(), lost_of(&ledger) > RETURN_MS), (2, true));
}

/// Timers that did not fit into a block are late through no outage.
#[test]
fn timers_that_wait_for_room_in_a_block_prove_no_outage() {
    let mut ledger = waiting(1_000);
    for number in 0..3 * crate::limits::BLOCK_TIMERS_MAX {
        let (due, instance) = (ledger.time, format!("i{number}"));
        ledger.put(keyspace::timer(due, &instance, "t"), &Timer { due, instance: instance.clone(), timer: "t".into() });
    }
    for _ in 0..4 {
        ledger.time = ledger.time.plus_millis(LATE_MS - 1);
        ledger.run(&[]);
    }
    assert_eq!(lost_of(&ledger), 0);
}

/// A peer that restarted each minute gave back more time than passed, so that no deadline ever came.
#[test]
fn restarts_of_all_kinds_leave_half_of_what_is_served() {
    // Each minute; late by a little in each cycle of marks; late for a timer that is always due.
    for (gap, timer) in [(60_000, None), (MARK_MS + LATE_MS + 1, None), (LATE_MS + 2, Some(1))] {
        let (served, counted) = course((0..2_000).map(|_| (gap, timer)));
        assert!(2 * counted + 1_200_000 >= served, "{gap}: {counted} of {served}");
        assert!(served >= 2_000 * 3_000, "{gap}: {served}");
    }
    // Restarts that are rare are each given all of it.
    let (served, counted) = course((0..100).map(|number| (if number % 10 == 0 { 3_600_000 } else { MARK_MS }, None)));
    assert_eq!(served - counted, i128::from(10 * RETURN_MS));
}

/// Blocks after such times, each perhaps with a timer that is due so long after the one before: how long the channel
/// served, as its blocks show, and how much of that counts.
fn course(gaps: impl Iterator<Item = (u64, Option<u64>)>) -> (i128, i128) {
    let mut ledger = waiting(1_000_000_000_000);
    let began = ledger.time.millis() - 1;
    let (mut last, mut served) = (began, 0);
    for (number, (gap, timer)) in gaps.enumerate() {
        if let Some(after) = timer {
            let (due, instance) = (Time::from_millis(last + after), format!("t{number}"));
            ledger.put(
                keyspace::timer(due, &instance, "t"),
                &Timer { due, instance: instance.clone(), timer: "t".into() },
            );
        }
        let due = next_timer(&ledger.state).unwrap().unwrap().millis().max(last);
        served += gap.min(due + LATE_MS - last);
        last += gap;
        ledger.time = Time::from_millis(last);
        ledger.run(&[]);
    }
    (served.into(), i128::from(last - began) - i128::from(lost_of(&ledger)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// A deadline of D comes at the latest when twice D and 20 minutes have been served.
    #[test]
    fn of_what_is_served_half_counts_whatever_the_times_of_blocks_are(
        gaps in prop::collection::vec(
            (
                prop_oneof![1u64..200, 1u64..120_000, MARK_MS - 10..MARK_MS + LATE_MS + 10, Just(86_400_000u64)],
                prop::option::of(1u64..70_000),
            ),
            1..300,
        )
    ) {
        let (served, counted) = course(gaps.into_iter());
        prop_assert!(2 * counted + 1_200_000 >= served, "{} of {}", counted, served);
        prop_assert!(counted <= served);
    }
}
