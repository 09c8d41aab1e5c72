//! Tests of turns and of threads that give way.

use crate::limits::SPAN;
use crate::runtime::pool::shares::{Recent, Recents};
use crate::runtime::pool::*;
use std::sync::mpsc;
use std::time::Instant;

#[test]
fn channels_take_turns() {
    let pool = WorkPool::new(&Tasks::default(), "test", 1).expect("threads");
    let (hold, held) = mpsc::channel::<()>();
    let (seen, order) = mpsc::channel();
    let [busy, quiet] = [Hash([1; 32]), Hash([2; 32])];
    pool.run(busy, move || held.recv(), |_| {});
    for number in 0..10 {
        let seen = seen.clone();
        pool.run(busy, move || seen.send(("busy", number)), |_| {});
    }
    pool.run(quiet, move || seen.send(("quiet", 0)), |_| {});
    hold.send(()).expect("the first job waits");
    let order: Vec<_> = order.iter().collect();
    assert_eq!(order.len(), 11);
    assert!(order.iter().position(|job| job.0 == "quiet").is_some_and(|place| place <= 1), "{order:?}");
}

/// One caller with many jobs on a channel took all of the channel's turns: the others waited for all of them.
#[test]
fn callers_take_turns_within_a_channel_and_many_of_them_delay_no_other_channel() {
    let pool = WorkPool::new(&Tasks::default(), "test", 1).expect("threads");
    let (hold, held) = mpsc::channel::<()>();
    let (seen, order) = mpsc::channel();
    let [busy, quiet] = [Hash([1; 32]), Hash([2; 32])];
    let [many, few] = [Asker::named("many"), Asker::named("few")];
    pool.run_for(busy, many, move || held.recv(), |_| {});
    let run = |channel, caller, name: String| {
        let seen = seen.clone();
        pool.run_for(channel, caller, move || seen.send(name), |_| {});
    };
    for number in 0..10 {
        run(busy, many, format!("many {number}"));
    }
    run(busy, few, "few".into());
    (0..10).for_each(|number| run(busy, Asker::named(&format!("crowd {number}")), format!("crowd {number}")));
    run(quiet, few, "quiet".into());
    hold.send(()).expect("the first job waits");
    drop(seen);
    let order: Vec<String> = (0..22).map(|_| order.recv_timeout(ms(60_000)).expect("it runs")).collect();
    let place = |name: &str| order.iter().position(|job| job == name).expect("it ran");
    assert!(place("few") <= 3 && place("quiet") <= 2, "{order:?}");
    assert!(place("many 9") == 21 && place("many 1") > place("crowd 8"), "{order:?}");
    let many: Vec<usize> = (0..10).map(|number| place(&format!("many {number}"))).collect();
    assert!(many.is_sorted(), "a caller's jobs keep their order: {order:?}");
}

/// With several reads at a time one caller had all threads, and the others waited for the longest of them.
#[test]
fn one_caller_leaves_half_of_the_threads_to_others() {
    let pool = WorkPool::new(&Tasks::default(), "test", 2).expect("threads");
    let (channel, [many, few]) = (Hash([1; 32]), [Asker::named("many"), Asker::named("few")]);
    let (hold, held) = mpsc::channel::<()>();
    let (told, tell) = mpsc::channel();
    pool.run_for(channel, many, move || held.recv(), |_| {});
    let run = |caller, name: &'static str| {
        let told = told.clone();
        pool.run_for(channel, caller, || (), move |_| told.send(name).expect("the test waits"));
    };
    run(many, "many");
    for name in ["few 1", "few 2"] {
        run(few, name);
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok(name), "while the other caller's first job runs");
    }
    hold.send(()).expect("its job waits");
    assert_eq!(tell.recv_timeout(ms(60_000)), Ok("many"));
}

