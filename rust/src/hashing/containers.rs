//! The walk through the containers that are built in.
//!
//! Code of the user can run for every part that is not of a built-in type, and may change the containers that are
//! being walked: nothing borrowed is held across it, and a container whose size changes is refused.

use std::ptr;

use oxtask_core::hashing::{Frame, Hasher, Tag};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::refusal::{Refused, item_of};
use super::walk::{Walk, Walked};

impl<'py, H: Hasher> Walk<'py, H> {
    pub(super) fn list(&mut self, list: &Bound<'py, PyAny>) -> Walked {
        // SAFETY: an exact list, whose length is asked for anew before each item is read.
        let size = || unsafe { ffi::PyList_GET_SIZE(list.as_ptr()) };
        let count = size();
        let mut frame = self.encoder.open(Tag::List, count.unsigned_abs());
        let mut index = 0;
        while index < count.min(size()) {
            // SAFETY: the index is within the list; the item is borrowed for `plain` only, and owned before Python code
            // can run.
            unsafe {
                let item = ffi::PyList_GET_ITEM(list.as_ptr(), index);
                if ptr::eq(ffi::Py_TYPE(item), &raw const ffi::PyLong_Type) {
                    let ints = self.ints(list, &mut frame, index);
                    if ints > 0 {
                        index += ints;
                        continue;
                    }
                }
                if !self.plain(item) {
                    let item = Bound::from_borrowed_ptr(self.py, item);
                    self.other(&item).map_err(|e| e.inside(|| format!("[{index}]")))?;
                }
            }
            self.encoder.item(&mut frame);
            index += 1;
        }
        if size() != count {
            return Err(changed(list));
        }
        self.encoder.close(frame);
        Ok(())
    }

    /// Encodes the integers that stand in a list from `first` on, at most a few; returns how many.
    ///
    /// # Safety
    /// The list has an item `first`, and the thread is attached.
    #[inline]
    unsafe fn ints(&mut self, list: &Bound<'py, PyAny>, frame: &mut Frame, first: isize) -> isize {
        let mut values = [0; 64];
        let mut found = 0;
        // SAFETY: within the list; the items are borrowed while nothing else runs.
        unsafe {
            let left = ffi::PyList_GET_SIZE(list.as_ptr()) - first;
            for value in values.iter_mut().take(left.unsigned_abs()) {
                let item = ffi::PyList_GET_ITEM(list.as_ptr(), first + found);
                if !ptr::eq(ffi::Py_TYPE(item), &raw const ffi::PyLong_Type) {
                    break;
                }
                let mut overflow = 0;
                *value = ffi::PyLong_AsLongLongAndOverflow(item, &raw mut overflow);
                if overflow != 0 {
                    break;
                }
                found += 1;
            }
        }
        if found > 0 {
            self.encoder.ints(frame, &values[..found.unsigned_abs()]);
        }
        found
    }

    pub(super) fn tuple(&mut self, tuple: &Bound<'py, PyTuple>) -> Walked {
        let mut frame = self.encoder.open(Tag::Tuple, tuple.len());
        for (index, item) in tuple.iter_borrowed().enumerate() {
            self.value(&item).map_err(|e| e.inside(|| format!("[{index}]")))?;
            self.encoder.item(&mut frame);
        }
        self.encoder.close(frame);
        Ok(())
    }

    pub(super) fn dict(
        &mut self,
        tag: Tag,
        dict: &Bound<'py, PyDict>,
        step: impl Fn(&Bound<'py, PyAny>) -> String,
    ) -> Walked {
        let count = dict.len();
        let mut frame = self.encoder.open(tag, count);
        self.members(dict, &mut frame, None::<&fn(&Bound<'py, PyAny>) -> bool>, step)?;
        self.encoder.close_unordered(frame);
        Ok(())
    }

    /// Encodes the arguments of a call, whose names begin the paths in errors.
    pub(super) fn inputs(&mut self, inputs: &Bound<'py, PyDict>, exclude: &[String]) -> Walked {
        let is_left_out = |name: &Bound<'py, PyAny>| {
            let name = name.cast::<PyString>().map(|name| name.to_string_lossy());
            name.is_ok_and(|name| exclude.iter().any(|other| *other == name))
        };
        let mut count = inputs.len();
        if !exclude.is_empty() {
            count -= inputs.keys().iter().filter(is_left_out).count();
        }
        let mut frame = self.encoder.open(Tag::Dict, count);
        let left_out = (!exclude.is_empty()).then_some(&is_left_out);
        self.members(inputs, &mut frame, left_out, |name| {
            name.str().map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
        })?;
        self.encoder.close_unordered(frame);
        Ok(())
    }

    fn members(
        &mut self,
        dict: &Bound<'py, PyDict>,
        frame: &mut Frame,
        is_left_out: Option<&impl Fn(&Bound<'py, PyAny>) -> bool>,
        step: impl Fn(&Bound<'py, PyAny>) -> String,
    ) -> Walked {
        let count = dict.len();
        let (mut place, mut found) = (0, 0);
        let (mut key, mut item) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the place is checked against the dict's size at each call; what it gives is owned before Python
        // code can run.
        while unsafe {
            ffi::PyDict_Next(dict.as_ptr(), &raw mut place, &raw mut key, &raw mut item)
        } != 0
        {
            found += 1;
            let start = self.encoder.mark();
            unsafe {
                let key_done = self.atom(key);
                if !key_done || is_left_out.is_some() || !self.plain(item) {
                    let key = Bound::from_borrowed_ptr(self.py, key);
                    let item = Bound::from_borrowed_ptr(self.py, item);
                    if !key_done {
                        self.other(&key).map_err(|e| e.inside(|| item_of(&key)))?;
                    }
                    if is_left_out.is_some_and(|is_left_out| is_left_out(&key)) {
                        self.encoder.forget(start);
                        continue;
                    }
                    let is_tried = key_done && is_left_out.is_none();
                    let encoded = if is_tried { self.other(&item) } else { self.value(&item) };
                    encoded.map_err(|e| e.inside(|| step(&key)))?;
                }
            }
            self.encoder.member(frame, start);
            if dict.len() != count {
                return Err(changed(dict));
            }
        }
        if found == count { Ok(()) } else { Err(changed(dict)) }
    }

    pub(super) fn set(&mut self, tag: Tag, set: &Bound<'py, PyAny>) -> Walked {
        let count = set.len().map_err(|error| Refused::raised(set, error))?;
        let mut frame = self.encoder.open(tag, count);
        let mut found = 0;
        for member in set.try_iter().map_err(|error| Refused::raised(set, error))? {
            let member = member.map_err(|error| Refused::raised(set, error))?;
            let start = self.encoder.mark();
            self.value(&member).map_err(|e| e.inside(|| item_of(&member)))?;
            self.encoder.member(&mut frame, start);
            found += 1;
        }
        if found != count {
            return Err(changed(set));
        }
        self.encoder.close_unordered(frame);
        Ok(())
    }
}

fn changed(container: &Bound<'_, PyAny>) -> Refused {
    Refused::part(container, "it was changed while it was hashed")
}
