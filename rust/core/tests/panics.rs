//! A panic in what surrounds a pool stays there: no lock is held, nobody else pays for it, and the pool asks again.
#![cfg(not(loom))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oxtask_core::group::{Group, Outcome, Phase, Watcher, Work};
use oxtask_core::growth::TICK;
use oxtask_core::inbox::Inbox;
use oxtask_core::pool::{From, Host, Lane, Pool};
use support::{TestPool, finish, ids, inline, parked, queued, run_of};

/// Panics the first `fuse` times that it is asked for anything.
struct Fragile {
    fuse: AtomicUsize,
    answered: Arc<AtomicUsize>,
}

impl Fragile {
    fn burn(&self) {
        let left = self.fuse.load(Ordering::SeqCst);
        if left > 0 {
            self.fuse.store(left - 1, Ordering::SeqCst);
            panic!("injected: {left} to go");
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}

impl<W: Work> Host<W> for Fragile {
    fn start_worker(&self, _: &Arc<Pool<W>>) {
        self.burn();
    }

    fn wake_loop(&self, _: &Arc<Pool<W>>) {
        self.burn();
    }

    fn watch(&self, _: &Arc<Pool<W>>) {
        self.burn();
    }
}

fn fragile(fuse: usize) -> (TestPool, Arc<AtomicUsize>) {
    let answered = Arc::new(AtomicUsize::new(0));
    let host = Fragile { fuse: AtomicUsize::new(fuse), answered: Arc::clone(&answered) };
    (Pool::new(4, 0, Box::new(host)), answered)
}

fn serve(pool: &TestPool, lane: Lane, count: u32) {
    for input in 0..count {
        let group = queued(pool, lane, [input]);
        let (taken, index) = run_of(pool.take(lane, From::Start)).expect("it was pushed");
        assert!(Arc::ptr_eq(&taken, &group) && finish(&taken, index));
        assert!(pool.take(lane, From::Work).is_none());
    }
}

#[test]
fn a_watch_that_panics_is_asked_for_again_at_the_next_push() {
    for fuse in 1..4 {
        let (pool, answered) = fragile(fuse);
        for pushed in 1..=fuse + 3 {
            queued(&pool, Lane::Thread, [0]);
            let watched = usize::from(pushed > fuse);
            assert_eq!(answered.load(Ordering::SeqCst), watched, "push {pushed}, fuse {fuse}");
        }
        while run_of(pool.take(Lane::Thread, From::Start))
            .is_some_and(|(group, index)| finish(&group, index))
        {
            pool.release_slot();
        }
        serve(&pool, Lane::Thread, 1_000);
        assert_eq!(pool.active(), 0);
    }
}

#[test]
fn a_loop_whose_wake_up_panics_is_woken_by_the_next_push() {
    for fuse in 1..4 {
        let (pool, answered) = fragile(fuse);
        for pushed in 1..=fuse + 1 {
            queued(&pool, Lane::Loop, [0]);
            assert_eq!(answered.load(Ordering::SeqCst), usize::from(pushed > fuse));
        }
        let mut from = From::Start;
        while let Some((group, index)) = run_of(pool.take(Lane::Loop, from)) {
            assert!(finish(&group, index));
            from = From::Work;
        }
        serve(&pool, Lane::Loop, 1_000);
    }
}

#[test]
fn a_worker_whose_start_panics_is_asked_for_again() {
    let (pool, answered) = fragile(3);
    queued(&pool, Lane::Thread, 0..10);
    queued(&pool, Lane::Thread, 0..10);
    assert_eq!(answered.load(Ordering::SeqCst), 0, "both asked to be watched");
    pool.ensure_worker();
    assert_eq!(answered.load(Ordering::SeqCst), 0);
    pool.ensure_worker();
    assert_eq!(answered.load(Ordering::SeqCst), 1);
    pool.worker_started();
    assert_eq!(pool.workers(), 1);
}

#[test]
fn a_tick_whose_start_panics_asks_again_at_a_later_one() {
    let (pool, answered) = fragile(2);
    queued(&pool, Lane::Thread, 0..10);
    assert!(pool.tick(TICK, Duration::ZERO));
    assert_eq!(answered.load(Ordering::SeqCst), 0);
    assert!(pool.tick(TICK * 2, Duration::ZERO));
    assert_eq!(answered.load(Ordering::SeqCst), 1);
    pool.worker_started();
    serve_rest(&pool);
}

fn serve_rest(pool: &TestPool) {
    let mut from = From::Start;
    while let Some((group, index)) = run_of(pool.take(Lane::Thread, from)) {
        assert!(finish(&group, index));
        from = From::Work;
    }
    assert!(!pool.watch_drained(&Arc::new(Inbox::new())));
}

#[test]
fn a_run_settles_and_tells_everybody_although_the_host_panics() {
    let (pool, _) = fragile(usize::MAX);
    let upstream = inline(&pool);
    let dependent = parked(&pool, Lane::Thread, [0]);
    let async_dependent = parked(&pool, Lane::Loop, [0]);
    let inbox = Arc::new(Inbox::new());
    for group in [&dependent, &async_dependent] {
        assert!(upstream.watch(0, Watcher::Dependent(Arc::clone(group), 0)).is_ok());
    }
    assert!(upstream.watch(0, Watcher::Inbox(Arc::clone(&inbox), 1)).is_ok());
    assert!(upstream.watch(0, Watcher::Callback(2)).is_ok());
    let attempt = upstream.begin(0, 1).expect("it is ready").attempt;
    let settled = upstream.settle(0, attempt, Outcome::Completed, None, 2);
    assert!(matches!(settled, Ok(settled) if settled.callbacks == [2]));
    assert_eq!(inbox.try_take(), Some(1));
    assert_eq!((dependent.phase(0), async_dependent.phase(0)), (Phase::Ready, Phase::Ready));
    assert_eq!(upstream.unsettled(), 0);
}

/// Work whose lane cannot be told: the caller's own panic reaches the caller, and only the caller.
struct Faulty;

impl Work for Faulty {
    type Input = u32;
    type Output = u32;
    type Callback = u32;
    type Note = u32;

    fn lane(&self) -> Lane {
        panic!("injected")
    }
}

#[test]
fn a_panic_of_the_caller_leaves_no_lock_behind() {
    let answered = Arc::new(AtomicUsize::new(0));
    let host = Fragile { fuse: AtomicUsize::new(0), answered };
    let pool: Arc<Pool<Faulty>> = Pool::new(1, 0, Box::new(host));
    let group = Group::parked(Faulty, Some(Arc::clone(&pool)), ids(), 0, [0]);
    let released = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| group.release(0)));
    assert!(released.is_err());
    let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        group.peek_input(0, |_| panic!("injected"));
    }));
    assert!(looked.is_err());
    assert_eq!((group.phase(0), pool.active()), (Phase::Ready, 0));
    assert!(finish_faulty(&group));
}

fn finish_faulty(group: &Arc<Group<Faulty>>) -> bool {
    let begun = group.begin(0, 1).expect("it is ready");
    group.settle(0, begun.attempt, Outcome::Completed, None, 2).is_ok()
}
