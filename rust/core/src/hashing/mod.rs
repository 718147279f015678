//! Cache keys: a canonical encoding of values, and its digest.
//!
//! | module | what it owns |
//! |---|---|
//! | `digest` | the two hash functions, and digests of large blobs in leaves |
//! | `encoder` | the encoding: what bytes a value becomes |
//! | `floats` | one NaN for all NaNs |
//! | `order` | digests in order |
//!
//! A value is encoded as a [`Tag`] and a payload of known length, so no encoding is the beginning of another, and
//! two values have the same bytes only if they are of the same type and equal. What is unordered (sets, dicts) stands
//! there as the sorted digests of its members. A payload longer than [`INLINE`] bytes is replaced by its digest, and
//! a long sequence by the digests of its segments; so memory stays bounded by the width of a value, and a
//! large blob is hashed where it lies, by several threads if the caller has them.
//!
//! The first byte of every key's encoding is [`SCHEMA`]. Whoever changes what bytes a value becomes raises it: keys of
//! another schema are never equal, so what was stored under them is computed anew. The golden vectors in
//! `tests/utilities/test_hashing_golden.py` fail if it is forgotten.

mod digest;
mod encoder;
mod floats;
mod order;

pub use digest::{Blake3, Hasher, LEAF, Xxh3, blob, leaf_count, leaf_digest, of_leaves};
pub use encoder::{Buffers, Encoder, FEW, Frame, INLINE, PIECE, SEGMENT, Tag};
pub use floats::{Elements, quiet};

/// The version of the encoding.
pub const SCHEMA: u8 = 1;
