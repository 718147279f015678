//! Items come in: they are pulled from the source and put into blocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use oxtask_core::group::{Group, Watcher};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{BATCH, Block, Flow, QUICK, Stream};
use crate::boundary::Enter;
use crate::collector::Known;
use crate::inputs::{self, Resolve};
use crate::run::{Shape, Spec};
use crate::{boundary, caching, clock, history, runtime};

impl Stream {
    /// Pulls items as far as that is wanted now.
    pub(super) fn pull(&self, py: Python<'_>, flow: &mut Box<Flow>) -> PyResult<()> {
        loop {
            let ahead = self.ahead();
            let wanted = ahead < self.window
                && (!self.is_ready(flow) || (!flow.slow && ahead * 2 < self.window));
            let source = match &flow.source {
                Some(source) if wanted => source.clone_ref(py),
                _ => return Ok(()),
            };
            // A quick source is asked for several items between two looks at the next result.
            let count = if flow.slow { 1 } else { (self.window - ahead).min(BATCH) };
            let mut asked = clock::now();
            for _ in 0..count {
                let item = Self::next_item(py, &source);
                let answered = clock::now();
                flow.slow = Duration::from_nanos(answered.saturating_sub(asked)) > QUICK;
                asked = answered;
                match item {
                    Ok(Some(item)) => self.fill(py, flow, &item)?,
                    Ok(None) => {
                        drop(flow.source.take());
                        return Ok(());
                    }
                    // An interrupt is meant for whoever reads, not for the source: it waits for no result.
                    Err(error) if !error.is_instance_of::<PyException>(py) => return Err(error),
                    Err(error) => {
                        let pulled = self.pulled.load(Ordering::Relaxed);
                        flow.source_error = Some(noted(py, error, pulled));
                        drop(flow.source.take());
                        return Ok(());
                    }
                }
                if flow.slow || self.closed.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
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

    fn fill(&self, py: Python<'_>, flow: &mut Box<Flow>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let input = self.input(py, item)?;
        let mut found = Vec::new();
        let plain = inputs::scan(&input, 0, &mut found)? == Resolve::Nothing;
        let block = self.open_block(py, flow, !plain)?;
        Self::count(&self.pulled);
        let index = block.filled;
        block.filled += 1;
        let filled = block.group.fill(input.unbind()).is_ok();
        if filled && block.group.work.recorded {
            history::submitted(py, &block.group, index, None);
        }
        if filled && !self.ordered {
            #[allow(clippy::cast_possible_truncation)] // tokens wrap; they differ within a window
            let token = (block.base + u64::from(index)) as u32;
            if block.group.watch(index, Watcher::Inbox(Arc::clone(&self.inbox), token)).is_err() {
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
    fn open_block<'a>(
        &self,
        py: Python<'_>,
        flow: &'a mut Flow,
        special: bool,
    ) -> PyResult<&'a mut Block> {
        let is_open = flow.blocks.back().is_some_and(|block| {
            block.filled < block.group.len()
                && (block.group.work.resolve == Resolve::Nothing) != special
        });
        if !is_open {
            // The last block is filled no further.
            if flow.blocks.back().is_some_and(|block| block.is_spent(false)) {
                flow.blocks.pop_back();
            }
            flow.blocks.push_back(self.new_block(py, special)?);
        }
        let last = flow.blocks.len() - 1;
        Ok(&mut flow.blocks[last])
    }

    fn new_block(&self, py: Python<'_>, special: bool) -> PyResult<Block> {
        let (rich, cache) = caching::open(py, self.plan.get(), self.rich, self.rich)?;
        let spec = Spec {
            task: self.task.clone_ref(py).into_any(),
            plan: self.plan.clone_ref(py),
            rich,
            context: Some(self.context.clone_ref(py)),
            shape: self.shape,
            // Items with futures in them are rare in a stream: they are resolved by the Python walk, in the worker.
            resolve: if special { Resolve::Python } else { Resolve::Nothing },
            wait_for: None,
            known: Known::default(),
            recorded: history::is_on(),
            cache,
        };
        let now = clock::now();
        let ids = runtime::get().ids.reserve(now, self.block);
        crate::runner::check(py, &self.pool)?;
        let group = Group::vacant(spec, Arc::clone(&self.pool), ids, now, self.block);
        let base = self.pulled.load(Ordering::Relaxed);
        Ok(Block { group, base, filled: 0, yielded: 0 })
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
