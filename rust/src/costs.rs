//! What caching costs a task, and what it saves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::boundary::{self, Enter};
use crate::error;

/// From so many runs on it is judged whether caching pays.
const ENOUGH_RUNS: u64 = 64;
/// In nanoseconds, what caching must have cost before anybody is told.
const WORTH_TELLING: u64 = 10_000_000;

/// Sums over the runs of a task, in nanoseconds; read by `oxtask.cache`.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Costs {
    /// The name of the task.
    name: String,
    hashing: AtomicU64,
    reading: AtomicU64,
    writing: AtomicU64,
    /// Time in bodies whose results were stored.
    computing: AtomicU64,
    /// What the bodies took that did not run.
    saved: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    is_told: AtomicBool,
}

fn of(sum: &AtomicU64) -> u64 {
    sum.load(Ordering::Relaxed)
}

fn add(sum: &AtomicU64, more: u64) {
    sum.fetch_add(more, Ordering::Relaxed);
}

impl Costs {
    pub(crate) fn hashed(&self, nanoseconds: u64) {
        add(&self.hashing, nanoseconds);
    }

    pub(crate) fn read(&self, nanoseconds: u64) {
        add(&self.reading, nanoseconds);
    }

    /// A value was found that took `cost` to compute.
    pub(crate) fn hit(&self, py: Python<'_>, cost: u64) {
        add(&self.hits, 1);
        add(&self.saved, cost);
        self.judge(py);
    }

    /// A value that took `cost` to compute was stored.
    pub(crate) fn wrote(&self, py: Python<'_>, nanoseconds: u64, cost: u64) {
        add(&self.misses, 1);
        add(&self.writing, nanoseconds);
        add(&self.computing, cost);
        self.judge(py);
    }

    /// Now and then, tells the user once if caching cost more than it saved, and would even if all that is stored were
    /// found once more.
    fn judge(&self, py: Python<'_>) {
        let runs = of(&self.hits) + of(&self.misses);
        if runs < ENOUGH_RUNS || !runs.is_power_of_two() {
            return;
        }
        let spent = of(&self.hashing) + of(&self.reading) + of(&self.writing);
        if spent > WORTH_TELLING
            && spent > of(&self.saved) + of(&self.computing)
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            let told = boundary::import(py, "oxtask._internal.cache_costs")
                .and_then(|module| module.enter_method("warn", (&self.name, self.sums())));
            if let Err(raised) = told {
                error::unraisable(py, &raised);
            }
        }
    }
}

#[pymethods]
impl Costs {
    #[new]
    fn new(name: String) -> Self {
        let zero = AtomicU64::default;
        Self {
            name,
            hashing: zero(),
            reading: zero(),
            writing: zero(),
            computing: zero(),
            saved: zero(),
            hits: zero(),
            misses: zero(),
            is_told: AtomicBool::new(false),
        }
    }

    /// Counts a run whose value was found, and in nanoseconds what that took and what computing it had taken.
    fn found(&self, py: Python<'_>, hashing: u64, reading: u64, took: u64) {
        self.hashed(hashing);
        self.read(reading);
        self.hit(py, took);
    }

    /// Counts a run whose value was computed and stored, and in nanoseconds what that took.
    fn stored(&self, py: Python<'_>, hashing: u64, reading: u64, writing: u64, took: u64) {
        self.hashed(hashing);
        self.read(reading);
        self.wrote(py, writing, took);
    }

    /// Hits, misses, and nanoseconds hashing, reading, writing, computing and saved.
    #[getter]
    fn sums(&self) -> (u64, u64, u64, u64, u64, u64, u64) {
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
