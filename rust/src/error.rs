//! Errors that start in Rust: each is a Python class of `oxtask.exceptions`, raised with a message that says what to do.

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::boundary;

/// An error of class `oxtask.exceptions.<name>`.
pub(crate) fn oxtask(py: Python<'_>, name: &str, message: String) -> PyErr {
    let class = boundary::import(py, "oxtask.exceptions")
        .and_then(|module| module.getattr(name))
        .and_then(|class| Ok(class.cast_into::<PyType>()?));
    match class {
        Ok(class) => PyErr::from_type(class, message),
        Err(error) => error,
    }
}

/// Reports an error that has nobody to go to, as Python does for those in `__del__`.
pub(crate) fn unraisable(py: Python<'_>, error: &PyErr) {
    error.clone_ref(py).write_unraisable(py, None);
}

/// The exception object of an error.
pub(crate) fn object(py: Python<'_>, error: PyErr) -> Py<PyAny> {
    error.into_value(py).into_any()
}
