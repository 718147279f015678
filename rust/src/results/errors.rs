//! Errors of packs and records as Python's, and warnings about what is not used.

use oxtask_core::results::envelope::{Refusal, VERSION};
use oxtask_core::results::error::PackError;
use pyo3::prelude::*;

use crate::boundary::{self, Enter};
use crate::error;

/// The Python half of this module.
pub(super) fn helpers(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    boundary::import(py, "oxtask._internal.storage.packing")
}

/// A `ResultStoreError`: number, text, path.
pub(super) fn store_error(py: Python<'_>, failed: PackError) -> PyErr {
    let (errno, message, path) = match failed {
        PackError::Storage { errno, message, path } => (errno, message, path),
        PackError::Damaged { message, path } => (
            Some(libc::EIO),
            format!(
                "the database is damaged ({message}). It is put aside as `results.db.corrupt` \
                 as soon as no other process uses it"
            ),
            path,
        ),
        PackError::Busy => (
            Some(libc::EBUSY),
            "other processes kept the storage locked for a minute; try again".to_owned(),
            std::path::PathBuf::new(),
        ),
        PackError::Newer { version, path } => (None, newer(version), path),
        PackError::Unsafe { message, path } => (
            Some(libc::EPERM),
            format!(
                "the folder is not safe: {message}. Make it yours alone, or name another with \
                 OXTASK_HOME or OXTASK_RESULTS_LOCAL_STORAGE_PATH"
            ),
            path,
        ),
        PackError::TooLarge { size, limit, path } => (
            Some(libc::EFBIG),
            format!(
                "it has {size} bytes, and all results together may have {limit}: raise \
                 OXTASK_RESULTS_MAX_BYTES, or name a folder for it with `result_storage`"
            ),
            path,
        ),
    };
    let made = boundary::import(py, "oxtask.exceptions")
        .and_then(|module| module.getattr("ResultStoreError"))
        .and_then(|class| {
            let text = format!("A result cannot be stored: {message}");
            class.enter((errno, text, path.to_string_lossy().into_owned()))
        });
    match made {
        Ok(made) => PyErr::from_value(made),
        Err(raised) => raised,
    }
}

fn newer(version: impl std::fmt::Display) -> String {
    format!(
        "it has the newer format '{version}', and this version of oxtask reads up to {VERSION}: \
         upgrade oxtask, or use another storage"
    )
}

/// Why a record is not used, as a sentence goes on.
pub(super) fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Damaged(what) => (*what).to_owned(),
        Refusal::OtherKey(key) => {
            let shown: String = key.chars().take(80).collect();
            format!("it belongs to the key '{shown}'")
        }
        Refusal::NotSigned => "it was not signed with the key of this user".to_owned(),
        Refusal::Newer(version) => newer(version),
    }
}

/// A `CorruptRecordError` or `NewerRecordError`.
pub(super) fn record_error(py: Python<'_>, refusal: &Refusal) -> PyErr {
    let name = match refusal {
        Refusal::Newer(_) => "NewerRecordError",
        _ => "CorruptRecordError",
    };
    error::oxtask(py, name, reason(refusal))
}

/// Warns, once about each place, that what is stored there is not used.
pub(super) fn warn(py: Python<'_>, place: &str, why: &str) {
    let told = helpers(py).and_then(|helpers| helpers.enter_method("warn_of", (place, why)));
    if let Err(raised) = told {
        error::unraisable(py, &raised);
    }
}
