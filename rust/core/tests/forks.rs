//! Work on packs and forks of the process keep out of each other's way.
//!
//! One test: what it looks at is one for the process.
#![cfg(not(loom))]
#![allow(clippy::disallowed_methods)] // threads: what works and forks are threads

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use oxtask_core::results::forks::{self, Work};

#[test]
fn a_fork_waits_for_work_and_work_for_a_fork() {
    static WORKING: AtomicUsize = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let work = Work::begin();
                    WORKING.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                    WORKING.fetch_sub(1, Ordering::SeqCst);
                    drop(work);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    forks::pause();
                    assert_eq!(WORKING.load(Ordering::SeqCst), 0);
                    forks::resume();
                    thread::yield_now();
                }
            });
        }
    });
    assert!(!forks::is_paused());

    // A child has one thread: nobody works and nobody else forks.
    let (begun, hear) = mpsc::channel();
    forks::pause();
    let waiting = thread::spawn(move || {
        let _work = Work::begin();
        begun.send(()).unwrap();
    });
    assert!(forks::is_paused() && hear.try_recv().is_err());
    forks::forked();
    hear.recv().unwrap();
    waiting.join().unwrap();
}
