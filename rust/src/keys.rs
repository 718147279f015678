//! Keys of runs, made of the arguments as the core has them: no dict of parameters is built, and no Python code runs
//! for values of built-in types.
//!
//! | module | what it owns |
//! |---|---|
//! | `binding` | which argument is the value of which parameter |
//! | `guards` | what the key of a function was made of, and whether that is still the same |
//! | `source` | the key of what a task does, kept while its guards hold |
//! | `stable` | what is hashed in place of inputs of some types |
//!
//! A key is exactly the one that the cache policy of the task makes in Python (`oxtask.cache_policies`).

mod binding;
mod guards;
mod source;
mod stable;

use std::borrow::Cow;

use oxtask_core::hashing::{Blake3, Encoder, Hasher, Tag, Xxh3};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::boundary::{self, Enter};
use crate::hashing::{digest_with, inputs_digest};
use binding::{Binding, Given};
pub(crate) use source::SourceKey;
use stable::Stable;

/// What of a run makes its key, beside its arguments.
pub(crate) struct KeyContext<'a, 'py> {
    /// As text, as Python writes it.
    pub(crate) flow_run_id: Option<Cow<'a, str>>,
    pub(crate) task_run_id: u128,
    pub(crate) flow_parameters: Option<&'a Bound<'py, PyDict>>,
}

/// A policy, by the name of its class: the names are part of the keys of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    FlowParameters,
    Inputs,
    RunId,
    TaskSource,
}

impl Member {
    fn name(self) -> &'static str {
        match self {
            Self::FlowParameters => "FlowParameters",
            Self::Inputs => "Inputs",
            Self::RunId => "RunId",
            Self::TaskSource => "TaskSource",
        }
    }

    fn named(name: &str) -> PyResult<Self> {
        let all = [Self::FlowParameters, Self::Inputs, Self::RunId, Self::TaskSource];
        let found = all.into_iter().find(|member| member.name() == name);
        found.ok_or_else(|| PyValueError::new_err(format!("unknown policy {name:?}")))
    }
}

/// A parameter that takes part in the key of the inputs.
struct Input {
    place: usize,
    /// What its name is encoded as.
    encoded: Vec<u8>,
}

/// How keys of the runs of one task are made; made by `oxtask._internal.keys_plans`.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct KeyPlan {
    /// Of the task, for errors.
    name: String,
    members: Vec<Member>,
    /// Whether the key is made of those of the members, and not that of the only one.
    is_sum: bool,
    binding: Binding,
    /// In the order of their encoded names, in which a dict is encoded.
    inputs: Vec<Input>,
    is_blake3: bool,
    source: Option<Py<SourceKey>>,
}

#[pymethods]
impl KeyPlan {
    #[new]
    #[pyo3(signature = (*, name, members, is_sum, names, kinds, defaults, exclude=vec![],
                        algorithm=None, source=None))]
    #[allow(clippy::too_many_arguments)] // keywords of one constructor
    fn new(
        name: String,
        members: Vec<String>,
        is_sum: bool,
        names: Vec<Bound<'_, PyString>>,
        kinds: Vec<u8>,
        defaults: &Bound<'_, PyDict>,
        exclude: Vec<String>,
        algorithm: Option<&str>,
        source: Option<Py<SourceKey>>,
    ) -> PyResult<Self> {
        let is_blake3 = algorithm == Some("blake3");
        let encode = if is_blake3 { encoded::<Blake3> } else { encoded::<Xxh3> };
        let mut inputs = Vec::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            let name = name.to_str()?;
            if !exclude.iter().any(|other| other == name) {
                inputs.push(Input { place, encoded: encode(name) });
            }
        }
        inputs.sort_unstable_by(|one, two| one.encoded.cmp(&two.encoded));
        let members = members.iter().map(|name| Member::named(name)).collect::<PyResult<_>>()?;
        let binding = Binding::new(names, &kinds, defaults)?;
        Ok(Self { name, members, is_sum, binding, inputs, is_blake3, source })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.binding.visit(&visit)?;
        visit.call(&self.source)
    }

    /// The names of the policies that take part.
    #[getter]
    fn members(&self) -> Vec<&'static str> {
        self.members.iter().map(|member| member.name()).collect()
    }

    /// The key of a run, or `None` if it has none; the receiver of a bound task is the first of `args`.
    #[pyo3(signature = (args, kwargs=None, flow_run_id=None, task_run_id=0, flow_parameters=None))]
    fn compute(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        flow_run_id: Option<&Bound<'_, PyAny>>,
        task_run_id: u128,
        flow_parameters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Option<String>> {
        let flow_run_id = match flow_run_id {
            Some(id) => Some(Cow::Owned(id.str()?.extract()?)),
            None => None,
        };
        let context = KeyContext { flow_run_id, task_run_id, flow_parameters };
        self.key(py, None, args, kwargs, &context)
    }
}

