//! What the garbage collector sees of runs that failed.
//!
//! Futures and runs refer to their group through a counted pointer that the collector does not know, and are not
//! tracked: a million futures cost it nothing, and no cycle goes through them as long as all goes well. A failure
//! that was handed out is another matter: exception, traceback, frame, future, group, exception. From then on the
//! futures of its group are *linked*: they are tracked, and visit the one [`Outputs`] of the group, which visits what
//! the group holds. It does so only while nobody but linked objects holds the group: what is held from outside is
//! alive.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use oxtask_core::sync::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyWeakref, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};

use crate::futures::TaskRunFuture;
use crate::run::{Note, Runs};
use crate::{error, runtime};

/// What a group knows of its links.
#[derive(Default)]
pub(crate) struct Known {
    /// The `Outputs` while there are linked objects, which own it.
    outputs: AtomicPtr<ffi::PyObject>,
    /// A weak reference to the list of the group's futures.
    list: Mutex<Option<Py<PyAny>>>,
}

/// The values that a group holds, as the collector sees them.
#[pyclass(frozen, module = "oxtask._core")]
pub(crate) struct Outputs {
    group: Runs,
    /// Linked objects, each of which holds the group.
    holders: AtomicUsize,
}

#[pymethods]
impl Outputs {
    #[allow(clippy::needless_pass_by_value)] // the signature that PyO3 asks for
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let own = self.holders.load(Ordering::Relaxed) + 1;
        // The timer thread, alone among those that run without the interpreter, takes hold of groups for a moment.
        let is_held = runtime::get().timers.at_rest(|| Arc::strong_count(&self.group) > own);
        if is_held {
            return Ok(());
        }
        for index in 0..self.group.len() {
            let output = self.group.peek(index, |_, output| visit.call(output));
            output.unwrap_or(Ok(()))?;
            self.group.notes(index, |notes| {
                notes.iter().try_for_each(|note| match note {
                    Note::Record(held) | Note::Failed(_, held, _) => visit.call(held),
                    // Numbers and texts: nothing that could refer to a run.
                    Note::Retried(_) | Note::Sources(_) => Ok(()),
                })
            })?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        for index in 0..self.group.len() {
            drop(self.group.take(index));
            drop(self.group.take_notes(index));
        }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.group.work.known.outputs.store(std::ptr::null_mut(), Ordering::Relaxed);
    }
}

/// An object's part in this: whether it is linked.
#[derive(Default)]
pub(crate) struct Link(AtomicBool);

impl Link {
    /// Links `object`, which holds `group` and owns this link.
    fn make(&self, object: &Bound<'_, PyAny>, outputs: &Bound<'_, Outputs>) {
        if self.0.swap(true, Ordering::Relaxed) {
            return;
        }
        outputs.get().holders.fetch_add(1, Ordering::Relaxed);
        // Owned from here on; `unmake` gives it back.
        std::mem::forget(outputs.clone());
        // SAFETY: attached; objects of these classes have room for the collector, and are complete.
        unsafe {
            if ffi::PyObject_GC_IsTracked(object.as_ptr()) == 0 {
                ffi::PyObject_GC_Track(object.as_ptr().cast());
            }
        }
    }

    /// For `__traverse__` of the object.
    pub(crate) fn visit(&self, group: &Runs, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match NonNull::new(group.work.known.outputs.load(Ordering::Relaxed)) {
            Some(outputs) if self.0.load(Ordering::Relaxed) => {
                // SAFETY: `Py` is a pointer; this one is not null, and alive because the link owns a count of it.
                visit.call(unsafe { &*std::ptr::from_ref(&outputs).cast::<Py<PyAny>>() })
            }
            _ => Ok(()),
        }
    }

    /// For `drop` of the object.
    #[inline]
    pub(crate) fn unmake(&self, group: &Runs) {
        if self.0.load(Ordering::Relaxed) {
            unlink(group);
        }
    }
}

#[cold]
fn unlink(group: &Runs) {
    Python::try_attach(|py| {
        let outputs = group.work.known.outputs.load(Ordering::Relaxed);
        // SAFETY: attached; the link owned a count of it.
        let outputs = unsafe { Bound::from_owned_ptr_or_opt(py, outputs) };
        if let Some(Ok(outputs)) = outputs.map(Bound::cast_into::<Outputs>) {
            outputs.get().holders.fetch_sub(1, Ordering::Relaxed);
        }
    });
}

/// The `Outputs` of a group, and whether it is new.
fn outputs_of<'py>(py: Python<'py>, group: &Runs) -> PyResult<(Bound<'py, Outputs>, bool)> {
    let known = group.work.known.outputs.load(Ordering::Relaxed);
    // SAFETY: attached; whoever is linked keeps it alive, and the last one takes the pointer away.
    if let Some(outputs) = unsafe { Bound::from_borrowed_ptr_or_opt(py, known) } {
        return Ok((outputs.cast_into()?, false));
    }
    let outputs = Outputs { group: Arc::clone(group), holders: AtomicUsize::new(0) };
    let outputs = Bound::new(py, outputs)?;
    group.work.known.outputs.store(outputs.as_ptr(), Ordering::Relaxed);
    Ok((outputs, true))
}

/// Links an object that hands out a failure, and, the first time, the list of all futures of its group.
pub(crate) fn link(object: &Bound<'_, PyAny>, own: &Link, group: &Runs) {
    let py = object.py();
    let linked = outputs_of(py, group).and_then(|(outputs, is_new)| {
        own.make(object, &outputs);
        let list = group.work.known.list.lock().as_ref().map(|list| list.clone_ref(py));
        let (true, Some(list)) = (is_new, list) else { return Ok(()) };
        let Some(list) = list.bind(py).cast::<PyWeakref>()?.upgrade() else { return Ok(()) };
        for item in list.cast::<PyList>()? {
            if let Ok(future) = item.cast_exact::<TaskRunFuture>()
                && Arc::ptr_eq(future.get().run().0, group)
            {
                future.get().link().make(&item, &outputs);
            }
        }
        Ok(())
    });
    // Nothing is wrong without a link but that a cycle stays.
    if let Err(raised) = linked {
        error::unraisable(py, &raised);
    }
}

/// Notes the list that holds the futures of a group.
pub(crate) fn note_list(group: &Runs, list: &Bound<'_, PyAny>) -> PyResult<()> {
    let weak = PyWeakrefReference::new(list)?.into_any().unbind();
    let old = group.work.known.list.lock().replace(weak);
    drop(old);
    Ok(())
}
