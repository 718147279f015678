//! The runs of one submission, and the life of each.
//!
//! A call, a submit and a map are the same thing: a group of one or of a million runs that share what they carry
//! ([`Work`]) and differ in one input each. A run is a cell of a few words:
//!
//! ```text
//! Vacant -> Parked -> Ready -> Running -> Done
//!    \_________________^  ^       |
//!                         |       v
//!                         +--- Delayed        (a retry that waits for its time)
//! ```
//!
//! * A run reaches `Done` exactly once, whoever comes first: its result, its deadline, a cancellation. Every try
//!   to settle names the attempt it speaks for; a late one gets its output handed back.
//! * A stage changes only under the cell's lock, and no caller's code runs under it: what must be dropped or
//!   called is returned.
//! * Watchers live in the group's side table, which nobody touches for a run that nobody watches.
//! * `Running` and later stages own no input unless it was [kept](Group::keep): the worker holds it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ids::IdBase;
use crate::inbox::Inbox;
use crate::pool::{Job, Lane, Pool};
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sync::{self, Mutex};

const NONE: u32 = u32::MAX;

/// What the runs of a group carry; the binding puts Python objects here.
pub trait Work: Send + Sync + Sized + 'static {
    /// What differs from run to run.
    type Input: Send;
    /// A value, an error or nothing.
    type Output: Send;
    /// Called, by whoever settles the run, when it has ended.
    type Callback: Send;
    /// A remark on the life of a run that needs more than its cell.
    type Note: Send;

    /// Which workers run it.
    fn lane(&self) -> Lane;
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Completed,
    Failed,
    TimedOut,
    Crashed,
    Cancelled,
    /// An input did not complete, so it never ran.
    NotReady,
    /// The body chose its own final state, a good one or a bad one.
    Chosen {
        failed: bool,
    },
}

impl Outcome {
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Completed | Self::Chosen { failed: false })
    }
}

/// Where a run is, for those who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Vacant,
    Parked,
    Ready,
    Running,
    Delayed,
    Done(Outcome),
}

enum Stage<W: Work> {
    Vacant,
    Parked { pending: u32, input: W::Input },
    Ready { started: u64, input: W::Input },
    Running { started: u64, kept: Option<W::Input> },
    Delayed { started: u64, input: W::Input },
    Done { started: u64, ended: u64, outcome: Outcome, output: Option<W::Output> },
}

struct Cell<W: Work> {
    stage: Stage<W>,
    attempt: u32,
    watched: bool,
    /// The attempt's body is over: no cancellation ends the run any more, only what its owner settles.
    sealed: bool,
}

/// Who wants to know that a run has ended.
pub enum Watcher<W: Work> {
    /// A parked run, one of whose inputs this is.
    Dependent(Arc<Group<W>>, u32),
    /// A blocked thread.
    Inbox(Arc<Inbox>, u32),
    /// Code of the user.
    Callback(W::Callback),
}

struct Side<W: Work> {
    first: Option<(u32, Watcher<W>)>,
    watchers: HashMap<u32, Vec<Watcher<W>>>,
    /// Blocked threads that wait for the whole group, or for its first failure.
    whole: Vec<Arc<Inbox>>,
    notes: HashMap<u32, Vec<W::Note>>,
}

/// A run that was begun: the attempt to settle it with, and its input.
pub struct Begun<W: Work> {
    pub attempt: u32,
    pub input: W::Input,
}

/// What a cancellation met.
pub enum Cancelled<W: Work> {
    /// It had ended before.
    Done,
    /// It will never start; the input is for the caller to drop.
    Dropped(W::Input, Vec<W::Callback>),
    /// It was under way; its late result will be refused.
    Running(Option<W::Input>, Vec<W::Callback>),
}

pub struct Group<W: Work> {
    pub work: W,
    pool: Option<Arc<Pool<W>>>,
    ids: IdBase,
    created: u64,
    cells: Box<[Mutex<Cell<W>>]>,
    filled: AtomicU32,
    unsettled: AtomicUsize,
    first_failed: AtomicU32,
    side: Mutex<Side<W>>,
}