/// A caller that was loud and is not any more had its next job wait for ever: whose threads had run the one before had
/// nothing to do with it.
#[test]
fn a_callers_next_job_is_run_whichever_threads_had_its_last() {
    let pool = WorkPool::fair(&Tasks::default(), "test", 1, &Shares::default()).expect("threads");
    let (channel, [caller, other]) = (Hash([1; 32]), [Asker::named("caller"), Asker::named("other")]);
    let (hold, held) = mpsc::channel::<()>();
    let (begun, began) = mpsc::channel();
    let (told, tell) = mpsc::channel();
    make_callers_loud(&pool, caller, other);
    pool.run_for(channel, caller, move || (begun.send(()), held.recv()), |_| {});
    began.recv_timeout(ms(60_000)).expect("it begins, on threads of its own");
    recents(&pool).callers = Recent::default();
    let next = told.clone();
    pool.run_for(channel, caller, || (), move |_| next.send("next").expect("the test waits"));
    pool.run_for(channel, other, || (), move |_| told.send("other").expect("the test waits"));
    assert_eq!(tell.recv_timeout(ms(60_000)), Ok("other"), "the ordinary thread has passed over the next one");
    hold.send(()).expect("its job waits");
    assert_eq!(tell.recv_timeout(ms(60_000)), Ok("next"));
}

fn recents(pool: &WorkPool) -> MutexGuard<'_, Recents> {
    pool.0.0.shares.as_ref().expect("a fair pool").lock()
}

/// Makes `loud` loud beside `other` for good: the span begins in the future.
fn make_callers_loud(pool: &WorkPool, loud: Asker, other: Asker) {
    let recent = &mut recents(pool).callers;
    recent.began = Some(Instant::now() + ms(3_600_000));
    for (caller, took) in [(loud, ms(1_000_000)), (other, ms(100_000))] {
        recent.spans[0].all += took;
        recent.spans[0].of.insert(caller, took);
    }
}

/// A caller that has had most of the time gives way to others of its channel, too.
#[test]
fn a_loud_caller_has_threads_of_its_own_in_a_crowd() {
    let pool = WorkPool::fair(&Tasks::default(), "test", 1, &Shares::default()).expect("threads");
    let (channel, [loud, quiet]) = (Hash([1; 32]), [Asker::named("loud"), Asker::named("quiet")]);
    let (hold, held) = mpsc::channel::<()>();
    let (told, tell) = mpsc::channel();
    make_callers_loud(&pool, loud, quiet);
    pool.run_for(channel, loud, move || held.recv(), |_| {});
    for caller in [quiet, quiet] {
        let told = told.clone();
        pool.run_for(channel, caller, || (), move |_| told.send(caller).expect("the test waits"));
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok(caller), "while the loud one's job runs");
    }
    hold.send(()).expect("its job waits");
}

/// Threads that a loud channel does not have were asked whether they have time for it.
#[test]
fn whether_a_thread_has_nothing_to_do_is_asked_of_those_that_would_do_it() {
    let pool = WorkPool::fair(&Tasks::default(), "test", 1, &Shares::default()).expect("threads");
    let [loud, quiet] = [Hash([1; 32]), Hash([2; 32])];
    let (hold, held) = mpsc::channel::<()>();
    let (begun, began) = mpsc::channel();
    {
        let recent = &mut recents(&pool).channels;
        recent.began = Some(Instant::now() + ms(3_600_000));
        for (channel, took) in [(loud, ms(1_000_000)), (quiet, ms(100_000))] {
            recent.spans[0].all += took;
            recent.spans[0].of.insert(channel, took);
        }
    }
    let idle = |channel| {
        let until = Instant::now() + ms(60_000);
        while !pool.has_idle(channel) {
            assert!(Instant::now() < until, "the threads have come to wait");
            std::thread::yield_now();
        }
    };
    idle(loud);
    idle(quiet);
    pool.run(loud, move || (begun.send(()), held.recv()), |_| {});
    began.recv_timeout(ms(60_000)).expect("it begins");
    assert!(!pool.has_idle(loud) && pool.has_idle(quiet));
    hold.send(()).expect("its job waits");
}

