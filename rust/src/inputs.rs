//! Walking arguments: which futures they hold, and the arguments with results in their place.
//!
//! The walk enters exact lists, tuples, dicts and sets. What it meets in a run of a million items is nearly always
//! a scalar, and costs a comparison of type pointers. Types that Python must judge (annotations, states, dataclasses,
//! models, subclasses of containers) are judged once by `oxtask._internal.inputs.kind_of` and remembered; values of
//! such types send the whole argument list through the Python walk.

use std::collections::HashMap;

use oxtask_core::group::Phase;
use oxtask_core::sync::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyTuple, PyType};

use crate::attempt;
use crate::boundary::{self, Enter};
use crate::futures::TaskRunFuture;

/// What must be done to arguments before the body sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resolve {
    /// Nothing: there is no future in them.
    #[default]
    Nothing,
    /// Futures stand in lists, tuples and dicts only.
    Native,
    /// Python's walk is needed.
    Python,
}

#[derive(Clone, Copy)]
enum Kind {
    Leaf,
    Future,
    List,
    Tuple,
    Dict,
    Set,
    Special,
}

/// Deeper than this, or in a cycle, Python's walk takes over.
const MAX_DEPTH: u32 = 64;
const MAX_KNOWN: usize = 1_024;

/// Types by address, kept alive, and whether Python must judge their values.
type Known = HashMap<usize, (Py<PyType>, bool)>;

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// Whether a value is a scalar: nothing but itself.
#[inline]
pub(crate) fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: reading the type of a live object, and addresses of static types.
    let (class, none) = unsafe { (ffi::Py_TYPE(value.as_ptr()), ffi::Py_TYPE(ffi::Py_None())) };
    let is = |known: *mut ffi::PyTypeObject| std::ptr::eq(class, known);
    is(&raw mut ffi::PyLong_Type)
        || is(&raw mut ffi::PyUnicode_Type)
        || is(&raw mut ffi::PyFloat_Type)
        || is(&raw mut ffi::PyBool_Type)
        || is(none)
        || is(&raw mut ffi::PyBytes_Type)
}

#[inline]
fn kind(value: &Bound<'_, PyAny>) -> PyResult<Kind> {
    if is_scalar(value) {
        return Ok(Kind::Leaf);
    }
    // SAFETY: reading the type of a live object.
    let class = unsafe { ffi::Py_TYPE(value.as_ptr()) };
    let is = |known: *mut ffi::PyTypeObject| std::ptr::eq(class, known);
    if is(&raw mut ffi::PyList_Type) {
        return Ok(Kind::List);
    }
    if is(&raw mut ffi::PyTuple_Type) {
        return Ok(Kind::Tuple);
    }
    if is(&raw mut ffi::PyDict_Type) {
        return Ok(Kind::Dict);
    }
    if is(&raw mut ffi::PySet_Type) {
        return Ok(Kind::Set);
    }
    if value.is_exact_instance_of::<TaskRunFuture>() {
        return Ok(Kind::Future);
    }
    judged(value)
}

fn judged(value: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let class = value.get_type();
    let key = class.as_ptr() as usize;
    let known =
        KNOWN.lock().as_ref().and_then(|known| known.get(&key).map(|(_, special)| *special));
    let special = if let Some(special) = known {
        special
    } else {
        let py = value.py();
        let special = boundary::import(py, "oxtask._internal.inputs")?
            .enter_method("is_special", (&class,))?
            .extract()?;
        let mut known = KNOWN.lock();
        let table = known.get_or_insert_with(HashMap::new);
        let full = (table.len() >= MAX_KNOWN).then(|| std::mem::take(table));
        let old = table.insert(key, (class.unbind(), special));
        drop(known);
        drop((full, old));
        special
    };
    Ok(if special { Kind::Special } else { Kind::Leaf })
}

