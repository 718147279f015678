//! Worker threads: they attach once, drain the queue, and detach only to block.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use oxtask_core::group::Cancelled;
use oxtask_core::pool::{From, Host, Lane, Next, Pool, Taken};
use oxtask_core::sync::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::boundary::Enter;
use crate::run::{Runs, Spec};
use crate::runtime::{ATTACHING, BUSY};
use crate::timers::{self, Entry};
use crate::{attempt, boundary, clock, python, runtime};

/// A worker without work for this long leaves.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// Runs that one thread runs inside each other's waits, before another thread takes over.
pub(crate) const MAX_NESTED: u32 = 32;

pub(crate) type RunPool = Arc<Pool<Spec>>;

/// Code that runs on a worker, attached.
pub(crate) enum Callback {
    /// `function(future)`.
    Python { function: Py<PyAny>, future: Py<PyAny> },
    /// `function()`; the slot that was taken with the callback is its to keep.
    Grant(Py<PyAny>),
    /// The time of code on another thread is up.
    Bell(Arc<crate::alarm::Bell>),
    /// A run was taken from the thread in `seat`; the attempt is the one that now speaks for it.
    Expired { group: Runs, index: u32, attempt: u32, kept: Option<Py<PyAny>>, seat: Arc<Seat> },
}

