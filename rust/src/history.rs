//! What the history of runs asks of the core: who a run is, when it has ended, and, on demand, to hear of every run.
//!
//! A run that nobody looks at is not known to `oxtask._internal.run_history`: all that it costs is a look at a flag.
//! One that somebody looks at is [observed](observe): the history holds a [`Trace`] of it, which keeps nothing
//! alive, and is called when the run ends. While [every run is recorded](is_on), runs are observed from the moment
//! they are made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use oxtask_core::group::{Group, Watcher};
use oxtask_core::ids;
use pyo3::prelude::*;

use crate::boundary::Enter;
use crate::futures::TaskRunFuture;
use crate::run::{Runs, Shape, Spec};
use crate::workers::Callback;
use crate::{attempt, boundary, error};

static EVERY_RUN: AtomicBool = AtomicBool::new(false);

/// Whether every run is recorded; asked once a submission.
#[inline]
pub(crate) fn is_on() -> bool {
    EVERY_RUN.load(Ordering::Relaxed)
}

#[pyfunction]
pub(crate) fn record_every_run(on: bool) {
    EVERY_RUN.store(on, Ordering::Relaxed);
}

/// A run that is not kept alive.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Trace {
    group: Weak<Group<Spec>>,
    index: u32,
}

#[pymethods]
impl Trace {
    /// The future of the run, unless all that could ask for its result are gone.
    fn future(&self) -> Option<TaskRunFuture> {
        self.group.upgrade().map(|group| TaskRunFuture::new(group, self.index))
    }
}

impl Trace {
    pub(crate) fn ended(&self, py: Python<'_>) {
        if let Some(future) = self.future() {
            tell(py, |module| module.enter_method("ended", (future,)));
        }
    }
}

/// Has `run_history.ended(future)` called when the run ends; `None` if it has ended.
pub(crate) fn observe(group: &Runs, index: u32) -> Option<Trace> {
    let trace = || Trace { group: Arc::downgrade(group), index };
    group.watch(index, Watcher::Callback(Callback::Ended(trace()))).is_ok().then(trace)
}

/// The bits of an id that names and keys of runs show, the first of which differ from run to run.
#[pyfunction]
pub(crate) fn mixed_id(number: u128) -> u128 {
    ids::mixed(number)
}

/// Tells the history of a run that was just made, and what it was given.
pub(crate) fn submitted(
    py: Python<'_>,
    group: &Runs,
    index: u32,
    input: Option<(Shape, &Bound<'_, PyAny>)>,
) {
    let future = TaskRunFuture::new(Arc::clone(group), index);
    let wait_for = group.work.wait_for.as_ref().map(|value| value.clone_ref(py));
    tell(py, |module| {
        let given = input.map(|(shape, input)| attempt::arguments(py, shape, input)).transpose()?;
        module.enter_method("submitted", (future, given, wait_for))
    });
}

/// Tells the history, before anybody can have the value, which run it comes from.
pub(crate) fn produced(py: Python<'_>, group: &Runs, index: u32, value: &Py<PyAny>) {
    let future = TaskRunFuture::new(Arc::clone(group), index);
    tell(py, |module| module.enter_method("produced", (future, value)));
}

/// Calls the history; what goes wrong there never touches a run.
fn tell<'py>(
    py: Python<'py>,
    call: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) {
    let told =
        boundary::import(py, "oxtask._internal.run_history").and_then(|module| call(&module));
    if let Err(raised) = told {
        error::unraisable(py, &raised);
    }
}
