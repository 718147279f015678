//! Nobody works on a pack while the process forks: a child would inherit the locks of threads that it does not have,
//! those of SQLite included.
//!
//! Whoever works on packs says so with [`Work`], and waits as long as forks are [held off](pause). What is done while
//! holding a lock that the forking thread needs to get there (the interpreter's) asks [`is_paused`] instead. There is
//! no lock in here, which a child could inherit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static WORKING: AtomicUsize = AtomicUsize::new(0);
/// Threads that are about to fork.
static PAUSES: AtomicUsize = AtomicUsize::new(0);

const TURN: Duration = Duration::from_micros(50);

/// Somebody works on packs, until this is dropped.
pub struct Work(());

impl Work {
    /// Waits while the process is about to fork.
    pub fn begin() -> Self {
        loop {
            // Of this and the thread that pauses, at least one sees what the other has set.
            WORKING.fetch_add(1, Ordering::SeqCst);
            if !is_paused() {
                return Self(());
            }
            WORKING.fetch_sub(1, Ordering::SeqCst);
            turn();
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        WORKING.fetch_sub(1, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "what could be waited on would be a lock")]
fn turn() {
    std::thread::sleep(TURN);
}

/// Waits until nobody works on packs, and lets nobody begin until [`resume`]: before a fork.
pub fn pause() {
    PAUSES.fetch_add(1, Ordering::SeqCst);
    while WORKING.load(Ordering::SeqCst) > 0 {
        turn();
    }
}

/// After a fork, in the parent.
pub fn resume() {
    PAUSES.fetch_sub(1, Ordering::SeqCst);
}

/// After a fork, in the child: threads that were about to work or to fork are not there.
pub fn forked() {
    WORKING.store(0, Ordering::SeqCst);
    PAUSES.store(0, Ordering::SeqCst);
}

pub fn is_paused() -> bool {
    PAUSES.load(Ordering::SeqCst) > 0
}
