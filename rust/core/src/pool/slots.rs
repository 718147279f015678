//! Slots outside of [`Pool::take`]: given back to wait, claimed again, lost with a stuck worker.

use std::sync::Arc;
use std::time::Duration;

use super::{Lane, Pool};
use crate::group::Work;

impl<W: Work> Pool<W> {
    /// Gives a slot back outside of [`take`](Self::take).
    pub fn release_slot(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.active -= 1;
        state.progress += 1;
        if state.resuming > 0 {
            self.slot_free.notify_one();
        }
        // Threads that resume come first, but each was told of its own slot: what is free beyond is for new work.
        if self.max_slots.saturating_sub(state.active) <= state.resuming {
            return;
        }
        if !state.queue.is_empty(Lane::Loop) && !state.loop_awake {
            self.offer_loop(state);
        } else if !state.queue.is_empty(Lane::Thread) {
            self.offer(state);
        }
    }

    /// Takes a slot if one is free, for a run that a waiting thread runs itself.
    pub fn try_slot(&self) -> bool {
        let mut state = self.state.lock();
        if self.max_slots.saturating_sub(state.active) <= state.resuming {
            return false;
        }
        state.active += 1;
        true
    }

    /// Takes a slot even if none is free: for a coroutine, which cannot wait for one without its loop.
    pub fn force_slot(&self) {
        self.state.lock().active += 1;
    }

    /// Blocks until a slot is free and takes it, ahead of new work.
    ///
    /// False when `timeout` passed first, or when it was woken for a slot that another was quicker to take.
    pub fn claim_slot(&self, timeout: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        state.resuming += 1;
        while state.active >= self.max_slots {
            state = self.slot_free.wait(state, timeout);
            if timeout.is_some() && state.active >= self.max_slots {
                state.resuming -= 1;
                return false;
            }
        }
        state.resuming -= 1;
        state.active += 1;
        true
    }

    /// A worker is about to block on runs; it gives its slot back, or has done so.
    pub fn worker_waits(&self) {
        self.state.lock().waiting += 1;
    }

    /// A worker has a slot again after [`worker_waits`](Self::worker_waits).
    pub fn worker_resumes(&self) {
        self.state.lock().waiting -= 1;
    }

    /// The run was taken from a worker that waits, without a slot.
    pub fn waiting_worker_lost(&self) {
        let mut state = self.state.lock();
        state.workers -= 1;
        state.waiting -= 1;
        state.stuck += 1;
    }

    /// A worker is stuck in a run that was taken from it: its slot goes to another.
    pub fn worker_lost(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            state.workers -= 1;
            state.stuck += 1;
        }
        self.release_slot();
    }

    /// A stuck worker came back; it holds no slot.
    pub fn worker_back(&self) {
        let mut state = self.state.lock();
        state.workers += 1;
        state.stuck -= 1;
    }
}
