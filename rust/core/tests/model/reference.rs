//! What should happen, in the plainest words: no locks, no ranges, no side tables.

use std::collections::VecDeque;

use oxtask_core::group::{Outcome, Phase};
use oxtask_core::pool::Lane;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Watch {
    Dependent(usize),
    Inbox,
    Callback(u32),
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) group: usize,
    pub(crate) lane: Lane,
    pub(crate) inputs: Vec<usize>,
    pub(crate) phase: Phase,
    pub(crate) attempt: u32,
    pub(crate) times: (u64, u64),
    pub(crate) kept: bool,
    /// Its body is over, and no cancellation ends it any more.
    pub(crate) sealed: bool,
    /// How often it has ended.
    pub(crate) endings: u32,
    pending: usize,
    watches: Vec<Watch>,
}

/// An entry of the queue. One that is not sure may have been taken out, or may be handed out for nothing.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Run { run: usize, sure: bool },
    Callback(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Run(usize),
    Callback(usize),
}

pub(crate) struct Reference {
    pub(crate) runs: Vec<Run>,
    pub(crate) slots: usize,
    pub(crate) active: usize,
    pub(crate) cancelled: bool,
    /// Runs whose end the observer was told of.
    pub(crate) told: VecDeque<u32>,
    pub(crate) first_failed: Vec<Option<usize>>,
    /// How often who watches a whole group was rung for.
    pub(crate) rings: Vec<u32>,
    threads: VecDeque<Entry>,
    loops: VecDeque<Entry>,
}

