//! Event loops for async runs: a few threads that live as long as the process, each with an asyncio loop.
//!
//! A loop is woken through a pipe, so the timer thread can do it too. Its reader takes runs off the pools that
//! want it and steps their coroutines, in bursts that leave the loop time for its other callbacks. A run whose
//! coroutine does not suspend is over within the burst and never becomes an asyncio task; see `coroutine.rs`.
//!
//! A loop that has been inside one step for [`STUCK`] is taken to be blocked: new runs go to another, which is
//! started if need be.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oxtask_core::pool::{From, Lane, Taken};
use oxtask_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::coroutine::{self, RunTask};
use crate::run::Runs;
use crate::workers::{self, Callback, RunPool};
use crate::{boundary, clock, desk, error, runtime};

/// A step that takes longer blocks its loop.
const STUCK: Duration = Duration::from_millis(20);
/// A burst ends after this long, and the loop does other things before the next.
const BURST: Duration = Duration::from_millis(2);
/// The clock is read once in so many steps.
const STEPS_A_LOOK: u32 = 16;

/// The event loop of a thread, and how asyncio is told which task it runs.
struct Home {
    event_loop: Py<PyAny>,
    naming: Naming,
}

enum Naming {
    /// `asyncio.tasks._current_tasks`, of `CPython` before 3.14: a name stays until the next, or the end of the burst.
    Dict(Py<PyDict>),
    /// `asyncio.tasks._enter_task` and `_leave_task`, around each step.
    Functions(Py<PyAny>, Py<PyAny>),
}

/// What others know of a loop.
pub(crate) struct Seat {
    home: OnceLock<Home>,
    writer: libc::c_int,
    woken: AtomicBool,
    /// When the step under way began; zero between steps.
    stepping_since: AtomicU64,
    pools: Mutex<VecDeque<RunPool>>,
    resumable: Mutex<VecDeque<Py<RunTask>>>,
    suspended: Mutex<Vec<Py<RunTask>>>,
    /// The task that is being stepped.
    current: Mutex<Option<Py<RunTask>>>,
    /// Whether asyncio holds a task of ours for the current one.
    named: AtomicBool,
}

impl Seat {
    fn is_stuck(&self) -> bool {
        let since = self.stepping_since.load(Ordering::Relaxed);
        since != 0 && clock::since(since) > STUCK
    }

    /// Notes that steps begin; a burst notes it again whenever it looks at the clock.
    pub(crate) fn stepping<'a, 'py>(&'a self, py: Python<'py>) -> Stepping<'a, 'py> {
        self.stepping_since.store(clock::now(), Ordering::Relaxed);
        Stepping { seat: self, py }
    }

    /// The event loop; there is one once a run has been begun on it.
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let home = self.home.get().map(|home| home.event_loop.clone_ref(py));
        home.unwrap_or_else(|| py.None()).into_bound(py)
    }

    /// Runs a step of `task` as the current task of the loop.
    pub(crate) fn as_current<T>(
        &self,
        task: &Bound<'_, RunTask>,
        step: impl FnOnce() -> T,
    ) -> PyResult<T> {
        let py = task.py();
        match self.home.get() {
            None => Ok(step()),
            Some(Home { event_loop, naming: Naming::Dict(tasks) }) => {
                tasks.bind(py).set_item(event_loop, task)?;
                self.named.store(true, Ordering::Relaxed);
                Ok(step())
            }
            Some(Home { event_loop, naming: Naming::Functions(enter, leave) }) => {
                boundary::call_two(py, enter, event_loop.bind(py), task.as_any())?;
                let answer = step();
                boundary::call_two(py, leave, event_loop.bind(py), task.as_any())?;
                Ok(answer)
            }
        }
    }

    fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            // SAFETY: writes one byte to a pipe that is never closed. A full pipe has woken the loop already.
            unsafe { libc::write(self.writer, [1_u8].as_ptr().cast(), 1) };
        }
    }

    /// Queues a task that gave way for nothing, as `asyncio.sleep(0)` does.
    pub(crate) fn resume_later(&self, task: Py<RunTask>) {
        self.resumable.lock().push_back(task);
        self.wake();
    }

    /// Names the task that is being stepped; returns the one before.
    pub(crate) fn now_stepping(&self, task: Option<Py<RunTask>>) -> Option<Py<RunTask>> {
        std::mem::replace(&mut *self.current.lock(), task)
    }

    pub(crate) fn suspend(&self, task: Py<RunTask>) {
        self.suspended.lock().push(task);
    }

    pub(crate) fn forget(&self, task: &Bound<'_, RunTask>) {
        let mut suspended = self.suspended.lock();
        let gone = suspended
            .iter()
            .position(|held| held.is(task))
            .map(|place| suspended.swap_remove(place));
        drop(suspended);
        drop(gone);
    }
}

