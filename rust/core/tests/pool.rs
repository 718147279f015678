//! The queue and the slots of a pool, looked at from one thread.
#![cfg(not(loom))]

mod support;

use std::sync::Arc;
use std::time::Duration;

use oxtask_core::group::{Cancelled, Group, Phase};
use oxtask_core::growth::TICK;
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Job, Lane, Next, Taken};
use support::{Spec, TestPool, finish, ids, inline, parked, pool, queued, run_of, staffed};

/// Takes one unit after the other, without beginning any; returns the inputs of those that are still ready.
fn drain(pool: &TestPool) -> Vec<Option<u32>> {
    let mut from = From::Start;
    let mut inputs = Vec::new();
    while let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
        from = From::Work;
        inputs.push(group.peek_input(index, |input| *input));
    }
    inputs
}

// --- the queue --------------------------------------------------------------------------------------------------

#[test]
fn runs_leave_in_the_order_in_which_they_came() {
    let (pool, _) = pool(1);
    let first = queued(&pool, Lane::Thread, [0, 1, 2]);
    queued(&pool, Lane::Thread, [3]);
    let last = parked(&pool, Lane::Thread, [4, 5, 6]);
    (0..3).for_each(|index| last.release(index));
    assert_eq!(first.phase(2), Phase::Ready);
    assert_eq!(drain(&pool), (0..7).map(Some).collect::<Vec<_>>());
    assert_eq!(pool.active(), 0);
}

#[test]
fn what_somebody_waits_for_goes_ahead_of_what_is_queued() {
    let (pool, _) = pool(1);
    queued(&pool, Lane::Thread, [0, 1]);
    let awaited = queued(&pool, Lane::Thread, [2, 3, 4]);
    let later = parked(&pool, Lane::Thread, [5, 6]);
    let last = queued(&pool, Lane::Thread, [7]);
    pool.push_first(Lane::Thread, vec![9]);
    [&later, &awaited, &last, &awaited].into_iter().for_each(Group::hasten);
    assert!(finish(&awaited, 0));
    (0..2).for_each(|index| later.release(index));
    assert!(matches!(pool.take(Lane::Thread, From::Start), Some(Taken::Callbacks(_))));
    pool.release_slot();
    // An entry may be left where a run was queued before: whoever takes it finds the run begun.
    let mut order: Vec<_> = drain(&pool).into_iter().flatten().collect();
    let mut seen = [false; 8];
    order.retain(|&input| !std::mem::replace(&mut seen[input as usize], true));
    assert_eq!(order, [5, 6, 7, 3, 4, 0, 1]);
}

#[test]
fn entries_left_behind_by_what_went_ahead_are_swept() {
    let (pool, _) = pool(1);
    queued(&pool, Lane::Thread, [0]);
    let awaited: Vec<_> = (0..100).map(|input| queued(&pool, Lane::Thread, [input])).collect();
    queued(&pool, Lane::Thread, [0]);
    awaited.iter().for_each(Group::hasten);
    assert!(awaited.iter().all(|group| finish(group, 0)));
    queued(&pool, Lane::Thread, [0, 1]).hasten();
    assert_eq!(drain(&pool).into_iter().flatten().collect::<Vec<_>>(), [0, 1, 0, 0]);
}

#[test]
fn callbacks_pushed_first_go_ahead_of_everything() {
    let (pool, _) = pool(1);
    queued(&pool, Lane::Thread, [0]);
    pool.push_first(Lane::Thread, vec![1, 2]);
    assert!(matches!(
        pool.take(Lane::Thread, From::Start),
        Some(Taken::Callbacks(callbacks)) if callbacks == [1, 2]
    ));
    pool.push(Lane::Thread, Job::Callbacks(vec![3]));
    assert!(matches!(pool.take(Lane::Thread, From::Work), Some(Taken::Run(..))));
    assert!(matches!(pool.take(Lane::Thread, From::Work), Some(Taken::Callbacks(_))));
    assert!(pool.take(Lane::Thread, From::Work).is_none());
}

