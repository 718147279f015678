//! The pool under test beside its reference, and what the timer thread and the user do to both.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use oxtask_core::group::{Cancelled, Group, Outcome, Phase, Watcher};
use oxtask_core::growth::TICK;
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{Lane, Taken};
use oxtask_core::timer::TimerHeap;
use oxtask_core::waits::WaitGraph;

use crate::actors::{EventLoop, Worker};
use crate::reference::{Reference, Unit, Watch};
use crate::scenario::{GroupPlan, Kind, Scenario};
use crate::support::{Calls, Runs, Spec, TestPool, ids, parked, pool};

pub(crate) fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a scenario is small")
}

/// Nobody retries more often.
pub(crate) const MAX_ATTEMPTS: u32 = 6;

pub(crate) enum Timer {
    Wake(usize, u32),
    Deadline(usize, u32),
}

pub(crate) struct World {
    pub(crate) pool: TestPool,
    pub(crate) calls: Arc<Calls>,
    pub(crate) reference: Reference,
    pub(crate) workers: Vec<Worker>,
    pub(crate) event_loop: EventLoop,
    pub(crate) timers: TimerHeap<Timer>,
    pub(crate) waits: WaitGraph<usize>,
    pub(crate) now: u64,
    /// The attempts that speak for runs whose deadline has passed.
    pub(crate) taken_over: HashMap<usize, u32>,
    pub(crate) watched: bool,
    pub(crate) stuck: usize,
    plans: Vec<GroupPlan>,
    groups: Vec<Runs>,
    runs: Vec<(Runs, u32)>,
    /// The group that is being filled.
    stream: Option<Runs>,
    whole: Vec<Option<Arc<Inbox>>>,
    observer: Arc<Inbox>,
    drained: Arc<Inbox>,
    drain_watchers: u32,
    drain_expected: u32,
    calls_seen: (usize, usize, usize),
    ticks: u32,
}

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let (pool, calls) = pool(scenario.slots);
        let mut plans = scenario.groups.clone();
        plans.reverse();
        Self {
            pool,
            calls,
            reference: Reference::new(scenario.slots),
            workers: Vec::new(),
            event_loop: EventLoop::default(),
            timers: TimerHeap::default(),
            waits: WaitGraph::default(),
            now: 1,
            taken_over: HashMap::new(),
            watched: false,
            stuck: 0,
            plans,
            groups: Vec::new(),
            runs: Vec::new(),
            stream: None,
            whole: Vec::new(),
            observer: Arc::new(Inbox::new()),
            drained: Arc::new(Inbox::new()),
            drain_watchers: 0,
            drain_expected: 0,
            calls_seen: (0, 0, 0),
            ticks: 0,
        }
    }

    pub(crate) fn run(&self, run: usize) -> (Runs, u32) {
        self.runs[run].clone()
    }

    pub(crate) fn pick(&self, number: u32) -> Option<usize> {
        (!self.runs.is_empty()).then(|| number as usize % self.runs.len())
    }

    pub(crate) fn number_of(&self, group: &Runs, index: u32) -> usize {
        let is_it = |(held, at): &(Runs, u32)| Arc::ptr_eq(held, group) && *at == index;
        self.runs.iter().position(is_it).expect("every run is known")
    }

    // --- submission -------------------------------------------------------------------------------------------

    /// Submits the next group, or the next run of a stream; false if there is none.
    pub(crate) fn submit(&mut self) -> bool {
        if self.stream.is_none() {
            let Some(plan) = self.plans.pop() else { return false };
            if plan.kind == Kind::Whole {
                self.submit_whole(plan.lane, &plan.runs);
                return true;
            }
            let (pool, capacity) = (Arc::clone(&self.pool), small(plan.runs.len()));
            let group = Group::vacant(Spec(plan.lane), pool, ids(), 0, capacity);
            self.open(&group, None);
            self.stream = Some(group);
        }
        let Some(group) = self.stream.clone() else { return false };
        let number = self.runs.len();
        let index = group.fill(small(number)).expect("there is room");
        self.runs.push((Arc::clone(&group), index));
        self.reference.add_run(self.groups.len() - 1, group.work.0, Vec::new());
        self.reference.look(number);
        if index + 1 == group.len() {
            assert_eq!(group.fill(0), Err(0), "it is full");
            self.stream = None;
        }
        true
    }

    fn open(&mut self, group: &Runs, whole: Option<Arc<Inbox>>) {
        self.reference.add_group();
        self.whole.push(whole);
        self.groups.push(Arc::clone(group));
    }

    fn submit_whole(&mut self, lane: Lane, inputs: &[Vec<u8>]) {
        let first = self.runs.len();
        let numbers = first..first + inputs.len();
        let group = parked(&self.pool, lane, numbers.clone().map(small));
        let inbox = Arc::new(Inbox::new());
        group.watch_whole(&inbox);
        self.pool.note_parked(&group);
        self.open(&group, Some(inbox));
        for (number, index) in numbers.clone().zip(0..) {
            self.runs.push((Arc::clone(&group), index));
            let given = inputs[index as usize].iter().take(number);
            let chosen: Vec<_> = given.map(|&input| usize::from(input) % number).collect();
            for &input in &chosen {
                let (upstream, at) = self.run(input);
                if matches!(upstream.phase(at), Phase::Done(_)) {
                    continue;
                }
                group.hold(index);
                let watcher = Watcher::Dependent(Arc::clone(&group), index);
                assert!(upstream.watch(at, watcher).is_ok());
            }
            self.reference.add_run(self.groups.len() - 1, lane, chosen);
        }
        for (number, index) in numbers.zip(0..) {
            group.release(index);
            self.reference.look(number);
        }
    }

    // --- what everybody does to runs --------------------------------------------------------------------------

    pub(crate) fn begin(&mut self, run: usize) -> Option<u32> {
        let (group, index) = self.run(run);
        let begun = group.begin(index, self.now);
        assert_eq!(begun.is_some(), self.reference.begin(run, self.now), "begin {run}");
        begun.map(|begun| {
            assert_eq!(begun.input as usize, run);
            begun.attempt
        })
    }

    pub(crate) fn settle(&mut self, run: usize, attempt: u32, outcome: Outcome) -> bool {
        let (group, index) = self.run(run);
        let kept = self.reference.runs[run].kept.then_some(small(run));
        let settled = group.settle(index, attempt, outcome, Some(attempt), self.now);
        let expected = self.reference.speaks(run, attempt);
        match settled {
            Ok(settled) => {
                assert!(expected, "a late result of run {run} was taken");
                assert_eq!(settled.kept, kept);
                let callbacks = self.reference.end(run, outcome, self.now);
                assert_eq!(settled.callbacks, callbacks);
                self.count_drained();
            }
            Err(output) => {
                assert!(!expected, "the result of run {run} was refused");
                assert_eq!(output, Some(attempt), "a late result is handed back");
            }
        }
        expected
    }

    pub(crate) fn cancel(&mut self, run: usize) {
        let (group, index) = self.run(run);
        let before = self.reference.runs[run].phase;
        let kept = self.reference.runs[run].kept.then_some(small(run));
        match group.cancel(index, self.now) {
            Cancelled::Done => {
                return assert!(self.reference.is_done(run) || self.reference.runs[run].sealed);
            }
            Cancelled::Dropped(input, callbacks) => {
                assert!(matches!(before, Phase::Parked | Phase::Ready | Phase::Delayed));
                assert_eq!(input as usize, run);
                assert_eq!(callbacks, self.reference.end(run, Outcome::Cancelled, self.now));
            }
            Cancelled::Running(input, callbacks) => {
                assert!(!self.reference.runs[run].sealed);
                assert_eq!((before, input), (Phase::Running, kept));
                assert_eq!(callbacks, self.reference.end(run, Outcome::Cancelled, self.now));
            }
        }
        self.count_drained();
    }

    pub(crate) fn delay(&mut self, run: usize, attempt: u32, after: u64) {
        let (group, index) = self.run(run);
        let delayed = group.delay(index, attempt, small(run));
        if self.reference.delay(run, attempt) {
            assert_eq!(delayed, Ok(()));
            let at = if self.reference.cancelled { 0 } else { self.now + after };
            self.timers.add(at, Timer::Wake(run, attempt));
        } else {
            assert_eq!(delayed, Err(small(run)));
        }
    }

    pub(crate) fn wake(&mut self, run: usize, attempt: u32) {
        let (group, index) = self.run(run);
        assert_eq!(group.wake(index, attempt), self.reference.wake(run, attempt));
    }

    /// What was taken from the queue, as the reference knows it.
    pub(crate) fn note_taken(&mut self, lane: Lane, taken: Option<Taken<Spec>>) -> Option<Unit> {
        let cancelled = matches!(taken, Some(Taken::Cancelled(..)));
        let unit = taken.map(|taken| match taken {
            Taken::Run(group, index) | Taken::Cancelled(group, index) => {
                Unit::Run(self.number_of(&group, index))
            }
            Taken::Callbacks(callbacks) => Unit::Callback(callbacks[0] as usize),
        });
        if unit.is_some() {
            assert!(self.reference.has_free_slot(), "there was no slot for {unit:?}");
            self.reference.took(lane, unit);
            self.reference.active += 1;
        } else if self.reference.has_free_slot() {
            self.reference.took(lane, None);
        }
        if let Some(Unit::Run(_)) = unit {
            assert_eq!(cancelled, self.reference.cancelled);
        }
        unit
    }

    /// The deadline of a run has passed and somebody decides what becomes of it.
    pub(crate) fn take_over(&mut self, run: usize) {
        let attempt = self.taken_over.remove(&run).expect("its deadline has passed");
        if attempt < MAX_ATTEMPTS && run.is_multiple_of(2) {
            self.delay(run, attempt, 3);
        } else {
            self.settle(run, attempt, Outcome::TimedOut);
        }
    }

    pub(crate) fn release_slot(&mut self) {
        self.pool.release_slot();
        self.reference.active -= 1;
    }

    // --- watching ---------------------------------------------------------------------------------------------

    pub(crate) fn watch(&mut self, run: usize, callback: Option<u32>) {
        let (group, index) = self.run(run);
        let (watcher, watch) = match callback {
            Some(callback) => (Watcher::Callback(callback), Watch::Callback(callback)),
            None => (Watcher::Inbox(Arc::clone(&self.observer), small(run)), Watch::Inbox),
        };
        assert_eq!(group.watch(index, watcher).is_ok(), self.reference.watch(run, watch));
    }

    pub(crate) fn unwatch(&mut self, run: usize) {
        let (group, index) = self.run(run);
        group.unwatch(index, &self.observer);
        self.reference.unwatch(run);
    }

    pub(crate) fn watch_drained(&mut self) {
        let open = self.reference.runs.iter().any(|run| run.endings == 0);
        assert_eq!(self.pool.watch_drained(&self.drained), open);
        self.drain_watchers += u32::from(open);
    }

    fn count_drained(&mut self) {
        if self.reference.runs.iter().all(|run| run.endings > 0) {
            self.drain_expected += std::mem::take(&mut self.drain_watchers);
        }
    }

    pub(crate) fn tick(&mut self) {
        self.ticks += 1;
        let now = TICK * self.ticks;
        if self.watched {
            self.watched = self.pool.tick(now, Duration::ZERO);
            self.note_calls();
        }
    }

    /// Takes notice of what the pool has asked its host for.
    pub(crate) fn note_calls(&mut self) {
        let calls = (self.calls.started(), self.calls.woken(), self.calls.watched());
        let (started, woken, watched) = self.calls_seen;
        self.workers.extend((started..calls.0).map(|_| Worker::Starting));
        self.event_loop.awake |= calls.1 > woken;
        self.watched |= calls.2 > watched;
        self.calls_seen = calls;
    }

    // --- checks -----------------------------------------------------------------------------------------------

    pub(crate) fn check(&mut self) {
        self.note_calls();
        for ((group, index), expected) in self.runs.iter().zip(&self.reference.runs) {
            assert_eq!(group.phase(*index), expected.phase);
            assert_eq!(group.attempt(*index), expected.attempt);
            assert_eq!(group.times(*index), expected.times);
        }
        for (number, group) in self.groups.iter().enumerate() {
            assert_eq!(group.unsettled(), self.reference.unsettled(number));
            let first = group.first_failed().map(|index| self.number_of(group, index));
            assert_eq!(first, self.reference.first_failed[number]);
        }
        assert_eq!(self.pool.active(), self.reference.active);
        assert_eq!(self.pool.stuck(), self.stuck);
        let live = self.workers.iter().filter(|worker| worker.is_counted()).count();
        assert_eq!(self.pool.workers(), live);
        while let Some(token) = self.reference.told.pop_front() {
            assert_eq!(self.observer.try_take(), Some(token));
        }
        assert!(self.observer.is_empty());
        assert!(
            !self.reference.has_work(Lane::Thread) || self.watched,
            "nobody looks at the queue"
        );
        assert!(
            !self.reference.has_work(Lane::Loop)
                || !self.reference.has_free_slot()
                || self.event_loop.awake,
            "the loop sleeps beside a free slot and a ready run"
        );
    }

    /// Ends everything that is left, and looks whether anything was forgotten.
    pub(crate) fn finish(&mut self) {
        while self.submit() {}
        self.check();
        for _ in 0..10_000 {
            if self.reference.runs.iter().all(|run| run.endings > 0) && self.is_at_rest() {
                break;
            }
            self.now += 10;
            self.fire_due();
            self.tick();
            self.check();
            self.everybody_ends_something();
            self.check();
        }
        for (number, run) in self.reference.runs.iter().enumerate() {
            assert_eq!(run.endings, 1, "run {number} ended {} times: {run:?}", run.endings);
        }
        assert_eq!((self.pool.active(), self.pool.stuck()), (0, 0));
        assert!(!self.pool.watch_drained(&Arc::new(Inbox::new())));
        let told = std::iter::from_fn(|| self.drained.try_take()).count();
        assert_eq!(told, self.drain_expected as usize);
        assert!(self.waits.is_empty());
        for (inbox, &rings) in self.whole.iter().zip(&self.reference.rings) {
            if let Some(inbox) = inbox {
                let heard = std::iter::from_fn(|| inbox.try_take()).count();
                assert_eq!(heard, rings as usize, "first failure and end of a group");
            }
        }
    }
}