impl<W: Work> Group<W> {
    /// A group of `inputs`, all parked on one reservation; see [`release`](Self::release).
    pub fn parked(
        work: W,
        pool: Option<Arc<Pool<W>>>,
        ids: IdBase,
        created: u64,
        inputs: impl IntoIterator<Item = W::Input>,
    ) -> Arc<Self> {
        let stages = inputs.into_iter().map(|input| Stage::Parked { pending: 1, input });
        Self::assemble(work, pool, ids, created, stages.map(Cell::new).collect())
    }

    /// A group of `inputs`, all ready and queued.
    pub fn queued(
        work: W,
        pool: Arc<Pool<W>>,
        ids: IdBase,
        created: u64,
        inputs: impl IntoIterator<Item = W::Input>,
    ) -> Arc<Self> {
        let cells =
            inputs.into_iter().map(|input| Cell::new(Stage::Ready { started: 0, input })).collect();
        let group = Self::assemble(work, Some(pool), ids, created, cells);
        let count = group.len();
        if count > 0 {
            group.enqueue(0, count);
        }
        group
    }

    /// A group of one that its maker runs on the spot: it is never queued.
    pub fn inline(
        work: W,
        pool: Option<Arc<Pool<W>>>,
        ids: IdBase,
        created: u64,
        input: W::Input,
    ) -> Arc<Self> {
        Self::assemble(
            work,
            pool,
            ids,
            created,
            Box::new([Cell::new(Stage::Ready { started: 0, input })]),
        )
    }

    /// A group with room for `capacity` runs, to be [filled](Self::fill) one by one.
    pub fn vacant(
        work: W,
        pool: Arc<Pool<W>>,
        ids: IdBase,
        created: u64,
        capacity: u32,
    ) -> Arc<Self> {
        let cells = (0..capacity).map(|_| Cell::new(Stage::Vacant)).collect();
        Self::assemble(work, Some(pool), ids, created, cells)
    }

    fn assemble(
        work: W,
        pool: Option<Arc<Pool<W>>>,
        ids: IdBase,
        created: u64,
        cells: Box<[Mutex<Cell<W>>]>,
    ) -> Arc<Self> {
        let filled = cells.iter().filter(|cell| cell.lock().phase() != Phase::Vacant).count();
        if filled > 0
            && let Some(pool) = &pool
        {
            pool.group_opened();
        }
        Arc::new(Self {
            work,
            pool,
            ids,
            created,
            #[allow(clippy::cast_possible_truncation)] // `len` is checked by the caller
            filled: AtomicU32::new(filled as u32),
            unsettled: AtomicUsize::new(filled),
            first_failed: AtomicU32::new(NONE),
            side: Mutex::new(Side {
                first: None,
                watchers: HashMap::new(),
                whole: Vec::new(),
                notes: HashMap::new(),
            }),
            cells,
        })
    }

    /// Puts a run into the next vacant cell and queues it; hands the input back if there is none.
    ///
    /// One thread at a time may fill a group.
    pub fn fill(self: &Arc<Self>, input: W::Input) -> Result<u32, W::Input> {
        let index = self.filled.load(Ordering::Relaxed);
        let Some(cell) = self.cells.get(index as usize) else {
            return Err(input);
        };
        // Counted first: once the run is in its cell, anybody may end it.
        if self.unsettled.fetch_add(1, Ordering::AcqRel) == 0
            && let Some(pool) = &self.pool
        {
            pool.group_opened();
        }
        cell.lock().stage = Stage::Ready { started: 0, input };
        self.filled.store(index + 1, Ordering::Release);
        self.enqueue(index, index + 1);
        Ok(index)
    }

