//! `RunTask`: drives the coroutine of an async run, in the place of an `asyncio.Task`.
//!
//! The coroutine is stepped in the run's own context. As long as it does not suspend, no callback is scheduled and
//! no waiter made. While it runs, `asyncio.current_task()` is the `RunTask`, which can be cancelled, counted
//! and asked like a task; what it waits for and how it is woken follows the protocol of `asyncio` futures.

mod steps;

use std::sync::Arc;

use oxtask_core::pool::Lane;
use oxtask_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub(crate) use self::steps::{resume, start};
use crate::boundary::{self, Enter};
use crate::loops::Seat;
use crate::run::{Run, Runs};
use crate::workers::{Callback, RunPool};

#[derive(Default)]
struct Progress {
    waiter: Option<Py<PyAny>>,
    must_cancel: bool,
    cancel_message: Option<Py<PyAny>>,
    cancelling: u32,
    suspended: bool,
    done: bool,
    callbacks: Vec<(Py<PyAny>, Option<Py<PyAny>>)>,
}

#[pyclass(frozen, weakref, module = "oxtask._core")]
pub(crate) struct RunTask {
    run: Py<Run>,
    pool: RunPool,
    context: Py<PyAny>,
    coroutine: Py<PyAny>,
    input: Py<PyAny>,
    seat: Arc<Seat>,
    progress: Mutex<Progress>,
}

/// Makes the drivers of coroutines.
static TASKS: boundary::Maker<RunTask> = boundary::Maker::new();

impl RunTask {
    pub(crate) fn is_of(&self, group: &Runs, index: u32) -> bool {
        let run = self.run.get();
        Arc::ptr_eq(&run.group, group) && run.index == index
    }

    pub(crate) fn run(&self) -> (Runs, u32) {
        let run = self.run.get();
        (Arc::clone(&run.group), run.index)
    }

    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.seat.event_loop(py)
    }
}

#[pymethods]
impl RunTask {
    #[pyo3(signature = (msg=None))]
    fn cancel(&self, py: Python<'_>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let waiter = {
            let mut progress = self.progress.lock();
            if progress.done {
                return Ok(false);
            }
            progress.cancelling += 1;
            progress.waiter.as_ref().map(|waiter| waiter.clone_ref(py))
        };
        if let Some(waiter) = waiter {
            let arguments = PyDict::new(py);
            arguments.set_item("msg", &msg)?;
            if waiter.bind(py).call_method("cancel", (), Some(&arguments))?.is_truthy()? {
                return Ok(true);
            }
        }
        let old = {
            let mut progress = self.progress.lock();
            progress.must_cancel = true;
            std::mem::replace(&mut progress.cancel_message, msg)
        };
        drop(old);
        Ok(true)
    }

    fn cancelling(&self) -> u32 {
        self.progress.lock().cancelling
    }

    fn uncancel(&self) -> u32 {
        let mut progress = self.progress.lock();
        progress.cancelling = progress.cancelling.saturating_sub(1);
        if progress.cancelling == 0 {
            progress.must_cancel = false;
        }
        progress.cancelling
    }

    fn done(&self) -> bool {
        self.progress.lock().done
    }

    #[allow(clippy::unused_self)] // the protocol of tasks: it is a method
    fn cancelled(&self) -> bool {
        false
    }

    #[pyo3(signature = (function, *, context=None))]
    fn add_done_callback(
        slf: Bound<'_, Self>,
        function: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let this = slf.get();
        let done = {
            let mut progress = this.progress.lock();
            if !progress.done {
                progress.callbacks.push((function, context));
                return Ok(());
            }
            (function, context)
        };
        schedule(&slf, done)
    }

    fn remove_done_callback(&self, py: Python<'_>, function: Py<PyAny>) -> PyResult<usize> {
        let taken = std::mem::take(&mut self.progress.lock().callbacks);
        let before = taken.len();
        let mut kept = Vec::new();
        for callback in taken {
            if !callback.0.bind(py).eq(&function)? {
                kept.push(callback);
            }
        }
        let removed = before - kept.len();
        self.progress.lock().callbacks = kept;
        Ok(removed)
    }

    fn get_coro(&self, py: Python<'_>) -> Py<PyAny> {
        self.coroutine.clone_ref(py)
    }

    fn get_context(&self, py: Python<'_>) -> Py<PyAny> {
        self.context.clone_ref(py)
    }

    fn get_loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.seat.event_loop(py)
    }

    fn get_name(&self) -> String {
        format!("oxtask-run-{:032x}", self.run.get().group.id(self.run.get().index))
    }

    #[getter]
    fn _fut_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.progress.lock().waiter.as_ref().map(|waiter| waiter.clone_ref(py))
    }

    #[getter]
    fn _must_cancel(&self) -> bool {
        self.progress.lock().must_cancel
    }

    /// Gives up the slot of the run while it awaits another run.
    fn _give_slot(&self) {
        self.pool.release_slot();
    }

    /// Takes a slot again: at once if one is free, else ahead of new work; `function()` is then called.
    ///
    /// True if the slot was taken at once.
    fn _take_slot(&self, function: Py<PyAny>) -> bool {
        if self.pool.try_slot() {
            return true;
        }
        self.pool.push_first(Lane::Loop, vec![Callback::Grant(function)]);
        false
    }

    /// Takes a slot even if none is free, for a coroutine that is cancelled while it waits for one.
    fn _force_slot(&self) {
        self.pool.force_slot();
    }

    /// Called by the future that the coroutine waits for.
    fn _wakeup(slf: Bound<'_, Self>, future: &Bound<'_, PyAny>) {
        let py = slf.py();
        let this = slf.get();
        let raised = future.enter_method0("result").err();
        let _stepping = this.seat.stepping(py);
        resume(py, &slf, raised);
    }
}

fn schedule(task: &Bound<'_, RunTask>, callback: (Py<PyAny>, Option<Py<PyAny>>)) -> PyResult<()> {
    let py = task.py();
    let (function, context) = callback;
    let arguments = PyDict::new(py);
    if let Some(context) = context {
        arguments.set_item("context", context)?;
    }
    let event_loop = task.get().event_loop(py);
    event_loop.call_method("call_soon", (function, task), Some(&arguments)).map(drop)
}
