//! How one attempt of a run is made on this thread: from its input to its outcome.
//!
//! Plain runs are a call and nothing else. What raises, returns something unusual or has options that need more
//! goes through `oxtask._internal.engine`, which answers with a code and what goes with it.

use std::sync::Arc;

use oxtask_core::group::{Begun, Outcome};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::boundary::Enter;
use crate::caching::{Found, Missing};
use crate::inputs::{self, Resolve, Unresolved};
use crate::plan::Kind;
use crate::run::{Note, RUNS, Run, Runs, Shape, Spec};
use crate::seat::Seat;
use crate::verdict::{Ended, ended, read_answer};
use crate::workers;
use crate::{boundary, clock, context, error, history, python};

/// Begins and runs one run on this thread, up to the end of an attempt.
pub(crate) fn execute(py: Python<'_>, group: &Runs, index: u32, seat: Option<&Arc<Seat>>) {
    if let Some(begun) = group.begin(index, clock::now()) {
        proceed(py, group, index, begun, seat);
    }
}

/// The input of an attempt.
pub(crate) struct Ready<'py> {
    /// Resolved.
    pub(crate) input: Bound<'py, PyAny>,
    /// As it was before, if there were futures in it.
    pub(crate) given: Option<Py<PyAny>>,
}

/// The input of an attempt, resolved; `None` if the run has ended for want of it.
pub(crate) fn ready_input<'py>(
    py: Python<'py>,
    group: &Runs,
    index: u32,
    attempt: u32,
    input: Bound<'py, PyAny>,
) -> Option<Ready<'py>> {
    let spec = &group.work;
    // A retry finds its input resolved.
    if attempt > 1 || (spec.resolve == Resolve::Nothing && spec.wait_for.is_none()) {
        return Some(Ready { input, given: None });
    }
    let ready = if spec.wait_for.is_none() && spec.resolve == Resolve::Native {
        match resolve(&input, spec.resolve) {
            // Python's walk meets the same error, and says which argument it comes from.
            Err(Unresolved::Error(_)) => {
                python_input(py, group, index, attempt, &input, Resolve::Python)
            }
            ready => ready,
        }
    } else {
        python_input(py, group, index, attempt, &input, spec.resolve)
    };
    match ready {
        Ok(resolved) => Some(Ready { input: resolved, given: Some(input.unbind()) }),
        Err(unresolved) => {
            refuse(py, group, index, attempt, unresolved);
            None
        }
    }
}

/// The same through Python's walk, in the run's own context: it may wait, and must then be known to wait.
fn python_input<'py>(
    py: Python<'py>,
    group: &Runs,
    index: u32,
    attempt: u32,
    input: &Bound<'py, PyAny>,
    how: Resolve,
) -> Result<Bound<'py, PyAny>, Unresolved> {
    let spec = &group.work;
    let given = Some(input.clone().unbind());
    let run = RUNS.make(py, Run::new(Arc::clone(group), index, attempt, None, given))?;
    context::within(py, spec.context.as_ref(), run.as_any(), || {
        if let Some(wait_for) = &spec.wait_for {
            let module = boundary::import(py, "oxtask._internal.inputs")?;
            module.enter_method("check_wait_for", (wait_for,))?;
        }
        resolve(input, how)
    })?
}

/// Notes the begin of a retry that the core makes by itself.
pub(crate) fn begin_retry(group: &Runs, index: u32, attempt: u32) {
    if attempt > 1 && !group.work.rich {
        group.note(index, Note::Retried(clock::now()));
    }
}

/// Looks for the value of a run that uses the cache: whether the engine must go on, and what there was nothing for.
///
/// `None` if the run has ended with what was found.
pub(crate) fn look(
    py: Python<'_>,
    group: &Runs,
    index: u32,
    attempt: u32,
    input: &Bound<'_, PyAny>,
) -> Option<(bool, Option<Missing>)> {
    let spec = &group.work;
    let Some(cache) = &spec.cache else { return Some((spec.rich, None)) };
    let (outcome, output) = match cache.find(py, group.id(index), Some(index), spec.shape, input) {
        Ok(Found::Nothing(missing)) => return Some((spec.rich, Some(missing))),
        Ok(Found::Unknown) => return Some((true, None)),
        Ok(Found::Value(value)) => (Outcome::Cached, value.unbind()),
        Err(error) => (Outcome::Crashed, exception(py, error)),
    };
    settle(py, group, index, attempt, outcome, Some(output));
    None
}

