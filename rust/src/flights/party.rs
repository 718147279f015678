//! Who leads and who waits, and who holds up whom.

use oxtask_core::flights::Flights;
use oxtask_core::waits;
use pyo3::prelude::*;

use crate::run::{Run, RunRef};
use crate::{context, runtime, seat, waiting};

/// A run, or a thread that is in none.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    Run(RunRef),
    Thread(u64),
}

/// Who leads or waits, and on which thread. Equal to the same on another thread.
#[derive(Clone)]
pub(super) struct Party {
    who: Who,
    pub(super) thread: u64,
}

impl PartialEq for Party {
    fn eq(&self, other: &Self) -> bool {
        self.who == other.who
    }
}

impl Party {
    /// Who asks here and now.
    pub(super) fn asking(py: Python<'_>) -> Self {
        let thread = seat::thread_ident();
        let who = waiting::current_run(py).map_or(Who::Thread(thread), Who::Run);
        Self { who, thread }
    }

    /// This one, and all runs whose bodies it belongs to.
    pub(super) fn chain(&self, py: Python<'_>) -> Vec<Self> {
        let mut chain = vec![self.clone()];
        while let Some(Self { who: Who::Run(run), .. }) = chain.last()
            && let Some(outer) = outer(py, run)
        {
            chain.push(Self { who: Who::Run(outer), thread: 0 });
        }
        chain
    }
}

/// The run whose body has submitted or called this one.
fn outer(py: Python<'_>, run: &RunRef) -> Option<RunRef> {
    let given = run.0.work.context.as_ref()?;
    // A copy: the context itself may be one that another thread is in.
    let copy = context::copy(py, Some(given)).ok()?;
    let value =
        context::enter(py, &copy, || context::get(py, &context::variables(py).run)).ok()??;
    let run = value.cast::<Run>().ok()?.get();
    Some(RunRef(run.group.clone(), run.index))
}

/// Whether `leader` cannot go on until the first of `chain` does.
pub(super) fn is_held_up(
    py: Python<'_>,
    flights: &Flights<Party>,
    leader: &Party,
    chain: &[Party],
) -> bool {
    let Some(me) = chain.first() else { return false };
    let next = |who: &Who| {
        let party = Party { who: who.clone(), thread: 0 };
        if chain.contains(&party) {
            return vec![me.who.clone()];
        }
        let mut next: Vec<_> =
            flights.ahead_of(&party).into_iter().map(|ahead| ahead.who).collect();
        if let Who::Run(run) = who {
            next.extend(runtime::get().waits.lock().targets(run).into_iter().map(Who::Run));
            next.extend(waiting::inputs_of(py, run).into_iter().map(Who::Run));
        }
        next
    };
    waits::cycle(&me.who, std::slice::from_ref(&leader.who), next).is_some()
}
