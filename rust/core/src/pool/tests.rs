//! What can only be seen from inside: who sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{From, Host, Lane, Next, Pool, State};
use crate::group::{Group, Work};
use crate::growth::TICK;
use crate::ids::IdSource;

struct Plain;

impl Work for Plain {
    type Input = ();
    type Output = ();
    type Callback = ();
    type Note = ();

    fn lane(&self) -> Lane {
        Lane::Thread
    }
}

#[derive(Default)]
struct Counts {
    started: AtomicUsize,
    watched: AtomicUsize,
}

impl Host<Plain> for Arc<Counts> {
    fn start_worker(&self, _: &Arc<Pool<Plain>>) {
        self.started.fetch_add(1, Ordering::SeqCst);
    }

    fn wake_loop(&self, _: &Arc<Pool<Plain>>) {}

    fn watch(&self, _: &Arc<Pool<Plain>>) {
        self.watched.fetch_add(1, Ordering::SeqCst);
    }
}

/// A worker that waits for work and says what came of it.
#[allow(clippy::disallowed_methods)] // a thread, because somebody has to sleep
fn sleeper(pool: &Arc<Pool<Plain>>) -> std::thread::JoinHandle<Next> {
    pool.state.lock().starting += 1;
    pool.worker_started();
    let held = Arc::clone(pool);
    std::thread::spawn(move || held.wait_for_work(Duration::from_secs(3_600)))
}

/// Lets the other threads run until the state is as wanted.
fn until(pool: &Arc<Pool<Plain>>, wanted: impl Fn(&State<Plain>) -> bool) {
    for _ in 0..10_000_000 {
        if wanted(&pool.state.lock()) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the other threads have come to rest in another state");
}

fn push(pool: &Arc<Pool<Plain>>, count: usize) {
    let ids = IdSource::new(0).reserve(0, 0);
    Group::queued(Plain, Arc::clone(pool), ids, 0, vec![(); count]);
}

#[test]
fn a_tick_wakes_idle_workers_before_it_asks_for_new_ones() {
    let counts = Arc::new(Counts::default());
    let pool = Pool::new(8, 0, Box::new(Arc::clone(&counts)));
    let sleepers: Vec<_> = (0..2).map(|_| sleeper(&pool)).collect();
    until(&pool, |state| state.idle == 2);
    push(&pool, 4);
    until(&pool, |state| state.idle == 1);
    assert!(pool.take(Lane::Thread, From::Rest).is_some());
    assert_eq!(
        counts.watched.load(Ordering::SeqCst),
        1,
        "the woken worker saw more than it can do"
    );
    for tick in 1..40 {
        assert!(pool.tick(TICK * tick, Duration::ZERO));
    }
    until(&pool, |state| state.idle == 0);
    assert_eq!(counts.started.load(Ordering::SeqCst), 0);
    for tick in 40..90 {
        assert!(pool.tick(TICK * tick, Duration::ZERO));
    }
    assert_eq!(counts.started.load(Ordering::SeqCst), 0, "the second one has not come to take yet");
    assert!(pool.take(Lane::Thread, From::Rest).is_some());
    for tick in 90..160 {
        pool.tick(TICK * tick, Duration::ZERO);
    }
    assert!(counts.started.load(Ordering::SeqCst) > 0, "now nobody is idle");
    for sleeper in sleepers {
        assert!(matches!(sleeper.join(), Ok(Next::Look)));
    }
}

#[test]
fn a_worker_woken_for_a_single_run_does_not_have_the_pool_watched() {
    let counts = Arc::new(Counts::default());
    let pool = Pool::new(8, 0, Box::new(Arc::clone(&counts)));
    let sleeper = sleeper(&pool);
    until(&pool, |state| state.idle == 1);
    push(&pool, 1);
    assert!(matches!(sleeper.join(), Ok(Next::Look)));
    assert!(pool.take(Lane::Thread, From::Rest).is_some());
    assert_eq!(counts.watched.load(Ordering::SeqCst), 0);
}

#[test]
#[allow(clippy::disallowed_methods)] // a thread, because somebody has to sleep
fn a_thread_that_resumes_goes_before_new_work() {
    let pool = Pool::new(1, 0, Box::new(Arc::new(Counts::default())));
    push(&pool, 2);
    assert!(pool.take(Lane::Thread, From::Start).is_some());
    let held = Arc::clone(&pool);
    let resumer = std::thread::spawn(move || held.claim_slot(None));
    until(&pool, |state| state.resuming == 1);
    assert!(pool.take(Lane::Thread, From::Work).is_none(), "the slot is promised");
    assert!(!pool.try_slot() && pool.take(Lane::Thread, From::Start).is_none());
    assert!(matches!(resumer.join(), Ok(true)));
    assert_eq!(pool.active(), 1);
    assert!(pool.take(Lane::Thread, From::Work).is_some());
}
