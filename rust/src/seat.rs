//! Where a thread sits that runs bodies: what others need to end a run from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oxtask_core::pool::Lane;
use oxtask_core::sync::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::boundary::{self, Enter};
use crate::run::Runs;
use crate::timers::{self, Entry};
use crate::workers::{Callback, RunPool, seconds_of};
use crate::{clock, runtime};

/// One for each thread that runs bodies.
///
/// `body` names the run whose body the thread is in. Threads change it and look at it only while attached, so
/// whoever finds a run there knows that its body has not returned: an exception injected then reaches that body or
/// nothing.
pub(crate) struct Seat {
    /// What `threading.get_ident()` gives on the thread.
    pub(crate) thread_id: u64,
    body: Mutex<Option<(Runs, u32)>>,
    interrupted: AtomicBool,
    slot: Mutex<Slot>,
    of_worker: bool,
}

/// Where the slot is that a worker took with its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Held,
    /// Given back while the thread waits for a run.
    Yielded,
    /// The run was taken away at its deadline, and the slot with it.
    Lost,
}

impl Seat {
    pub(crate) fn new(of_worker: bool) -> Self {
        Self {
            thread_id: thread_ident(),
            body: Mutex::new(None),
            interrupted: AtomicBool::new(false),
            slot: Mutex::new(Slot::Held),
            of_worker,
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
            // An exception that was injected but not yet raised must not reach the next body.
            // SAFETY: attached; null clears what is pending for this very thread.
            unsafe {
                ffi::PyThreadState_SetAsyncExc(c_ident(self.thread_id), std::ptr::null_mut())
            };
        }
        drop(left);
    }

    /// Whether this is a worker in a body: what it calls there is guarded.
    pub(crate) fn is_guarded(&self) -> bool {
        self.of_worker && self.is_in_body()
    }

    pub(crate) fn is_in_body(&self) -> bool {
        self.body.lock().is_some()
    }

    pub(crate) fn holds_slot(&self) -> bool {
        *self.slot.lock() == Slot::Held
    }

    /// The worker is about to wait; false if it has no slot to give back.
    pub(crate) fn yields_slot(&self, pool: &RunPool) -> bool {
        let mut slot = self.slot.lock();
        let held = *slot == Slot::Held;
        if held {
            *slot = Slot::Yielded;
            pool.worker_waits();
        }
        held
    }

    /// The worker goes on, with a slot; false if its run was taken away meanwhile.
    pub(crate) fn resumes(&self, pool: &RunPool) -> bool {
        let mut slot = self.slot.lock();
        let waited = *slot == Slot::Yielded;
        if waited {
            *slot = Slot::Held;
            pool.worker_resumes();
        }
        waited
    }

    /// The worker is done with what it took; false if its slot has gone to another.
    pub(crate) fn keeps_slot(&self) -> bool {
        std::mem::replace(&mut *self.slot.lock(), Slot::Held) == Slot::Held
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
        let _ = py;
        // SAFETY: attached; `exception` is a live exception class.
        unsafe { ffi::PyThreadState_SetAsyncExc(c_ident(self.thread_id), exception.as_ptr()) };
        true
    }
}

/// Takes a run away from its thread at its deadline. Called by the timer thread, which is not attached.
pub(crate) fn expire(group: &Runs, index: u32, attempt: u32, seat: &Arc<Seat>) {
    // Under the lock that the worker takes before it looks: it finds its slot held and its run its own, or both lost.
    let mut slot = seat.slot.lock();
    let Some((attempt, kept)) = group.fence(index, attempt) else { return };
    let Some(pool) = group.pool() else { return };
    let before = std::mem::replace(&mut *slot, Slot::Lost);
    if before == Slot::Yielded {
        pool.waiting_worker_lost();
    }
    drop(slot);
    let (group, seat) = (Arc::clone(group), Arc::clone(seat));
    let callback = Callback::Expired { group: Arc::clone(&group), index, attempt, kept, seat };
    // First the work, then the slot for it: nothing else may take the slot.
    pool.push_first(Lane::Thread, vec![callback]);
    if before == Slot::Held {
        pool.worker_lost();
    }
    pool.ensure_worker();
}

/// The seats of all threads that run bodies.
static SEATS: Mutex<Vec<Arc<Seat>>> = Mutex::new(Vec::new());

pub(crate) fn add(seat: &Arc<Seat>) {
    SEATS.lock().push(Arc::clone(seat));
}

pub(crate) fn remove(seat: &Arc<Seat>) {
    SEATS.lock().retain(|held| !Arc::ptr_eq(held, seat));
}

pub(crate) fn all() -> Vec<Arc<Seat>> {
    SEATS.lock().clone()
}

/// Forgets, in a forked child, the threads that only the parent has.
pub(crate) fn forget_after_fork() {
    // The lock may be held by a thread that the child does not have; the list is then left as it is.
    if let Some(mut seats) = SEATS.try_lock() {
        std::mem::forget(std::mem::take(&mut *seats));
    }
}

/// The frame that a thread is in; `None` if there is no such thread.
///
/// `sys._current_frames` makes objects while it holds a lock of the interpreter: before 3.12 the collector can start
/// there, run code that lets go of the interpreter, and deadlock with whoever asks for that lock meanwhile.
#[pyfunction]
pub(crate) fn frame_of(py: Python<'_>, thread_id: u64) -> PyResult<Bound<'_, PyAny>> {
    let list_frames = boundary::import(py, "sys")?.getattr("_current_frames")?;
    let frames = boundary::without_collector(py, || list_frames.enter0())?;
    frames.enter_method("get", (thread_id,))
}

/// An identifier as the C API takes it.
#[allow(clippy::cast_possible_wrap)] // the same bits
pub(crate) fn c_ident(thread: u64) -> std::ffi::c_long {
    thread as std::ffi::c_long
}

/// What `threading.get_ident()` gives on this thread.
pub(crate) fn thread_ident() -> u64 {
    // SAFETY: no preconditions.
    #[allow(clippy::useless_conversion)] // the width differs by platform
    unsafe {
        u64::from(ffi::PyThread_get_thread_ident())
    }
}
