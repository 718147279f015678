//! The ready queue: every unit goes to exactly one taker.

use std::sync::Arc;

use loom::thread;
use oxtask_core::group::Cancelled;
use oxtask_core::pool::{From, Job, Lane, Taken};

use crate::explore;
use crate::support::{TestPool, finish, parked, pool, queued, run_of};

/// Takes until there is nothing, and completes what it takes; returns the inputs.
fn take_all(pool: &TestPool) -> Vec<u32> {
    let mut taken = Vec::new();
    let mut from = From::Start;
    while let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
        from = From::Work;
        taken.push(group.peek_input(index, |input| *input).unwrap());
        assert!(finish(&group, index), "a run was handed out twice");
    }
    taken
}

#[test]
fn two_workers_share_a_range_and_what_is_pushed_meanwhile() {
    explore(|| {
        let (pool, _) = pool(2);
        queued(&pool, Lane::Thread, [0, 1]);
        let workers = [(); 2].map(|()| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || take_all(&pool))
        });
        queued(&pool, Lane::Thread, [2]);
        let mut taken: Vec<_> =
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        taken.extend(take_all(&pool));
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(pool.active(), 0);
    });
}

#[test]
fn a_run_goes_to_a_worker_or_to_the_thread_that_waits_for_it() {
    explore(|| {
        let (pool, _) = pool(2);
        let group = queued(&pool, Lane::Thread, [0, 1]);
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let mut count = 0;
                let mut from = From::Start;
                while let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
                    from = From::Work;
                    count += u32::from(finish(&group, index));
                }
                count
            })
        };
        assert!(pool.try_slot(), "the worker holds one of two");
        pool.forget(&group, 1);
        let own = u32::from(finish(&group, 1));
        pool.release_slot();
        assert_eq!(worker.join().unwrap() + own, 2);
        assert_eq!((group.unsettled(), pool.active()), (0, 0));
    });
}

#[test]
fn cancelling_a_pool_leaves_no_run_behind() {
    explore(|| {
        let (pool, _) = pool(1);
        let group = queued(&pool, Lane::Thread, [0, 1]);
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let mut from = From::Start;
                while let Some(taken) = pool.take(Lane::Thread, from) {
                    from = From::Work;
                    match taken {
                        Taken::Run(group, index) => drop(finish(&group, index)),
                        Taken::Cancelled(group, index) => drop(group.cancel(index, 3)),
                        Taken::Callbacks(_) => unreachable!("none were pushed"),
                    }
                }
            })
        };
        let mut late = pool.cancel();
        let other = queued(&pool, Lane::Thread, [2]);
        late.extend(pool.cancel());
        for job in late {
            if let Job::Runs { group, next, end } = job {
                for index in next..end {
                    let met = group.cancel(index, 3);
                    assert!(matches!(met, Cancelled::Dropped(..)), "it was in the queue");
                }
            }
        }
        worker.join().unwrap();
        assert_eq!(group.unsettled() + other.unsettled(), 0);
        assert_eq!(pool.active(), 0);
    });
}

#[test]
fn a_run_that_gets_ready_while_somebody_begins_to_wait_for_it_goes_first() {
    explore(|| {
        let (pool, _) = pool(1);
        let ahead = queued(&pool, Lane::Thread, [0]);
        let awaited = parked(&pool, Lane::Thread, [1]);
        let waiter = {
            let awaited = Arc::clone(&awaited);
            thread::spawn(move || awaited.hasten())
        };
        awaited.release(0);
        waiter.join().unwrap();
        let (first, _) = run_of(pool.take(Lane::Thread, From::Start)).expect("two are queued");
        assert!(Arc::ptr_eq(&first, &awaited));
        drop(ahead);
    });
}