#[test]
fn each_lane_has_its_own_queue() {
    let (pool, calls) = pool(4);
    queued(&pool, Lane::Thread, [0]);
    assert_eq!((calls.watched(), calls.woken()), (1, 0));
    let group = queued(&pool, Lane::Loop, [1]);
    assert_eq!(calls.woken(), 1);
    let (taken, index) = run_of(pool.take(Lane::Loop, From::Start)).expect("it was pushed");
    assert!(Arc::ptr_eq(&taken, &group) && index == 0);
    assert!(pool.take(Lane::Loop, From::Work).is_none());
    assert_eq!(drain(&pool), [Some(0)]);
}

#[test]
fn a_loop_is_woken_again_only_after_it_found_nothing() {
    let (pool, calls) = pool(4);
    queued(&pool, Lane::Loop, [0]);
    queued(&pool, Lane::Loop, [1]);
    assert_eq!(calls.woken(), 1);
    assert!(pool.take(Lane::Loop, From::Start).is_some());
    assert!(pool.take(Lane::Loop, From::Work).is_some());
    assert!(pool.take(Lane::Loop, From::Work).is_none());
    queued(&pool, Lane::Loop, [2]);
    assert_eq!(calls.woken(), 2);
}

#[test]
fn a_cancelled_run_leaves_the_queue_from_either_end_of_its_range() {
    let (pool, _) = pool(1);
    let group = queued(&pool, Lane::Thread, 0..5);
    for index in [0, 4, 3] {
        assert!(matches!(group.cancel(index, 1), Cancelled::Dropped(input, _) if input == index));
    }
    assert_eq!(drain(&pool), [Some(1), Some(2)]);
}

#[test]
fn a_run_cancelled_inside_a_range_is_handed_out_and_does_not_begin() {
    let (pool, _) = pool(1);
    let group = queued(&pool, Lane::Thread, 0..3);
    assert!(matches!(group.cancel(1, 1), Cancelled::Dropped(..)));
    assert!(group.begin(1, 1).is_none());
    assert_eq!(drain(&pool), [Some(0), None, Some(2)]);
}

#[test]
fn an_entry_goes_when_the_run_is_claimed_by_another() {
    let (pool, _) = pool(2);
    let claimed = queued(&pool, Lane::Thread, [0]);
    queued(&pool, Lane::Thread, [1]);
    pool.forget(&claimed, 0);
    assert!(finish(&claimed, 0));
    assert_eq!(drain(&pool), [Some(1)]);
}

#[test]
fn stale_entries_do_not_pile_up() {
    let (pool, _) = pool(1);
    let groups: Vec<_> = (0..1_000).map(|input| queued(&pool, Lane::Thread, [input])).collect();
    for group in &groups[1..999] {
        assert!(matches!(group.cancel(0, 1), Cancelled::Dropped(..)));
    }
    let left = drain(&pool);
    assert_eq!(left.iter().flatten().collect::<Vec<_>>(), [&0, &999]);
    assert!(left.len() < 100, "{} entries for two runs", left.len());
}

#[test]
fn callbacks_and_the_other_lane_survive_a_sweep() {
    let (pool, _) = pool(1);
    queued(&pool, Lane::Loop, [7]);
    queued(&pool, Lane::Thread, [0]);
    let groups: Vec<_> = (0..300).map(|input| queued(&pool, Lane::Thread, [input])).collect();
    pool.push(Lane::Thread, Job::Callbacks(vec![5]));
    for group in &groups {
        drop(group.cancel(0, 1));
    }
    let mut callbacks = 0;
    let mut from = From::Start;
    while let Some(taken) = pool.take(Lane::Thread, from) {
        from = From::Work;
        callbacks += u32::from(matches!(taken, Taken::Callbacks(_)));
    }
    assert_eq!(callbacks, 1);
    assert!(pool.take(Lane::Loop, From::Start).is_some());
}

