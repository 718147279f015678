//! Stored results: a pack as Python and the engine see it. The work is done by `oxtask_core::results`.
//!
//! | module | what it owns |
//! |---|---|
//! | `records` | records sealed and opened for storages that are no pack |
//! | `plain` | plain values as bytes |
//! | `counters` | memory that processes share |
//! | `errors` | errors and warnings |
//!
//! What is small and need not wait for anybody is done attached: letting go of the interpreter costs more than a read
//! from the page cache, when others want it. Everything else is done detached.

mod counters;
mod errors;
mod plain;
mod records;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use oxtask_core::results::error::PackError;
use oxtask_core::results::keys::Keys;
use oxtask_core::results::pack::{self, Found, Host, Options, Patience, Sealed, Staged};
use oxtask_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::boundary::{self, Enter};
use crate::{clock, runtime};
use errors::{reason, record_error, store_error, warn};
pub(crate) use records::{Envelope, open_record, seal_record, seal_value};

/// How often a pack sees whether its folder and the keys are still those it knows: ten times a second.
const CHECKED_EVERY: u64 = 100_000_000;

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
/// Those that a fork has paused.
static PAUSED: Mutex<Vec<Arc<pack::Pack>>> = Mutex::new(Vec::new());

/// Called before a fork: no connection to a database may be there when it happens.
#[pyfunction]
pub(crate) fn pause_packs() {
    let open: Vec<_> = OPEN.lock().iter().filter_map(Weak::upgrade).collect();
    for pack in &open {
        pack.pause();
    }
    *PAUSED.lock() = open;
}

/// Called after a fork, in both processes.
#[pyfunction]
pub(crate) fn resume_packs() {
    let paused = std::mem::take(&mut *PAUSED.lock());
    for pack in &paused {
        pack.resume();
    }
}

