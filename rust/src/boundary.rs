//! The only ways out of and into the interpreter, and the rules for them.
//!
//! * A thread attaches once and stays attached while it has work; it detaches only through [`detached`], and
//!   only to block. What runs detached touches no Python object, not even to drop one.
//! * Code of the user is entered only through [`call`], [`call_one`] and [`send`].
//! * A thread that asks for the interpreter while it is being finalised is ended by `CPython` (3.10 to 3.13) with
//!   `pthread_exit`, which unwinds through our frames and aborts the process. Every entry therefore stands in a frame
//!   that stops such an unwinding by blocking for ever ([`HangOnUnwind`]): the thread is abandoned, as 3.14 does
//!   by itself. The functions are called with the `C-unwind` ABI, because a call through the `C` ABI has no landing
//!   pad to stop at.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};
use pyo3::{BoundObject, IntoPyObjectExt};

use crate::{desk, runtime, unwinding};

/// How long a wait on the main thread lasts at most before it looks for signals.
pub(crate) const SIGNAL_SLICE: Duration = Duration::from_millis(25);

/// Blocks the thread for ever if dropped by an unwinding that Rust did not start.
struct HangOnUnwind;

impl Drop for HangOnUnwind {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Enters Python; on a worker of an interpreter that exits, there is no way back.
///
/// # Safety
/// The thread is attached, or becomes so by `enter`.
#[inline]
unsafe fn entered<T>(enter: impl FnOnce() -> T) -> T {
    let guard = HangOnUnwind;
    let result = enter();
    std::mem::forget(guard);
    if runtime::is_leaving() && desk::is_worker() {
        // What follows would call Python without a guard while the interpreter goes away.
        unsafe { stay_away() }
    }
    result
}

/// Gives up the interpreter for good: the thread ends with the process.
///
/// # Safety
/// The thread is attached.
pub(crate) unsafe fn stay_away() -> ! {
    // A thread in a body is not waited for.
    if !desk::in_body() {
        runtime::BUSY.fetch_sub(1, Ordering::AcqRel);
    }
    // SAFETY: attached, and never comes back for the state.
    unsafe { ffi::PyEval_SaveThread() };
    loop {
        std::thread::park();
    }
}

/// Calls `callable(*args, **kwargs)`.
pub(crate) fn call<'py>(
    py: Python<'py>,
    callable: &Py<PyAny>,
    args: &Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(ptr::null_mut(), Bound::as_ptr);
    // SAFETY: attached (`py`), all pointers are live for the call, and the result is owned or null with an error set.
    unsafe {
        let result = entered(|| unwinding::PyObject_Call(callable.as_ptr(), args.as_ptr(), kwargs));
        Bound::from_owned_ptr_or_err(py, result)
    }
}

/// Calls `callable(argument)`.
#[inline]
pub(crate) fn call_one<'py>(
    py: Python<'py>,
    callable: &Py<PyAny>,
    argument: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // The slot before the first argument is for the callee to use (PY_VECTORCALL_ARGUMENTS_OFFSET).
    let args = [ptr::null_mut(), argument.as_ptr()];
    let count = 1 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: as in `call`; `args` outlives the call and has the extra slot that the flag promises.
    unsafe {
        let result = entered(|| {
            unwinding::PyObject_Vectorcall(
                callable.as_ptr(),
                args.as_ptr().add(1),
                count,
                ptr::null_mut(),
            )
        });
        Bound::from_owned_ptr_or_err(py, result)
    }
}

/// Imports a module, which may run all of its code.
pub(crate) fn import<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let name = PyString::new(py, name);
    // SAFETY: attached; the result is owned or null with an error set.
    unsafe {
        let module = entered(|| unwinding::PyImport_Import(name.as_ptr()));
        Bound::from_owned_ptr_or_err(py, module)
    }
}

