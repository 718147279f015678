//! Worker threads and an event loop, as the pool knows them: they take, run, wait and give back.

use std::sync::Arc;
use std::time::Duration;

use oxtask_core::group::{Outcome, Phase, Watcher};
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Lane, Next};
use oxtask_core::waits::cycle;

use crate::reference::Unit;
use crate::world::{MAX_ATTEMPTS, Timer, World, small};

#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) run: usize,
    pub(crate) attempt: u32,
}

/// What a run that waits for another waits for.
pub(crate) struct Wait {
    inbox: Arc<Inbox>,
    ticket: u64,
    heard: bool,
}

pub(crate) enum Worker {
    Starting,
    Free(From),
    Asleep,
    Busy(Task),
    Blocked(Task, Wait),
    /// Its run was taken away at the deadline.
    Lost(Task),
    Gone,
}

impl Worker {
    pub(crate) fn is_counted(&self) -> bool {
        !matches!(self, Self::Starting | Self::Lost(_) | Self::Gone)
    }
}

/// A coroutine that waits: for something outside, or for a run and without its slot.
pub(crate) struct Suspended(Task, Option<Wait>);

pub(crate) struct EventLoop {
    pub(crate) awake: bool,
    from: From,
    suspended: Vec<Suspended>,
}

impl Default for EventLoop {
    fn default() -> Self {
        Self { awake: false, from: From::Start, suspended: Vec::new() }
    }
}

impl World {
    pub(crate) fn worker_acts(&mut self, place: usize, number: u32) {
        let worker = std::mem::replace(&mut self.workers[place], Worker::Gone);
        let next = match worker {
            Worker::Starting if number % 8 == 7 => {
                self.pool.worker_failed();
                Worker::Gone
            }
            Worker::Starting => {
                self.pool.worker_started();
                Worker::Free(From::Start)
            }
            Worker::Free(from) => self.take(from),
            Worker::Asleep => self.sleep(),
            Worker::Busy(task) => self.work(task, number),
            Worker::Blocked(task, wait) => self.resume(task, wait),
            Worker::Lost(task) => {
                assert!(!self.settle(task.run, task.attempt, Outcome::Completed), "it was lost");
                self.pool.worker_back();
                self.stuck -= 1;
                Worker::Free(From::Start)
            }
            Worker::Gone => Worker::Gone,
        };
        self.workers[place] = next;
    }

    fn take(&mut self, from: From) -> Worker {
        self.reference.active -= usize::from(from == From::Work);
        let taken = self.pool.take(Lane::Thread, from);
        match self.note_taken(Lane::Thread, taken) {
            None => Worker::Asleep,
            Some(Unit::Callback(run)) => {
                self.take_over(run);
                Worker::Free(From::Work)
            }
            Some(Unit::Run(run)) => match self.start(run) {
                Some(attempt) => Worker::Busy(Task { run, attempt }),
                None => Worker::Free(From::Work),
            },
        }
    }

    /// Begins a run that was taken; `None` if it is over already.
    fn start(&mut self, run: usize) -> Option<u32> {
        if self.reference.cancelled {
            self.cancel(run);
            return None;
        }
        let attempt = self.begin(run)?;
        let failed = |&input: &usize| matches!(self.reference.runs[input].phase, Phase::Done(outcome) if outcome.is_failure());
        if self.reference.runs[run].inputs.iter().any(failed) {
            self.settle(run, attempt, Outcome::NotReady);
            return None;
        }
        Some(attempt)
    }

    fn sleep(&mut self) -> Worker {
        // Without a slot a real worker would go on sleeping, whatever is in the queue.
        if !self.reference.has_free_slot() {
            return Worker::Asleep;
        }
        match self.pool.wait_for_work(Duration::ZERO) {
            Next::Look => Worker::Free(From::Rest),
            Next::Leave => {
                assert!(!self.reference.has_work(Lane::Thread), "it left ready work behind");
                Worker::Gone
            }
        }
    }

