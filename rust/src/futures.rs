//! The future of a run: a handle of a group and an index.

use std::sync::Arc;
use std::time::Duration;

use oxtask_core::group::{Outcome, Phase, Watcher};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::boundary::Enter;
use crate::collector::{self, Link};
use crate::inputs::Resolve;
use crate::run::{self, RunRef, Runs};
use crate::workers::{self, Callback};
use crate::{boundary, context, history, python, waiting};

#[pyclass(frozen, module = "oxtask.futures", name = "TaskRunFuture")]
pub(crate) struct TaskRunFuture {
    group: Runs,
    index: u32,
    link: Link,
}

impl Drop for TaskRunFuture {
    fn drop(&mut self) {
        self.link.unmake(&self.group);
    }
}

/// Makes the futures that users hold.
pub(crate) static FUTURES: boundary::Maker<TaskRunFuture> = boundary::Maker::new();

impl TaskRunFuture {
    #[inline]
    pub(crate) fn new(group: Runs, index: u32) -> Self {
        Self { group, index, link: Link::default() }
    }

    #[inline]
    pub(crate) fn run(&self) -> (&Runs, u32) {
        (&self.group, self.index)
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.group.phase(self.index), Phase::Done(_))
    }

    /// The value of a completed run, cheaply; `None` for everything else.
    pub(crate) fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.group.peek(self.index, |outcome, output| match (outcome, output) {
            (outcome, Some(value)) if outcome.has_value() => Some(value.clone_ref(py)),
            _ => None,
        })?
    }
}

