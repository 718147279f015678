//! The key of what a task does, kept as long as nothing that it was made of has changed.
//!
//! Python walks the code and says what it has looked at (`oxtask._internal.keys_guards`). The key is kept only if all
//! of that was the same before and after it was made, so it is never one of something in between; and it is looked at
//! again each time the key is asked for.

use std::sync::Arc;

use oxtask_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use super::guards::Guards;
use crate::boundary::{self, Enter};

const MODULE: &str = "oxtask._internal.keys_guards";

/// The key of a function, made when it is first asked for.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct SourceKey {
    function: Py<PyAny>,
    known: Mutex<Option<Arc<Known>>>,
}

struct Known {
    key: String,
    guards: Guards,
}

#[pymethods]
impl SourceKey {
    #[new]
    fn new(function: Py<PyAny>) -> Self {
        Self { function, known: Mutex::new(None) }
    }

    /// The key as it is now.
    #[pyo3(name = "key")]
    pub(crate) fn key(&self, py: Python<'_>) -> PyResult<String> {
        let known = self.known.lock().clone();
        if let Some(known) = known
            && known.guards.hold(py)?
        {
            return Ok(known.key.clone());
        }
        self.made(py)
    }

    /// Whether the key was kept when it was last made, and still holds.
    fn is_kept(&self, py: Python<'_>) -> PyResult<bool> {
        let known = self.known.lock().clone();
        known.map_or(Ok(false), |known| known.guards.hold(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        let known = self.known.lock();
        known.as_ref().map_or(Ok(()), |known| known.guards.visit(&visit))
    }

    fn __clear__(&self) {
        let known = self.known.lock().take();
        drop(known);
    }
}

impl SourceKey {
    #[cold]
    fn made(&self, py: Python<'_>) -> PyResult<String> {
        let module = boundary::import(py, MODULE)?;
        let seen = module.enter_method("seen_in", (&self.function,))?;
        let guards = match seen.cast::<PyTuple>() {
            Ok(seen) => Some(Guards::read(seen)?),
            Err(_) => None,
        };
        let key: String = module.enter_method("key_of_function", (&self.function,))?.extract()?;
        let known = match guards {
            Some(guards) if guards.hold(py)? => Some(Arc::new(Known { key: key.clone(), guards })),
            _ => None,
        };
        let old = std::mem::replace(&mut *self.known.lock(), known);
        drop(old);
        Ok(key)
    }
}
