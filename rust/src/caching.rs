//! Cached runs that need no Python but their body: what is found for them, and what of them is stored.
//!
//! [`Caching`] is worked out once per task, like its plan; a [`Cache`] is what the runs of one submission use of it.
//! Whatever is out of the ordinary, a key that cannot be made above all, is left to the Python engine, which meets it
//! again and says so.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use oxtask_core::group::Outcome;
use oxtask_core::sync::Mutex;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::attempt::exception;
use crate::boundary::Enter;
use crate::costs::Costs;
use crate::flights::{self, Flight, Lead};
use crate::keys::{KeyContext, KeyPlan};
use crate::plan::Plan;
use crate::results::Pack;
use crate::run::{Run, Shape};
use crate::verdict::{self, Answer, Ended};
use crate::{clock, context, python};

/// How the results of a task are cached where nobody has decided anything else.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Caching {
    keys: Py<KeyPlan>,
    /// What the task is bound to.
    receiver: Option<Py<PyAny>>,
    /// In nanoseconds, how long a result counts.
    expiration: Option<u64>,
    /// Asked with what the runs around have decided. Returns the pack that code here stores results in, what that
    /// decides for the runs inside, and what of the flow run takes part in keys; `None` if the Python engine must make
    /// the runs.
    open: Py<PyAny>,
    /// It is up to the runs around whether results are kept.
    inherits: bool,
    costs: Py<Costs>,
}

#[pymethods]
impl Caching {
    #[new]
    #[pyo3(signature = (*, keys, receiver, expiration, open, inherits, costs))]
    fn new(
        keys: Py<KeyPlan>,
        receiver: Option<Py<PyAny>>,
        expiration: Option<u64>,
        open: Py<PyAny>,
        inherits: bool,
        costs: Py<Costs>,
    ) -> Self {
        Self { keys, receiver, expiration, open, inherits, costs }
    }

    #[allow(clippy::needless_pass_by_value)] // the signature that PyO3 asks for
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.keys)?;
        visit.call(&self.receiver)?;
        visit.call(&self.open)
    }
}

/// What the runs of one submission share of the cache.
pub(crate) struct Cache {
    caching: Py<Caching>,
    pack: Py<Pack>,
    /// What the runs decide for those in them: `oxtask._internal.keeping`.
    keeping: Py<PyAny>,
    flow_run_id: Option<String>,
    flow_parameters: Option<Py<PyDict>>,
    keys: Mutex<NotedKeys>,
}

/// Under which keys the values of runs are, by index; for those who ask for a run by its id when it has ended.
///
/// Every cached run has one, so it takes no more than its digits do.
#[derive(Default)]
struct NotedKeys {
    /// Thirty-two hexadecimal digits each; zero for none.
    digits: Vec<u128>,
    others: HashMap<u32, Arc<str>>,
}

impl NotedKeys {
    fn note(&mut self, index: u32, key: &str) {
        let is_plain =
            key.len() == 32 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let digits = is_plain.then(|| u128::from_str_radix(key, 16).ok()).flatten();
        let Some(digits) = digits.filter(|&digits| digits != 0) else {
            self.others.insert(index, key.into());
            return;
        };
        let index = index as usize;
        if self.digits.len() <= index {
            self.digits.resize(index + 1, 0);
        }
        self.digits[index] = digits;
    }

    fn get(&self, index: u32) -> Option<String> {
        match self.digits.get(index as usize) {
            Some(&digits) if digits != 0 => Some(format!("{digits:032x}")),
            _ => self.others.get(&index).map(ToString::to_string),
        }
    }
}

/// What there is for a run.
pub(crate) enum Found<'py> {
    Value(Bound<'py, PyAny>),
    /// Nothing under this key.
    Nothing(Missing),
    /// It is for the Python engine to find out.
    Unknown,
}

/// What there was nothing for.
pub(crate) struct Missing {
    key: Arc<str>,
    /// [`Pack::stamp`] before it was looked for.
    stamp: Option<u32>,
}

