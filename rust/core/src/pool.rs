//! The ready queue, and the slots that workers hold while they run what is in it.
//!
//! A slot is the right to run one thing; there are `max_slots`. A worker that takes a run takes a slot; one that
//! blocks on another run gives its slot back and claims one again before it goes on, ahead of new work, so
//! nesting never deadlocks and never exceeds the limit. Two kinds of workers take from two lanes: threads, and
//! event loops. Both lanes share the slots.
//!
//! | state | who changes it |
//! |---|---|
//! | `queue` | push, take, forget, cancel |
//! | `active` (slots taken) | take, release, yield and claim, `try_slot` |
//! | `idle`, `workers`, `starting` | the workers themselves; growth |
//! | `open` (groups with unsettled runs) | the groups; `drained` inboxes hear of zero |
//!
//! Everything is under one lock of a few instructions each; nothing is called and nothing is dropped under it.
//!
//! Nobody sleeps while there is something for him to do:
//!
//! * A push, or a slot that nobody takes on the spot, wakes one who could use it.
//! * Whoever is woken and finds nothing to take hands the news on: an event loop to the threads and the other way
//!   round, a worker that leaves a closed pool to the next.
//! * A queue that holds more than whoever was woken can do alone is watched: a tick that sees it stand still wakes
//!   idle workers, and asks for new ones when there are none.

mod slots;
mod ticks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::group::{Group, Work};
use crate::growth::Growth;
use crate::inbox::Inbox;
pub use crate::queue::{Job, Lane};
use crate::queue::{Popped, Queue};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// The list of parked groups is not cleared below this length.
const PARKED_AT_LEAST: usize = 256;

/// One unit taken from the queue.
pub enum Taken<W: Work> {
    Run(Arc<Group<W>>, u32),
    /// A run that reached the queue of a cancelled pool, for the worker to cancel.
    Cancelled(Arc<Group<W>>, u32),
    Callbacks(Vec<W::Callback>),
}

/// What a pool needs from its surroundings. Called without a lock held.
///
/// A panic in here ends in here: the pool goes on as if it had not asked, and asks again when there is next a reason.
/// Whoever pushed or settled a run is not to blame, and has others to tell.
pub trait Host<W: Work>: Send + Sync {
    /// Starts a worker thread, which calls [`Pool::worker_started`].
    fn start_worker(&self, pool: &Arc<Pool<W>>);
    /// Makes an event loop take work from the loop lane.
    fn wake_loop(&self, pool: &Arc<Pool<W>>);
    /// Calls [`Pool::tick`] every [`crate::growth::TICK`] until it returns false.
    fn watch(&self, pool: &Arc<Pool<W>>);
    /// For how long all workers together have waited for a processor; `None` while some wait for something else that
    /// is no code of the user. See [`crate::growth`].
    fn delay(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

#[allow(clippy::struct_excessive_bools)] // each says one thing, and they change apart
struct State<W: Work> {
    queue: Queue<W>,
    active: usize,
    resuming: usize,
    workers: usize,
    idle: usize,
    /// Workers that wait for runs, without a slot.
    waiting: usize,
    /// Idle workers that were notified and have not woken yet.
    called: usize,
    starting: usize,
    /// Workers that were woken and have not come to take anything yet: they wait for the interpreter.
    waking: usize,
    stuck: usize,
    progress: u64,
    watched: bool,
    loop_awake: bool,
    /// Ticks without progress while runs wait for a loop.
    loop_still: (u64, u32),
    closed: bool,
    cancelled: bool,
    /// Groups with parked runs, some of which may be over.
    parked: Vec<Weak<Group<W>>>,
    /// At this length the list is cleared of what is over.
    parked_limit: usize,
    open: usize,
    drained: Vec<Arc<Inbox>>,
    growth: Growth,
}

pub struct Pool<W: Work> {
    max_slots: usize,
    tag: u64,
    host: Box<dyn Host<W>>,
    /// The same as in the state, for those who only look.
    cancelled: AtomicBool,
    state: Mutex<State<W>>,
    work_ready: Condvar,
    slot_free: Condvar,
}

/// What a worker that found nothing does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Look,
    Leave,
}

/// Where a worker that asks for work comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// It has just started, or asks without having waited.
    Start,
    /// It has done what it took last, and still holds the slot.
    Work,
    /// [`Pool::wait_for_work`] told it to look.
    Rest,
}

impl<W: Work> Pool<W> {
    /// `tag` is the caller's, to tell pools apart.
    pub fn new(max_slots: usize, tag: u64, host: Box<dyn Host<W>>) -> Arc<Self> {
        Arc::new(Self {
            max_slots,
            tag,
            host,
            cancelled: AtomicBool::new(false),
            state: Mutex::new(State {
                queue: Queue::new(),
                active: 0,
                resuming: 0,
                workers: 0,
                idle: 0,
                waiting: 0,
                called: 0,
                starting: 0,
                waking: 0,
                stuck: 0,
                progress: 0,
                watched: false,
                loop_awake: false,
                loop_still: (0, 0),
                closed: false,
                cancelled: false,
                parked: Vec::new(),
                parked_limit: PARKED_AT_LEAST,
                open: 0,
                drained: Vec::new(),
                growth: Growth::default(),
            }),
            work_ready: Condvar::new(),
            slot_free: Condvar::new(),
        })
    }

