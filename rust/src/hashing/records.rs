//! Records: small dicts of names and values without parts, of which data mostly consists.
//!
//! One record after the other has the same keys, and mostly the same objects for keys: what those are encoded as, and in
//! which order, is kept from one record to the next. A record is encoded like any dict, only faster.

use std::ptr;

use oxtask_core::hashing::{FEW, Hasher, INLINE, PIECE, Tag};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::walk::Walk;

/// The keys of the last records, and of those that were met since.
pub(super) struct Shape<'py> {
    /// In the order of the dicts. They are held, so no other object has the address of one.
    keys: Vec<Bound<'py, PyAny>>,
    /// In the order of their encodings.
    places: [Place; FEW],
    /// How the encoding of a record begins, and the encodings of its keys.
    encoded: Vec<u8>,
    /// Whether a record had these keys since they are known.
    is_met: bool,
    /// The first key of the last dict with other keys; never looked into.
    other: *mut ffi::PyObject,
    /// The first key of dicts that are no records, or whose other keys differ; never looked into.
    hopeless: *mut ffi::PyObject,
}

/// A key.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Which one of the dict.
    index: usize,
    /// Of its encoding.
    length: usize,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        let (keys, places, encoded) = (Vec::new(), <[Place; FEW]>::default(), Vec::new());
        let (other, hopeless) = (ptr::null_mut(), ptr::null_mut());
        Self { keys, places, encoded, is_met: false, other, hopeless }
    }
}

impl<'py, H: Hasher> Walk<'py, H> {
    /// Encodes a record whose keys are known; false if it is none.
    ///
    /// # Safety
    /// An exact dict, alive at least until the call returns, and the thread is attached.
    pub(super) unsafe fn record(&mut self, dict: *mut ffi::PyObject) -> bool {
        // SAFETY: by contract.
        let count = unsafe { ffi::PyDict_Size(dict) }.unsigned_abs();
        if count == 0 || count > FEW {
            return false;
        }
        if count != self.shape.keys.len() {
            return unsafe { self.unknown_record(dict, count) };
        }
        let mut values = [ptr::null_mut(); FEW];
        let (mut place, mut key) = (0, ptr::null_mut());
        for (known, value) in self.shape.keys.iter().zip(&mut values) {
            // SAFETY: an exact dict, which nothing changes: no Python code runs in this function. Known keys are alive,
            // and what has the address of one is that one.
            let is_next =
                unsafe { ffi::PyDict_Next(dict, &raw mut place, &raw mut key, &raw mut *value) };
            if is_next == 0 {
                return false;
            }
            if !ptr::eq(key, known.as_ptr()) {
                return unsafe { self.unknown_record(dict, count) };
            }
        }
        let start = self.encoder.mark();
        let mut first = 0;
        for number in 0..count {
            let Place { index, length } = self.shape.places[number];
            self.encoder.again_first(&self.shape.encoded[first..], length);
            first += length;
            // SAFETY: the dict holds its values, and has not changed.
            if !unsafe { self.atom(values[index % FEW]) } {
                return self.no_record(start);
            }
        }
        if self.encoder.mark() - start > INLINE {
            // What is large is worth being looked for among what was met before.
            return self.no_record(start);
        }
        self.shape.is_met = true;
        true
    }

    /// Gives up on dicts whose keys are those of the last record.
    #[cold]
    fn no_record(&mut self, start: usize) -> bool {
        self.encoder.forget(start);
        self.shape.hopeless = self.shape.keys[0].as_ptr();
        self.shape.keys.clear();
        false
    }

    /// Gets to know the keys of a dict if one that began the same was met before.
    #[inline(never)]
    unsafe fn unknown_record(&mut self, dict: *mut ffi::PyObject, count: usize) -> bool {
        let (mut place, mut key) = (0, ptr::null_mut());
        // SAFETY: an exact dict, nothing runs meanwhile, and the key is compared by address only.
        unsafe {
            ffi::PyDict_Next(dict, &raw mut place, &raw mut key, ptr::null_mut());
        }
        if ptr::eq(key, self.shape.hopeless) {
            return false;
        }
        if !ptr::eq(key, self.shape.other) {
            self.shape.other = key;
            return false;
        }
        let known = self.shape.keys.first();
        let is_vain = !self.shape.is_met && known.is_some_and(|first| ptr::eq(key, first.as_ptr()));
        // SAFETY: by contract.
        if is_vain || !unsafe { self.learn(dict, count) } {
            self.shape.hopeless = key;
            self.shape.keys.clear();
            return false;
        }
        let is_record = unsafe { self.record(dict) };
        self.shape.is_met = false;
        is_record
    }

    /// Gets to know the keys of a dict; false if they are not all text.
    unsafe fn learn(&mut self, dict: *mut ffi::PyObject, count: usize) -> bool {
        let start = self.encoder.mark();
        let frame = self.encoder.open(Tag::Dict, count);
        let body = self.encoder.mark();
        let (mut place, mut key) = (0, ptr::null_mut());
        let mut ends = [body; FEW];
        self.shape.keys.clear();
        self.shape.is_met = false;
        // SAFETY: an exact dict, which nothing changes: no Python code runs in this function.
        while unsafe { ffi::PyDict_Next(dict, &raw mut place, &raw mut key, ptr::null_mut()) } != 0
        {
            // SAFETY: a key that the dict holds.
            let key = unsafe { Bound::from_borrowed_ptr(self.py, key) };
            // Two texts are different if their encodings are. SAFETY: the key is alive.
            if !key.is_exact_instance_of::<PyString>() || !unsafe { self.atom(key.as_ptr()) } {
                self.encoder.forget(start);
                return false;
            }
            ends[self.shape.keys.len()] = self.encoder.mark();
            self.shape.keys.push(key);
        }
        let bytes = self.encoder.since(start);
        let Shape { keys, places, encoded, .. } = &mut self.shape;
        let mut sorted = [(&bytes[..0], 0); FEW];
        let sorted = &mut sorted[..keys.len()];
        let mut first = body;
        for (index, (key, &end)) in sorted.iter_mut().zip(&ends).enumerate() {
            *key = (&bytes[first - start..end - start], index);
            first = end;
        }
        sorted.sort_unstable();
        encoded.clear();
        encoded.extend_from_slice(&bytes[..body - start]);
        let mut before = 0;
        for (place, (key, index)) in places.iter_mut().zip(&*sorted) {
            encoded.extend_from_slice(key);
            *place = Place { index: *index, length: encoded.len() - before };
            before = encoded.len();
        }
        // A key is copied with what stands behind it.
        encoded.resize(encoded.len() + PIECE, 0);
        self.encoder.close(frame);
        self.encoder.forget(start);
        true
    }
}