    #[allow(clippy::cast_possible_truncation)] // indices are 32 bits wide by construction
    pub fn len(&self) -> u32 {
        self.cells.len() as u32
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub fn pool(&self) -> Option<&Arc<Pool<W>>> {
        self.pool.as_ref()
    }

    pub fn id(&self, index: u32) -> u128 {
        self.ids.id(index)
    }

    /// When the group was made, in nanoseconds of the caller's clock.
    pub fn created(&self) -> u64 {
        self.created
    }

    pub fn phase(&self, index: u32) -> Phase {
        self.cell(index).lock().phase()
    }

    pub fn attempt(&self, index: u32) -> u32 {
        self.cell(index).lock().attempt
    }

    /// When the run first started and when it ended; zero for what has not happened.
    pub fn times(&self, index: u32) -> (u64, u64) {
        match self.cell(index).lock().stage {
            Stage::Ready { started, .. }
            | Stage::Running { started, .. }
            | Stage::Delayed { started, .. } => (started, 0),
            Stage::Done { started, ended, .. } => (started, ended),
            _ => (0, 0),
        }
    }

    /// Looks at the outcome and output of a run that has ended.
    pub fn peek<R>(
        &self,
        index: u32,
        look: impl FnOnce(Outcome, Option<&W::Output>) -> R,
    ) -> Option<R> {
        match &self.cell(index).lock().stage {
            Stage::Done { outcome, output, .. } => Some(look(*outcome, output.as_ref())),
            _ => None,
        }
    }

    /// Takes the output out of a run that has ended; later looks find none.
    pub fn take(&self, index: u32) -> Option<W::Output> {
        match &mut self.cell(index).lock().stage {
            Stage::Done { output, .. } => output.take(),
            _ => None,
        }
    }

    /// The same if the run has completed.
    pub fn take_completed(&self, index: u32) -> Option<W::Output> {
        match &mut self.cell(index).lock().stage {
            Stage::Done { outcome: Outcome::Completed, output, .. } => output.take(),
            _ => None,
        }
    }

    /// Looks at the input of a run that has not begun, or whose input was kept.
    pub fn peek_input<R>(&self, index: u32, look: impl FnOnce(&W::Input) -> R) -> Option<R> {
        match &self.cell(index).lock().stage {
            Stage::Parked { input, .. }
            | Stage::Ready { input, .. }
            | Stage::Delayed { input, .. }
            | Stage::Running { kept: Some(input), .. } => Some(look(input)),
            _ => None,
        }
    }

    pub fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Acquire)
    }

    /// The run that failed first, in time.
    pub fn first_failed(&self) -> Option<u32> {
        match self.first_failed.load(Ordering::Acquire) {
            NONE => None,
            index => Some(index),
        }
    }

    // --- inputs -----------------------------------------------------------------------------------------

    /// Adds one more thing that a parked run waits for.
    pub fn hold(&self, index: u32) {
        if let Stage::Parked { pending, .. } = &mut self.cell(index).lock().stage {
            *pending += 1;
        }
    }

    /// One thing less; at zero the run is ready and queued.
    pub fn release(self: &Arc<Self>, index: u32) {
        if self.count_down(index) {
            self.enqueue(index, index + 1);
        }
    }

    fn count_down(&self, index: u32) -> bool {
        let mut cell = self.cell(index).lock();
        match std::mem::replace(&mut cell.stage, Stage::Vacant) {
            Stage::Parked { pending: 1, input } => {
                cell.stage = Stage::Ready { started: 0, input };
                true
            }
            Stage::Parked { pending, input } => {
                cell.stage = Stage::Parked { pending: pending - 1, input };
                false
            }
            other => {
                cell.stage = other;
                false
            }
        }
    }

    fn enqueue(self: &Arc<Self>, from: u32, to: u32) {
        if let Some(pool) = &self.pool {
            pool.push(self.work.lane(), Job::Runs { group: Arc::clone(self), next: from, end: to });
        }
    }

    // --- the life of an attempt ----------------------------------------------------------------------------

    /// Begins a ready run; `None` if it was begun, cancelled or settled by somebody else.
    pub fn begin(&self, index: u32, now: u64) -> Option<Begun<W>> {
        let mut cell = self.cell(index).lock();
        match std::mem::replace(&mut cell.stage, Stage::Vacant) {
            Stage::Ready { started, input } => {
                cell.attempt += 1;
                cell.sealed = false;
                let started = if started == 0 { now } else { started };
                cell.stage = Stage::Running { started, kept: None };
                Some(Begun { attempt: cell.attempt, input })
            }
            other => {
                cell.stage = other;
                None
            }
        }
    }

    /// Leaves a copy of the input with the run, for whoever takes over when its worker is stuck.
    pub fn keep(&self, index: u32, attempt: u32, copy: W::Input) -> Result<(), W::Input> {
        let mut cell = self.cell(index).lock();
        let current = cell.attempt == attempt;
        match &mut cell.stage {
            Stage::Running { kept, .. } if current && kept.is_none() => {
                *kept = Some(copy);
                Ok(())
            }
            _ => Err(copy),
        }
    }

    /// Ends the body of an attempt: from here on only its owner decides how the run goes on.
    ///
    /// Returns the attempt with which it does, or `None` if the run was taken away before.
    pub fn seal(&self, index: u32, attempt: u32) -> Option<(u32, Option<W::Input>)> {
        let mut cell = self.cell(index).lock();
        if cell.attempt != attempt {
            return None;
        }
        let Stage::Running { kept, .. } = &mut cell.stage else {
            return None;
        };
        let input = kept.take();
        cell.attempt += 1;
        cell.sealed = true;
        Some((cell.attempt, input))
    }

    /// Ends an attempt and begins the next on the spot.
    pub fn begin_again(&self, index: u32, attempt: u32) -> Option<u32> {
        let mut cell = self.cell(index).lock();
        if cell.attempt != attempt || !matches!(cell.stage, Stage::Running { .. }) {
            return None;
        }
        cell.attempt += 1;
        cell.sealed = false;
        Some(cell.attempt)
    }

    /// Takes an attempt away from its worker: what it settles from now on is refused.
    ///
    /// Returns the attempt with which the caller settles or retries instead, and the kept input.
    pub fn fence(&self, index: u32, attempt: u32) -> Option<(u32, Option<W::Input>)> {
        let mut cell = self.cell(index).lock();
        if cell.attempt != attempt {
            return None;
        }
        let Stage::Running { kept, .. } = &mut cell.stage else {
            return None;
        };
        let input = kept.take();
        cell.attempt += 1;
        Some((cell.attempt, input))
    }

    /// Ends an attempt; the next begins when somebody [wakes](Self::wake) the run.
    pub fn delay(&self, index: u32, attempt: u32, input: W::Input) -> Result<(), W::Input> {
        let mut cell = self.cell(index).lock();
        match cell.stage {
            Stage::Running { started, .. } if cell.attempt == attempt => {
                cell.sealed = false;
                let old = std::mem::replace(&mut cell.stage, Stage::Delayed { started, input });
                drop(cell);
                drop(old);
                Ok(())
            }
            _ => Err(input),
        }
    }

    /// Queues a delayed run; `attempt` is the one that was delayed.
    pub fn wake(self: &Arc<Self>, index: u32, attempt: u32) -> bool {
        let mut cell = self.cell(index).lock();
        if cell.attempt != attempt {
            return false;
        }
        match std::mem::replace(&mut cell.stage, Stage::Vacant) {
            Stage::Delayed { started, input } => {
                cell.stage = Stage::Ready { started, input };
                drop(cell);
                self.enqueue(index, index + 1);
                true
            }
            other => {
                cell.stage = other;
                false
            }
        }
    }

    /// Ends the run. Hands the output back if `attempt` no longer speaks for it.
    ///
    /// Returns the callbacks, for the caller to call. A kept input is dropped by the caller's side of things: it
    /// comes back through [`Settled`].
    pub fn settle(
        self: &Arc<Self>,
        index: u32,
        attempt: u32,
        outcome: Outcome,
        output: Option<W::Output>,
        now: u64,
    ) -> Result<Settled<W>, Option<W::Output>> {
        let mut cell = self.cell(index).lock();
        let started = match cell.stage {
            Stage::Running { started, .. } if cell.attempt == attempt => started,
            _ => return Err(output),
        };
        let done = Stage::Done { started, ended: now, outcome, output };
        let old = std::mem::replace(&mut cell.stage, done);
        let watched = cell.watched;
        drop(cell);
        let kept = match old {
            Stage::Running { kept, .. } => kept,
            _ => None,
        };
        Ok(Settled { kept, callbacks: self.announce(index, outcome, watched) })
    }

    /// Ends the run as cancelled, wherever it is.
    pub fn cancel(self: &Arc<Self>, index: u32, now: u64) -> Cancelled<W> {
        let outcome = Outcome::Cancelled;
        let mut cell = self.cell(index).lock();
        // A sealed run has ended but for its hooks.
        if cell.sealed || matches!(cell.stage, Stage::Done { .. } | Stage::Vacant) {
            return Cancelled::Done;
        }
        let started = match cell.stage {
            Stage::Ready { started, .. }
            | Stage::Running { started, .. }
            | Stage::Delayed { started, .. } => started,
            _ => 0,
        };
        let done = Stage::Done { started, ended: now, outcome, output: None };
        let old = std::mem::replace(&mut cell.stage, done);
        let watched = cell.watched;
        drop(cell);
        let callbacks = self.announce(index, outcome, watched);
        match old {
            Stage::Running { kept, .. } => Cancelled::Running(kept, callbacks),
            Stage::Ready { input, .. } => {
                if let Some(pool) = &self.pool {
                    pool.forget(self, index);
                }
                Cancelled::Dropped(input, callbacks)
            }
            Stage::Parked { input, .. } | Stage::Delayed { input, .. } => {
                Cancelled::Dropped(input, callbacks)
            }
            Stage::Done { .. } | Stage::Vacant => Cancelled::Done,
        }
    }

    /// Tells everybody who wants to know; the run's stage is `Done` already.
    fn announce(&self, index: u32, outcome: Outcome, watched: bool) -> Vec<W::Callback> {
        let mut callbacks = Vec::new();
        if watched {
            let (first, rest) = {
                let mut side = self.side.lock();
                let first = match &side.first {
                    Some((of, _)) if *of == index => side.first.take(),
                    _ => None,
                };
                (first, side.watchers.remove(&index))
            };
            for watcher in first.map(|(_, one)| one).into_iter().chain(rest.into_iter().flatten()) {
                match watcher {
                    Watcher::Dependent(group, dependent) => group.release(dependent),
                    Watcher::Inbox(inbox, token) => inbox.deliver(token),
                    Watcher::Callback(callback) => callbacks.push(callback),
                }
            }
        }
        let first_failure = outcome.is_failure()
            && self
                .first_failed
                .compare_exchange(NONE, index, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        let last = self.unsettled.fetch_sub(1, Ordering::AcqRel) == 1;
        if last || first_failure {
            let waiting = self.side.lock().whole.clone();
            for inbox in waiting {
                inbox.deliver(NONE);
            }
        }
        if last && let Some(pool) = &self.pool {
            pool.group_closed();
        }
        callbacks
    }

    // --- watchers and notes -----------------------------------------------------------------------------------

    /// Asks to be told when the run ends; hands the watcher back if it has.
    pub fn watch(&self, index: u32, watcher: Watcher<W>) -> Result<(), Watcher<W>> {
        let mut cell = self.cell(index).lock();
        if let Stage::Done { .. } = cell.stage {
            return Err(watcher);
        }
        cell.watched = true;
        let mut side = self.side.lock();
        if side.first.is_none() && side.watchers.is_empty() {
            side.first = Some((index, watcher));
        } else {
            side.watchers.entry(index).or_default().push(watcher);
        }
        Ok(())
    }

    /// Takes the watchers of `inbox` off a run.
    pub fn unwatch(&self, index: u32, inbox: &Arc<Inbox>) {
        let is_it = |watcher: &Watcher<W>| matches!(watcher, Watcher::Inbox(held, _) if Arc::ptr_eq(held, inbox));
        let mut side = self.side.lock();
        if matches!(&side.first, Some((of, watcher)) if *of == index && is_it(watcher)) {
            side.first = None;
        }
        if let Some(watchers) = side.watchers.get_mut(&index) {
            watchers.retain(|watcher| !is_it(watcher));
            if watchers.is_empty() {
                side.watchers.remove(&index);
            }
        }
    }

    /// Rings `inbox` at the first failure and when all have ended.
    pub fn watch_whole(&self, inbox: &Arc<Inbox>) {
        self.side.lock().whole.push(Arc::clone(inbox));
        if self.unsettled() == 0 || self.first_failed().is_some() {
            inbox.deliver(NONE);
        }
    }

    pub fn unwatch_whole(&self, inbox: &Arc<Inbox>) {
        self.side.lock().whole.retain(|held| !Arc::ptr_eq(held, inbox));
    }

    pub fn note(&self, index: u32, note: W::Note) {
        self.side.lock().notes.entry(index).or_default().push(note);
    }

    pub fn notes<R>(&self, index: u32, look: impl FnOnce(&[W::Note]) -> R) -> R {
        let side = self.side.lock();
        look(side.notes.get(&index).map_or(&[], Vec::as_slice))
    }

    pub fn take_notes(&self, index: u32) -> Option<Vec<W::Note>> {
        self.side.lock().notes.remove(&index)
    }

    fn cell(&self, index: u32) -> &Mutex<Cell<W>> {
        &self.cells[index as usize]
    }
}

