//! What bytes a value becomes.

use super::digest::{Hasher, LEAF};
use super::{SCHEMA, digest, floats::Elements, order};

/// The longest payload that stands in the encoding itself, in bytes; a longer one is replaced by its digest.
pub const INLINE: usize = 1_024;
/// The longest payload that is put together in a register, with its tag and length.
const SHORT: usize = 14;
/// How many bytes of what was encoded before are copied at once.
pub const PIECE: usize = 32;
/// So many members of a sequence at a time are replaced by the digest of their encodings.
pub const SEGMENT: u32 = 4_096;
/// Unordered containers of at most so many members hold their encodings in order; larger ones their digests, which are
/// sorted faster.
pub const FEW: usize = 16;
/// Marks the tag of a payload that is replaced by its digest.
const DIGESTED: u8 = 0x80;

/// The type of a value. The numbers are part of the encoding: they are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    None = 1,
    False = 2,
    True = 3,
    /// An integer of 64 bits with a sign.
    Int = 4,
    /// Any other integer: its bytes in two's complement, as few as will do.
    BigInt = 5,
    Float = 6,
    Complex = 7,
    /// Text as UTF-8.
    Str = 8,
    /// Text that holds lone surrogates: they are encoded like any other character.
    Surrogates = 9,
    Bytes = 10,
    ByteArray = 11,
    List = 12,
    Tuple = 13,
    Set = 14,
    FrozenSet = 15,
    Dict = 16,
    /// A name and what the object of that name consists of.
    Object = 17,
    /// The elements of an array in C order.
    Elements = 18,
    Date = 19,
    Time = 20,
    DateTime = 21,
    Duration = 22,
    Uuid = 23,
    /// The container that is so many levels further up: a cycle.
    Cycle = 24,
    Ellipsis = 25,
}

/// A container that is being encoded.
#[derive(Debug)]
#[must_use = "close it"]
pub struct Frame {
    tag: usize,
    body: usize,
    segment: usize,
    members: u32,
    /// Where the members of this container begin in the encoder's lists: the encodings, and the digests.
    base: usize,
    digests: usize,
    few: bool,
    /// Whether the members of an unordered container came in the order of their encodings.
    sorted: bool,
}

/// Encodes values, one after the other, and gives the digest of all.
#[derive(Debug)]
pub struct Encoder<H: Hasher> {
    bytes: Vec<u8>,
    /// The digests of members of the large unordered containers that are open.
    members: Vec<H::Digest>,
    /// Where the encodings of members of unordered containers begin: all of the small ones, the last few of the large.
    starts: Vec<usize>,
}

/// The memory of an encoder, to be used again.
#[derive(Debug, Default)]
pub struct Buffers {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl<H: Hasher> Default for Encoder<H> {
    fn default() -> Self {
        Self::with_buffers(Buffers::default())
    }
}

impl<H: Hasher> Encoder<H> {
    /// An encoder that writes to `buffers`, whose content it drops.
    pub fn with_buffers(buffers: Buffers) -> Self {
        let Buffers { mut bytes, mut starts } = buffers;
        bytes.clear();
        bytes.reserve(256);
        bytes.push(SCHEMA);
        starts.clear();
        starts.reserve(FEW);
        Self { bytes, members: Vec::new(), starts }
    }

    /// The digest of all that was encoded.
    pub fn finish(&self) -> H::Digest {
        H::digest(&self.bytes)
    }

    /// The buffers, to be used again; new ones in place of large ones.
    pub fn into_buffers(self) -> Buffers {
        if self.bytes.capacity() > LEAF {
            return Buffers::default();
        }
        Buffers { bytes: self.bytes, starts: self.starts }
    }

    // --- values without members ----------------------------------------------------------------------------

    /// A value that is its tag alone.
    #[inline]
    pub fn unit(&mut self, tag: Tag) {
        self.bytes.push(tag as u8);
    }

    #[inline]
    pub fn int(&mut self, value: i64) {
        self.eight(Tag::Int, value.to_le_bytes());
    }

    /// A number; every NaN is the same, zeros of either sign are not.
    #[inline]
    pub fn float(&mut self, value: f64) {
        self.eight(Tag::Float, bits(value));
    }

    pub fn complex(&mut self, real: f64, imaginary: f64) {
        self.eight(Tag::Complex, bits(real));
        self.bytes.extend_from_slice(&bits(imaginary));
    }

    /// A value of `N` bytes, the same for every value of the tag.
    pub fn fixed<const N: usize>(&mut self, tag: Tag, payload: [u8; N]) {
        self.bytes.push(tag as u8);
        self.bytes.extend_from_slice(&payload);
    }

    /// A value of any number of bytes.
    #[inline]
    pub fn blob(&mut self, tag: Tag, payload: &[u8]) {
        if payload.len() <= SHORT { self.short(tag, payload) } else { self.long(tag, payload) }
    }

