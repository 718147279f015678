//! What a key was made of, as it was then: names in modules, cells, parts of functions, entries of classes.
//!
//! These are compared by identity, which takes nanoseconds. What can be changed in place is hashed anew at each look.

use std::ptr;

use oxtask_core::hashing::Xxh3;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, ffi};

use crate::hashing::value_digest;

/// What a name was bound to in a module, or an object had under it; `None` where there was no such name.
struct Name(Py<PyDict>, Py<PyString>, Option<Py<PyAny>>);

/// What a cell held, if anything.
struct Cell(Py<PyAny>, Option<Py<PyAny>>);

/// A function, its code, its defaults and those of parameters that are given by name.
#[derive(FromPyObject)]
struct Function(Py<PyAny>, Py<PyAny>, Py<PyAny>, Py<PyAny>);

/// A dict and its entries.
#[derive(FromPyObject)]
struct Dict(Py<PyDict>, Entries);

/// A class, its entries, its bases and its name.
#[derive(FromPyObject)]
struct Class(Py<PyType>, Entries, Py<PyAny>, Py<PyAny>);

/// What can be changed in place: its type, and its key if it had one.
struct Value(Py<PyAny>, Py<PyType>, Option<String>);

type Entries = Vec<(Py<PyAny>, Py<PyAny>)>;

pub(super) struct Guards {
    names: Vec<Name>,
    cells: Vec<Cell>,
    functions: Vec<Function>,
    dicts: Vec<Dict>,
    classes: Vec<Class>,
    values: Vec<Value>,
}

impl Guards {
    /// Reads what `keys_guards.seen_in` returns.
    pub(super) fn read(seen: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let values: Vec<Bound<'_, PyAny>> = seen.get_item(5)?.extract()?;
        Ok(Self {
            names: each(&seen.get_item(0)?, Name::read)?,
            cells: each(&seen.get_item(1)?, Cell::read)?,
            functions: seen.get_item(2)?.extract()?,
            dicts: seen.get_item(3)?.extract()?,
            classes: seen.get_item(4)?.extract()?,
            values: values.iter().map(Value::read).collect::<PyResult<_>>()?,
        })
    }

