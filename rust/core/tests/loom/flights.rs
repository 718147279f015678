//! Of those who want the same at once one makes it, and nobody waits for one who has ended.

use std::sync::Arc;

use loom::thread;
use oxtask_core::flights::Flights;
use oxtask_core::inbox::Inbox;
use oxtask_core::sync::Mutex;

use crate::explore;

/// Ends the flight, however its leader ends.
struct Lead<'a>(&'a Flights<u32>);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.end("key");
    }
}

/// The value, and how often it was made.
type Store = Mutex<(Option<u32>, u32)>;

/// What a run with a key does: looks, leads or waits, and looks again.
fn run(flights: &Flights<u32>, store: &Store, who: u32, mut fails: bool) {
    loop {
        if store.lock().0.is_some() {
            return;
        }
        if flights.begin("key", who).is_ok() {
            let _lead = Lead(flights);
            let mut store = store.lock();
            if store.0.is_some() {
                return;
            }
            if fails {
                // A run that fails is not made again by who failed.
                return;
            }
            *store = (Some(who), store.1 + 1);
            return;
        }
        fails = false;
        let inbox = Arc::new(Inbox::new());
        if flights.watch("key", (vec![who], Arc::clone(&inbox))).is_ok() {
            assert_eq!(inbox.take(None), Some(0));
        }
    }
}

fn two(fails: bool) -> u32 {
    let flights = Arc::new(Flights::default());
    let store = Arc::new(Store::new((None, 0)));
    let other = {
        let (flights, store) = (Arc::clone(&flights), Arc::clone(&store));
        thread::spawn(move || run(&flights, &store, 1, fails))
    };
    run(&flights, &store, 2, false);
    other.join().unwrap();
    assert_eq!(flights.leader("key"), None);
    store.lock().1
}

#[test]
fn two_who_want_the_same_make_it_once() {
    explore(|| assert_eq!(two(false), 1));
}

#[test]
fn who_waits_for_one_that_fails_makes_it_himself() {
    explore(|| assert_eq!(two(true), 1));
}

#[test]
fn three_who_want_the_same_make_it_once() {
    explore(|| {
        let flights = Arc::new(Flights::default());
        let store = Arc::new(Store::new((None, 0)));
        let others = [1, 2].map(|who| {
            let (flights, store) = (Arc::clone(&flights), Arc::clone(&store));
            thread::spawn(move || run(&flights, &store, who, false))
        });
        run(&flights, &store, 3, false);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(store.lock().1, 1);
    });
}

#[test]
fn who_stops_to_wait_is_told_or_not_and_nothing_is_left() {
    explore(|| {
        let flights = Arc::new(Flights::default());
        flights.begin("key", 1).unwrap();
        let leader = {
            let flights = Arc::clone(&flights);
            thread::spawn(move || drop(Lead(&flights)))
        };
        let inbox = Arc::new(Inbox::new());
        if flights.watch("key", (vec![2], Arc::clone(&inbox))).is_ok()
            && flights.unwatch("key", &inbox).is_none()
        {
            assert_eq!(inbox.take(None), Some(0));
        }
        leader.join().unwrap();
        assert!(inbox.is_empty());
        assert_eq!(flights.begin("key", 2), Ok(()));
    });
}
