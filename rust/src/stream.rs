//! `Stream`: results of a task over an iterable of any length, with a bounded number of runs ahead.
//!
//! Runs live in blocks, groups of a fixed size that are filled as items are pulled and dropped when the last of
//! their results is taken. Items are pulled on the consumer's thread: up to `window` ahead while it has to wait,
//! and not at all while the next result is there, unless the source has been quick so far and fewer than
//! half a window are under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use oxtask_core::group::{Group, Outcome, Phase, Watcher};
use oxtask_core::inbox::Inbox;
use oxtask_core::sync::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::boundary::Enter;
use crate::futures::TaskRunFuture;
use crate::inputs::{self, Resolve};
use crate::plan::Plan;
use crate::run::{Runs, Shape, Spec};
use crate::runner::Runner;
use crate::task::TaskBase;
use crate::waiting::{Edge, Waiting};
use crate::workers::RunPool;
use crate::{boundary, clock, context, python, runtime, workers};

const MAX_BLOCK: u32 = 256;
/// A source that takes longer for an item is slow: a result that is there is not kept waiting for it.
const QUICK: Duration = Duration::from_micros(50);

struct Block {
    group: Runs,
    /// Runs pulled into the block before this one.
    base: u64,
    filled: u32,
    yielded: u32,
}

