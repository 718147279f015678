//! What oxtask does without Python: runs, their life, and the pool that schedules them.
//!
//! | module | what it owns |
//! |---|---|
//! | [`group`] | the runs of one submission: stages, settle-once, who waits for whom to end |
//! | [`flights`] | who makes what several want at once, and who waits for him |
//! | `queue` | what is ready, in two lanes |
//! | [`pool`] | worker slots, parking, draining and cancelling |
//! | [`growth`] | when a pool whose workers sleep gets another worker |
//! | [`timer`] | the heap of retry delays, deadlines and ticks |
//! | [`inbox`] | where a blocked thread hears of runs that ended |
//! | [`waits`] | the graph of runs that block on runs, and its cycles |
//! | [`retry`] | how long to wait before an attempt |
//! | [`hashing`] | cache keys: the canonical encoding of values and its digest |
//! | `results` | stored results: the record and the pack that holds many |
//! | [`ids`] | run ids derived from a group and an index |
//!
//! The crate is generic over what a run carries ([`group::Work`]): it never sees a Python object, never reads a
//! clock and never sleeps on one. Times are nanoseconds that the caller passes in.
//!
//! Lock order, where two are held at once: a pool's state, a run's cell, its group's side table. No lock is held
//! while a caller's code runs.
#![forbid(unsafe_code)]

pub mod flights;
pub mod group;
pub mod growth;
pub mod hashing;
pub mod ids;
pub mod inbox;
pub mod pool;
mod queue;
#[cfg(not(loom))]
pub mod results;
pub mod retry;
pub mod sync;
pub mod timer;
pub mod waits;
