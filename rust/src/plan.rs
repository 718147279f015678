//! What is worked out once per task instead of once per run.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use oxtask_core::pool::Lane;

use crate::caching::Caching;

/// How the body is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sync,
    Async,
    /// Generators, and whatever else the Python engine drives.
    Other,
    /// Carried elsewhere: `function` drives attempts in the place of the Python engine's own driver.
    Carried,
}

#[allow(clippy::struct_excessive_bools)] // flags of a signature, not states
/// The binding plan and the engine flags of one task; rebuilt when the task is changed.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Plan {
    pub(crate) function: Py<PyAny>,
    pub(crate) kind: Kind,
    /// Runs go through the Python engine: a timeout, a run name, logged prints, a retry condition.
    rich: bool,
    /// So do those whose result is found: a run name.
    rich_if_found: bool,
    /// Called with a plain run that is about to complete and its value, to write its line; `None` if nobody reads it.
    pub(crate) completing: Option<Py<PyAny>>,
    /// Retries that need nothing else are made by the core.
    pub(crate) retries: u32,
    delays: Vec<f64>,
    jitter: f64,
    pub(crate) has_timeout: bool,
    /// How runs are cached without the Python engine.
    pub(crate) caching: Option<Py<Caching>>,
    hooks: Vec<Py<PyList>>,
    names: Vec<Py<PyString>>,
    /// Positional parameters come first in `names`; the first `positional_only` cannot be given by name.
    positional: usize,
    positional_only: usize,
    required: u64,
    var_positional: bool,
    var_keyword: bool,
    /// More parameters than bits: every call is bound in Python.
    too_many: bool,
}

#[pymethods]
impl Plan {
    #[new]
    #[pyo3(signature = (*, function, kind, rich, rich_if_found, completing, retries, delays, jitter, has_timeout, caching, hooks,
                        names, positional, positional_only, required, var_positional, var_keyword))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // keywords of one constructor
    fn new(
        function: Py<PyAny>,
        kind: &str,
        rich: bool,
        rich_if_found: bool,
        completing: Option<Py<PyAny>>,
        retries: u32,
        delays: Vec<f64>,
        jitter: f64,
        has_timeout: bool,
        caching: Option<Py<Caching>>,
        hooks: Vec<Py<PyList>>,
        names: Vec<Py<PyString>>,
        positional: usize,
        positional_only: usize,
        required: Vec<bool>,
        var_positional: bool,
        var_keyword: bool,
    ) -> Self {
        let too_many = names.len() > 63;
        let bits = required.iter().take(63).enumerate();
        Self {
            function,
            kind: match kind {
                "sync" => Kind::Sync,
                "async" => Kind::Async,
                "carried" => Kind::Carried,
                _ => Kind::Other,
            },
            rich,
            rich_if_found,
            completing,
            retries,
            delays,
            jitter,
            has_timeout,
            caching,
            hooks,
            positional,
            positional_only,
            required: bits.fold(0, |mask, (bit, &needed)| mask | u64::from(needed) << bit),
            var_positional,
            var_keyword,
            too_many,
            names,
        }
    }
}

impl Plan {
    /// The seconds to wait before a retry, counted from 0; the last delay repeats.
    pub(crate) fn delay(&self, retry: usize) -> f64 {
        let delay = self.delays.get(retry).or(self.delays.last()).copied().unwrap_or(0.0);
        if delay > 0.0 { crate::runtime::jittered(delay, self.jitter) } else { 0.0 }
    }

    /// Whether a direct call needs the Python engine.
    #[inline]
    pub(crate) fn is_call_rich(&self, py: Python<'_>) -> bool {
        self.retries > 0 || self.is_rich(py)
    }

    /// Whether all runs need the Python engine; hooks may have been appended since the plan was made.
    #[inline]
    pub(crate) fn is_rich(&self, py: Python<'_>) -> bool {
        self.rich || self.has_hooks(py)
    }

    /// Whether runs need it even if their result is found.
    #[inline]
    pub(crate) fn is_rich_if_found(&self, py: Python<'_>) -> bool {
        self.rich_if_found || self.has_hooks(py)
    }

    fn has_hooks(&self, py: Python<'_>) -> bool {
        self.hooks.iter().any(|hooks| !hooks.bind(py).is_empty())
    }

    pub(crate) fn lane(&self) -> Lane {
        if self.kind == Kind::Async { Lane::Loop } else { Lane::Thread }
    }

    /// Whether the arguments fit the parameters. `false` may be wrong: Python's own binding then decides.
    #[inline]
    pub(crate) fn accepts(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> bool {
        let given = args.len();
        if self.too_many || (given > self.positional && !self.var_positional) {
            return false;
        }
        let mut seen = (1_u64 << given.min(self.positional)) - 1;
        if let Some(kwargs) = kwargs {
            for (name, _) in kwargs.iter() {
                match self.find(&name) {
                    Some(bit) if bit < self.positional_only || seen & (1 << bit) != 0 => {
                        return false;
                    }
                    Some(bit) => seen |= 1 << bit,
                    // These are for the call itself, whatever the function takes.
                    None if self.var_keyword && !is_reserved(&name) => (),
                    None => return false,
                }
            }
        }
        seen & self.required == self.required
    }

    fn find(&self, name: &Bound<'_, PyAny>) -> Option<usize> {
        self.names.iter().position(|known| known.as_ptr() == name.as_ptr()).or_else(|| {
            self.names
                .iter()
                .position(|known| known.bind(name.py()).as_any().eq(name).unwrap_or(false))
        })
    }
}

/// Whether a keyword is an option of the call and not an argument.
fn is_reserved(name: &Bound<'_, PyAny>) -> bool {
    name.cast::<PyString>().is_ok_and(|name| name == "return_state" || name == "wait_for")
}
