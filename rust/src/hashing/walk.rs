//! The walk: what a value consists of, in the order in which it is encoded.
//!
//! The walk is recursive, and bounded by [`MAX_DEPTH`]. A container within itself is encoded as the distance to
//! it. A large part that is met again is encoded as before, so that a value whose parts share parts costs as much
//! as it takes memory, not as much as it would take written out.

use std::collections::HashMap;
use std::ptr;

use oxtask_core::hashing::{Elements, Encoder, Hasher, INLINE, Tag};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::records::Shape;
use super::refusal::{Refused, attribute_of, item_of};
use super::{DETACHED, blob_digest};
use crate::boundary::Enter;

/// How deep containers and objects can be nested: 500 levels need about 400 KB of stack.
const MAX_DEPTH: usize = 500;

pub(crate) type Walked = Result<(), Refused>;

pub(crate) struct Walk<'py, H: Hasher> {
    pub(crate) py: Python<'py>,
    pub(crate) encoder: Encoder<H>,
    /// The containers that are being walked.
    ancestors: Vec<*mut ffi::PyObject>,
    /// The outermost of them that a cycle leads back to since the walk left it.
    outermost: usize,
    /// What large parts were encoded as, by address; they are kept alive.
    seen: HashMap<usize, (Py<PyAny>, Vec<u8>)>,
    /// The keys of the last records.
    pub(super) shape: Shape<'py>,
}

impl<'py, H: Hasher> Walk<'py, H> {
    pub(crate) fn new(py: Python<'py>, encoder: Encoder<H>) -> Self {
        Self {
            py,
            encoder,
            ancestors: Vec::new(),
            outermost: usize::MAX,
            seen: HashMap::new(),
            shape: Shape::default(),
        }
    }

    pub(crate) fn into_encoder(self) -> Encoder<H> {
        self.encoder
    }

    #[inline]
    pub(crate) fn value(&mut self, value: &Bound<'py, PyAny>) -> Walked {
        // SAFETY: a live object.
        if unsafe { self.plain(value.as_ptr()) } { Ok(()) } else { self.other(value) }
    }

    /// Encodes a value whose encoding runs no Python code; false if it is not such a value.
    ///
    /// # Safety
    /// `value` is alive, at least until the call returns, and the thread is attached.
    #[inline]
    pub(super) unsafe fn plain(&mut self, value: *mut ffi::PyObject) -> bool {
        // SAFETY: by contract; the exact type is compared.
        unsafe {
            self.atom(value)
                || ptr::eq(ffi::Py_TYPE(value), &raw const ffi::PyDict_Type)
                    && self.ancestors.len() < MAX_DEPTH
                    && self.record(value)
        }
    }

    /// Encodes a value that has no parts, and whose encoding runs no Python code; false if it is not such a value.
    ///
    /// # Safety
    /// As for `plain`.
    #[expect(clippy::inline_always, reason = "a call costs as much as most values do")]
    #[inline(always)]
    pub(super) unsafe fn atom(&mut self, value: *mut ffi::PyObject) -> bool {
        // SAFETY (for the whole function): exact types are compared before anything is read.
        unsafe {
            let class = ffi::Py_TYPE(value);
            if ptr::eq(class, &raw const ffi::PyUnicode_Type) {
                let mut length = 0;
                if ffi::PyUnicode_IS_COMPACT_ASCII(value) != 0 {
                    let start = ffi::PyUnicode_DATA(value).cast();
                    return self.blob(Tag::Str, start, ffi::PyUnicode_GET_LENGTH(value));
                }
                let text = ffi::PyUnicode_AsUTF8AndSize(value, &raw mut length);
                if text.is_null() {
                    // Lone surrogates.
                    ffi::PyErr_Clear();
                    return false;
                }
                return self.blob(Tag::Str, text.cast(), length);
            }
            if ptr::eq(class, &raw const ffi::PyLong_Type) {
                let mut overflow = 0;
                let number = ffi::PyLong_AsLongLongAndOverflow(value, &raw mut overflow);
                if overflow == 0 {
                    self.encoder.int(number);
                }
                return overflow == 0;
            }
            if ptr::eq(class, &raw const ffi::PyFloat_Type) {
                self.encoder.float(ffi::PyFloat_AS_DOUBLE(value));
                return true;
            }
            if ptr::eq(value, ffi::Py_None()) {
                self.encoder.unit(Tag::None);
                return true;
            }
            if ptr::eq(class, &raw const ffi::PyBool_Type) {
                let tag = if ptr::eq(value, ffi::Py_True()) { Tag::True } else { Tag::False };
                self.encoder.unit(tag);
                return true;
            }
            if ptr::eq(class, &raw const ffi::PyBytes_Type) {
                let bytes = ffi::PyBytes_AsString(value);
                return self.blob(Tag::Bytes, bytes.cast(), ffi::PyBytes_Size(value));
            }
        }
        false
    }