    fn work(&mut self, task: Task, number: u32) -> Worker {
        let Task { run, attempt } = task;
        let more = number / 16;
        match number % 16 {
            number @ 0..8 => {
                let outcome = match number {
                    6 => Outcome::Failed,
                    7 => Outcome::Chosen { failed: more.is_multiple_of(2) },
                    _ => Outcome::Completed,
                };
                self.settle(run, attempt, outcome);
            }
            8 | 9 if attempt < MAX_ATTEMPTS => self.delay(run, attempt, u64::from(more % 20)),
            10 if attempt < MAX_ATTEMPTS => {
                let (group, index) = self.run(run);
                let next = group.begin_again(index, attempt);
                let speaks = self.reference.next_attempt(run, attempt);
                assert_eq!(next, speaks.then_some(attempt + 1));
                self.reference.runs[run].sealed &= !speaks;
                if let Some(attempt) = next {
                    return Worker::Busy(Task { run, attempt });
                }
            }
            11 => return self.seal(task),
            12 => {
                self.arm(task, u64::from(more % 20));
                return Worker::Busy(task);
            }
            13 | 14 => {
                return match self.block(task, more) {
                    Some(wait) => {
                        self.release_slot();
                        Worker::Blocked(task, wait)
                    }
                    None => Worker::Busy(task),
                };
            }
            _ => {
                self.run_nested(more);
                return Worker::Busy(task);
            }
        }
        Worker::Free(From::Work)
    }

    /// The body is over, and its hooks are called before the run ends.
    fn seal(&mut self, task: Task) -> Worker {
        let Task { run, attempt } = task;
        let (group, index) = self.run(run);
        let kept = self.reference.runs[run].kept.then_some(small(run));
        let sealed = group.seal(index, attempt);
        if !self.reference.next_attempt(run, attempt) {
            assert!(sealed.is_none(), "it was taken away before");
            return Worker::Free(From::Work);
        }
        assert_eq!(sealed, Some((attempt + 1, kept)));
        self.reference.runs[run].kept = false;
        self.reference.runs[run].sealed = true;
        Worker::Busy(Task { run, attempt: attempt + 1 })
    }

    fn arm(&mut self, task: Task, after: u64) {
        let (group, index) = self.run(task.run);
        let kept = group.keep(index, task.attempt, small(task.run)).is_ok();
        let speaks = self.reference.speaks(task.run, task.attempt);
        let expected = &mut self.reference.runs[task.run].kept;
        assert_eq!(kept, speaks && !*expected);
        *expected |= kept;
        self.timers.add(self.now + after, Timer::Deadline(task.run, task.attempt));
    }

    /// Waits for another run, unless that has ended or waits, in turn, for this one.
    fn block(&mut self, task: Task, number: u32) -> Option<Wait> {
        let on = self.pick(number)?;
        let ticket = self.waits.enter(&task.run, vec![on]);
        let deadlock = cycle(&task.run, &[on], |&run| {
            let mut next = self.waits.targets(&run);
            if self.reference.runs[run].phase == Phase::Parked {
                next.extend(self.reference.runs[run].inputs.iter().copied());
            }
            next
        });
        let inbox = Arc::new(Inbox::new());
        let (group, index) = self.run(on);
        let watcher = Watcher::Inbox(Arc::clone(&inbox), 0);
        if deadlock.is_some() || group.watch(index, watcher).is_err() {
            self.waits.leave(&task.run, ticket);
            return None;
        }
        Some(Wait { inbox, ticket, heard: false })
    }

    pub(crate) fn unblock(&mut self, task: Task, wait: &Wait) {
        if !wait.heard {
            self.waits.leave(&task.run, wait.ticket);
        }
    }

    fn heard(&mut self, task: Task, wait: &mut Wait) -> bool {
        if !wait.heard && wait.inbox.try_take().is_some() {
            assert!(wait.inbox.is_empty(), "it was told twice");
            self.unblock(task, wait);
            wait.heard = true;
        }
        wait.heard
    }

