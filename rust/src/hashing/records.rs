//! Records: small dicts of names and values without parts, of which data mostly consists.
//!
//! One record after the other has the same keys, and mostly the same objects for keys: what those are encoded as, and in
//! which order, is kept from one record to the next. A record is encoded like any dict, only faster.
//!
//! No Python code runs from the first look at a record to the last, so what the dict holds is borrowed. Without the lock
//! of the interpreter, other threads must not change it meanwhile, here as in the rest of the walk.

use std::{mem, ptr};

use oxtask_core::hashing::{FEW, Hasher, INLINE, PIECE, Tag};
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
    /// Whether a record had these keys since they are known.
    is_met: bool,
    /// The first key of the last dict with other keys; never looked into.
    other: *mut ffi::PyObject,
    /// The first key of dicts that are no records, or whose other keys differ; never looked into.
    hopeless: *mut ffi::PyObject,
}

/// A key.
struct Place {
    /// Which one of the dict.
    index: usize,
    /// Its encoding; before that of the first one stands how the encoding of a record begins.
    encoded: [u8; PIECE],
    length: usize,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        let (other, hopeless) = (ptr::null_mut(), ptr::null_mut());
        Self { keys: Vec::new(), places: Vec::new(), is_met: false, other, hopeless }
    }
}

impl<H: Hasher> Walk<'_, H> {
    /// Encodes a record whose keys are known; false if it is none.
    ///
    /// # Safety
    /// An exact dict, alive at least until the call returns, and the thread is attached.
    pub(super) unsafe fn record(&mut self, dict: *mut ffi::PyObject) -> bool {
        // SAFETY: by contract. A length that is read in place is faster than one that is asked for.
        let count = unsafe { Borrowed::from_ptr(self.py, dict).cast_unchecked::<PyDict>().len() };
        if count == 0 || count > FEW {
            return false;
        }
        if count != self.shape.keys.len() {
            // SAFETY: by contract.
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
                // SAFETY: by contract.
                return unsafe { self.unknown_record(dict, count) };
            }
        }
        let start = self.encoder.mark();
        let places = mem::take(&mut self.shape.places);
        let is_record = places.iter().all(|place| {
            self.encoder.again_first(place.length, &place.encoded);
            // SAFETY: the dict holds its values, and has not changed.
            unsafe { self.atom(values[place.index % FEW]) }
        });
        self.shape.places = places;
        if !is_record || self.encoder.mark() - start > INLINE {
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
    ///
    /// # Safety
    /// As for `record`.
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
        // SAFETY: by contract.
        let is_record = unsafe { self.record(dict) };
        self.shape.is_met = false;
        is_record
    }

    /// Gets to know the keys of a dict; false if they are not all short texts.
    ///
    /// # Safety
    /// As for `record`.
    unsafe fn learn(&mut self, dict: *mut ffi::PyObject, count: usize) -> bool {
        let start = self.encoder.mark();
        let frame = self.encoder.open(Tag::Dict, count);
        let head = self.encoder.since(start).to_vec();
        self.encoder.close(frame);
        self.shape.keys.clear();
        let mut keys = Vec::with_capacity(count);
        let (mut place, mut key) = (0, ptr::null_mut());
        // SAFETY: an exact dict, which nothing changes: no Python code runs in this function.
        while unsafe { ffi::PyDict_Next(dict, &raw mut place, &raw mut key, ptr::null_mut()) } != 0
        {
            self.encoder.forget(start);
            // SAFETY: a key that the dict holds.
            let key = unsafe { Bound::from_borrowed_ptr(self.py, key) };
            // Texts have encodings that differ, so those alone say in which order the members are. SAFETY: alive.
            if !key.is_exact_instance_of::<PyString>() || !unsafe { self.atom(key.as_ptr()) } {
                return false;
            }
            keys.push((self.encoder.since(start).to_vec(), keys.len()));
            self.shape.keys.push(key);
        }
        self.encoder.forget(start);
        keys.sort_unstable();
        self.shape.places.clear();
        for (number, (key, index)) in keys.into_iter().enumerate() {
            let key = if number == 0 { [&*head, &key].concat() } else { key };
            let mut encoded = [0; PIECE];
            let Some(place) = encoded.get_mut(..key.len()) else { return false };
            place.copy_from_slice(&key);
            self.shape.places.push(Place { index, encoded, length: key.len() });
        }
        true
    }
}