#[test]
fn parked_runs_have_no_entry_to_forget() {
    let (pool, _) = pool(1);
    let ready: Vec<_> = (0..128).map(|input| queued(&pool, Lane::Thread, [input])).collect();
    let waiting = parked(&pool, Lane::Thread, 0..1_000);
    for group in &ready[1..41] {
        assert!(matches!(group.cancel(0, 1), Cancelled::Dropped(..)));
    }
    for index in 0..1_000 {
        assert!(matches!(waiting.cancel(index, 1), Cancelled::Dropped(..)));
    }
    assert_eq!(drain(&pool).len(), 128, "40 stale entries are not worth a sweep");
}

// --- cancelling a pool --------------------------------------------------------------------------------------------

#[test]
fn a_cancelled_pool_hands_its_queue_to_whoever_cancelled_it() {
    let (pool, _) = pool(1);
    let threads = queued(&pool, Lane::Thread, 0..3);
    let loops = queued(&pool, Lane::Loop, 0..2);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    let jobs = pool.cancel();
    assert!(pool.is_cancelled());
    let ranges: Vec<_> = jobs
        .iter()
        .map(|job| match job {
            Job::Runs { group, next, end } => (Arc::ptr_eq(group, &threads), *next, *end),
            Job::Callbacks(_) => panic!("none were pushed"),
        })
        .collect();
    assert_eq!(ranges, [(true, 1, 3), (false, 0, 2)]);
    assert_eq!(loops.phase(0), Phase::Ready);
    assert!(pool.take(Lane::Thread, From::Work).is_none());
}

#[test]
fn what_reaches_a_cancelled_pool_is_handed_out_to_be_cancelled() {
    let (pool, _) = pool(1);
    pool.cancel();
    let group = queued(&pool, Lane::Thread, [0]);
    let taken = pool.take(Lane::Thread, From::Start);
    assert!(
        matches!(taken, Some(Taken::Cancelled(held, 0)) if Arc::ptr_eq(&held, &group)),
        "a worker cancels it"
    );
}

#[test]
fn a_cancelled_pool_hands_out_what_is_parked_with_its_groups() {
    let (pool, _) = pool(1);
    let waiting = parked(&pool, Lane::Thread, 0..3);
    pool.note_parked(&waiting);
    pool.note_parked(&parked(&pool, Lane::Thread, 0..1));
    let jobs = pool.cancel();
    assert_eq!(jobs.len(), 1, "a group that nobody holds is gone");
    assert!(
        matches!(&jobs[0], Job::Runs { group, next: 0, end: 3 } if Arc::ptr_eq(group, &waiting))
    );
    assert!(pool.cancel().is_empty());
}

#[test]
fn groups_that_are_over_are_not_remembered_for_ever() {
    let (pool, _) = pool(1);
    let mut waiting = Vec::new();
    for number in 0..10_000 {
        let group = parked(&pool, Lane::Thread, 0..1);
        pool.note_parked(&group);
        if number % 100 == 0 {
            waiting.push(group);
        } else {
            drop(group.cancel(0, 1));
        }
    }
    let jobs = pool.cancel();
    let over = |job: &Job<Spec>| matches!(job, Job::Runs { group, .. } if group.unsettled() == 0);
    assert!(!jobs.iter().any(over) && jobs.len() == waiting.len());
}

// --- slots --------------------------------------------------------------------------------------------------------

#[test]
fn both_lanes_share_the_slots() {
    let (pool, _) = pool(2);
    queued(&pool, Lane::Thread, 0..3);
    queued(&pool, Lane::Loop, 0..3);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    assert!(pool.take(Lane::Loop, From::Start).is_some());
    assert!(pool.take(Lane::Thread, From::Start).is_none());
    assert!(pool.take(Lane::Loop, From::Start).is_none());
    assert!(!pool.try_slot());
    assert_eq!(pool.active(), 2);
    assert!(pool.take(Lane::Loop, From::Work).is_some());
    pool.release_slot();
    assert!(pool.try_slot());
    assert_eq!(pool.active(), 2);
}

