//! Records: small dicts of names and values without parts, of which data mostly consists.
//!
//! One record after the other has the same keys, and mostly the same objects for keys: what those are encoded as, and in
//! which order, is kept from one record to the next. A record is encoded like any dict, only faster.

use std::ptr;

use oxtask_core::hashing::{FEW, Hasher, Tag};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::walk::Walk;

/// The keys of the last records, and of those that were met since.
pub(super) struct Shape<'py> {
    /// In the order of the dicts. They are held, so no other object has the address of one.
    keys: Vec<Bound<'py, PyAny>>,
    /// In the order of their encodings.
    places: Vec<Place>,
    /// The encodings.
    encoded: Vec<u8>,
    /// Whether a record had these keys since they are known.
    is_met: bool,
    /// The first key of the last dict with other keys; never looked into.
    other: *mut ffi::PyObject,
    /// The first key of dicts that are no records, or whose other keys differ; never looked into.
    hopeless: *mut ffi::PyObject,
}

/// A key.
#[derive(Clone, Copy)]
struct Place {
    /// Which one of the dict.
    index: usize,
    /// Where its encoding begins, and its length.
    start: usize,
    length: usize,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        let (keys, places, encoded) = (Vec::new(), Vec::new(), Vec::new());
        let (other, hopeless) = (ptr::null_mut(), ptr::null_mut());
        Self { keys, places, encoded, is_met: false, other, hopeless }
    }
}

impl<'py, H: Hasher> Walk<'py, H> {
    /// Encodes a record whose keys are known; false if it is none.
    #[inline]
    pub(super) fn record(&mut self, dict: &Bound<'py, PyDict>) -> bool {
        let count = dict.len();
        let mut values = [ptr::null_mut(); FEW];
        if count == 0 || count > FEW {
            return false;
        }
        let (mut place, mut key) = (0, ptr::null_mut());
        for (index, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: an exact dict, which nothing changes: no Python code runs in this function. Known keys are alive,
            // and what has the address of one is that one.
            let is_next = unsafe {
                ffi::PyDict_Next(dict.as_ptr(), &raw mut place, &raw mut key, &raw mut *value)
            };
            if is_next == 0 {
                return false;
            }
            if count != self.shape.keys.len() || !ptr::eq(key, self.shape.keys[index].as_ptr()) {
                return self.unknown_record(dict);
            }
        }
        let start = self.encoder.mark();
        let frame = self.encoder.open(Tag::Dict, count);
        for number in 0..count {
            let Place { index, start: first, length } = self.shape.places[number];
            self.encoder.again_first(&self.shape.encoded[first..], length);
            // SAFETY: the dict holds its values, and has not changed.
            if !unsafe { self.atom(values[index]) } {
                return self.no_record(start);
            }
        }
        self.encoder.close(frame);
        if self.encoder.is_digested(start) {
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
    fn unknown_record(&mut self, dict: &Bound<'py, PyDict>) -> bool {
        let (mut place, mut key) = (0, ptr::null_mut());
        // SAFETY: an exact dict, nothing runs meanwhile, and the key is compared by address only.
        unsafe {
            ffi::PyDict_Next(dict.as_ptr(), &raw mut place, &raw mut key, ptr::null_mut());
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
        if is_vain || !self.learn(dict) {
            self.shape.hopeless = key;
            self.shape.keys.clear();
            return false;
        }
        let is_record = self.record(dict);
        self.shape.is_met = false;
        is_record
    }

    /// Gets to know the keys of a dict; false if they are not all text.
    fn learn(&mut self, dict: &Bound<'py, PyDict>) -> bool {
        let start = self.encoder.mark();
        let (mut place, mut key) = (0, ptr::null_mut());
        let shape = &mut self.shape;
        shape.keys.clear();
        shape.places.clear();
        shape.is_met = false;
        // SAFETY: an exact dict, which nothing changes: no Python code runs in this function.
        while unsafe {
            ffi::PyDict_Next(dict.as_ptr(), &raw mut place, &raw mut key, ptr::null_mut())
        } != 0
        {
            let (index, first) = (self.shape.keys.len(), self.encoder.mark() - start);
            // SAFETY: a key that the dict holds.
            let key = unsafe { Bound::from_borrowed_ptr(self.py, key) };
            // Two texts are different if their encodings are. SAFETY: the key is alive.
            if !key.is_exact_instance_of::<PyString>() || !unsafe { self.atom(key.as_ptr()) } {
                self.encoder.forget(start);
                return false;
            }
            let length = self.encoder.mark() - start - first;
            self.shape.keys.push(key);
            self.shape.places.push(Place { index, start: first, length });
        }
        let Shape { places, encoded, .. } = &mut self.shape;
        encoded.clear();
        encoded.extend_from_slice(self.encoder.since(start));
        let key = |place: &Place| &encoded[place.start..place.start + place.length];
        places.sort_unstable_by(|one, two| key(one).cmp(key(two)));
        // A key is copied with what stands behind it.
        encoded.resize(encoded.len() + 32, 0);
        self.encoder.forget(start);
        true
    }
}