/// Finds the futures in `value`, and what must be done to resolve it.
pub(crate) fn scan(
    value: &Bound<'_, PyAny>,
    depth: u32,
    found: &mut Vec<Py<TaskRunFuture>>,
) -> PyResult<Resolve> {
    let each = |items: &mut dyn Iterator<Item = Bound<'_, PyAny>>,
                found: &mut Vec<Py<TaskRunFuture>>| {
        let mut most = Resolve::Nothing;
        for item in items {
            most = most.max(scan(&item, depth + 1, found)?);
        }
        Ok(most)
    };
    if depth > MAX_DEPTH {
        return Ok(Resolve::Python);
    }
    match kind(value)? {
        Kind::Leaf => Ok(Resolve::Nothing),
        Kind::Future => {
            found.push(value.cast::<TaskRunFuture>()?.clone().unbind());
            Ok(Resolve::Native)
        }
        // SAFETY (all casts below): the exact type was compared.
        Kind::List => each(&mut unsafe { value.cast_unchecked::<PyList>() }.iter(), found),
        Kind::Tuple => each(&mut unsafe { value.cast_unchecked::<PyTuple>() }.iter(), found),
        Kind::Dict => {
            let dict = unsafe { value.cast_unchecked::<PyDict>() };
            let mut most = Resolve::Nothing;
            for (key, item) in dict.iter() {
                // A future as a key is rare: Python's walk rebuilds the dict.
                if scan(&key, depth + 1, found)? != Resolve::Nothing {
                    return Ok(Resolve::Python);
                }
                most = most.max(scan(&item, depth + 1, found)?);
            }
            Ok(most)
        }
        Kind::Set => {
            let set = unsafe { value.cast_unchecked::<PySet>() };
            let inside = each(&mut set.iter(), found)?;
            Ok(if inside == Resolve::Nothing { inside } else { Resolve::Python })
        }
        Kind::Special => Ok(Resolve::Python),
    }
}

/// Why arguments could not be resolved.
pub(crate) enum Unresolved {
    /// This upstream run did not complete.
    Upstream(Py<TaskRunFuture>),
    Error(PyErr),
}

impl From<PyErr> for Unresolved {
    fn from(error: PyErr) -> Self {
        Self::Error(error)
    }
}

/// The copies that a walk has made of what changed, by address: an object that is met again gets the same copy.
///
/// Keeps the originals alive, so that no other object takes the address of one.
#[derive(Default)]
struct Copies(HashMap<usize, (Py<PyAny>, Py<PyAny>)>);

impl Copies {
    fn find<'py>(&self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        if self.0.is_empty() {
            return None;
        }
        let known = self.0.get(&(value.as_ptr() as usize));
        known.map(|(_, copy)| copy.bind(value.py()).clone())
    }

    fn note(&mut self, value: &Bound<'_, PyAny>, copy: &Bound<'_, PyAny>) {
        // Two references are that of the container and that of the walk: nobody can meet it again.
        // SAFETY: reading the count of a live object.
        if unsafe { ffi::Py_REFCNT(value.as_ptr()) } > 2 {
            let pair = (value.clone().unbind(), copy.clone().unbind());
            self.0.insert(value.as_ptr() as usize, pair);
        }
    }
}

/// The futures in `value`; `None` if Python's walk is needed to find them all.
#[pyfunction]
pub(crate) fn futures_in(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Py<TaskRunFuture>>>> {
    let mut found = Vec::new();
    let how = scan(value, 0, &mut found)?;
    Ok((how != Resolve::Python).then_some(found))
}

/// `value` with results in the place of futures; the same object where nothing changed.
///
/// Every future in it has ended. Only for what [`scan`] called `Native`.
pub(crate) fn substitute<'py>(value: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, Unresolved> {
    walk(value, &mut Copies::default())
}

