//! A run with inputs is queued exactly once, after the last of them has ended.

use std::sync::Arc;

use loom::thread;
use oxtask_core::group::{Cancelled, Phase, Watcher};
use oxtask_core::pool::{From, Lane};

use crate::explore;
use crate::support::{Runs, TestPool, finish, inline, parked, pool, run_of};

/// Makes run 0 of `dependent` wait for run 0 of `upstream`, as whoever submits it does.
fn depend(dependent: &Runs, upstream: &Runs) {
    dependent.hold(0);
    if upstream.watch(0, Watcher::Dependent(Arc::clone(dependent), 0)).is_err() {
        dependent.release(0);
    }
}

fn ending(group: &Runs) -> thread::JoinHandle<()> {
    let group = Arc::clone(group);
    thread::spawn(move || assert!(finish(&group, 0)))
}

fn drain(pool: &TestPool) -> usize {
    let mut count = 0;
    let mut from = From::Start;
    while let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
        from = From::Work;
        count += usize::from(finish(&group, index));
    }
    count
}

#[test]
fn two_inputs_that_end_during_submission_queue_the_run_once() {
    explore(|| {
        let (pool, _) = pool(2);
        let upstreams = [inline(&pool), inline(&pool)];
        let dependent = parked(&pool, Lane::Thread, [0]);
        let enders = upstreams.each_ref().map(ending);
        for upstream in &upstreams {
            depend(&dependent, upstream);
        }
        dependent.release(0);
        if dependent.phase(0) == Phase::Ready {
            assert!(upstreams.iter().all(ended));
        }
        for ender in enders {
            ender.join().unwrap();
        }
        assert_eq!(dependent.phase(0), Phase::Ready);
        assert_eq!(drain(&pool), 1);
        assert_eq!(dependent.unsettled(), 0);
    });
}

fn ended(group: &Runs) -> bool {
    matches!(group.phase(0), Phase::Done(_))
}

#[test]
fn a_cancelled_run_is_not_queued_by_its_input() {
    explore(|| {
        let (pool, _) = pool(2);
        let upstream = inline(&pool);
        let dependent = parked(&pool, Lane::Thread, [0]);
        depend(&dependent, &upstream);
        dependent.release(0);
        let ender = ending(&upstream);
        let met = dependent.cancel(0, 3);
        assert!(matches!(met, Cancelled::Dropped(..)), "nobody has begun it");
        ender.join().unwrap();
        assert_eq!(drain(&pool), 0);
        assert_eq!((dependent.unsettled(), pool.active()), (0, 0));
    });
}

#[test]
fn a_dependent_is_begun_by_the_worker_that_ends_its_input() {
    explore(|| {
        let (pool, _) = pool(2);
        let upstream = crate::support::queued(&pool, Lane::Thread, [0]);
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || drain(&pool))
        };
        let dependent = parked(&pool, Lane::Thread, [0]);
        depend(&dependent, &upstream);
        dependent.release(0);
        let done = worker.join().unwrap() + drain(&pool);
        assert_eq!(done, 2);
    });
}
