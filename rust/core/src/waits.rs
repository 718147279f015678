//! The graph of runs that block on runs, and its cycles.
//!
//! An edge says: this run cannot go on until that run has ended. Edges of running runs are entered when the run
//! blocks and removed when it wakes; edges of parked runs (their inputs) are looked up, not stored, so a
//! submission that nobody blocks on costs nothing here.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

#[derive(Debug)]
pub struct WaitGraph<K> {
    blocked: HashMap<K, Vec<(u64, Vec<K>)>>,
    entered: u64,
}

impl<K> Default for WaitGraph<K> {
    fn default() -> Self {
        Self { blocked: HashMap::new(), entered: 0 }
    }
}

impl<K: Hash + Eq + Clone> WaitGraph<K> {
    /// Notes that `waiter` blocks on all of `targets`, and returns the ticket for [`leave`](Self::leave).
    ///
    /// Enter first, then look for a [`cycle`]: of two runs that block on each other at once, at least one sees
    /// both edges.
    pub fn enter(&mut self, waiter: &K, targets: Vec<K>) -> u64 {
        self.entered += 1;
        self.blocked.entry(waiter.clone()).or_default().push((self.entered, targets));
        self.entered
    }

    /// Removes an edge; what it held is returned, to be dropped outside of a lock.
    pub fn leave(&mut self, waiter: &K, ticket: u64) -> Vec<K> {
        let Some(waits) = self.blocked.get_mut(waiter) else {
            return Vec::new();
        };
        let place = waits.iter().position(|(number, _)| *number == ticket);
        let gone = place.map(|place| waits.swap_remove(place).1);
        if waits.is_empty() {
            self.blocked.remove(waiter);
        }
        gone.unwrap_or_default()
    }

    /// What a run blocks on.
    pub fn targets(&self, run: &K) -> Vec<K> {
        self.blocked.get(run).into_iter().flatten().flat_map(|(_, on)| on).cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty()
    }
}

/// The way from `waiter` through `targets` back to `waiter`, if there is one.
///
/// `next` names what a run waits for: the targets of a blocked run, the inputs of a parked one.
pub fn cycle<K: Hash + Eq + Clone>(
    waiter: &K,
    targets: &[K],
    mut next: impl FnMut(&K) -> Vec<K>,
) -> Option<Vec<K>> {
    // Depth first with the path on an explicit stack: chains may be a million runs long.
    let mut seen = HashSet::new();
    let mut path = vec![waiter.clone()];
    let mut pending = vec![targets.to_vec()];
    while let Some(level) = pending.last_mut() {
        let Some(run) = level.pop() else {
            pending.pop();
            path.pop();
            continue;
        };
        if run == *waiter {
            return Some(path);
        }
        if !seen.insert(run.clone()) {
            continue;
        }
        let further = next(&run);
        path.push(run);
        pending.push(further);
    }
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Enters an edge and looks for a cycle, as the binding does.
    fn block(
        graph: &mut WaitGraph<u32>,
        waiter: u32,
        targets: &[u32],
        inputs: impl Fn(u32) -> Vec<u32>,
    ) -> Option<Vec<u32>> {
        let ticket = graph.enter(&waiter, targets.to_vec());
        let found = cycle(&waiter, targets, |&run| {
            let mut next = graph.targets(&run);
            next.extend(inputs(run));
            next
        });
        if found.is_some() {
            graph.leave(&waiter, ticket);
        }
        found
    }

    fn none(_: u32) -> Vec<u32> {
        Vec::new()
    }

    #[test]
    fn a_run_that_waits_for_itself_is_a_cycle_of_one() {
        let mut graph = WaitGraph::default();
        assert_eq!(block(&mut graph, 1, &[1], none), Some(vec![1]));
        assert!(graph.is_empty());
    }

    #[test]
    fn the_cycle_is_named_in_order() {
        let mut graph = WaitGraph::default();
        assert_eq!(block(&mut graph, 1, &[2], none), None);
        assert_eq!(block(&mut graph, 2, &[3], none), None);
        assert_eq!(block(&mut graph, 3, &[9, 1], none), Some(vec![3, 1, 2]));
    }

    #[test]
    fn inputs_of_parked_runs_count() {
        let mut graph = WaitGraph::default();
        assert_eq!(block(&mut graph, 1, &[2], none), None);
        let inputs = |run| if run == 5 { vec![1] } else { Vec::new() };
        assert_eq!(block(&mut graph, 2, &[5], inputs), Some(vec![2, 5, 1]));
    }

    #[test]
    fn a_run_that_left_is_no_longer_in_the_way() {
        let mut graph = WaitGraph::default();
        let ticket = graph.enter(&1, vec![2]);
        assert_eq!(graph.leave(&1, ticket), [2]);
        assert!(graph.is_empty());
        assert_eq!(block(&mut graph, 2, &[1], none), None);
    }

    #[test]
    fn a_chain_of_a_million_runs_does_not_overflow_the_stack() {
        let inputs = |run: &u32| if *run < 1_000_000 { vec![run + 1] } else { Vec::new() };
        assert_eq!(cycle(&0, &[1], inputs), None);
    }

    proptest! {
        #[test]
        fn an_edge_is_refused_exactly_when_it_closes_a_cycle(
            edges in prop::collection::vec((0_u32..12, 0_u32..12), 0..60)
        ) {
            let mut graph = WaitGraph::default();
            let mut reach = [[false; 12]; 12];
            for (from, to) in edges {
                let closes = from == to || reach[to as usize][from as usize];
                prop_assert_eq!(block(&mut graph, from, &[to], none).is_some(), closes);
                if closes {
                    continue;
                }
                for a in 0..12 {
                    for b in 0..12 {
                        let to_from = a == from as usize || reach[a][from as usize];
                        let from_to = b == to as usize || reach[to as usize][b];
                        reach[a][b] |= to_from && from_to;
                    }
                }
            }
        }
    }
}
