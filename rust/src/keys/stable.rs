//! `STABLE_TRANSFORMS`: what is hashed in place of inputs of exactly these types.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use pyo3::{ffi, intern};

use crate::boundary::{self, Enter};

/// The names in `oxtask.cache_policies`.
static POLICIES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
/// Whether the entries for libraries are in the table; a library may be imported at any time.
static IS_FILLED: AtomicBool = AtomicBool::new(false);

/// The table as it is now.
pub(super) struct Stable<'py>(Bound<'py, PyDict>);

impl<'py> Stable<'py> {
    #[inline]
    pub(super) fn of(py: Python<'py>) -> PyResult<Self> {
        // Looked up each time: the name may be bound to another table.
        let table = policies(py)?.as_any().get_item(intern!(py, "STABLE_TRANSFORMS"))?;
        Ok(Self(table.cast_into()?))
    }

    /// What is hashed in place of an input; `None` for most.
    #[inline]
    pub(super) fn instead(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let class = value.get_type();
        // SAFETY: a live type.
        let is_built_in = || unsafe {
            ffi::PyType_HasFeature(class.as_type_ptr(), ffi::Py_TPFLAGS_HEAPTYPE) == 0
        };
        if !IS_FILLED.load(Ordering::Relaxed) && !is_built_in() {
            let fill = policies(value.py())?.as_any().get_item("_fill_transforms")?;
            let is_filled = fill.enter0()?.extract()?;
            IS_FILLED.store(is_filled, Ordering::Relaxed);
        }
        if self.0.is_empty() {
            return Ok(None);
        }
        match self.0.get_item(class)? {
            Some(transform) => transform.enter((value,)).map(Some),
            None => Ok(None),
        }
    }
}

fn policies(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    let policies = POLICIES.get_or_try_init(py, || {
        let module = boundary::import(py, "oxtask.cache_policies")?;
        Ok::<_, PyErr>(module.getattr("__dict__")?.cast_into::<PyDict>()?.unbind())
    })?;
    Ok(policies.bind(py))
}