impl Reference {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            runs: Vec::new(),
            slots,
            active: 0,
            cancelled: false,
            told: VecDeque::new(),
            first_failed: Vec::new(),
            rings: Vec::new(),
            threads: VecDeque::new(),
            loops: VecDeque::new(),
        }
    }

    fn queue(&mut self, lane: Lane) -> &mut VecDeque<Entry> {
        match lane {
            Lane::Thread => &mut self.threads,
            Lane::Loop => &mut self.loops,
        }
    }

    // --- submission -------------------------------------------------------------------------------------------

    pub(crate) fn add_group(&mut self) {
        self.first_failed.push(None);
        self.rings.push(0);
    }

    pub(crate) fn add_run(&mut self, group: usize, lane: Lane, inputs: Vec<usize>) {
        let run = self.runs.len();
        let pending: Vec<_> =
            inputs.iter().copied().filter(|&input| !self.is_done(input)).collect();
        let (count, watches) = (pending.len(), Vec::new());
        for input in pending {
            self.runs[input].watches.push(Watch::Dependent(run));
        }
        self.runs.push(Run {
            group,
            lane,
            inputs,
            phase: Phase::Parked,
            attempt: 0,
            times: (0, 0),
            kept: false,
            sealed: false,
            endings: 0,
            pending: count,
            watches,
        });
    }

    /// Queues a run that waits for nothing.
    pub(crate) fn look(&mut self, run: usize) {
        if self.runs[run].phase == Phase::Parked && self.runs[run].pending == 0 {
            self.ready(run);
        }
    }

    fn ready(&mut self, run: usize) {
        self.runs[run].phase = Phase::Ready;
        let lane = self.runs[run].lane;
        self.queue(lane).push_back(Entry::Run { run, sure: true });
    }

    // --- the queue --------------------------------------------------------------------------------------------

    pub(crate) fn push_callback(&mut self, run: usize) {
        self.threads.push_front(Entry::Callback(run));
    }

    pub(crate) fn has_free_slot(&self) -> bool {
        self.active < self.slots
    }

    /// Whether a worker of the lane must find something.
    pub(crate) fn has_work(&self, lane: Lane) -> bool {
        let queue = if lane == Lane::Thread { &self.threads } else { &self.loops };
        queue.iter().any(|entry| !matches!(entry, Entry::Run { sure: false, .. }))
    }

    /// A unit left the queue: it must be the next that is sure, or one before it.
    pub(crate) fn took(&mut self, lane: Lane, unit: Option<Unit>) {
        loop {
            let Some(entry) = self.queue(lane).pop_front() else {
                assert_eq!(unit, None, "it was in no queue");
                return;
            };
            match (entry, unit) {
                (Entry::Run { run, .. }, Some(Unit::Run(taken))) if run == taken => return,
                (Entry::Callback(run), Some(Unit::Callback(taken))) if run == taken => return,
                (Entry::Run { sure: false, .. }, _) => (),
                (skipped, _) => panic!("{skipped:?} was passed over for {unit:?}"),
            }
        }
    }

    pub(crate) fn forget(&mut self, run: usize) {
        let lane = self.runs[run].lane;
        for entry in self.queue(lane) {
            if let Entry::Run { run: held, sure } = entry
                && *held == run
            {
                *sure = false;
            }
        }
    }

    /// The pool was cancelled: what must have been handed out.
    pub(crate) fn clear(&mut self) -> (Vec<usize>, Vec<usize>) {
        let (mut runs, mut callbacks) = (Vec::new(), Vec::new());
        for entry in self.threads.drain(..).chain(self.loops.drain(..)) {
            match entry {
                Entry::Run { run, sure: true } => runs.push(run),
                Entry::Run { .. } => (),
                Entry::Callback(run) => callbacks.push(run),
            }
        }
        (runs, callbacks)
    }

    // --- the life of an attempt -------------------------------------------------------------------------------

    pub(crate) fn is_done(&self, run: usize) -> bool {
        matches!(self.runs[run].phase, Phase::Done(_))
    }

    pub(crate) fn speaks(&self, run: usize, attempt: u32) -> bool {
        self.runs[run].phase == Phase::Running && self.runs[run].attempt == attempt
    }

    pub(crate) fn begin(&mut self, run: usize, now: u64) -> bool {
        if self.runs[run].phase != Phase::Ready {
            return false;
        }
        assert!(
            self.runs[run].inputs.iter().all(|&input| self.is_done(input)),
            "run {run} begins before its inputs have ended"
        );
        self.forget(run);
        let run = &mut self.runs[run];
        run.phase = Phase::Running;
        run.attempt += 1;
        run.sealed = false;
        if run.times.0 == 0 {
            run.times.0 = now;
        }
        true
    }

    pub(crate) fn next_attempt(&mut self, run: usize, attempt: u32) -> bool {
        let speaks = self.speaks(run, attempt);
        self.runs[run].attempt += u32::from(speaks);
        speaks
    }

    pub(crate) fn delay(&mut self, run: usize, attempt: u32) -> bool {
        let speaks = self.speaks(run, attempt);
        if speaks {
            self.runs[run].phase = Phase::Delayed;
            self.runs[run].kept = false;
            self.runs[run].sealed = false;
        }
        speaks
    }

    pub(crate) fn wake(&mut self, run: usize, attempt: u32) -> bool {
        let wakes = self.runs[run].phase == Phase::Delayed && self.runs[run].attempt == attempt;
        if wakes {
            self.ready(run);
        }
        wakes
    }

    /// Ends a run; returns its callbacks.
    pub(crate) fn end(&mut self, run: usize, outcome: Outcome, now: u64) -> Vec<u32> {
        assert!(!self.is_done(run));
        self.forget(run);
        let ended = &mut self.runs[run];
        ended.phase = Phase::Done(outcome);
        ended.endings += 1;
        ended.times.1 = now;
        ended.kept = false;
        ended.sealed = false;
        let group = ended.group;
        let mut callbacks = Vec::new();
        for watch in std::mem::take(&mut ended.watches) {
            match watch {
                Watch::Dependent(dependent) => {
                    if self.runs[dependent].phase == Phase::Parked {
                        self.runs[dependent].pending -= 1;
                        self.look(dependent);
                    }
                }
                Watch::Inbox => self.told.push_back(crate::world::small(run)),
                Watch::Callback(callback) => callbacks.push(callback),
            }
        }
        let first = outcome.is_failure() && self.first_failed[group].is_none();
        if first {
            self.first_failed[group] = Some(run);
        }
        self.rings[group] += u32::from(first || self.unsettled(group) == 0);
        callbacks
    }

    pub(crate) fn unsettled(&self, group: usize) -> usize {
        let of_group = |run: &&Run| run.group == group && run.endings == 0;
        self.runs.iter().filter(of_group).count()
    }

    // --- watchers ---------------------------------------------------------------------------------------------

    pub(crate) fn watch(&mut self, run: usize, watch: Watch) -> bool {
        let accepted = !self.is_done(run);
        if accepted {
            self.runs[run].watches.push(watch);
        }
        accepted
    }

    pub(crate) fn unwatch(&mut self, run: usize) {
        self.runs[run].watches.retain(|watch| *watch != Watch::Inbox);
    }
}