    /// Whether all is as it was.
    pub(super) fn hold(&self, py: Python<'_>) -> PyResult<bool> {
        for name in &self.names {
            if !name.holds(py)? {
                return Ok(false);
            }
        }
        let same = self.cells.iter().all(|cell| cell.holds(py))
            && self.functions.iter().all(|function| function.holds(py))
            && self.dicts.iter().all(|Dict(dict, entries)| is_same(dict.as_ptr(), entries))
            && self.classes.iter().all(Class::holds);
        if !same {
            return Ok(false);
        }
        for value in &self.values {
            if !value.holds(py)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let pairs = |entries: &Entries| {
            entries.iter().try_for_each(|(name, value)| {
                visit.call(name)?;
                visit.call(value)
            })
        };
        for Name(names, name, value) in &self.names {
            visit.call(names)?;
            visit.call(name)?;
            visit.call(value)?;
        }
        for Cell(cell, value) in &self.cells {
            visit.call(cell)?;
            visit.call(value)?;
        }
        for Function(function, code, defaults, named) in &self.functions {
            [function, code, defaults, named].into_iter().try_for_each(|part| visit.call(part))?;
        }
        for Dict(dict, entries) in &self.dicts {
            visit.call(dict)?;
            pairs(entries)?;
        }
        for Class(class, entries, bases, name) in &self.classes {
            visit.call(class)?;
            pairs(entries)?;
            visit.call(bases)?;
            visit.call(name)?;
        }
        for Value(value, class, _) in &self.values {
            visit.call(value)?;
            visit.call(class)?;
        }
        Ok(())
    }
}

fn each<T>(
    all: &Bound<'_, PyAny>,
    read: impl Fn(&Bound<'_, PyTuple>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    all.cast::<PyTuple>()?.iter().map(|one| read(one.cast::<PyTuple>()?)).collect()
}

/// What stands at a place that may be missing.
fn last(tuple: &Bound<'_, PyTuple>, place: usize) -> PyResult<Option<Py<PyAny>>> {
    (tuple.len() > place).then(|| tuple.get_item(place).map(Bound::unbind)).transpose()
}

fn is(now: *const ffi::PyObject, before: Option<&Py<PyAny>>) -> bool {
    ptr::eq(now, before.map_or(ptr::null(), |before| before.as_ptr().cast_const()))
}

impl Name {
    fn read(seen: &Bound<'_, PyTuple>) -> PyResult<Self> {
        Ok(Self(seen.get_item(0)?.extract()?, seen.get_item(1)?.extract()?, last(seen, 2)?))
    }

    fn holds(&self, py: Python<'_>) -> PyResult<bool> {
        let now = self.0.bind(py).get_item(&self.1)?;
        Ok(is(now.map_or(ptr::null(), |now| now.as_ptr().cast_const()), self.2.as_ref()))
    }
}

impl Cell {
    fn read(seen: &Bound<'_, PyTuple>) -> PyResult<Self> {
        Ok(Self(seen.get_item(0)?.unbind(), last(seen, 1)?))
    }

    fn holds(&self, _py: Python<'_>) -> bool {
        // SAFETY: attached; a live cell, whose content is owned for the comparison.
        unsafe {
            let now = ffi::PyCell_Get(self.0.as_ptr());
            let holds = is(now, self.1.as_ref());
            ffi::Py_XDECREF(now);
            holds
        }
    }
}

impl Function {
    fn holds(&self, py: Python<'_>) -> bool {
        let Self(function, code, defaults, named) = self;
        let function = function.as_ptr();
        let or_none = |part: *mut ffi::PyObject| {
            if part.is_null() { py.None().as_ptr() } else { part }
        };
        // SAFETY: attached; a live function, whose parts are compared by address only.
        unsafe {
            is(ffi::PyFunction_GetCode(function), Some(code))
                && is(or_none(ffi::PyFunction_GetDefaults(function)), Some(defaults))
                && is(or_none(ffi::PyFunction_GetKwDefaults(function)), Some(named))
        }
    }
}

impl Class {
    fn holds(&self) -> bool {
        let Self(class, entries, bases, name) = self;
        let class = class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: a live class. One that was made while the program runs, as those of a program are, has the layout
        // of a heap type; its parts are compared by address only.
        unsafe {
            let whole = class.cast::<ffi::PyHeapTypeObject>();
            ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_HEAPTYPE) != 0
                && is((*class).tp_bases, Some(bases))
                && is((*whole).ht_qualname, Some(name))
                && is_same((*class).tp_dict, entries)
        }
    }
}

impl Value {
    fn read(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(value.clone().unbind(), value.get_type().unbind(), key_now(value)?))
    }

    fn holds(&self, py: Python<'_>) -> PyResult<bool> {
        let value = self.0.bind(py);
        Ok(value.get_type().is(&self.1) && key_now(value)? == self.2)
    }
}

/// The key of a value that may be another one now; `None` if it has none.
fn key_now(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    match value_digest::<Xxh3>(value, "") {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.is_instance_of::<PyException>(value.py()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a dict has the same entries in the same order.
fn is_same(dict: *mut ffi::PyObject, entries: &Entries) -> bool {
    let (mut place, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
    // SAFETY: a live dict; what is borrowed from it is compared by address only, and nothing else runs meanwhile.
    unsafe {
        let is_next = |(name, before): &(Py<PyAny>, Py<PyAny>)| {
            ffi::PyDict_Next(dict, &raw mut place, &raw mut key, &raw mut value) != 0
                && is(key, Some(name))
                && is(value, Some(before))
        };
        ffi::PyDict_Size(dict) == entries.len().cast_signed() && entries.iter().all(is_next)
    }
}
