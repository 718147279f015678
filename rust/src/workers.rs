//! Worker threads: they attach once, drain the queue, and detach only to block.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use oxtask_core::group::Cancelled;
use oxtask_core::pool::{From, Host, Lane, Next, Pool, Taken};
use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::run::{self, Runs, Spec};
use crate::runtime::ATTACHING;
use crate::timers::{self, Entry};
use crate::{boundary, clock, python, runtime};

/// A worker without work for this long leaves.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// Runs that one thread runs inside each other's waits, before another thread takes over.
pub(crate) const MAX_NESTED: u32 = 32;

pub(crate) type RunPool = Arc<Pool<Spec>>;

/// Code that runs on a worker, attached.
pub(crate) enum Callback {
    /// `function(future)`.
    Python { function: Py<PyAny>, future: Py<PyAny> },
    /// The time of code on another thread is up.
    Bell(Arc<crate::alarm::Bell>),
    /// A run was taken from the thread in `seat`; the attempt is the one that now speaks for it.
    Expired { group: Runs, index: u32, attempt: u32, kept: Option<Py<PyAny>>, seat: Arc<Seat> },
}

impl Callback {
    pub(crate) fn run(self, py: Python<'_>) {
        match self {
            Self::Python { function, future } => {
                if let Err(raised) = function.call1(py, (future,)) {
                    python::callback_failed(py, &raised);
                }
            }
            Self::Bell(bell) => bell.inject(py),
            Self::Expired { group, index, attempt, kept, seat } => {
                run::take_over(py, &group, index, attempt, kept, &seat);
            }
        }
    }
}

/// Where a worker thread sits: what others need to end a run from outside.
///
/// `body` names the run whose body the thread is in. Threads change it and look at it only while attached, so
/// whoever finds a run there knows that its body has not returned: an exception injected then reaches that body or
/// nothing.
pub(crate) struct Seat {
    pub(crate) thread_id: AtomicU64,
    body: Mutex<Option<(Runs, u32)>>,
    interrupted: AtomicBool,
    /// The seat's run was taken away and its slot given to another worker.
    lost: AtomicBool,
}

impl Seat {
    pub(crate) fn new() -> Self {
        Self {
            thread_id: AtomicU64::new(0),
            body: Mutex::new(None),
            interrupted: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        }
    }

    /// Enters a body; returns the one that the thread was in, for [`exit`](Self::exit).
    #[inline]
    pub(crate) fn enter(&self, group: &Runs, index: u32) -> Option<(Runs, u32)> {
        self.body.lock().replace((Arc::clone(group), index))
    }

    #[inline]
    pub(crate) fn exit(&self, _py: Python<'_>, outer: Option<(Runs, u32)>) {
        let left = std::mem::replace(&mut *self.body.lock(), outer);
        if self.interrupted.swap(false, Ordering::Relaxed) {
            let thread = self.thread_id.load(Ordering::Relaxed);
            // An exception that was injected but not yet raised must not reach the next body.
            // SAFETY: attached; null clears what is pending for this very thread.
            unsafe { ffi::PyThreadState_SetAsyncExc(thread as std::ffi::c_long, std::ptr::null_mut()) };
        }
        drop(left);
    }

    /// The run whose body the thread is in.
    pub(crate) fn body(&self) -> Option<(Runs, u32)> {
        self.body.lock().clone()
    }

    pub(crate) fn arm(self: &Arc<Self>, group: &Runs, index: u32, attempt: u32, seconds: f64) {
        let at = clock::now() + timers::nanoseconds(seconds_of(seconds));
        let entry = Entry::Deadline(Arc::downgrade(group), index, attempt, Arc::clone(self));
        runtime::get().timers.add(at, entry);
    }

    /// Raises `exception` in the body of the run, if the thread is still in it.
    pub(crate) fn interrupt(&self, py: Python<'_>, group: &Runs, index: u32, exception: &Py<PyAny>) -> bool {
        if !self.body().is_some_and(|(held, at)| Arc::ptr_eq(&held, group) && at == index) {
            return false;
        }
        self.interrupted.store(true, Ordering::Relaxed);
        let thread = self.thread_id.load(Ordering::Relaxed);
        let _ = py;
        // SAFETY: attached; `exception` is a live exception class.
        unsafe { ffi::PyThreadState_SetAsyncExc(thread as std::ffi::c_long, exception.as_ptr()) };
        true
    }
}

pub(crate) fn seconds_of(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::from_secs(u64::from(u32::MAX)))
}

