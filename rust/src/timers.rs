//! The timer thread: it sleeps until the next retry, deadline or tick, and never takes the interpreter lock.

use std::sync::{Arc, Weak};
use std::time::Duration;

use oxtask_core::group::Group;
use oxtask_core::growth::TICK;
use oxtask_core::pool::Pool;
use oxtask_core::sync::atomic::{AtomicBool, Ordering};
use oxtask_core::sync::{Condvar, Mutex};
use oxtask_core::timer::TimerHeap;

use crate::clock;
use crate::run::Spec;
use crate::seat::{self, Seat};

pub(crate) enum Entry {
    /// A delayed run becomes ready.
    Wake(Weak<Group<Spec>>, u32, u32),
    /// A run's attempt is out of time.
    Deadline(Weak<Group<Spec>>, u32, u32, Arc<Seat>),
    /// The time of code on a caller's own thread is up.
    Alarm(Arc<crate::alarm::Bell>),
    /// A pool with ready work and no idle worker is looked at.
    Tick(Weak<Pool<Spec>>),
}

pub(crate) struct Timers {
    heap: Mutex<TimerHeap<Entry>>,
    bell: Condvar,
    running: AtomicBool,
    /// Held while the timer thread has hold of a group.
    at_work: Mutex<()>,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            heap: Mutex::new(TimerHeap::default()),
            bell: Condvar::new(),
            running: AtomicBool::new(false),
            at_work: Mutex::new(()),
        }
    }

    /// Looks at something while the timer thread has hold of no group.
    pub(crate) fn at_rest<T>(&self, look: impl FnOnce() -> T) -> T {
        let _at_rest = self.at_work.lock();
        look()
    }

    pub(crate) fn add(&'static self, at: u64, entry: Entry) {
        let earlier = self.heap.lock().add(at, entry);
        if !self.running.swap(true, Ordering::AcqRel) {
            self.start();
        } else if earlier {
            self.bell.notify_one();
        }
    }

    pub(crate) fn watch(&'static self, pool: &Arc<Pool<Spec>>) {
        self.add(clock::now() + nanoseconds(TICK), Entry::Tick(Arc::downgrade(pool)));
    }

    /// Makes everything that a cancelled pool waits for due now.
    pub(crate) fn hurry(&'static self, pool: &Arc<Pool<Spec>>) {
        let due = self.heap.lock().extract(|entry| match entry {
            Entry::Wake(group, ..) => group
                .upgrade()
                .is_none_or(|group| group.pool().is_some_and(|held| Arc::ptr_eq(held, pool))),
            _ => false,
        });
        for entry in due {
            fire(entry);
        }
    }

    fn start(&'static self) {
        let thread = std::thread::Builder::new().name("oxtask-timer".to_owned());
        if thread.spawn(move || self.turn()).is_err() {
            // Out of threads: the next entry tries again.
            self.running.store(false, Ordering::Release);
        }
    }

    fn turn(&self) {
        let mut heap = self.heap.lock();
        loop {
            let now = clock::now();
            if let Some(entry) = heap.pop_due(now) {
                drop(heap);
                let at_work = self.at_work.lock();
                let ticking = fire(entry);
                drop(at_work);
                if let Some(pool) = ticking {
                    self.heap
                        .lock()
                        .add(now + nanoseconds(TICK), Entry::Tick(Arc::downgrade(&pool)));
                }
                heap = self.heap.lock();
                continue;
            }
            let sleep = heap.next_at().map(|at| Duration::from_nanos(at - now));
            heap = self.bell.wait(heap, sleep);
        }
    }
}

/// Does what is due; returns a pool that wants another tick.
fn fire(entry: Entry) -> Option<Arc<Pool<Spec>>> {
    match entry {
        Entry::Wake(group, index, attempt) => {
            if let Some(group) = group.upgrade() {
                group.wake(index, attempt);
            }
            None
        }
        Entry::Deadline(group, index, attempt, seat) => {
            if let Some(group) = group.upgrade() {
                seat::expire(&group, index, attempt, &seat);
            }
            None
        }
        Entry::Alarm(bell) => {
            bell.ring();
            None
        }
        Entry::Tick(pool) => {
            let pool = pool.upgrade()?;
            let now = Duration::from_nanos(clock::now());
            pool.tick(now, clock::process_cpu()).then_some(pool)
        }
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}
