//! The life of runs, looked at from one thread.
#![cfg(not(loom))]

mod support;

use std::sync::Arc;

use oxtask_core::group::{Cancelled, Group, Outcome, Phase, Watcher};
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Lane};
use support::{Runs, Spec, TestPool, finish, ids, inline, parked, pool, queued, run_of};

fn end(group: &Runs, index: u32, outcome: Outcome) {
    let attempt = group.begin(index, 1).expect("it is ready").attempt;
    assert!(group.settle(index, attempt, outcome, None, 2).is_ok());
}

fn free(inputs: std::ops::Range<u32>) -> Runs {
    let group = Group::parked(Spec(Lane::Thread), None, ids(), 7, inputs);
    (0..group.len()).for_each(|index| group.release(index));
    group
}

fn take(pool: &TestPool) -> Option<(Runs, u32)> {
    run_of(pool.take(Lane::Thread, From::Start))
}

#[test]
fn a_run_goes_through_its_stages() {
    let (pool, _) = pool(1);
    let group = parked(&pool, Lane::Thread, [8]);
    assert_eq!((group.phase(0), group.times(0)), (Phase::Parked, (0, 0)));
    group.release(0);
    assert_eq!((group.phase(0), group.times(0)), (Phase::Ready, (0, 0)));
    let begun = group.begin(0, 10).expect("it is ready");
    assert_eq!((begun.attempt, begun.input), (1, 8));
    assert_eq!((group.phase(0), group.times(0)), (Phase::Running, (10, 0)));
    assert!(group.begin(0, 11).is_none());
    assert!(group.settle(0, 1, Outcome::Completed, Some(9), 20).is_ok());
    assert_eq!((group.phase(0), group.times(0)), (Phase::Done(Outcome::Completed), (10, 20)));
    assert_eq!(
        group.peek(0, |outcome, output| (outcome, output.copied())),
        Some((Outcome::Completed, Some(9)))
    );
    assert_eq!((group.take(0), group.take(0)), (Some(9), None));
}

#[test]
fn the_first_start_is_kept_through_delays_and_attempts_on_the_spot() {
    let group = free(0..1);
    let first = group.begin(0, 10).expect("it is ready").attempt;
    let second = group.begin_again(0, first).expect("it is running");
    assert_eq!(group.times(0), (10, 0));
    assert_eq!(group.delay(0, second, 5), Ok(()));
    assert_eq!((group.phase(0), group.times(0)), (Phase::Delayed, (10, 0)));
    assert!(group.wake(0, second));
    assert_eq!((group.phase(0), group.times(0)), (Phase::Ready, (10, 0)));
    let third = group.begin(0, 30).expect("it is ready");
    assert_eq!((third.attempt, third.input), (3, 5));
    assert!(group.settle(0, 3, Outcome::Failed, None, 40).is_ok());
    assert_eq!(group.times(0), (10, 40));
}

#[test]
fn a_run_cancelled_between_attempts_keeps_its_start() {
    let group = free(0..1);
    let attempt = group.begin(0, 10).expect("it is ready").attempt;
    assert_eq!(group.delay(0, attempt, 0), Ok(()));
    assert!(group.wake(0, attempt));
    assert!(matches!(group.cancel(0, 15), Cancelled::Dropped(..)));
    assert_eq!(group.times(0), (10, 15));
}

#[test]
fn whoever_speaks_for_an_older_attempt_is_refused() {
    let group = free(0..1);
    let old = group.begin(0, 1).expect("it is ready").attempt;
    let new = group.begin_again(0, old).expect("it is running");
    assert_eq!(group.settle(0, old, Outcome::Completed, Some(4), 2).err(), Some(Some(4)));
    assert_eq!(group.delay(0, old, 5), Err(5));
    assert_eq!(group.keep(0, old, 6), Err(6));
    assert_eq!(group.begin_again(0, old), None);
    assert!(group.fence(0, old).is_none());
    assert!(!group.wake(0, old));
    assert_eq!((group.phase(0), group.attempt(0)), (Phase::Running, new));
}

#[test]
fn a_run_that_has_ended_refuses_everything() {
    let group = free(0..1);
    end(&group, 0, Outcome::Completed);
    assert!(group.settle(0, 1, Outcome::Failed, Some(4), 3).is_err());
    assert_eq!(group.delay(0, 1, 5), Err(5));
    assert_eq!(group.keep(0, 1, 6), Err(6));
    assert_eq!(group.begin_again(0, 1), None);
    assert!(group.fence(0, 1).is_none());
    assert!(!group.wake(0, 1));
    assert!(group.begin(0, 3).is_none());
    assert!(matches!(group.cancel(0, 3), Cancelled::Done));
    assert!(group.watch(0, Watcher::Callback(1)).is_err());
    group.hold(0);
    group.release(0);
    assert_eq!((group.phase(0), group.unsettled()), (Phase::Done(Outcome::Completed), 0));
}

