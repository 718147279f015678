//! Who is told that a run has ended, and what is noted of its life.

use std::collections::HashMap;
use std::sync::Arc;

use super::cell::Stage;
use super::{Group, NONE, Outcome, Work};
use crate::inbox::Inbox;
use crate::sync::atomic::Ordering;

/// Who wants to know that a run has ended.
pub enum Watcher<W: Work> {
    /// A parked run, one of whose inputs this is.
    Dependent(Arc<Group<W>>, u32),
    /// A blocked thread.
    Inbox(Arc<Inbox>, u32),
    /// Code of the user.
    Callback(W::Callback),
}

pub(super) struct Side<W: Work> {
    first: Option<(u32, Watcher<W>)>,
    watchers: HashMap<u32, Vec<Watcher<W>>>,
    /// Blocked threads that wait for the whole group, or for its first failure.
    whole: Vec<Arc<Inbox>>,
    notes: HashMap<u32, Vec<W::Note>>,
}

impl<W: Work> Group<W> {
    /// Tells everybody who wants to know; the run's stage is `Done` already.
    pub(super) fn announce(&self, index: u32, outcome: Outcome, watched: bool) -> Vec<W::Callback> {
        let mut callbacks = Vec::new();
        if watched {
            let (first, rest) = {
                let mut side = self.side.lock();
                let first = match &side.first {
                    Some((of, _)) if *of == index => side.first.take(),
                    _ => None,
                };
                (first, side.watchers.remove(&index))
            };
            for watcher in first.map(|(_, one)| one).into_iter().chain(rest.into_iter().flatten()) {
                match watcher {
                    Watcher::Dependent(group, dependent) => group.release(dependent),
                    Watcher::Inbox(inbox, token) => inbox.deliver(token),
                    Watcher::Callback(callback) => callbacks.push(callback),
                }
            }
        }
        let first_failure = outcome.is_failure()
            && self
                .first_failed
                .compare_exchange(NONE, index, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        let last = self.unsettled.fetch_sub(1, Ordering::AcqRel) == 1;
        if last || first_failure {
            let waiting = self.side.lock().whole.clone();
            for inbox in waiting {
                inbox.deliver(NONE);
            }
        }
        if last && let Some(pool) = &self.pool {
            pool.group_closed();
        }
        callbacks
    }

    /// Asks to be told when the run ends; hands the watcher back if it has.
    pub fn watch(&self, index: u32, watcher: Watcher<W>) -> Result<(), Watcher<W>> {
        let mut cell = self.cell(index).lock();
        if let Stage::Done { .. } = cell.stage {
            return Err(watcher);
        }
        cell.watched = true;
        let mut side = self.side.lock();
        if side.first.is_none() && side.watchers.is_empty() {
            side.first = Some((index, watcher));
        } else {
            side.watchers.entry(index).or_default().push(watcher);
        }
        Ok(())
    }

    /// Takes the watchers of `inbox` off a run.
    pub fn unwatch(&self, index: u32, inbox: &Arc<Inbox>) {
        let is_it = |watcher: &Watcher<W>| matches!(watcher, Watcher::Inbox(held, _) if Arc::ptr_eq(held, inbox));
        let mut side = self.side.lock();
        if matches!(&side.first, Some((of, watcher)) if *of == index && is_it(watcher)) {
            side.first = None;
        }
        if let Some(watchers) = side.watchers.get_mut(&index) {
            watchers.retain(|watcher| !is_it(watcher));
            if watchers.is_empty() {
                side.watchers.remove(&index);
            }
        }
    }

    /// Rings `inbox` at the first failure and when all have ended.
    pub fn watch_whole(&self, inbox: &Arc<Inbox>) {
        self.side.lock().whole.push(Arc::clone(inbox));
        if self.unsettled() == 0 || self.first_failed().is_some() {
            inbox.deliver(NONE);
        }
    }

    pub fn unwatch_whole(&self, inbox: &Arc<Inbox>) {
        self.side.lock().whole.retain(|held| !Arc::ptr_eq(held, inbox));
    }

    pub fn note(&self, index: u32, note: W::Note) {
        self.side.lock().notes.entry(index).or_default().push(note);
    }

    pub fn notes<R>(&self, index: u32, look: impl FnOnce(&[W::Note]) -> R) -> R {
        let side = self.side.lock();
        look(side.notes.get(&index).map_or(&[], Vec::as_slice))
    }

    pub fn take_notes(&self, index: u32) -> Option<Vec<W::Note>> {
        self.side.lock().notes.remove(&index)
    }
}

impl<W: Work> Side<W> {
    /// Takes out the groups that wait for runs of this one.
    pub(super) fn dependents(&mut self) -> Vec<Arc<Group<W>>> {
        let first = self.first.take().map(|(_, watcher)| watcher);
        let rest = std::mem::take(&mut self.watchers).into_values().flatten();
        first
            .into_iter()
            .chain(rest)
            .filter_map(|watcher| match watcher {
                Watcher::Dependent(group, _) => Some(group),
                Watcher::Inbox(..) | Watcher::Callback(_) => None,
            })
            .collect()
    }

    pub(super) fn new() -> Self {
        Self { first: None, watchers: HashMap::new(), whole: Vec::new(), notes: HashMap::new() }
    }
}