#[test]
fn a_loop_that_found_no_slot_is_woken_when_one_falls_free() {
    let (pool, calls) = pool(1);
    assert!(pool.try_slot());
    queued(&pool, Lane::Loop, [0]);
    assert!(pool.take(Lane::Loop, From::Start).is_none());
    assert_eq!(calls.woken(), 1);
    pool.release_slot();
    assert_eq!(calls.woken(), 2);
    assert!(pool.take(Lane::Loop, From::Start).is_some());
}

#[test]
fn a_worker_that_runs_out_of_work_leaves_its_slot_to_the_loops() {
    let (pool, calls) = pool(1);
    queued(&pool, Lane::Thread, [0]);
    queued(&pool, Lane::Loop, [1]);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    assert!(pool.take(Lane::Loop, From::Start).is_none());
    assert!(pool.take(Lane::Thread, From::Work).is_none());
    assert_eq!(calls.woken(), 2);
    assert!(pool.take(Lane::Loop, From::Start).is_some());
}

#[test]
fn a_forced_slot_delays_the_next_run_instead_of_exceeding_for_long() {
    let (pool, _) = pool(1);
    queued(&pool, Lane::Thread, 0..2);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    pool.force_slot();
    assert_eq!(pool.active(), 2);
    assert!(pool.take(Lane::Thread, From::Work).is_none());
    pool.release_slot();
    assert!(pool.take(Lane::Thread, From::Start).is_some());
}

#[test]
fn a_claim_takes_a_free_slot_at_once_and_gives_up_after_its_timeout() {
    let (pool, _) = pool(1);
    assert!(pool.claim_slot(None));
    assert!(!pool.claim_slot(Some(Duration::from_millis(1))));
    assert_eq!(pool.active(), 1);
    queued(&pool, Lane::Thread, [0]);
    pool.release_slot();
    assert!(pool.take(Lane::Thread, From::Start).is_some(), "who gave up stands in nobody's way");
}

#[test]
fn as_many_slots_as_there_are_numbers_do_not_overflow() {
    let (pool, _) = pool(usize::MAX);
    assert!(pool.try_slot());
    pool.force_slot();
    assert_eq!(pool.active(), 2);
}

// --- workers ------------------------------------------------------------------------------------------------------

#[test]
fn a_lost_worker_is_not_counted_and_its_slot_goes_to_another() {
    let (pool, calls) = staffed(1, 1);
    let group = queued(&pool, Lane::Thread, 0..2);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    pool.worker_lost();
    assert_eq!((pool.workers(), pool.stuck(), pool.active()), (0, 1, 0));
    pool.ensure_worker();
    assert_eq!(calls.started(), 1);
    pool.worker_started();
    let (_, index) = run_of(pool.take(Lane::Thread, From::Start)).expect("the slot is free");
    assert!(index == 1 && finish(&group, 1));
    pool.worker_back();
    assert_eq!((pool.workers(), pool.stuck(), pool.active()), (2, 0, 1));
    assert!(pool.take(Lane::Thread, From::Start).is_none(), "it came back without a slot");
}

#[test]
fn a_lost_worker_that_waited_has_no_slot_to_give() {
    let (pool, calls) = staffed(1, 1);
    queued(&pool, Lane::Thread, 0..2);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    pool.worker_waits();
    pool.release_slot();
    pool.waiting_worker_lost();
    assert_eq!((pool.workers(), pool.stuck(), pool.active()), (0, 1, 0));
    pool.ensure_worker();
    assert_eq!(calls.started(), 1);
}

