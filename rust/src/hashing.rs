//! Cache keys of Python values: `oxtask_core::hashing` fed by a walk over them.
//!
//! | module | what it owns |
//! |---|---|
//! | `walk` | the walk: built-in values, cycles, what is met again |
//! | `containers` | the walk through lists, tuples, dicts and sets |
//! | `records` | small dicts whose keys were met before |
//! | `objects` | the walk through everything else |
//! | `plans` | how values of other types are taken apart, judged by Python once per type |
//! | `buffers` | arrays of any order and stride, hashed where they lie |
//! | `refusal` | what cannot be hashed, and where in the value it is |

mod buffers;
mod containers;
mod objects;
mod plans;
mod records;
mod refusal;
mod walk;

use std::cell::Cell;
use std::sync::OnceLock;
use std::thread;

use oxtask_core::hashing::{
    self, Blake3, Buffers, Elements, Encoder, Hasher, Tag, Xxh3, leaf_count, leaf_digest, of_leaves,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::boundary;
use refusal::Refused;
use walk::Walk;

/// From so many bytes on a blob is hashed without the interpreter: about 10 us.
const DETACHED: usize = 128 * 1024;
/// How many bytes a thread must have to hash: starting it costs about as much as hashing so many in the cache.
const SHARE: usize = 3 * 1024 * 1024;
const MAX_THREADS: usize = 8;

thread_local! {
    /// The buffers of the last encoding, to be used again.
    static BUFFERS: Cell<Buffers> = Cell::default();
}

/// The digest of a blob, on as many threads as it is worth.
pub(crate) fn blob_digest<H: Hasher>(
    py: Python<'_>,
    bytes: &[u8],
    elements: Elements,
) -> H::Digest {
    if bytes.len() < DETACHED {
        return hashing::blob::<H>(bytes, elements);
    }
    boundary::detached(py, || {
        let threads = match bytes.len() / SHARE {
            0 | 1 => 1,
            worth => worth.min(processors()),
        };
        let mut leaves = vec![H::Digest::default(); leaf_count(bytes.len())];
        let share = leaves.len().div_ceil(threads);
        let mut shares = leaves.chunks_mut(share).enumerate();
        let own = shares.next();
        let work = |(number, leaves): (usize, &mut [H::Digest])| {
            for (index, leaf) in leaves.iter_mut().enumerate() {
                *leaf = leaf_digest::<H>(bytes, number * share + index, elements);
            }
        };
        thread::scope(|scope| {
            for other in shares {
                scope.spawn(move || work(other));
            }
            own.map(work);
        });
        of_leaves::<H>(&leaves)
    })
}

/// How many threads hash at a time.
fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    // Asked once: it reads files of the operating system.
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS)))
}

pub(crate) fn digest_with<'py, H: Hasher>(
    py: Python<'py>,
    encode: impl FnOnce(&mut Walk<'py, H>) -> Result<(), Refused>,
) -> PyResult<String> {
    let mut walk = Walk::new(py, Encoder::<H>::with_buffers(BUFFERS.take()));
    let result = encode(&mut walk);
    let encoder = walk.into_encoder();
    let digest = result.map(|()| H::hex(encoder.finish()));
    BUFFERS.set(encoder.into_buffers());
    digest.map_err(|refused| refused.into_error(py))
}

macro_rules! with_algorithm {
    ($name:expr, $function:ident($($argument:expr),*)) => {
        match $name {
            None | Some("xxh3") => $function::<Xxh3>($($argument),*),
            Some("blake3") => $function::<Blake3>($($argument),*),
            Some(other) => Err(PyValueError::new_err(format!(
                "there is no hash algorithm {other:?}; use 'xxh3' or 'blake3'"
            ))),
        }
    };
}

/// The key of a value; `root` is what errors call it.
#[pyfunction]
#[pyo3(signature = (value, algorithm=None, root=""))]
pub(crate) fn hash_value(
    value: &Bound<'_, PyAny>,
    algorithm: Option<&str>,
    root: &str,
) -> PyResult<String> {
    with_algorithm!(algorithm, value_digest(value, root))
}

pub(crate) fn value_digest<H: Hasher>(value: &Bound<'_, PyAny>, root: &str) -> PyResult<String> {
    digest_with::<H>(value.py(), |walk| {
        walk.value(value).map_err(|refused| refused.inside(|| root.to_owned()))
    })
}

/// The key of a call: `inputs` by name, without those named in `exclude`. The same as `hash_objects(inputs)`.
#[pyfunction]
#[pyo3(signature = (inputs, exclude=None, algorithm=None))]
pub(crate) fn hash_inputs(
    inputs: &Bound<'_, PyDict>,
    exclude: Option<&Bound<'_, PyAny>>,
    algorithm: Option<&str>,
) -> PyResult<String> {
    let exclude = match exclude {
        Some(names) => names.extract::<Vec<String>>()?,
        None => Vec::new(),
    };
    with_algorithm!(algorithm, inputs_digest(inputs, &exclude))
}

pub(crate) fn inputs_digest<H: Hasher>(
    inputs: &Bound<'_, PyDict>,
    exclude: &[String],
) -> PyResult<String> {
    digest_with::<H>(inputs.py(), |walk| {
        // The pair of positional and keyword arguments that `hash_objects` hashes.
        let pair = walk.encoder.open(Tag::Tuple, 2);
        let positional = walk.encoder.open(Tag::Tuple, 1);
        walk.inputs(inputs, exclude)?;
        walk.encoder.close(positional);
        let keywords = walk.encoder.open(Tag::Dict, 0);
        walk.encoder.close_unordered(keywords);
        walk.encoder.close(pair);
        Ok(())
    })
}
