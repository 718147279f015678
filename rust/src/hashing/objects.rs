//! The walk through values of types that are not built in, each by the plan of its type.

use oxtask_core::hashing::{Elements, Hasher, Tag};
use pyo3::prelude::*;
use pyo3::types::{
    PyDate, PyDateAccess, PyDateTime, PyDelta, PyDeltaAccess, PyTime, PyTimeAccess, PyTuple,
    PyTzInfoAccess,
};

use super::buffers::{Shown, numpy_elements, struct_elements};
use super::plans::{self, Plan};
use super::refusal::{Refused, attribute_of};
use super::walk::{Walk, Walked};
use crate::boundary;

impl<'py, H: Hasher> Walk<'py, H> {
    pub(crate) fn object(&mut self, value: &Bound<'py, PyAny>) -> Walked {
        match self.by_plan(value) {
            Ok(walked) => walked,
            Err(error) => Err(Refused::raised(value, error)),
        }
    }

    /// The outer error is one of taking `value` apart, the inner one of what it consists of.
    fn by_plan(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Walked> {
        match &*plans::of(&value.get_type())? {
            Plan::Date => {
                let date = value.cast::<PyDate>()?;
                self.encoder.fixed(Tag::Date, day(date));
            }
            Plan::Time(with_zone) => {
                let time = value.cast::<PyTime>()?;
                if time.get_tzinfo().is_some() {
                    return self.call(with_zone, value);
                }
                self.encoder.fixed(Tag::Time, clock(time));
            }
            Plan::DateTime(with_zone) => {
                let time = value.cast::<PyDateTime>()?;
                if time.get_tzinfo().is_some() {
                    return self.call(with_zone, value);
                }
                let mut payload = [0; 11];
                payload[..4].copy_from_slice(&day(time));
                payload[4..].copy_from_slice(&clock(time));
                self.encoder.fixed(Tag::DateTime, payload);
            }
            Plan::Duration => {
                let delta = value.cast::<PyDelta>()?;
                let mut payload = [0; 12];
                payload[..4].copy_from_slice(&delta.get_days().to_le_bytes());
                payload[4..8].copy_from_slice(&delta.get_seconds().to_le_bytes());
                payload[8..].copy_from_slice(&delta.get_microseconds().to_le_bytes());
                self.encoder.fixed(Tag::Duration, payload);
            }
            Plan::Uuid => {
                let number: u128 = value.getattr("int")?.extract()?;
                self.encoder.fixed(Tag::Uuid, number.to_be_bytes());
            }
            Plan::Fields { label, names } => {
                let mut frame = self.encoder.open(Tag::Object, 1 + 2 * names.len());
                self.encoder.blob(Tag::Str, label.as_bytes());
                self.encoder.item(&mut frame);
                for name in names {
                    let name = name.bind(self.py);
                    let item = value.getattr(name)?;
                    self.encoder.blob(Tag::Str, name.to_str()?.as_bytes());
                    self.encoder.item(&mut frame);
                    if let Err(refused) = self.value(&item) {
                        return Ok(Err(refused.inside(|| attribute_of(name))));
                    }
                    self.encoder.item(&mut frame);
                }
                self.encoder.close(frame);
            }
            Plan::Array(otherwise) => {
                let kind = value.getattr("dtype")?.getattr("str")?;
                let Some(elements) = numpy_elements(kind.extract()?) else {
                    return self.call(otherwise, value);
                };
                let shown = Shown::of(value)?;
                self.elements(&shown, kind.extract()?, elements);
            }
            Plan::Buffer(label) => {
                let shown = Shown::of(value)?;
                if shown.is_indirect() {
                    return Ok(Err(Refused::part(value, "it shows its memory in pieces")));
                }
                let format = shown.format();
                let frame = self.encoder.open(Tag::Object, 2);
                self.encoder.blob(Tag::Str, label.as_bytes());
                self.elements(&shown, &format, struct_elements(&format));
                self.encoder.close(frame);
            }
            Plan::Call(function) => return self.call(function, value),
        }
        Ok(Ok(()))
    }

    fn call(&mut self, function: &Py<PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Walked> {
        let parts = boundary::call_one(self.py, function, value)?;
        Ok(self.parts(parts.cast::<PyTuple>()?))
    }

    fn elements(&mut self, shown: &Shown, kind: &str, elements: Elements) {
        let frame = self.encoder.open(Tag::Elements, 3);
        self.encoder.blob(Tag::Str, kind.as_bytes());
        let shape = self.encoder.open(Tag::Tuple, shown.shape().len());
        for &length in shown.shape() {
            self.encoder.int(length as i64);
        }
        self.encoder.close(shape);
        shown.encode(self.py, &mut self.encoder, elements);
        self.encoder.close(frame);
    }
}

fn day(date: &impl PyDateAccess) -> [u8; 4] {
    let [low, high] = u16::try_from(date.get_year()).unwrap_or(0).to_le_bytes();
    [low, high, date.get_month(), date.get_day()]
}

fn clock(time: &impl PyTimeAccess) -> [u8; 7] {
    let [a, b, c, d] = time.get_microsecond().to_le_bytes();
    [time.get_hour(), time.get_minute(), time.get_second(), a, b, c, d]
}