#[test]
fn workers_that_wait_are_nobody_to_do_the_work() {
    let (pool, calls) = staffed(2, 1);
    queued(&pool, Lane::Thread, 0..3);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    pool.worker_waits();
    pool.release_slot();
    let now = Duration::from_secs(1);
    assert!(pool.tick(now, now));
    assert_eq!(calls.started(), 1, "at the first tick, however busy the process is");
    pool.worker_started();
    pool.worker_resumes();
    assert!(pool.tick(now + TICK, now + TICK));
    assert_eq!(calls.started(), 1);
}

#[test]
fn a_worker_is_made_sure_of_only_when_there_is_work_and_none_is_coming() {
    let (pool, calls) = pool(1);
    pool.ensure_worker();
    assert_eq!(calls.started(), 0);
    queued(&pool, Lane::Thread, [0]);
    pool.ensure_worker();
    pool.ensure_worker();
    assert_eq!(calls.started(), 1);
    pool.worker_failed();
    pool.ensure_worker();
    assert_eq!(calls.started(), 2);
    pool.worker_started();
    pool.ensure_worker();
    assert_eq!((calls.started(), pool.workers()), (2, 1));
}

#[test]
fn a_worker_leaves_a_closed_pool_only_when_the_queue_is_empty() {
    let (pool, _) = staffed(1, 1);
    queued(&pool, Lane::Thread, [0]);
    pool.close();
    assert!(pool.is_closed());
    assert_eq!(pool.wait_for_work(Duration::ZERO), Next::Look);
    assert!(pool.take(Lane::Thread, From::Rest).is_some());
    assert!(pool.take(Lane::Thread, From::Work).is_none());
    assert_eq!(pool.wait_for_work(Duration::from_secs(3_600)), Next::Leave);
    assert_eq!(pool.workers(), 0);
}

#[test]
fn a_worker_that_was_idle_for_too_long_leaves() {
    let (pool, _) = staffed(1, 1);
    assert_eq!(pool.wait_for_work(Duration::from_millis(1)), Next::Leave);
    assert_eq!(pool.workers(), 0);
}

// --- the end ------------------------------------------------------------------------------------------------------

#[test]
fn a_pool_is_drained_when_the_last_group_has_ended() {
    let (pool, _) = pool(1);
    let inbox = Arc::new(Inbox::new());
    assert!(!pool.watch_drained(&inbox), "an idle pool is drained");
    let groups = [inline(&pool), parked(&pool, Lane::Thread, [0])];
    assert!(pool.watch_drained(&inbox));
    assert!(finish(&groups[0], 0));
    assert_eq!(inbox.try_take(), None);
    drop(groups[1].cancel(0, 1));
    assert_eq!((inbox.try_take(), inbox.try_take()), (Some(0), None));
    assert!(!pool.watch_drained(&inbox));
}

#[test]
fn groups_without_runs_do_not_keep_a_pool_open() {
    let (pool, _) = pool(1);
    let inbox = Arc::new(Inbox::new());
    queued(&pool, Lane::Thread, []);
    let group = Group::vacant(Spec(Lane::Thread), Arc::clone(&pool), ids(), 0, 2);
    assert!(!pool.watch_drained(&inbox));
    assert_eq!(group.fill(0), Ok(0));
    assert!(pool.watch_drained(&inbox));
    assert!(finish(&group, 0));
    assert_eq!(inbox.try_take(), Some(0));
}

#[test]
fn a_group_that_was_dropped_with_runs_in_it_does_not_keep_a_pool_open() {
    let (pool, _) = pool(1);
    let upstream = inline(&pool);
    let dependent = parked(&pool, Lane::Thread, [0]);
    let watcher = oxtask_core::group::Watcher::Dependent(dependent, 0);
    assert!(upstream.watch(0, watcher).is_ok());
    let inbox = Arc::new(Inbox::new());
    assert!(pool.watch_drained(&inbox));
    drop(upstream);
    assert_eq!(inbox.try_take(), Some(0));
}
