//! `Stream`: results of a task over an iterable of any length, with a bounded number of runs ahead.
//!
//! Runs live in blocks, groups of a fixed size that are filled as items are pulled and dropped when the last of
//! their results is taken. Items are pulled on the consumer's thread: up to `window` ahead while it has to wait,
//! and not at all while the next result is there, unless the source has been quick so far and fewer than
//! half a window are under way.

mod pull;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use oxtask_core::group::Phase;
use oxtask_core::inbox::Inbox;
use oxtask_core::sync::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::boundary::Enter;
use crate::futures::TaskRunFuture;
use crate::plan::Plan;
use crate::run::{Runs, Shape};
use crate::runner::Runner;
use crate::task::TaskBase;
use crate::waiting::{Edge, Waiting};
use crate::workers::RunPool;
use crate::{boundary, context, python, waiting, workers};

const MAX_BLOCK: u32 = 256;
/// Items that a quick source is asked for at a time.
const BATCH: u64 = 16;
/// A source that takes longer for an item is slow: a result that is there is not kept waiting for it.
const QUICK: Duration = Duration::from_micros(50);

struct Block {
    group: Runs,
    /// Runs pulled into the block before this one.
    base: u64,
    filled: u32,
    yielded: u32,
}

impl Block {
    /// Whether all its results were taken; the last block may get more.
    fn is_spent(&self, is_last: bool) -> bool {
        self.yielded == self.filled && !(is_last && self.filled < self.group.len())
    }
}

#[derive(Default)]
struct Flow {
    source: Option<Py<PyAny>>,
    source_error: Option<PyErr>,
    slow: bool,
    blocks: VecDeque<Block>,
}

#[pyclass(frozen, weakref, module = "oxtask._core")]
pub(crate) struct Stream {
    pool: RunPool,
    task: Py<TaskBase>,
    plan: Py<Plan>,
    context: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
    shape: Shape,
    rich: bool,
    ordered: bool,
    window: u64,
    block: u32,
    inbox: Arc<Inbox>,
    /// Out of its lock while a consumer asks the source, and in it while he waits.
    flow: Mutex<Option<Box<Flow>>>,
    busy: AtomicBool,
    closed: AtomicBool,
    pulled: AtomicU64,
    yielded: AtomicU64,
}

#[pymethods]
impl Stream {
    #[new]
    #[allow(clippy::too_many_arguments)] // private: `Task.stream` is what users call
    #[pyo3(signature = (runner, task, source, args, kwargs, ordered, window))]
    fn new(
        py: Python<'_>,
        runner: &Bound<'_, Runner>,
        task: Bound<'_, TaskBase>,
        source: Py<PyAny>,
        args: Bound<'_, PyTuple>,
        kwargs: Option<Bound<'_, PyDict>>,
        ordered: bool,
        window: u32,
    ) -> PyResult<Self> {
        let plan = TaskBase::plan(&task)?;
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        let shape = match (&kwargs, args.is_empty()) {
            (Some(_), _) => Shape::ArgsKwargs,
            (None, true) => Shape::One,
            (None, false) => Shape::Args,
        };
        let flow = Flow { source: Some(source), ..Flow::default() };
        Ok(Self {
            pool: Arc::clone(&runner.get().pool),
            rich: plan.get().is_rich(py),
            plan,
            context: context::snapshot(py)?,
            task: task.unbind(),
            args: args.unbind(),
            kwargs: kwargs.map(Bound::unbind),
            shape,
            ordered,
            window: u64::from(window),
            block: window.clamp(1, MAX_BLOCK),
            inbox: Arc::new(Inbox::new()),
            flow: Mutex::new(Some(Box::new(flow))),
            busy: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            pulled: AtomicU64::new(0),
            yielded: AtomicU64::new(0),
        })
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(PyRuntimeError::new_err("this stream is being read by another thread"));
        }
        let mut flow = self.flow.lock().take().unwrap_or_default();
        let result = self.advance(py, &mut flow);
        self.give_back(py, flow);
        self.busy.store(false, Ordering::Release);
        result
    }

    /// Pulls no more; what has not started is cancelled.
    fn close(&self, py: Python<'_>) {
        self.closed.store(true, Ordering::Relaxed);
        let Some(flow) = self.flow.lock().take() else { return };
        let Flow { source, blocks, .. } = *flow;
        for block in blocks {
            for index in block.yielded.min(block.filled)..block.filled {
                if matches!(block.group.phase(index), Phase::Ready | Phase::Parked | Phase::Delayed)
                {
                    workers::cancel(py, &block.group, index);
                }
            }
        }
        if let Some(close) = source.and_then(|source| source.getattr(py, "close").ok())
            && let Err(raised) = close.bind(py).enter0()
        {
            python::callback_failed(py, &raised);
        }
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    /// How many items have been pulled, and how many results taken.
    #[getter]
    fn counts(&self) -> (u64, u64) {
        (self.pulled.load(Ordering::Relaxed), self.yielded.load(Ordering::Relaxed))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            // An exception on its way through the consumer is not ours to clear.
            let passing = PyErr::take(py);
            self.close(py);
            if let Some(error) = passing {
                error.restore(py);
            }
        });
    }
}