    pub fn tag(&self) -> u64 {
        self.tag
    }

    pub fn max_slots(&self) -> usize {
        self.max_slots
    }

    // --- work comes in ------------------------------------------------------------------------------------------

    /// Queues a job. On a cancelled pool it is queued as well: a worker will find its runs and cancel them.
    pub fn push(self: &Arc<Self>, lane: Lane, job: Job<W>) {
        let mut state = self.state.lock();
        state.queue.push(lane, job);
        match lane {
            Lane::Thread => self.offer(state),
            Lane::Loop => self.offer_loop(state),
        }
    }

    /// Queues runs ahead of all others; see [`Group::hasten`].
    pub(crate) fn push_awaited(self: &Arc<Self>, group: &Arc<Group<W>>, from: u32, to: u32) {
        let lane = group.work.lane();
        let mut state = self.state.lock();
        state.queue.push_awaited(lane, Arc::clone(group), from, to);
        match lane {
            Lane::Thread => self.offer(state),
            Lane::Loop => self.offer_loop(state),
        }
    }

    /// Moves the queued runs of a group, all of them in `from..to`, ahead of all others.
    pub(crate) fn hasten(&self, group: &Arc<Group<W>>, from: u32, to: u32) {
        let gone = self.state.lock().queue.hasten(Arc::clone(group), from, to);
        drop(gone);
    }

    /// Queues callbacks ahead of everything else.
    pub fn push_first(self: &Arc<Self>, lane: Lane, callbacks: Vec<W::Callback>) {
        let mut state = self.state.lock();
        state.queue.push_first(lane, callbacks);
        match lane {
            Lane::Thread => self.offer(state),
            Lane::Loop => self.offer_loop(state),
        }
    }

    fn offer(self: &Arc<Self>, mut state: MutexGuard<'_, State<W>>) {
        if state.idle > state.called {
            state.called += 1;
            drop(state);
            self.work_ready.notify_one();
        } else {
            self.watch(state);
        }
    }

    fn watch(self: &Arc<Self>, mut state: MutexGuard<'_, State<W>>) {
        if !state.watched {
            state.watched = true;
            drop(state);
            self.ask(|host| host.watch(self), |state| state.watched = false);
        }
    }

    fn offer_loop(self: &Arc<Self>, mut state: MutexGuard<'_, State<W>>) {
        if state.loop_awake {
            // The loop that was woken may be blocked: ticks find that out.
            self.watch(state);
        } else {
            state.loop_awake = true;
            drop(state);
            self.wake_loop();
        }
    }

    fn wake_loop(self: &Arc<Self>) {
        self.ask(|host| host.wake_loop(self), |state| state.loop_awake = false);
    }

    fn start_worker(self: &Arc<Self>) {
        self.ask(|host| host.start_worker(self), |state| state.starting -= 1);
    }

    fn ask(&self, what: impl FnOnce(&dyn Host<W>), undo: impl FnOnce(&mut State<W>)) {
        if catch_unwind(AssertUnwindSafe(|| what(&*self.host))).is_err() {
            undo(&mut self.state.lock());
        }
    }

    /// Starts a worker now if there is work and nobody to do it: called by a thread that is about to block.
    pub fn ensure_worker(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.workers - state.waiting + state.starting > 0 || state.queue.is_empty(Lane::Thread)
        {
            return;
        }
        state.starting += 1;
        drop(state);
        self.start_worker();
    }

    // --- workers -----------------------------------------------------------------------------------------------

    pub fn worker_started(&self) {
        let mut state = self.state.lock();
        state.starting -= 1;
        state.workers += 1;
        state.progress += 1;
    }

    /// A worker that was asked for could not be started.
    pub fn worker_failed(&self) {
        self.state.lock().starting -= 1;
    }

    /// Takes the next unit of `lane`, and a slot with it; coming from work, gives the last slot back.
    pub fn take(self: &Arc<Self>, lane: Lane, from: From) -> Option<Taken<W>> {
        let mut state = self.state.lock();
        let holds_slot = from == From::Work;
        if from == From::Rest {
            state.waking -= 1;
        }
        if holds_slot {
            state.active -= 1;
            state.progress += 1;
            if state.resuming > 0 {
                self.slot_free.notify_one();
            }
        }
        if self.max_slots.saturating_sub(state.active) <= state.resuming {
            if lane == Lane::Loop {
                state.loop_awake = false;
            }
            return None;
        }
        let popped = state.queue.pop(lane);
        if let Popped::Run(..) | Popped::Callbacks(_) = popped {
            state.active += 1;
            state.progress += 1;
            let cancelled = state.cancelled;
            drop(state);
            return match popped {
                Popped::Run(group, index) if cancelled => Some(Taken::Cancelled(group, index)),
                Popped::Run(group, index) => Some(Taken::Run(group, index)),
                Popped::Callbacks(callbacks) => Some(Taken::Callbacks(callbacks)),
                Popped::Emptied(_) | Popped::Nothing => None,
            };
        }
        if lane == Lane::Loop {
            state.loop_awake = false;
        }
        // This worker may have been woken for a slot that it now has no use for.
        self.pass_on(state, lane);
        drop(popped);
        None
    }

