//! Records as Python sees them: sealed, opened, and the value in them.

use oxtask_core::results::envelope::{self, Label, Layout, Refusal, Sealer, codec};
use oxtask_core::results::keys::Keys;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors::{helpers, record_error};
use super::plain;
use crate::boundary::{self, Enter};
use crate::clock;

/// From so many bytes on a record is hashed without the interpreter.
pub(super) const DETACHED: usize = 128 * 1024;

/// A verified record.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Envelope {
    bytes: Py<PyBytes>,
    layout: Layout,
}

/// In nanoseconds, how long the value of a verified record took to compute; 0 if that is not known.
pub(super) fn took(bytes: &[u8], layout: &Layout) -> u64 {
    let metadata = <[u8; 8]>::try_from(&bytes[layout.metadata.clone()]);
    match (layout.codec, metadata) {
        (codec::PLAIN | codec::PICKLE, Ok(took)) => u64::from_le_bytes(took),
        _ => 0,
    }
}

/// What is behind a verified record: its value.
pub(super) fn decoded<'py>(
    py: Python<'py>,
    bytes: &[u8],
    layout: &Layout,
) -> PyResult<Bound<'py, PyAny>> {
    let payload = &bytes[layout.payload.clone()];
    let metadata = &bytes[layout.metadata.clone()];
    // What runs what it reads is read only from this user.
    if !layout.is_signed && !matches!(layout.codec, codec::SERIALIZER | codec::RAW) {
        return Err(record_error(py, &Refusal::NotSigned));
    }
    match layout.codec {
        codec::PLAIN => plain::read(py, payload)?
            .ok_or_else(|| record_error(py, &Refusal::Damaged("its value is not of a known form"))),
        codec::PICKLE => helpers(py)?.enter_method("loads", (PyBytes::new(py, payload),)),
        codec::RAW => Ok(PyBytes::new(py, payload).into_any()),
        codec::SERIALIZER if !layout.is_apart() => {
            let parts = (PyBytes::new(py, metadata), PyBytes::new(py, payload), layout.is_signed);
            helpers(py)?.enter_method("loads_with", parts)
        }
        _ => Err(record_error(py, &Refusal::Damaged("its value is of an unknown form"))),
    }
}

#[pymethods]
impl Envelope {
    #[getter]
    fn key(&self, py: Python<'_>) -> String {
        let bytes = self.bytes.bind(py).as_bytes();
        String::from_utf8_lossy(&bytes[self.layout.key.clone()]).into_owned()
    }

    #[getter]
    fn codec(&self) -> u8 {
        self.layout.codec
    }

    #[getter]
    fn is_signed(&self) -> bool {
        self.layout.is_signed
    }

    #[getter]
    fn is_apart(&self) -> bool {
        self.layout.is_apart()
    }

    #[getter]
    fn created(&self) -> u64 {
        self.layout.created
    }

    #[getter]
    fn expires(&self) -> Option<u64> {
        self.layout.expires
    }

    /// In seconds, how long the value took to compute, if that is known.
    #[getter]
    #[allow(clippy::cast_precision_loss)] // nanoseconds of hours still fit
    fn took_seconds(&self, py: Python<'_>) -> Option<f64> {
        let took = took(self.bytes.bind(py).as_bytes(), &self.layout);
        (took > 0).then_some(took as f64 / 1e9)
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes.bind(py).as_bytes()[self.layout.metadata.clone()])
    }

    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes.bind(py).as_bytes()[self.layout.payload.clone()])
    }

    /// Whether this is the value that is kept elsewhere.
    fn describes(&self, py: Python<'_>, value: &[u8]) -> bool {
        let bytes = self.bytes.bind(py).as_bytes();
        if value.len() < DETACHED {
            return self.layout.describes(bytes, value);
        }
        boundary::detached(py, || self.layout.describes(bytes, value))
    }

    /// The value.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        decoded(py, self.bytes.bind(py).as_bytes(), &self.layout)
    }
}

impl Envelope {
    pub(super) fn new(py: Python<'_>, bytes: &[u8], layout: Layout) -> Self {
        Self { bytes: PyBytes::new(py, bytes).unbind(), layout }
    }
}

/// Writes a record whose payload a serializer has made; signed if there are keys.
#[pyfunction]
#[pyo3(signature = (key, metadata, payload, keys=None, expires=None, apart=false, raw=false))]
#[allow(clippy::too_many_arguments)] // keywords, in Python
pub(crate) fn seal_record<'py>(
    py: Python<'py>,
    key: &str,
    metadata: &[u8],
    payload: &[u8],
    keys: Option<Vec<Vec<u8>>>,
    expires: Option<u64>,
    apart: bool,
    raw: bool,
) -> Bound<'py, PyBytes> {
    let keys = keys.map(Keys::new);
    let codec = if raw { codec::RAW } else { codec::SERIALIZER };
    let label = Label { key, codec, metadata, created: clock::wall(), expires };
    let seal = || {
        if apart {
            return Sealer::new(Vec::new(), &label, keys.as_ref()).finish_apart(payload);
        }
        envelope::seal(&label, payload, keys.as_ref())
    };
    let sealed = if payload.len() < DETACHED { seal() } else { boundary::detached(py, seal) };
    PyBytes::new(py, &sealed)
}

/// Writes a record of any value, which is pickled if it is not plain.
#[pyfunction]
#[pyo3(signature = (key, value, keys, expires=None))]
pub(crate) fn seal_value<'py>(
    py: Python<'py>,
    key: &str,
    value: &Bound<'py, PyAny>,
    keys: Vec<Vec<u8>>,
    expires: Option<u64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let sealed = sealed(py, key, value, &Keys::new(keys), expires, 0)?;
    Ok(PyBytes::new(py, &sealed))
}

/// A sealed record of any value, which took so many nanoseconds to compute: if they are known, they are its metadata.
pub(super) fn sealed(
    py: Python<'_>,
    key: &str,
    value: &Bound<'_, PyAny>,
    keys: &Keys,
    expires: Option<u64>,
    took: u64,
) -> PyResult<Vec<u8>> {
    let created = clock::wall();
    let took = took.to_le_bytes();
    let metadata = if took == [0; 8] { &[][..] } else { &took };
    let label = Label { key, codec: codec::PLAIN, metadata, created, expires };
    let mut sealer = Sealer::new(Vec::new(), &label, Some(keys));
    if !plain::write(&mut sealer.bytes, value)? {
        sealer.restart();
        sealer.set_codec(codec::PICKLE);
        let pickle = helpers(py)?.enter_method("dumps", (value,))?.cast_into::<PyBytes>()?;
        sealer.bytes.reserve(pickle.as_bytes().len() + envelope::TAG);
        sealer.bytes.extend_from_slice(pickle.as_bytes());
    }
    if sealer.bytes.len() < DETACHED {
        return Ok(sealer.finish());
    }
    Ok(boundary::detached(py, || sealer.finish()))
}

/// Verifies a record.
#[pyfunction]
pub(crate) fn open_record(
    py: Python<'_>,
    record: Bound<'_, PyBytes>,
    key: Option<&str>,
    keys: Vec<Vec<u8>>,
) -> PyResult<Envelope> {
    let bytes = record.as_bytes();
    let keys = Keys::new(keys);
    let opened = if bytes.len() < DETACHED {
        envelope::open(bytes, key, &keys)
    } else {
        boundary::detached(py, || envelope::open(bytes, key, &keys))
    };
    match opened {
        Ok(layout) => Ok(Envelope { bytes: record.unbind(), layout }),
        Err(refusal) => Err(record_error(py, &refusal)),
    }
}
