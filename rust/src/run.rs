//! What the runs of a group carry, and the handle that a body's context holds.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use oxtask_core::group::{Group, Phase, Work};
use oxtask_core::ids;
use oxtask_core::pool::Lane;
use oxtask_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::boundary::Enter;
use crate::caching::Cache;
use crate::collector::{self, Known, Link};
use crate::futures::TaskRunFuture;
use crate::inputs::Resolve;
use crate::plan::Plan;
use crate::seat::Seat;
use crate::workers::{self, Callback};
use crate::{boundary, clock, context, python};

/// How a run's input becomes arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The input is the only argument.
    One,
    /// The input is the tuple of arguments.
    Args,
    /// The input is a pair: the tuple of arguments and the dict of keyword arguments.
    ArgsKwargs,
}

/// What the runs of a group share.
pub(crate) struct Spec {
    pub(crate) task: Py<PyAny>,
    pub(crate) plan: Py<Plan>,
    pub(crate) rich: bool,
    /// The submitter's context; `None` for a direct call, which copies the current one.
    pub(crate) context: Option<Py<PyAny>>,
    pub(crate) shape: Shape,
    pub(crate) resolve: Resolve,
    /// What the runs wait for without using it, as the user gave it.
    pub(crate) wait_for: Option<Py<PyAny>>,
    pub(crate) known: Known,
    /// The history wants to know of each run, and of its result.
    pub(crate) recorded: bool,
    /// What runs use of the cache: those that are rich look there first.
    pub(crate) cache: Option<Box<Cache>>,
}

/// A remark on the life of a run.
pub(crate) enum Note {
    /// The Python record of a run that keeps one.
    Record(Py<PyAny>),
    /// An attempt failed at a time, with an exception or a state; the next comes after so many seconds.
    Failed(u64, Py<PyAny>, f64),
    /// A retry began at a time.
    Retried(u64),
    /// Which runs the arguments came from, as the history noted it.
    Sources(Py<PyAny>),
}

impl Spec {
    /// Whether async runs need the Python engine: those that have not been found in the cache do.
    pub(crate) fn is_rich_on_loops(&self) -> bool {
        self.rich || self.cache.is_some()
    }
}

impl Work for Spec {
    type Input = Py<PyAny>;
    type Output = Py<PyAny>;
    type Callback = Callback;
    type Note = Note;

    fn lane(&self) -> Lane {
        self.plan.get().lane()
    }
}

pub(crate) type Runs = Arc<Group<Spec>>;

/// A run by identity.
#[derive(Clone)]
pub(crate) struct RunRef(pub(crate) Runs, pub(crate) u32);

impl PartialEq for RunRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) && self.1 == other.1
    }
}

impl Eq for RunRef {}

impl Hash for RunRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.0) as usize, self.1).hash(state);
    }
}

/// The body around another, if there is one.
struct Outer(Option<(Runs, u32)>);

/// A run as its own body sees it: the value of the run variable in the body's context.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Run {
    pub(crate) group: Runs,
    pub(crate) index: u32,
    pub(crate) attempt: AtomicU32,
    pub(crate) seat: Option<Arc<Seat>>,
    input: Option<Py<PyAny>>,
    /// The input as it was before futures in it were resolved; `None` if there were none.
    pub(crate) given: Option<Py<PyAny>>,
    had_transaction: AtomicBool,
    /// What a plain run whose body does not ask for its context has no need of.
    extras: Mutex<Option<Box<Extras>>>,
    link: Link,
}

#[derive(Default)]
struct Extras {
    /// The `TaskRunContext` that Python built for it.
    view: Option<Py<PyAny>>,
    /// The pair of arguments that took the place of the input.
    arguments: Option<Py<PyAny>>,
    /// The body that the thread was in before this one; `None` outside of the body.
    outer: Option<Outer>,
    /// The transaction of a run that has no need of one, made when its body asked for it.
    transaction: Option<Py<PyAny>>,
    /// The key under which the core stores what the body returns.
    key: Option<Arc<str>>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.link.unmake(&self.group);
    }
}

/// Makes the handles that contexts hold.
pub(crate) static RUNS: boundary::Maker<Run> = boundary::Maker::new();

impl Run {
    pub(crate) fn new(
        group: Runs,
        index: u32,
        attempt: u32,
        seat: Option<&Arc<Seat>>,
        input: Option<Py<PyAny>>,
    ) -> Self {
        Self {
            group,
            index,
            attempt: AtomicU32::new(attempt),
            seat: seat.cloned(),
            input,
            given: None,
            had_transaction: AtomicBool::new(false),
            extras: Mutex::new(None),
            link: Link::default(),
        }
    }

    fn with_extras<T>(&self, change: impl FnOnce(&mut Extras) -> T) -> T {
        change(self.extras.lock().get_or_insert_default())
    }