#[test]
fn a_fenced_attempt_hands_the_kept_input_to_whoever_takes_over() {
    let group = free(0..1);
    assert_eq!(group.begin(0, 1).map(|begun| begun.attempt), Some(1));
    assert_eq!(group.keep(0, 1, 40), Ok(()));
    assert_eq!(group.keep(0, 1, 41), Err(41), "one copy is enough");
    assert_eq!(group.peek_input(0, |input| *input), Some(40));
    assert_eq!(group.fence(0, 1), Some((2, Some(40))));
    assert_eq!(group.peek_input(0, |input| *input), None);
    assert_eq!(group.delay(0, 2, 40), Ok(()));
    assert_eq!(group.peek_input(0, |input| *input), Some(40));
}

#[test]
fn a_sealed_run_is_ended_by_its_owner_and_by_nobody_else() {
    let group = free(0..1);
    assert!(group.begin(0, 1).is_some());
    assert_eq!(group.keep(0, 1, 40), Ok(()));
    assert_eq!(group.seal(0, 1), Some((2, Some(40))));
    assert_eq!(group.seal(0, 1), None);
    assert!(group.fence(0, 1).is_none(), "a deadline comes too late");
    assert!(matches!(group.cancel(0, 2), Cancelled::Done));
    assert_eq!((group.phase(0), group.unsettled()), (Phase::Running, 1));
    assert!(group.settle(0, 2, Outcome::Completed, None, 3).is_ok());
}

#[test]
fn a_sealed_run_that_goes_on_can_be_cancelled_again() {
    let group = free(0..3);
    for index in 0..3 {
        assert!(group.begin(index, 1).is_some());
        assert!(group.seal(index, 1).is_some());
    }
    assert_eq!(group.begin_again(0, 2), Some(3));
    assert_eq!(group.delay(1, 2, 0), Ok(()));
    assert_eq!(group.delay(2, 2, 0), Ok(()));
    assert!(group.wake(2, 2) && group.begin(2, 3).is_some());
    assert!(matches!(group.cancel(0, 4), Cancelled::Running(..)));
    assert!(matches!(group.cancel(1, 4), Cancelled::Dropped(..)));
    assert!(matches!(group.cancel(2, 4), Cancelled::Running(..)));
}

#[test]
fn an_input_that_was_kept_comes_back_to_whoever_ends_the_run() {
    let group = free(0..2);
    for index in 0..2 {
        assert!(group.begin(index, 1).is_some());
        assert_eq!(group.keep(index, 1, 40), Ok(()));
    }
    let settled = group.settle(0, 1, Outcome::Completed, None, 2).map(|settled| settled.kept);
    assert!(matches!(settled, Ok(Some(40))));
    assert!(matches!(group.cancel(1, 2), Cancelled::Running(Some(40), _)));
}

#[test]
fn a_run_waits_for_as_many_releases_as_it_was_held() {
    let (pool, _) = pool(1);
    let group = parked(&pool, Lane::Thread, [0]);
    group.hold(0);
    group.hold(0);
    group.release(0);
    group.release(0);
    assert_eq!(group.phase(0), Phase::Parked);
    assert!(take(&pool).is_none());
    group.release(0);
    group.release(0);
    assert_eq!(group.phase(0), Phase::Ready);
    assert!(take(&pool).is_some());
    pool.release_slot();
    assert!(take(&pool).is_none(), "it was queued once");
}

#[test]
fn the_end_of_a_run_releases_its_dependents() {
    let (pool, _) = pool(1);
    let upstream = inline(&pool);
    let dependents = parked(&pool, Lane::Thread, 0..3);
    for index in 0..3 {
        let watcher = Watcher::Dependent(Arc::clone(&dependents), index);
        assert!(upstream.watch(0, watcher).is_ok());
    }
    drop(upstream.cancel(0, 1));
    assert!((0..3).all(|index| dependents.phase(index) == Phase::Ready));
}

#[test]
fn watchers_hear_in_the_order_in_which_they_came() {
    let group = free(0..3);
    let inbox = Arc::new(Inbox::new());
    for (index, token) in [(0, 1), (1, 2), (0, 3), (1, 4), (0, 5)] {
        assert!(group.watch(index, Watcher::Inbox(Arc::clone(&inbox), token)).is_ok());
    }
    end(&group, 2, Outcome::Completed);
    assert!(inbox.is_empty());
    end(&group, 1, Outcome::Completed);
    end(&group, 0, Outcome::Completed);
    let heard: Vec<_> = std::iter::from_fn(|| inbox.try_take()).collect();
    assert_eq!(heard, [2, 4, 1, 3, 5]);
}