fn walk<'py>(
    value: &Bound<'py, PyAny>,
    copies: &mut Copies,
) -> Result<Bound<'py, PyAny>, Unresolved> {
    let py = value.py();
    let kind = kind(value)?;
    if matches!(kind, Kind::List | Kind::Tuple | Kind::Dict)
        && let Some(copy) = copies.find(value)
    {
        return Ok(copy);
    }
    match kind {
        Kind::Future => {
            let future = value.cast::<TaskRunFuture>().map_err(PyErr::from)?;
            let (group, index) = future.get().run();
            let output = group.peek(index, |outcome, output| match (outcome, output) {
                (outcome, Some(output)) if outcome.has_value() => Some(output.clone_ref(py)),
                _ => None,
            });
            match output.flatten() {
                // A result may hold futures itself.
                Some(output) => resolve_value(output.into_bound(py), copies),
                None => Err(Unresolved::Upstream(future.clone().unbind())),
            }
        }
        Kind::List => {
            let list = value.cast::<PyList>().map_err(PyErr::from)?;
            let mut copy: Option<Bound<'py, PyList>> = None;
            for (place, item) in list.iter().enumerate() {
                let new = walk(&item, copies)?;
                if !new.is(&item) {
                    let copy = copy.get_or_insert_with(|| list.get_slice(0, list.len()));
                    copy.set_item(place, new)?;
                }
            }
            Ok(changed(value, copy.map(Bound::into_any), copies))
        }
        Kind::Tuple => {
            let tuple = value.cast::<PyTuple>().map_err(PyErr::from)?;
            let mut items = Vec::with_capacity(tuple.len());
            let mut is_changed = false;
            for item in tuple.iter() {
                let new = walk(&item, copies)?;
                is_changed |= !new.is(&item);
                items.push(new);
            }
            let copy = if is_changed { Some(PyTuple::new(py, items)?.into_any()) } else { None };
            Ok(changed(value, copy, copies))
        }
        Kind::Dict => {
            let dict = value.cast::<PyDict>().map_err(PyErr::from)?;
            let mut copy: Option<Bound<'py, PyDict>> = None;
            for (key, item) in dict.iter() {
                let new = walk(&item, copies)?;
                if !new.is(&item) {
                    if copy.is_none() {
                        copy = Some(dict.copy()?);
                    }
                    if let Some(copy) = &copy {
                        copy.set_item(key, new)?;
                    }
                }
            }
            Ok(changed(value, copy.map(Bound::into_any), copies))
        }
        Kind::Leaf | Kind::Set | Kind::Special => Ok(value.clone()),
    }
}

/// What a container has become: its copy, which is noted, or itself.
fn changed<'py>(
    value: &Bound<'py, PyAny>,
    copy: Option<Bound<'py, PyAny>>,
    copies: &mut Copies,
) -> Bound<'py, PyAny> {
    let Some(copy) = copy else { return value.clone() };
    copies.note(value, &copy);
    copy
}

/// Resolves a result that was put in the place of a future.
fn resolve_value<'py>(
    value: Bound<'py, PyAny>,
    copies: &mut Copies,
) -> Result<Bound<'py, PyAny>, Unresolved> {
    let mut found = Vec::new();
    match scan(&value, 0, &mut found)? {
        Resolve::Nothing => Ok(value),
        Resolve::Native if found.iter().all(|future| future.get().is_done()) => {
            walk(&value, copies)
        }
        _ => Ok(boundary::import(value.py(), "oxtask._internal.inputs")?
            .enter_method("resolve_one", (value,))?),
    }
}

/// Whether every future in `found` has ended, so that nothing must be waited for.
pub(crate) fn pending(found: &[Py<TaskRunFuture>]) -> impl Iterator<Item = &Py<TaskRunFuture>> {
    found.iter().filter(|future| {
        let (group, index) = future.get().run();
        !matches!(group.phase(index), Phase::Done(_))
    })
}

/// What must be done to `value` before a body sees it: 0 nothing, 1 the core's walk, 2 Python's.
#[pyfunction]
pub(crate) fn needs_resolving(value: &Bound<'_, PyAny>) -> PyResult<u8> {
    Ok(scan(value, 0, &mut Vec::new())? as u8)
}

/// `value` with results in the place of futures, after waiting for them on this thread.
#[pyfunction(name = "resolve")]
pub(crate) fn resolve_here<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let mut found = Vec::new();
    let how = scan(value, 0, &mut found)?;
    for future in &found {
        let (group, index) = future.get().run();
        crate::waiting::wait_for_run(py, group, index, None, false)?;
    }
    match attempt::resolve(value, how) {
        Ok(resolved) => Ok(resolved),
        Err(Unresolved::Error(error)) => Err(error),
        Err(Unresolved::Upstream(future)) => {
            let id = future.getattr(py, "task_run_id")?;
            let message = boundary::import(py, "oxtask._internal.inputs")?
                .enter_method("upstream_message", (id,))?;
            Err(crate::error::oxtask(py, "UpstreamTaskError", message.extract()?))
        }
    }
}
