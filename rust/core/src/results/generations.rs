//! How a process sees that another has written what it holds in memory: two counters for each of many slots.
//!
//! A record belongs to a slot by its id. A writer counts up `begun` before its transaction and `ended` after it.
//! Something read from the disk may be kept in memory only if the two were equal before it was read; it may be used
//! from there only while both are still that number. A writer that dies between the two leaves them unequal: its slot
//! is read from the disk from then on, until somebody opens the folder alone and [resets](Generations::reset) them.
//!
//! The counters of all processes must be the same memory; how they come to share it is the host's business.

use super::error::PackError;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// How many slots there are; of what another process writes, one in so many is read again for nothing.
pub const SLOTS: usize = 1 << 16;
/// The bytes of all counters.
pub const BYTES: usize = SLOTS * 8;

/// The counters of all slots: `begun` and `ended` of the first, of the second, and so on.
pub trait Counters: Send + Sync {
    fn all(&self) -> &[AtomicU32];
}

/// Finds the counters of a folder, in a file of [`BYTES`] bytes.
pub type Share = dyn Fn(&Path) -> Result<Box<dyn Counters>, PackError> + Send + Sync;

impl Counters for Vec<AtomicU32> {
    fn all(&self) -> &[AtomicU32] {
        self
    }
}

/// Counters that no other process shares.
pub fn private() -> Box<dyn Counters> {
    Box::new((0..SLOTS * 2).map(|_| AtomicU32::new(0)).collect::<Vec<_>>())
}

pub(crate) struct Generations(Box<dyn Counters>);

/// A write that has begun.
#[must_use]
pub(crate) struct Write<'a> {
    counters: &'a [AtomicU32],
    number: u32,
}

impl Generations {
    pub(crate) fn new(counters: Box<dyn Counters>) -> Self {
        Self(counters)
    }

    fn slot(&self, id: i64) -> &[AtomicU32] {
        let slot = (id.cast_unsigned() % SLOTS as u64) * 2;
        let slot = usize::try_from(slot).unwrap_or(0);
        self.0.all().get(slot..slot + 2).unwrap_or(&[])
    }

    /// A number that stands for the present content, unless somebody is writing it.
    #[inline]
    pub(crate) fn settled(&self, id: i64) -> Option<u32> {
        let [begun, ended] = self.slot(id) else { return None };
        // `ended` first: if `begun`, read later, is no greater, nobody was writing in between.
        let done = ended.load(Ordering::Acquire);
        (begun.load(Ordering::SeqCst) == done).then_some(done)
    }

    pub(crate) fn begin(&self, id: i64) -> Write<'_> {
        let counters = self.slot(id);
        let number = counters.first().map_or(0, |begun| begun.fetch_add(1, Ordering::SeqCst));
        fence(Ordering::SeqCst);
        Write { counters, number: number.wrapping_add(1) }
    }

    /// Forgets writers that died. Only who has the folder alone may do that.
    pub(crate) fn reset(&self) {
        for slot in self.0.all().chunks_exact(2) {
            slot[1].store(slot[0].load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }
}

impl Write<'_> {
    /// The number that stands for what was written, unless somebody else wrote meanwhile.
    pub(crate) fn end(mut self) -> Option<u32> {
        self.ended()
    }

    fn ended(&mut self) -> Option<u32> {
        let [begun, ended] = std::mem::take(&mut self.counters) else { return None };
        let done = ended.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        (done == self.number && begun.load(Ordering::SeqCst) == done).then_some(done)
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.ended();
    }
}