/// Lets a run sleep until its next attempt.
pub(crate) fn delay(group: &Runs, index: u32, attempt: u32, input: Py<PyAny>, seconds: f64) {
    let at = clock::now() + timers::nanoseconds(seconds_of(seconds));
    match group.delay(index, attempt, input) {
        Ok(()) => {
            let cancelled = group.pool().is_none_or(|pool| pool.is_cancelled());
            let at = if cancelled { 0 } else { at };
            runtime::get().timers.add(at, Entry::Wake(Arc::downgrade(group), index, attempt));
        }
        Err(late) => drop(late),
    }
}

/// Takes a run away from its thread at its deadline. Called by the timer thread, which is not attached.
pub(crate) struct Expired;

impl Expired {
    pub(crate) fn begin(group: &Runs, index: u32, attempt: u32, seat: &Arc<Seat>) {
        let Some((attempt, kept)) = group.fence(index, attempt) else { return };
        let Some(pool) = group.pool() else { return };
        let group = Arc::clone(group);
        let held = Arc::clone(seat);
        let callback = Callback::Expired { group: Arc::clone(&group), index, attempt, kept, seat: held };
        // First the work, then the slot for it: nothing else may take the slot.
        pool.push_first(Lane::Thread, vec![callback]);
        if !seat.lost.swap(true, Ordering::AcqRel) {
            pool.worker_lost();
        }
        pool.ensure_worker();
    }
}

/// What the pool needs from this side.
pub(crate) struct PyHost;

impl Host<Spec> for PyHost {
    fn start_worker(&self, pool: &RunPool) {
        let pool = Arc::clone(pool);
        let name = std::thread::Builder::new().name("oxtask-worker".to_owned());
        let failed = Arc::clone(&pool);
        // Counted before the look: whoever sees no exit yet is waited for by it.
        ATTACHING.fetch_add(1, Ordering::AcqRel);
        if runtime::get().leaving.load(Ordering::Acquire) || name.spawn(move || work(&pool)).is_err() {
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
}

/// What a worker thread knows of itself.
pub(crate) struct Desk {
    pub(crate) pool: RunPool,
    pub(crate) seat: Arc<Seat>,
}

thread_local! {
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
    static NESTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Runs `body` one level deeper; `None` if this thread is deep enough.
pub(crate) fn nested<T>(body: impl FnOnce() -> T) -> Option<T> {
    let depth = NESTED.get();
    if depth >= MAX_NESTED {
        return None;
    }
    NESTED.set(depth + 1);
    let result = body();
    NESTED.set(depth);
    Some(result)
}

/// The pool and the seat of the worker that this thread is.
pub(crate) fn desk() -> Option<(RunPool, Arc<Seat>)> {
    DESK.with_borrow(|desk| desk.as_ref().map(|desk| (Arc::clone(&desk.pool), Arc::clone(&desk.seat))))
}

/// Whether this worker's slot was given away; it then has none to give back.
pub(crate) fn slot_lost(seat: &Seat) -> bool {
    seat.lost.load(Ordering::Acquire)
}

fn work(pool: &RunPool) {
    let attached = Python::try_attach(|py| {
        ATTACHING.fetch_sub(1, Ordering::AcqRel);
        pool.worker_started();
        let seat = Arc::new(Seat::new());
        // SAFETY: attached; the identifier is what `threading.get_ident` gives.
        seat.thread_id.store(thread_ident(), Ordering::Relaxed);
        let desk = Desk { pool: Arc::clone(pool), seat: Arc::clone(&seat) };
        DESK.set(Some(desk));
        crate::runner::seated(pool, &seat);
        turn(py, pool, &seat);
        crate::runner::unseated(pool, &seat);
        DESK.set(None);
    });
    if attached.is_none() {
        ATTACHING.fetch_sub(1, Ordering::AcqRel);
        pool.worker_failed();
    }
}

fn turn(py: Python<'_>, pool: &RunPool, seat: &Arc<Seat>) {
    let mut from = From::Start;
    loop {
        if let Some(taken) = pool.take(Lane::Thread, from) {
            from = From::Work;
            perform(py, taken, seat);
            if seat.lost.swap(false, Ordering::AcqRel) {
                pool.worker_back();
                from = From::Start;
            }
        } else {
            from = From::Rest;
            if boundary::detached(py, || pool.wait_for_work(IDLE_LIMIT)) == Next::Leave {
                return;
            }
        }
    }
}

fn perform(py: Python<'_>, taken: Taken<Spec>, seat: &Arc<Seat>) {
    match taken {
        Taken::Run(group, index) => run::execute(py, &group, index, Some(seat)),
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

/// What `threading.get_ident()` gives on this thread.
fn thread_ident() -> u64 {
    // SAFETY: no preconditions.
    #[allow(clippy::useless_conversion)] // the width differs by platform
    unsafe {
        u64::from(ffi::PyThread_get_thread_ident())
    }
}
