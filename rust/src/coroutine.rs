//! `RunTask`: drives the coroutine of an async run, in the place of an `asyncio.Task`.
//!
//! The coroutine is stepped in the run's own context. As long as it does not suspend, no callback is scheduled and
//! no waiter made. While it runs, `asyncio.current_task()` is the `RunTask`, which can be cancelled, counted
//! and asked like a task; what it waits for and how it is woken follows the protocol of `asyncio` futures.

use std::sync::Arc;

use oxtask_core::group::Outcome;
use oxtask_core::pool::Lane;
use oxtask_core::sync::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::attempt::{Ended, Ready};
use crate::boundary::{self, Enter, Sent};
use crate::loops::{self, Seat};
use crate::run::{self, Run, Runs};
use crate::workers::{Callback, RunPool};
use crate::{attempt, clock, context, error, python};

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

/// Begins a run on this loop; true if it has suspended, and so keeps its slot.
pub(crate) fn start(
    py: Python<'_>,
    seat: &Arc<Seat>,
    pool: &RunPool,
    group: &Runs,
    index: u32,
) -> bool {
    let Some(begun) = group.begin(index, clock::now()) else { return false };
    let attempt = begun.attempt;
    let Some(ready) = attempt::ready_input(py, group, index, attempt, begun.input.into_bound(py))
    else {
        return false;
    };
    attempt::begin_retry(group, index, attempt);
    match prepare(py, seat, pool, group, index, attempt, ready) {
        Ok(task) => {
            resume(py, &task, None);
            task.get().progress.lock().suspended
        }
        Err(raised) => {
            let raised = error::object(py, raised);
            attempt::settle(py, group, index, attempt, Outcome::Failed, Some(raised));
            false
        }
    }
}

fn prepare<'py>(
    py: Python<'py>,
    seat: &Arc<Seat>,
    pool: &RunPool,
    group: &Runs,
    index: u32,
    attempt: u32,
    ready: Ready<'py>,
) -> PyResult<Bound<'py, RunTask>> {
    let spec = &group.work;
    let Ready { input, given } = ready;
    let run = Run::new(Arc::clone(group), index, attempt, None, Some(input.clone().unbind()));
    let run = run::RUNS.make(py, run.given(given))?;
    let context = context::copy(py, spec.context.as_ref())?;
    let coroutine = context::enter(py, &context, || {
        context::set(py, &context::variables(py).run, run.as_any())?;
        attempt::coroutine(py, spec, &run, &input)
    })??;
    let task = RunTask {
        run: run.unbind(),
        pool: Arc::clone(pool),
        context: context.unbind(),
        coroutine: coroutine.unbind(),
        input: input.unbind(),
        seat: Arc::clone(seat),
        progress: Mutex::new(Progress::default()),
    };
    TASKS.make(py, task)
}

/// Steps a coroutine, with an exception if `raised`, and sees to what it asks for.
pub(crate) fn resume(py: Python<'_>, task: &Bound<'_, RunTask>, raised: Option<PyErr>) {
    let this = task.get();
    let (cancelled, waiter, message) = {
        let mut progress = this.progress.lock();
        let waiter = progress.waiter.take();
        let message = progress.cancel_message.take();
        (std::mem::take(&mut progress.must_cancel), waiter, message)
    };
    drop(waiter);
    let raised = if cancelled { Some(cancelled_error(py, message)) } else { raised };
    let outer = this.seat.now_stepping(Some(task.clone().unbind()));
    let answer = loops::step(&this.pool, || step(task, raised));
    let stepped = this.seat.now_stepping(outer);
    drop(stepped);
    let error = match answer {
        Sent::Yielded(what) => match suspend(task, &what) {
            Ok(()) => return,
            Err(error) => error,
        },
        Sent::Returned(value) => return end(py, task, Ok(value)),
        Sent::Raised(error) => return end(py, task, Err(error)),
    };
    // What it yielded cannot be waited for: the coroutine hears of it.
    resume(py, task, Some(error));
}

