//! A run ends exactly once, whoever comes first.

use std::sync::Arc;

use loom::thread;
use oxtask_core::group::{Cancelled, Outcome, Phase, Settled, Watcher};
use oxtask_core::inbox::Inbox;

use crate::explore;
use crate::support::{Runs, Spec, inline, pool};

/// Who has ended the run, and the callbacks he was given.
fn settle(group: &Runs, attempt: u32, outcome: Outcome) -> Option<Vec<u32>> {
    match group.settle(0, attempt, outcome, Some(5), 2) {
        Ok(Settled { callbacks, .. }) => Some(callbacks),
        Err(output) => {
            assert_eq!(output, Some(5), "a late output is handed back");
            None
        }
    }
}

fn cancel(group: &Runs) -> Option<Vec<u32>> {
    match group.cancel(0, 2) {
        Cancelled::Done => None,
        Cancelled::Dropped(_, callbacks) | Cancelled::Running(_, callbacks) => Some(callbacks),
    }
}

fn told_once(ended: Vec<Option<Vec<u32>>>, inbox: &Inbox) {
    let callbacks: Vec<_> = ended.into_iter().flatten().collect();
    assert_eq!(callbacks, [[9]], "one ended the run, and has its callback");
    assert_eq!((inbox.try_take(), inbox.try_take()), (Some(7), None));
}

fn watched(group: &Runs) -> Arc<Inbox> {
    let inbox = Arc::new(Inbox::new());
    assert!(group.watch(0, Watcher::<Spec>::Inbox(Arc::clone(&inbox), 7)).is_ok());
    assert!(group.watch(0, Watcher::Callback(9)).is_ok());
    inbox
}

#[test]
fn result_cancellation_and_deadline_race_and_one_wins() {
    explore(|| {
        let (pool, _) = pool(1);
        let group = inline(&pool);
        let inbox = watched(&group);
        let attempt = group.begin(0, 1).unwrap().attempt;
        let body = {
            let group = Arc::clone(&group);
            thread::spawn(move || settle(&group, attempt, Outcome::Completed))
        };
        let canceller = {
            let group = Arc::clone(&group);
            thread::spawn(move || cancel(&group))
        };
        let expired = group
            .fence(0, attempt)
            .and_then(|(attempt, _)| settle(&group, attempt, Outcome::TimedOut));
        let ended = vec![body.join().unwrap(), canceller.join().unwrap(), expired];
        told_once(ended, &inbox);
        assert!(matches!(group.phase(0), Phase::Done(_)));
        assert_eq!(group.unsettled(), 0);
        assert!(!pool.watch_drained(&inbox), "the pool counted it down once");
    });
}

#[test]
fn a_body_that_is_over_is_cancelled_before_it_is_sealed_or_not_at_all() {
    explore(|| {
        let (pool, _) = pool(1);
        let group = inline(&pool);
        let inbox = watched(&group);
        let attempt = group.begin(0, 1).unwrap().attempt;
        let worker = {
            let group = Arc::clone(&group);
            thread::spawn(move || {
                let (attempt, _) = group.seal(0, attempt)?;
                let ended = settle(&group, attempt, Outcome::Completed);
                assert!(ended.is_some(), "a sealed run was taken away");
                ended
            })
        };
        let cancelled = cancel(&group);
        let expired = group.fence(0, attempt);
        assert!(expired.is_none() || cancelled.is_none());
        let expired = expired.and_then(|(attempt, _)| settle(&group, attempt, Outcome::TimedOut));
        told_once(vec![worker.join().unwrap(), cancelled, expired], &inbox);
    });
}

#[test]
fn a_retry_races_with_a_cancellation_and_the_run_ends_once() {
    explore(|| {
        let (pool, _) = pool(1);
        let group = inline(&pool);
        let inbox = watched(&group);
        let attempt = group.begin(0, 1).unwrap().attempt;
        let worker = {
            let group = Arc::clone(&group);
            thread::spawn(move || {
                group.delay(0, attempt, 0).ok()?;
                if !group.wake(0, attempt) {
                    return None;
                }
                let begun = group.begin(0, 1)?;
                settle(&group, begun.attempt, Outcome::Completed)
            })
        };
        let cancelled = cancel(&group);
        let ended = vec![worker.join().unwrap(), cancelled];
        told_once(ended, &inbox);
        assert_eq!(group.unsettled(), 0);
    });
}

#[test]
fn a_deadline_that_meets_the_next_attempt_does_nothing() {
    explore(|| {
        let (pool, _) = pool(1);
        let group = inline(&pool);
        let inbox = watched(&group);
        let first = group.begin(0, 1).unwrap().attempt;
        let timer = {
            let group = Arc::clone(&group);
            thread::spawn(move || {
                let (attempt, _) = group.fence(0, first)?;
                settle(&group, attempt, Outcome::TimedOut)
            })
        };
        let body = group
            .begin_again(0, first)
            .and_then(|second| settle(&group, second, Outcome::Completed));
        let took = body.is_some();
        let timed_out = timer.join().unwrap();
        told_once(vec![body, timed_out], &inbox);
        let expected = if took { Outcome::Completed } else { Outcome::TimedOut };
        assert_eq!(group.phase(0), Phase::Done(expected));
    });
}
