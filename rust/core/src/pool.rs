//! The ready queue, and the slots that workers hold while they run what is in it.
//!
//! A slot is the right to run one thing; there are `max_slots`. A worker that takes a run takes a slot; one that
//! blocks on another run gives its slot back and claims one again before it goes on, ahead of new work, so
//! nesting never deadlocks and never exceeds the limit. Two kinds of workers take from two lanes: threads, and
//! event loops. Both lanes share the slots.
//!
//! | state | who changes it |
//! |---|---|
//! | `queues` | push, take, forget, cancel |
//! | `active` (slots taken) | take, release, yield and claim, try_slot |
//! | `idle`, `workers`, `starting` | the workers themselves; growth |
//! | `open` (groups with unsettled runs) | the groups; `drained` inboxes hear of zero |
//!
//! Everything is under one lock of a few instructions each; nothing is called and nothing is dropped under it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::group::{Group, Work};
use crate::growth::{Growth, Sight};
use crate::inbox::Inbox;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Which workers a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Thread,
    Loop,
}

/// Something to do.
pub enum Job<W: Work> {
    /// Runs `next..end` of a group.
    Runs { group: Arc<Group<W>>, next: u32, end: u32 },
    /// Code that needs a worker: callbacks of a run that was settled where none can run.
    Callbacks(Vec<W::Callback>),
}

/// One unit taken from the queue.
pub enum Taken<W: Work> {
    Run(Arc<Group<W>>, u32),
    /// A run that reached the queue of a cancelled pool, for the worker to cancel.
    Cancelled(Arc<Group<W>>, u32),
    Callbacks(Vec<W::Callback>),
}

/// What a pool needs from its surroundings. Called without a lock held.
pub trait Host<W: Work>: Send + Sync {
    /// Starts a worker thread, which calls [`Pool::worker_started`].
    fn start_worker(&self, pool: &Arc<Pool<W>>);
    /// Makes an event loop take work from the loop lane.
    fn wake_loop(&self, pool: &Arc<Pool<W>>);
    /// Calls [`Pool::tick`] every [`crate::growth::TICK`] until it returns false.
    fn watch(&self, pool: &Arc<Pool<W>>);
}

struct State<W: Work> {
    threads: VecDeque<Job<W>>,
    loops: VecDeque<Job<W>>,
    stale: usize,
    active: usize,
    resuming: usize,
    workers: usize,
    idle: usize,
    starting: usize,
    /// Workers that were woken and have not come to take anything yet: they wait for the interpreter.
    waking: usize,
    stuck: usize,
    progress: u64,
    watched: bool,
    loop_awake: bool,
    closed: bool,
    cancelled: bool,
    open: usize,
    drained: Vec<Arc<Inbox>>,
    growth: Growth,
}

