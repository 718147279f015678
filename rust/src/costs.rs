//! What caching costs a task, and what it saves.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

/// Sums over the runs of a task, in nanoseconds; read by `oxtask.cache`.
#[pyclass(frozen, module = "oxtask._core")]
#[derive(Default)]
pub(crate) struct Costs {
    hashing: AtomicU64,
    reading: AtomicU64,
    writing: AtomicU64,
    /// Time in bodies whose results were stored.
    computing: AtomicU64,
    /// What the bodies took that did not run.
    saved: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Costs {
    pub(crate) fn hashed(&self, nanoseconds: u64) {
        self.hashing.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, nanoseconds: u64) {
        self.reading.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// A value was found that took `cost` to compute.
    pub(crate) fn hit(&self, cost: u64) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.saved.fetch_add(cost, Ordering::Relaxed);
    }

    /// A value that took `cost` to compute was stored.
    pub(crate) fn wrote(&self, nanoseconds: u64, cost: u64) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        self.writing.fetch_add(nanoseconds, Ordering::Relaxed);
        self.computing.fetch_add(cost, Ordering::Relaxed);
    }
}

#[pymethods]
impl Costs {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Adds what the Python engine measured, in nanoseconds.
    #[pyo3(signature = (*, hashing=0, reading=0, writing=0, computing=0, saved=0, hits=0, misses=0))]
    #[allow(clippy::too_many_arguments)] // keywords
    fn add(
        &self,
        hashing: u64,
        reading: u64,
        writing: u64,
        computing: u64,
        saved: u64,
        hits: u64,
        misses: u64,
    ) {
        for (sum, more) in [
            (&self.hashing, hashing),
            (&self.reading, reading),
            (&self.writing, writing),
            (&self.computing, computing),
            (&self.saved, saved),
            (&self.hits, hits),
            (&self.misses, misses),
        ] {
            sum.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Hits, misses, and nanoseconds hashing, reading, writing, computing and saved.
    #[getter]
    fn sums(&self) -> (u64, u64, u64, u64, u64, u64, u64) {
        let of = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        (
            of(&self.hits),
            of(&self.misses),
            of(&self.hashing),
            of(&self.reading),
            of(&self.writing),
            of(&self.computing),
            of(&self.saved),
        )
    }
}
