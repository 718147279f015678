//! Waiting for many runs: all of them, or the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use oxtask_core::group::{Phase, Watcher};
use oxtask_core::inbox::Inbox;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};

use crate::futures::{self, TaskRunFuture};
use crate::run::{RunRef, Runs};
use crate::waiting::{Edge, Waiting};
use crate::workers::RunPool;
use crate::{boundary, clock};

/// The group of which `list` holds the futures of all runs, in order.
fn whole_group(list: &Bound<'_, PyList>) -> Option<Runs> {
    let first = list.get_item(0).ok()?;
    let group = Arc::clone(first.cast_exact::<TaskRunFuture>().ok()?.get().run().0);
    if group.len() as usize != list.len() {
        return None;
    }
    let in_order = list.iter().zip(0..).all(|(item, place)| {
        item.cast_exact::<TaskRunFuture>().is_ok_and(|future| {
            let (held, index) = future.get().run();
            Arc::ptr_eq(held, &group) && index == place
        })
    });
    in_order.then_some(group)
}

fn refs(list: &Bound<'_, PyList>) -> PyResult<Vec<RunRef>> {
    list.iter()
        .map(|item| {
            let future = item.cast_exact::<TaskRunFuture>()?.get();
            Ok(RunRef(Arc::clone(future.run().0), future.run().1))
        })
        .collect()
}

/// Blocks until all runs have ended, or the first has failed if `fail_fast`.
///
/// Returns whether that is so (false: `timeout` passed first) and the place of the run that failed first.
#[pyfunction]
#[pyo3(signature = (futures, timeout=None, fail_fast=false))]
pub(crate) fn wait_all(
    py: Python<'_>,
    futures: &Bound<'_, PyList>,
    timeout: Option<f64>,
    fail_fast: bool,
) -> PyResult<(bool, Option<u32>)> {
    let limit = futures::limit(timeout)?;
    if futures.is_empty() {
        return Ok((true, None));
    }
    let Some(group) = whole_group(futures) else {
        return wait_each(py, futures, timeout, fail_fast);
    };
    let failed = || group.first_failed().filter(|_| fail_fast);
    let over = || group.unsettled() == 0 || failed().is_some();
    if over() {
        return Ok((true, failed()));
    }
    let inbox = Arc::new(Inbox::new());
    group.watch_whole(&inbox);
    let blocked = (0..group.len())
        .filter(|&index| !matches!(group.phase(index), Phase::Done(_)))
        .map(|index| RunRef(Arc::clone(&group), index));
    let waiting = Edge::enter(py, || blocked.collect())
        .and_then(|edge| Waiting::begin(py, edge, &[group.pool()]));
    let heard = waiting.and_then(|waiting| {
        let heard = boundary::wait(py, limit, |slice| {
            if over() {
                return Some(());
            }
            inbox.take(slice);
            over().then_some(())
        });
        waiting.end(py);
        heard
    });
    group.unwatch_whole(&inbox);
    Ok((heard?.is_some(), failed()))
}

/// The same for runs of several groups.
fn wait_each(
    py: Python<'_>,
    list: &Bound<'_, PyList>,
    timeout: Option<f64>,
    fail_fast: bool,
) -> PyResult<(bool, Option<u32>)> {
    let started = clock::now();
    let runs = refs(list)?;
    let completions = Completions::new(list)?;
    let pending = runs.iter().filter(|RunRef(group, index)| !done(group, *index));
    let edge = Edge::enter(py, || pending.cloned().collect())?;
    let next = || loop {
        let left = timeout.map(|limit| (limit - clock::since(started).as_secs_f64()).max(0.0));
        let Some(place) = completions.take(py, left, || Ok(Edge::none()))? else {
            return Ok((completions.left() == 0, None));
        };
        let RunRef(group, index) = &runs[place as usize];
        let failed = matches!(group.phase(*index), Phase::Done(outcome) if outcome.is_failure());
        if fail_fast && failed {
            return Ok((true, Some(place)));
        }
    };
    let answer = next();
    edge.leave();
    answer
}

/// Whether all are futures of the core.
#[pyfunction]
pub(crate) fn all_native(futures: &Bound<'_, PyList>) -> bool {
    futures.iter().all(|item| item.is_exact_instance_of::<TaskRunFuture>())
}

