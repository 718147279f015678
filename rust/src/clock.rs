//! The only reader of clocks: the core takes times as parameters.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What to add to the monotonic clock to get Unix time, in nanoseconds.
fn offset() -> u64 {
    static OFFSET: OnceLock<u64> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        #[allow(clippy::disallowed_methods)] // the one place
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(wall.as_nanos()).unwrap_or(0).saturating_sub(monotonic())
    })
}

#[inline]
fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// A clock of the system in nanoseconds: what `Instant` reads, without its arithmetic of seconds and remainders.
#[inline]
#[allow(clippy::cast_sign_loss)] // both clocks start at zero
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write to; on failure it stays zero.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Unix time in nanoseconds that never goes back: the wall clock at start plus the monotonic clock since.
#[inline]
pub(crate) fn now() -> u64 {
    offset() + monotonic()
}

/// Unix time in nanoseconds as the system has it now, which is what expirations are compared with.
#[inline]
pub(crate) fn wall() -> u64 {
    read(libc::CLOCK_REALTIME)
}

pub(crate) fn since(earlier: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(earlier))
}

/// Processor time of the process.
pub(crate) fn process_cpu() -> Duration {
    Duration::from_nanos(read(libc::CLOCK_PROCESS_CPUTIME_ID))
}
