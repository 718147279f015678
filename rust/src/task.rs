//! The base of `oxtask.Task`: calling and submitting, as far as no Python is needed for it.

use std::sync::Arc;

use oxtask_core::group::{Group, Outcome};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::futures::TaskRunFuture;
use crate::inputs::{self, Resolve};
use crate::plan::{Kind, Plan};
use crate::run::{self, Run, Shape, Spec};
use crate::runner::{self, Runner};
use crate::{boundary, clock, context, runtime};

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
        let plan = slf.call_method0("_make_plan")?.cast_into::<Plan>()?.unbind();
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
        let simple = plan.get().kind == Kind::Sync && !plan.get().is_rich(py);
        if simple && plan.get().accepts(&args, kwargs.as_ref()) {
            let mut found = Vec::new();
            let mut clean = inputs::scan(args.as_any(), 0, &mut found)? == Resolve::Nothing;
            if let Some(kwargs) = kwargs.as_ref().filter(|_| clean) {
                clean = inputs::scan(kwargs.as_any(), 0, &mut found)? == Resolve::Nothing;
            }
            if clean {
                return call(slf, plan, args, kwargs);
            }
        }
        slf.call_method1("_call", (args, kwargs.unwrap_or_else(|| PyDict::new(py))))
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
            let future = runner::submit(slf, &runner.get().pool, args, kwargs, None)?;
            return Ok(boundary::untracked(py, future)?.into_any());
        }
        slf.call_method1("_submit", (args, kwargs.unwrap_or_else(|| PyDict::new(py))))
    }
}

/// Runs the body here and now, as a run of its own.
fn call<'py>(
    task: &Bound<'py, TaskBase>,
    plan: Py<Plan>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = task.py();
    let now = clock::now();
    let spec = Spec {
        task: task.clone().into_any().unbind(),
        plan,
        rich: false,
        context: None,
        shape: Shape::Args,
        resolve: Resolve::Nothing,
        wait_for: None,
    };
    let ids = runtime::get().ids.reserve(now, 1);
    let group = Group::inline(spec, None, ids, now, py.None());
    group.begin(0, now);
    let run = boundary::untracked(py, Run::new(Arc::clone(&group), 0, 1, None))?;
    let function = &group.work.plan.get().function;
    let kwargs = kwargs.as_ref().map(Bound::as_any);
    let (answer, ended) = context::within(py, None, run.as_any(), || {
        match boundary::call(py, function, args.as_any(), kwargs) {
            Ok(value) if run::is_plain(&value) => (Ok(value.clone()), (Outcome::Completed, value)),
            Ok(value) => run::judge_direct(py, &run, Ok(value)),
            Err(error) => run::judge_direct(py, &run, Err(error)),
        }
    })?;
    let (outcome, output) = ended;
    run::settle(py, &group, 0, 1, outcome, Some(output.unbind()));
    answer
}

/// The future of a run, for the Python engine.
pub(crate) fn future_of(run: &Run) -> TaskRunFuture {
    TaskRunFuture::new(Arc::clone(&run.group), run.index)
}
