//! When a pool whose workers sleep gets another worker.
//!
//! A worker inside a run that sleeps takes no other work, and the pool cannot see inside; it sees that work is ready
//! and nothing has moved for a while. It then doubles. While the process burns a whole core without finishing
//! anything the runs compute rather than sleep, and another thread would only fight for the interpreter: growth is
//! then slow (runs may still wait for each other, so it never stops).
//!
//! On a machine that others keep busy, a process that computes gets little of the processor and looks idle. Before many
//! workers are added, what those there have waited for a processor is [weighed](Growth::weigh), too.
//!
//! While runs come and go, the use of the processor over the last [`WINDOW`] says what more workers would do:
//!
//! | use | the runs | the pool |
//! |---|---|---|
//! | (runs of a few microseconds) | are about the interpreter | stays |
//! | less than half a core | mostly sleep | doubles |
//! | nearly a core for each worker | compute without the interpreter, or there is one worker | one more, up to the cores |
//! | else | share the interpreter | stays |

use std::sync::OnceLock;
use std::time::Duration;

/// How often a pool is looked at that has more ready work than workers who come for it.
pub const TICK: Duration = Duration::from_millis(1);
const SLOWEST: u32 = 1_000;
const FIRST_SLOW: u32 = 64;
/// How far back the use of the processor is looked at, at least. The kernel books the time of a thread that runs on
/// another processor at its own ticks, every 1 to 10 ms: over less, a process that computes can look idle.
const WINDOW: Duration = Duration::from_millis(20);

/// Workers that were added and did not help: more are tried after this long.
const SECOND_TRY: Duration = Duration::from_secs(1);

/// Runs that take less are about the interpreter, whatever they do.
const LONG_RUN: Duration = Duration::from_micros(100);

/// How long the time that workers wait for a processor is looked at.
const WEIGHED_OVER: Duration = Duration::from_millis(5);

/// Workers at which a host looks to see what they have waited for a processor.
pub const MOST_LOOKED_AT: usize = 128;

/// How many threads can compute at a time.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

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
    pub cores: usize,
    pub now: Duration,
}

/// Where a window began.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    now: Duration,
    cpu: Duration,
    progress: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weighed {
    now: Duration,
    /// Processor time used and waited for.
    demand: Duration,
}

/// The memory of the policy, one a pool.
#[derive(Debug, Default)]
pub struct Growth {
    progress: u64,
    still_ticks: u32,
    patience: u32,
    seen: Duration,
    /// This window and the one before.
    marks: [Mark; 2],
    /// When workers were last added while runs came and went, and how many ended in a second before.
    stepped: Duration,
    rate: f64,
    /// When the time that workers wait for a processor was last looked at, and what had come together by then.
    weighed: Weighed,
    /// Until when what was found then counts: that they compute, or that they sleep.
    computing_until: Duration,
    sleeping_until: Duration,
}