#[pymethods]
impl TaskRunFuture {
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, pyo3::types::PyType>,
        item: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        boundary::import(class.py(), "types")?.getattr("GenericAlias")?.enter((class, item))
    }

    #[allow(clippy::needless_pass_by_value)] // the signature that PyO3 asks for
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.link.visit(&self.group, &visit)
    }

    fn __repr__(slf: Bound<'_, Self>) -> PyResult<String> {
        python::futures(slf.py())?.enter_method("describe", (slf,))?.extract()
    }

    #[getter]
    fn task_run_id(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        python::futures(slf.py())?.enter_method("task_run_id", (&slf,))
    }

    #[getter]
    fn wrapped_future(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[getter]
    fn state(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        python::futures(slf.py())?.enter_method("state_of", (&slf,))
    }

    /// Whether the run has ended.
    fn done(&self) -> bool {
        self.is_done()
    }

    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        waiting::wait_for_run(py, &self.group, self.index, limit(timeout)?, false).map(drop)
    }

    #[pyo3(signature = (timeout=None, raise_on_failure=true))]
    fn result(
        slf: Bound<'_, Self>,
        timeout: Option<f64>,
        raise_on_failure: bool,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        if let Some(value) = this.value(py) {
            return Ok(value);
        }
        if !waiting::wait_for_run(py, &this.group, this.index, limit(timeout)?, raise_on_failure)? {
            return Err(python::futures(py)?
                .enter_method("timed_out", (&slf, timeout))
                .map_or_else(|error| error, |error| PyErr::from_value(error)));
        }
        match this.value(py) {
            Some(value) => Ok(value),
            None => python::futures(py)?
                .enter_method("outcome_of", (&slf, raise_on_failure))
                .map(Bound::unbind),
        }
    }

    fn aresult(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        python::futures(slf.py())?.enter_method("aresult", (&slf,))
    }

    fn add_done_callback(slf: Bound<'_, Self>, function: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        if !function.bind(py).is_callable() {
            let message = "`add_done_callback` takes a function of one argument, the future";
            return Err(pyo3::exceptions::PyTypeError::new_err(message));
        }
        let future = slf.clone().into_any().unbind();
        let callback = Callback::Python { function, future, context: context::snapshot(py)? };
        let this = slf.get();
        if let Err(Watcher::Callback(callback)) =
            this.group.watch(this.index, Watcher::Callback(callback))
        {
            callback.run(py);
        }
        Ok(())
    }

    /// Ends the run as cancelled. True if this call did, false if the run had ended before.
    fn cancel(slf: Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let (done, running) = workers::cancel(py, &this.group, this.index);
        if running {
            crate::runner::interrupt(py, &this.group, this.index)?;
        }
        Ok(done)
    }

    // --- for the Python half ------------------------------------------------------------------------------

    /// `(phase, output)`: see `oxtask._internal.outcomes`.
    fn _peek(slf: Bound<'_, Self>) -> (u8, Option<Py<PyAny>>) {
        let (py, this) = (slf.py(), slf.get());
        let done = this
            .group
            .peek(this.index, |outcome, output| (outcome, output.map(|value| value.clone_ref(py))));
        match done {
            Some((outcome, output)) => {
                if !outcome.has_value() {
                    collector::link(slf.as_any(), &this.link, &this.group);
                }
                (code(outcome), output)
            }
            None => match this.group.phase(this.index) {
                Phase::Running => (11, None),
                Phase::Delayed => (12, None),
                _ => (10, None),
            },
        }
    }

    /// Names the list that this future and all others of its group are in.
    fn _note_list(&self, list: &Bound<'_, PyAny>) -> PyResult<()> {
        collector::note_list(&self.group, list)
    }

    /// Nanoseconds of Unix time at which the run was made, first started and ended; 0 for not yet.
    #[getter]
    fn _times(&self) -> (u64, u64, u64) {
        let (started, ended) = self.group.times(self.index);
        (self.group.created(), started, ended)
    }

    #[getter]
    fn _record(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        run::record(py, &self.group, self.index)
    }

    #[getter]
    fn _retries(&self, py: Python<'_>) -> Vec<run::Retry> {
        run::retries(py, &self.group, self.index)
    }

    #[getter]
    fn _task(&self, py: Python<'_>) -> Py<PyAny> {
        self.group.work.task.clone_ref(py)
    }

    #[getter]
    fn _context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.group.work.context.as_ref().map(|context| context.clone_ref(py))
    }

    /// Stands in the graph of waits, as an awaiting run, between `__enter__` and `__exit__`.
    fn _blocking(&self) -> waiting::Blocking {
        let target = RunRef(Arc::clone(&self.group), self.index);
        waiting::Blocking::new(target)
    }

    /// Has the history told when the run ends; `None` if it has.
    fn _observe(&self) -> Option<history::Trace> {
        history::observe(&self.group, self.index)
    }

    /// The key under which the core has stored, or found, the value of the run.
    #[getter]
    fn _cache_key(&self) -> Option<String> {
        self.group.work.cache.as_ref()?.key_of(self.index)
    }

    #[getter]
    fn _sources(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        run::sources(py, &self.group, self.index)
    }

    fn _set_sources(&self, sources: Py<PyAny>) {
        self.group.note(self.index, run::Note::Sources(sources));
    }

    /// Whether the run was given futures, or others to wait for.
    #[getter]
    fn _has_upstreams(&self) -> bool {
        self.group.work.resolve != Resolve::Nothing || self.group.work.wait_for.is_some()
    }

    #[getter]
    fn _id(&self) -> u128 {
        self.group.id(self.index)
    }
}

pub(crate) fn code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Completed => 0,
        Outcome::Failed => 1,
        Outcome::TimedOut => 2,
        Outcome::Crashed => 3,
        Outcome::Cancelled => 4,
        Outcome::NotReady => 5,
        Outcome::Chosen { failed: false } => 6,
        Outcome::Chosen { failed: true } => 7,
        Outcome::Cached => 8,
    }
}

/// The outcome with a code.
pub(crate) fn outcome(code: u8) -> Outcome {
    match code {
        0 => Outcome::Completed,
        1 => Outcome::Failed,
        2 => Outcome::TimedOut,
        4 => Outcome::Cancelled,
        5 => Outcome::NotReady,
        6 => Outcome::Chosen { failed: false },
        7 => Outcome::Chosen { failed: true },
        8 => Outcome::Cached,
        _ => Outcome::Crashed,
    }
}

pub(crate) fn limit(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    match timeout {
        Some(seconds) if seconds < 0.0 || seconds.is_nan() => Err(PyValueError::new_err(format!(
            "'timeout' must be a non-negative number of seconds or None, not {seconds}"
        ))),
        other => Ok(other.map(workers::seconds_of)),
    }
}
