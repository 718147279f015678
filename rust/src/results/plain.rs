//! Plain values as bytes and back: the walk for `oxtask_core::results::values`.
//!
//! Only exact built-in types are plain, and only if a pickle would not tell more: a list, dict or set that occurs twice
//! in a value is one object after it was pickled, so such a value is left to pickle. No Python code of a user runs.

use std::collections::HashSet;
use std::ptr;

use oxtask_core::results::values::{
    MAX_DEPTH, Reader, put_bytes, put_float, put_head, put_int, tag,
};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
};

use crate::boundary::Enter;

/// Containers up to which all are compared, before they are hashed.
const FEW: usize = 16;

pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    few: Vec<usize>,
    many: HashSet<usize>,
}

/// Appends a value; false if it is not plain, whatever was appended then.
pub(super) fn write(out: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Writer { out, few: Vec::new(), many: HashSet::new() }.value(value, 0)
}

impl Writer<'_> {
    /// Whether a mutable container occurs for the first time.
    fn is_first(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let address = value.as_ptr() as usize;
        if self.few.len() < FEW {
            let is_first = !self.few.contains(&address);
            self.few.push(address);
            return is_first;
        }
        if self.many.is_empty() {
            self.many.extend(&self.few);
        }
        self.many.insert(address)
    }

    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<bool> {
        let class = value.get_type_ptr();
        let is = |known: *const ffi::PyTypeObject| ptr::eq(class, known);
        if is(&raw const ffi::PyUnicode_Type) {
            // SAFETY (all casts in this function): the exact type was compared.
            let Ok(text) = unsafe { value.cast_unchecked::<PyString>() }.to_str() else {
                return Ok(false); // half a character
            };
            put_bytes(self.out, tag::STR, text.as_bytes());
        } else if is(&raw const ffi::PyLong_Type) {
            self.int(value)?;
        } else if value.is_none() {
            self.out.push(tag::NONE);
        } else if is(&raw const ffi::PyBool_Type) {
            let is_true = ptr::eq(value.as_ptr(), unsafe { ffi::Py_True() });
            self.out.push(if is_true { tag::TRUE } else { tag::FALSE });
        } else if is(&raw const ffi::PyFloat_Type) {
            put_float(self.out, unsafe { value.cast_unchecked::<PyFloat>() }.value());
        } else if is(&raw const ffi::PyBytes_Type) {
            put_bytes(
                self.out,
                tag::BYTES,
                unsafe { value.cast_unchecked::<PyBytes>() }.as_bytes(),
            );
        } else if depth >= MAX_DEPTH {
            return Ok(false);
        } else if is(&raw const ffi::PyTuple_Type) {
            let tuple = unsafe { value.cast_unchecked::<PyTuple>() };
            put_head(self.out, tag::TUPLE, tuple.len());
            for item in tuple.iter_borrowed() {
                if !self.value(&item, depth + 1)? {
                    return Ok(false);
                }
            }
        } else if is(&raw const ffi::PyList_Type) {
            let list = unsafe { value.cast_unchecked::<PyList>() };
            let count = list.len();
            put_head(self.out, tag::LIST, count);
            let mut written = 0;
            for item in list.iter() {
                written += 1;
                if !self.value(&item, depth + 1)? {
                    return Ok(false);
                }
            }
            return Ok(written == count && self.is_first(value));
        } else if is(&raw const ffi::PyDict_Type) {
            let dict = unsafe { value.cast_unchecked::<PyDict>() };
            put_head(self.out, tag::DICT, dict.len());
            for (key, item) in dict.iter() {
                if !self.value(&key, depth + 1)? || !self.value(&item, depth + 1)? {
                    return Ok(false);
                }
            }
            return Ok(self.is_first(value));
        } else if is(&raw const ffi::PySet_Type) {
            let set = unsafe { value.cast_unchecked::<PySet>() };
            put_head(self.out, tag::SET, set.len());
            for item in set.iter() {
                if !self.value(&item, depth + 1)? {
                    return Ok(false);
                }
            }
            return Ok(self.is_first(value));
        } else if is(&raw const ffi::PyFrozenSet_Type) {
            let set = unsafe { value.cast_unchecked::<PyFrozenSet>() };
            put_head(self.out, tag::FROZENSET, set.len());
            for item in set.iter() {
                if !self.value(&item, depth + 1)? {
                    return Ok(false);
                }
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn int(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut overflow = 0;
        // SAFETY: an exact integer.
        let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
        if overflow == 0 {
            put_int(self.out, small);
            return Ok(());
        }
        let bits: usize = value.enter_method0("bit_length")?.extract()?;
        let is_negative = value.lt(0)?;
        // Signed is a keyword argument: the sign goes before the digits instead.
        let digits = if is_negative { value.neg()? } else { value.clone() };
        let bytes = digits.enter_method("to_bytes", (bits / 8 + 1, "little"))?;
        let bytes = bytes.cast_into::<PyBytes>()?;
        put_head(self.out, tag::BIG_INT, bytes.as_bytes().len() + 1);
        self.out.push(u8::from(is_negative));
        self.out.extend_from_slice(bytes.as_bytes());
        Ok(())
    }
}

/// The value that was written; `None` if the bytes are none that `write` writes.
pub(super) fn read<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut reader = Reader::new(bytes);
    let value = value(py, &mut reader, 0)?;
    Ok(value.filter(|_| reader.is_at_end()))
}

/// Unwraps what the reader gives, or says that the bytes are not those of a value.
macro_rules! some {
    ($found:expr) => {
        match $found {
            Some(found) => found,
            None => return Ok(None),
        }
    };
}

fn value<'py>(
    py: Python<'py>,
    reader: &mut Reader<'_>,
    depth: usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if depth > MAX_DEPTH {
        return Ok(None);
    }
    let next = |reader: &mut Reader<'_>| value(py, reader, depth + 1);
    let value = match some!(reader.tag()) {
        tag::NONE => py.None().into_bound(py),
        tag::FALSE => PyBool::new(py, false).to_owned().into_any(),
        tag::TRUE => PyBool::new(py, true).to_owned().into_any(),
        tag::INT => some!(reader.int()).into_pyobject(py)?.into_any(),
        tag::BIG_INT => {
            let (sign, digits) = some!(some!(reader.bytes()).split_first());
            let class = py.get_type::<PyInt>();
            let number =
                class.as_any().enter_method("from_bytes", (PyBytes::new(py, digits), "little"))?;
            if *sign == 1 { number.neg()? } else { number }
        }
        tag::FLOAT => PyFloat::new(py, some!(reader.float())).into_any(),
        tag::STR => PyString::new(py, some!(reader.text())).into_any(),
        tag::BYTES => PyBytes::new(py, some!(reader.bytes())).into_any(),
        kind @ (tag::TUPLE | tag::LIST | tag::FROZENSET) => {
            let count = some!(reader.count());
            // Not more at once than there are bytes: the number of items may be a lie.
            let mut items = Vec::with_capacity(count.min(1024));
            for _ in 0..count {
                items.push(some!(next(reader)?));
            }
            match kind {
                tag::TUPLE => PyTuple::new(py, items)?.into_any(),
                tag::LIST => PyList::new(py, items)?.into_any(),
                _ => PyFrozenSet::new(py, items)?.into_any(),
            }
        }
        tag::SET => {
            let set = PySet::empty(py)?;
            for _ in 0..some!(reader.count()) {
                set.add(some!(next(reader)?))?;
            }
            set.into_any()
        }
        tag::DICT => {
            let dict = PyDict::new(py);
            for _ in 0..some!(reader.count()) {
                let key = some!(next(reader)?);
                dict.set_item(key, some!(next(reader)?))?;
            }
            dict.into_any()
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}