    /// # Safety
    /// `length` bytes lie at `start`.
    #[inline]
    unsafe fn blob(&mut self, tag: Tag, start: *const u8, length: isize) -> bool {
        let length = length.unsigned_abs();
        if length >= DETACHED {
            return false;
        }
        // SAFETY: by contract.
        self.encoder.blob(tag, unsafe { std::slice::from_raw_parts(start, length) });
        true
    }

    /// Encodes anything else.
    pub(super) fn other(&mut self, value: &Bound<'py, PyAny>) -> Walked {
        let class = value.get_type_ptr();
        let is = |known: *const ffi::PyTypeObject| ptr::eq(class, known);
        if is(&raw const ffi::PyList_Type) {
            self.container(value, Self::list)
        } else if is(&raw const ffi::PyDict_Type) {
            // SAFETY (all casts in this function): the exact type was compared.
            let dict = unsafe { value.cast_unchecked() };
            self.container(value, |walk, _| walk.dict(Tag::Dict, dict, item_of))
        } else if is(&raw const ffi::PyTuple_Type) {
            self.container(value, |walk, value| {
                walk.tuple(unsafe { value.cast_unchecked::<PyTuple>() })
            })
        } else if is(&raw const ffi::PySet_Type) {
            self.container(value, |walk, value| walk.set(Tag::Set, value))
        } else if is(&raw const ffi::PyFrozenSet_Type) {
            self.container(value, |walk, value| walk.set(Tag::FrozenSet, value))
        } else if is(&raw const ffi::PyUnicode_Type) {
            self.long_text(unsafe { value.cast_unchecked() })
        } else if is(&raw const ffi::PyBytes_Type) {
            let bytes = unsafe { value.cast_unchecked::<PyBytes>() }.as_bytes();
            self.long_blob(Tag::Bytes, bytes);
            Ok(())
        } else if is(&raw const ffi::PyByteArray_Type) {
            self.byte_array(value)
        } else if is(&raw const ffi::PyLong_Type) {
            self.big_int(value).map_err(|error| Refused::raised(value, error))
        } else if is(&raw const ffi::PyComplex_Type) {
            // SAFETY: a complex number.
            let number = unsafe {
                (
                    ffi::PyComplex_RealAsDouble(value.as_ptr()),
                    ffi::PyComplex_ImagAsDouble(value.as_ptr()),
                )
            };
            self.encoder.complex(number.0, number.1);
            Ok(())
        } else if value.is(self.py.Ellipsis()) {
            self.encoder.unit(Tag::Ellipsis);
            Ok(())
        } else {
            self.container(value, Self::object)
        }
    }

    // --- built-in values ---------------------------------------------------------------------------------------

    fn long_blob(&mut self, tag: Tag, bytes: &[u8]) {
        let digest = blob_digest::<H>(self.py, bytes, Elements::Opaque);
        self.encoder.digested_blob(tag, bytes.len(), digest);
    }