#[test]
fn who_has_promised_a_job_has_none_other_before_it() {
    let pool = WorkPool::new(&Tasks::default(), "test", 1).expect("threads");
    let (channel, of_pool) = (Hash([1; 32]), pool.clone());
    let (told, tell) = mpsc::channel();
    assert!(!has_promised(), "of no pool");
    pool.run(
        channel,
        || assert!(has_promised(), "it looks for nothing before its end"),
        move |result| {
            let before = has_promised();
            let next = told.clone();
            of_pool.run_next(channel, Asker::PEER, || (), move |_| next.send((false, false)).expect("the test waits"));
            told.send((result.is_ok() && !before, has_promised())).expect("the test waits");
        },
    );
    assert_eq!(tell.recv_timeout(ms(60_000)), Ok((true, true)));
    assert_eq!(tell.recv_timeout(ms(60_000)), Ok((false, false)));
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_channel_is_in_a_crowd_for_two_spans_after_others_had_work() {
    let start = Instant::now();
    let [one, other] = [Hash([1; 32]), Hash([2; 32])];
    let mut recent = Recent::default();
    assert!(!recent.crowded(&one));
    recent.add(one, ms(1_000), start);
    assert!(!recent.crowded(&one) && recent.crowded(&other));
    recent.add(other, ms(4), start);
    assert!(!recent.crowded(&one), "next to nothing");
    recent.add(other, ms(4), start);
    assert!(recent.crowded(&one));
    recent.turn(start + SPAN);
    assert!(recent.crowded(&one) && recent.crowded(&other));
    recent.turn(start + SPAN * 2);
    assert!(!recent.crowded(&one) && !recent.crowded(&other), "that was long ago");
}

#[test]
fn who_has_had_most_is_loud_for_two_spans() {
    let start = Instant::now();
    let [loud, other, third] = [1, 2, 3].map(|number| Hash([number; 32]));
    let mut recent = Recent::default();
    recent.add(loud, ms(50), start);
    assert!(!recent.loud(&loud), "alone");
    recent.add(other, ms(24), start);
    assert!(recent.loud(&loud) && !recent.loud(&other) && !recent.loud(&third));
    recent.add(third, ms(2), start);
    assert!(!recent.loud(&loud), "50 of 76");
    recent.add(loud, ms(10), start);
    recent.turn(start + SPAN);
    assert!(recent.loud(&loud));
    recent.turn(start + SPAN * 2);
    assert!(!recent.loud(&loud));
    recent.add(loud, ms(50), start + SPAN * 2);
    recent.add(other, ms(10), start + SPAN * 2);
    assert!(recent.loud(&loud));
    recent.turn(start + SPAN * 9);
    assert!(!recent.loud(&loud));
}

/// Makes `loud` loud beside `other` for good: the span begins in the future.
fn make_loud(pool: &WorkPool, loud: Hash, other: Hash) {
    let recent = &mut recents(pool).channels;
    recent.began = Some(Instant::now() + ms(3_600_000));
    for (channel, took) in [(loud, ms(1_000_000)), (other, ms(100_000))] {
        recent.spans[0].all += took;
        recent.spans[0].of.insert(channel, took);
    }
}

/// Its own threads give way to all others; on the ordinary ones nobody waits behind it.
#[test]
fn a_loud_channel_has_threads_of_its_own_in_a_crowd() {
    let pool = WorkPool::fair(&Tasks::default(), "test", 1, &Shares::default()).expect("threads");
    let [loud, quiet] = [Hash([1; 32]), Hash([2; 32])];
    let (hold, held) = mpsc::channel::<()>();
    let (told, tell) = mpsc::channel();
    make_loud(&pool, loud, quiet);
    pool.run(loud, move || held.recv(), |_| {});
    for channel in [quiet, quiet] {
        let told = told.clone();
        pool.run(channel, || (), move |_| told.send(channel).expect("the test waits"));
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok(channel), "while the loud one's job runs");
    }
    let after = told.clone();
    pool.run(loud, || (), move |_| after.send(loud).expect("the test waits"));
    hold.send(()).expect("its job waits");
    assert_eq!(tell.recv_timeout(ms(60_000)), Ok(loud));
}

