//! Digests in order.
//!
//! Digests are spread evenly over all there can be, so the place of one is nearly known from its highest bits: they are
//! dealt out by those, and what shares them is sorted. That is several times as fast as comparing them.

use super::digest::Hasher;

/// Fewer are sorted as fast by comparing them.
const WORTH: usize = 48;
/// So many are dealt out at a time: more than a few for each place are sorted as fast by comparing them.
const MOST: usize = 2_048;
const PLACES: usize = 256;
/// More for one place than chance would have are sorted by comparing them: they may have been made to be so many.
const CROWD: u16 = 40;

/// How many digests there must be room for, so that `count` are sorted without more memory.
pub(super) fn room_for(count: usize) -> usize {
    if count <= MOST { 2 * count } else { count }
}

/// Sorts the digests from `base` on.
pub(super) fn sort<H: Hasher>(digests: &mut Vec<H::Digest>, base: usize) {
    let count = digests.len() - base;
    if !(WORTH..=MOST).contains(&count) {
        digests[base..].sort_unstable();
        return;
    }
    digests.extend_from_within(base..);
    let (sorted, given) = digests[base..].split_at_mut(count);
    // Where the digests of a place end; while they are dealt out, where they begin.
    let mut places = [0_u16; PLACES];
    for digest in &*given {
        places[usize::from(H::high(digest))] += 1;
    }
    let (mut end, mut most) = (0, 0);
    for place in &mut places {
        most = most.max(*place);
        end += *place;
        *place = end;
    }
    for digest in &*given {
        let place = &mut places[usize::from(H::high(digest))];
        *place -= 1;
        sorted[usize::from(*place)] = *digest;
    }
    if most > CROWD {
        sorted.sort_unstable();
    }
    // What is left to do is little: those that share a place are moved past each other.
    let mut highest = sorted[0];
    for index in 1..count {
        let digest = sorted[index];
        if digest >= highest {
            highest = digest;
            continue;
        }
        let mut place = index;
        while place > 0 && sorted[place - 1] > digest {
            sorted[place] = sorted[place - 1];
            place -= 1;
        }
        sorted[place] = digest;
    }
    digests.truncate(base + count);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::digest::{Blake3, Xxh3};
    use super::*;

    fn is_sorted_like_by_comparison<H: Hasher>(digests: &[H::Digest]) {
        for base in [0, 3] {
            let mut sorted = digests.to_vec();
            sort::<H>(&mut sorted, base);
            let mut expected = digests.to_vec();
            expected[base..].sort_unstable();
            assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn digests_are_sorted_however_many_there_are() {
        for count in [3, 4, WORTH + 2, WORTH + 3, 200, 1_000, MOST + 3, MOST + 4, 10_000] {
            let bytes = |number: usize| number.to_le_bytes();
            let digests: Vec<_> = (0..count).map(|n| Xxh3::digest(&bytes(n))).collect();
            is_sorted_like_by_comparison::<Xxh3>(&digests);
            let digests: Vec<_> = (0..count).map(|n| Blake3::digest(&bytes(n))).collect();
            is_sorted_like_by_comparison::<Blake3>(&digests);
        }
    }

    #[test]
    fn digests_that_begin_alike_are_sorted_too() {
        let digests: Vec<_> = (0..500_u128).map(|n| n * 7919 % 101).collect();
        is_sorted_like_by_comparison::<Xxh3>(&digests);
    }
}
