//! When a pool whose workers sleep gets another worker.
//!
//! Workers run many short runs each, so one is enough as long as runs come and go. A worker inside a run that
//! sleeps takes no other work, and the pool cannot see inside; it sees that work is ready and nothing has
//! moved for a while. It then doubles. While the process burns a whole core without finishing anything the
//! runs compute rather than sleep, and another thread would only fight for the interpreter: growth is then slow
//! (runs may still wait for each other, so it never stops).

use std::time::Duration;

/// How often a pool is looked at that has more ready work than workers who come for it.
pub const TICK: Duration = Duration::from_millis(1);
const SLOWEST: u32 = 1_000;
const FIRST_SLOW: u32 = 64;
/// How far back the use of the processor is looked at, at least. The kernel books the time of a thread that runs on
/// another processor at its own ticks, every 1 to 10 ms: over less, a process that computes can look idle.
const WINDOW: Duration = Duration::from_millis(20);

/// What the pool looks like at a tick.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Runs that could start if there were a worker and a slot.
    pub ready: usize,
    /// Live workers that are not idle.
    pub workers: usize,
    /// Workers that were asked for and have not yet taken work.
    pub starting: usize,
    /// Free slots (`max_workers` less the runs under way).
    pub free_slots: usize,
    /// Counts runs taken and ended.
    pub progress: u64,
    /// Processor time of the process.
    pub cpu: Duration,
    pub now: Duration,
}

/// The memory of the policy, one a pool.
#[derive(Debug, Default)]
pub struct Growth {
    progress: u64,
    still_ticks: u32,
    patience: u32,
    seen: Duration,
    /// Time and processor time where this window and the one before began.
    marks: [(Duration, Duration); 2],
}

impl Growth {
    /// How many more workers to put to work now, idle ones or new ones.
    pub fn tick(&mut self, sight: Sight) -> usize {
        let moved = sight.progress != self.progress || sight.starting > 0;
        let busy = self.is_busy(sight);
        (self.progress, self.seen) = (sight.progress, sight.now);
        if moved {
            self.still_ticks = 0;
            if sight.workers > 0 {
                return 0;
            }
        }
        self.still_ticks += 1;
        if sight.ready == 0 || sight.free_slots == 0 || sight.starting > 0 {
            return 0;
        }
        if sight.workers == 0 {
            return 1;
        }
        if busy {
            if self.still_ticks < self.patience.max(FIRST_SLOW) {
                return 0;
            }
            self.patience = (self.patience.max(FIRST_SLOW) * 2).min(SLOWEST);
            self.still_ticks = 0;
            return 1;
        }
        self.patience = FIRST_SLOW;
        sight.workers.min(sight.ready).min(sight.free_slots)
    }

    /// Whether the process has used a quarter of a core since the window before this one began; true while that is too short
    /// a time to tell.
    fn is_busy(&mut self, sight: Sight) -> bool {
        let here = (sight.now, sight.cpu);
        if sight.now.saturating_sub(self.seen) > WINDOW {
            self.marks = [here; 2]; // nobody looked for a while
        } else if sight.now.saturating_sub(self.marks[1].0) >= WINDOW {
            self.marks = [self.marks[1], here];
        }
        let (since, used) = self.marks[0];
        let wall = sight.now.saturating_sub(since);
        wall < WINDOW || sight.cpu.saturating_sub(used) * 4 >= wall
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn sight(tick: u32, workers: usize, progress: u64, cpu_share: f64) -> Sight {
        let now = TICK * tick;
        Sight {
            ready: 10_000,
            workers,
            starting: 0,
            free_slots: 10_000,
            progress,
            cpu: now.mul_f64(cpu_share),
            now,
        }
    }

    #[test]
    fn sleeping_workers_double() {
        let mut growth = Growth::default();
        let mut workers = 1;
        for tick in 1..=32 {
            workers += growth.tick(sight(tick, workers, 0, 0.05));
        }
        assert!(workers >= 1_000, "{workers} after 32 ticks");
    }

    #[test]
    fn processor_time_that_is_booked_late_counts() {
        for period in [4, 10] {
            let mut growth = Growth::default();
            let mut workers = 2;
            for tick in 1..1_000 {
                // Progress every 10 ms, as from runs that compute for so long.
                let booked = TICK * (tick / period * period);
                let progress = u64::from(tick / 10);
                workers +=
                    growth.tick(Sight { cpu: booked, ..sight(tick, workers, progress, 0.0) });
            }
            assert!(workers < 5, "{workers} after a second, booked every {period} ms");
        }
    }

    #[test]
    fn a_pool_that_moves_does_not_grow() {
        let mut growth = Growth::default();
        let started: usize =
            (1..1_000).map(|tick| growth.tick(sight(tick, 1, u64::from(tick), 0.05))).sum();
        assert_eq!(started, 0);
    }

    #[test]
    fn computing_workers_grow_slowly_but_do_grow() {
        let mut growth = Growth::default();
        let mut workers = 1;
        for tick in 1..10_000 {
            workers += growth.tick(sight(tick, workers, 0, 1.0));
        }
        assert!((3..20).contains(&workers), "{workers} after ten seconds");
    }

    #[test]
    fn nothing_starts_without_work_slot_or_need() {
        let base = sight(1, 1, 0, 0.0);
        for blocked in [
            Sight { ready: 0, ..base },
            Sight { free_slots: 0, ..base },
            Sight { starting: 1, ..base },
        ] {
            let mut growth = Growth::default();
            assert_eq!(growth.tick(blocked), 0);
            assert_eq!(growth.tick(blocked), 0);
        }
    }

    #[test]
    fn a_pool_without_workers_gets_one_at_once() {
        assert_eq!(Growth::default().tick(sight(1, 0, 7, 0.0)), 1);
    }
}
