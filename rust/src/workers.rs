//! Worker threads: they attach once, drain the queue, and detach only to block.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oxtask_core::group::Cancelled;
use oxtask_core::growth::MOST_LOOKED_AT;
use oxtask_core::pool::{From, Host, Lane, Next, Pool, Taken};
use pyo3::prelude::*;

use crate::boundary::Enter;
use crate::run::{Runs, Spec};
use crate::runtime::{ATTACHING, BUSY};
use crate::seat::Seat;
use crate::timers::{self, Entry};
use crate::{attempt, boundary, clock, context, desk, python, runtime};

/// A worker without work for this long leaves.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

pub(crate) type RunPool = Arc<Pool<Spec>>;

/// Code that runs on a worker, attached.
pub(crate) enum Callback {
    /// `function(future)`, in the context in which it was added.
    Python { function: Py<PyAny>, future: Py<PyAny>, context: Py<PyAny> },
    /// `function()`; the slot that was taken with the callback is its to keep.
    Grant(Py<PyAny>),
    /// The time of code on another thread is up.
    Bell(Arc<crate::alarm::Bell>),
    /// A run that the history knows of has ended.
    Ended(crate::history::Trace),
    /// A run was taken from the thread in `seat`; the attempt is the one that now speaks for it.
    Expired { group: Runs, index: u32, attempt: u32, kept: Option<Py<PyAny>>, seat: Arc<Seat> },
}

impl Callback {
    pub(crate) fn run(self, py: Python<'_>) {
        match self {
            Self::Python { function, future, context } => {
                let called = context::enter(py, context.bind(py), || {
                    function.bind(py).enter((future,)).map(drop)
                });
                if let Err(raised) = called.and_then(|result| result) {
                    python::callback_failed(py, &raised);
                }
            }
            Self::Grant(function) => {
                if let Err(raised) = function.bind(py).enter0() {
                    python::callback_failed(py, &raised);
                }
            }
            Self::Bell(bell) => bell.inject(py),
            Self::Ended(trace) => trace.ended(py),
            Self::Expired { group, index, attempt, kept, seat } => {
                attempt::take_over(py, &group, index, attempt, kept, &seat);
            }
        }
    }
}

pub(crate) fn seconds_of(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0))
        .unwrap_or(Duration::from_secs(u64::from(u32::MAX)))
}

/// Lets a run sleep until its next attempt.
pub(crate) fn delay(group: &Runs, index: u32, attempt: u32, input: Py<PyAny>, seconds: f64) {
    let at = clock::now() + timers::nanoseconds(seconds_of(seconds));
    match group.delay(index, attempt, input) {
        Ok(()) if seconds <= 0.0 => {
            group.wake(index, attempt);
        }
        Ok(()) => {
            let cancelled = group.pool().is_none_or(|pool| pool.is_cancelled());
            let at = if cancelled { 0 } else { at };
            runtime::get().timers.add(at, Entry::Wake(Arc::downgrade(group), index, attempt));
        }
        Err(late) => drop(late),
    }
}

/// What the pool needs from this side.
pub(crate) struct PyHost;

/// Threads that read or write stored results without the interpreter, or wait for it after that.
static STORING: AtomicUsize = AtomicUsize::new(0);

/// Reads or writes stored results without the interpreter. That is no sleep in code of the user, which more workers
/// would make up for.
pub(crate) fn storing<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    STORING.fetch_add(1, Ordering::Relaxed);
    let done = boundary::detached(py, work);
    STORING.fetch_sub(1, Ordering::Relaxed);
    done
}

/// In a forked child: the threads that were at it are not there.
pub(crate) fn forked() {
    STORING.store(0, Ordering::Relaxed);
}

impl Host<Spec> for PyHost {
    fn start_worker(&self, pool: &RunPool) {
        let pool = Arc::clone(pool);
        let name = std::thread::Builder::new().name("oxtask-worker".to_owned());
        let failed = Arc::clone(&pool);
        // Counted before the look: whoever sees no exit yet is waited for by it.
        ATTACHING.fetch_add(1, Ordering::AcqRel);
        if runtime::is_leaving() || name.spawn(move || work(&pool)).is_err() {
            ATTACHING.fetch_sub(1, Ordering::AcqRel);
            failed.worker_failed();
        }
    }

    fn wake_loop(&self, pool: &RunPool) {
        crate::loops::wake(pool);
    }

    fn watch(&self, pool: &RunPool) {
        runtime::get().timers.watch(pool);
    }

    fn delay(&self) -> Option<Duration> {
        (STORING.load(Ordering::Relaxed) == 0).then(processor_delay)
    }
}

/// For how long the threads of this process have waited for a processor; nothing where that cannot be told.
fn processor_delay() -> Duration {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let delays = threads.flatten().take(MOST_LOOKED_AT).filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(delays.sum())
}

fn work(pool: &RunPool) {
    let attached = Python::try_attach(|py| {
        BUSY.fetch_add(1, Ordering::AcqRel);
        ATTACHING.fetch_sub(1, Ordering::AcqRel);
        let seat = desk::sit_down(pool);
        pool.worker_started();
        turn(py, pool, &seat);
        BUSY.fetch_sub(1, Ordering::AcqRel);
    });
    if attached.is_none() {
        ATTACHING.fetch_sub(1, Ordering::AcqRel);
        pool.worker_failed();
    }
}

fn turn(py: Python<'_>, pool: &RunPool, seat: &Arc<Seat>) {
    let mut from = From::Start;
    loop {
        if runtime::is_leaving() {
            // SAFETY: attached.
            unsafe { boundary::stay_away() }
        }
        if let Some(taken) = pool.take(Lane::Thread, from) {
            from = From::Work;
            perform(py, taken, seat);
            if !seat.keeps_slot() {
                pool.worker_back();
                from = From::Start;
            }
        } else {
            from = From::Rest;
            BUSY.fetch_sub(1, Ordering::AcqRel);
            let next = boundary::detached(py, || {
                let next = pool.wait_for_work(IDLE_LIMIT);
                BUSY.fetch_add(1, Ordering::AcqRel);
                next
            });
            if next == Next::Leave {
                return;
            }
        }
    }
}

fn perform(py: Python<'_>, taken: Taken<Spec>, seat: &Arc<Seat>) {
    match taken {
        Taken::Run(group, index) => attempt::execute(py, &group, index, Some(seat)),
        Taken::Cancelled(group, index) => drop(cancel(py, &group, index)),
        Taken::Callbacks(callbacks) => {
            for callback in callbacks {
                callback.run(py);
            }
        }
    }
}

/// Ends a run as cancelled; true if this call did, and whether it was under way.
pub(crate) fn cancel(py: Python<'_>, group: &Runs, index: u32) -> (bool, bool) {
    let (input, callbacks, running) = match group.cancel(index, clock::now()) {
        Cancelled::Done => return (false, false),
        Cancelled::Dropped(input, callbacks) => (Some(input), callbacks, false),
        Cancelled::Running(kept, callbacks) => (kept, callbacks, true),
    };
    drop(input);
    for callback in callbacks {
        callback.run(py);
    }
    (true, running)
}
