//! How values of types that are not built in are taken apart.
//!
//! `oxtask._internal.keys.plan_of` judges a type once; what it says is remembered here.

use std::collections::HashMap;
use std::sync::Arc;

use oxtask_core::sync::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};

use crate::boundary::{self, Enter};

/// How values of a type are taken apart.
pub(crate) enum Plan {
    Date,
    /// Times without a zone are taken apart here, others by the function.
    Time(Py<PyAny>),
    DateTime(Py<PyAny>),
    Duration,
    Uuid,
    /// The attributes of these names decide.
    Fields {
        label: String,
        names: Vec<Py<PyString>>,
    },
    /// A `NumPy` array; one whose elements are not plain numbers or text is taken apart by the function.
    Array(Py<PyAny>),
    /// Any other object that shows its memory.
    Buffer(String),
    /// The function returns a tuple: a label, a dict of attributes or None, and whatever else decides.
    Call(Py<PyAny>),
}

/// Types by address, kept alive.
type Known = HashMap<usize, (Py<PyType>, Arc<Plan>)>;

const MAX_KNOWN: usize = 1_024;

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// The plan for values of `class`.
pub(crate) fn of(class: &Bound<'_, PyType>) -> PyResult<Arc<Plan>> {
    let key = class.as_ptr() as usize;
    let known =
        KNOWN.lock().as_ref().and_then(|known| known.get(&key).map(|(_, plan)| plan.clone()));
    if let Some(plan) = known {
        return Ok(plan);
    }
    let answer = boundary::import(class.py(), "oxtask._internal.keys")?
        .enter_method("plan_of", (class,))?
        .cast_into::<PyTuple>()?;
    let plan = Arc::new(read(&answer)?);
    let mut known = KNOWN.lock();
    let table = known.get_or_insert_with(HashMap::new);
    let full = (table.len() >= MAX_KNOWN).then(|| std::mem::take(table));
    let old = table.insert(key, (class.clone().unbind(), plan.clone()));
    drop(known);
    // Types die outside of the lock.
    drop((full, old));
    Ok(plan)
}

fn read(answer: &Bound<'_, PyTuple>) -> PyResult<Plan> {
    let function = || answer.get_item(1).map(Bound::unbind);
    let kind = answer.get_item(0)?;
    Ok(match kind.extract::<&str>()? {
        "date" => Plan::Date,
        "time" => Plan::Time(function()?),
        "datetime" => Plan::DateTime(function()?),
        "timedelta" => Plan::Duration,
        "uuid" => Plan::Uuid,
        "fields" => Plan::Fields {
            label: answer.get_item(1)?.extract()?,
            names: answer.get_item(2)?.extract()?,
        },
        "array" => Plan::Array(function()?),
        "buffer" => Plan::Buffer(answer.get_item(1)?.extract()?),
        "call" => Plan::Call(function()?),
        other => return Err(PyTypeError::new_err(format!("unknown plan {other:?}"))),
    })
}
