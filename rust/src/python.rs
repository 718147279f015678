//! What the core needs of the package's Python half, looked up once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::boundary::{self, Enter};
use crate::error;
use crate::futures::TaskRunFuture;

static ENGINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static STATE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The module `oxtask._internal.engine`.
pub(crate) fn engine(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let engine = ENGINE.get_or_try_init(py, || {
        boundary::import(py, "oxtask._internal.engine").map(|module| module.into_any().unbind())
    })?;
    Ok(engine.bind(py))
}

/// Tells the core which class run states are of. Before that, no value is one.
#[pyfunction]
pub(crate) fn register_state_class(py: Python<'_>, class: Bound<'_, PyType>) {
    let _ = STATE.set(py, class.unbind());
}

/// Whether `value` is a run state.
#[inline]
pub(crate) fn is_state(value: &Bound<'_, PyAny>) -> bool {
    match STATE.get(value.py()) {
        Some(class) => value.get_type().is(class),
        None => false,
    }
}

static FUTURES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Runs a few instructions of Python code, in which an injected exception is raised.
pub(crate) fn breathe(py: Python<'_>) -> PyResult<()> {
    futures(py)?.enter_method0("breathe").map(drop)
}

/// The module `oxtask._internal.outcomes`: what futures say of ended runs.
pub(crate) fn futures(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let module = FUTURES.get_or_try_init(py, || {
        boundary::import(py, "oxtask._internal.outcomes").map(|module| module.into_any().unbind())
    })?;
    Ok(module.bind(py))
}

/// Adds the futures that Python's walk finds in `value`.
pub(crate) fn extend_futures(
    py: Python<'_>,
    value: &Py<PyAny>,
    found: &mut Vec<Py<TaskRunFuture>>,
) {
    let futures = boundary::import(py, "oxtask._internal.inputs")
        .and_then(|module| module.enter_method("native_futures", (value,)))
        .and_then(|futures| futures.extract::<Vec<Py<TaskRunFuture>>>());
    match futures {
        Ok(futures) => found.extend(futures),
        Err(raised) => error::unraisable(py, &raised),
    }
}

/// A callback of a future raised: the error is logged, and nobody else is disturbed.
pub(crate) fn callback_failed(py: Python<'_>, raised: &PyErr) {
    let told =
        futures(py).and_then(|module| module.enter_method("callback_failed", (raised.value(py),)));
    if told.is_err() {
        error::unraisable(py, raised);
    }
}