    fn long_text(&mut self, text: &Bound<'py, PyString>) -> Walked {
        if let Ok(text) = text.to_str() {
            self.long_blob(Tag::Str, text.as_bytes());
            return Ok(());
        }
        // SAFETY: a string; the result is owned, or null with an error set.
        let encoded = unsafe {
            Bound::from_owned_ptr_or_err(
                self.py,
                ffi::PyUnicode_AsEncodedString(
                    text.as_ptr(),
                    c"utf-8".as_ptr(),
                    c"surrogatepass".as_ptr(),
                ),
            )
        };
        match encoded.and_then(|bytes| Ok(bytes.cast_into::<PyBytes>()?)) {
            Ok(bytes) => {
                self.encoder.blob(Tag::Surrogates, bytes.as_bytes());
                Ok(())
            }
            Err(error) => Err(Refused::raised(text, error)),
        }
    }

    fn byte_array(&mut self, value: &Bound<'py, PyAny>) -> Walked {
        let shown = super::buffers::Shown::of(value).map_err(|e| Refused::raised(value, e))?;
        let frame = self.encoder.open(Tag::ByteArray, 1);
        shown.encode(self.py, &mut self.encoder, Elements::Opaque);
        self.encoder.close(frame);
        Ok(())
    }

    fn big_int(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let bits: usize = value.enter_method0("bit_length")?.extract()?;
        let signed = PyDict::new(self.py);
        signed.set_item("signed", true)?;
        let bytes = value.call_method("to_bytes", (bits / 8 + 1, "little"), Some(&signed))?;
        self.encoder.blob(Tag::BigInt, bytes.cast::<PyBytes>()?.as_bytes());
        Ok(())
    }

    // --- containers --------------------------------------------------------------------------------------------

    /// Encodes a value that consists of others.
    fn container(
        &mut self,
        value: &Bound<'py, PyAny>,
        encode: impl FnOnce(&mut Self, &Bound<'py, PyAny>) -> Walked,
    ) -> Walked {
        let pointer = value.as_ptr();
        let depth = self.ancestors.len();
        if let Some(place) = self.ancestors.iter().rposition(|&ancestor| ancestor == pointer) {
            self.outermost = self.outermost.min(place);
            self.encoder.fixed(Tag::Cycle, ((depth - place) as u64).to_le_bytes());
            return Ok(());
        }
        if depth == MAX_DEPTH {
            return Err(Refused::part(
                value,
                format!("it is nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        if !self.seen.is_empty()
            && let Some((_, encoded)) = self.seen.get(&(pointer as usize))
        {
            self.encoder.again(encoded);
            return Ok(());
        }
        self.ancestors.push(pointer);
        let start = self.encoder.mark();
        encode(self, value)?;
        self.ancestors.pop();
        if self.outermost < depth {
            // What it was encoded as holds at this place only.
            return Ok(());
        }
        self.outermost = usize::MAX;
        // SAFETY: a live object. Held by its container and by this walk, and by somebody else?
        let is_shared = unsafe { ffi::Py_REFCNT(pointer) } > 2;
        if is_shared && self.encoder.is_digested(start) {
            let encoded = self.encoder.since(start).to_vec();
            self.seen.insert(pointer as usize, (value.clone().unbind(), encoded));
        }
        Ok(())
    }

    /// Encodes an object that was taken apart: a label, a dict of attributes or None, and further parts.
    pub(crate) fn parts(&mut self, parts: &Bound<'py, PyTuple>) -> Walked {
        let mut frame = self.encoder.open(Tag::Object, parts.len());
        for (index, part) in parts.iter_borrowed().enumerate() {
            match part.cast_exact::<PyDict>() {
                Ok(attributes) if index == 1 => {
                    // SAFETY: an exact dict, held by the parts.
                    let is_record = unsafe { self.record(attributes.as_ptr()) };
                    if is_record { Ok(()) } else { self.dict(Tag::Dict, &attributes, attribute_of) }
                }
                _ => self.value(&part),
            }?;
            self.encoder.item(&mut frame);
        }
        self.encoder.close(frame);
        Ok(())
    }
}

const _: () = assert!(INLINE < DETACHED);
