//! Looking up and keeping values, and how a pack is opened.
//!
//! The lock on which pack is open is held while one is opened, detached; an attached thread only tries it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use oxtask_core::results::error::PackError;
use oxtask_core::results::keys::Keys;
use oxtask_core::results::pack::{self, Found, Host, Patience};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::errors::{reason, store_error, warn};
use super::{OPEN, Pack, counters, detached, records};
use crate::boundary::Enter;
use crate::{clock, runtime};

/// How often a pack sees whether its folder and the keys are still those it knows: ten times a second.
const CHECKED_EVERY: u64 = 100_000_000;

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
            Err(Failed::Raised(raised)) => return self.refused(py, key, raised, ""),
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
            Err(raised) => self.refused(py, key, raised, "it cannot be read: "),
        }
    }

    /// Warns of a record that cannot be used; what tears down the caller is his to handle.
    fn refused<T>(
        &self,
        py: Python<'_>,
        key: &str,
        raised: PyErr,
        why: &str,
    ) -> PyResult<Option<T>> {
        if !raised.is_instance_of::<PyException>(py) {
            return Err(raised);
        }
        self.warn(py, key, &format!("{why}{raised}"));
        Ok(None)
    }

    /// A number that changes when something is stored under a key; `None` if that cannot be told.
    pub(crate) fn stamp(&self, py: Python<'_>, key: &str) -> PyResult<Option<u32>> {
        match self.pack(py) {
            Ok(pack) => Ok(pack.stamp(key)),
            Err(Failed::Raised(raised)) if !raised.is_instance_of::<PyException>(py) => Err(raised),
            Err(_) => Ok(None), // looking for the key meets it again
        }
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

    pub(super) fn store(
        &self,
        py: Python<'_>,
        pack: &Arc<pack::Pack>,
        key: &str,
        mut sealed: Vec<u8>,
    ) -> PyResult<()> {
        let now = clock::wall();
        let stored = match pack.put(key, &mut sealed, now, Patience::Quick) {
            Err(PackError::Busy) => {
                detached(py, || pack.put(key, &mut sealed, now, Patience::Waits))
            }
            other => other,
        };
        self.tend(py, pack, stored)
    }

    /// Does what a write has left to be done.
    pub(super) fn tend(
        &self,
        py: Python<'_>,
        pack: &Arc<pack::Pack>,
        written: Result<bool, PackError>,
    ) -> PyResult<()> {
        let written = written.inspect_err(|failed| self.give_up(py, pack, failed));
        if written.map_err(|failed| store_error(py, failed))?
            && let Err(failed) = detached(py, || pack.upkeep())
        {
            self.warn(py, "", &store_error(py, failed).to_string());
        }
        Ok(())
    }

    pub(super) fn find(&self, py: Python<'_>, key: &str, now: u64) -> Result<Found, Failed> {
        let pack = self.pack(py)?;
        let found = match pack.get(key, now, Patience::Quick) {
            Err(PackError::Busy) => detached(py, || pack.get(key, now, Patience::Waits)),
            other => other,
        };
        Ok(found.inspect_err(|failed| self.give_up(py, &pack, failed))?)
    }

    /// Has a damaged database opened again, which begins a new one if nobody else has it open.
    fn give_up(&self, py: Python<'_>, pack: &Arc<pack::Pack>, failed: &PackError) {
        if !matches!(failed, PackError::Damaged { .. }) {
            return;
        }
        detached(py, || {
            pack.note_damage();
            let dropped = self.state.lock().open.take_if(|open| Arc::ptr_eq(open, pack));
            drop(dropped);
        });
    }

    /// The open pack: of the folder as it is now, with the keys as they are now.
    pub(super) fn pack(&self, py: Python<'_>) -> Result<Arc<pack::Pack>, Failed> {
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
        let open = detached(py, || {
            let mut state = self.state.lock();
            if let Some(open) = state.open.take().filter(|open| open.is_current()) {
                if state.keys != keys {
                    open.set_keys(Keys::new(&keys));
                    state.keys = keys;
                }
                state.open = Some(Arc::clone(&open));
                return Ok(open);
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
            let mut all = OPEN.lock();
            all.retain(|other| other.strong_count() > 0);
            all.push(Arc::downgrade(&open));
            Ok::<_, PackError>(open)
        })?;
        self.checked.store(now, Ordering::Relaxed);
        Ok(open)
    }

    fn warn(&self, py: Python<'_>, key: &str, why: &str) {
        let place = self.path.join(key);
        warn(py, &place.to_string_lossy(), why);
    }

    /// Runs something that may wait.
    pub(super) fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&pack::Pack) -> Result<T, PackError> + Send,
    ) -> PyResult<T> {
        let pack = self.pack(py).map_err(|failed| failed.into_error(py))?;
        let done = detached(py, || work(&pack));
        done.inspect_err(|failed| self.give_up(py, &pack, failed))
            .map_err(|failed| store_error(py, failed))
    }
}

/// What can go wrong before a pack is asked.
pub(super) enum Failed {
    Pack(PackError),
    Raised(PyErr),
}

impl From<PackError> for Failed {
    fn from(failed: PackError) -> Self {
        Self::Pack(failed)
    }
}

impl Failed {
    pub(super) fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Pack(failed) => store_error(py, failed),
            Self::Raised(raised) => raised,
        }
    }
}
