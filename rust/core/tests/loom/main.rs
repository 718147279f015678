//! Models of the scheduler that loom explores: every order in which the threads can meet, not only the likely ones.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p oxtask-core --test loom` and a target directory of its own. The
//! number of preemptions is bounded at two unless `LOOM_MAX_PREEMPTIONS` says otherwise; within the bound every model
//! is explored to the end. Without `--release` a counter that goes below zero panics as well; it is fast enough.
//!
//! A wait with a timeout waits for ever here (see `sync.rs`), so a lost wake-up is a deadlock, which loom reports.
#![cfg(loom)]
#![allow(clippy::unwrap_used)] // a thread of a model that panicked fails the model

#[path = "../support/mod.rs"]
mod support;

mod dependents;
mod drain;
mod flights;
mod parking;
mod queue;
mod settle;
mod slots;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oxtask_core::pool::{From, Lane, Next};
use support::{Runs, TestPool, run_of};

const FOR_EVER: Duration = Duration::from_secs(3_600);

/// Explores every order of `model`, up to the bound on preemptions; `--nocapture` shows how many there were.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    let explored = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&explored);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("explored {} orders", explored.load(Ordering::Relaxed));
}

/// What a worker thread does from its first look at the queue until it is told to leave.
fn work(pool: &TestPool, body: impl Fn(&Runs, u32)) {
    let mut from = From::Start;
    loop {
        if let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
            body(&group, index);
            from = From::Work;
        } else {
            from = From::Rest;
            if pool.wait_for_work(FOR_EVER) == Next::Leave {
                return;
            }
        }
    }
}
