//! What cannot be hashed, and where in the value it is.

use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyType};

use crate::boundary::{self, Enter};

/// Why a value has no key; a pointer, so that the walk pays for it only when it happens.
pub(crate) struct Refused(Box<Refusal>);

struct Refusal {
    /// The steps from the value to the part, the innermost first.
    path: Vec<String>,
    why: Why,
}

enum Why {
    /// A part of this type cannot be hashed.
    Part { class: Py<PyType>, reason: String, cause: Option<PyErr> },
    /// An error that is not about hashing: an interrupt, no memory.
    Raised(PyErr),
}

/// An error that is not about a part of the value.
impl From<PyErr> for Refused {
    fn from(error: PyErr) -> Self {
        Self(Box::new(Refusal { path: Vec::new(), why: Why::Raised(error) }))
    }
}

impl Refused {
    pub(crate) fn part(value: &Bound<'_, PyAny>, reason: impl Into<String>) -> Self {
        let why =
            Why::Part { class: value.get_type().unbind(), reason: reason.into(), cause: None };
        Self(Box::new(Refusal { path: Vec::new(), why }))
    }

    /// Code of the user has raised while `value` was taken apart.
    pub(crate) fn raised(value: &Bound<'_, PyAny>, error: PyErr) -> Self {
        let py = value.py();
        let why = if error.is_instance_of::<pyo3::exceptions::PyException>(py)
            && !error.is_instance_of::<pyo3::exceptions::PyMemoryError>(py)
        {
            let class = value.get_type().unbind();
            Why::Part { class, reason: told(py, &error), cause: Some(error) }
        } else {
            Why::Raised(error)
        };
        Self(Box::new(Refusal { path: Vec::new(), why }))
    }

    /// The same, seen from one level further up.
    pub(crate) fn inside(mut self, step: impl FnOnce() -> String) -> Self {
        self.0.path.push(step());
        self
    }

    pub(crate) fn into_error(self, py: Python<'_>) -> PyErr {
        let Refusal { path, why } = *self.0;
        match why {
            Why::Raised(error) => error,
            Why::Part { class, reason, cause } => {
                let path: String = path.iter().rev().map(String::as_str).collect();
                let made = boundary::import(py, "oxtask._internal.keys")
                    .and_then(|module| module.enter_method("refused", (path, class, reason)));
                match made {
                    Ok(error) => {
                        let error = PyErr::from_value(error);
                        error.set_cause(py, cause);
                        error
                    }
                    Err(error) => error,
                }
            }
        }
    }
}

/// What an error says, in one line.
fn told(py: Python<'_>, error: &PyErr) -> String {
    let text = error.value(py).str().map(|text| text.to_string_lossy().into_owned());
    text.unwrap_or_default().lines().next().unwrap_or_default().chars().take(200).collect()
}

/// How a path goes on to the value of `key`.
pub(crate) fn item_of(key: &Bound<'_, PyAny>) -> String {
    let is_plain = key.is_exact_instance_of::<PyString>() || key.is_exact_instance_of::<PyInt>();
    if is_plain && let Ok(text) = key.repr() {
        let text = text.to_string_lossy();
        if text.len() <= 80 {
            return format!("[{text}]");
        }
    }
    let class = key.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    format!("[<{class}>]")
}

/// How a path goes on to an attribute.
pub(crate) fn attribute_of(name: &Bound<'_, PyAny>) -> String {
    match name.cast_exact::<PyString>() {
        Ok(name) => format!(".{}", name.to_string_lossy()),
        Err(_) => item_of(name),
    }
}