    #[inline(never)]
    fn long(&mut self, tag: Tag, payload: &[u8]) {
        if payload.len() > INLINE {
            let digest = digest::blob::<H>(payload, Elements::Opaque);
            return self.digested_blob(tag, payload.len(), digest);
        }
        self.bytes.push(tag as u8);
        self.length(payload.len());
        self.bytes.extend_from_slice(payload);
    }

    /// A value of few bytes, as are most names: put together in a register, for which nothing is called.
    #[inline]
    fn short(&mut self, tag: Tag, payload: &[u8]) {
        let count = payload.len();
        if self.bytes.capacity() - self.bytes.len() < 2 + SHORT {
            return self.short_with_room(tag, payload);
        }
        // The pieces overlap unless they fill the place; where they do, they are the same.
        let (low, high) = if let (Some(first), Some(last)) =
            (payload.first_chunk::<8>(), payload.last_chunk::<8>())
        {
            // Without the bytes of the first piece. Shifted twice, because a number cannot be shifted by all its bits.
            let last = u64::from_le_bytes(*last) >> 8 >> (8 * (15 - count));
            (u64::from_le_bytes(*first), last)
        } else if let (Some(first), Some(last)) =
            (payload.first_chunk::<4>(), payload.last_chunk::<4>())
        {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            (u64::from(first) | u64::from(last) << (8 * (count - 4)), 0)
        } else if let (Some(first), Some(last)) = (payload.first(), payload.last()) {
            let middle = u32::from(payload[count / 2]) << (8 * (count / 2));
            (u64::from(u32::from(*first) | middle | u32::from(*last) << (8 * (count - 1))), 0)
        } else {
            (0, 0)
        };
        let payload = u128::from(low) | u128::from(high) << 64;
        let all = payload << 16 | (count as u128) << 8 | tag as u128;
        let end = self.bytes.len() + 2 + count;
        self.bytes.extend_from_slice(&all.to_le_bytes());
        self.bytes.truncate(end);
    }

    /// Out of line, so that where there is room nothing is kept for a call.
    #[cold]
    #[inline(never)]
    fn short_with_room(&mut self, tag: Tag, payload: &[u8]) {
        self.bytes.reserve(2 + SHORT);
        self.short(tag, payload);
    }

    /// A value of more than [`INLINE`] bytes, hashed by the caller with [`digest::leaf_digest`].
    pub fn digested_blob(&mut self, tag: Tag, length: usize, digest: H::Digest) {
        self.bytes.push(tag as u8 | DIGESTED);
        self.length(length);
        H::put(digest, &mut self.bytes);
    }

    #[inline]
    fn eight(&mut self, tag: Tag, payload: [u8; 8]) {
        let mut bytes = [tag as u8; 9];
        bytes[1..].copy_from_slice(&payload);
        self.bytes.extend_from_slice(&bytes);
    }

    #[inline]
    fn length(&mut self, length: usize) {
        match u8::try_from(length) {
            Ok(short) if short < u8::MAX => self.bytes.push(short),
            _ => {
                self.bytes.push(u8::MAX);
                self.bytes.extend_from_slice(&(length as u64).to_le_bytes());
            }
        }
    }

    // --- containers ----------------------------------------------------------------------------------------

    /// Begins a container of `count` members.
    #[inline]
    pub fn open(&mut self, tag: Tag, count: usize) -> Frame {
        let place = self.bytes.len();
        match u8::try_from(count) {
            Ok(short) if short < u8::MAX => self.bytes.extend_from_slice(&[tag as u8, short]),
            _ => {
                self.bytes.push(tag as u8);
                self.length(count);
            }
        }
        let body = self.bytes.len();
        let few = count <= FEW;
        if !few && matches!(tag, Tag::Dict | Tag::Set | Tag::FrozenSet) {
            self.members.reserve(order::room_for(count));
        }
        let (base, digests) = (self.starts.len(), self.members.len());
        Frame { tag: place, body, segment: body, members: 0, base, digests, few, sorted: true }
    }

    /// Encodes members of a sequence that are integers.
    #[inline]
    pub fn ints(&mut self, frame: &mut Frame, values: &[i64]) {
        #[allow(clippy::cast_possible_truncation)] // a few at a time
        let count = values.len() as u32;
        if frame.members + count >= SEGMENT {
            for value in values {
                self.int(*value);
                self.item(frame);
            }
            return;
        }
        let start = self.bytes.len();
        self.bytes.resize(start + 9 * values.len(), Tag::Int as u8);
        for (place, value) in self.bytes[start..].as_chunks_mut::<9>().0.iter_mut().zip(values) {
            place[1..].copy_from_slice(&value.to_le_bytes());
        }
        frame.members += count;
    }