fn proceed(py: Python<'_>, group: &Runs, index: u32, begun: Begun<Spec>, seat: Option<&Arc<Seat>>) {
    let spec = &group.work;
    let attempt = begun.attempt;
    let input = begun.input.into_bound(py);
    let Some(Ready { input, given }) = ready_input(py, group, index, attempt, input) else {
        return;
    };
    if group.pool().is_some_and(|pool| pool.is_cancelled()) {
        // Taken from the queue before the runner was cancelled, and seen by nobody since.
        workers::cancel(py, group, index);
        return;
    }
    begin_retry(group, index, attempt);
    let Some((by_engine, missing)) = look(py, group, index, attempt, &input) else { return };
    let mut run = Run::new(Arc::clone(group), index, attempt, seat, Some(input.clone().unbind()));
    run.given = given;
    let run = match RUNS.make(py, run) {
        Ok(run) => run,
        Err(error) => {
            return settle(py, group, index, attempt, Outcome::Crashed, Some(exception(py, error)));
        }
    };
    if spec.rich && spec.plan.get().has_timeout {
        drop(group.keep(index, attempt, input.clone().unbind()));
    }
    let ended = context::within(py, spec.context.as_ref(), run.as_any(), || {
        if by_engine {
            return drive(py, spec, &run, &input);
        }
        match (&spec.cache, &missing) {
            (Some(cache), Some(missing)) => {
                cache.keep(py, &run, missing, || plain(py, spec, &run, &input, seat))
            }
            _ => plain(py, spec, &run, &input, seat),
        }
    })
    .unwrap_or_else(|error| Ended::Done(Outcome::Crashed, Some(exception(py, error))));
    if by_engine {
        run.get().leave_body(py);
    }
    let attempt = run.get().number();
    drop(run);
    finish(py, group, index, attempt, ended, input);
}

pub(crate) fn finish(
    py: Python<'_>,
    group: &Runs,
    index: u32,
    attempt: u32,
    ended: Ended,
    input: Bound<'_, PyAny>,
) {
    match ended {
        Ended::Done(outcome, output) => {
            drop(input);
            settle(py, group, index, attempt, outcome, output);
        }
        Ended::Delay(seconds) => {
            workers::delay(group, index, attempt, input.unbind(), seconds);
        }
        Ended::Lost => (),
    }
}

/// Takes over a run whose attempt was fenced off: decides on a retry, or ends it.
pub(crate) fn take_over(
    py: Python<'_>,
    group: &Runs,
    index: u32,
    attempt: u32,
    kept: Option<Py<PyAny>>,
    seat: &Arc<Seat>,
) {
    let thread_id = seat.thread_id;
    let spec = &group.work;
    let input = kept.unwrap_or_else(|| py.None()).into_bound(py);
    let ended = Bound::new(py, Run::new(Arc::clone(group), index, attempt, Some(seat), None))
        .and_then(|run| {
            let ended = context::within(py, spec.context.as_ref(), run.as_any(), || {
                let answer = python::engine(py)?.enter_method("expired", (&run, thread_id))?;
                read_answer(&answer)
            })??;
            Ok((ended, run.get().number()))
        })
        .unwrap_or_else(|error| {
            (Ended::Done(Outcome::Crashed, Some(exception(py, error))), attempt)
        });
    finish(py, group, index, ended.1, ended.0, input);
}

/// Calls the body and nothing else.
#[inline]
fn plain(
    py: Python<'_>,
    spec: &Spec,
    run: &Bound<'_, Run>,
    input: &Bound<'_, PyAny>,
    seat: Option<&Arc<Seat>>,
) -> Ended {
    let function = &spec.plan.get().function;
    // The thread can be interrupted for the run while it is in the user's function, and not a moment longer.
    let outer = seat.and_then(|seat| seat.enter(&run.get().group, run.get().index));
    let result = match spec.shape {
        Shape::One => boundary::call_one(py, function, input),
        Shape::Args => boundary::call(py, function, input, None),
        Shape::ArgsKwargs => match split(input) {
            Ok((args, kwargs)) => boundary::call(py, function, &args, Some(kwargs.as_any())),
            Err(error) => Err(error),
        },
    };
    if let Some(seat) = seat {
        seat.exit(py, outer);
    }
    ended(py, false, run, result)
}

