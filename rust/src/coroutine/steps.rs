//! The steps of a coroutine, from the begin of its run to the end.

use std::sync::Arc;

use oxtask_core::group::Outcome;
use oxtask_core::sync::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Progress, RunTask, TASKS, schedule};
use crate::attempt::Ready;
use crate::boundary::{self, Enter, Sent};
use crate::loops::{self, Seat};
use crate::run::{self, Run, Runs};
use crate::verdict::{self, Ended};
use crate::workers::RunPool;
use crate::{attempt, clock, context, error, python};

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
    if attempt::look(py, group, index, attempt, &ready.input).is_none() {
        return false;
    }
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
    let mut run = Run::new(Arc::clone(group), index, attempt, None, Some(input.clone().unbind()));
    run.given = given;
    let run = run::RUNS.make(py, run)?;
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
    let ended = context::enter(py, this.context.bind(py), || {
        verdict::ended(py, spec.is_rich_on_loops(), run, result)
    })
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
