//! Who watches a run hears of its end once, or is told that it has ended.

use std::sync::Arc;

use loom::thread;
use oxtask_core::group::{Group, Outcome, Watcher};
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::Lane;

use crate::explore;
use crate::support::{Runs, Spec, finish, ids, inline, pool};

fn finishing(group: &Runs, index: u32) -> thread::JoinHandle<()> {
    let group = Arc::clone(group);
    thread::spawn(move || assert!(finish(&group, index)))
}

#[test]
fn an_inbox_hears_of_the_end_once_or_is_refused() {
    explore(|| {
        let group = inline(&pool(1).0);
        let settler = finishing(&group, 0);
        let inbox = Arc::new(Inbox::new());
        match group.watch(0, Watcher::Inbox(Arc::clone(&inbox), 3)) {
            Ok(()) => assert_eq!(inbox.take(None), Some(3)),
            Err(refused) => assert!(matches!(refused, Watcher::Inbox(_, 3))),
        }
        settler.join().unwrap();
        assert_eq!(inbox.try_take(), None);
    });
}

#[test]
fn watchers_of_two_runs_do_not_take_each_others_place() {
    explore(|| {
        let group = Group::<Spec>::parked(Spec(Lane::Thread), None, ids(), 0, [0, 1]);
        group.release(0);
        group.release(1);
        let settlers = [finishing(&group, 0), finishing(&group, 1)];
        let inbox = Arc::new(Inbox::new());
        let mut heard = Vec::new();
        for index in 0..2 {
            if group.watch(index, Watcher::Inbox(Arc::clone(&inbox), index)).is_err() {
                heard.push(index);
            }
        }
        for settler in settlers {
            settler.join().unwrap();
        }
        heard.extend(std::iter::from_fn(|| inbox.try_take()));
        heard.sort_unstable();
        assert_eq!(heard, [0, 1]);
    });
}

#[test]
fn who_stops_watching_hears_at_most_once() {
    explore(|| {
        let group = inline(&pool(1).0);
        let inbox = Arc::new(Inbox::new());
        let other = Arc::new(Inbox::new());
        assert!(group.watch(0, Watcher::Inbox(Arc::clone(&inbox), 1)).is_ok());
        assert!(group.watch(0, Watcher::Inbox(Arc::clone(&other), 2)).is_ok());
        let settler = finishing(&group, 0);
        group.unwatch(0, &inbox);
        settler.join().unwrap();
        inbox.try_take();
        assert_eq!(inbox.try_take(), None);
        assert_eq!((other.try_take(), other.try_take()), (Some(2), None));
    });
}

#[test]
fn a_wait_for_the_whole_group_ends_with_the_last_run() {
    explore(|| {
        let group = Group::<Spec>::parked(Spec(Lane::Thread), None, ids(), 0, [0, 1]);
        group.release(0);
        group.release(1);
        let settlers = [finishing(&group, 0), finishing(&group, 1)];
        let inbox = Arc::new(Inbox::new());
        group.watch_whole(&inbox);
        while inbox.take(None).is_none() {}
        assert_eq!(group.unsettled(), 0);
        for settler in settlers {
            settler.join().unwrap();
        }
    });
}

#[test]
fn a_wait_for_the_first_failure_hears_of_it() {
    explore(|| {
        let group = Group::<Spec>::parked(Spec(Lane::Thread), None, ids(), 0, [0, 1]);
        group.release(0);
        let settler = {
            let group = Arc::clone(&group);
            thread::spawn(move || {
                let attempt = group.begin(0, 1).unwrap().attempt;
                assert!(group.settle(0, attempt, Outcome::Failed, None, 2).is_ok());
            })
        };
        let inbox = Arc::new(Inbox::new());
        group.watch_whole(&inbox);
        while inbox.take(None).is_none() {}
        assert_eq!(group.first_failed(), Some(0));
        settler.join().unwrap();
    });
}
