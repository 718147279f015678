//! Stored results: a pack as Python and the engine see it. The work is done by `oxtask_core::results`.
//!
//! | module | what it owns |
//! |---|---|
//! | `access` | looking up and keeping values, as the engine does; how a pack is opened |
//! | `records` | records sealed and opened for storages that are no pack |
//! | `plain` | plain values as bytes |
//! | `counters` | memory that processes share |
//! | `errors` | errors and warnings |
//!
//! What is small and need not wait for anybody is done attached: letting go of the interpreter costs more than a read
//! from the page cache, when others want it. Everything else is done detached.

mod access;
mod counters;
mod errors;
mod plain;
mod records;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use oxtask_core::results::forks::{self, Work};
use oxtask_core::results::pack::{self, Found, Options, Sealed, Staged};
use oxtask_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::{clock, workers};
use errors::record_error;
pub(crate) use records::{Envelope, open_record, seal_record, seal_value};

/// Results in one folder.
#[pyclass(frozen, weakref, module = "oxtask._core")]
pub(crate) struct Pack {
    path: PathBuf,
    options: Options,
    /// Gives the keys that sign, the first of them first.
    read_keys: Py<PyAny>,
    state: Mutex<State>,
    checked: AtomicU64,
}

#[derive(Default)]
struct State {
    open: Option<Arc<pack::Pack>>,
    keys: Vec<Vec<u8>>,
}

/// All packs that are open, for a fork.
static OPEN: Mutex<Vec<Weak<pack::Pack>>> = Mutex::new(Vec::new());

/// Called before a fork: no connection to a database may be there when it happens.
#[pyfunction]
pub(crate) fn pause_packs() {
    forks::pause();
    let open: Vec<_> = OPEN.lock().iter().filter_map(Weak::upgrade).collect();
    for pack in open {
        pack.close();
    }
}

/// Called after a fork in the parent.
#[pyfunction]
pub(crate) fn resume_packs() {
    forks::resume();
}

/// Called after a fork in the child.
#[pyfunction]
pub(crate) fn resume_packs_in_child() {
    forks::forked();
    workers::forked();
}

/// Works on packs without the interpreter.
fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    workers::storing(py, || {
        let _work = Work::begin();
        work()
    })
}

/// A record that is written and that nobody sees.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct StagedResult(Mutex<Option<Staged>>);

#[pymethods]
impl StagedResult {
    /// Drops the record, if it has not been published.
    fn discard(&self, py: Python<'_>) {
        detached(py, || drop(self.0.lock().take()));
    }
}

#[pymethods]
impl Pack {
    #[new]
    #[pyo3(signature = (path, read_keys, *, max_bytes=None, max_age=None, durable=false, max_inline=32768, memory_records=131_072, memory_bytes=67_108_864))]
    #[allow(clippy::too_many_arguments)] // keywords, in Python
    fn new(
        path: PathBuf,
        read_keys: Py<PyAny>,
        max_bytes: Option<u64>,
        max_age: Option<u64>,
        durable: bool,
        max_inline: usize,
        memory_records: usize,
        memory_bytes: usize,
    ) -> Self {
        let options = Options {
            max_bytes,
            max_age,
            is_durable: durable,
            max_inline,
            max_memory_records: memory_records,
            max_memory_bytes: memory_bytes,
        };
        let state = Mutex::default();
        Self { path, options, read_keys, state, checked: AtomicU64::new(0) }
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    #[pyo3(name = "lookup", signature = (key, default=None))]
    fn python_lookup<'py>(
        &self,
        py: Python<'py>,
        key: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.lookup(py, key)?.map(|(value, _)| value).or(default))
    }

    #[pyo3(name = "keep", signature = (key, value, expires=None))]
    fn python_keep(
        &self,
        py: Python<'_>,
        key: &str,
        value: &Bound<'_, PyAny>,
        expires: Option<u64>,
    ) -> PyResult<()> {
        self.keep(py, key, value, expires, 0)
    }

    /// The verified record of a key, even if it has expired.
    fn read(&self, py: Python<'_>, key: &str) -> PyResult<Option<Envelope>> {
        let found = self.find(py, key, clock::wall()).map_err(|failed| failed.into_error(py))?;
        match found {
            Found::Nothing => Ok(None),
            Found::Record(Sealed { bytes, layout }) => {
                Ok(Some(Envelope::new(py, &bytes, (*layout).clone())))
            }
            Found::Refused(refusal) => Err(record_error(py, &refusal)),
        }
    }

    fn contains(&self, py: Python<'_>, key: &str) -> PyResult<bool> {
        let now = clock::wall();
        self.run(py, |pack| pack.contains(key, now))
    }

    /// The sealed record of a key as it is stored.
    fn raw<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let raw = self.run(py, |pack| pack.raw(key))?;
        Ok(raw.map(|raw| PyBytes::new(py, &raw)))
    }

    /// Stores a sealed record.
    fn put(&self, py: Python<'_>, key: &str, sealed: &[u8]) -> PyResult<()> {
        let pack = self.pack(py).map_err(|failed| failed.into_error(py))?;
        self.store(py, &pack, key, sealed.to_vec())
    }

    /// Writes a sealed record so that only its publication is left to do.
    fn stage(&self, py: Python<'_>, key: &str, sealed: &[u8]) -> PyResult<StagedResult> {
        let staged = self.run(py, |pack| pack.stage(key, sealed.to_vec()))?;
        Ok(StagedResult(Mutex::new(Some(staged))))
    }

    /// Makes records visible, all of them at once.
    fn publish(&self, py: Python<'_>, staged: Vec<PyRef<'_, StagedResult>>) -> PyResult<()> {
        let pack = self.pack(py).map_err(|failed| failed.into_error(py))?;
        let staged: Vec<_> = staged.iter().filter_map(|each| each.0.lock().take()).collect();
        let now = clock::wall();
        let published = detached(py, || pack.publish(staged, now));
        self.tend(py, &pack, published)
    }

    fn delete(&self, py: Python<'_>, key: &str) -> PyResult<bool> {
        self.run(py, |pack| pack.remove(key))
    }

    #[pyo3(signature = (prefix=""))]
    fn ls<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let entries = self.run(py, |pack| pack.list(prefix))?;
        let listed = entries.into_iter().map(|entry| {
            let item = PyDict::new(py);
            item.set_item("key", entry.key)?;
            item.set_item("size", entry.size)?;
            item.set_item("expires", entry.expires)?;
            item.set_item("used", entry.used)?;
            Ok(item)
        });
        listed.collect()
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.run(py, pack::Pack::stats)?;
        let numbers = [
            ("records", stats.records),
            ("bytes", stats.bytes),
            ("files", stats.files),
            ("damaged", stats.damaged),
            ("hits", stats.hits + stats.memory_hits),
            ("memory_hits", stats.memory_hits),
            ("misses", stats.misses),
            ("memory_records", stats.memory_records),
            ("memory_bytes", stats.memory_bytes),
        ];
        counted(py, &numbers)
    }

    fn prune<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let now = clock::wall();
        let pruned = self.run(py, |pack| pack.prune(now))?;
        counted(py, &[("records", pruned.records), ("files", pruned.files)])
    }

    fn verify<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let verified = self.run(py, pack::Pack::verify)?;
        counted(py, &[("records", verified.records), ("damaged", verified.damaged)])
    }
}

fn counted<'py>(py: Python<'py>, numbers: &[(&str, u64)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, number) in numbers {
        dict.set_item(name, number)?;
    }
    Ok(dict)
}
