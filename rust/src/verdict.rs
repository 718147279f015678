//! What becomes of an attempt whose body has returned or raised.

use oxtask_core::group::Outcome;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::attempt::exception;
use crate::boundary::{self, Enter};
use crate::run::Run;
use crate::{inputs, python};

/// What an attempt came to.
pub(crate) enum Ended {
    Done(Outcome, Option<Py<PyAny>>),
    /// Not yet: the next attempt begins after so many seconds.
    Delay(f64),
    /// Somebody else ended the run.
    Lost,
}

/// What a body or an engine that returned or raised makes of the attempt.
#[inline]
pub(crate) fn ended(
    py: Python<'_>,
    rich: bool,
    run: &Bound<'_, Run>,
    result: PyResult<Bound<'_, PyAny>>,
) -> Ended {
    match result {
        answer if rich => {
            let ended = answered(py, answer);
            if !matches!(ended, Ended::Done(outcome, _) if outcome.has_value()) {
                // The engine's frames, which the exception keeps, have the run in their variables.
                Run::link(run);
            }
            ended
        }
        Ok(value) if is_plain(&value) && !run.get().had_transaction() => {
            match completing(py, run, &value) {
                Some(ended) => ended,
                None => Ended::Done(Outcome::Completed, Some(value.unbind())),
            }
        }
        Ok(value) => judge(py, run, "returned", value),
        Err(error) => {
            let is_failure = error.is_instance_of::<pyo3::exceptions::PyException>(py);
            let error = error.into_value(py).into_any();
            if is_failure
                && run.get().group.work.plan.get().retries > 0
                && !run.get().had_transaction()
                && let Some(delay) = run.get().retry_after(py, error.clone_ref(py))
            {
                return Ended::Delay(delay);
            }
            judge(py, run, "raised", error.into_bound(py))
        }
    }
}

/// Has the line of a run written that is about to complete, if somebody reads it.
///
/// Returns how the run has ended instead, if it has: it was taken away, or the line could not be written.
#[inline]
fn completing(py: Python<'_>, run: &Bound<'_, Run>, value: &Bound<'_, PyAny>) -> Option<Ended> {
    let write = run.get().group.work.plan.get().completing.as_ref()?;
    write_line(py, write, run, value)
}

#[cold]
fn write_line(
    py: Python<'_>,
    write: &Py<PyAny>,
    run: &Bound<'_, Run>,
    value: &Bound<'_, PyAny>,
) -> Option<Ended> {
    if !run.get().seal(py) {
        return Some(Ended::Lost);
    }
    let error = boundary::call_two(py, write, run.as_any(), value).err()?;
    // The frames of the traceback have the run in their variables.
    Run::link(run);
    Some(Ended::Done(Outcome::Crashed, Some(exception(py, error))))
}

/// Asks the Python engine what an exception or an unusual return value means.
fn judge(py: Python<'_>, run: &Bound<'_, Run>, what: &str, value: Bound<'_, PyAny>) -> Ended {
    let answer = python::engine(py).and_then(|engine| engine.enter_method(what, (run, &value)));
    answered(py, answer)
}

/// What the Python engine says, or that it has failed itself.
pub(crate) fn answered(py: Python<'_>, answer: PyResult<Bound<'_, PyAny>>) -> Ended {
    answer
        .and_then(|answer| read_answer(&answer))
        .unwrap_or_else(|error| Ended::Done(Outcome::Crashed, Some(exception(py, error))))
}

/// What a direct call returns or raises, and how its run ended.
pub(crate) type Answer<'py> = (PyResult<Bound<'py, PyAny>>, (Outcome, Bound<'py, PyAny>));

/// The end of a direct call that returned a plain value.
#[inline]
pub(crate) fn complete_direct<'py>(
    py: Python<'py>,
    run: &Bound<'py, Run>,
    value: Bound<'py, PyAny>,
) -> Answer<'py> {
    let otherwise = completing(py, run, &value);
    unless(py, (Ok(value.clone()), (Outcome::Completed, value)), otherwise)
}

/// The answer of a direct call, unless its run has failed after its body.
pub(crate) fn unless<'py>(
    py: Python<'py>,
    answer: Answer<'py>,
    otherwise: Option<Ended>,
) -> Answer<'py> {
    match otherwise {
        Some(Ended::Done(outcome, Some(error))) if !outcome.has_value() => {
            let error = error.into_bound(py);
            (Err(PyErr::from_value(error.clone())), (outcome, error))
        }
        // Of a run that somebody else has ended, the value is dropped when it is settled.
        _ => answer,
    }
}

/// What the engine makes of a direct call, which hands the result or the exception itself to the caller.
pub(crate) fn judge_direct<'py>(
    py: Python<'py>,
    run: &Bound<'py, Run>,
    result: PyResult<Bound<'py, PyAny>>,
) -> Answer<'py> {
    let (what, value) = match &result {
        Ok(value) => ("returned", value.clone()),
        Err(raised) => ("raised", raised.value(py).clone().into_any()),
    };
    match judge(py, run, what, value.clone()) {
        Ended::Done(outcome, output) => {
            let output = output.map_or(value, |output| output.into_bound(py));
            // A state that the body chose goes to the caller as the body returned it.
            let answer = match outcome {
                outcome if outcome.has_value() => result.map(|_| output.clone()),
                _ => result,
            };
            (answer, (outcome, output))
        }
        Ended::Delay(_) | Ended::Lost => (result, (Outcome::Crashed, value)),
    }
}

/// Whether a returned value is the result as it stands: no state, no list of states, no generator.
#[inline]
pub(crate) fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    if inputs::is_scalar(value) {
        return true;
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        return list.get_item(0).map_or(true, |first| !python::is_state(&first));
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return tuple.get_borrowed_item(0).map_or(true, |first| !python::is_state(&first));
    }
    if value.is_instance_of::<pyo3::types::PySet>() {
        let set = value.try_iter().ok().and_then(|mut items| items.next());
        return !matches!(set, Some(Ok(first)) if python::is_state(&first));
    }
    // SAFETY: reads the address of a static type.
    let generator = unsafe { pyo3::ffi::PyGen_CheckExact(value.as_ptr()) } != 0;
    !generator && !python::is_state(value)
}

/// Reads the answer of the Python engine: a code and what goes with it.
pub(crate) fn read_answer(answer: &Bound<'_, PyAny>) -> PyResult<Ended> {
    let (code, value): (u8, Bound<'_, PyAny>) = answer.extract()?;
    let outcome = match code {
        0 => Outcome::Completed,
        1 => Outcome::Failed,
        2 => Outcome::TimedOut,
        3 => Outcome::Crashed,
        4 => Outcome::Cancelled,
        5 => Outcome::NotReady,
        6 => Outcome::Chosen { failed: false },
        7 => Outcome::Chosen { failed: true },
        8 => Outcome::Cached,
        13 => return Ok(Ended::Delay(value.extract()?)),
        _ => return Ok(Ended::Lost),
    };
    Ok(Ended::Done(outcome, Some(value.unbind())))
}
