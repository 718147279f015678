//! The native floor: what a tracked run cannot do without, in the tightest loop we can write.
//!
//! For each item: two time stamps, a copy of a context, entering it, setting one context variable,
//! calling the function, leaving the context, and one small future object that holds the result.
//! No queue, no threads, no states, no dependencies. `compare.py` shows it beside the package:
//! the distance between the two is what scheduling costs.

use std::time::Instant;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// A settled run: its result, and when it started and ended (nanoseconds since the loop began).
#[pyclass(frozen)]
struct Future {
    value: Py<PyAny>,
    started: u64,
    ended: u64,
}

#[pymethods]
impl Future {
    /// Return the value that the function returned.
    fn result(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.clone_ref(py)
    }

    /// Nanoseconds between the two time stamps.
    #[getter]
    fn duration(&self) -> u64 {
        self.ended - self.started
    }
}

/// A context that the current thread has entered; leaves it on drop, also when the call raised.
struct Entered<'py>(Bound<'py, PyAny>);

impl<'py> Entered<'py> {
    /// Copies `base`, enters the copy and sets `variable` to `value` in it.
    fn enter(
        base: &Bound<'py, PyAny>,
        variable: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let py = base.py();
        // SAFETY: `run` has checked that `base` is a `Context`. PyContext_Copy returns an owned
        // reference or null with an exception set, which is what from_owned_ptr_or_err takes.
        let copy = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_Copy(base.as_ptr()))? };
        // SAFETY: `copy` is a context that nobody else knows, so it cannot be entered already.
        if unsafe { ffi::PyContext_Enter(copy.as_ptr()) } != 0 {
            return Err(PyErr::fetch(py));
        }
        let entered = Self(copy);
        // SAFETY: `run` has checked that `variable` is a `ContextVar`. The token is an owned
        // reference or null with an exception set; it is dropped at once.
        unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr()),
            )?;
        }
        Ok(entered)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: this context was entered last on this thread: `Entered` values nest with the
        // loop body and the called function restores what it enters.
        if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } != 0 {
            PyErr::fetch(self.0.py()).write_unraisable(self.0.py(), Some(&self.0));
        }
    }
}

/// Takes a new future off the cycle collector's list.
///
/// `PyO3` makes every class a collected one; a million tracked futures cost more in collections
/// (about 350 ns each on a map of 1 M) than all the rest of this loop.
fn untracked(future: Bound<'_, Future>) -> Bound<'_, PyAny> {
    // SAFETY: a live object of a collected type; untracking an untracked object is allowed, and
    // deallocation does just that. A cycle through such a future is leaked, not unsafe.
    unsafe { ffi::PyObject_GC_UnTrack(future.as_ptr().cast()) };
    future.into_any()
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Calls `function(item)` for each item of `items` and returns a list: of futures with `future`,
/// else of results. `context`, `future` and `stamps` leave out one part each, to see its price.
#[pyfunction]
#[pyo3(signature = (function, items, base, variable, value, *, context=true, future=true, stamps=true))]
#[allow(clippy::too_many_arguments)] // a flat signature is what Python callers see
fn run<'py>(
    function: &Bound<'py, PyAny>,
    items: &Bound<'py, PyList>,
    base: &Bound<'py, PyAny>,
    variable: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    context: bool,
    future: bool,
    stamps: bool,
) -> PyResult<Bound<'py, PyList>> {
    let py = function.py();
    // SAFETY: both are plain type checks of live objects.
    let (is_context, is_variable) = unsafe {
        (
            ffi::PyContext_CheckExact(base.as_ptr()) != 0,
            ffi::PyContextVar_CheckExact(variable.as_ptr()) != 0,
        )
    };
    if !is_context || !is_variable {
        return Err(PyTypeError::new_err(
            "base must be a contextvars.Context and variable a contextvars.ContextVar",
        ));
    }
    let begin = Instant::now();
    let stamp = || if stamps { nanoseconds(begin) } else { 0 };
    let mut settled = Vec::with_capacity(items.len());
    for item in items.iter() {
        let started = stamp();
        let entered = context.then(|| Entered::enter(base, variable, value)).transpose()?;
        let result = function.call1((item,))?;
        drop(entered);
        let ended = stamp();
        settled.push(if future {
            let run = Future { value: result.unbind(), started, ended };
            untracked(Bound::new(py, run)?)
        } else {
            std::hint::black_box((started, ended));
            result
        });
    }
    PyList::new(py, settled)
}

#[pymodule]
mod oxtask_floor {
    #[pymodule_export]
    use super::{Future, run};
}