impl Pack {
    /// The value of a key, and in nanoseconds what it took to compute, if there is a record that counts.
    ///
    /// What cannot be used is none, with one warning.
    pub(crate) fn lookup<'py>(
        &self,
        py: Python<'py>,
        key: &str,
    ) -> PyResult<Option<(Bound<'py, PyAny>, u64)>> {
        let now = clock::wall();
        let sealed = match self.find(py, key, now) {
            Ok(Found::Record(sealed)) => sealed,
            Ok(Found::Nothing) => return Ok(None),
            Ok(Found::Refused(refusal)) => {
                self.warn(py, key, &reason(&refusal));
                return Ok(None);
            }
            Err(Failed::Raised(raised)) => {
                self.warn(py, key, &raised.to_string());
                return Ok(None);
            }
            Err(Failed::Pack(failed)) => {
                self.warn(py, "", &store_error(py, failed).to_string());
                return Ok(None);
            }
        };
        if !sealed.layout.counts(now) {
            return Ok(None);
        }
        match records::decoded(py, &sealed.bytes, &sealed.layout) {
            Ok(value) => Ok(Some((value, records::took(&sealed.bytes, &sealed.layout)))),
            Err(raised) if raised.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                self.warn(py, key, &format!("it cannot be read: {raised}"));
                Ok(None)
            }
            Err(raised) => Err(raised),
        }
    }

    /// A number that changes when something is stored under a key; `None` if that cannot be told.
    pub(crate) fn stamp(&self, py: Python<'_>, key: &str) -> Option<u32> {
        self.pack(py).ok()?.stamp(key)
    }

    /// Stores a value under a key. `expires` is a Unix time, `took` the time it took to compute, in nanoseconds.
    pub(crate) fn keep(
        &self,
        py: Python<'_>,
        key: &str,
        value: &Bound<'_, PyAny>,
        expires: Option<u64>,
        took: u64,
    ) -> PyResult<()> {
        let pack = self.pack(py).map_err(|failed| failed.into_error(py))?;
        let sealed = records::sealed(py, key, value, &pack.keys(), expires, took)?;
        self.store(py, &pack, key, sealed)
    }

    fn store(
        &self,
        py: Python<'_>,
        pack: &Arc<pack::Pack>,
        key: &str,
        mut sealed: Vec<u8>,
    ) -> PyResult<()> {
        let now = clock::wall();
        let stored = match pack.put(key, &mut sealed, now, Patience::Quick) {
            Err(PackError::Busy) => {
                boundary::detached(py, || pack.put(key, &mut sealed, now, Patience::Waits))
            }
            other => other,
        };
        self.tend(py, pack, stored)
    }

    /// Does what a write has left to be done.
    fn tend(
        &self,
        py: Python<'_>,
        pack: &Arc<pack::Pack>,
        written: Result<bool, PackError>,
    ) -> PyResult<()> {
        if written.map_err(|failed| store_error(py, failed))?
            && let Err(failed) = boundary::detached(py, || pack.upkeep())
        {
            self.warn(py, "", &store_error(py, failed).to_string());
        }
        Ok(())
    }

    fn find(&self, py: Python<'_>, key: &str, now: u64) -> Result<Found, Failed> {
        let pack = self.pack(py)?;
        match pack.get(key, now, Patience::Quick) {
            Err(PackError::Busy) => {
                Ok(boundary::detached(py, || pack.get(key, now, Patience::Waits))?)
            }
            other => Ok(other?),
        }
    }

    /// The open pack: of the folder as it is now, with the keys as they are now.
    fn pack(&self, py: Python<'_>) -> Result<Arc<pack::Pack>, Failed> {
        let now = clock::now();
        let is_fresh = now.wrapping_sub(self.checked.load(Ordering::Relaxed)) < CHECKED_EVERY;
        if is_fresh
            && let Some(state) = self.state.try_lock()
            && let Some(open) = &state.open
        {
            return Ok(Arc::clone(open));
        }
        self.check(py, now)
    }

    #[cold]
    fn check(&self, py: Python<'_>, now: u64) -> Result<Arc<pack::Pack>, Failed> {
        let keys: Vec<Vec<u8>> = self
            .read_keys
            .bind(py)
            .enter0()
            .and_then(|keys| keys.extract())
            .map_err(Failed::Raised)?;
        let (open, is_new) = boundary::detached(py, || {
            let mut state = self.state.lock();
            if let Some(open) = state.open.take().filter(|open| open.is_current()) {
                if state.keys != keys {
                    open.set_keys(Keys::new(&keys));
                    state.keys = keys;
                }
                state.open = Some(Arc::clone(&open));
                return Ok((open, false));
            }
            let host = Host {
                share: &counters::share,
                random: Box::new(runtime::random),
                process: runtime::forks,
            };
            let options = self.options.clone();
            let open = Arc::new(pack::Pack::open(&self.path, options, Keys::new(&keys), host)?);
            state.keys = keys;
            state.open = Some(Arc::clone(&open));
            Ok::<_, PackError>((open, true))
        })?;
        if is_new {
            let mut all = OPEN.lock();
            all.retain(|other| other.strong_count() > 0);
            all.push(Arc::downgrade(&open));
        }
        self.checked.store(now, Ordering::Relaxed);
        Ok(open)
    }

    fn warn(&self, py: Python<'_>, key: &str, why: &str) {
        let place = self.path.join(key);
        warn(py, &place.to_string_lossy(), why);
    }

    /// Runs something that may wait.
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&pack::Pack) -> Result<T, PackError> + Send,
    ) -> PyResult<T> {
        let pack = self.pack(py).map_err(|failed| failed.into_error(py))?;
        boundary::detached(py, || work(&pack)).map_err(|failed| store_error(py, failed))
    }
}

/// What can go wrong before a pack is asked.
enum Failed {
    Pack(PackError),
    Raised(PyErr),
}

impl From<PackError> for Failed {
    fn from(failed: PackError) -> Self {
        Self::Pack(failed)
    }
}

impl Failed {
    fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Pack(failed) => store_error(py, failed),
            Self::Raised(raised) => raised,
        }
    }
}

/// A record that is written and that nobody sees.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct StagedResult(Mutex<Option<Staged>>);

#[pymethods]
impl StagedResult {
    /// Drops the record, if it has not been published.
    fn discard(&self, py: Python<'_>) {
        boundary::detached(py, || drop(self.0.lock().take()));
    }
}

#[pymethods]
impl Pack {
    #[new]
    #[pyo3(signature = (path, read_keys, *, max_bytes=None, max_age=None, durable=false, max_inline=32768, memory_records=32768, memory_bytes=67_108_864))]
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
        let published = boundary::detached(py, || pack.publish(staged, now));
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
