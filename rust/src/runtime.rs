//! What a process has one of: the timer thread, the source of run ids, the graph of blocked runs.
//!
//! All of it sits behind one pointer. A forked child has none of the parent's threads and cannot trust its
//! locks, so it gets a new runtime and never touches the old one; what was made before the fork carries the old
//! generation and is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use oxtask_core::ids::IdSource;
use oxtask_core::sync::Mutex;
use oxtask_core::waits::WaitGraph;
use pyo3::prelude::*;

use crate::boundary::Enter;
use crate::flights::Airspace;
use crate::run::RunRef;
use crate::timers::Timers;
use crate::{boundary, clock, seat};

pub(crate) struct Runtime {
    pub(crate) generation: u64,
    pub(crate) ids: IdSource,
    pub(crate) timers: Timers,
    pub(crate) waits: Mutex<WaitGraph<RunRef>>,
    pub(crate) airspace: Airspace,
    /// The event loops for async runs.
    pub(crate) loops: Mutex<Vec<Arc<crate::loops::Seat>>>,
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
        airspace: Airspace::default(),
        loops: Mutex::new(Vec::new()),
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

/// A number that nobody can foresee.
pub(crate) fn random() -> u64 {
    random_seed()
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

/// Whether a runner was made: until then no thread of ours imports anything.
pub(crate) static IN_USE: AtomicBool = AtomicBool::new(false);

/// Called before a fork.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    if !IN_USE.load(Ordering::Relaxed) {
        return;
    }
    let prepared = boundary::import(py, "oxtask._internal.forking")
        .and_then(|module| module.enter_method0("prepare"));
    if let Err(raised) = prepared {
        crate::error::unraisable(py, &raised);
    }
}

/// Called in a forked child before it does anything else.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    ATTACHING.store(0, Ordering::Release);
    BUSY.store(0, Ordering::Release);
    seat::forget_after_fork();
    get().airspace.files.close_in_child();
    renew();
}

/// Threads that were started and have not yet attached.
pub(crate) static ATTACHING: AtomicUsize = AtomicUsize::new(0);
/// Workers that are attached, or about to be: all but those that wait for work.
pub(crate) static BUSY: AtomicUsize = AtomicUsize::new(0);
static LEAVING: AtomicBool = AtomicBool::new(false);

/// How long the exit waits for threads to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(1);

/// Whether the interpreter exits: no thread is started, and no worker calls Python, from here on.
#[inline]
pub(crate) fn is_leaving() -> bool {
    LEAVING.load(Ordering::Acquire)
}

/// Called when the interpreter begins to exit.
///
/// Returns when every worker rests, or is in a body of the user, which `boundary` guards.
#[pyfunction]
pub(crate) fn leave(py: Python<'_>) {
    LEAVING.store(true, Ordering::Release);
    let began = clock::now();
    let moving = || {
        let guarded = seat::all().iter().filter(|seat| seat.is_guarded()).count();
        ATTACHING.load(Ordering::Acquire) + BUSY.load(Ordering::Acquire).saturating_sub(guarded)
    };
    while moving() > 0 && clock::since(began) < REST_LIMIT {
        boundary::detached(py, || std::thread::park_timeout(Duration::from_millis(1)));
    }
}
