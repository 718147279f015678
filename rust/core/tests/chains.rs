//! A million runs, one waiting for the other, on a small stack: nothing in the core calls itself once a run.
#![cfg(not(loom))]
#![allow(clippy::disallowed_methods)] // threads: the tests choose the size of the stack

mod support;

use std::sync::Arc;

use oxtask_core::group::{Cancelled, Group, Phase, Watcher};
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Lane};
use support::{Runs, Spec, TestPool, finish, ids, inline, parked, pool, queued, run_of};

const LINKS: u32 = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
const SMALL_STACK: usize = 64 * 1024;

fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(body);
    assert!(thread.expect("one thread").join().is_ok());
}

fn depend(group: &Runs, index: u32, upstream: &Runs, at: u32) {
    group.hold(index);
    assert!(upstream.watch(at, Watcher::Dependent(Arc::clone(group), index)).is_ok());
    group.release(index);
}

/// The first and the last of a chain of groups of one, each parked on the one before.
fn chain(pool: &TestPool) -> (Runs, Runs) {
    let first = inline(pool);
    let mut last = Arc::clone(&first);
    for _ in 1..LINKS {
        let next = parked(pool, Lane::Thread, [0]);
        depend(&next, 0, &last, 0);
        last = next;
    }
    (first, last)
}

/// Ends everything that becomes ready; returns how many runs that were.
fn work(pool: &TestPool) -> u32 {
    let mut count = 0;
    let mut from = From::Start;
    while let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
        from = From::Work;
        count += u32::from(finish(&group, index));
    }
    count
}

#[test]
fn a_chain_of_groups_settles_link_by_link() {
    on_a_small_stack(|| {
        let (pool, _) = pool(1);
        let (first, last) = chain(&pool);
        assert!(finish(&first, 0));
        drop(first);
        assert_eq!(work(&pool), LINKS - 1);
        assert!(matches!(last.phase(0), Phase::Done(_)));
        assert!(!pool.watch_drained(&Arc::new(Inbox::new())));
    });
}

#[test]
fn a_chain_within_one_group_settles_link_by_link() {
    on_a_small_stack(|| {
        let (pool, _) = pool(1);
        let group = parked(&pool, Lane::Thread, 0..LINKS);
        for index in 1..LINKS {
            depend(&group, index, &group, index - 1);
        }
        group.release(0);
        assert_eq!(work(&pool), LINKS);
    });
}

#[test]
fn a_chain_that_is_dropped_is_not_dropped_link_inside_link() {
    on_a_small_stack(|| {
        let (pool, _) = pool(1);
        let (first, last) = chain(&pool);
        let inbox = Arc::new(Inbox::new());
        assert!(pool.watch_drained(&inbox));
        drop(first);
        assert_eq!(inbox.try_take(), None, "the last link is still held");
        drop(last);
        assert_eq!(inbox.try_take(), Some(0));
    });
}

#[test]
fn a_chain_that_is_held_in_the_middle_is_dropped_up_to_there() {
    on_a_small_stack(|| {
        let (pool, _) = pool(1);
        let (first, middle) = chain(&pool);
        let tail = parked(&pool, Lane::Thread, [0]);
        depend(&tail, 0, &middle, 0);
        drop(first);
        assert!(matches!(middle.cancel(0, 1), Cancelled::Dropped(..)));
        assert_eq!(tail.phase(0), Phase::Ready);
    });
}

#[test]
fn a_tree_of_dependents_is_dropped_on_a_small_stack() {
    on_a_small_stack(|| {
        let (pool, _) = pool(1);
        let root = inline(&pool);
        let mut level = vec![Arc::clone(&root)];
        while level.len() < LINKS as usize / 8 {
            level = level
                .iter()
                .flat_map(|upstream| {
                    [0; 2].map(|_| {
                        let group = parked(&pool, Lane::Thread, [0]);
                        depend(&group, 0, upstream, 0);
                        group
                    })
                })
                .collect();
        }
        drop(level);
        let inbox = Arc::new(Inbox::new());
        assert!(pool.watch_drained(&inbox));
        drop(root);
        assert_eq!(inbox.try_take(), Some(0));
    });
}

#[test]
fn a_star_of_dependents_is_released_at_once() {
    on_a_small_stack(|| {
        let (pool, _) = pool(1);
        let hub = inline(&pool);
        let points = parked(&pool, Lane::Thread, 0..LINKS);
        for index in 0..LINKS {
            depend(&points, index, &hub, 0);
        }
        assert!(finish(&hub, 0));
        assert_eq!(work(&pool), LINKS);
    });
}

#[test]
fn cancelling_a_chain_from_the_front_walks_it_once() {
    on_a_small_stack(|| {
        let (pool, _) = pool(1);
        let (first, last) = chain(&pool);
        drop(first.cancel(0, 1));
        let mut from = From::Start;
        while let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
            from = From::Work;
            assert!(matches!(group.cancel(index, 1), Cancelled::Dropped(..)));
        }
        assert_eq!(last.unsettled(), 0);
    });
}

#[test]
fn layers_in_which_each_waits_for_all_of_the_one_before_settle() {
    const WIDTH: u32 = if cfg!(debug_assertions) { 200 } else { 1_000 };
    on_a_small_stack(|| {
        let (pool, _) = pool(1);
        let layers = [(); 3].map(|()| parked(&pool, Lane::Thread, 0..WIDTH));
        for pair in layers.windows(2) {
            for index in 0..WIDTH {
                pair[1].hold(index);
                (0..WIDTH).for_each(|at| depend(&pair[1], index, &pair[0], at));
            }
        }
        for layer in &layers {
            (0..WIDTH).for_each(|index| layer.release(index));
        }
        assert_eq!(work(&pool), WIDTH * 3);
    });
}

fn cancel_one_by_one(order: impl Iterator<Item = u32>) {
    let (pool, _) = pool(1);
    let group = queued(&pool, Lane::Thread, 0..LINKS);
    let behind = Group::queued(Spec(Lane::Thread), Arc::clone(&pool), ids(), 0, [0]);
    for index in order {
        assert!(matches!(group.cancel(index, 1), Cancelled::Dropped(..)));
    }
    assert_eq!(group.unsettled(), 0);
    assert_eq!((work(&pool), behind.unsettled()), (1, 0));
}

/// A sweep that walked the range from its start each time would not end.
#[test]
fn cancelling_queued_runs_in_order_takes_one_look_at_each() {
    on_a_small_stack(|| cancel_one_by_one([1, 0].into_iter().chain(2..LINKS)));
}

#[test]
fn cancelling_queued_runs_in_any_order_takes_one_look_at_each() {
    on_a_small_stack(|| {
        let odd = (1..LINKS).step_by(2);
        cancel_one_by_one(odd.chain((0..LINKS).step_by(2).rev()));
    });
}