/// The coroutine of an async run.
pub(crate) fn coroutine<'py>(
    py: Python<'py>,
    spec: &Spec,
    run: &Bound<'py, Run>,
    input: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let function = &spec.plan.get().function;
    if spec.is_rich_on_loops() {
        let (args, kwargs) = arguments(py, spec.shape, input)?;
        let engine = python::engine(py)?.getattr("arun_attempt")?.unbind();
        let all = PyTuple::new(py, [run.as_any(), args.as_any(), kwargs.as_any()])?;
        return boundary::call(py, &engine, all.as_any(), None);
    }
    match spec.shape {
        Shape::One => boundary::call_one(py, function, input),
        Shape::Args => boundary::call(py, function, input, None),
        Shape::ArgsKwargs => {
            let (args, kwargs) = split(input)?;
            boundary::call(py, function, &args, Some(kwargs.as_any()))
        }
    }
}

/// Runs an attempt through the Python engine, or what the runner has in its place.
fn drive(py: Python<'_>, spec: &Spec, run: &Bound<'_, Run>, input: &Bound<'_, PyAny>) -> Ended {
    let answer = arguments(py, spec.shape, input).and_then(|(args, kwargs)| {
        let plan = spec.plan.get();
        let driver = if plan.kind == Kind::Carried {
            plan.function.clone_ref(py)
        } else {
            python::engine(py)?.getattr("run_attempt")?.unbind()
        };
        let all = PyTuple::new(py, [run.as_any(), args.as_any(), kwargs.as_any()])?;
        boundary::call(py, &driver, all.as_any(), None)
    });
    ended(py, true, run, answer)
}

pub(crate) fn split<'py>(
    pair: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
    let pair = pair.cast::<PyTuple>()?;
    Ok((pair.get_item(0)?, pair.get_item(1)?.cast_into::<PyDict>()?))
}

/// The input as positional and keyword arguments.
pub(crate) fn arguments<'py>(
    py: Python<'py>,
    shape: Shape,
    input: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
    match shape {
        Shape::One => Ok((PyTuple::new(py, [input])?.into_any(), PyDict::new(py))),
        Shape::Args => Ok((input.clone(), PyDict::new(py))),
        Shape::ArgsKwargs => split(input),
    }
}

pub(crate) fn resolve<'py>(
    input: &Bound<'py, PyAny>,
    how: Resolve,
) -> Result<Bound<'py, PyAny>, Unresolved> {
    match how {
        Resolve::Nothing => Ok(input.clone()),
        Resolve::Native => inputs::substitute(input),
        Resolve::Python => {
            let module = boundary::import(input.py(), "oxtask._internal.inputs")?;
            Ok(module.enter_method("resolve_arguments", (input,))?)
        }
    }
}

/// Ends a run whose inputs could not be had.
fn refuse(py: Python<'_>, group: &Runs, index: u32, attempt: u32, unresolved: Unresolved) {
    let result =
        Bound::new(py, Run::new(Arc::clone(group), index, attempt, None, None)).and_then(|run| {
            let engine = python::engine(py)?;
            context::within(py, group.work.context.as_ref(), run.as_any(), || {
                let answer = match unresolved {
                    Unresolved::Upstream(future) => {
                        engine.enter_method("not_ready", (&run, future))
                    }
                    Unresolved::Error(error) => {
                        engine.enter_method("unresolved", (&run, error.into_value(py)))
                    }
                };
                answer.and_then(|answer| read_answer(&answer))
            })?
        });
    match result {
        Ok(Ended::Done(outcome, output)) => settle(py, group, index, attempt, outcome, output),
        Ok(_) => (),
        Err(error) => {
            settle(py, group, index, attempt, Outcome::Crashed, Some(exception(py, error)));
        }
    }
}

/// Ends a run and calls its callbacks; an output that comes too late is dropped.
#[inline]
pub(crate) fn settle(
    py: Python<'_>,
    group: &Runs,
    index: u32,
    attempt: u32,
    outcome: Outcome,
    output: Option<Py<PyAny>>,
) {
    if group.work.recorded
        && outcome.has_value()
        && let Some(value) = &output
    {
        history::produced(py, group, index, value);
    }
    match group.settle(index, attempt, outcome, output, clock::now()) {
        Ok(settled) => {
            drop(settled.kept);
            for callback in settled.callbacks {
                callback.run(py);
            }
        }
        Err(late) => drop(late),
    }
}

pub(crate) fn exception(py: Python<'_>, raised: PyErr) -> Py<PyAny> {
    error::object(py, raised)
}