pub struct Pool<W: Work> {
    max_slots: usize,
    tag: u64,
    host: Box<dyn Host<W>>,
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
            state: Mutex::new(State {
                threads: VecDeque::new(),
                loops: VecDeque::new(),
                stale: 0,
                active: 0,
                resuming: 0,
                workers: 0,
                idle: 0,
                starting: 0,
                waking: 0,
                stuck: 0,
                progress: 0,
                watched: false,
                loop_awake: false,
                closed: false,
                cancelled: false,
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
        state.enqueue(lane, job);
        match lane {
            Lane::Thread => self.offer(state),
            Lane::Loop => self.offer_loop(state),
        }
    }

    /// Queues callbacks ahead of everything else.
    pub fn push_first(self: &Arc<Self>, lane: Lane, callbacks: Vec<W::Callback>) {
        let mut state = self.state.lock();
        state.queue(lane).push_front(Job::Callbacks(callbacks));
        match lane {
            Lane::Thread => self.offer(state),
            Lane::Loop => self.offer_loop(state),
        }
    }

    fn offer(self: &Arc<Self>, mut state: MutexGuard<'_, State<W>>) {
        if state.idle > 0 {
            drop(state);
            self.work_ready.notify_one();
        } else if !state.watched {
            state.watched = true;
            drop(state);
            self.host.watch(self);
        }
    }

    fn offer_loop(self: &Arc<Self>, mut state: MutexGuard<'_, State<W>>) {
        if !state.loop_awake {
            state.loop_awake = true;
            drop(state);
            self.host.wake_loop(self);
        }
    }

    /// Starts a worker now if there is work and nobody to do it: called by a thread that is about to block.
    pub fn ensure_worker(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.workers + state.starting > 0 || state.threads.is_empty() {
            return;
        }
        state.starting += 1;
        drop(state);
        self.host.start_worker(self);
    }

    /// Looks at a pool with ready work and no idle worker; false when it need not be looked at any more.
    pub fn tick(self: &Arc<Self>, now: Duration, cpu: Duration) -> bool {
        let mut state = self.state.lock();
        if state.threads.is_empty() {
            state.watched = false;
            return false;
        }
        let sight = Sight {
            ready: state.ready(),
            workers: state.workers,
            idle: state.idle,
            starting: state.starting + state.waking,
            free_slots: self.max_slots.saturating_sub(state.active),
            progress: state.progress,
            cpu,
            now,
        };
        let count = state.growth.tick(sight);
        state.starting += count;
        drop(state);
        for _ in 0..count {
            self.host.start_worker(self);
        }
        true
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
        let (taken, emptied) = state.pop(lane);
        if taken.is_some() {
            state.active += 1;
            state.progress += 1;
        } else if lane == Lane::Loop {
            state.loop_awake = false;
        }
        let other = holds_slot && taken.is_none();
        self.pass_on(state, lane, other);
        drop(emptied);
        taken
    }

    /// A slot fell free: whoever could use it hears of it.
    fn pass_on(self: &Arc<Self>, state: MutexGuard<'_, State<W>>, from: Lane, freed: bool) {
        if !freed {
            return;
        }
        match from {
            Lane::Thread if !state.loops.is_empty() => self.offer_loop(state),
            Lane::Loop if !state.threads.is_empty() => self.offer(state),
            _ => (),
        }
    }

    /// Blocks until there may be work. `Leave` once the pool is closed and empty, or after `idle_limit`.
    ///
    /// After `Leave` the worker is no longer counted.
    pub fn wait_for_work(&self, idle_limit: Duration) -> Next {
        let mut state = self.state.lock();
        let mut waited = false;
        loop {
            let slots = self.max_slots.saturating_sub(state.active) > state.resuming;
            if !state.threads.is_empty() && slots {
                state.waking += 1;
                return Next::Look;
            }
            if (state.closed && state.threads.is_empty()) || waited {
                state.workers -= 1;
                return Next::Leave;
            }
            state.idle += 1;
            let before = state.progress;
            state = self.work_ready.wait(state, Some(idle_limit));
            state.idle -= 1;
            waited = state.progress == before && state.threads.is_empty();
        }
    }

    /// Gives a slot back outside of [`take`](Self::take).
    pub fn release_slot(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.active -= 1;
        state.progress += 1;
        if state.resuming > 0 {
            drop(state);
            self.slot_free.notify_one();
        } else if !state.loops.is_empty() {
            self.offer_loop(state);
        } else if !state.threads.is_empty() {
            self.offer(state);
        }
    }

    /// Takes a slot if one is free, for a run that a waiting thread runs itself.
    pub fn try_slot(&self) -> bool {
        let mut state = self.state.lock();
        if self.max_slots.saturating_sub(state.active) <= state.resuming {
            return false;
        }
        state.active += 1;
        true
    }

    /// Takes a slot even if none is free: for a coroutine, which cannot wait for one without its loop.
    pub fn force_slot(&self) {
        self.state.lock().active += 1;
    }

    /// Blocks until a slot is free and takes it, ahead of new work; false when `timeout` passed first.
    pub fn claim_slot(&self, timeout: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        state.resuming += 1;
        while state.active >= self.max_slots {
            state = self.slot_free.wait(state, timeout);
            if timeout.is_some() && state.active >= self.max_slots {
                state.resuming -= 1;
                return false;
            }
        }
        state.resuming -= 1;
        state.active += 1;
        true
    }

    /// A worker is stuck in a run that was taken from it: its slot goes to another.
    pub fn worker_lost(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            state.workers -= 1;
            state.stuck += 1;
        }
        self.release_slot();
    }