/// Calls on Python objects, guarded like all others.
pub(crate) trait Enter<'py> {
    fn enter(&self, args: impl IntoPyObject<'py, Target = PyTuple>) -> PyResult<Bound<'py, PyAny>>;
    fn enter0(&self) -> PyResult<Bound<'py, PyAny>>;
    fn enter_method(
        &self,
        name: &str,
        args: impl IntoPyObject<'py, Target = PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>>;
    fn enter_method0(&self, name: &str) -> PyResult<Bound<'py, PyAny>>;
}

impl<'py, T> Enter<'py> for Bound<'py, T> {
    fn enter(&self, args: impl IntoPyObject<'py, Target = PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let args = args.into_pyobject_or_pyerr(self.py())?.into_any().into_bound();
        call(self.py(), self.as_any().as_unbound(), &args, None)
    }

    fn enter0(&self) -> PyResult<Bound<'py, PyAny>> {
        self.enter(())
    }

    fn enter_method(
        &self,
        name: &str,
        args: impl IntoPyObject<'py, Target = PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.as_any().getattr(name)?.enter(args)
    }

    fn enter_method0(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.enter_method(name, ())
    }
}

/// Calls `callable(first, second)`.
#[inline]
pub(crate) fn call_two(
    py: Python<'_>,
    callable: &Py<PyAny>,
    first: &Bound<'_, PyAny>,
    second: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let args = [ptr::null_mut(), first.as_ptr(), second.as_ptr()];
    let count = 2 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: as in `call_one`.
    unsafe {
        let result = entered(|| {
            unwinding::PyObject_Vectorcall(
                callable.as_ptr(),
                args.as_ptr().add(1),
                count,
                ptr::null_mut(),
            )
        });
        Bound::from_owned_ptr_or_err(py, result).map(drop)
    }
}

/// How a coroutine answered a `send`.
pub(crate) enum Sent<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
    Raised(PyErr),
}

/// Resumes a coroutine or generator with `value`.
pub(crate) fn send<'py>(
    py: Python<'py>,
    coroutine: &Py<PyAny>,
    value: &Bound<'py, PyAny>,
) -> Sent<'py> {
    let mut out = ptr::null_mut();
    // SAFETY: attached; `out` is set to an owned reference unless the answer is an error.
    unsafe {
        let answer: c_int =
            entered(|| unwinding::PyIter_Send(coroutine.as_ptr(), value.as_ptr(), &raw mut out));
        match answer {
            0 => Sent::Returned(Bound::from_owned_ptr(py, out)),
            1 => Sent::Yielded(Bound::from_owned_ptr(py, out)),
            _ => Sent::Raised(PyErr::fetch(py)),
        }
    }
}

/// Lets go of the interpreter while `block` waits.
///
/// `block` must not touch a Python object: for `PyO3` this thread still counts as attached.
pub(crate) fn detached<T>(_py: Python<'_>, block: impl FnOnce() -> T) -> T {
    // SAFETY: the thread is attached (`_py`) and gets the same state back before anything Python runs.
    unsafe {
        let state = ffi::PyEval_SaveThread();
        let result = block();
        entered(|| unwinding::PyEval_RestoreThread(state));
        result
    }
}

thread_local! {
    static IS_MAIN: std::cell::Cell<Option<bool>> = const { std::cell::Cell::new(None) };
}

/// Whether this is the thread that receives signals.
pub(crate) fn on_main_thread(py: Python<'_>) -> PyResult<bool> {
    if let Some(known) = IS_MAIN.get() {
        return Ok(known);
    }
    let threading = import(py, "threading")?;
    let main = threading.enter_method0("main_thread")?.getattr("ident")?;
    let is_main = main.eq(threading.enter_method0("get_ident")?)?;
    IS_MAIN.set(Some(is_main));
    Ok(is_main)
}