/// A flood of transactions is verified at ten times the cost of storing it: in the storage pool it had about as much as a
/// quiet channel's many small blocks, and their turns.
#[test]
fn what_a_channel_has_had_of_one_pool_counts_in_another() {
    let (shares, tasks) = (Shares::default(), Tasks::default());
    let pools = ["verify", "store"].map(|name| WorkPool::fair(&tasks, name, 1, &shares).expect("threads"));
    let apart = WorkPool::fair(&tasks, "read", 1, &Shares::default()).expect("threads");
    let [loud, quiet] = [Hash([1; 32]), Hash([2; 32])];
    make_loud(&pools[0], loud, quiet);
    let lanes = |pool: &WorkPool| [loud, quiet].map(|channel| pool.0.0.lane_of(channel, Asker::PEER));
    assert_eq!(lanes(&pools[1]), [Lane::Loud, Lane::Ordinary]);
    assert_eq!(lanes(&apart), [Lane::Ordinary; 2]);
    // What has ended in one is counted for all.
    let other = Hash([3; 32]);
    shares.add(other, Asker::PEER, ms(100_000_000));
    assert_eq!(pools[1].0.0.lane_of(other, Asker::PEER), Lane::Loud);
    assert!(pools.iter().all(|pool| pool.crowded(loud)) && !apart.crowded(loud));
}

#[test]
fn a_pool_that_ends_finishes_what_was_queued() {
    let pool = WorkPool::fair(&Tasks::default(), "test", 1, &Shares::default()).expect("threads");
    let [loud, quiet] = [Hash([1; 32]), Hash([2; 32])];
    let (hold, held) = mpsc::channel::<()>();
    let (begun, began) = mpsc::channel();
    let (told, tell) = mpsc::channel();
    pool.run(loud, move || (begun.send(()), held.recv()), |_| {});
    began.recv_timeout(ms(60_000)).expect("it begins, and what follows waits");
    for _ in 0..5 {
        let told = told.clone();
        pool.run(loud, || (), move |_| told.send(()).expect("the test waits"));
    }
    // Its turn was given in the ordinary lane, and would now be in the other.
    make_loud(&pool, loud, quiet);
    let shared = pool.0.0.clone();
    drop(pool);
    // The other lane's thread has ended: what it were given now would be left.
    let until = Instant::now() + ms(60_000);
    while Arc::strong_count(&shared) > 2 {
        assert!(Instant::now() < until, "a thread without work ends with its pool");
        std::thread::yield_now();
    }
    hold.send(()).expect("its job waits");
    assert!((0..5).all(|_| tell.recv_timeout(ms(60_000)).is_ok()));
}

/// Whose job runs in one lane has the next one in the other, whose thread ends when nothing is left for it.
#[test]
fn a_pool_that_ends_leaves_no_caller_behind_for_what_it_has_in_the_other_lane() {
    let pool = WorkPool::fair(&Tasks::default(), "test", 1, &Shares::default()).expect("threads");
    let (channel, [caller, other]) = (Hash([1; 32]), [Asker::named("caller"), Asker::named("other")]);
    let (hold, held) = mpsc::channel::<()>();
    let (begun, began) = mpsc::channel();
    let (told, tell) = mpsc::channel();
    make_callers_loud(&pool, caller, other);
    pool.run_for(channel, caller, move || (begun.send(()), held.recv()), |_| {});
    began.recv_timeout(ms(60_000)).expect("it begins, on threads of its own");
    recents(&pool).callers = Recent::default();
    pool.run_for(channel, caller, || (), move |_| told.send(()).expect("the test waits"));
    drop(pool);
    assert!(tell.recv_timeout(ms(60_000)).is_ok(), "beside its first, which still runs");
    hold.send(()).expect("its job waits");
}

/// Waits until so many threads of a pool have nothing to do.
fn wait_until_idle(pool: &WorkPool, threads: usize) {
    let until = Instant::now() + ms(60_000);
    while pool.0.0.lock().idle[Lane::Ordinary as usize].len() < threads {
        assert!(Instant::now() < until, "its threads wait for work");
        std::thread::yield_now();
    }
}

