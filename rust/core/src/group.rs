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

mod attempts;
mod cell;
mod watch;

use std::sync::Arc;

pub use self::attempts::{Begun, Cancelled, Settled};
use self::cell::{Cell, Stage};
pub use self::cell::{Outcome, Phase};
use self::watch::Side;
pub use self::watch::Watcher;
use crate::ids::IdBase;
use crate::pool::{Job, Lane, Pool};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
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

pub struct Group<W: Work> {
    pub work: W,
    pool: Option<Arc<Pool<W>>>,
    ids: IdBase,
    created: u64,
    cells: Box<[Mutex<Cell<W>>]>,
    filled: AtomicU32,
    unsettled: AtomicUsize,
    first_failed: AtomicU32,
    /// Whether a run that holds a thread waits, or waited, for any of these.
    awaited: AtomicBool,
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
            awaited: AtomicBool::new(false),
            side: Mutex::new(Side::new()),
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

    /// A run that holds a thread waits for some of these: they go ahead of what is queued, now or once they are ready.
    ///
    /// Else runs that wait for what they submitted would all start before any of what they wait for, each with a
    /// thread of its own. Whoever waits for one run of many will wait for the others, too.
    pub fn hasten(self: &Arc<Self>) {
        // Set before the look: whoever makes a run ready after it sees the mark.
        if self.awaited.load(Ordering::Relaxed) || self.awaited.swap(true, Ordering::AcqRel) {
            return;
        }
        let is_ready = |index: &u32| self.phase(*index) == Phase::Ready;
        if let Some(pool) = &self.pool
            && let Some(from) = (0..self.len()).find(is_ready)
            && let Some(last) = (from..self.len()).rfind(is_ready)
        {
            pool.hasten(self, from, last + 1);
        }
    }

    fn enqueue(self: &Arc<Self>, from: u32, to: u32) {
        let Some(pool) = &self.pool else { return };
        if self.awaited.load(Ordering::Acquire) {
            pool.push_awaited(self, from, to);
        } else {
            pool.push(self.work.lane(), Job::Runs { group: Arc::clone(self), next: from, end: to });
        }
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