impl<W: Work> Drop for Group<W> {
    fn drop(&mut self) {
        // A chain of parked groups hangs on its first, each held by the one before: left to themselves they would
        // be dropped one inside the other, and a long chain would not fit the stack.
        let mut orphans = self.side.get_mut().dependents();
        while let Some(orphan) = orphans.pop() {
            if let Some(mut group) = Arc::into_inner(orphan) {
                orphans.extend(group.side.get_mut().dependents());
            }
        }
        // What nobody holds cannot end any more, and a wait for the pool must not last for ever.
        if sync::owned(&mut self.unsettled) > 0
            && let Some(pool) = &self.pool
        {
            pool.group_closed();
        }
    }
}

impl<W: Work> Side<W> {
    /// Takes out the groups that wait for runs of this one.
    fn dependents(&mut self) -> Vec<Arc<Group<W>>> {
        let first = self.first.take().map(|(_, watcher)| watcher);
        let rest = std::mem::take(&mut self.watchers).into_values().flatten();
        first
            .into_iter()
            .chain(rest)
            .filter_map(|watcher| match watcher {
                Watcher::Dependent(group, _) => Some(group),
                Watcher::Inbox(..) | Watcher::Callback(_) => None,
            })
            .collect()
    }
}

/// A run that this call has ended.
pub struct Settled<W: Work> {
    pub kept: Option<W::Input>,
    pub callbacks: Vec<W::Callback>,
}

impl<W: Work> Cell<W> {
    fn new(stage: Stage<W>) -> Mutex<Self> {
        Mutex::new(Self { stage, attempt: 0, watched: false, sealed: false })
    }

    fn phase(&self) -> Phase {
        match self.stage {
            Stage::Vacant => Phase::Vacant,
            Stage::Parked { .. } => Phase::Parked,
            Stage::Ready { .. } => Phase::Ready,
            Stage::Running { .. } => Phase::Running,
            Stage::Delayed { .. } => Phase::Delayed,
            Stage::Done { outcome, .. } => Phase::Done(outcome),
        }
    }
}
