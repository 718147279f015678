//! Random submissions, results, retries, deadlines and cancellations, in any order, against a simple reference.
//!
//! One thread plays everybody: workers, an event loop, the timer thread and the user. After every move each run must
//! be where the [reference](reference) says, at the end every run has ended exactly once and nobody waits for a slot.
//! There is no clock: retries and deadlines are entries of a timer heap, and time goes on when a move says so.
//!
//! `PROPTEST_CASES` sets the number of cases, `PROPTEST_RNG_SEED` the seed, which is otherwise always the same.
#![cfg(not(loom))]

#[path = "../support/mod.rs"]
mod support;

mod actors;
mod events;
mod reference;
mod scenario;
mod world;

use proptest::test_runner::{Config, RngSeed, TestRunner};

use world::World;

const CASES: u32 = if cfg!(debug_assertions) { 500 } else { 10_000 };

fn config() -> Config {
    let mut config = Config { source_file: Some(file!()), ..Config::default() };
    #[allow(clippy::disallowed_methods)] // the knobs of a test
    let given = |name| std::env::var_os(name).is_some();
    if !given("PROPTEST_CASES") {
        config.cases = CASES;
    }
    if !given("PROPTEST_RNG_SEED") {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

#[test]
fn every_run_ends_once_in_its_turn_and_within_its_slots() {
    let mut runner = TestRunner::new(config());
    let outcome = runner.run(&scenario::scenarios(), |scenario| {
        let mut world = World::new(&scenario);
        for &number in &scenario.moves {
            world.act(number);
            world.check();
        }
        world.finish();
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}\n{runner}");
    }
}