impl KeyPlan {
    /// The key of a run, or `None` if it has none.
    ///
    /// The arguments fit the task ([`crate::plan::Plan::accepts`]); `receiver` is what the task is bound to.
    pub(crate) fn key(
        &self,
        py: Python<'_>,
        receiver: Option<&Bound<'_, PyAny>>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        context: &KeyContext<'_, '_>,
    ) -> PyResult<Option<String>> {
        let given = Given { receiver, args, kwargs };
        if !self.is_sum {
            let Some(&member) = self.members.first() else { return Ok(None) };
            return self.member(py, member, &given, context);
        }
        let mut found = Vec::with_capacity(self.members.len());
        for &member in &self.members {
            if let Some(key) = self.member(py, member, &given, context)? {
                found.push((member, key));
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        found.sort_unstable();
        digest_with::<Xxh3>(py, |walk| {
            let mut list = walk.encoder.open(Tag::List, found.len());
            for (member, key) in &found {
                let mut pair = walk.encoder.open(Tag::Tuple, 2);
                for part in [member.name(), key] {
                    walk.encoder.blob(Tag::Str, part.as_bytes());
                    walk.encoder.item(&mut pair);
                }
                walk.encoder.close(pair);
                walk.encoder.item(&mut list);
            }
            walk.encoder.close(list);
            Ok(())
        })
        .map(Some)
    }

    fn member(
        &self,
        py: Python<'_>,
        member: Member,
        given: &Given<'_, '_>,
        context: &KeyContext<'_, '_>,
    ) -> PyResult<Option<String>> {
        let key = match member {
            Member::Inputs if self.binding.is_empty() => return Ok(None),
            Member::Inputs if self.is_blake3 => self.inputs_key::<Blake3>(py, given),
            Member::Inputs => self.inputs_key::<Xxh3>(py, given),
            Member::FlowParameters => match context.flow_parameters {
                Some(parameters) if !parameters.is_empty() => {
                    inputs_digest::<Xxh3>(parameters, &[])
                }
                _ => return Ok(None),
            },
            Member::RunId => Ok(match &context.flow_run_id {
                Some(id) => id.clone().into_owned(),
                None => hyphenated(context.task_run_id),
            }),
            Member::TaskSource => match &self.source {
                Some(source) => source.get().key(py),
                None => return Ok(None),
            },
        };
        key.map(Some).map_err(|error| self.refusal(py, error))
    }

    /// What [`crate::hashing::hash_inputs`] makes of the dict of all parameters.
    fn inputs_key<H: Hasher>(&self, py: Python<'_>, given: &Given<'_, '_>) -> PyResult<String> {
        let stable = Stable::of(py)?;
        digest_with::<H>(py, |walk| {
            let pair = walk.encoder.open(Tag::Tuple, 2);
            let positional = walk.encoder.open(Tag::Tuple, 1);
            let mut frame = walk.encoder.open(Tag::Dict, self.inputs.len());
            for input in &self.inputs {
                let value = self.binding.value(py, input.place, given)?;
                let start = walk.encoder.mark();
                walk.encoder.again(&input.encoded);
                let encoded = match stable.instead(&value)? {
                    None => walk.value(&value),
                    Some(other) => walk.value(&other),
                };
                encoded.map_err(|e| e.inside(|| self.binding.name(py, input.place)))?;
                walk.encoder.member(&mut frame, start);
            }
            walk.encoder.close_unordered(frame);
            walk.encoder.close(positional);
            let keywords = walk.encoder.open(Tag::Dict, 0);
            walk.encoder.close_unordered(keywords);
            walk.encoder.close(pair);
            Ok(())
        })
    }

    /// The error about what cannot be hashed, with the task's name and the way out; any other as it is.
    #[cold]
    fn refusal(&self, py: Python<'_>, error: PyErr) -> PyErr {
        let told = boundary::import(py, "oxtask.exceptions")
            .and_then(|module| module.getattr("HashError"))
            .and_then(|class| {
                if !error.value(py).is_instance(&class)? {
                    return Ok(None);
                }
                let module = boundary::import(py, "oxtask.cache_policies")?;
                module.enter_method("_refusal", (&self.name, error.value(py))).map(Some)
            });
        match told {
            Ok(None) => error,
            Ok(Some(told)) => {
                let refusal = PyErr::from_value(told);
                refusal.set_cause(py, Some(error));
                refusal
            }
            Err(other) => other,
        }
    }
}

/// What a name is encoded as.
fn encoded<H: Hasher>(name: &str) -> Vec<u8> {
    let mut encoder = Encoder::<H>::default();
    let start = encoder.mark();
    encoder.blob(Tag::Str, name.as_bytes());
    encoder.since(start).to_vec()
}

/// An id as Python writes it.
fn hyphenated(id: u128) -> String {
    let mut digits = Xxh3::hex(id);
    for place in [20, 16, 12, 8] {
        digits.insert(place, '-');
    }
    digits
}
