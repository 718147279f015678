//! The only reader of clocks: the core takes times as parameters.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

struct Epoch {
    instant: Instant,
    unix_ns: u64,
}

fn epoch() -> &'static Epoch {
    static EPOCH: OnceLock<Epoch> = OnceLock::new();
    EPOCH.get_or_init(|| {
        #[allow(clippy::disallowed_methods)] // the one place
        let (instant, wall) = (Instant::now(), SystemTime::now());
        let unix = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Epoch { instant, unix_ns: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX) }
    })
}

/// Unix time in nanoseconds that never goes back: the wall clock at start plus the monotonic clock since.
#[inline]
pub(crate) fn now() -> u64 {
    let epoch = epoch();
    #[allow(clippy::disallowed_methods)] // the one place
    let since = Instant::now().duration_since(epoch.instant);
    epoch.unix_ns + u64::try_from(since.as_nanos()).unwrap_or(0)
}

pub(crate) fn since(earlier: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(earlier))
}

/// Processor time of the process.
pub(crate) fn process_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write to; on failure it stays zero.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