/// Each step of a small block woke another thread, which took longer than the step.
#[test]
fn what_the_end_of_a_job_asks_for_next_is_done_by_its_own_thread_and_more_by_others() {
    let pool = WorkPool::new(&Tasks::default(), "test", 2).expect("threads");
    let (told, tell) = mpsc::channel();
    let this = || std::thread::current().id();
    for _ in 0..20 {
        wait_until_idle(&pool, 2);
        let (again, told) = (pool.clone(), told.clone());
        let (hold, held) = mpsc::channel::<()>();
        pool.run(Hash::ZERO, this, move |first| {
            let (next, more) = (told.clone(), told.clone());
            again.run_next(Hash::ZERO, Asker::PEER, this, move |thread| {
                next.send(("next", first == thread)).expect("the test waits");
                held.recv().expect("the test lets it go on");
            });
            again.run_next(Hash::ZERO, Asker::PEER, this, move |_| more.send(("more", true)).expect("the test waits"));
        });
        // The second waits for nobody: the other thread does one of the two while this one does the other.
        let mut done =
            [tell.recv_timeout(ms(60_000)), tell.recv_timeout(ms(60_000))].map(|done| done.expect("both run"));
        done.sort_unstable_by_key(|(name, _)| *name);
        assert_eq!(done.map(|(name, _)| name), ["more", "next"]);
        hold.send(()).expect("its job waits");
    }
    // Alone it is always the same thread.
    for _ in 0..20 {
        wait_until_idle(&pool, 2);
        let (again, told) = (pool.clone(), told.clone());
        pool.run(Hash::ZERO, this, move |first| {
            again.run_next(Hash::ZERO, Asker::PEER, this, move |thread| {
                told.send(("next", first == thread)).expect("the test waits");
            });
        });
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok(("next", true)));
    }
}

#[test]
fn the_thread_that_worked_last_is_woken_first() {
    let pool = WorkPool::new(&Tasks::default(), "test", 4).expect("threads");
    let (told, tell) = mpsc::channel();
    let mut threads = Vec::new();
    for _ in 0..10 {
        wait_until_idle(&pool, 4);
        let told = told.clone();
        pool.run(Hash::ZERO, || std::thread::current().id(), move |thread| told.send(thread).expect("the test waits"));
        threads.push(tell.recv_timeout(ms(60_000)).expect("it runs").expect("no panic"));
    }
    assert!(threads.iter().all(|thread| *thread == threads[0]), "{threads:?}");
}

/// What others wait for is not done by a thread that gives way to everybody.
#[test]
fn a_thread_knows_whether_it_gives_way() {
    for (nice, gives) in [(0, false), (5, true)] {
        let pool = WorkPool::giving_way(&Tasks::default(), "test", 1, nice).expect("threads");
        let (told, tell) = mpsc::channel();
        pool.run(Hash::ZERO, gives_way, move |said| told.send(said).expect("the test waits"));
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok(Ok(gives)));
    }
}

#[test]
fn a_panic_is_reported_and_the_thread_lives() {
    let pool = WorkPool::new(&Tasks::default(), "test", 1).expect("threads");
    let (send, receive) = mpsc::channel();
    for say in [Some("broken contract"), None] {
        let send = send.clone();
        let work = move || {
            if let Some(text) = say {
                panic!("{text}");
            }
            7
        };
        pool.run(Hash::ZERO, work, move |result| send.send(result).expect("the test waits"));
    }
    assert_eq!(receive.recv(), Ok(Err(Panicked("broken contract".into()))));
    assert_eq!(receive.recv(), Ok(Ok(7)));
}

/// Nobody knew: the channel's next block was waited for, for ever.
#[test]
fn a_job_whose_end_cannot_be_taken_up_is_told_of_and_the_thread_lives() {
    let (tasks, [one, other]) = (Tasks::default(), [Hash([1; 32]), Hash([2; 32])]);
    let pool = WorkPool::new(&tasks, "test", 1).expect("threads");
    let (send, receive) = mpsc::channel();
    pool.on_broken(Arc::new(move |channel, reason| send.send((channel, reason)).expect("the test waits")));
    pool.run(one, || (), |_| panic!("a bug"));
    let reason = "the end of its work could not be taken up: panicked: a bug".to_owned();
    assert_eq!(receive.recv_timeout(ms(60_000)), Ok((one, reason)));
    let (told, tell) = mpsc::channel();
    pool.run(other, || (), move |_| told.send(()).expect("the test waits"));
    assert_eq!(tell.recv_timeout(ms(60_000)), Ok(()));
    assert_eq!(tasks.list()[0].restarts, 0);
}