/// Makes a loop take runs from `pool`.
pub(crate) fn wake(pool: &RunPool) {
    let mut loops = runtime::get().loops.lock();
    let free = loops.iter().find(|seat| !seat.is_stuck()).cloned();
    let seat = match free {
        Some(seat) => seat,
        None => match start() {
            Some(seat) => {
                loops.push(Arc::clone(&seat));
                seat
            }
            None => return,
        },
    };
    drop(loops);
    seat.pools.lock().push_back(Arc::clone(pool));
    seat.wake();
}

fn start() -> Option<Arc<Seat>> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
        return None;
    }
    for end in ends {
        // SAFETY: the descriptors are ours.
        unsafe {
            libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK);
            libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
    let [reader, writer] = ends;
    let seat = Arc::new(Seat {
        home: OnceLock::new(),
        writer,
        woken: AtomicBool::new(false),
        stepping_since: AtomicU64::new(0),
        pools: Mutex::new(VecDeque::new()),
        resumable: Mutex::new(VecDeque::new()),
        suspended: Mutex::new(Vec::new()),
        current: Mutex::new(None),
        named: AtomicBool::new(false),
    });
    let held = Arc::clone(&seat);
    let thread = std::thread::Builder::new().name("oxtask-loop".to_owned());
    thread.spawn(move || run(held, reader)).ok().map(|_| seat)
}

/// The life of a loop thread.
fn run(seat: Arc<Seat>, reader: libc::c_int) {
    Python::try_attach(|py| {
        let result = (|| {
            let module = boundary::import(py, "oxtask._internal.loops")?;
            let drain = Bound::new(py, Drain { seat, reader })?;
            let arguments = (reader, drain).into_pyobject(py)?;
            let run = module.getattr("run")?.unbind();
            boundary::call(py, &run, arguments.as_any(), None)
        })();
        if let Err(raised) = result {
            error::unraisable(py, &raised);
        }
    });
}

/// Runs one step of a coroutine of `pool`, whose slot the run holds.
pub(crate) fn step<T>(pool: &RunPool, body: impl FnOnce() -> T) -> T {
    desk::holding(Some(pool), |_| body())
}

/// Marks a loop as inside steps until dropped.
pub(crate) struct Stepping<'a, 'py> {
    seat: &'a Seat,
    py: Python<'py>,
}

impl Drop for Stepping<'_, '_> {
    fn drop(&mut self) {
        self.seat.stepping_since.store(0, Ordering::Relaxed);
        if self.seat.named.swap(false, Ordering::Relaxed)
            && let Some(Home { event_loop, naming: Naming::Dict(tasks) }) = self.seat.home.get()
            && let Err(raised) = tasks.bind(self.py).del_item(event_loop)
        {
            error::unraisable(self.py, &raised);
        }
    }
}

/// Called by the loop when its pipe can be read.
#[pyclass(frozen, module = "oxtask._core")]
struct Drain {
    seat: Arc<Seat>,
    reader: libc::c_int,
}

#[pymethods]
impl Drain {
    /// Tells which loop it serves and how asyncio is told which task runs: a dict, or two functions.
    fn serve(
        &self,
        event_loop: Py<PyAny>,
        tasks: Option<Py<PyDict>>,
        enter: Py<PyAny>,
        leave: Py<PyAny>,
    ) {
        let naming = tasks.map_or(Naming::Functions(enter, leave), Naming::Dict);
        let _ = self.seat.home.set(Home { event_loop, naming });
    }

