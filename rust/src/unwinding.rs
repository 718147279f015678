//! The functions that may unwind, behind pointers that are filled in at run time.
//!
//! `pyo3-ffi` declares them with the `C` ABI, which promises that they do not. A second declaration does not help:
//! link-time optimisation merges the two and keeps the promise. Of a pointer it knows nothing.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi::{self, PyObject, PyThreadState};

macro_rules! guarded {
    ($($function:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {
        mod pointers {
            use super::{AtomicPtr, c_void, ptr};
            $(
                #[allow(non_upper_case_globals)] // named after the function
                pub(super) static $function: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
            )*
        }

        /// Fills in the pointers; called when the module is made.
        ///
        /// Through a black box: the compiler would see that only one value is ever stored, and call that.
        pub(crate) fn prepare() {
            $(
                let function = std::hint::black_box(ffi::$function as *mut c_void);
                pointers::$function.store(function, Ordering::Release);
            )*
        }

        $(
            #[inline]
            #[allow(non_snake_case)] // named after the function
            pub(crate) unsafe fn $function($($argument: $kind),*) $(-> $result)? {
                let pointer = pointers::$function.load(Ordering::Relaxed);
                // SAFETY: `prepare` stored a function of this signature.
                unsafe {
                    let function: unsafe extern "C-unwind" fn($($kind),*) $(-> $result)? =
                        std::mem::transmute(pointer);
                    function($($argument),*)
                }
            }
        )*
    };
}

guarded! {
    PyObject_Call(callable: *mut PyObject, args: *mut PyObject, kwargs: *mut PyObject) -> *mut PyObject;
    PyObject_Vectorcall(
        callable: *mut PyObject, args: *const *mut PyObject, count: usize, names: *mut PyObject
    ) -> *mut PyObject;
    PyImport_Import(name: *mut PyObject) -> *mut PyObject;
    PyIter_Send(iter: *mut PyObject, arg: *mut PyObject, result: *mut *mut PyObject) -> c_int;
    PyEval_RestoreThread(state: *mut PyThreadState);
}
