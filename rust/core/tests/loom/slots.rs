//! Slots: never more than there are, and whoever gave one back gets one again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use oxtask_core::group::Watcher;
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Lane};

use crate::support::{Runs, TestPool, finish, inline, pool, queued, run_of, staffed};
use crate::{explore, work};

/// Counts the bodies that run at the same time.
#[derive(Clone)]
struct Gauge(Arc<AtomicUsize>, usize);

impl Gauge {
    fn new(limit: usize) -> Self {
        Self(Arc::default(), limit)
    }

    fn enter(&self) {
        let inside = self.0.fetch_add(1, Ordering::SeqCst);
        assert!(inside < self.1, "{} bodies on {} slots", inside + 1, self.1);
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Blocks on a run as a body does: without its slot.
fn block(pool: &TestPool, gauge: &Gauge, on: &Runs) {
    let inbox = Arc::new(Inbox::new());
    if on.watch(0, Watcher::Inbox(Arc::clone(&inbox), 0)).is_err() {
        return;
    }
    gauge.leave();
    pool.release_slot();
    while inbox.take(None).is_none() {}
    assert!(pool.claim_slot(None));
    gauge.enter();
}

/// A worker whose bodies end at once, but for the first of `parent`, which waits for `child`.
fn nesting(pool: &TestPool, gauge: &Gauge, parent: &Runs, child: &Runs) {
    work(pool, |group, index| {
        let begun = group.begin(index, 1).unwrap();
        gauge.enter();
        if Arc::ptr_eq(group, parent) {
            block(pool, gauge, child);
        }
        gauge.leave();
        let ended =
            group.settle(index, begun.attempt, oxtask_core::group::Outcome::Completed, None, 2);
        assert!(ended.is_ok());
    });
}

fn nested(max_slots: usize, others: usize) {
    explore(move || {
        let (pool, _) = staffed(max_slots, 2);
        let gauge = Gauge::new(max_slots);
        let parent = queued(&pool, Lane::Thread, [0]);
        let child = queued(&pool, Lane::Thread, [0]);
        let rest = queued(&pool, Lane::Thread, (0..others).map(|_| 0));
        pool.close();
        let other = {
            let (pool, gauge, parent, child) =
                (Arc::clone(&pool), gauge.clone(), Arc::clone(&parent), Arc::clone(&child));
            thread::spawn(move || nesting(&pool, &gauge, &parent, &child))
        };
        nesting(&pool, &gauge, &parent, &child);
        other.join().unwrap();
        assert_eq!(parent.unsettled() + child.unsettled() + rest.unsettled(), 0);
        assert_eq!((pool.active(), pool.workers()), (0, 0));
    });
}

#[test]
fn a_run_that_waits_for_another_on_a_single_slot_gets_the_slot_back() {
    nested(1, 0);
}

#[test]
fn a_run_that_resumes_goes_before_new_work() {
    nested(1, 1);
}

#[test]
fn two_slots_and_a_waiting_run() {
    nested(2, 1);
}

#[test]
fn threads_that_resume_take_turns() {
    explore(|| {
        let (pool, _) = pool(1);
        let gauge = Gauge::new(1);
        assert!(pool.try_slot());
        let resumers = [(); 2].map(|()| {
            let (pool, gauge) = (Arc::clone(&pool), gauge.clone());
            thread::spawn(move || {
                assert!(pool.claim_slot(None));
                gauge.enter();
                assert_eq!(pool.active(), 1);
                gauge.leave();
                pool.release_slot();
            })
        });
        pool.release_slot();
        for resumer in resumers {
            resumer.join().unwrap();
        }
        assert_eq!(pool.active(), 0);
    });
}

#[test]
fn a_thread_that_lends_itself_and_a_worker_share_one_slot() {
    explore(|| {
        let (pool, _) = pool(1);
        let gauge = Gauge::new(1);
        queued(&pool, Lane::Thread, [0]);
        let worker = {
            let (pool, gauge) = (Arc::clone(&pool), gauge.clone());
            thread::spawn(move || {
                if let Some((group, index)) = run_of(pool.take(Lane::Thread, From::Start)) {
                    gauge.enter();
                    assert!(finish(&group, index));
                    gauge.leave();
                    pool.release_slot();
                }
            })
        };
        let lent = inline(&pool);
        if pool.try_slot() {
            gauge.enter();
            assert!(finish(&lent, 0));
            gauge.leave();
            pool.release_slot();
        }
        worker.join().unwrap();
        assert_eq!(pool.active(), 0);
    });
}

/// Of two slots that fall free, one goes to a thread that resumes and the other to a queued run, even if the first
/// has not woken yet when the second falls free.
#[test]
fn a_slot_beyond_what_resumes_goes_to_the_queue() {
    explore(|| {
        let (pool, _) = staffed(2, 1);
        assert!(pool.try_slot() && pool.try_slot());
        let group = queued(&pool, Lane::Thread, [0]);
        let resumer = {
            let (pool, group) = (Arc::clone(&pool), Arc::clone(&group));
            thread::spawn(move || {
                assert!(pool.claim_slot(None));
                // It keeps the slot until the queued run has ended.
                let inbox = Arc::new(Inbox::new());
                if group.watch(0, Watcher::Inbox(Arc::clone(&inbox), 0)).is_ok() {
                    while inbox.take(None).is_none() {}
                }
                pool.release_slot();
            })
        };
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || work(&pool, |group, index| assert!(finish(group, index))))
        };
        pool.release_slot();
        pool.release_slot();
        resumer.join().unwrap();
        pool.close();
        worker.join().unwrap();
        assert_eq!((group.unsettled(), pool.active()), (0, 0));
    });
}