struct Flow {
    source: Option<Py<PyAny>>,
    source_error: Option<PyErr>,
    slow: bool,
    blocks: VecDeque<Block>,
    pulled: u64,
    yielded: u64,
    busy: bool,
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
    flow: Mutex<Flow>,
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
        let flow = Flow {
            source: Some(source),
            source_error: None,
            slow: false,
            blocks: VecDeque::new(),
            pulled: 0,
            yielded: 0,
            busy: false,
        };
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
            flow: Mutex::new(flow),
        })
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if std::mem::replace(&mut self.flow.lock().busy, true) {
            return Err(PyRuntimeError::new_err("this stream is being read by another thread"));
        }
        let result = self.advance(py);
        self.flow.lock().busy = false;
        result
    }

    /// Pulls no more; what has not started is cancelled.
    fn close(&self, py: Python<'_>) {
        let (source, blocks) = {
            let mut flow = self.flow.lock();
            (flow.source.take(), std::mem::take(&mut flow.blocks))
        };
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
        let flow = self.flow.lock();
        (flow.pulled, flow.yielded)
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
    fn advance(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.pull(py)?;
        let outstanding = {
            let flow = self.flow.lock();
            flow.pulled - flow.yielded
        };
        if outstanding == 0 {
            return Err(match self.flow.lock().source_error.take() {
                Some(error) => error,
                None => PyStopIteration::new_err(()),
            });
        }
        if self.ordered { self.next_in_order(py) } else { self.next_ended(py) }
    }

    /// Pulls items as far as that is wanted now.
    fn pull(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let source = {
                let flow = self.flow.lock();
                let ahead = flow.pulled - flow.yielded;
                let wanted = ahead < self.window
                    && (!self.is_ready(&flow) || (!flow.slow && ahead * 2 < self.window));
                match &flow.source {
                    Some(source) if wanted => source.clone_ref(py),
                    _ => return Ok(()),
                }
            };
            // A quick source is asked for several items between two looks at the clock and the next result.
            for _ in 0..self.batch() {
                let asked = clock::now();
                let item = Self::next_item(py, &source);
                self.flow.lock().slow = clock::since(asked) > QUICK;
                match item {
                    Ok(Some(item)) => self.fill(py, &item)?,
                    Ok(None) => {
                        let ended = self.flow.lock().source.take();
                        drop(ended);
                        return Ok(());
                    }
                    Err(error) => {
                        let mut flow = self.flow.lock();
                        let ended = flow.source.take();
                        let error = noted(py, error, flow.pulled);
                        flow.source_error = Some(error);
                        drop(flow);
                        drop(ended);
                        return Ok(());
                    }
                }
                if self.flow.lock().slow {
                    break;
                }
            }
        }
    }

    fn batch(&self) -> u64 {
        let flow = self.flow.lock();
        let room = self.window - (flow.pulled - flow.yielded);
        if flow.slow { 1 } else { room.min(16) }
    }

    fn next_item<'py>(py: Python<'py>, source: &Py<PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let source = source.bind(py);
        // SAFETY: attached; the source came from `iter`. Null without an error is the end.
        unsafe {
            let item = pyo3::ffi::PyIter_Next(source.as_ptr());
            match Bound::from_owned_ptr_or_opt(py, item) {
                Some(item) => Ok(Some(item)),
                None => PyErr::take(py).map_or(Ok(None), Err),
            }
        }
    }

    fn fill(&self, py: Python<'_>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let input = self.input(py, item)?;
        let mut found = Vec::new();
        let plain = inputs::scan(&input, 0, &mut found)? == Resolve::Nothing;
        let group = self.open_block(py, !plain)?;
        let index = {
            let mut flow = self.flow.lock();
            flow.pulled += 1;
            let Some(block) = flow.blocks.back_mut() else { return Ok(()) };
            block.filled += 1;
            block.filled - 1
        };
        if group.fill(input.unbind()).is_ok() && !self.ordered {
            let base = self.flow.lock().blocks.back().map_or(0, |block| block.base);
            #[allow(clippy::cast_possible_truncation)] // tokens wrap; they differ within a window
            let token = (base + u64::from(index)) as u32;
            if group.watch(index, Watcher::Inbox(Arc::clone(&self.inbox), token)).is_err() {
                self.inbox.deliver(token);
            }
        }
        Ok(())
    }

    fn input<'py>(&self, py: Python<'py>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if self.shape == Shape::One {
            return Ok(item.clone());
        }
        let rest = self.args.bind(py);
        let args = std::iter::once(item.clone()).chain(rest.iter()).collect::<Vec<_>>();
        let args = PyTuple::new(py, args)?.into_any();
        match &self.kwargs {
            Some(kwargs) => {
                Ok(PyTuple::new(py, [args, kwargs.bind(py).copy()?.into_any()])?.into_any())
            }
            None => Ok(args),
        }
    }

    /// The block that takes the next run.
    fn open_block(&self, py: Python<'_>, special: bool) -> PyResult<Runs> {
        {
            let flow = self.flow.lock();
            if let Some(block) = flow.blocks.back()
                && block.filled < block.group.len()
                && (block.group.work.resolve == Resolve::Nothing) != special
            {
                return Ok(Arc::clone(&block.group));
            }
        }
        let spec = Spec {
            task: self.task.clone_ref(py).into_any(),
            plan: self.plan.clone_ref(py),
            rich: self.rich,
            context: Some(self.context.clone_ref(py)),
            shape: self.shape,
            // Items with futures in them are rare in a stream: they are resolved by the Python walk, in the worker.
            resolve: if special { Resolve::Python } else { Resolve::Nothing },
            wait_for: None,
        };
        let now = clock::now();
        let ids = runtime::get().ids.reserve(now, self.block);
        crate::runner::check(py, &self.pool)?;
        let group = Group::vacant(spec, Arc::clone(&self.pool), ids, now, self.block);
        let mut flow = self.flow.lock();
        let base = flow.pulled;
        flow.blocks.push_back(Block { group: Arc::clone(&group), base, filled: 0, yielded: 0 });
        Ok(group)
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

    fn next_in_order(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (group, index) = {
            let flow = self.flow.lock();
            match flow.blocks.front() {
                Some(block) => (Arc::clone(&block.group), block.yielded),
                None => return Err(PyStopIteration::new_err(())),
            }
        };
        crate::waiting::wait_for_run(py, &group, index, None, true)?;
        let spent = {
            let mut flow = self.flow.lock();
            flow.yielded += 1;
            let block = flow.blocks.front_mut();
            let spent = block.is_some_and(|block| {
                block.yielded += 1;
                block.yielded == block.group.len() || block.yielded == block.filled
            });
            if spent && flow.blocks.len() > 1 { flow.blocks.pop_front() } else { None }
        };
        drop(spent);
        Self::hand_out(py, &group, index)
    }

    fn next_ended(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut token = self.inbox.try_take();
        if token.is_none() {
            let waiting = Waiting::begin(py, Edge::none(), &[Some(&self.pool)])?;
            let heard = boundary::wait(py, None, |slice| self.inbox.take(slice));
            waiting.end(py);
            token = heard?;
        }
        let token = token.unwrap_or(0);
        let (group, index, spent) = {
            let mut flow = self.flow.lock();
            flow.yielded += 1;
            #[allow(clippy::cast_possible_truncation)] // as the tokens
            let place = flow
                .blocks
                .iter()
                .position(|block| token.wrapping_sub(block.base as u32) < block.filled);
            let Some(place) = place else { return Err(PyStopIteration::new_err(())) };
            let last = place + 1 == flow.blocks.len();
            let block = &mut flow.blocks[place];
            block.yielded += 1;
            #[allow(clippy::cast_possible_truncation)] // as the tokens
            let index = token.wrapping_sub(block.base as u32);
            let group = Arc::clone(&block.group);
            let spent =
                block.yielded == block.filled && (!last || block.filled == block.group.len());
            let spent = if spent { flow.blocks.remove(place) } else { None };
            (group, index, spent)
        };
        drop(spent);
        Self::hand_out(py, &group, index)
    }

    fn hand_out(py: Python<'_>, group: &Runs, index: u32) -> PyResult<Py<PyAny>> {
        if group.phase(index) == Phase::Done(Outcome::Completed)
            && let Some(value) = group.take(index)
        {
            return Ok(value);
        }
        let future = Bound::new(py, TaskRunFuture::new(Arc::clone(group), index))?;
        python::futures(py)?.enter_method("outcome_of", (future, true)).map(Bound::unbind)
    }
}

fn noted(py: Python<'_>, error: PyErr, count: u64) -> PyErr {
    let text = format!("raised by the iterable at item {count}; {count} items came before it");
    let noted = boundary::import(py, "oxtask._internal.inputs")
        .and_then(|module| module.enter_method("note", (error.value(py), text)));
    match noted {
        Ok(_) => error,
        Err(other) => other,
    }
}
