//! The two hash functions, and digests of blobs that are too large for one.
//!
//! A blob of more than [`LEAF`] bytes has for a digest that of the digests of its leaves. Where the leaves end depends
//! on the length alone, so whoever hashes them, and with how many threads, comes to the same digest.

use std::fmt::Debug;

use xxhash_rust::xxh3::xxh3_128;

use super::floats::{Elements, quiet};

/// How many bytes one leaf has: fits the first-level cache, so that a look for NaNs costs no second read.
pub const LEAF: usize = 16 * 1024;

/// From so many bytes on the wide instructions of the processor pay.
const LONG: usize = 1_024;

/// A hash function.
pub trait Hasher: Debug {
    type Digest: Copy + Ord + Default + Send + Debug;

    fn digest(bytes: &[u8]) -> Self::Digest;

    /// The highest bits of a digest, by which it is ordered first.
    fn high(digest: &Self::Digest) -> u8;

    /// Appends a digest to what is being encoded.
    fn put(digest: Self::Digest, out: &mut Vec<u8>);

    /// The digest as lower-case hexadecimal digits.
    fn hex(digest: Self::Digest) -> String;
}

/// XXH3 with 128 bits: as fast as memory. Not for inputs of people who would profit from a collision.
#[derive(Debug)]
pub struct Xxh3;

impl Hasher for Xxh3 {
    type Digest = u128;

    #[inline]
    fn digest(bytes: &[u8]) -> u128 {
        // The same function twice: the first is fast on short inputs, the second asks the processor what it can do.
        if bytes.len() < LONG { xxh3_128(bytes) } else { twox_hash::XxHash3_128::oneshot(bytes) }
    }

    #[inline]
    fn high(digest: &u128) -> u8 {
        digest.to_be_bytes()[0]
    }

    #[inline]
    fn put(digest: u128, out: &mut Vec<u8>) {
        out.extend_from_slice(&digest.to_le_bytes());
    }

    fn hex(digest: u128) -> String {
        // A table is five times as fast as `format!`, which was a tenth of the time of a small key.
        let mut digits = [0; 32];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(digest.to_be_bytes()) {
            *pair = [byte >> 4, byte & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        }
        // Digits are text, and this finds it out fast.
        String::from_utf8_lossy(&digits).into_owned()
    }
}

/// BLAKE3 with 256 bits: nobody can find a collision.
#[derive(Debug)]
pub struct Blake3;

impl Hasher for Blake3 {
    type Digest = [u8; 32];

    fn digest(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }

    fn high(digest: &[u8; 32]) -> u8 {
        digest[0]
    }

    fn put(digest: [u8; 32], out: &mut Vec<u8>) {
        out.extend_from_slice(&digest);
    }

    fn hex(digest: [u8; 32]) -> String {
        blake3::Hash::from_bytes(digest).to_hex().to_string()
    }
}

/// How many leaves a blob of `length` bytes has; one if it is empty.
pub fn leaf_count(length: usize) -> usize {
    length.div_ceil(LEAF).max(1)
}

/// The digest of leaf `index` of a blob.
pub fn leaf_digest<H: Hasher>(bytes: &[u8], index: usize, elements: Elements) -> H::Digest {
    let start = (index * LEAF).min(bytes.len());
    let leaf = &bytes[start..bytes.len().min(start + LEAF)];
    // Hashed first: that reads ahead in memory better than the look for NaNs, which then finds all in the cache.
    let digest = H::digest(leaf);
    quiet(leaf, elements).map_or(digest, |patched| H::digest(&patched))
}

/// The digest of a blob whose leaves have these digests.
pub fn of_leaves<H: Hasher>(leaves: &[H::Digest]) -> H::Digest {
    if let [only] = leaves {
        return *only;
    }
    let mut bytes = Vec::with_capacity(size_of_val(leaves));
    for leaf in leaves {
        H::put(*leaf, &mut bytes);
    }
    H::digest(&bytes)
}

/// The digest of a blob, by this thread alone.
pub fn blob<H: Hasher>(bytes: &[u8], elements: Elements) -> H::Digest {
    let leaves: Vec<_> =
        (0..leaf_count(bytes.len())).map(|i| leaf_digest::<H>(bytes, i, elements)).collect();
    of_leaves::<H>(&leaves)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_blob_of_one_leaf_has_the_digest_of_its_bytes() {
        let bytes = vec![7; LEAF];
        assert_eq!(blob::<Xxh3>(&bytes, Elements::Opaque), xxh3_128(&bytes));
        assert_eq!(blob::<Xxh3>(b"", Elements::Opaque), xxh3_128(b""));
        assert_eq!(leaf_count(0), 1);
        assert_eq!(leaf_count(LEAF), 1);
        assert_eq!(leaf_count(LEAF + 1), 2);
    }

    #[test]
    fn any_byte_of_a_large_blob_changes_its_digest() {
        let mut bytes = vec![0; 3 * LEAF + 5];
        let whole = blob::<Xxh3>(&bytes, Elements::Opaque);
        for place in [0, LEAF - 1, LEAF, 2 * LEAF + 17, 3 * LEAF + 4] {
            bytes[place] = 1;
            assert_ne!(blob::<Xxh3>(&bytes, Elements::Opaque), whole);
            bytes[place] = 0;
        }
        assert_eq!(blob::<Xxh3>(&bytes, Elements::Opaque), whole);
    }

    #[test]
    fn both_implementations_of_xxh3_agree() {
        let bytes: Vec<u8> = (0..=250).cycle().take(5_000).collect();
        for length in (LONG - 100..LONG + 2_000).step_by(7) {
            assert_eq!(Xxh3::digest(&bytes[..length]), xxh3_128(&bytes[..length]));
        }
    }

    #[test]
    fn the_hash_functions_are_the_known_ones() {
        assert_eq!(Xxh3::hex(Xxh3::digest(b"")), "99aa06d3014798d86001c324468d497f");
        assert_eq!(
            Blake3::hex(Blake3::digest(b"")),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }
}