/// What an event loop does when it is woken, until a token other than that of a wake-up.
fn serve(pool: &TestPool, bell: &Inbox) {
    loop {
        match bell.take(None) {
            Some(0) => {
                let mut from = From::Start;
                while let Some((group, index)) = run_of(pool.take(Lane::Loop, from)) {
                    from = From::Work;
                    finish(&group, index);
                }
            }
            Some(_) => return,
            None => (),
        }
    }
}

#[test]
fn one_slot_serves_both_lanes() {
    explore(|| {
        let (pool, calls) = staffed(1, 1);
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || work(&pool, |group, index| assert!(finish(group, index))))
        };
        let event_loop = {
            let (pool, calls) = (Arc::clone(&pool), Arc::clone(&calls));
            thread::spawn(move || serve(&pool, &calls.loop_bell))
        };
        let inbox = Arc::new(Inbox::new());
        let groups = [queued(&pool, Lane::Loop, [0]), queued(&pool, Lane::Thread, [0])];
        for group in &groups {
            if group.watch(0, Watcher::Inbox(Arc::clone(&inbox), 0)).is_ok() {
                while inbox.take(None).is_none() {}
            }
        }
        calls.loop_bell.deliver(1);
        pool.close();
        event_loop.join().unwrap();
        worker.join().unwrap();
        assert_eq!(pool.active(), 0);
    });
}

/// The loop was offered the slot, but its run is gone when it comes: the thread that sleeps hears of the slot.
#[test]
fn a_loop_that_finds_its_run_cancelled_hands_the_slot_on() {
    explore(|| {
        let (pool, calls) = staffed(1, 1);
        assert!(pool.try_slot());
        let for_loop = queued(&pool, Lane::Loop, [0]);
        serve_once(&pool, &calls.loop_bell);
        let for_thread = queued(&pool, Lane::Thread, [0]);
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || work(&pool, |group, index| assert!(finish(group, index))))
        };
        let event_loop = {
            let (pool, calls) = (Arc::clone(&pool), Arc::clone(&calls));
            thread::spawn(move || serve(&pool, &calls.loop_bell))
        };
        pool.release_slot();
        drop(for_loop.cancel(0, 3));
        let inbox = Arc::new(Inbox::new());
        if for_thread.watch(0, Watcher::Inbox(Arc::clone(&inbox), 0)).is_ok() {
            while inbox.take(None).is_none() {}
        }
        calls.loop_bell.deliver(1);
        pool.close();
        event_loop.join().unwrap();
        worker.join().unwrap();
    });
}

/// The loop that was woken finds no slot and goes back to sleep.
fn serve_once(pool: &TestPool, bell: &Inbox) {
    assert_eq!(bell.try_take(), Some(0));
    assert!(pool.take(Lane::Loop, From::Start).is_none());
}
