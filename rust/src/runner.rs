//! `Runner`: the pool as Python's task runners hold it, and how runs get into it.

use std::sync::Arc;
use std::time::Duration;

use oxtask_core::group::Phase;
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{Job, Pool};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::futures::{self, TaskRunFuture};
use crate::intake::{self, Columns, Needs};
use crate::plan::Plan;
use crate::run::{Runs, Spec};
use crate::task::TaskBase;
use crate::waiting::{Edge, Waiting};
use crate::workers::{self, PyHost, RunPool};
use crate::{boundary, clock, context, error, python, runtime, seat};

/// Tells the thread or event loop that is in the body of a run to stop.
pub(crate) fn interrupt(py: Python<'_>, group: &Runs, index: u32) -> PyResult<()> {
    if crate::loops::interrupt(py, group, index)? {
        return Ok(());
    }
    let exception = python::engine(py)?.getattr("RunInterrupted")?.unbind();
    for seat in seat::all() {
        if seat.interrupt(py, group, index, &exception) {
            break;
        }
    }
    Ok(())
}

/// How often a cancelled pool is looked at while it is drained.
const CANCELLED_SLICE: Duration = Duration::from_millis(20);

/// More threads than this stuck in bodies past their deadline, and submit refuses.
const MAX_STUCK: usize = 32;

#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Runner {
    pub(crate) pool: RunPool,
}

#[pymethods]
impl Runner {
    #[new]
    #[pyo3(signature = (max_workers=None))]
    fn new(py: Python<'_>, max_workers: Option<usize>) -> PyResult<Self> {
        let slots = max_workers.unwrap_or(usize::MAX);
        // Whoever imports `threading` first is its main thread: that must not be one of our workers.
        boundary::import(py, "threading")?;
        runtime::IN_USE.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(Self { pool: Pool::new(slots, runtime::get().generation, Box::new(PyHost)) })
    }

    /// Live worker threads, without those stuck past a deadline; and the stuck ones.
    #[getter]
    fn threads(&self) -> (usize, usize) {
        (self.pool.workers(), self.pool.stuck())
    }

    /// One run of `task`, by a plan that need not be the task's own.
    #[pyo3(signature = (task, args, kwargs=None, wait_for=None, plan=None))]
    fn submit<'py>(
        &self,
        task: &Bound<'py, TaskBase>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
        wait_for: Option<Bound<'py, PyAny>>,
        plan: Option<Py<Plan>>,
    ) -> PyResult<TaskRunFuture> {
        let plan = plan.map_or_else(|| TaskBase::plan(task), Ok)?;
        intake::submit_as(task, plan, &self.pool, args, kwargs, wait_for)
    }

    /// A run of `task` for each of `length` items.
    ///
    /// A column is `(mapped, value)`; the value of a mapped one is a list of `length`.
    #[pyo3(signature = (task, args, kwargs, length, wait_for=None))]
    fn map<'py>(
        &self,
        task: &Bound<'py, TaskBase>,
        args: Vec<(bool, Bound<'py, PyAny>)>,
        kwargs: Vec<(Bound<'py, PyAny>, bool, Bound<'py, PyAny>)>,
        length: u32,
        wait_for: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = task.py();
        self.check(py)?;
        let columns = Columns { args, kwargs };
        let shape = columns.shape();
        let mut needs = Needs::default();
        let mut inputs = Vec::with_capacity(length as usize);
        for index in 0..length {
            let input = columns.input(py, shape, index)?;
            needs.scan(&input, index)?;
            inputs.push(input.unbind());
        }
        let mut every = Vec::new();
        Needs::wait_for(wait_for.as_ref(), &mut every)?;
        let plan = TaskBase::plan(task)?;
        let spec = needs.spec(task, plan, context::snapshot(py)?, shape, wait_for)?;
        let group = needs.group(py, spec, &self.pool, inputs, &every);
        boundary::without_collector(py, || {
            let list = PyList::empty(py);
            for index in 0..length {
                let future = TaskRunFuture::new(Arc::clone(&group), index);
                list.append(futures::FUTURES.make(py, future)?)?;
            }
            Ok(list)
        })
    }

    /// Blocks until every run has ended; false when `timeout` passed first.
    #[pyo3(signature = (timeout=None))]
    fn drain(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let inbox = Arc::new(Inbox::new());
        if self.pool.tag() != runtime::get().generation || !self.pool.watch_drained(&inbox) {
            return Ok(true);
        }
        let limit = futures::limit(timeout)?;
        let waiting = Waiting::begin(py, Edge::none(), &[Some(&self.pool)])?;
        let started = clock::now();
        let mut heard = Ok(None);
        while let Ok(None) = heard {
            let left = limit.map(|limit| limit.saturating_sub(clock::since(started)));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            // On a cancelled pool runs may still come into the queue, and all workers be stuck.
            let slice = if self.pool.is_cancelled() {
                cancel_jobs(py, self.pool.cancel(), &mut Dropped::default());
                Some(left.map_or(CANCELLED_SLICE, |left| left.min(CANCELLED_SLICE)))
            } else {
                left
            };
            heard = boundary::wait(py, slice, |slice| inbox.take(slice));
            if slice.is_none() {
                break;
            }
        }
        waiting.end(py);
        Ok(heard?.is_some())
    }

    /// Lets workers leave when the queue is empty.
    fn close(&self) {
        context::forget_last();
        if self.pool.tag() == runtime::get().generation {
            self.pool.close();
        }
    }

    /// Cancels what is queued, parked or sleeping; with `running`, ends what is under way as well.
    ///
    /// Returns how many runs were cancelled, and the first of them.
    #[pyo3(signature = (running=false))]
    fn cancel_all(&self, py: Python<'_>, running: bool) -> PyResult<(usize, Vec<TaskRunFuture>)> {
        let mut dropped = Dropped::default();
        if self.pool.tag() != runtime::get().generation {
            return Ok((0, dropped.first));
        }
        // What ends releases what was parked on it, into the queue.
        loop {
            let jobs = self.pool.cancel();
            runtime::get().timers.hurry(&self.pool);
            if jobs.is_empty() {
                break;
            }
            cancel_jobs(py, jobs, &mut dropped);
        }
        if running {
            for (group, index) in self.bodies(py) {
                let (done, was_running) = workers::cancel(py, &group, index);
                if done {
                    dropped.add(&group, index);
                }
                if was_running {
                    interrupt(py, &group, index)?;
                }
            }
            cancel_jobs(py, self.pool.cancel(), &mut dropped);
        }
        Ok((dropped.count, dropped.first))
    }
}