/// Waits detached until `ready` gives something or `timeout` has passed; signals are answered on the main thread.
///
/// `ready` blocks at most as long as it is told to.
pub(crate) fn wait<T>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut ready: impl FnMut(Option<Duration>) -> Option<T>,
) -> PyResult<Option<T>> {
    let started = crate::clock::now();
    let main = on_main_thread(py)?;
    let injectable = !main && desk::is_injectable();
    loop {
        let left = match timeout {
            Some(limit) => {
                let left = limit.saturating_sub(crate::clock::since(started));
                if left.is_zero() {
                    return Ok(None);
                }
                Some(left)
            }
            None => None,
        };
        let slice = if main || injectable {
            Some(left.map_or(SIGNAL_SLICE, |left| left.min(SIGNAL_SLICE)))
        } else {
            left
        };
        if let Some(found) = detached(py, || ready(slice)) {
            return Ok(Some(found));
        }
        py.check_signals()?;
        if injectable {
            // An injected exception is raised between two instructions of Python code: here are some.
            crate::python::breathe(py)?;
        }
    }
}

/// Makes objects of a class that holds no Python object the garbage collector could help with.
///
/// `PyO3` makes every class known to the collector and goes through `object.__new__`. A million futures would be walked
/// again and again, to no end: what they hold belongs to their group, which they share, so the collector can
/// never see through them. Measured: 40 % of the time of making them.
pub(crate) struct Maker<T: PyClass<BaseType = PyAny>> {
    /// Whether something follows the Rust value in an object: a list of weak references, which is empty at first.
    has_more: PyOnceLock<bool>,
    kind: std::marker::PhantomData<T>,
}

impl<T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True, BaseType = PyAny> + Sync> Maker<T> {
    pub(crate) const fn new() -> Self {
        Self { has_more: PyOnceLock::new(), kind: std::marker::PhantomData }
    }

    #[inline]
    pub(crate) fn make<'py>(&self, py: Python<'py>, value: T) -> PyResult<Bound<'py, T>> {
        let Some(&has_more) = self.has_more.get(py) else {
            return self.first(py, value);
        };
        let class = T::type_object_raw(py);
        // SAFETY: attached. The object is as large as one that `PyO3` made, and its value lies at the same place, right
        // behind the head; what follows the value is nothing or a word, as `first` has checked by the sizes, which is
        // zeroed as `PyO3` has it. The object is not tracked by the collector.
        unsafe {
            let object = ffi::PyObject_GC_New::<ffi::PyObject>(class);
            if object.is_null() {
                return Err(PyErr::fetch(py));
            }
            object.add(1).cast::<T>().write(value);
            if has_more {
                object.add(1).byte_add(size_of::<T>()).cast::<usize>().write(0);
            }
            Ok(Bound::from_owned_ptr(py, object).cast_into_unchecked())
        }
    }

    /// Makes an object the long way, and measures it.
    fn first<'py>(&self, py: Python<'py>, value: T) -> PyResult<Bound<'py, T>> {
        let object = Bound::new(py, pyo3::PyClassInitializer::from(value))?;
        let place = std::ptr::from_ref(object.get()) as usize - object.as_ptr() as usize;
        // SAFETY: attached; reads the size in a type that is alive.
        let size = unsafe { (*T::type_object_raw(py)).tp_basicsize };
        let room = usize::try_from(size).unwrap_or(0).checked_sub(place + size_of::<T>());
        if let Some(room) = room
            && (room == 0 || room == size_of::<usize>())
            && place == size_of::<ffi::PyObject>()
            && std::mem::align_of::<T>() <= std::mem::align_of::<ffi::PyObject>()
        {
            let _ = self.has_more.set(py, room > 0);
        }
        Ok(object)
    }
}

/// Makes room for many new objects without the collector looking at them meanwhile.
pub(crate) fn without_collector<T>(_py: Python<'_>, body: impl FnOnce() -> T) -> T {
    // SAFETY: attached; the collector is turned on again if it was on.
    unsafe {
        let was_on = ffi::PyGC_Disable();
        let result = body();
        if was_on == 1 {
            ffi::PyGC_Enable();
        }
        result
    }
}
