//! What a process has one of: the timer thread, the source of run ids, the graph of blocked runs.
//!
//! All of it sits behind one pointer. A forked child has none of the parent's threads and cannot trust its
//! locks, so it gets a new runtime and never touches the old one; what was made before the fork carries the old
//! generation and is refused.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use oxtask_core::ids::IdSource;
use oxtask_core::sync::Mutex;
use oxtask_core::waits::WaitGraph;
use pyo3::prelude::*;

use crate::run::RunRef;
use crate::timers::Timers;
use crate::{boundary, clock};

pub(crate) struct Runtime {
    pub(crate) generation: u64,
    pub(crate) ids: IdSource,
    pub(crate) timers: Timers,
    pub(crate) waits: Mutex<WaitGraph<RunRef>>,
    pub(crate) leaving: AtomicBool,
    random: AtomicU64,
}

static CURRENT: AtomicPtr<Runtime> = AtomicPtr::new(std::ptr::null_mut());

/// The runtime of this process.
#[inline]
pub(crate) fn get() -> &'static Runtime {
    let current = CURRENT.load(Ordering::Acquire);
    // SAFETY: the pointer is null or a leaked box, which is never freed.
    match unsafe { current.as_ref() } {
        Some(runtime) => runtime,
        None => renew(),
    }
}

fn renew() -> &'static Runtime {
    let old = CURRENT.load(Ordering::Acquire);
    // SAFETY: as in `get`.
    let generation = unsafe { old.as_ref() }.map_or(1, |runtime| runtime.generation + 1);
    let seed = random_seed();
    let fresh = Box::leak(Box::new(Runtime {
        generation,
        ids: IdSource::new(seed),
        timers: Timers::new(),
        waits: Mutex::new(WaitGraph::default()),
        leaving: AtomicBool::new(false),
        random: AtomicU64::new(seed | 1),
    }));
    match CURRENT.compare_exchange(old, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        // SAFETY: another thread was first; what it stored is a leaked box.
        Err(other) => unsafe { &*other },
    }
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library seeds its hash maps from the system's random numbers.
    RandomState::new().hash_one((std::process::id(), clock::now()))
}

impl Runtime {
    /// A number in `0.0..1.0`, for jitter (an `xorshift64*` generator: Vigna, 2016).
    pub(crate) fn uniform(&self) -> f64 {
        let step = |mut x: u64| {
            x ^= x >> 12;
            x ^= x << 25;
            x ^ (x >> 27)
        };
        let previous = self
            .random
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(step(x)))
            .unwrap_or(1);
        let bits = step(previous).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        #[allow(clippy::cast_precision_loss)] // 53 bits fit
        let uniform = bits as f64 / (1_u64 << 53) as f64;
        uniform
    }
}

/// A delay in seconds, spread by a jitter factor; see `oxtask_core::retry`.
#[pyfunction]
pub(crate) fn jittered(seconds: f64, jitter_factor: f64) -> f64 {
    let base = crate::workers::seconds_of(seconds);
    oxtask_core::retry::jittered(base, jitter_factor, get().uniform()).as_secs_f64()
}

/// Called in a forked child before it does anything else.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    renew();
}

/// Threads that were started and have not yet attached.
pub(crate) static ATTACHING: AtomicUsize = AtomicUsize::new(0);

/// How long the exit waits for them.
const ATTACH_LIMIT: Duration = Duration::from_secs(2);

/// Called when the interpreter begins to exit: no thread is started from here on, and none is caught on its way in.
#[pyfunction]
pub(crate) fn leave(py: Python<'_>) {
    get().leaving.store(true, Ordering::Release);
    let began = clock::now();
    while ATTACHING.load(Ordering::Acquire) > 0 && clock::since(began) < ATTACH_LIMIT {
        boundary::detached(py, || std::thread::park_timeout(Duration::from_millis(1)));
    }
}
