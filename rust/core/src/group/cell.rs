//! One run: the stage it is in.

use super::Work;
use crate::sync::Mutex;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Completed,
    /// Completed with a value that was found: the body did not run.
    Cached,
    Failed,
    TimedOut,
    Crashed,
    Cancelled,
    /// An input did not complete, so it never ran.
    NotReady,
    /// The body chose its own final state, a good one or a bad one.
    Chosen {
        failed: bool,
    },
}

impl Outcome {
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Completed | Self::Cached | Self::Chosen { failed: false })
    }

    /// Whether the output is the value that the run resulted in.
    pub fn has_value(self) -> bool {
        matches!(self, Self::Completed | Self::Cached)
    }
}

/// Where a run is, for those who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Vacant,
    Parked,
    Ready,
    Running,
    Delayed,
    Done(Outcome),
}

pub(super) enum Stage<W: Work> {
    Vacant,
    Parked { pending: u32, input: W::Input },
    Ready { started: u64, input: W::Input },
    Running { started: u64, kept: Option<W::Input> },
    Delayed { started: u64, input: W::Input },
    Done { started: u64, ended: u64, outcome: Outcome, output: Option<W::Output> },
}

pub(super) struct Cell<W: Work> {
    pub(super) stage: Stage<W>,
    pub(super) attempt: u32,
    pub(super) watched: bool,
    /// The attempt's body is over: no cancellation ends the run any more, only what its owner settles.
    pub(super) sealed: bool,
}

impl<W: Work> Cell<W> {
    pub(super) fn new(stage: Stage<W>) -> Mutex<Self> {
        Mutex::new(Self { stage, attempt: 0, watched: false, sealed: false })
    }

    pub(super) fn phase(&self) -> Phase {
        match self.stage {
            Stage::Vacant => Phase::Vacant,
            Stage::Parked { .. } => Phase::Parked,
            Stage::Ready { .. } => Phase::Ready,
            Stage::Running { .. } => Phase::Running,
            Stage::Delayed { .. } => Phase::Delayed,
            Stage::Done { outcome, .. } => Phase::Done(outcome),
        }
    }
}
