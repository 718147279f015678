//! Single flight: of those who want the same at once, one makes it and the others wait for him.
//!
//! A flight is there from [`begin`](Flights::begin) to [`end`](Flights::end), whether what it makes was made or not:
//! who waited looks for it, and begins a flight of his own if it is not there. Whoever waits hears exactly once of the
//! end of the flight that he [watches](Flights::watch), unless he has stopped to.
//!
//! One lock, held for a few instructions; what is removed under it is handed out, to be dropped outside of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::inbox::Inbox;
use crate::sync::Mutex;

/// One who waits: who he is, with all that cannot go on until he does, and where he hears of the end.
pub type Watcher<W> = (Vec<W>, Arc<Inbox>);

#[derive(Debug)]
struct Flight<W> {
    leader: W,
    watchers: Vec<Watcher<W>>,
}

/// The flights that are under way, by what they make.
#[derive(Debug)]
pub struct Flights<W> {
    table: Mutex<HashMap<String, Flight<W>>>,
}

impl<W> Default for Flights<W> {
    fn default() -> Self {
        Self { table: Mutex::new(HashMap::new()) }
    }
}

impl<W: Clone + PartialEq> Flights<W> {
    /// Begins a flight; if there is one, returns who leads it.
    pub fn begin(&self, key: &str, leader: W) -> Result<(), W> {
        match self.table.lock().entry(key.to_owned()) {
            Entry::Occupied(flight) => Err(flight.get().leader.clone()),
            Entry::Vacant(place) => {
                place.insert(Flight { leader, watchers: Vec::new() });
                Ok(())
            }
        }
    }

    /// Ends a flight and wakes all who wait for that.
    ///
    /// Who led and who waited are returned, to be dropped.
    pub fn end(&self, key: &str) -> Option<(W, Vec<Watcher<W>>)> {
        let flight = self.table.lock().remove(key)?;
        for (_, inbox) in &flight.watchers {
            inbox.deliver(0);
        }
        Some((flight.leader, flight.watchers))
    }

    /// Has the end of a flight told to `inbox`; gives the watcher back if there is no such flight any more.
    pub fn watch(&self, key: &str, watcher: Watcher<W>) -> Result<(), Watcher<W>> {
        match self.table.lock().get_mut(key) {
            Some(flight) => {
                flight.watchers.push(watcher);
                Ok(())
            }
            None => Err(watcher),
        }
    }

    /// Stops to watch; the watcher is returned, to be dropped, unless it was told of the end.
    pub fn unwatch(&self, key: &str, inbox: &Arc<Inbox>) -> Option<Watcher<W>> {
        let mut table = self.table.lock();
        let watchers = &mut table.get_mut(key)?.watchers;
        let place = watchers.iter().position(|(_, other)| Arc::ptr_eq(other, inbox))?;
        Some(watchers.swap_remove(place))
    }

    /// Who leads a flight.
    pub fn leader(&self, key: &str) -> Option<W> {
        self.table.lock().get(key).map(|flight| flight.leader.clone())
    }

    /// The leaders of the flights that hold up `who`.
    pub fn ahead_of(&self, who: &W) -> Vec<W> {
        let table = self.table.lock();
        let held_up =
            |flight: &&Flight<W>| flight.watchers.iter().any(|(held, _)| held.contains(who));
        table.values().filter(held_up).map(|flight| flight.leader.clone()).collect()
    }

    /// What those lead whom `is_one` names.
    pub fn led_by(&self, is_one: impl Fn(&W) -> bool) -> Vec<String> {
        let table = self.table.lock();
        let led = table.iter().filter(|(_, flight)| is_one(&flight.leader));
        led.map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_one_leads_at_a_time() {
        let flights = Flights::default();
        assert_eq!(flights.begin("a", 1), Ok(()));
        assert_eq!(flights.begin("a", 2), Err(1));
        assert_eq!(flights.begin("b", 2), Ok(()));
        assert_eq!(flights.leader("a"), Some(1));
        assert!(flights.end("a").is_some());
        assert_eq!(flights.leader("a"), None);
        assert_eq!(flights.begin("a", 2), Ok(()));
        assert!(flights.end("c").is_none());
    }

    #[test]
    fn all_who_wait_hear_of_the_end_once() {
        let flights = Flights::default();
        flights.begin("a", 1).unwrap();
        let inboxes: Vec<_> = (0..3).map(|_| Arc::new(Inbox::new())).collect();
        for (who, inbox) in (2..).zip(&inboxes) {
            flights.watch("a", (vec![who], Arc::clone(inbox))).unwrap();
        }
        assert!(flights.unwatch("a", &inboxes[1]).is_some());
        assert_eq!(flights.end("a").unwrap().1.len(), 2);
        let heard: Vec<_> = inboxes.iter().map(|inbox| inbox.try_take()).collect();
        assert_eq!(heard, [Some(0), None, Some(0)]);
        assert!(inboxes.iter().all(|inbox| inbox.is_empty()));
        assert!(flights.unwatch("a", &inboxes[0]).is_none());
    }

    #[test]
    fn nobody_watches_a_flight_that_has_ended() {
        let flights = Flights::default();
        let inbox = Arc::new(Inbox::new());
        assert!(flights.watch("a", (vec![1], inbox)).is_err());
    }

    #[test]
    fn it_is_known_who_holds_up_whom() {
        let flights = Flights::default();
        flights.begin("a", 1).unwrap();
        flights.begin("b", 1).unwrap();
        // 3 was called by 2, who cannot go on without him.
        flights.watch("a", (vec![3, 2], Arc::new(Inbox::new()))).unwrap();
        assert_eq!(flights.ahead_of(&2), [1]);
        assert_eq!(flights.ahead_of(&3), [1]);
        assert_eq!(flights.ahead_of(&1), []);
        let mut led = flights.led_by(|&who| who == 1);
        led.sort();
        assert_eq!(led, ["a", "b"]);
    }
}
