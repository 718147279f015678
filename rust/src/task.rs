//! The base of `oxtask.Task`: calling and submitting, as far as no Python is needed for it.

use std::sync::Arc;

use oxtask_core::group::{Group, Outcome};
use oxtask_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::boundary::Enter;
use crate::caching::{Cache, Found, Turn};
use crate::collector::Known;
use crate::inputs::{self, Resolve};
use crate::plan::{Kind, Plan};
use crate::run::{self, Run, Shape, Spec};
use crate::runner::Runner;
use crate::{attempt, boundary, caching, clock, context, history, intake, runtime, verdict};

#[pyclass(frozen, subclass, dict, weakref, module = "oxtask._core")]
pub(crate) struct TaskBase {
    plan: Mutex<Option<Py<Plan>>>,
}

impl TaskBase {
    /// The plan of a task; made by `Task._make_plan` when there is none.
    #[inline]
    pub(crate) fn plan(slf: &Bound<'_, Self>) -> PyResult<Py<Plan>> {
        let py = slf.py();
        if let Some(plan) = slf.get().plan.lock().as_ref() {
            return Ok(plan.clone_ref(py));
        }
        let plan = slf.enter_method0("_make_plan")?.cast_into::<Plan>()?.unbind();
        let old = slf.get().plan.lock().replace(plan.clone_ref(py));
        drop(old);
        Ok(plan)
    }
}

#[pymethods]
impl TaskBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { plan: Mutex::new(None) }
    }

    /// Called when the task was changed.
    fn _forget_plan(&self) {
        let old = self.plan.lock().take();
        drop(old);
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let plan = Self::plan(slf)?;
        let is_rich = plan.get().is_call_rich(py);
        let simple = plan.get().kind == Kind::Sync
            && (!is_rich || plan.get().caching.is_some())
            && !history::is_on();
        if simple && plan.get().accepts(&args, kwargs.as_ref()) {
            let mut found = Vec::new();
            let mut clean = inputs::scan(args.as_any(), 0, &mut found)? == Resolve::Nothing;
            if let Some(kwargs) = kwargs.as_ref().filter(|_| clean) {
                clean = inputs::scan(kwargs.as_any(), 0, &mut found)? == Resolve::Nothing;
            }
            let is_rich_if_found = !clean || (is_rich && plan.get().is_rich_if_found(py));
            let (rich, cache) = caching::open(py, plan.get(), is_rich, is_rich_if_found)?;
            let result = match (rich, cache) {
                (false, cache) => call(slf, plan, &args, kwargs.as_ref(), cache)?,
                (true, Some(cache)) => find(py, &cache, &args, kwargs.as_ref())?,
                (true, None) => None,
            };
            if let Some(result) = result {
                return Ok(result);
            }
        }
        slf.enter_method("_call", (args, kwargs.unwrap_or_else(|| PyDict::new(py))))
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn submit<'py>(
        slf: &Bound<'py, Self>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let plan = Self::plan(slf)?;
        if plan.get().accepts(&args, kwargs.as_ref())
            && let Some(current) = context::get(py, &context::variables(py).runner)
            && let Ok(runner) = current.cast_exact::<Runner>()
        {
            let future = intake::submit(slf, &runner.get().pool, args, kwargs, None)?;
            return Ok(crate::futures::FUTURES.make(py, future)?.into_any());
        }
        slf.enter_method("_submit", (args, kwargs.unwrap_or_else(|| PyDict::new(py))))
    }
}

/// The value that is found for a direct call that needs the Python engine if there is none.
fn find<'py>(
    py: Python<'py>,
    cache: &Cache,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let run_id = runtime::get().ids.reserve(clock::now(), 1).id(0);
    let (shape, input) = call_input(py, args, kwargs)?;
    match cache.find(py, run_id, None, shape, &input)? {
        Found::Value(value) => Ok(Some(value)),
        Found::Nothing(_) | Found::Unknown => Ok(None),
    }
}

/// The arguments of a direct call as the input of a run.
fn call_input<'py>(
    py: Python<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<(Shape, Bound<'py, PyAny>)> {
    Ok(match kwargs {
        Some(kwargs) => {
            (Shape::ArgsKwargs, PyTuple::new(py, [args.as_any(), kwargs.as_any()])?.into_any())
        }
        None => (Shape::Args, args.clone().into_any()),
    })
}