/// How many runs have not ended.
#[pyfunction]
pub(crate) fn unsettled(futures: &Bound<'_, PyList>) -> PyResult<usize> {
    if let Some(group) = whole_group(futures) {
        return Ok(group.unsettled());
    }
    let runs = refs(futures)?;
    Ok(runs.iter().filter(|RunRef(group, index)| !done(group, *index)).count())
}

/// The places of the runs that have ended.
#[pyfunction]
pub(crate) fn settled(futures: &Bound<'_, PyList>) -> PyResult<Vec<usize>> {
    let runs = refs(futures)?;
    let ended = runs.iter().enumerate().filter(|(_, RunRef(group, index))| done(group, *index));
    Ok(ended.map(|(place, _)| place).collect())
}

/// The values of all runs in order; `None` unless every run completed.
#[pyfunction]
pub(crate) fn values(py: Python<'_>, futures: &Bound<'_, PyList>) -> PyResult<Option<Py<PyAny>>> {
    let values = PyList::empty(py);
    for item in futures.iter() {
        match item.cast_exact::<TaskRunFuture>()?.get().value(py) {
            Some(value) => values.append(value)?,
            None => return Ok(None),
        }
    }
    Ok(Some(values.into_any().unbind()))
}

fn done(group: &Runs, index: u32) -> bool {
    matches!(group.phase(index), Phase::Done(_))
}

/// The places of runs in the order in which they end.
///
/// It refers to the runs through their futures, which the collector knows: see `collector.rs`.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Completions {
    futures: Py<PyList>,
    pools: Vec<RunPool>,
    inbox: Arc<Inbox>,
    left: AtomicUsize,
    /// Whether what the runs wait for has been looked at.
    is_hastened: AtomicBool,
}

#[pymethods]
impl Completions {
    #[new]
    fn new(futures: &Bound<'_, PyList>) -> PyResult<Self> {
        // A copy: the list may change, the places not.
        let futures = futures.get_slice(0, futures.len());
        let runs = refs(&futures)?;
        let inbox = Arc::new(Inbox::new());
        let mut pools: Vec<RunPool> = Vec::new();
        for (RunRef(group, index), token) in runs.iter().zip(0..) {
            if group.watch(*index, Watcher::Inbox(Arc::clone(&inbox), token)).is_err() {
                inbox.deliver(token);
            } else if let Some(pool) = group.pool()
                && !pools.iter().any(|held| Arc::ptr_eq(held, pool))
            {
                pools.push(Arc::clone(pool));
            }
        }
        let left = AtomicUsize::new(runs.len());
        let is_hastened = AtomicBool::new(false);
        Ok(Self { futures: futures.unbind(), pools, inbox, left, is_hastened })
    }

    #[allow(clippy::needless_pass_by_value)] // the signature that PyO3 asks for
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.futures)
    }

    /// The place of the next run to end; `None` when all have, or when `timeout` passed first.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<u32>> {
        self.take(py, timeout, || {
            // To wait for the next of one is to wait for that one.
            let is_one = self.left() == 1;
            if !is_one && self.is_hastened.swap(true, Ordering::Relaxed) {
                return Ok(Edge::none());
            }
            let mut runs = refs(self.futures.bind(py))?;
            runs.retain(|RunRef(group, index)| !done(group, *index));
            if is_one { Edge::enter(py, || runs) } else { Ok(Edge::any(py, &runs)) }
        })
    }

    /// How many have not been handed out.
    #[getter(left)]
    fn left_py(&self) -> usize {
        self.left()
    }
}

impl Completions {
    fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    fn take(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        edge: impl FnOnce() -> PyResult<Edge>,
    ) -> PyResult<Option<u32>> {
        let limit = futures::limit(timeout)?;
        if self.left() == 0 {
            return Ok(None);
        }
        let mut place = self.inbox.try_take();
        if place.is_none() {
            let pools: Vec<_> = self.pools.iter().map(Some).collect();
            let waiting = Waiting::begin(py, edge()?, &pools)?;
            let heard = boundary::wait(py, limit, |slice| self.inbox.take(slice));
            waiting.end(py);
            place = heard?;
        }
        if place.is_some() {
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(place)
    }
}

impl Drop for Completions {
    fn drop(&mut self) {
        if self.left() == 0 {
            return;
        }
        Python::try_attach(|py| {
            for RunRef(group, index) in refs(self.futures.bind(py)).unwrap_or_default() {
                if !done(&group, index) {
                    group.unwatch(index, &self.inbox);
                }
            }
        });
    }
}
