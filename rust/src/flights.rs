//! stub
use pyo3::prelude::*;
pub(crate) struct Lead;
pub(crate) fn lead(_py: Python<'_>, _key: &str) -> PyResult<Lead> {
    Ok(Lead)
}
