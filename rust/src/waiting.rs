//! Blocking on a run: the thread gives its slot back, stands in the graph of waits, or runs the run itself.

use std::sync::Arc;
use std::time::Duration;

use oxtask_core::group::{Phase, Watcher, Work};
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{Lane, Pool};
use oxtask_core::sync::Mutex;
use oxtask_core::waits;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::boundary::Enter;
use crate::desk::{self, Away};
use crate::futures::TaskRunFuture;
use crate::inputs::{self, Resolve};
use crate::run::{Run, RunRef, Runs};
use crate::workers::RunPool;
use crate::{attempt, boundary, context, error, python, runtime};

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
    if pool.is_cancelled() || pool.tag() != runtime::get().generation || !desk::may_nest() {
        return false;
    }
    // A thread that holds a slot of the pool is blocked here anyway and lends it.
    let own = desk::holds_slot(pool);
    if !own && !pool.try_slot() {
        return false;
    }
    pool.forget(group, index);
    desk::holding((!own).then_some(pool), |seat| attempt::execute(py, group, index, Some(seat)));
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
    pub(crate) fn any(py: Python<'_>, targets: &[RunRef]) -> Self {
        if let Some(current) = current_run(py) {
            // Asked for what it looks at only.
            let _ = waits::cycle(&current, targets, |run| hastened(py, run));
        }
        Self(None)
    }

    /// No edges: for a wait that is not for runs.
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
    away: Option<Away>,
}

impl Waiting {
    pub(crate) fn begin(py: Python<'_>, edge: Edge, pools: &[Option<&RunPool>]) -> PyResult<Self> {
        let generation = runtime::get().generation;
        let pools = pools.iter().copied().flatten();
        if pools.clone().any(|pool| pool.tag() != generation) {
            edge.leave();
            return Err(forked(py));
        }
        let away = desk::yield_slots();
        pools.for_each(Pool::ensure_worker);
        Ok(Self { edge, away })
    }

    pub(crate) fn end(self, py: Python<'_>) {
        self.edge.leave();
        if let Some(away) = self.away {
            boundary::detached(py, || away.reclaim());
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
    let graph = &runtime::get().waits;
    let ticket = graph.lock().enter(waiter, targets.clone());
    match waits::cycle(waiter, &targets, |run| hastened(py, run)) {
        None => Ok((waiter.clone(), ticket)),
        Some(cycle) => {
            let gone = graph.lock().leave(waiter, ticket);
            drop(gone);
            Err(deadlock(py, &cycle))
        }
    }
}

/// What a run waits for that a run in its body waits for; it goes ahead of what is queued.
fn hastened(py: Python<'_>, run: &RunRef) -> Vec<RunRef> {
    let runtime = runtime::get();
    let RunRef(group, _) = run;
    // The locks of a pool from before a fork may be held for ever.
    if group.pool().is_some_and(|pool| pool.tag() == runtime.generation) {
        group.hasten();
    }
    let mut next = runtime.waits.lock().targets(run);
    next.extend(inputs_of(py, run));
    next
}

/// What a parked run waits for.
pub(crate) fn inputs_of(py: Python<'_>, run: &RunRef) -> Vec<RunRef> {
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
        .map(|future| {
            let (group, index) = future.get().run();
            RunRef(Arc::clone(group), index)
        })
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

/// The wait of code that awaits a run instead of blocking a thread.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Blocking {
    target: RunRef,
    entered: Mutex<Option<Edge>>,
}

impl Blocking {
    pub(crate) fn new(target: RunRef) -> Self {
        Self { target, entered: Mutex::new(None) }
    }
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
