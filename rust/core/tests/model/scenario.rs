//! What is submitted, and the numbers that decide what happens to it.

use oxtask_core::pool::Lane;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Submitted at once; its runs may wait for earlier ones.
    Whole,
    /// Filled run by run.
    Stream,
}

#[derive(Clone, Debug)]
pub(crate) struct GroupPlan {
    pub(crate) kind: Kind,
    pub(crate) lane: Lane,
    /// The inputs of each run: numbers that are reduced to those of the runs before it.
    pub(crate) runs: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) slots: usize,
    pub(crate) groups: Vec<GroupPlan>,
    pub(crate) moves: Vec<u32>,
}

fn groups() -> impl Strategy<Value = GroupPlan> {
    let kind = prop_oneof![4 => Just(Kind::Whole), 1 => Just(Kind::Stream)];
    let lane = prop_oneof![3 => Just(Lane::Thread), 1 => Just(Lane::Loop)];
    let runs = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 1..6);
    (kind, lane, runs).prop_map(|(kind, lane, runs)| GroupPlan { kind, lane, runs })
}

pub(crate) fn scenarios() -> impl Strategy<Value = Scenario> {
    let slots = prop_oneof![4 => 1_usize..5, 1 => Just(usize::MAX)];
    let groups = prop::collection::vec(groups(), 1..8);
    let moves = prop_oneof![
        1 => prop::collection::vec(any::<u32>(), 0..40),
        4 => prop::collection::vec(any::<u32>(), 100..=200),
    ];
    (slots, groups, moves).prop_map(|(slots, groups, moves)| Scenario { slots, groups, moves })
}
