//! Workers that sleep: a push, a slot or a close that none of them hears of would be a deadlock.

use std::sync::Arc;

use loom::thread;
use oxtask_core::group::Watcher;
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::Lane;

use crate::support::{Runs, TestPool, finish, queued, staffed};
use crate::{explore, work};

fn start(pool: &TestPool, body: impl Fn(&Runs, u32) + 'static) -> thread::JoinHandle<()> {
    let pool = Arc::clone(pool);
    thread::spawn(move || work(&pool, body))
}

fn complete(group: &Runs, index: u32) {
    assert!(finish(group, index));
}

/// Blocks the calling thread until the run has ended, without a slot to give back.
fn wait(group: &Runs, index: u32) {
    let inbox = Arc::new(Inbox::new());
    if group.watch(index, Watcher::Inbox(Arc::clone(&inbox), 0)).is_ok() {
        while inbox.take(None).is_none() {}
    }
}

#[test]
fn a_push_wakes_a_worker_that_is_about_to_sleep() {
    explore(|| {
        let (pool, _) = staffed(2, 1);
        let worker = start(&pool, complete);
        for input in 0..2 {
            wait(&queued(&pool, Lane::Thread, [input]), 0);
        }
        pool.close();
        worker.join().unwrap();
        assert_eq!((pool.workers(), pool.active()), (0, 0));
    });
}

#[test]
fn two_workers_and_two_pushes_leave_nothing_undone() {
    explore(|| {
        let (pool, _) = staffed(2, 2);
        let workers = [start(&pool, complete), start(&pool, complete)];
        let groups = [queued(&pool, Lane::Thread, [0]), queued(&pool, Lane::Thread, [1])];
        pool.close();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(groups.iter().all(|group| group.unsettled() == 0));
        assert_eq!((pool.workers(), pool.active()), (0, 0));
    });
}

#[test]
fn closing_wakes_every_worker() {
    explore(|| {
        let (pool, _) = staffed(1, 2);
        let workers = [start(&pool, complete), start(&pool, complete)];
        pool.close();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(pool.workers(), 0);
    });
}

#[test]
fn a_worker_that_finds_no_slot_leaves_a_closed_pool_when_the_last_run_has_ended() {
    explore(|| {
        let (pool, _) = staffed(1, 2);
        let group = queued(&pool, Lane::Thread, [0, 1]);
        pool.close();
        let other = start(&pool, complete);
        work(&pool, complete);
        other.join().unwrap();
        assert_eq!(group.unsettled(), 0);
        assert_eq!(pool.workers(), 0);
    });
}
