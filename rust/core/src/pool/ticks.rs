//! What a pool with ready work is looked at for: whether it needs more workers, and whether its loop is blocked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{Lane, Pool, State};
use crate::group::Work;
use crate::growth::{self, Sight};

/// After so many ticks without progress a loop is taken to be blocked.
const STILL_TICKS: u32 = 25;

impl<W: Work> Pool<W> {
    /// Looks at a pool with ready work; false when it need not be looked at any more.
    pub fn tick(self: &Arc<Self>, now: Duration, cpu: Duration) -> bool {
        let mut state = self.state.lock();
        if state.queue.is_empty(Lane::Thread) && state.queue.is_empty(Lane::Loop) {
            state.watched = false;
            return false;
        }
        let wake_loop = state.loops_are_stuck();
        if state.queue.is_empty(Lane::Thread) {
            drop(state);
            if wake_loop {
                self.wake_loop();
            }
            return true;
        }
        let sight = Sight {
            ready: state.queue.ready(),
            workers: state.workers - state.idle - state.waiting,
            starting: state.starting + state.waking + state.called,
            free_slots: self.max_slots.saturating_sub(state.active),
            progress: state.progress,
            cpu,
            cores: growth::cores(),
            now,
        };
        let mut wanted = state.growth.tick(sight);
        if wanted > 1 && sight.workers > 1 {
            let mut may_grow = state.growth.may_grow(now);
            if may_grow.is_none() {
                drop(state);
                let delay = catch_unwind(AssertUnwindSafe(|| self.host.delay()));
                state = self.state.lock();
                let delay = delay.unwrap_or_default();
                may_grow = delay.map(|delay| state.growth.weigh(sight, delay));
            }
            if may_grow != Some(true) {
                wanted = 0;
            }
        }
        let woken = wanted.min(state.idle - state.called);
        state.called += woken;
        state.starting += wanted - woken;
        drop(state);
        for _ in 0..woken {
            self.work_ready.notify_one();
        }
        for _ in woken..wanted {
            self.start_worker();
        }
        if wake_loop {
            self.wake_loop();
        }
        true
    }
}

impl<W: Work> State<W> {
    /// Whether runs wait for a loop and nothing has moved for [`STILL_TICKS`].
    fn loops_are_stuck(&mut self) -> bool {
        let (seen, still) = self.loop_still;
        if self.queue.is_empty(Lane::Loop) || seen != self.progress {
            self.loop_still = (self.progress, 0);
            return false;
        }
        self.loop_still = (seen, (still + 1) % STILL_TICKS);
        still + 1 == STILL_TICKS
    }
}
