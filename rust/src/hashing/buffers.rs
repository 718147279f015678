//! Arrays of any order and stride, hashed where they lie.
//!
//! What is encoded is the sequence of elements in C order, so the same array has the same key however it is laid out.

use std::ffi::CStr;

use oxtask_core::hashing::quiet;
use oxtask_core::hashing::{Elements, Encoder, Hasher, INLINE, LEAF, Tag, leaf_digest, of_leaves};
use pyo3::ffi;
use pyo3::prelude::*;

use super::{DETACHED, blob_digest};
use crate::boundary;

/// Memory that a Python object shows; it stays where it is until this is dropped.
pub(crate) struct Shown {
    view: Box<ffi::Py_buffer>,
}

impl Shown {
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: attached; the view is filled in, or an error is set.
        let code =
            unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *view, ffi::PyBUF_FULL_RO) };
        if code == 0 { Ok(Self { view }) } else { Err(PyErr::fetch(object.py())) }
    }

    /// The format of the elements, as the module `struct` writes it.
    pub(crate) fn format(&self) -> String {
        if self.view.format.is_null() {
            return "B".to_owned();
        }
        // SAFETY: a string that lives as long as the view.
        unsafe { CStr::from_ptr(self.view.format) }.to_string_lossy().into_owned()
    }

    pub(crate) fn shape(&self) -> &[isize] {
        self.dimensions(self.view.shape)
    }

    fn strides(&self) -> &[isize] {
        self.dimensions(self.view.strides)
    }

    fn dimensions(&self, start: *const isize) -> &[isize] {
        let count = usize::try_from(self.view.ndim).unwrap_or(0);
        if count == 0 || start.is_null() {
            return &[];
        }
        // SAFETY: so many numbers stand there as long as the view lives.
        unsafe { std::slice::from_raw_parts(start, count) }
    }

    /// Whether elements are reached through pointers to pointers, as in no array that is known today.
    pub(crate) fn is_indirect(&self) -> bool {
        !self.view.suboffsets.is_null()
            && self.dimensions(self.view.suboffsets).iter().any(|&o| o >= 0)
    }

    fn length(&self) -> usize {
        usize::try_from(self.view.len).unwrap_or(0)
    }

    /// Encodes the elements.
    pub(crate) fn encode<H: Hasher>(
        &self,
        py: Python<'_>,
        encoder: &mut Encoder<H>,
        elements: Elements,
    ) {
        let length = self.length();
        // SAFETY: a live view.
        let in_order = unsafe {
            ffi::PyBuffer_IsContiguous(
                &raw const *self.view,
                std::ffi::c_char::from_ne_bytes([b'C']),
            )
        } == 1;
        if in_order || length == 0 {
            let bytes: &[u8] = if length == 0 {
                &[]
            } else {
                // SAFETY: that many bytes lie there, and stay there while the view lives. Python code that writes to
                // them meanwhile in another thread changes what is hashed, as it would change what is read.
                unsafe { std::slice::from_raw_parts(self.view.buf.cast::<u8>(), length) }
            };
            if length <= INLINE {
                encoder.blob(Tag::Bytes, quiet(bytes, elements).as_deref().unwrap_or(bytes));
            } else {
                let digest = blob_digest::<H>(py, bytes, elements);
                encoder.digested_blob(Tag::Bytes, length, digest);
            }
            return;
        }
        if length <= INLINE {
            let mut bytes = Vec::with_capacity(length);
            self.gather(&mut |element| bytes.extend_from_slice(element));
            encoder.blob(Tag::Bytes, quiet(&bytes, elements).as_deref().unwrap_or(&bytes));
            return;
        }
        let digest = if length < DETACHED {
            self.digest_gathered::<H>(elements)
        } else {
            boundary::detached(py, || self.digest_gathered::<H>(elements))
        };
        encoder.digested_blob(Tag::Bytes, length, digest);
    }

    fn digest_gathered<H: Hasher>(&self, elements: Elements) -> H::Digest {
        let mut leaves = Vec::new();
        let mut bytes = Vec::with_capacity(LEAF + 64);
        self.gather(&mut |element| {
            bytes.extend_from_slice(element);
            while bytes.len() >= LEAF {
                leaves.push(leaf_digest::<H>(&bytes[..LEAF], 0, elements));
                bytes.drain(..LEAF);
            }
        });
        if !bytes.is_empty() || leaves.is_empty() {
            leaves.push(leaf_digest::<H>(&bytes, 0, elements));
        }
        of_leaves::<H>(&leaves)
    }

    /// Calls `take` with the elements in C order, one or several at a time.
    fn gather(&self, take: &mut impl FnMut(&[u8])) {
        let size = usize::try_from(self.view.itemsize).unwrap_or(0);
        let (shape, strides) = (self.shape(), self.strides());
        gather(self.view.buf.cast(), shape, strides, size, take);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // SAFETY: attached wherever a view is held (it is never sent to another thread), and released once.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) }
    }
}

/// What elements of a `NumPy` type are, by its `dtype.str`; `None` if it cannot be hashed by its bytes.
pub(crate) fn numpy_elements(dtype: &str) -> Option<Elements> {
    match dtype.as_bytes() {
        [b'|', b'b' | b'i' | b'u' | b'S', ..] | [b'<', b'i' | b'u' | b'U', ..] => {
            Some(Elements::Opaque)
        }
        b"<f2" => Some(Elements::Half),
        b"<f4" | b"<c8" => Some(Elements::Single),
        b"<f8" | b"<c16" => Some(Elements::Double),
        _ => None,
    }
}

/// What elements of a format of the module `struct` are.
pub(crate) fn struct_elements(format: &str) -> Elements {
    match format.trim_start_matches(['@', '=', '<', 'Z']) {
        "e" => Elements::Half,
        "f" => Elements::Single,
        "d" => Elements::Double,
        _ => Elements::Opaque,
    }
}

/// Calls `take` with the elements from `start` on.
fn gather(
    start: *const u8,
    shape: &[isize],
    strides: &[isize],
    size: usize,
    take: &mut impl FnMut(&[u8]),
) {
    let ([count, inner @ ..], [stride, inner_strides @ ..]) = (shape, strides) else {
        // SAFETY (here and below): the exporter says that an element lies at each place within the shape.
        return take(unsafe { std::slice::from_raw_parts(start, size) });
    };
    if inner.is_empty() && usize::try_from(*stride) == Ok(size) {
        let length = usize::try_from(*count).unwrap_or(0) * size;
        // A leaf at a time, so that what is gathered stays small.
        for begin in (0..length).step_by(LEAF) {
            let part = LEAF.min(length - begin);
            take(unsafe { std::slice::from_raw_parts(start.add(begin), part) });
        }
        return;
    }
    for index in 0..*count {
        let place = unsafe { start.offset(index * stride) };
        gather(place, inner, inner_strides, size, take);
    }
}