    /// Lets the collector see what a run that failed refers to.
    #[cold]
    pub(crate) fn link(slf: &Bound<'_, Self>) {
        collector::link(slf.as_any(), &slf.get().link, &slf.get().group);
    }

    pub(crate) fn leave_body(&self, py: Python<'_>) {
        let outer = self.extras.lock().as_mut().and_then(|extras| extras.outer.take());
        if let (Some(seat), Some(Outer(outer))) = (&self.seat, outer) {
            seat.exit(py, outer);
        }
    }

    /// Whether the body asked for a transaction: then the Python engine ends the run, and stores its value.
    #[inline]
    pub(crate) fn had_transaction(&self) -> bool {
        self.had_transaction.load(Ordering::Relaxed)
    }

    pub(crate) fn set_key(&self, key: Arc<str>) {
        self.with_extras(|extras| extras.key = Some(key));
    }

    pub(crate) fn number(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }
}

#[pymethods]
impl Run {
    #[allow(clippy::needless_pass_by_value)] // the signature that PyO3 asks for
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.link.visit(&self.group, &visit)?;
        if let Some(extras) = self.extras.lock().as_ref() {
            visit.call(&extras.view)?;
            visit.call(&extras.arguments)?;
            visit.call(&extras.transaction)?;
        }
        visit.call(&self.given)?;
        visit.call(&self.input)
    }

    #[getter]
    fn task(&self, py: Python<'_>) -> Py<PyAny> {
        self.group.work.task.clone_ref(py)
    }

    #[getter]
    fn future(&self) -> TaskRunFuture {
        TaskRunFuture::new(Arc::clone(&self.group), self.index)
    }

    #[getter]
    fn id(&self) -> u128 {
        self.group.id(self.index)
    }

    #[getter]
    fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.group.work.context.as_ref().map(|context| context.clone_ref(py))
    }

    /// The positional and the keyword arguments, resolved.
    #[getter]
    fn arguments<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
        let pair =
            self.extras.lock().as_ref().and_then(|extras| {
                extras.arguments.as_ref().map(|arguments| arguments.clone_ref(py))
            });
        if let Some(pair) = pair {
            return crate::attempt::arguments(py, Shape::ArgsKwargs, pair.bind(py));
        }
        match &self.input {
            Some(input) => crate::attempt::arguments(py, self.group.work.shape, input.bind(py)),
            None => Ok((PyTuple::empty(py).into_any(), PyDict::new(py))),
        }
    }

    /// The same as they were before futures in them were resolved; `None` if there were none.
    #[getter(given)]
    fn given_arguments<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyDict>)>> {
        let shape = self.group.work.shape;
        let given = self.given.as_ref();
        given.map(|given| crate::attempt::arguments(py, shape, given.bind(py))).transpose()
    }

    fn set_arguments(&self, args: Py<PyAny>, kwargs: Py<PyAny>, py: Python<'_>) -> PyResult<()> {
        let pair = PyTuple::new(py, [args, kwargs])?.into_any().unbind();
        let old = self.with_extras(|extras| extras.arguments.replace(pair));
        drop(old);
        Ok(())
    }

    /// Raises `RunInterrupted` in the thread that is still in the body; false if none is.
    fn interrupt(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(seat) = &self.seat else { return Ok(false) };
        let exception = python::engine(py)?.getattr("RunInterrupted")?.unbind();
        Ok(seat.interrupt(py, &self.group, self.index, &exception))
    }

    #[getter]
    fn wait_for(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.group.work.wait_for.as_ref().map(|value| value.clone_ref(py))
    }

    /// When the run was made and when it first started, in nanoseconds of Unix time.
    #[getter]
    fn times(&self) -> (u64, u64, u64) {
        let (started, ended) = self.group.times(self.index);
        (self.group.created(), started, ended)
    }

    /// What a line tells of the run: whether all that is to be known of its arguments is that they were plain values,
    /// given outside of runs; the id, and its text; the digits in its name; when it was made and when it started.
    fn told(&self, py: Python<'_>) -> PyResult<(bool, u128, String, String, u64, u64)> {
        let spec = &self.group.work;
        let is_outermost = match &spec.context {
            Some(context) => !context.bind(py).contains(&context::variables(py).run)?,
            None => true,
        };
        let is_plain =
            self.given.is_none() && sources(py, &self.group, self.index).is_none() && is_outermost;
        let id = self.group.id(self.index);
        let digits = format!("{:03x}", ids::mixed(id) >> 116);
        let (started, _) = self.group.times(self.index);
        Ok((is_plain, id, ids::text(id), digits, self.group.created(), started))
    }

    #[getter]
    fn view(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let extras = self.extras.lock();
        extras.as_ref()?.view.as_ref().map(|view| view.clone_ref(py))
    }

    fn set_view(&self, view: Py<PyAny>) {
        let old = self.with_extras(|extras| extras.view.replace(view));
        drop(old);
    }

    #[getter]
    fn transaction(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let extras = self.extras.lock();
        extras.as_ref()?.transaction.as_ref().map(|transaction| transaction.clone_ref(py))
    }

    fn set_transaction(&self, transaction: Option<Py<PyAny>>) {
        if transaction.is_some() {
            self.had_transaction.store(true, Ordering::Relaxed);
        }
        let old =
            self.with_extras(|extras| std::mem::replace(&mut extras.transaction, transaction));
        drop(old);
    }

    #[getter]
    fn cache_key(&self) -> Option<String> {
        self.extras.lock().as_ref()?.key.as_deref().map(str::to_owned)
    }

    #[getter]
    fn is_rich(&self) -> bool {
        self.group.work.rich
    }

    /// The record of a run that has one.
    #[getter]
    fn record(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        record(py, &self.group, self.index)
    }

    fn set_record(&self, record: Py<PyAny>) {
        self.group.note(self.index, Note::Record(record));
    }

    /// Notes that the attempt failed and is followed by another; `None` if no retry is left.
    ///
    /// Returns the seconds until then.
    pub(crate) fn retry_after(&self, py: Python<'_>, failure: Py<PyAny>) -> Option<f64> {
        let plan = self.group.work.plan.get();
        let attempt = self.number();
        if attempt > plan.retries || !self.is_current() {
            return None;
        }
        let delay = plan.delay(attempt as usize - 1);
        let note = Note::Failed(clock::now(), failure.clone_ref(py), delay);
        self.group.note(self.index, note);
        Some(delay)
    }

    /// Whether this attempt still speaks for the run.
    pub(crate) fn is_current(&self) -> bool {
        self.group.phase(self.index) == Phase::Running
            && self.group.attempt(self.index) == self.number()
    }

    /// Starts the clock of this attempt; false if nobody can end it from outside.
    fn arm(&self, seconds: f64) -> bool {
        let Some(seat) = &self.seat else { return false };
        seat.arm(&self.group, self.index, self.number(), seconds);
        true
    }

    /// Begins the body: from here to `seal` the thread can be interrupted for the run.
    ///
    /// Raises `RunInterrupted` if the runner was cancelled meanwhile.
    fn enter_body(&self, py: Python<'_>) -> PyResult<()> {
        if self.group.pool().is_some_and(|pool| pool.is_cancelled()) {
            workers::cancel(py, &self.group, self.index);
            let class = python::engine(py)?.getattr("RunInterrupted")?;
            return Err(PyErr::from_value(class.enter0()?));
        }
        if let Some(seat) = &self.seat {
            let outer = seat.enter(&self.group, self.index);
            let before = self.with_extras(|extras| extras.outer.replace(Outer(outer)));
            drop(before);
        }
        Ok(())
    }

    /// Ends the body: from here on no deadline and no cancellation takes the run away.
    ///
    /// False if one did before.
    pub(crate) fn seal(&self, py: Python<'_>) -> bool {
        self.leave_body(py);
        match self.group.seal(self.index, self.number()) {
            Some((attempt, kept)) => {
                self.attempt.store(attempt, Ordering::Relaxed);
                drop(kept);
                true
            }
            None => false,
        }
    }

    /// Begins the next attempt on the spot; false if the run was taken away.
    fn begin_again(&self) -> bool {
        match self.group.begin_again(self.index, self.number()) {
            Some(attempt) => {
                self.attempt.store(attempt, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }
}

/// The record of a run that has one.
pub(crate) fn record(py: Python<'_>, group: &Runs, index: u32) -> Option<Py<PyAny>> {
    group.notes(index, |notes| {
        notes.iter().rev().find_map(|note| match note {
            Note::Record(record) => Some(record.clone_ref(py)),
            _ => None,
        })
    })
}

/// Which runs the arguments of a run came from, if that was noted.
pub(crate) fn sources(py: Python<'_>, group: &Runs, index: u32) -> Option<Py<PyAny>> {
    group.notes(index, |notes| {
        notes.iter().rev().find_map(|note| match note {
            Note::Sources(sources) => Some(sources.clone_ref(py)),
            _ => None,
        })
    })
}

/// When an attempt failed, with what, how long the run then waited, and when the next began (0: not yet).
pub(crate) type Retry = (u64, Py<PyAny>, f64, u64);

/// The attempts of a run that failed and were followed by others.
pub(crate) fn retries(py: Python<'_>, group: &Runs, index: u32) -> Vec<Retry> {
    group.notes(index, |notes| {
        let mut retries: Vec<Retry> = Vec::new();
        for note in notes {
            match note {
                Note::Failed(at, failure, delay) => {
                    retries.push((*at, failure.clone_ref(py), *delay, 0));
                }
                Note::Retried(at) => {
                    if let Some(last) = retries.last_mut() {
                        last.3 = *at;
                    }
                }
                Note::Record(_) | Note::Sources(_) => (),
            }
        }
        retries
    })
}