/// How many cancelled runs are handed to Python, which names them to the user.
const NAMED: usize = 20;

/// What `Runner::cancel_all` has cancelled.
#[derive(Default)]
struct Dropped {
    count: usize,
    first: Vec<TaskRunFuture>,
}

impl Dropped {
    fn add(&mut self, group: &Runs, index: u32) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(TaskRunFuture::new(Arc::clone(group), index));
        }
    }
}

/// Cancels the runs of jobs that have not ended.
fn cancel_jobs(py: Python<'_>, jobs: Vec<Job<Spec>>, dropped: &mut Dropped) {
    for job in jobs {
        match job {
            Job::Runs { group, next, end } => {
                let waiting = (next..end).filter(|&index| {
                    !matches!(group.phase(index), Phase::Running | Phase::Done(_))
                });
                for index in waiting {
                    if workers::cancel(py, &group, index).0 {
                        dropped.add(&group, index);
                    }
                }
            }
            Job::Callbacks(callbacks) => {
                for callback in callbacks {
                    callback.run(py);
                }
            }
        }
    }
}

impl Runner {
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        check(py, &self.pool)
    }

    /// The runs whose bodies are under way.
    fn bodies(&self, py: Python<'_>) -> Vec<(Runs, u32)> {
        let seats = seat::all();
        let of_pool = |(group, _): &(Runs, u32)| {
            group.pool().is_some_and(|held| Arc::ptr_eq(held, &self.pool))
        };
        let mut bodies: Vec<_> =
            seats.iter().filter_map(|seat| seat.body()).filter(of_pool).collect();
        bodies.extend(crate::loops::bodies(py, &self.pool));
        bodies
    }
}

pub(crate) fn check(py: Python<'_>, pool: &RunPool) -> PyResult<()> {
    if pool.tag() != runtime::get().generation {
        return Err(crate::waiting::forked(py));
    }
    if pool.is_closed() || pool.is_cancelled() {
        let message =
            "Task runner is not started, or was closed: submit inside its `with` block or flow";
        return Err(pyo3::exceptions::PyRuntimeError::new_err(message));
    }
    let stuck = pool.stuck();
    if stuck > MAX_STUCK {
        let message = format!(
            "{stuck} threads are stuck in tasks that passed their deadline and cannot be stopped; \
             refusing to start more. Make those tasks return, or run them in processes"
        );
        return Err(error::oxtask(py, "TooManyStuckTasksError", message));
    }
    Ok(())
}