#[test]
fn callbacks_come_back_to_whoever_ends_the_run() {
    let group = free(0..2);
    for callback in [1, 2] {
        assert!(group.watch(0, Watcher::Callback(callback)).is_ok());
        assert!(group.watch(1, Watcher::Callback(callback * 10)).is_ok());
    }
    assert!(group.begin(0, 1).is_some());
    let settled = group.settle(0, 1, Outcome::Completed, None, 2).map(|settled| settled.callbacks);
    assert!(matches!(settled, Ok(callbacks) if callbacks == [1, 2]));
    assert!(
        matches!(group.cancel(1, 2), Cancelled::Dropped(1, callbacks) if callbacks == [10, 20])
    );
}

#[test]
fn only_the_inbox_that_asks_for_it_is_taken_off() {
    let group = free(0..2);
    let inboxes = [Arc::new(Inbox::new()), Arc::new(Inbox::new())];
    for inbox in &inboxes {
        for index in 0..2 {
            assert!(group.watch(index, Watcher::Inbox(Arc::clone(inbox), index)).is_ok());
        }
    }
    group.unwatch(0, &inboxes[0]);
    end(&group, 0, Outcome::Completed);
    end(&group, 1, Outcome::Completed);
    assert_eq!((inboxes[0].try_take(), inboxes[0].try_take()), (Some(1), None));
    assert_eq!((inboxes[1].try_take(), inboxes[1].try_take()), (Some(0), Some(1)));
}

#[test]
fn the_whole_group_rings_at_the_first_failure_and_at_the_end() {
    let group = free(0..4);
    let inbox = Arc::new(Inbox::new());
    group.watch_whole(&inbox);
    end(&group, 0, Outcome::Chosen { failed: false });
    assert!(inbox.try_take().is_none());
    end(&group, 2, Outcome::TimedOut);
    assert!(inbox.try_take().is_some());
    end(&group, 1, Outcome::Failed);
    assert!(inbox.try_take().is_none());
    end(&group, 3, Outcome::Completed);
    assert!(inbox.try_take().is_some());
    assert_eq!((group.first_failed(), group.unsettled()), (Some(2), 0));
    let late = Arc::new(Inbox::new());
    group.watch_whole(&late);
    assert!(late.try_take().is_some());
}

#[test]
fn who_no_longer_watches_the_whole_group_hears_nothing() {
    let group = free(0..1);
    let inbox = Arc::new(Inbox::new());
    group.watch_whole(&inbox);
    group.unwatch_whole(&inbox);
    end(&group, 0, Outcome::Failed);
    assert!(inbox.is_empty());
}

#[test]
fn outcomes_know_whether_they_are_failures() {
    let good = [Outcome::Completed, Outcome::Chosen { failed: false }];
    let bad = [
        Outcome::Failed,
        Outcome::TimedOut,
        Outcome::Crashed,
        Outcome::Cancelled,
        Outcome::NotReady,
        Outcome::Chosen { failed: true },
    ];
    assert!(good.iter().all(|outcome| !outcome.is_failure()));
    assert!(bad.iter().all(|outcome| outcome.is_failure()));
}

#[test]
fn a_group_is_filled_run_by_run() {
    let (pool, _) = pool(4);
    let group = Group::vacant(Spec(Lane::Thread), Arc::clone(&pool), ids(), 0, 2);
    assert_eq!((group.phase(0), group.unsettled(), group.len()), (Phase::Vacant, 0, 2));
    assert!(group.begin(0, 1).is_none());
    assert!(matches!(group.cancel(0, 1), Cancelled::Done));
    assert_eq!(group.fill(5), Ok(0));
    assert!(finish(&group, 0));
    assert_eq!(group.fill(6), Ok(1));
    assert_eq!(group.fill(7), Err(7));
    assert_eq!(group.unsettled(), 1);
    let inputs: Vec<_> = std::iter::from_fn(|| take(&pool))
        .map(|(group, index)| group.peek_input(index, |input| *input))
        .collect();
    assert_eq!(inputs, [None, Some(6)]);
}

#[test]
fn notes_stay_with_their_run() {
    let group = free(0..2);
    group.note(1, 4);
    group.note(1, 5);
    assert_eq!(group.notes(0, <[u32]>::len), 0);
    assert_eq!(group.notes(1, <[u32]>::to_vec), [4, 5]);
}

#[test]
fn the_ids_of_a_group_follow_each_other() {
    let (pool, _) = pool(1);
    let group = queued(&pool, Lane::Thread, 0..3);
    assert_eq!(group.id(2) - group.id(0), 2);
    assert_eq!(free(0..1).created(), 7);
    assert!(!group.is_empty() && free(0..0).is_empty());
}
