//! Context variables: the run and the runner that code finds itself in.

use std::ptr;

use oxtask_core::sync::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::error;

/// The variables of this module; Python reads them as `_core.current_run` and so on.
pub(crate) struct Variables {
    pub(crate) run: Py<PyAny>,
    pub(crate) runner: Py<PyAny>,
    /// Set where results of runs are kept, or transactions open: what runs there needs the Python engine.
    pub(crate) keeping: Py<PyAny>,
}

static VARIABLES: PyOnceLock<Variables> = PyOnceLock::new();

pub(crate) fn variables(py: Python<'_>) -> &Variables {
    VARIABLES.get_or_init(py, || Variables {
        run: new_variable(py, c"oxtask_run"),
        runner: new_variable(py, c"oxtask_runner"),
        keeping: new_variable(py, c"oxtask_keeping"),
    })
}

fn new_variable(py: Python<'_>, name: &std::ffi::CStr) -> Py<PyAny> {
    // SAFETY: attached; without a default the value pointer is null. Creation fails only out of memory.
    unsafe { Bound::from_owned_ptr(py, ffi::PyContextVar_New(name.as_ptr(), ptr::null_mut())) }
        .unbind()
}

/// The value of a variable in the current context.
pub(crate) fn get<'py>(py: Python<'py>, variable: &Py<PyAny>) -> Option<Bound<'py, PyAny>> {
    let mut value = ptr::null_mut();
    // SAFETY: attached; `variable` is a context variable, so the only error is one of memory, and then `value` stays
    // null.
    unsafe {
        ffi::PyContextVar_Get(variable.as_ptr(), ptr::null_mut(), &raw mut value);
        Bound::from_owned_ptr_or_opt(py, value)
    }
}

/// Sets a variable in the current context.
pub(crate) fn set(py: Python<'_>, variable: &Py<PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: attached; the token is owned and dropped.
    unsafe {
        let token = ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr());
        Bound::from_owned_ptr_or_err(py, token).map(drop)
    }
}

/// A copy of the current context.
pub(crate) fn snapshot(py: Python<'_>) -> PyResult<Py<PyAny>> {
    // SAFETY: attached; the result is owned or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }.map(Bound::unbind)
}

/// The last context that a run was submitted in, outside of other runs.
static LAST: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// A copy of the current context that is not to be entered: the one of the submit before, if nothing was set since.
///
/// A context is an object that the garbage collector looks at: one for each of a million futures would cost more
/// than the runs.
pub(crate) fn shared_snapshot(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static ROOT: PyOnceLock<Option<usize>> = PyOnceLock::new();
    let copy = snapshot(py)?;
    let Some(place) = *ROOT.get_or_init(py, || root(py).ok().flatten()) else { return Ok(copy) };
    let last = LAST.lock().as_ref().map(|last| last.clone_ref(py));
    if let Some(last) = last
        && word(&last, place) == word(&copy, place)
    {
        return Ok(last);
    }
    // What a run sets in its own context goes with the run.
    if get(py, &variables(py).run).is_none() {
        let old = LAST.lock().replace(copy.clone_ref(py));
        drop(old);
    }
    Ok(copy)
}

/// Lets go of the context that [`shared_snapshot`] keeps.
pub(crate) fn forget_last() {
    let last = LAST.lock().take();
    drop(last);
}

/// Where a context object keeps the pointer to its immutable map; `None` if that cannot be told.
///
/// Equal pointers in two live contexts mean equal contents. Found by looking: the layout is not part of the API.
fn root(py: Python<'_>) -> PyResult<Option<usize>> {
    // SAFETY: attached; the result is owned or null with an error set.
    let new =
        || unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_New()) }.map(Bound::unbind);
    let (empty, filled) = (new()?, new()?);
    let run = &variables(py).run;
    enter(py, filled.bind(py), || set(py, run, py.None().bind(py)))??;
    let same = copy(py, Some(&filled))?.unbind();
    let other = copy(py, Some(&filled))?.unbind();
    enter(py, other.bind(py), || set(py, run, PyTuple::empty(py).as_any()))??;
    // SAFETY: a type object is alive as long as its instances.
    let size = unsafe { (*ffi::Py_TYPE(empty.as_ptr())).tp_basicsize };
    let first = size_of::<ffi::PyObject>() / WORD;
    let mut places = (first..size.unsigned_abs() / WORD).filter(|&place| {
        let at = |context: &Py<PyAny>| word(context, place);
        at(&filled) == at(&same) && at(&filled) != at(&empty) && at(&filled) != at(&other)
    });
    Ok(places.next().filter(|_| places.next().is_none()))
}

const WORD: usize = size_of::<usize>();

/// A word of a context object.
fn word(context: &Py<PyAny>, place: usize) -> usize {
    // SAFETY: attached wherever there is a `Py` to look at; `place` is within the object, by `root`.
    unsafe { context.as_ptr().cast::<usize>().add(place).read() }
}

/// A copy of `base`, or of the current context.
#[inline]
pub(crate) fn copy<'py>(py: Python<'py>, base: Option<&Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; the copy is owned or null with an error set.
    unsafe {
        let copy = match base {
            Some(base) => ffi::PyContext_Copy(base.as_ptr()),
            None => ffi::PyContext_CopyCurrent(),
        };
        Bound::from_owned_ptr_or_err(py, copy)
    }
}

/// Runs `body` in a copy of `base` (or of the current context), with the run variable set to `run`.
#[inline]
pub(crate) fn within<'py, T>(
    py: Python<'py>,
    base: Option<&Py<PyAny>>,
    run: &Bound<'py, PyAny>,
    body: impl FnOnce() -> T,
) -> PyResult<T> {
    let copy = copy(py, base)?;
    enter(py, &copy, || {
        set(py, &variables(py).run, run)?;
        Ok(body())
    })?
}

/// Runs `body` with `context` entered.
#[inline]
pub(crate) fn enter<T>(
    py: Python<'_>,
    context: &Bound<'_, PyAny>,
    body: impl FnOnce() -> T,
) -> PyResult<T> {
    // SAFETY: attached; `context` is a context object. What was entered is left on this thread, in order: `body`
    // has returned, and a panic in it ends at the boundary above, where the process's state no longer matters.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        let result = body();
        if ffi::PyContext_Exit(context.as_ptr()) != 0 {
            error::unraisable(py, &PyErr::fetch(py));
        }
        Ok(result)
    }
}
