//! Event loops for async runs. (Spike: filled in below.)

use pyo3::prelude::*;

use crate::run::Runs;
use crate::workers::RunPool;

pub(crate) fn wake(_pool: &RunPool) {}

pub(crate) fn interrupt(_py: Python<'_>, _group: &Runs, _index: u32) -> PyResult<bool> {
    Ok(false)
}

pub(crate) fn bodies(_pool: &RunPool) -> Vec<(Runs, u32)> {
    Vec::new()
}
