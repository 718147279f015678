//! Run ids: UUID version 7, derived from the submission, so that a mapped run's id costs nothing to store.
//!
//! Layout (RFC 9562, section 5.7): 48 bits of Unix milliseconds; 12 bits and the first 30 of the last 62 from
//! the process's random seed; the last 32 a serial number that the process hands out. Two runs of a process share
//! an id only if the serial wraps within a millisecond; two processes only if 42 random bits collide as well.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Hands out serial numbers, mixed with the process's random bits.
#[derive(Debug)]
pub struct IdSource {
    seed: u64,
    next: AtomicU64,
}

impl IdSource {
    pub fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(0) }
    }

    /// Reserves `count` ids created at `created_ns` (Unix time).
    pub fn reserve(&self, created_ns: u64, count: u32) -> IdBase {
        let serial = self.next.fetch_add(u64::from(count), Ordering::Relaxed);
        IdBase { millis: created_ns / 1_000_000, seed: self.seed, serial }
    }
}

/// Where the ids of a group start.
#[derive(Clone, Copy, Debug)]
pub struct IdBase {
    millis: u64,
    seed: u64,
    serial: u64,
}

impl IdBase {
    /// The id of run `index` as the 128 bits of a UUID.
    pub fn id(self, index: u32) -> u128 {
        let serial = self.serial.wrapping_add(u64::from(index)) & 0xffff_ffff;
        let millis = u128::from(self.millis & 0xffff_ffff_ffff);
        let random_a = u128::from(self.seed & 0xfff);
        let random_b = u128::from((self.seed >> 12) & 0x3fff_ffff);
        millis << 80 | 7 << 76 | random_a << 64 | 2 << 62 | random_b << 32 | u128::from(serial)
    }
}

/// An id as the text of a UUID.
pub fn text(id: u128) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in id.to_be_bytes().into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// The bits of an id in an order that tells runs apart by the first of them, as names of runs do.
pub fn mixed(id: u128) -> u128 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// Spreads the bits of an id over 64 bits (the finaliser of `SplitMix64`, Steele et al., 2014).
pub fn scatter(id: u128) -> u64 {
    #[allow(clippy::cast_possible_truncation)] // both halves are folded in
    let mut z = (id as u64) ^ ((id >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_version_7_and_distinct_within_and_across_groups() {
        let source = IdSource::new(0x1234_5678_9abc_def0);
        let mut seen = HashSet::new();
        for _ in 0..10 {
            let base = source.reserve(1_700_000_000_123_456_789, 1_000);
            for index in 0..1_000 {
                let id = base.id(index);
                assert_eq!((id >> 76) & 0xf, 7);
                assert_eq!((id >> 62) & 0x3, 2);
                assert_eq!(id >> 80, 1_700_000_000_123);
                assert!(seen.insert(id));
            }
        }
    }

    #[test]
    fn the_text_of_an_id_is_that_of_a_uuid() {
        let id = 0x0123_4567_89ab_7def_8123_4567_89ab_cdef;
        assert_eq!(text(id), "01234567-89ab-7def-8123-456789abcdef");
    }

    #[test]
    fn scattering_separates_neighbours() {
        let base = IdSource::new(1).reserve(0, 0);
        let top: HashSet<u64> = (0..4_096).map(|i| scatter(base.id(i)) >> 52).collect();
        assert!(top.len() > 2_000, "only {} of 4,096 prefixes are used", top.len());
    }
}