impl Growth {
    /// How many more workers to put to work now, idle ones or new ones.
    pub fn tick(&mut self, sight: Sight) -> usize {
        let moved = sight.progress != self.progress || sight.starting > 0;
        self.mark(sight);
        let busy = self.is_busy(sight) || sight.now < self.computing_until;
        (self.progress, self.seen) = (sight.progress, sight.now);
        if moved {
            self.still_ticks = 0;
            if sight.workers > 0 {
                return self.step(sight);
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

    /// Whether the workers sleep rather than wait for a processor; `None` if that is to be [weighed](Self::weigh).
    pub fn may_grow(&self, now: Duration) -> Option<bool> {
        if now < self.sleeping_until {
            return Some(true);
        }
        (now.saturating_sub(self.weighed.now) < WEIGHED_OVER).then_some(false)
    }

    /// The same, as far as can be told by now. `delay` is the time for which all workers together have waited for a
    /// processor.
    pub fn weigh(&mut self, sight: Sight, delay: Duration) -> bool {
        let span = sight.now.saturating_sub(self.weighed.now);
        let here = Weighed { now: sight.now, demand: sight.cpu + delay };
        let demand = here.demand.saturating_sub(self.weighed.demand);
        self.weighed = here;
        if span > 4 * WINDOW {
            return false; // it is looked at again when some time has passed
        }
        // Of runs that share the interpreter, one computes or waits for a processor at any time.
        if demand * 5 < span * 4 {
            self.sleeping_until = sight.now + WINDOW;
            return true;
        }
        // The more workers there are, the longer it takes to look at them.
        let looked_at = u32::try_from(sight.workers.min(MOST_LOOKED_AT)).unwrap_or(0);
        self.computing_until = sight.now + TICK * (5 + looked_at / 4);
        false
    }

    /// How many more while runs come and go.
    fn step(&mut self, sight: Sight) -> usize {
        let wall = sight.now.saturating_sub(self.marks[0].now);
        let idle = sight.ready == 0 || sight.free_slots == 0 || sight.starting > 0;
        if idle || wall < WINDOW || self.marks[0].now < self.stepped {
            return 0;
        }
        let used = sight.cpu.saturating_sub(self.marks[0].cpu).as_secs_f64() / wall.as_secs_f64();
        // Each run counts twice: taken, and ended.
        let runs = (sight.progress - self.marks[0].progress) / 2;
        #[allow(clippy::cast_precision_loss)] // small numbers
        let (workers, runs) = (sight.workers as f64, runs as f64);
        let is_long = wall.as_secs_f64() * workers > LONG_RUN.as_secs_f64() * runs;
        // On a machine that others keep busy a process that computes looks idle, but more workers do not help it.
        let rate = runs / wall.as_secs_f64();
        let is_early = sight.now.saturating_sub(self.stepped) < SECOND_TRY;
        if !is_long || (rate < 1.15 * self.rate && is_early) {
            return 0;
        }
        let wanted = if used < 0.5 && sight.now >= self.computing_until {
            sight.workers
        } else {
            usize::from(used > 0.8 * workers && sight.workers < sight.cores)
        };
        if wanted > 0 {
            (self.stepped, self.rate) = (sight.now, rate);
        }
        wanted.min(sight.ready).min(sight.free_slots)
    }

    fn mark(&mut self, sight: Sight) {
        let here = Mark { now: sight.now, cpu: sight.cpu, progress: sight.progress };
        if sight.now.saturating_sub(self.seen) > WINDOW {
            self.marks = [here; 2]; // nobody looked for a while
        } else if sight.now.saturating_sub(self.marks[1].now) >= WINDOW {
            self.marks = [self.marks[1], here];
        }
    }

    /// Whether the process has used a quarter of a core since the window before this one began; true while that is too short
    /// a time to tell.
    fn is_busy(&self, sight: Sight) -> bool {
        let wall = sight.now.saturating_sub(self.marks[0].now);
        wall < WINDOW || sight.cpu.saturating_sub(self.marks[0].cpu) * 4 >= wall
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
            cores: 4,
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

    /// How many workers there are after a second in which each run takes so many microseconds.
    fn after_a_second(run: u64, cpu_share: impl Fn(usize) -> f64) -> usize {
        let (mut growth, mut workers, mut cpu) = (Growth::default(), 1, Duration::ZERO);
        let mut worked = 0;
        for tick in 1..1_000 {
            cpu += TICK.mul_f64(cpu_share(workers));
            worked += 1_000 * workers as u64;
            // It always moves.
            let progress = 2 * worked / run + u64::from(tick);
            workers += growth.tick(Sight { cpu, ..sight(tick, workers, progress, 0.0) });
        }
        workers
    }

    #[test]
    #[allow(clippy::cast_precision_loss)] // a few workers
    fn runs_that_sleep_for_a_short_time_get_workers_until_they_fill_half_a_core() {
        let workers = after_a_second(1_000, |workers| 0.02 * workers as f64);
        assert!((16..=64).contains(&workers), "{workers}");
    }

    #[test]
    #[allow(clippy::cast_precision_loss)] // a few workers
    fn runs_that_compute_without_the_interpreter_get_a_worker_for_each_core() {
        assert_eq!(after_a_second(5_000, |workers| workers as f64), 4);
    }

    #[test]
    fn runs_that_share_the_interpreter_get_one_worker_more_at_most() {
        assert_eq!(after_a_second(5_000, |_| 1.0), 2);
        assert_eq!(after_a_second(10, |_| 1.0), 1);
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

    /// How many workers there are after two seconds, of a process that gets a twentieth of a core and waits for so much.
    fn with_delay(delay_share: f64) -> usize {
        let mut growth = Growth::default();
        let mut workers = 2;
        for tick in 1..2_000 {
            let sight = sight(tick, workers, u64::from(tick / 3), 0.05);
            let wanted = growth.tick(sight);
            let delay = sight.now.mul_f64(delay_share);
            if wanted < 2
                || growth.may_grow(sight.now).unwrap_or_else(|| growth.weigh(sight, delay))
            {
                workers += wanted;
            }
        }
        workers
    }

    #[test]
    fn workers_that_wait_for_a_processor_do_not_double() {
        let workers = with_delay(0.9);
        assert!(workers < 8, "{workers}");
        let workers = with_delay(0.01);
        assert!(workers > 1_000, "{workers}");
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