/// Who makes the value of a run.
pub(crate) enum Turn<'py> {
    /// Somebody else has made it.
    Made(Bound<'py, PyAny>),
    /// This run does, while others with the same key wait.
    Own(#[allow(dead_code)] Flight),
}

/// Whether runs made here need the Python engine, and what they use of the cache: runs that need the engine look there
/// first, unless they need it even if their result is found.
///
/// An error is what tears down whoever asks.
pub(crate) fn open(
    py: Python<'_>,
    plan: &Plan,
    rich: bool,
    rich_if_found: bool,
) -> PyResult<(bool, Option<Box<Cache>>)> {
    if rich_if_found || (rich && plan.caching.is_none()) {
        return Ok((true, None));
    }
    let variables = context::variables(py);
    let around = context::get(py, &variables.keeping).filter(|around| !around.is_none());
    let caching = match (&plan.caching, &around) {
        (None, None) => return Ok((rich, None)),
        (Some(caching), None) if caching.get().inherits => return Ok((rich, None)),
        // Something is decided that the core knows nothing of, or a transaction is open.
        (None, Some(_)) => return Ok((true, None)),
        (Some(_), Some(around)) if around.is_exact_instance_of::<PyTuple>() => {
            return Ok((true, None));
        }
        // The body of a run is always in a transaction.
        (Some(_), _) if context::get(py, &variables.run).is_some() => return Ok((true, None)),
        (Some(caching), _) => caching,
    };
    let cache = unless_failed(py, opened(py, caching, around), None)?;
    Ok((rich || cache.is_none(), cache.map(Box::new)))
}

/// What fails here, fails in the engine too, which says so; what tears down the caller is not for the engine.
fn unless_failed<T>(py: Python<'_>, result: PyResult<T>, otherwise: T) -> PyResult<T> {
    match result {
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(otherwise),
        result => result,
    }
}

fn opened<'py>(
    py: Python<'py>,
    caching: &Py<Caching>,
    around: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Cache>> {
    let answer = caching.get().open.bind(py).enter((around,))?;
    if answer.is_none() {
        return Ok(None);
    }
    let answer = answer.cast_into::<PyTuple>()?;
    let keeping = answer.get_item(1)?.unbind();
    let pack = answer.get_item(0)?.cast_into()?.unbind();
    let (flow_run_id, flow_parameters) = match answer.len() {
        2 => (None, None),
        _ => (answer.get_item(2)?.extract()?, answer.get_item(3)?.extract()?),
    };
    let caching = caching.clone_ref(py);
    let keys = Mutex::default();
    Ok(Some(Cache { caching, pack, keeping, flow_run_id, flow_parameters, keys }))
}

impl Cache {
    /// The key under which the value of a run is, or is to be, stored.
    pub(crate) fn key_of(&self, index: u32) -> Option<String> {
        self.keys.lock().get(index)
    }

    /// Looks for the value of a run; an error is what tears down whoever asks.
    ///
    /// Of a direct call nobody has the index: what is found is its caller's, and nobody sees the run.
    pub(crate) fn find<'py>(
        &self,
        py: Python<'py>,
        run_id: u128,
        index: Option<u32>,
        shape: Shape,
        input: &Bound<'py, PyAny>,
    ) -> PyResult<Found<'py>> {
        unless_failed(py, self.search(py, (run_id, index), shape, input), Found::Unknown)
    }

    fn search<'py>(
        &self,
        py: Python<'py>,
        (run_id, index): (u128, Option<u32>),
        shape: Shape,
        input: &Bound<'py, PyAny>,
    ) -> PyResult<Found<'py>> {
        let caching = self.caching.get();
        let costs = caching.costs.get();
        let began = clock::now();
        let Some(key) = self.key(py, run_id, shape, input)? else { return Ok(Found::Unknown) };
        let keyed = clock::now();
        costs.hashed(keyed.saturating_sub(began));
        let pack = self.pack.get();
        let stamp = pack.stamp(py, &key)?;
        let found = pack.lookup(py, &key)?;
        costs.read(clock::now().saturating_sub(keyed));
        Ok(match found {
            Some((value, cost)) => {
                costs.hit(py, cost);
                if let Some(index) = index {
                    self.keys.lock().note(index, &key);
                }
                Found::Value(value)
            }
            None => Found::Nothing(Missing { key: key.into(), stamp }),
        })
    }

    /// Waits for whoever makes the value of a key already, and takes it, or the turn.
    ///
    /// To be called in the context of the run.
    pub(crate) fn turn<'py>(
        &self,
        py: Python<'py>,
        run: &Run,
        missing: &Missing,
    ) -> PyResult<Turn<'py>> {
        let (pack, key) = (self.pack.get(), &missing.key);
        self.keys.lock().note(run.index, key);
        loop {
            let lead = flights::lead(py, key)?;
            // Whoever led until now has stored the value, unless he failed.
            let is_as_before = missing.stamp.is_some() && pack.stamp(py, key)? == missing.stamp;
            if !is_as_before && let Some((value, cost)) = pack.lookup(py, key)? {
                self.caching.get().costs.get().hit(py, cost);
                return Ok(Turn::Made(value));
            }
            if let Lead::Leader(flight) = lead {
                self.enter(py)?;
                run.set_key(Arc::clone(key));
                return Ok(Turn::Own(flight));
            }
        }
    }

    fn key<'py>(
        &self,
        py: Python<'py>,
        run_id: u128,
        shape: Shape,
        input: &Bound<'py, PyAny>,
    ) -> PyResult<Option<String>> {
        let caching = self.caching.get();
        let context = KeyContext {
            flow_run_id: self.flow_run_id.as_deref().map(Cow::Borrowed),
            task_run_id: run_id,
            flow_parameters: self.flow_parameters.as_ref().map(|parameters| parameters.bind(py)),
        };
        let receiver = caching.receiver.as_ref().map(|receiver| receiver.bind(py));
        let keys = caching.keys.get();
        match shape {
            Shape::One => keys.key(py, receiver, &PyTuple::new(py, [input])?, None, &context),
            Shape::Args => keys.key(py, receiver, input.cast()?, None, &context),
            Shape::ArgsKwargs => {
                let (args, kwargs) = crate::attempt::split(input)?;
                keys.key(py, receiver, args.cast()?, Some(&kwargs), &context)
            }
        }
    }

    /// Tells the runs that are made in this context that results are kept.
    fn enter(&self, py: Python<'_>) -> PyResult<()> {
        context::set(py, &context::variables(py).keeping, self.keeping.bind(py))
    }

    /// Runs a body, stores what it came to if that is a value, and returns how it has ended.
    pub(crate) fn keep(
        &self,
        py: Python<'_>,
        run: &Bound<'_, Run>,
        missing: &Missing,
        body: impl FnOnce() -> Ended,
    ) -> Ended {
        // Dropped when the value is stored.
        let _flight = match self.turn(py, run.get(), missing) {
            Ok(Turn::Made(value)) => return Ended::Done(Outcome::Cached, Some(value.unbind())),
            Ok(Turn::Own(flight)) => flight,
            Err(error) => return Ended::Done(Outcome::Crashed, Some(exception(py, error))),
        };
        let began = clock::now();
        let ended = body();
        let Ended::Done(Outcome::Completed, Some(value)) = ended else { return ended };
        match self.store(py, run, missing, began, value.bind(py)) {
            None => Ended::Done(Outcome::Completed, Some(value)),
            Some(otherwise) => otherwise,
        }
    }

    /// The same for a direct call whose body has run.
    pub(crate) fn keep_direct<'py>(
        &self,
        py: Python<'py>,
        run: &Bound<'py, Run>,
        missing: &Missing,
        began: u64,
        answer: Answer<'py>,
    ) -> Answer<'py> {
        let (Ok(value), (Outcome::Completed, _)) = &answer else { return answer };
        let otherwise = self.store(py, run, missing, began, value);
        verdict::unless(py, answer, otherwise)
    }

    /// Stores a value; returns how the run has ended, if that is not with the value.
    fn store(
        &self,
        py: Python<'_>,
        run: &Bound<'_, Run>,
        missing: &Missing,
        began: u64,
        value: &Bound<'_, PyAny>,
    ) -> Option<Ended> {
        // A body that asked for its transaction has had its value stored by that.
        if run.get().had_transaction() {
            return None;
        }
        if !run.get().is_current() {
            return Some(Ended::Lost);
        }
        let caching = self.caching.get();
        let ended = clock::now();
        let took = ended.saturating_sub(began);
        let expires = caching.expiration.map(|span| clock::wall().saturating_add(span));
        let stored = self.pack.get().keep(py, &missing.key, value, expires, took);
        caching.costs.get().wrote(py, clock::now().saturating_sub(ended), took);
        stored.err().map(|error| refused(py, run, value, error))
    }
}

/// Asks the Python engine what becomes of a run whose value could not be stored.
#[cold]
fn refused(py: Python<'_>, run: &Bound<'_, Run>, value: &Bound<'_, PyAny>, error: PyErr) -> Ended {
    let answer = python::engine(py)
        .and_then(|engine| engine.enter_method("not_stored", (run, value, error.into_value(py))));
    verdict::answered(py, answer)
}
