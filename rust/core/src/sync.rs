//! Locks and atomics: those of `std`, or of `loom` when models are explored (`--cfg loom`).
//!
//! Not `parking_lot`: it keeps one table of parked threads for the process, and in a forked child that table still
//! leads to threads that the child does not have.
#![allow(clippy::disallowed_types)] // everybody else is sent here

#[cfg(not(loom))]
pub use std::sync::atomic;
use std::time::Duration;

#[cfg(loom)]
pub use loom::sync::atomic;

#[cfg(not(loom))]
use std::sync as imp;

#[cfg(loom)]
use loom::sync as imp;

/// A lock that is never poisoned: no code of a caller runs while it is held.
#[derive(Debug, Default)]
pub struct Mutex<T>(imp::Mutex<T>);

pub type MutexGuard<'a, T> = imp::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The lock if nobody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The value, for whoever has the atomic to himself.
pub fn owned(value: &mut atomic::AtomicUsize) -> usize {
    #[cfg(not(loom))]
    return *value.get_mut();
    // A model does not see what an `Arc` passes on from one owner to the next; this reads the last value all the same.
    #[cfg(loom)]
    return value.fetch_add(0, atomic::Ordering::AcqRel);
}

#[derive(Debug, Default)]
pub struct Condvar(imp::Condvar);

impl Condvar {
    pub fn new() -> Self {
        Self(imp::Condvar::new())
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until notified, or until `timeout` has passed where one is given; may wake for nothing.
    pub fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, T> {
        #[cfg(not(loom))]
        match timeout {
            Some(limit) => {
                let waited = self.0.wait_timeout(guard, limit);
                waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
            }
            None => self.0.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner),
        }
        #[cfg(loom)]
        {
            // A model has no clock: a timeout is a wait that somebody ends.
            let _ = timeout;
            self.0.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }
}
