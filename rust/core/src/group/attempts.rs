//! The life of an attempt, from its begin to the end of the run.

use std::sync::Arc;

use super::cell::Stage;
use super::{Group, Outcome, Work};

/// A run that was begun: the attempt to settle it with, and its input.
pub struct Begun<W: Work> {
    pub attempt: u32,
    pub input: W::Input,
}

/// What a cancellation met.
pub enum Cancelled<W: Work> {
    /// It had ended before.
    Done,
    /// It will never start; the input is for the caller to drop.
    Dropped(W::Input, Vec<W::Callback>),
    /// It was under way; its late result will be refused.
    Running(Option<W::Input>, Vec<W::Callback>),
}

/// A run that this call has ended.
pub struct Settled<W: Work> {
    pub kept: Option<W::Input>,
    pub callbacks: Vec<W::Callback>,
}

impl<W: Work> Group<W> {
    /// Begins a ready run; `None` if it was begun, cancelled or settled by somebody else.
    pub fn begin(&self, index: u32, now: u64) -> Option<Begun<W>> {
        let mut cell = self.cell(index).lock();
        match std::mem::replace(&mut cell.stage, Stage::Vacant) {
            Stage::Ready { started, input } => {
                cell.attempt += 1;
                cell.sealed = false;
                let started = if started == 0 { now } else { started };
                cell.stage = Stage::Running { started, kept: None };
                Some(Begun { attempt: cell.attempt, input })
            }
            other => {
                cell.stage = other;
                None
            }
        }
    }

    /// Leaves a copy of the input with the run, for whoever takes over when its worker is stuck.
    pub fn keep(&self, index: u32, attempt: u32, copy: W::Input) -> Result<(), W::Input> {
        let mut cell = self.cell(index).lock();
        let current = cell.attempt == attempt;
        match &mut cell.stage {
            Stage::Running { kept, .. } if current && kept.is_none() => {
                *kept = Some(copy);
                Ok(())
            }
            _ => Err(copy),
        }
    }

    /// Ends the body of an attempt: from here on only its owner decides how the run goes on.
    ///
    /// Returns the attempt with which it does, or `None` if the run was taken away before.
    pub fn seal(&self, index: u32, attempt: u32) -> Option<(u32, Option<W::Input>)> {
        let mut cell = self.cell(index).lock();
        if cell.attempt != attempt {
            return None;
        }
        let Stage::Running { kept, .. } = &mut cell.stage else {
            return None;
        };
        let input = kept.take();
        cell.attempt += 1;
        cell.sealed = true;
        Some((cell.attempt, input))
    }

    /// Ends an attempt and begins the next on the spot.
    pub fn begin_again(&self, index: u32, attempt: u32) -> Option<u32> {
        let mut cell = self.cell(index).lock();
        if cell.attempt != attempt || !matches!(cell.stage, Stage::Running { .. }) {
            return None;
        }
        cell.attempt += 1;
        cell.sealed = false;
        Some(cell.attempt)
    }

    /// Takes an attempt away from its worker: what it settles from now on is refused.
    ///
    /// Returns the attempt with which the caller settles or retries instead, and the kept input.
    pub fn fence(&self, index: u32, attempt: u32) -> Option<(u32, Option<W::Input>)> {
        let mut cell = self.cell(index).lock();
        if cell.attempt != attempt {
            return None;
        }
        let Stage::Running { kept, .. } = &mut cell.stage else {
            return None;
        };
        let input = kept.take();
        cell.attempt += 1;
        Some((cell.attempt, input))
    }

    /// Ends an attempt; the next begins when somebody [wakes](Self::wake) the run.
    pub fn delay(&self, index: u32, attempt: u32, input: W::Input) -> Result<(), W::Input> {
        let mut cell = self.cell(index).lock();
        match cell.stage {
            Stage::Running { started, .. } if cell.attempt == attempt => {
                cell.sealed = false;
                let old = std::mem::replace(&mut cell.stage, Stage::Delayed { started, input });
                drop(cell);
                drop(old);
                Ok(())
            }
            _ => Err(input),
        }
    }

    /// Queues a delayed run; `attempt` is the one that was delayed.
    pub fn wake(self: &Arc<Self>, index: u32, attempt: u32) -> bool {
        let mut cell = self.cell(index).lock();
        if cell.attempt != attempt {
            return false;
        }
        match std::mem::replace(&mut cell.stage, Stage::Vacant) {
            Stage::Delayed { started, input } => {
                cell.stage = Stage::Ready { started, input };
                drop(cell);
                self.enqueue(index, index + 1);
                true
            }
            other => {
                cell.stage = other;
                false
            }
        }
    }

    /// Ends the run. Hands the output back if `attempt` no longer speaks for it.
    ///
    /// Returns the callbacks, for the caller to call. A kept input is dropped by the caller's side of things: it
    /// comes back through [`Settled`].
    pub fn settle(
        self: &Arc<Self>,
        index: u32,
        attempt: u32,
        outcome: Outcome,
        output: Option<W::Output>,
        now: u64,
    ) -> Result<Settled<W>, Option<W::Output>> {
        let mut cell = self.cell(index).lock();
        let started = match cell.stage {
            Stage::Running { started, .. } if cell.attempt == attempt => started,
            _ => return Err(output),
        };
        let done = Stage::Done { started, ended: now, outcome, output };
        let old = std::mem::replace(&mut cell.stage, done);
        let watched = cell.watched;
        drop(cell);
        let kept = match old {
            Stage::Running { kept, .. } => kept,
            _ => None,
        };
        Ok(Settled { kept, callbacks: self.announce(index, outcome, watched) })
    }

    /// Ends the run as cancelled, wherever it is.
    pub fn cancel(self: &Arc<Self>, index: u32, now: u64) -> Cancelled<W> {
        let outcome = Outcome::Cancelled;
        let mut cell = self.cell(index).lock();
        // A sealed run has ended but for its hooks.
        if cell.sealed || matches!(cell.stage, Stage::Done { .. } | Stage::Vacant) {
            return Cancelled::Done;
        }
        let started = match cell.stage {
            Stage::Ready { started, .. }
            | Stage::Running { started, .. }
            | Stage::Delayed { started, .. } => started,
            _ => 0,
        };
        let done = Stage::Done { started, ended: now, outcome, output: None };
        let old = std::mem::replace(&mut cell.stage, done);
        let watched = cell.watched;
        drop(cell);
        let callbacks = self.announce(index, outcome, watched);
        match old {
            Stage::Running { kept, .. } => Cancelled::Running(kept, callbacks),
            Stage::Ready { input, .. } => {
                if let Some(pool) = &self.pool {
                    pool.forget(self, index);
                }
                Cancelled::Dropped(input, callbacks)
            }
            Stage::Parked { input, .. } | Stage::Delayed { input, .. } => {
                Cancelled::Dropped(input, callbacks)
            }
            Stage::Done { .. } | Stage::Vacant => Cancelled::Done,
        }
    }
}