/// Runs the body here and now, as a run of its own; `None` if the Python engine must.
fn call<'py>(
    task: &Bound<'py, TaskBase>,
    plan: Py<Plan>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    cache: Option<Box<Cache>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = task.py();
    let now = clock::now();
    let (shape, input) = call_input(py, args, kwargs)?;
    let spec = Spec {
        task: task.clone().into_any().unbind(),
        plan,
        rich: false,
        context: Some(context::snapshot(py)?),
        shape,
        resolve: Resolve::Nothing,
        wait_for: None,
        known: Known::default(),
        recorded: false,
        cache,
    };
    let ids = runtime::get().ids.reserve(now, 1);
    let group = Group::inline(spec, None, ids, now, py.None());
    group.begin(0, now);
    let mut missing = None;
    if let Some(cache) = &group.work.cache {
        match cache.find(py, group.id(0), None, group.work.shape, &input)? {
            Found::Value(value) => return Ok(Some(value)),
            Found::Nothing(own) => missing = Some(own),
            Found::Unknown => return Ok(None),
        }
    }
    let run = Run::new(Arc::clone(&group), 0, 1, None, Some(input.unbind()));
    let run = run::RUNS.make(py, run)?;
    let function = &group.work.plan.get().function;
    let kwargs = kwargs.map(Bound::as_any);
    let body = || match boundary::call(py, function, args.as_any(), kwargs) {
        Ok(value) if verdict::is_plain(&value) && !run.get().had_transaction() => {
            verdict::complete_direct(py, &run, value)
        }
        Ok(value) => verdict::judge_direct(py, &run, Ok(value)),
        Err(error) => verdict::judge_direct(py, &run, Err(error)),
    };
    let (answer, ended) = context::within(py, None, run.as_any(), || {
        let Some((cache, missing)) = group.work.cache.as_ref().zip(missing) else {
            return body();
        };
        match cache.turn(py, run.get(), &missing) {
            Ok(Turn::Made(value)) => (Ok(value.clone()), (Outcome::Cached, value)),
            Ok(Turn::Own(_flight)) => {
                let began = clock::now();
                cache.keep_direct(py, &run, &missing, began, body())
            }
            Err(error) => verdict::judge_direct(py, &run, Err(error)),
        }
    })?;
    let (outcome, output) = ended;
    attempt::settle(py, &group, 0, run.get().number(), outcome, Some(output.unbind()));
    answer.map(Some)
}

/// A run of a direct call, begun; the caller runs it and settles it.
#[pyfunction]
pub(crate) fn begin_direct<'py>(
    task: &Bound<'py, TaskBase>,
    args: &Bound<'py, PyAny>,
    kwargs: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, Run>> {
    let py = task.py();
    let plan = TaskBase::plan(task)?;
    let is_rich = plan.get().is_call_rich(py);
    let (rich, cache) = caching::open(py, plan.get(), is_rich, is_rich)?;
    let spec = Spec {
        task: task.clone().into_any().unbind(),
        rich: rich || cache.is_some(),
        plan,
        context: Some(context::snapshot(py)?),
        shape: Shape::ArgsKwargs,
        resolve: Resolve::Nothing,
        wait_for: None,
        known: Known::default(),
        recorded: history::is_on(),
        cache: None,
    };
    let now = clock::now();
    let group = Group::inline(spec, None, runtime::get().ids.reserve(now, 1), now, py.None());
    group.begin(0, now);
    let input = PyTuple::new(py, [args, kwargs])?.into_any().unbind();
    run::RUNS.make(py, Run::new(group, 0, 1, None, Some(input)))
}

/// Ends a run that was begun by `begin_direct`.
#[pyfunction]
pub(crate) fn settle(py: Python<'_>, run: &Bound<'_, Run>, code: u8, output: Option<Py<PyAny>>) {
    let held = run.get();
    let outcome = crate::futures::outcome(code);
    if !outcome.has_value() {
        Run::link(run);
    }
    attempt::settle(py, &held.group, held.index, held.number(), outcome, output);
}