    /// Ends a member of a sequence.
    #[inline]
    pub fn item(&mut self, frame: &mut Frame) {
        frame.members += 1;
        if frame.members == SEGMENT {
            frame.members = 0;
            self.replace(frame.segment);
            frame.segment = self.bytes.len();
        }
    }

    /// Where the next member of an unordered container begins: [`member`](Self::member) wants to know.
    #[inline]
    pub fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// Ends the member of an unordered container that began at `start`.
    #[inline]
    pub fn member(&mut self, frame: &mut Frame, start: usize) {
        if frame.few {
            if let Some(&before) = self.starts[frame.base..].last() {
                frame.sorted &= is_before(&self.bytes[before..start], &self.bytes[start..]);
            }
        } else if self.starts.len() - frame.base == FEW {
            self.digest_members(frame.base, start);
            return self.starts.push(frame.body);
        }
        self.starts.push(start);
    }

    /// Replaces the last members, which end at `end`, by their digests.
    ///
    /// Several at a time: what was just written cannot be read as fast as what was written a little before.
    fn digest_members(&mut self, base: usize, end: usize) {
        // The last first: they are put in order by their digests later.
        let mut body = end;
        for &start in self.starts[base..].iter().rev() {
            self.members.push(H::digest(&self.bytes[start..body]));
            body = start;
        }
        self.starts.truncate(base);
        self.bytes.copy_within(end.., body);
        self.bytes.truncate(self.bytes.len() - (end - body));
    }

    /// Ends a sequence.
    #[inline]
    #[allow(clippy::needless_pass_by_value)] // it is over
    pub fn close(&mut self, frame: Frame) {
        if self.bytes.len() - frame.body > INLINE {
            self.bytes[frame.tag] |= DIGESTED;
            self.replace(frame.body);
        }
    }

    /// Ends an unordered container.
    #[inline]
    pub fn close_unordered(&mut self, frame: Frame) {
        if frame.few {
            if !frame.sorted {
                self.put_in_order(frame.base);
            }
            self.starts.truncate(frame.base);
        } else {
            self.digest_members(frame.base, self.bytes.len());
            order::sort::<H>(&mut self.members, frame.digests);
            for member in &self.members[frame.digests..] {
                H::put(*member, &mut self.bytes);
            }
            self.members.truncate(frame.digests);
        }
        self.close(frame);
    }

    /// Puts the encodings of the last members in order.
    fn put_in_order(&mut self, base: usize) {
        let starts = &self.starts[base..];
        let body = starts[0];
        let end = self.bytes.len();
        let mut members = [(0, 0); FEW];
        let members = &mut members[..starts.len()];
        for (index, member) in members.iter_mut().enumerate() {
            *member = (starts[index], starts.get(index + 1).copied().unwrap_or(end));
        }
        let bytes = &mut self.bytes;
        members.sort_unstable_by(|one, two| bytes[one.0..one.1].cmp(&bytes[two.0..two.1]));
        for (start, end) in members {
            bytes.extend_from_within(*start..*end);
        }
        bytes.copy_within(end.., body);
        bytes.truncate(end);
    }

    /// Drops what was encoded since `start`.
    pub fn forget(&mut self, start: usize) {
        self.bytes.truncate(start);
    }

    fn replace(&mut self, start: usize) {
        let digest = H::digest(&self.bytes[start..]);
        self.bytes.truncate(start);
        H::put(digest, &mut self.bytes);
    }

    // --- objects that are met again ------------------------------------------------------------------------

    /// Whether the value that was encoded since `start` is so large that its digest stands for it.
    pub fn is_digested(&self, start: usize) -> bool {
        self.bytes[start] & DIGESTED != 0
    }

    /// What was encoded since `start`.
    pub fn since(&self, start: usize) -> &[u8] {
        &self.bytes[start..]
    }

    /// Encodes what [`since`](Self::since) gave.
    pub fn again(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// Encodes the first `count` bytes of a piece of what [`since`](Self::since) gave: all are copied, which is faster.
    #[inline]
    pub fn again_first(&mut self, count: usize, piece: &[u8; PIECE]) {
        let end = self.bytes.len() + count;
        self.bytes.extend_from_slice(piece);
        self.bytes.truncate(end);
    }
}

/// Whether an encoding comes before another; the first bytes nearly always tell.
#[inline]
fn is_before(one: &[u8], other: &[u8]) -> bool {
    match (one.first_chunk(), other.first_chunk()) {
        (Some(first), Some(second)) if first != second => {
            u64::from_be_bytes(*first) < u64::from_be_bytes(*second)
        }
        _ => one < other,
    }
}

#[inline]
fn bits(value: f64) -> [u8; 8] {
    // The sign and payload of a NaN depend on the processor.
    if value.is_nan() { 0x7ff8_0000_0000_0000_u64.to_le_bytes() } else { value.to_le_bytes() }
}