impl Callback {
    pub(crate) fn run(self, py: Python<'_>) {
        match self {
            Self::Python { function, future } => {
                if let Err(raised) = function.bind(py).enter((future,)) {
                    python::callback_failed(py, &raised);
                }
            }
            Self::Grant(function) => {
                if let Err(raised) = function.bind(py).enter0() {
                    python::callback_failed(py, &raised);
                }
            }
            Self::Bell(bell) => bell.inject(py),
            Self::Expired { group, index, attempt, kept, seat } => {
                attempt::take_over(py, &group, index, attempt, kept, &seat);
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
    slot: Mutex<Slot>,
    of_worker: AtomicBool,
}

/// Where the slot is that a thread took with its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Held,
    /// Given back while the thread waits for a run.
    Yielded,
    /// The run was taken away at its deadline, and the slot with it.
    Lost,
}

impl Seat {
    pub(crate) fn new() -> Self {
        Self {
            thread_id: AtomicU64::new(0),
            body: Mutex::new(None),
            interrupted: AtomicBool::new(false),
            slot: Mutex::new(Slot::Held),
            of_worker: AtomicBool::new(false),
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
            unsafe { ffi::PyThreadState_SetAsyncExc(c_ident(thread), std::ptr::null_mut()) };
        }
        drop(left);
    }

    /// Whether this is a worker in a body: what it calls there is guarded.
    pub(crate) fn is_guarded(&self) -> bool {
        self.of_worker.load(Ordering::Relaxed) && self.body.lock().is_some()
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
    pub(crate) fn interrupt(
        &self,
        py: Python<'_>,
        group: &Runs,
        index: u32,
        exception: &Py<PyAny>,
    ) -> bool {
        if !self.body().is_some_and(|(held, at)| Arc::ptr_eq(&held, group) && at == index) {
            return false;
        }
        self.interrupted.store(true, Ordering::Relaxed);
        let thread = self.thread_id.load(Ordering::Relaxed);
        let _ = py;
        // SAFETY: attached; `exception` is a live exception class.
        unsafe { ffi::PyThreadState_SetAsyncExc(c_ident(thread), exception.as_ptr()) };
        true
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

/// Takes a run away from its thread at its deadline. Called by the timer thread, which is not attached.
pub(crate) struct Expired;

impl Expired {
    pub(crate) fn begin(group: &Runs, index: u32, attempt: u32, seat: &Arc<Seat>) {
        // Under the lock that the worker takes before it looks: it finds its slot held and its run its own, or both lost.
        let mut slot = seat.slot.lock();
        let Some((attempt, kept)) = group.fence(index, attempt) else { return };
        let Some(pool) = group.pool() else { return };
        let before = std::mem::replace(&mut *slot, Slot::Lost);
        drop(slot);
        let group = Arc::clone(group);
        let held = Arc::clone(seat);
        let callback =
            Callback::Expired { group: Arc::clone(&group), index, attempt, kept, seat: held };
        // First the work, then the slot for it: nothing else may take the slot.
        pool.push_first(Lane::Thread, vec![callback]);
        if before == Slot::Yielded {
            // Its slot is free already: one is taken for it to lose.
            pool.force_slot();
        }
        if before != Slot::Lost {
            pool.worker_lost();
        }
        pool.ensure_worker();
    }
}

/// The seats of all threads that run bodies.
static SEATS: Mutex<Vec<Arc<Seat>>> = Mutex::new(Vec::new());

fn seated(seat: &Arc<Seat>) {
    SEATS.lock().push(Arc::clone(seat));
}

fn unseated(seat: &Arc<Seat>) {
    SEATS.lock().retain(|held| !Arc::ptr_eq(held, seat));
}

/// The seats of all threads that run bodies.
pub(crate) fn seats() -> Vec<Arc<Seat>> {
    SEATS.lock().clone()
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
}

/// What a thread knows of itself while it runs bodies.
struct Desk {
    /// The pool one of whose slots this thread holds.
    slot: Option<RunPool>,
    seat: Arc<Seat>,
    /// Runs that are under way on this thread, one in the wait of the other.
    nested: u32,
}

impl Desk {
    /// A desk for a thread that is no worker of ours.
    fn for_guest() -> Self {
        let seat = Arc::new(Seat::new());
        seat.thread_id.store(thread_ident(), Ordering::Relaxed);
        seated(&seat);
        Self { slot: None, seat, nested: 0 }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        unseated(&self.seat);
    }
}

thread_local! {
    static IS_WORKER: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

/// Whether a pool belongs to this process: the locks of a parent's may be held for ever.
fn is_ours(pool: &RunPool) -> bool {
    pool.tag() == runtime::get().generation
}

/// The pool one of whose slots this thread holds.
pub(crate) fn held_slot() -> Option<RunPool> {
    DESK.with_borrow(|desk| {
        let desk = desk.as_ref()?;
        let held = *desk.seat.slot.lock() == Slot::Held;
        desk.slot.as_ref().filter(|pool| held && is_ours(pool)).map(Arc::clone)
    })
}

/// Gives back the slot that this thread holds, while it waits for runs.
pub(crate) fn yield_slot() -> Option<(RunPool, Arc<Seat>)> {
    let (pool, seat) = DESK.with_borrow(|desk| {
        let desk = desk.as_ref()?;
        let mut slot = desk.seat.slot.lock();
        let pool = desk.slot.as_ref().filter(|pool| *slot == Slot::Held && is_ours(pool))?;
        *slot = Slot::Yielded;
        Some((Arc::clone(pool), Arc::clone(&desk.seat)))
    })?;
    pool.release_slot();
    Some((pool, seat))
}

/// Takes a slot again, unless the run was taken away meanwhile. Blocks; called detached.
pub(crate) fn reclaim_slot(pool: &RunPool, seat: &Seat) {
    if *seat.slot.lock() == Slot::Lost {
        return;
    }
    pool.claim_slot(None);
    let mut slot = seat.slot.lock();
    if *slot == Slot::Yielded {
        *slot = Slot::Held;
        return;
    }
    drop(slot);
    pool.release_slot();
}

/// Whether this thread is in a body of the user.
pub(crate) fn in_body() -> bool {
    DESK.with_borrow(|desk| desk.as_ref().is_some_and(|desk| desk.seat.body.lock().is_some()))
}

/// Runs `body` while this thread holds a slot of `pool`, or, with `None`, the one that it holds already.
pub(crate) fn holding<T>(pool: Option<&RunPool>, body: impl FnOnce(&Arc<Seat>) -> T) -> T {
    let (seat, outer) = DESK.with_borrow_mut(|desk| {
        let desk = desk.get_or_insert_with(Desk::for_guest);
        desk.nested += 1;
        let outer = pool.map(|pool| desk.slot.replace(Arc::clone(pool)));
        (Arc::clone(&desk.seat), outer)
    });
    let result = body(&seat);
    let old = DESK.with_borrow_mut(|desk| {
        let desk = desk.as_mut()?;
        desk.nested -= 1;
        outer.map(|outer| std::mem::replace(&mut desk.slot, outer))
    });
    drop(old);
    result
}

thread_local! {
    static ALARMS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Counts the alarms that are set on this thread.
pub(crate) fn alarm_set() {
    ALARMS.set(ALARMS.get() + 1);
}

pub(crate) fn alarm_over() {
    ALARMS.set(ALARMS.get().saturating_sub(1));
}

/// Whether somebody may inject an exception into this thread.
pub(crate) fn is_injectable() -> bool {
    ALARMS.get() > 0 || in_body()
}

/// Whether this thread is a worker of ours.
pub(crate) fn is_worker() -> bool {
    IS_WORKER.get()
}

/// Forgets, in a forked child, the threads that only the parent has.
pub(crate) fn forget_after_fork() {
    // The lock may be held by a thread that the child does not have; the list is then left as it is.
    if let Some(mut seats) = SEATS.try_lock() {
        std::mem::forget(std::mem::take(&mut *seats));
    }
}

/// Whether this thread may run one more run within a wait.
pub(crate) fn may_nest() -> bool {
    DESK.with_borrow(|desk| desk.as_ref().is_none_or(|desk| desk.nested < MAX_NESTED))
}

fn work(pool: &RunPool) {
    let attached = Python::try_attach(|py| {
        BUSY.fetch_add(1, Ordering::AcqRel);
        ATTACHING.fetch_sub(1, Ordering::AcqRel);
        IS_WORKER.set(true);
        pool.worker_started();
        holding(Some(pool), |seat| {
            seat.of_worker.store(true, Ordering::Relaxed);
            turn(py, pool, seat);
        });
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
            if std::mem::replace(&mut *seat.slot.lock(), Slot::Held) == Slot::Lost {
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

/// An identifier as the C API takes it.
#[allow(clippy::cast_possible_wrap)] // the same bits
pub(crate) fn c_ident(thread: u64) -> std::ffi::c_long {
    thread as std::ffi::c_long
}

/// What `threading.get_ident()` gives on this thread.
fn thread_ident() -> u64 {
    // SAFETY: no preconditions.
    #[allow(clippy::useless_conversion)] // the width differs by platform
    unsafe {
        u64::from(ffi::PyThread_get_thread_ident())
    }
}
