//! The future of a run: a handle of a group and an index.

use std::sync::Arc;
use std::time::Duration;

use oxtask_core::group::{Outcome, Phase, Watcher, Work};
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::Lane;
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::boundary::Enter;
use crate::inputs::{self, Resolve};
use crate::run::{self, Run, RunRef, Runs};
use crate::workers::{self, Callback, RunPool, Seat};
use crate::{boundary, context, error, python, runtime};

#[pyclass(frozen, module = "oxtask.futures", name = "TaskRunFuture")]
pub(crate) struct TaskRunFuture {
    group: Runs,
    index: u32,
}

/// Makes the futures that users hold.
pub(crate) static FUTURES: boundary::Maker<TaskRunFuture> = boundary::Maker::new();

impl TaskRunFuture {
    #[inline]
    pub(crate) fn new(group: Runs, index: u32) -> Self {
        Self { group, index }
    }

    #[inline]
    pub(crate) fn run(&self) -> (&Runs, u32) {
        (&self.group, self.index)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.group.phase(self.index), Phase::Done(_))
    }

    /// The value of a completed run, cheaply; `None` for everything else.
    pub(crate) fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.group.peek(self.index, |outcome, output| match (outcome, output) {
            (Outcome::Completed, Some(value)) => Some(value.clone_ref(py)),
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

    fn __repr__(slf: Bound<'_, Self>) -> PyResult<String> {
        python::futures(slf.py())?.enter_method("describe", (slf,))?.extract()
    }

    #[getter]
    fn task_run_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        python::futures(py)?.enter_method("run_id", (self.group.id(self.index),))
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
        wait_for_run(py, &self.group, self.index, limit(timeout)?, false).map(drop)
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
        if !wait_for_run(py, &this.group, this.index, limit(timeout)?, raise_on_failure)? {
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
        let callback = Callback::Python { function, future: slf.clone().into_any().unbind() };
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
    fn _peek(&self, py: Python<'_>) -> (u8, Option<Py<PyAny>>) {
        let done = self
            .group
            .peek(self.index, |outcome, output| (outcome, output.map(|value| value.clone_ref(py))));
        match done {
            Some((outcome, output)) => (code(outcome), output),
            None => match self.group.phase(self.index) {
                Phase::Running => (11, None),
                Phase::Delayed => (12, None),
                _ => (10, None),
            },
        }
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
    fn _blocking(&self) -> Blocking {
        let target = RunRef(Arc::clone(&self.group), self.index);
        Blocking { target, entered: Mutex::new(None) }
    }

    #[getter]
    fn _id(&self) -> u128 {
        self.group.id(self.index)
    }
}

/// The wait of code that awaits a run instead of blocking a thread.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Blocking {
    target: RunRef,
    entered: Mutex<Option<Edge>>,
}

#[pymethods]
impl Blocking {
    fn __enter__(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(pool) = self.target.0.pool() {
            if pool.tag() != runtime::get().generation {
                return Err(forked(py));
            }
            pool.ensure_worker();
        }
        let edge = Edge::enter(py, || vec![self.target.clone()])?;
        *self.entered.lock() = Some(edge);
        Ok(())
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        if let Some(edge) = self.entered.lock().take() {
            edge.leave();
        }
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

/// Blocks until the run has ended; false when `timeout` passed first.
///
/// With `here`, a run that is queued may be run on this thread. The caller must then raise what the run raises:
/// an interrupt that was meant for the waiting code ends the run instead.
pub(crate) fn wait_for_run(
    py: Python<'_>,
    group: &Runs,
    index: u32,
    timeout: Option<Duration>,
    here: bool,
) -> PyResult<bool> {
    let done = || matches!(group.phase(index), Phase::Done(_));
    if done() {
        return Ok(true);
    }
    let edge = Edge::enter(py, || vec![RunRef(Arc::clone(group), index)])?;
    if here && timeout.is_none() && run_here(py, group, index) && done() {
        edge.leave();
        return Ok(true);
    }
    let inbox = Arc::new(Inbox::new());
    if group.watch(index, Watcher::Inbox(Arc::clone(&inbox), 0)).is_err() {
        edge.leave();
        return Ok(true);
    }
    let heard = Waiting::begin(py, edge, &[group.pool()]).and_then(|waiting| {
        let heard = boundary::wait(py, timeout, |slice| inbox.take(slice));
        waiting.end(py);
        heard
    });
    if !matches!(heard, Ok(Some(_))) {
        group.unwatch(index, &inbox);
    }
    Ok(heard?.is_some() || done())
}

/// Runs a queued run on the thread that waits for it, if nothing speaks against it.
///
/// Only the awaited run may run here: any other might need what the waiting code holds.
fn run_here(py: Python<'_>, group: &Runs, index: u32) -> bool {
    let spec = &group.work;
    if spec.lane() != Lane::Thread
        || spec.plan.get().has_timeout
        || group.phase(index) != Phase::Ready
    {
        return false;
    }
    let Some(pool) = group.pool() else { return false };
    if pool.is_cancelled() || pool.tag() != runtime::get().generation || !workers::may_nest() {
        return false;
    }
    // A thread that holds a slot of the pool is blocked here anyway and lends it.
    let own = workers::held_slot().is_some_and(|held| Arc::ptr_eq(&held, pool));
    if !own && !pool.try_slot() {
        return false;
    }
    pool.forget(group, index);
    workers::holding((!own).then_some(pool), |seat| run::execute(py, group, index, Some(seat)));
    if !own {
        pool.release_slot();
    }
    true
}

/// The edges of a run that blocks on runs, in the graph of waits.
pub(crate) struct Edge(Option<(RunRef, u64)>);

impl Edge {
    /// Fails with `DeadlockError` if the runs wait, in turn, for the run whose body this code is in.
    pub(crate) fn enter(py: Python<'_>, targets: impl FnOnce() -> Vec<RunRef>) -> PyResult<Self> {
        match current_run(py) {
            Some(current) => enter_edge(py, &current, targets()).map(Some).map(Self),
            None => Ok(Self(None)),
        }
    }

    /// No edges: for a wait that any of several runs ends.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn leave(self) {
        if let Some((waiter, ticket)) = self.0 {
            let gone = runtime::get().waits.lock().leave(&waiter, ticket);
            drop(gone);
        }
    }
}

/// A thread that is about to block on runs: it has given back its slot and stands in the graph of waits.
pub(crate) struct Waiting {
    edge: Edge,
    slot: Option<(RunPool, Arc<Seat>)>,
}

impl Waiting {
    pub(crate) fn begin(py: Python<'_>, edge: Edge, pools: &[Option<&RunPool>]) -> PyResult<Self> {
        let generation = runtime::get().generation;
        for pool in pools.iter().copied().flatten() {
            if pool.tag() != generation {
                edge.leave();
                return Err(forked(py));
            }
            pool.ensure_worker();
        }
        Ok(Self { edge, slot: workers::yield_slot() })
    }

    pub(crate) fn end(self, py: Python<'_>) {
        self.edge.leave();
        if let Some((pool, seat)) = &self.slot {
            boundary::detached(py, || workers::reclaim_slot(pool, seat));
        }
    }
}

/// The run whose body this code is in.
pub(crate) fn current_run(py: Python<'_>) -> Option<RunRef> {
    let value = context::get(py, &context::variables(py).run)?;
    let run = value.cast::<Run>().ok()?.get();
    Some(RunRef(Arc::clone(&run.group), run.index))
}

fn enter_edge(py: Python<'_>, waiter: &RunRef, targets: Vec<RunRef>) -> PyResult<(RunRef, u64)> {
    let waits = &runtime::get().waits;
    let ticket = waits.lock().enter(waiter, targets.clone());
    let cycle = oxtask_core::waits::cycle(waiter, &targets, |run| {
        let mut next = waits.lock().targets(run);
        next.extend(inputs_of(py, run));
        next
    });
    match cycle {
        None => Ok((waiter.clone(), ticket)),
        Some(cycle) => {
            let gone = waits.lock().leave(waiter, ticket);
            drop(gone);
            Err(deadlock(py, &cycle))
        }
    }
}

/// What a parked run waits for.
fn inputs_of(py: Python<'_>, run: &RunRef) -> Vec<RunRef> {
    let RunRef(group, index) = run;
    if group.phase(*index) != Phase::Parked {
        return Vec::new();
    }
    let input = group.peek_input(*index, |input| input.clone_ref(py));
    let mut found = Vec::new();
    for value in input.iter().chain(group.work.wait_for.as_ref()) {
        // An error here only hides an edge of a cycle: the wait itself goes on.
        if let Ok(Resolve::Python) | Err(_) = inputs::scan(value.bind(py), 0, &mut found) {
            python::extend_futures(py, value, &mut found);
        }
    }
    inputs::pending(&found)
        .map(|future| RunRef(Arc::clone(&future.get().group), future.get().index))
        .collect()
}

fn deadlock(py: Python<'_>, cycle: &[RunRef]) -> PyErr {
    let futures = cycle
        .iter()
        .map(|RunRef(group, index)| Bound::new(py, TaskRunFuture::new(Arc::clone(group), *index)))
        .collect::<PyResult<Vec<_>>>()
        .and_then(|futures| PyList::new(py, futures));
    futures
        .and_then(|futures| python::futures(py)?.enter_method("deadlock", (futures,)))
        .map_or_else(|error| error, PyErr::from_value)
}

pub(crate) fn forked(py: Python<'_>) -> PyErr {
    let message = "this runner and its futures belong to the process that was forked; \
                   start a new flow or task runner in the child";
    error::oxtask(py, "ForkedProcessError", message.to_owned())
}
