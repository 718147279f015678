//! Alarms for code on a caller's own thread: a signal on the main thread, an injected exception elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oxtask_core::pool::{Lane, Pool};
use oxtask_core::sync::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::boundary::{self, Enter};
use crate::timers::{self, Entry};
use crate::workers::{self, Callback, PyHost, RunPool};
use crate::{clock, desk, runtime, seat};

/// What rings, and where it is heard.
pub(crate) struct Bell {
    /// Held while the signal is sent, so that none is sent after `cancel` has returned.
    live: Mutex<bool>,
    thread: libc::pthread_t,
    injected: AtomicBool,
    exception: Option<Py<PyAny>>,
    thread_id: u64,
}

impl Bell {
    /// Called by the timer thread, which is not attached.
    pub(crate) fn ring(self: &Arc<Self>) {
        if self.exception.is_none() {
            let live = self.live.lock();
            if *live {
                // SAFETY: the thread is alive: it cancels the bell before it goes on.
                unsafe { libc::pthread_kill(self.thread, libc::SIGURG) };
            }
        } else {
            let helper = helper();
            helper.push_first(Lane::Thread, vec![Callback::Bell(Arc::clone(self))]);
            helper.ensure_worker();
        }
    }

    /// Called by an attached thread: the code that is to hear it has not gone on if the bell is live.
    pub(crate) fn inject(&self, _py: Python<'_>) {
        let Some(exception) = &self.exception else { return };
        if *self.live.lock() {
            self.injected.store(true, Ordering::Relaxed);
            // SAFETY: attached; `exception` is a live exception class.
            unsafe {
                ffi::PyThreadState_SetAsyncExc(seat::c_ident(self.thread_id), exception.as_ptr())
            };
        }
    }
}

/// A pool for work that belongs to no runner.
fn helper() -> RunPool {
    static HELPER: Mutex<Option<RunPool>> = Mutex::new(None);
    let generation = runtime::get().generation;
    let mut helper = HELPER.lock();
    match &*helper {
        Some(pool) if pool.tag() == generation => Arc::clone(pool),
        _ => {
            let pool = Pool::new(1, generation, Box::new(PyHost));
            let old = helper.replace(Arc::clone(&pool));
            drop(helper);
            // A pool of the parent process is left alone: its locks may be held for ever.
            std::mem::forget(old);
            pool
        }
    }
}

/// Rings once, on the thread that made it, after so many seconds.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Alarm {
    bell: Arc<Bell>,
}

#[pymethods]
impl Alarm {
    /// With an exception class, that is raised in the thread; without, `SIGURG` is sent to it.
    #[new]
    fn new(py: Python<'_>, seconds: f64, exception: Option<Py<PyAny>>) -> PyResult<Self> {
        let thread_id = boundary::import(py, "threading")?.enter_method0("get_ident")?.extract()?;
        let bell = Arc::new(Bell {
            live: Mutex::new(true),
            // SAFETY: no preconditions.
            thread: unsafe { libc::pthread_self() },
            injected: AtomicBool::new(false),
            exception,
            thread_id,
        });
        let at = clock::now() + timers::nanoseconds(workers::seconds_of(seconds));
        runtime::get().timers.add(at, Entry::Alarm(Arc::clone(&bell)));
        desk::alarm_set();
        Ok(Self { bell })
    }

    /// Nothing is heard of the alarm once this has returned.
    fn cancel(&self, _py: Python<'_>) {
        if !std::mem::replace(&mut *self.bell.live.lock(), false) {
            return;
        }
        desk::alarm_over();
        if self.bell.injected.swap(false, Ordering::Relaxed) {
            let thread = seat::c_ident(self.bell.thread_id);
            // SAFETY: attached; null clears what is pending for this very thread.
            unsafe { ffi::PyThreadState_SetAsyncExc(thread, std::ptr::null_mut()) };
        }
    }
}
