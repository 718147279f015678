//! What happens: to whom, and how often. A number stands for a move; see [`World::act`].

use std::collections::HashSet;

use oxtask_core::group::{Outcome, Phase};
use oxtask_core::pool::{Job, Lane};

use crate::actors::{Task, Worker};
use crate::world::{Timer, World, small};

/// As many threads as a scenario lets come before its end.
const MAX_WORKERS: usize = 6;

impl World {
    pub(crate) fn act(&mut self, number: u32) {
        let more = number / 32;
        match number % 32 {
            0..4 => drop(self.submit()),
            4..16 if !self.workers.is_empty() => {
                let place = more as usize % self.workers.len();
                self.worker_acts(place, more / 8);
            }
            4..16 => self.tick(),
            16..19 => self.loop_acts(more),
            19 => self.coroutine_acts(more as usize % 4, more / 4),
            20 | 21 => {
                self.now += u64::from(more % 20);
                self.fire_due();
            }
            22 | 23 if self.workers.len() < MAX_WORKERS => self.tick(),
            22 | 23 => self.pool.ensure_worker(),
            24 => self.guest_runs(more),
            25 => self.with_run(more, |world, run| world.watch(run, None)),
            26 => self.with_run(more, |world, run| world.watch(run, Some(more))),
            27 => self.with_run(more, World::unwatch),
            28 => self.with_run(more, World::cancel),
            29 | 30 => self.with_run(more, |world, run| world.come_late(run, more / 64)),
            _ if more.is_multiple_of(64) => self.cancel_pool(),
            _ => self.watch_drained(),
        }
    }

    fn with_run(&mut self, number: u32, what: impl FnOnce(&mut Self, usize)) {
        if let Some(run) = self.pick(number) {
            what(self, run);
        }
    }

    /// Somebody who no longer speaks for a run, or never did, says something about it.
    fn come_late(&mut self, run: usize, number: u32) {
        let (group, index) = self.run(run);
        let phase = self.reference.runs[run].phase;
        let current = self.reference.runs[run].attempt;
        let attempt = if phase == Phase::Running { current.wrapping_sub(1) } else { current };
        match number % 8 {
            0 | 1 => drop(self.settle(run, attempt, Outcome::Completed)),
            2 => self.delay(run, attempt, 1),
            3 => assert_eq!(group.begin_again(index, attempt), None),
            4 => assert!(
                group.fence(index, attempt).is_none() && group.seal(index, attempt).is_none()
            ),
            5 => assert!(group.keep(index, attempt, 0).is_err()),
            6 if phase != Phase::Delayed => assert!(!group.wake(index, attempt)),
            6 => assert!(!group.wake(index, attempt + 1)),
            _ if phase != Phase::Ready => assert!(group.begin(index, self.now).is_none()),
            _ => (),
        }
        if phase != Phase::Parked {
            group.hold(index);
            group.release(index);
        }
    }

    pub(crate) fn fire_due(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Wake(run, attempt) => self.wake(run, attempt),
                Timer::Deadline(run, attempt) => self.expire(run, attempt),
            }
        }
    }

    fn expire(&mut self, run: usize, attempt: u32) {
        let (group, index) = self.run(run);
        let fenced = group.fence(index, attempt);
        let kept = std::mem::take(&mut self.reference.runs[run].kept);
        if !self.reference.next_attempt(run, attempt) {
            self.reference.runs[run].kept = kept;
            return assert!(fenced.is_none());
        }
        assert_eq!(fenced, Some((attempt + 1, kept.then_some(small(run)))));
        self.taken_over.insert(run, attempt + 1);
        self.pool.push_first(Lane::Thread, vec![small(run)]);
        self.reference.push_callback(run);
        let is_it = |task: &Task| task.run == run && task.attempt == attempt;
        let place = self.workers.iter().position(|worker| match worker {
            Worker::Busy(task) | Worker::Blocked(task, _) => is_it(task),
            _ => false,
        });
        let place = place.expect("a worker is in the body");
        let lost = Worker::Lost(Task { run, attempt });
        if let Worker::Blocked(task, wait) = std::mem::replace(&mut self.workers[place], lost) {
            // It holds no slot that could go to another.
            self.unblock(task, &wait);
            self.pool.force_slot();
            self.reference.active += 1;
        }
        self.pool.worker_lost();
        self.reference.active -= 1;
        self.stuck += 1;
        self.pool.ensure_worker();
    }

    fn cancel_pool(&mut self) {
        let (sure, deadlines) = self.reference.clear();
        let (mut runs, mut callbacks) = (HashSet::new(), Vec::new());
        let jobs = self.pool.cancel();
        self.reference.cancelled = true;
        for job in jobs {
            match job {
                Job::Callbacks(callback) => callbacks.push(callback[0] as usize),
                Job::Runs { group, next, end } => {
                    runs.extend((next..end).map(|index| self.number_of(&group, index)));
                }
            }
        }
        assert!(sure.iter().all(|run| runs.contains(run)), "{sure:?} were queued, not {runs:?}");
        assert_eq!(callbacks, deadlines);
        let phase = |run: usize| self.reference.runs[run].phase;
        let parked = (0..self.reference.runs.len()).filter(|&run| phase(run) == Phase::Parked);
        assert!(
            parked.clone().all(|run| runs.contains(&run)),
            "some parked runs were not handed out"
        );
        // What is parked comes with its whole group.
        runs.retain(|&run| !matches!(phase(run), Phase::Running | Phase::Done(_)));
        let mut runs: Vec<_> = runs.into_iter().collect();
        runs.sort_unstable();
        for run in runs {
            self.cancel(run);
        }
        for run in callbacks {
            self.take_over(run);
        }
        for timer in self.timers.extract(|timer| matches!(timer, Timer::Wake(..))) {
            if let Timer::Wake(run, attempt) = timer {
                self.wake(run, attempt);
            }
        }
    }
}
