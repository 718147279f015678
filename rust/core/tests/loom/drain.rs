//! A wait for a pool to have nothing left ends with the last run, and not before.

use std::sync::Arc;

use loom::thread;
use oxtask_core::group::Group;
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Lane};

use crate::explore;
use crate::support::{Spec, TestPool, finish, ids, inline, pool, run_of};

/// Blocks until the pool has nothing left.
fn wait_drained(pool: &TestPool) {
    let inbox = Arc::new(Inbox::new());
    if pool.watch_drained(&inbox) {
        assert_eq!(inbox.take(None), Some(0));
    }
    assert_eq!(inbox.try_take(), None);
}

#[test]
fn the_last_of_two_groups_ends_the_wait() {
    explore(|| {
        let (pool, _) = pool(2);
        let groups = [inline(&pool), inline(&pool)];
        let settlers = groups.each_ref().map(|group| {
            let group = Arc::clone(group);
            thread::spawn(move || assert!(finish(&group, 0)))
        });
        wait_drained(&pool);
        assert!(groups.iter().all(|group| group.unsettled() == 0));
        for settler in settlers {
            settler.join().unwrap();
        }
    });
}

#[test]
fn a_group_that_is_filled_while_its_runs_end_counts_until_the_last() {
    explore(|| {
        let (pool, _) = pool(1);
        let group = Group::vacant(Spec(Lane::Thread), Arc::clone(&pool), ids(), 0, 2);
        assert_eq!(group.fill(0), Ok(0));
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let mut from = From::Start;
                while let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
                    from = From::Work;
                    assert!(finish(&group, index));
                }
            })
        };
        assert_eq!(group.fill(1), Ok(1));
        assert_eq!(group.fill(2), Err(2));
        worker.join().unwrap();
        let left = group.unsettled();
        assert!(left <= 1);
        assert_eq!(pool.watch_drained(&Arc::new(Inbox::new())), left == 1);
    });
}

#[test]
fn a_run_that_is_cancelled_while_it_is_filled_in_counts_once() {
    explore(|| {
        let (pool, _) = pool(1);
        let group = Group::vacant(Spec(Lane::Thread), Arc::clone(&pool), ids(), 0, 1);
        let canceller = {
            let group = Arc::clone(&group);
            thread::spawn(move || drop(group.cancel(0, 3)))
        };
        assert_eq!(group.fill(0), Ok(0));
        canceller.join().unwrap();
        drop(group.cancel(0, 3));
        assert_eq!(group.unsettled(), 0);
        wait_drained(&pool);
    });
}

#[test]
fn a_group_that_is_abandoned_no_longer_counts() {
    explore(|| {
        let (pool, _) = pool(1);
        let group = inline(&pool);
        let owner = thread::spawn(move || drop(group));
        wait_drained(&pool);
        owner.join().unwrap();
    });
}
