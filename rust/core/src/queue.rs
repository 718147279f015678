//! What is ready to run, in two lanes. Has no lock of its own: a pool keeps it in its state.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::group::{Group, Phase, Work};

/// Entries of one lane that are looked at to see how much is ready.
const LOOKED_AT: usize = 64;

/// Stale entries that are not worth a sweep.
const STALE_AT_LEAST: usize = 64;

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

/// What a lane gives to a worker that asks.
pub(crate) enum Popped<W: Work> {
    Run(Arc<Group<W>>, u32),
    Callbacks(Vec<W::Callback>),
    /// A group whose last run left the lane another way.
    Emptied(#[expect(dead_code, reason = "to be dropped outside the lock")] Arc<Group<W>>),
    Nothing,
}

pub(crate) struct Queue<W: Work> {
    threads: VecDeque<Job<W>>,
    loops: VecDeque<Job<W>>,
    stale: usize,
}

impl<W: Work> Queue<W> {
    pub(crate) fn new() -> Self {
        Self { threads: VecDeque::new(), loops: VecDeque::new(), stale: 0 }
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Job<W>> {
        match lane {
            Lane::Thread => &mut self.threads,
            Lane::Loop => &mut self.loops,
        }
    }

    pub(crate) fn is_empty(&self, lane: Lane) -> bool {
        match lane {
            Lane::Thread => self.threads.is_empty(),
            Lane::Loop => self.loops.is_empty(),
        }
    }

    /// Puts a job last; runs that continue the last range of their group lengthen it.
    pub(crate) fn push(&mut self, lane: Lane, job: Job<W>) {
        let queue = self.lane(lane);
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

    pub(crate) fn push_first(&mut self, lane: Lane, callbacks: Vec<W::Callback>) {
        self.lane(lane).push_front(Job::Callbacks(callbacks));
    }

    /// Puts runs ahead of all others: somebody who holds a thread waits for them.
    pub(crate) fn push_awaited(&mut self, lane: Lane, group: Arc<Group<W>>, from: u32, to: u32) {
        let queue = self.lane(lane);
        let place = queue.iter().take_while(|job| matches!(job, Job::Callbacks(_))).count();
        if let Some(Job::Runs { group: first, next, end }) = queue.get_mut(place)
            && Arc::ptr_eq(first, &group)
        {
            if *end == from {
                *end = to;
                return;
            }
            if *next == to {
                *next = from;
                return;
            }
        }
        queue.insert(place, Job::Runs { group, next: from, end: to });
    }

    /// Moves the runs of a group ahead of all others; returns what left the queue, to be dropped outside the lock.
    ///
    /// `from..to` holds all that are ready. Where they were queued before, entries may be left for now.
    pub(crate) fn hasten(&mut self, group: Arc<Group<W>>, from: u32, to: u32) -> Vec<Job<W>> {
        let lane = group.work.lane();
        let queue = self.lane(lane);
        let is_last = queue.back().is_some_and(|job| job.is_of(&group));
        let mut gone: Vec<_> = is_last.then(|| queue.pop_back()).flatten().into_iter().collect();
        if !is_last {
            self.stale += 1;
            gone = self.sweep();
        }
        self.push_awaited(lane, group, from, to);
        gone
    }

    pub(crate) fn pop(&mut self, lane: Lane) -> Popped<W> {
        let queue = self.lane(lane);
        if let Some(Job::Runs { group, next, end }) = queue.front_mut()
            && *next + 1 < *end
        {
            *next += 1;
            return Popped::Run(Arc::clone(group), *next - 1);
        }
        match queue.pop_front() {
            Some(Job::Runs { group, next, end }) if next < end => Popped::Run(group, next),
            Some(Job::Runs { group, .. }) => Popped::Emptied(group),
            Some(Job::Callbacks(callbacks)) => Popped::Callbacks(callbacks),
            None => Popped::Nothing,
        }
    }

    /// Units of the thread lane; no less than one an entry where there are too many to look at.
    pub(crate) fn ready(&self) -> usize {
        let looked_at = self.threads.iter().take(LOOKED_AT).map(|job| match job {
            Job::Runs { next, end, .. } => (end - next) as usize,
            Job::Callbacks(_) => 1,
        });
        looked_at.sum::<usize>().max(self.threads.len())
    }

    /// Whether the thread lane holds more than one unit.
    pub(crate) fn holds_more(&self) -> bool {
        self.threads.len() > 1
            || matches!(self.threads.front(), Some(Job::Runs { next, end, .. }) if end - next > 1)
    }

    /// Takes a run out that was claimed or cancelled, if that is cheap; else its entry is skipped or swept later.
    ///
    /// Returns what left the queue, to be dropped outside the lock.
    pub(crate) fn forget(&mut self, group: &Arc<Group<W>>, index: u32) -> Vec<Job<W>> {
        let queue = self.lane(group.work.lane());
        if queue.back_mut().is_some_and(|job| job.cut(group, index)) {
            let is_over = queue.back().is_some_and(Job::is_empty);
            return is_over.then(|| queue.pop_back()).flatten().into_iter().collect();
        }
        if queue.front_mut().is_some_and(|job| job.cut(group, index)) {
            let is_over = queue.front().is_some_and(Job::is_empty);
            return is_over.then(|| queue.pop_front()).flatten().into_iter().collect();
        }
        self.stale += 1;
        self.sweep()
    }

    /// Takes out entries of runs that are no longer ready, once they are the larger part of the queue.
    ///
    /// A range loses what is stale at its front and is not looked into further: to cancel a million queued runs
    /// one by one takes one look at each.
    fn sweep(&mut self) -> Vec<Job<W>> {
        if self.stale < STALE_AT_LEAST || self.stale * 2 < self.threads.len() + self.loops.len() {
            return Vec::new();
        }
        self.stale = 0;
        let mut gone = Vec::new();
        for queue in [&mut self.threads, &mut self.loops] {
            for mut job in std::mem::take(queue) {
                job.trim();
                if job.is_empty() {
                    gone.push(job);
                } else {
                    queue.push_back(job);
                }
            }
        }
        gone
    }

    /// Empties both lanes.
    pub(crate) fn drain(&mut self) -> Vec<Job<W>> {
        self.stale = 0;
        self.threads.drain(..).chain(self.loops.drain(..)).collect()
    }
}

impl<W: Work> Job<W> {
    fn is_of(&self, other: &Arc<Group<W>>) -> bool {
        matches!(self, Self::Runs { group, .. } if Arc::ptr_eq(group, other))
    }

    /// Takes a run off either end of a range; false if it is at none.
    fn cut(&mut self, of: &Arc<Group<W>>, index: u32) -> bool {
        match self {
            Self::Runs { group, next, end } if Arc::ptr_eq(group, of) && *next < *end => {
                if *next == index {
                    *next += 1;
                } else if *end - 1 == index {
                    *end -= 1;
                } else {
                    return false;
                }
                true
            }
            _ => false,
        }
    }

    fn trim(&mut self) {
        if let Self::Runs { group, next, end } = self {
            while next < end && group.phase(*next) != Phase::Ready {
                *next += 1;
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Runs { next, end, .. } if next == end)
    }
}
