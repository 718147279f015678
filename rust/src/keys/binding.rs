//! Which argument of a call is the value of which parameter, as `SignaturePlan.bind` says in Python.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

/// The arguments of a call.
pub(super) struct Given<'a, 'py> {
    /// What comes before the positional arguments.
    pub(super) receiver: Option<&'a Bound<'py, PyAny>>,
    pub(super) args: &'a Bound<'py, PyTuple>,
    pub(super) kwargs: Option<&'a Bound<'py, PyDict>>,
}

impl<'py> Given<'_, 'py> {
    #[inline]
    fn positional(&self, place: usize) -> Option<Bound<'py, PyAny>> {
        let place = match self.receiver {
            None => place,
            Some(receiver) if place == 0 => return Some(receiver.clone()),
            Some(_) => place - 1,
        };
        (place < self.args.len()).then(|| self.args.get_item(place).ok()).flatten()
    }

    fn positional_from(&self, place: usize) -> PyResult<Bound<'py, PyAny>> {
        let count = self.args.len();
        match self.receiver {
            // A function whose only positional parameter is `*args` can be a method, too.
            Some(receiver) if place == 0 => {
                let all = std::iter::once(receiver.clone()).chain(self.args.iter());
                Ok(PyTuple::new(self.args.py(), all.collect::<Vec<_>>())?.into_any())
            }
            Some(_) => Ok(self.args.get_slice((place - 1).min(count), count).into_any()),
            None => Ok(self.args.get_slice(place.min(count), count).into_any()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    PositionalOnly,
    /// By position or by name.
    Either,
    KeywordOnly,
    VarPositional,
    VarKeyword,
}

struct Parameter {
    name: Py<PyString>,
    kind: Kind,
    default: Option<Py<PyAny>>,
}

/// The parameters of a function, those that take positional arguments first.
pub(super) struct Binding {
    parameters: Vec<Parameter>,
    positional: usize,
}

impl Binding {
    /// `kinds` are those of `inspect.Parameter.kind`.
    pub(super) fn new(
        names: Vec<Bound<'_, PyString>>,
        kinds: &[u8],
        defaults: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let mut parameters = Vec::with_capacity(names.len());
        for (name, kind) in names.into_iter().zip(kinds) {
            let kind = match kind {
                0 => Kind::PositionalOnly,
                1 => Kind::Either,
                2 => Kind::VarPositional,
                3 => Kind::KeywordOnly,
                _ => Kind::VarKeyword,
            };
            let default = defaults.get_item(&name)?.map(Bound::unbind);
            parameters.push(Parameter { name: name.unbind(), kind, default });
        }
        let by_position =
            |parameter: &&Parameter| matches!(parameter.kind, Kind::PositionalOnly | Kind::Either);
        let positional = parameters.iter().take_while(by_position).count();
        Ok(Self { parameters, positional })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    pub(super) fn name(&self, py: Python<'_>, place: usize) -> String {
        self.parameters[place].name.bind(py).to_string_lossy().into_owned()
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.parameters.iter().try_for_each(|parameter| visit.call(&parameter.default))
    }

    /// The value of a parameter, or its default.
    #[inline]
    pub(super) fn value<'py>(
        &self,
        py: Python<'py>,
        place: usize,
        given: &Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let parameter = &self.parameters[place];
        if place < self.positional
            && let Some(value) = given.positional(place)
        {
            return Ok(value);
        }
        match parameter.kind {
            Kind::VarPositional => return given.positional_from(self.positional),
            Kind::VarKeyword => return self.rest(py, given),
            Kind::PositionalOnly => (),
            Kind::Either | Kind::KeywordOnly => {
                if let Some(kwargs) = given.kwargs
                    && let Some(value) = kwargs.get_item(&parameter.name)?
                {
                    return Ok(value);
                }
            }
        }
        let default = parameter.default.as_ref().map(|default| default.bind(py).clone());
        default.ok_or_else(|| {
            let name = self.name(py, place);
            PyTypeError::new_err(format!("the arguments do not fit: {name:?} is missing"))
        })
    }

    /// The keyword arguments that are no parameters.
    fn rest<'py>(&self, py: Python<'py>, given: &Given<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let rest = match given.kwargs {
            Some(kwargs) => kwargs.copy()?,
            None => PyDict::new(py),
        };
        for parameter in &self.parameters {
            let by_name = matches!(parameter.kind, Kind::Either | Kind::KeywordOnly);
            if by_name && !rest.is_empty() && rest.contains(&parameter.name)? {
                rest.del_item(&parameter.name)?;
            }
        }
        Ok(rest.into_any())
    }
}
