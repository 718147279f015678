//! How arguments become the inputs of runs, and runs get into a pool.

use std::sync::Arc;

use oxtask_core::group::{Group, Phase, Watcher};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::collector::Known;
use crate::futures::TaskRunFuture;
use crate::inputs::{self, Resolve};
use crate::plan::Plan;
use crate::run::{Runs, Shape, Spec};
use crate::runner::check;
use crate::task::TaskBase;
use crate::workers::RunPool;
use crate::{caching, clock, context, history, python, runtime};

/// The arguments of a map, by column.
pub(crate) struct Columns<'py> {
    pub(crate) args: Vec<(bool, Bound<'py, PyAny>)>,
    pub(crate) kwargs: Vec<(Bound<'py, PyAny>, bool, Bound<'py, PyAny>)>,
}

impl<'py> Columns<'py> {
    pub(crate) fn shape(&self) -> Shape {
        match (self.args.len(), self.kwargs.is_empty()) {
            (1, true) => Shape::One,
            (_, true) => Shape::Args,
            (_, false) => Shape::ArgsKwargs,
        }
    }

    pub(crate) fn input(
        &self,
        py: Python<'py>,
        shape: Shape,
        index: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let pick = |mapped: bool, value: &Bound<'py, PyAny>| {
            if mapped {
                value.cast::<PyList>()?.get_item(index as usize)
            } else {
                Ok(value.clone())
            }
        };
        if shape == Shape::One {
            return pick(self.args[0].0, &self.args[0].1);
        }
        let args = self.args.iter().map(|(mapped, value)| pick(*mapped, value));
        let args = PyTuple::new(py, args.collect::<PyResult<Vec<_>>>()?)?;
        if shape == Shape::Args {
            return Ok(args.into_any());
        }
        let kwargs = PyDict::new(py);
        for (name, mapped, value) in &self.kwargs {
            kwargs.set_item(name, pick(*mapped, value)?)?;
        }
        Ok(PyTuple::new(py, [args.into_any(), kwargs.into_any()])?.into_any())
    }
}

/// What the runs of a new group wait for.
#[derive(Default)]
pub(crate) struct Needs {
    pub(crate) resolve: Resolve,
    pending: Vec<(u32, Py<TaskRunFuture>)>,
}

impl Needs {
    #[inline]
    pub(crate) fn scan(&mut self, input: &Bound<'_, PyAny>, index: u32) -> PyResult<()> {
        if inputs::is_scalar(input) { Ok(()) } else { self.scan_all(input, index) }
    }

    fn scan_all(&mut self, input: &Bound<'_, PyAny>, index: u32) -> PyResult<()> {
        let mut found = Vec::new();
        let how = inputs::scan(input, 0, &mut found)?;
        if how == Resolve::Nothing {
            return Ok(());
        }
        if how == Resolve::Python {
            found.clear();
            python::extend_futures(input.py(), input.as_unbound(), &mut found);
        }
        self.resolve = self.resolve.max(how);
        let unfinished = inputs::pending(&found);
        self.pending.extend(unfinished.map(|future| (index, future.clone_ref(input.py()))));
        Ok(())
    }

    /// What every run waits for.
    pub(crate) fn wait_for(
        wait_for: Option<&Bound<'_, PyAny>>,
        every: &mut Vec<Py<TaskRunFuture>>,
    ) -> PyResult<()> {
        if let Some(wait_for) = wait_for
            && inputs::scan(wait_for, 0, every)? == Resolve::Python
        {
            every.clear();
            python::extend_futures(wait_for.py(), wait_for.as_unbound(), every);
        }
        Ok(())
    }

    /// What the runs of a new group share.
    pub(crate) fn spec(
        &self,
        task: &Bound<'_, TaskBase>,
        plan: Py<Plan>,
        context: Py<PyAny>,
        shape: Shape,
        wait_for: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Spec> {
        let py = task.py();
        let (is_rich, is_rich_if_found) = (plan.get().is_rich(py), plan.get().is_rich_if_found(py));
        let (rich, cache) = caching::open(py, plan.get(), is_rich, is_rich_if_found)?;
        Ok(Spec {
            task: task.clone().into_any().unbind(),
            rich,
            plan,
            context: Some(context),
            shape,
            resolve: self.resolve,
            wait_for: wait_for.map(Bound::unbind),
            known: Known::default(),
            recorded: history::is_on(),
            cache,
        })
    }

    pub(crate) fn group(
        self,
        py: Python<'_>,
        spec: Spec,
        pool: &RunPool,
        inputs: Vec<Py<PyAny>>,
        every: &[Py<TaskRunFuture>],
    ) -> Runs {
        let now = clock::now();
        #[allow(clippy::cast_possible_truncation)] // `length` was 32 bits wide
        let length = inputs.len() as u32;
        let ids = runtime::get().ids.reserve(now, length);
        let pool = Arc::clone(pool);
        let recorded = spec.recorded;
        let ready = self.pending.is_empty() && every.iter().all(|future| future.get().is_done());
        if ready && !recorded {
            return Group::queued(spec, pool, ids, now, inputs);
        }
        let group = Group::parked(spec, Some(Arc::clone(&pool)), ids, now, inputs);
        pool.note_parked(&group);
        for (index, future) in &self.pending {
            hold(&group, *index, future);
        }
        for index in 0..length {
            for future in every {
                hold(&group, index, future);
            }
            if recorded {
                let input = group.peek_input(index, |input| input.clone_ref(py));
                let input = input.as_ref().map(|input| (group.work.shape, input.bind(py)));
                history::submitted(py, &group, index, input);
            }
            group.release(index);
        }
        group
    }
}

fn hold(group: &Runs, index: u32, future: &Py<TaskRunFuture>) {
    let (upstream, at) = future.get().run();
    if matches!(upstream.phase(at), Phase::Done(_)) {
        return;
    }
    group.hold(index);
    if upstream.watch(at, Watcher::Dependent(Arc::clone(group), index)).is_err() {
        group.release(index);
    }
}

/// Queues or parks one run of `task`.
pub(crate) fn submit<'py>(
    task: &Bound<'py, TaskBase>,
    pool: &RunPool,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
    wait_for: Option<Bound<'py, PyAny>>,
) -> PyResult<TaskRunFuture> {
    submit_as(task, TaskBase::plan(task)?, pool, args, kwargs, wait_for)
}

/// The same, with a plan that need not be the task's own.
pub(crate) fn submit_as<'py>(
    task: &Bound<'py, TaskBase>,
    plan: Py<Plan>,
    pool: &RunPool,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
    wait_for: Option<Bound<'py, PyAny>>,
) -> PyResult<TaskRunFuture> {
    let py = task.py();
    check(py, pool)?;
    let (shape, input) = match kwargs {
        Some(kwargs) if !kwargs.is_empty() => {
            let pair = PyTuple::new(py, [args.into_any(), kwargs.into_any()])?;
            (Shape::ArgsKwargs, pair.into_any())
        }
        _ if args.len() == 1 => (Shape::One, args.get_item(0)?),
        _ => (Shape::Args, args.into_any()),
    };
    let mut needs = Needs::default();
    needs.scan(&input, 0)?;
    let mut every = Vec::new();
    Needs::wait_for(wait_for.as_ref(), &mut every)?;
    let spec = needs.spec(task, plan, context::shared_snapshot(py)?, shape, wait_for)?;
    let group = needs.group(py, spec, pool, vec![input.unbind()], &every);
    Ok(TaskRunFuture::new(group, 0))
}