    /// A stuck worker came back; it holds no slot.
    pub fn worker_back(&self) {
        let mut state = self.state.lock();
        state.workers += 1;
        state.stuck -= 1;
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
        let is_it = |job: Option<&Job<W>>| {
            matches!(job, Some(Job::Runs { group: held, next, end })
                if Arc::ptr_eq(held, group) && *next == index && *end == index + 1)
        };
        let mut state = self.state.lock();
        let queue = state.queue(group.work.lane());
        if let Some(Job::Runs { group: held, next, end }) = queue.front_mut()
            && Arc::ptr_eq(held, group)
            && *next == index
            && *next + 1 < *end
        {
            *next += 1;
            return;
        }
        let gone = if is_it(queue.back()) {
            queue.pop_back().into_iter().collect()
        } else if is_it(queue.front()) {
            queue.pop_front().into_iter().collect()
        } else {
            state.stale += 1;
            state.sweep()
        };
        drop(state);
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
    pub fn cancel(&self) -> Vec<Job<W>> {
        let mut state = self.state.lock();
        state.cancelled = true;
        state.stale = 0;
        let mut jobs: Vec<_> = state.threads.drain(..).collect();
        jobs.extend(state.loops.drain(..));
        jobs
    }

    pub fn is_cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

impl<W: Work> State<W> {
    fn queue(&mut self, lane: Lane) -> &mut VecDeque<Job<W>> {
        match lane {
            Lane::Thread => &mut self.threads,
            Lane::Loop => &mut self.loops,
        }
    }

    fn enqueue(&mut self, lane: Lane, job: Job<W>) {
        let queue = self.queue(lane);
        if let (Job::Runs { group, next, end }, Some(Job::Runs { group: last, end: open, .. })) =
            (&job, queue.back_mut())
            && Arc::ptr_eq(group, last)
            && *open == *next
        {
            *open = *end;
            return;
        }
        queue.push_back(job);
    }

    /// The next unit, and a group that left the queue with it, to be dropped outside the lock.
    fn pop(&mut self, lane: Lane) -> (Option<Taken<W>>, Option<Arc<Group<W>>>) {
        let queue = self.queue(lane);
        if let Some(Job::Runs { group, next, end }) = queue.front_mut()
            && *next + 1 < *end
        {
            *next += 1;
            let (group, index) = (Arc::clone(group), *next - 1);
            return (Some(self.unit(group, index)), None);
        }
        match queue.pop_front() {
            Some(Job::Runs { group, next, end }) if next < end => {
                (Some(self.unit(group, next)), None)
            }
            Some(Job::Runs { group, .. }) => (None, Some(group)),
            Some(Job::Callbacks(callbacks)) => (Some(Taken::Callbacks(callbacks)), None),
            None => (None, None),
        }
    }

    fn unit(&self, group: Arc<Group<W>>, index: u32) -> Taken<W> {
        if self.cancelled { Taken::Cancelled(group, index) } else { Taken::Run(group, index) }
    }

    fn ready(&self) -> usize {
        self.threads
            .iter()
            .take(64)
            .map(|job| match job {
                Job::Runs { next, end, .. } => (end - next) as usize,
                Job::Callbacks(_) => 1,
            })
            .sum::<usize>()
            .max(self.threads.len())
    }

    /// Drops entries of runs that are no longer ready, once they are the larger part of the queue.
    fn sweep(&mut self) -> Vec<Job<W>> {
        if self.stale < 64 || self.stale * 2 < self.threads.len() + self.loops.len() {
            return Vec::new();
        }
        self.stale = 0;
        let mut gone = Vec::new();
        for queue in [&mut self.threads, &mut self.loops] {
            for job in std::mem::take(queue) {
                if job.is_stale() {
                    gone.push(job);
                } else {
                    queue.push_back(job);
                }
            }
        }
        gone
    }
}

impl<W: Work> Job<W> {
    fn is_stale(&self) -> bool {
        use crate::group::Phase;
        match self {
            Self::Runs { group, next, end } => {
                (*next..*end).all(|index| group.phase(index) != Phase::Ready)
            }
            Self::Callbacks(_) => false,
        }
    }
}