fn step<'py>(task: &Bound<'py, RunTask>, raised: Option<PyErr>) -> Sent<'py> {
    let (py, this) = (task.py(), task.get());
    let answer = this.seat.as_current(task, || {
        context::enter(py, this.context.bind(py), || match raised {
            None => boundary::send(py, &this.coroutine, py.None().bind(py)),
            Some(error) => throw(py, &this.coroutine, error),
        })
    });
    answer.and_then(|sent| sent).unwrap_or_else(Sent::Raised)
}

fn throw<'py>(py: Python<'py>, coroutine: &Py<PyAny>, error: PyErr) -> Sent<'py> {
    let arguments = (error.into_value(py),).into_pyobject(py);
    let thrown = arguments.and_then(|arguments| {
        let throw = coroutine.getattr(py, "throw")?;
        boundary::call(py, &throw, arguments.as_any(), None)
    });
    match thrown {
        Ok(what) => Sent::Yielded(what),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) => {
            match error.value(py).getattr("value") {
                Ok(value) => Sent::Returned(value),
                Err(error) => Sent::Raised(error),
            }
        }
        Err(error) => Sent::Raised(error),
    }
}

/// Makes what the coroutine yielded wake it up.
fn suspend(task: &Bound<'_, RunTask>, what: &Bound<'_, PyAny>) -> PyResult<()> {
    let this = task.get();
    this.progress.lock().suspended = true;
    if what.is_none() {
        this.seat.resume_later(task.clone().unbind());
        return Ok(());
    }
    let blocking = what.getattr("_asyncio_future_blocking").ok();
    if !blocking.is_some_and(|blocking| blocking.is_truthy().unwrap_or(false)) {
        let shown: String = what.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
        let message =
            format!("Task got bad yield: {shown:.200}; await an asyncio future or coroutine");
        return Err(PyRuntimeError::new_err(message));
    }
    if !what.enter_method0("get_loop")?.is(this.event_loop(what.py())) {
        let message = "an async task awaited a future of another event loop; submitted async tasks run \
                       on event loops of oxtask, so make the future inside the task";
        return Err(PyRuntimeError::new_err(message));
    }
    what.setattr("_asyncio_future_blocking", false)?;
    what.enter_method("add_done_callback", (task.getattr("_wakeup")?,))?;
    let must_cancel = {
        let mut progress = this.progress.lock();
        progress.waiter = Some(what.clone().unbind());
        progress.must_cancel
    };
    if must_cancel && what.enter_method0("cancel")?.is_truthy()? {
        this.progress.lock().must_cancel = false;
    }
    this.seat.forget(task);
    this.seat.suspend(task.clone().unbind());
    Ok(())
}

fn cancelled_error(py: Python<'_>, message: Option<Py<PyAny>>) -> PyErr {
    let class =
        boundary::import(py, "asyncio").and_then(|asyncio| asyncio.getattr("CancelledError"));
    let made = class.and_then(|class| match message {
        Some(message) => class.enter((message,)),
        None => class.enter0(),
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

/// The coroutine has ended.
fn end(py: Python<'_>, task: &Bound<'_, RunTask>, result: PyResult<Bound<'_, PyAny>>) {
    let this = task.get();
    let run = this.run.bind(py);
    let held = run.get();
    let spec = &held.group.work;
    let ended =
        context::enter(py, this.context.bind(py), || attempt::ended(py, spec.rich, run, result))
            .unwrap_or_else(|error| Ended::Done(Outcome::Crashed, Some(error::object(py, error))));
    let (suspended, callbacks) = {
        let mut progress = this.progress.lock();
        progress.done = true;
        let suspended = std::mem::take(&mut progress.suspended);
        (suspended, std::mem::take(&mut progress.callbacks))
    };
    if suspended {
        this.seat.forget(task);
    }
    let input = this.input.bind(py).clone();
    attempt::finish(py, &held.group, held.index, held.number(), ended, input);
    if suspended {
        this.pool.release_slot();
    }
    for callback in callbacks {
        if let Err(raised) = schedule(task, callback) {
            python::callback_failed(py, &raised);
        }
    }
}