    fn __call__(&self, py: Python<'_>) {
        if runtime::is_leaving() {
            return;
        }
        let mut buffer = [0_u8; 64];
        // SAFETY: reads into a buffer of that size from a descriptor that never blocks.
        unsafe { libc::read(self.reader, buffer.as_mut_ptr().cast(), buffer.len()) };
        self.seat.woken.store(false, Ordering::Release);
        let started = clock::now();
        let mut count = 0;
        let _stepping = self.seat.stepping(py);
        let mut over = || {
            count += 1;
            if count % STEPS_A_LOOK != 0 {
                return false;
            }
            let now = clock::now();
            self.seat.stepping_since.store(now, Ordering::Relaxed);
            Duration::from_nanos(now - started) > BURST
        };
        let mut left = self.seat.resumable.lock().len();
        while left > 0 && !over() {
            let task = self.seat.resumable.lock().pop_front();
            if let Some(task) = task {
                coroutine::resume(py, task.bind(py), None);
            }
            left -= 1;
        }
        while let Some(pool) = self.next_pool() {
            let mut from = From::Start;
            loop {
                if over() {
                    if from == From::Work {
                        pool.release_slot();
                    }
                    self.seat.pools.lock().push_front(pool);
                    self.seat.wake();
                    return;
                }
                let Some(taken) = pool.take(Lane::Loop, from) else { break };
                from = self.perform(py, &pool, taken);
            }
        }
        if left > 0 || !self.seat.resumable.lock().is_empty() {
            self.seat.wake();
        }
    }
}

impl Drain {
    fn next_pool(&self) -> Option<RunPool> {
        self.seat.pools.lock().pop_front()
    }

    fn perform(&self, py: Python<'_>, pool: &RunPool, taken: Taken<crate::run::Spec>) -> From {
        match taken {
            Taken::Run(group, index) => {
                if coroutine::start(py, &self.seat, pool, &group, index) {
                    From::Start
                } else {
                    From::Work
                }
            }
            Taken::Cancelled(group, index) => {
                workers::cancel(py, &group, index);
                From::Work
            }
            Taken::Callbacks(callbacks) => {
                let keeps_slot = callbacks.iter().any(|one| matches!(one, Callback::Grant(_)));
                for callback in callbacks {
                    callback.run(py);
                }
                if keeps_slot { From::Start } else { From::Work }
            }
        }
    }
}

fn suspended(py: Python<'_>) -> Vec<Py<RunTask>> {
    let seats = runtime::get().loops.lock().clone();
    seats
        .iter()
        .flat_map(|seat| {
            let mut tasks: Vec<_> =
                seat.suspended.lock().iter().map(|task| task.clone_ref(py)).collect();
            tasks.extend(seat.current.lock().as_ref().map(|task| task.clone_ref(py)));
            tasks.extend(seat.resumable.lock().iter().map(|task| task.clone_ref(py)));
            tasks
        })
        .collect()
}

/// Cancels the coroutine of a run; false if no loop has one.
pub(crate) fn interrupt(py: Python<'_>, group: &Runs, index: u32) -> PyResult<bool> {
    for task in suspended(py) {
        if task.get().is_of(group, index) {
            let cancel = task.bind(py).getattr("cancel")?;
            let home = task.get().event_loop(py);
            home.call_method("call_soon_threadsafe", (cancel,), None::<&Bound<'_, PyDict>>)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The async runs of a pool that are under way.
pub(crate) fn bodies(py: Python<'_>, pool: &RunPool) -> Vec<(Runs, u32)> {
    let tasks = suspended(py);
    let of_pool = tasks
        .iter()
        .map(|task| task.get().run())
        .filter(|(group, _)| group.pool().is_some_and(|held| Arc::ptr_eq(held, pool)));
    of_pool.collect()
}
