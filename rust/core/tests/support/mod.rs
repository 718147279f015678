//! What the tests put in the place of Python: numbers for inputs and outputs, and a host that counts.
#![allow(dead_code)] // each test binary uses its own part

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oxtask_core::group::{Group, Outcome, Work};
use oxtask_core::growth::TICK;
use oxtask_core::ids::{IdBase, IdSource};
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Host, Lane, Pool, Taken};

pub(crate) struct Spec(pub(crate) Lane);

impl Work for Spec {
    type Input = u32;
    type Output = u32;
    type Callback = u32;
    type Note = u32;

    fn lane(&self) -> Lane {
        self.0
    }
}

pub(crate) type Runs = Arc<Group<Spec>>;
pub(crate) type TestPool = Arc<Pool<Spec>>;

/// Counts what the pool asks for, and rings for loops.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) started: AtomicUsize,
    pub(crate) watched: AtomicUsize,
    pub(crate) woken: AtomicUsize,
    /// Gets a token for every `wake_loop`.
    pub(crate) loop_bell: Inbox,
}

impl Calls {
    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    pub(crate) fn watched(&self) -> usize {
        self.watched.load(Ordering::SeqCst)
    }

    pub(crate) fn woken(&self) -> usize {
        self.woken.load(Ordering::SeqCst)
    }
}

pub(crate) struct CountingHost(pub(crate) Arc<Calls>);

impl Host<Spec> for CountingHost {
    fn start_worker(&self, _: &TestPool) {
        self.0.started.fetch_add(1, Ordering::SeqCst);
    }

    fn wake_loop(&self, _: &TestPool) {
        self.0.woken.fetch_add(1, Ordering::SeqCst);
        self.0.loop_bell.deliver(0);
    }

    fn watch(&self, _: &TestPool) {
        self.0.watched.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn pool(max_slots: usize) -> (TestPool, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    (Pool::new(max_slots, 0, Box::new(CountingHost(Arc::clone(&calls)))), calls)
}

/// A pool that counts `workers` workers, has an empty queue and is not watched.
pub(crate) fn staffed(max_slots: usize, workers: usize) -> (TestPool, Arc<Calls>) {
    let (pool, calls) = pool(max_slots);
    let first = queued(&pool, Lane::Thread, [0]);
    for tick in 1.. {
        let before = calls.started();
        pool.tick(TICK * tick, Duration::ZERO);
        for _ in before..calls.started() {
            if pool.workers() < workers {
                pool.worker_started();
            } else {
                pool.worker_failed();
            }
        }
        if pool.workers() == workers {
            break;
        }
    }
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    finish(&first, 0);
    assert!(pool.take(Lane::Thread, From::Work).is_none());
    assert!(!pool.tick(TICK * 1_000, Duration::ZERO));
    calls.watched.store(0, Ordering::SeqCst);
    calls.started.store(0, Ordering::SeqCst);
    (pool, calls)
}

pub(crate) fn ids() -> IdBase {
    IdSource::new(0).reserve(0, 0)
}

pub(crate) fn queued(pool: &TestPool, lane: Lane, inputs: impl IntoIterator<Item = u32>) -> Runs {
    Group::queued(Spec(lane), Arc::clone(pool), ids(), 0, inputs)
}

pub(crate) fn parked(pool: &TestPool, lane: Lane, inputs: impl IntoIterator<Item = u32>) -> Runs {
    Group::parked(Spec(lane), Some(Arc::clone(pool)), ids(), 0, inputs)
}

/// A run of its own, ready, in no queue.
pub(crate) fn inline(pool: &TestPool) -> Runs {
    Group::inline(Spec(Lane::Thread), Some(Arc::clone(pool)), ids(), 0, 0)
}

/// Begins and completes a run; false if somebody else has it.
pub(crate) fn finish(group: &Runs, index: u32) -> bool {
    let Some(begun) = group.begin(index, 1) else { return false };
    group.settle(index, begun.attempt, Outcome::Completed, Some(begun.input), 2).is_ok()
}

/// The unit of a run or of a cancelled run.
pub(crate) fn run_of(taken: Option<Taken<Spec>>) -> Option<(Runs, u32)> {
    match taken? {
        Taken::Run(group, index) | Taken::Cancelled(group, index) => Some((group, index)),
        Taken::Callbacks(_) => None,
    }
}