    fn resume(&mut self, task: Task, mut wait: Wait) -> Worker {
        if !self.heard(task, &mut wait) {
            return Worker::Blocked(task, wait);
        }
        let claimed = self.pool.claim_slot(Some(Duration::ZERO));
        assert_eq!(claimed, self.reference.has_free_slot());
        if !claimed {
            return Worker::Blocked(task, wait);
        }
        self.reference.active += 1;
        Worker::Busy(task)
    }

    /// Runs a queued run inside the wait for it, on the slot that the waiting thread holds.
    fn run_nested(&mut self, number: u32) {
        let Some(run) = self.pick(number) else { return };
        let (group, index) = self.run(run);
        if group.phase(index) != Phase::Ready || self.reference.cancelled {
            return;
        }
        self.pool.forget(&group, index);
        self.reference.forget(run);
        if let Some(attempt) = self.start(run) {
            self.settle(run, attempt, Outcome::Completed);
        }
    }

    /// A thread that is no worker waits for a run and lends itself.
    pub(crate) fn guest_runs(&mut self, number: u32) {
        let free = self.reference.has_free_slot();
        assert_eq!(self.pool.try_slot(), free);
        if free {
            self.reference.active += 1;
            self.run_nested(number);
            self.release_slot();
        }
    }

    // --- the event loop ---------------------------------------------------------------------------------------

    pub(crate) fn loop_acts(&mut self, number: u32) {
        if !self.event_loop.awake {
            return;
        }
        if number % 8 == 7 {
            // Enough for now: it looks at other things and comes back.
            if self.event_loop.from == From::Work {
                self.release_slot();
            }
            self.event_loop.from = From::Start;
            return;
        }
        let from = std::mem::replace(&mut self.event_loop.from, From::Work);
        self.reference.active -= usize::from(from == From::Work);
        let taken = self.pool.take(Lane::Loop, from);
        match self.note_taken(Lane::Loop, taken) {
            None => {
                self.event_loop.awake = false;
                self.event_loop.from = From::Start;
            }
            Some(Unit::Callback(run)) => panic!("the deadline of run {run} is for threads"),
            Some(Unit::Run(run)) => {
                let Some(attempt) = self.start(run) else { return };
                if number.is_multiple_of(3) {
                    self.settle(run, attempt, Outcome::Completed);
                } else {
                    self.event_loop.suspended.push(Suspended(Task { run, attempt }, None));
                    self.event_loop.from = From::Start;
                }
            }
        }
    }

    pub(crate) fn coroutine_acts(&mut self, place: usize, number: u32) {
        if place >= self.event_loop.suspended.len() {
            return;
        }
        let Suspended(task, wait) = self.event_loop.suspended.swap_remove(place);
        if let Some(mut wait) = wait {
            let heard = self.heard(task, &mut wait);
            if heard {
                self.pool.force_slot();
                self.reference.active += 1;
            }
            let wait = (!heard).then_some(wait);
            self.event_loop.suspended.push(Suspended(task, wait));
            return;
        }
        let more = number / 8;
        if number % 8 == 1
            && let Some(wait) = self.block(task, more)
        {
            self.release_slot();
            self.event_loop.suspended.push(Suspended(task, Some(wait)));
            return;
        }
        if number % 8 == 2 && task.attempt < MAX_ATTEMPTS {
            self.delay(task.run, task.attempt, u64::from(more % 20));
        } else {
            self.settle(task.run, task.attempt, Outcome::Completed);
        }
        self.release_slot();
    }

    // --- the end ----------------------------------------------------------------------------------------------

    pub(crate) fn everybody_ends_something(&mut self) {
        for place in 0..self.workers.len() {
            self.worker_acts(place, 0);
            self.note_calls();
        }
        self.loop_acts(0);
        for place in (0..self.event_loop.suspended.len()).rev() {
            self.coroutine_acts(place, 0);
        }
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        let rests = |worker: &Worker| matches!(worker, Worker::Asleep | Worker::Gone);
        self.workers.iter().all(rests)
            && self.event_loop.suspended.is_empty()
            && self.event_loop.from == From::Start
            && !self.reference.has_work(Lane::Thread)
    }
}
