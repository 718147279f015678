//! The heap of everything that happens at a time: retry delays, deadlines, ticks.
//!
//! One heap serves the process. It knows no clock: the thread that owns it asks how long to sleep and passes in
//! the time when it wakes. Entries due at the same time leave in the order in which they were added.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    order: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    // Reversed: `BinaryHeap` keeps the greatest on top, and the earliest is wanted there.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Entries by due time, in nanoseconds of the caller's clock.
#[derive(Debug)]
pub struct TimerHeap<T> {
    entries: BinaryHeap<Entry<T>>,
    added: u64,
}

impl<T> Default for TimerHeap<T> {
    fn default() -> Self {
        Self { entries: BinaryHeap::new(), added: 0 }
    }
}

impl<T> TimerHeap<T> {
    /// Adds an entry; true if it is now the earliest, so that the owner must look again.
    pub fn add(&mut self, at: u64, what: T) -> bool {
        let earliest = self.next_at().is_none_or(|next| at < next);
        self.entries.push(Entry { at, order: self.added, what });
        self.added += 1;
        earliest
    }

    pub fn next_at(&self) -> Option<u64> {
        self.entries.peek().map(|entry| entry.at)
    }

    /// Removes the earliest entry if it is due at `now`.
    pub fn pop_due(&mut self, now: u64) -> Option<T> {
        if self.next_at()? > now {
            return None;
        }
        self.entries.pop().map(|entry| entry.what)
    }

    /// Removes every entry that `wanted` picks, due or not.
    pub fn extract(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let (out, keep): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| wanted(&entry.what));
        self.entries = keep.into();
        out.into_iter().map(|entry| entry.what).collect()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_leave_by_time_then_by_arrival(times in prop::collection::vec(0_u64..50, 0..200)) {
            let mut heap = TimerHeap::default();
            for (index, &at) in times.iter().enumerate() {
                heap.add(at, index);
            }
            let mut expected: Vec<_> = times.iter().copied().zip(0..).collect();
            expected.sort_unstable();
            let mut left = Vec::new();
            for now in 0..50 {
                while let Some(index) = heap.pop_due(now) {
                    prop_assert_eq!(times[index], now);
                    left.push((now, index));
                }
            }
            prop_assert_eq!(left, expected);
        }
    }

    #[test]
    fn only_a_new_earliest_entry_asks_for_another_look() {
        let mut heap = TimerHeap::default();
        assert!(heap.add(10, 'a'));
        assert!(!heap.add(10, 'b'));
        assert!(heap.add(5, 'c'));
        assert_eq!(heap.pop_due(4), None);
        assert_eq!(heap.pop_due(5), Some('c'));
    }

    #[test]
    fn extracted_entries_are_gone_and_the_rest_keeps_its_order() {
        let mut heap = TimerHeap::default();
        for index in 0..10 {
            heap.add(index / 2, index);
        }
        let mut odd = heap.extract(|index| index % 2 == 1);
        odd.sort_unstable();
        assert_eq!(odd, [1, 3, 5, 7, 9]);
        let rest: Vec<_> = std::iter::from_fn(|| heap.pop_due(100)).collect();
        assert_eq!(rest, [0, 2, 4, 6, 8]);
    }
}