    /// A slot is free and `from` has nothing to do with it: the other lane hears of it.
    fn pass_on(self: &Arc<Self>, state: MutexGuard<'_, State<W>>, from: Lane) {
        match from {
            Lane::Thread if !state.queue.is_empty(Lane::Loop) => self.offer_loop(state),
            Lane::Loop if !state.queue.is_empty(Lane::Thread) => self.offer(state),
            _ => (),
        }
    }

    /// Blocks until there may be work. `Leave` once the pool is closed and empty, or after `idle_limit`.
    ///
    /// After `Leave` the worker is no longer counted.
    pub fn wait_for_work(self: &Arc<Self>, idle_limit: Duration) -> Next {
        let mut state = self.state.lock();
        let mut waited = false;
        loop {
            let slots = self.max_slots.saturating_sub(state.active) > state.resuming;
            if !state.queue.is_empty(Lane::Thread) && slots {
                state.waking += 1;
                if state.queue.holds_more() {
                    self.watch(state);
                }
                return Next::Look;
            }
            if (state.closed && state.queue.is_empty(Lane::Thread)) || waited {
                state.workers -= 1;
                if state.closed && state.idle > 0 {
                    drop(state);
                    self.work_ready.notify_one();
                }
                return Next::Leave;
            }
            state.idle += 1;
            let before = state.progress;
            state = self.work_ready.wait(state, Some(idle_limit));
            state.idle -= 1;
            state.called = state.called.saturating_sub(1).min(state.idle);
            waited = state.progress == before && state.queue.is_empty(Lane::Thread);
        }
    }

    /// How many threads are stuck in runs that were taken from them.
    pub fn stuck(&self) -> usize {
        self.state.lock().stuck
    }

    /// Live workers, stuck ones excluded.
    pub fn workers(&self) -> usize {
        self.state.lock().workers
    }

    /// Slots taken.
    pub fn active(&self) -> usize {
        self.state.lock().active
    }

    // --- runs that left the queue another way ---------------------------------------------------------------------

    /// A queued run was claimed or cancelled: its entry goes now if that is cheap, else it is skipped later.
    pub fn forget(&self, group: &Arc<Group<W>>, index: u32) {
        let gone = self.state.lock().queue.forget(group, index);
        drop(gone);
    }

    // --- the end -------------------------------------------------------------------------------------------------

    pub(crate) fn group_opened(&self) {
        self.state.lock().open += 1;
    }

    pub(crate) fn group_closed(&self) {
        let mut state = self.state.lock();
        state.open -= 1;
        if state.open > 0 {
            return;
        }
        let waiting = std::mem::take(&mut state.drained);
        drop(state);
        for inbox in waiting {
            inbox.deliver(0);
        }
    }

    /// Delivers to `inbox` once no run is unsettled; false if that is so already.
    pub fn watch_drained(&self, inbox: &Arc<Inbox>) -> bool {
        let mut state = self.state.lock();
        if state.open == 0 {
            return false;
        }
        state.drained.push(Arc::clone(inbox));
        true
    }

    /// Workers leave when the queue is empty.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.work_ready.notify_all();
    }

    /// Stops new runs, and hands out everything that is queued for the caller to cancel.
    /// What is parked is handed out as well, with all runs of its group.
    pub fn cancel(&self) -> Vec<Job<W>> {
        self.cancelled.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.cancelled = true;
        let mut jobs = state.queue.drain();
        let parked = std::mem::take(&mut state.parked);
        drop(state);
        let groups = parked.into_iter().filter_map(|group| group.upgrade());
        jobs.extend(groups.map(|group| Job::Runs { next: 0, end: group.len(), group }));
        jobs
    }

    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Remembers a group with parked runs, which are in no queue, for [`cancel`](Self::cancel).
    pub fn note_parked(&self, group: &Arc<Group<W>>) {
        let mut state = self.state.lock();
        state.parked.push(Arc::downgrade(group));
        if state.parked.len() < state.parked_limit {
            return;
        }
        let mut parked = std::mem::take(&mut state.parked);
        drop(state);
        parked.retain(|group| group.upgrade().is_some_and(|group| group.unsettled() > 0));
        let mut state = self.state.lock();
        state.parked.append(&mut parked);
        state.parked_limit = (state.parked.len() * 2).max(PARKED_AT_LEAST);
    }

    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
