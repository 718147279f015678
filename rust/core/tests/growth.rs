//! How a pool comes by workers: threads that sleep in their runs, and ticks in the place of a clock.
#![cfg(not(loom))]
#![allow(clippy::disallowed_methods)] // threads: workers that block are what growth is about

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use oxtask_core::group::Outcome;
use oxtask_core::growth::TICK;
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Host, Lane, Next, Pool};
use oxtask_core::sync::{Condvar, Mutex};
use support::{Runs, Spec, TestPool, pool, queued, run_of, staffed};

/// Nothing here takes this long unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Counts the runs that were begun; each waits until as many have come as its input says.
#[derive(Default)]
struct Meeting {
    present: Mutex<u32>,
    changed: Condvar,
}

impl Meeting {
    fn attend(&self, wanted: u32) {
        let mut present = self.present.lock();
        *present += 1;
        self.changed.notify_all();
        while *present < wanted {
            let before = *present;
            present = self.changed.wait(present, Some(LIMIT));
            assert!(*present > before, "{before} of {wanted} runs were begun");
        }
    }
}

/// Starts threads for workers and for ticks.
struct Threads(Arc<Meeting>);

impl Host<Spec> for Threads {
    fn start_worker(&self, pool: &TestPool) {
        let (pool, meeting) = (Arc::clone(pool), Arc::clone(&self.0));
        std::thread::spawn(move || {
            pool.worker_started();
            work(&pool, &meeting);
        });
    }

    fn wake_loop(&self, _: &TestPool) {}

    fn watch(&self, pool: &TestPool) {
        static TICKS: AtomicU32 = AtomicU32::new(0);
        let pool = Arc::clone(pool);
        std::thread::spawn(move || {
            while pool.tick(TICK * TICKS.fetch_add(1, Ordering::SeqCst), Duration::ZERO) {
                std::thread::yield_now();
            }
        });
    }
}

fn work(pool: &TestPool, meeting: &Meeting) {
    let mut from = From::Start;
    loop {
        if let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
            from = From::Work;
            let begun = group.begin(index, 1).expect("it was queued once");
            meeting.attend(begun.input);
            assert!(group.settle(index, begun.attempt, Outcome::Completed, None, 2).is_ok());
        } else if pool.wait_for_work(LIMIT) == Next::Leave {
            return;
        } else {
            from = From::Rest;
        }
    }
}

fn threaded(max_slots: usize) -> TestPool {
    Pool::new(max_slots, 0, Box::new(Threads(Arc::default())))
}

fn wait(groups: &[Runs]) {
    for group in groups {
        let inbox = Arc::new(Inbox::new());
        group.watch_whole(&inbox);
        while group.unsettled() > 0 {
            assert!(inbox.take(Some(LIMIT)).is_some() || group.unsettled() == 0, "it hangs");
        }
    }
}

#[test]
fn runs_that_need_each_other_all_get_a_worker() {
    let pool = threaded(usize::MAX);
    wait(&[queued(&pool, Lane::Thread, [20; 20])]);
    pool.close();
}

/// The workers of the first round sleep, or are about to, when the second comes; twelve runs need more of them.
#[test]
fn a_pool_whose_workers_are_idle_grows_beyond_them() {
    for singly in [false, true] {
        let pool = threaded(usize::MAX);
        wait(&[queued(&pool, Lane::Thread, [4; 4])]);
        let groups: Vec<_> = if singly {
            (0..12).map(|_| queued(&pool, Lane::Thread, [16])).collect()
        } else {
            vec![queued(&pool, Lane::Thread, [16; 12])]
        };
        wait(&groups);
        pool.close();
    }
}

#[test]
fn growth_stops_at_the_slots() {
    let pool = threaded(3);
    wait(&[queued(&pool, Lane::Thread, [3; 3]), queued(&pool, Lane::Thread, [0; 100])]);
    assert!(pool.active() <= 3);
    pool.close();
}

#[test]
fn a_pool_is_watched_until_a_tick_finds_it_empty() {
    let (pool, calls) = pool(4);
    assert!(!pool.tick(TICK, Duration::ZERO));
    let group = queued(&pool, Lane::Thread, 0..2);
    queued(&pool, Lane::Thread, [2]);
    assert_eq!(calls.watched(), 1);
    assert!(pool.tick(TICK * 2, Duration::ZERO));
    assert_eq!(calls.started(), 1, "a pool without workers gets one at once");
    for index in 0..2 {
        drop(group.cancel(index, 1));
    }
    assert!(pool.tick(TICK * 3, Duration::ZERO));
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    assert!(!pool.tick(TICK * 4, Duration::ZERO));
    queued(&pool, Lane::Thread, [3]);
    assert_eq!(calls.watched(), 2);
}

#[test]
fn ticks_start_workers_for_runs_that_stand_still_and_not_beyond_the_slots() {
    let (pool, calls) = staffed(3, 1);
    queued(&pool, Lane::Thread, 0..10);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    let grow = |from: u32, to: u32| {
        for tick in from..to {
            assert!(pool.tick(TICK * (2_000 + tick), Duration::ZERO));
        }
    };
    grow(0, 40);
    assert_eq!(calls.started(), 1);
    grow(40, 90);
    assert_eq!(calls.started(), 1, "the one that was asked for has not come yet");
    pool.worker_started();
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    grow(90, 130);
    assert_eq!(calls.started(), 2, "one slot is left");
    pool.worker_started();
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    grow(130, 500);
    assert_eq!(calls.started(), 2);
}

#[test]
fn a_worker_that_could_not_be_started_is_asked_for_again() {
    let (pool, calls) = pool(4);
    queued(&pool, Lane::Thread, [0]);
    for tick in 1..10 {
        assert!(pool.tick(TICK * tick, Duration::ZERO));
        pool.worker_failed();
    }
    assert_eq!(calls.started(), 9);
}