impl Stream {
    fn advance(&self, py: Python<'_>, flow: &mut Box<Flow>) -> PyResult<Py<PyAny>> {
        self.pull(py, flow)?;
        if self.ahead() == 0 || self.closed.load(Ordering::Relaxed) {
            return Err(flow.source_error.take().unwrap_or_else(|| PyStopIteration::new_err(())));
        }
        if self.ordered { self.next_in_order(py, flow) } else { self.next_ended(py, flow) }
    }

    fn give_back(&self, py: Python<'_>, flow: Box<Flow>) {
        *self.flow.lock() = Some(flow);
        if self.closed.load(Ordering::Relaxed) {
            self.close(py);
        }
    }

    /// Waits, with the flow where `close` finds it.
    fn waiting<T>(&self, py: Python<'_>, flow: &mut Box<Flow>, wait: impl FnOnce() -> T) -> T {
        self.give_back(py, std::mem::take(flow));
        let result = wait();
        *flow = self.flow.lock().take().unwrap_or_default();
        result
    }

    /// How many results are outstanding.
    fn ahead(&self) -> u64 {
        self.pulled.load(Ordering::Relaxed) - self.yielded.load(Ordering::Relaxed)
    }

    fn count(counter: &AtomicU64) -> u64 {
        let before = counter.load(Ordering::Relaxed);
        counter.store(before + 1, Ordering::Relaxed);
        before
    }

    /// Whether a result can be had without waiting.
    fn is_ready(&self, flow: &Flow) -> bool {
        if !self.ordered {
            return !self.inbox.is_empty();
        }
        flow.blocks.front().is_some_and(|block| {
            block.yielded < block.filled
                && matches!(block.group.phase(block.yielded), Phase::Done(_))
        })
    }

    fn next_in_order(&self, py: Python<'_>, flow: &mut Box<Flow>) -> PyResult<Py<PyAny>> {
        let Some(block) = flow.blocks.front() else { return Err(PyStopIteration::new_err(())) };
        let (group, index) = (Arc::clone(&block.group), block.yielded);
        if !matches!(group.phase(index), Phase::Done(_)) {
            // Not in the main thread: what it calls may be deaf to Ctrl-C, and nobody here asked for a call.
            let here = !boundary::on_main_thread(py)?;
            self.waiting(py, flow, || waiting::wait_for_run(py, &group, index, None, here))?;
        }
        Self::count(&self.yielded);
        let is_last = flow.blocks.len() == 1;
        if let Some(block) = flow.blocks.front_mut() {
            block.yielded += 1;
            if block.is_spent(is_last) {
                flow.blocks.pop_front();
            }
        }
        Self::hand_out(py, &group, index)
    }

    fn next_ended(&self, py: Python<'_>, flow: &mut Box<Flow>) -> PyResult<Py<PyAny>> {
        let mut token = self.inbox.try_take();
        if token.is_none() {
            token = self.waiting(py, flow, || {
                let waiting = Waiting::begin(py, Edge::none(), &[Some(&self.pool)])?;
                let heard = boundary::wait(py, None, |slice| self.inbox.take(slice));
                waiting.end(py);
                heard
            })?;
        }
        let token = token.unwrap_or(0);
        Self::count(&self.yielded);
        #[allow(clippy::cast_possible_truncation)] // as the tokens
        let index_in = |block: &Block| token.wrapping_sub(block.base as u32);
        let place = flow.blocks.iter().position(|block| index_in(block) < block.filled);
        let Some(place) = place else { return Err(PyStopIteration::new_err(())) };
        let is_last = place + 1 == flow.blocks.len();
        let block = &mut flow.blocks[place];
        block.yielded += 1;
        let (group, index) = (Arc::clone(&block.group), index_in(block));
        if block.is_spent(is_last) {
            flow.blocks.remove(place);
        }
        Self::hand_out(py, &group, index)
    }

    fn hand_out(py: Python<'_>, group: &Runs, index: u32) -> PyResult<Py<PyAny>> {
        if let Some(value) = group.take_completed(index) {
            return Ok(value);
        }
        let future = Bound::new(py, TaskRunFuture::new(Arc::clone(group), index))?;
        python::futures(py)?.enter_method("outcome_of", (future, true)).map(Bound::unbind)
    }
}
