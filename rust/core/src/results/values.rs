//! Plain values as bytes: a tag, and what follows from it.
//!
//! Lengths and numbers are variable-length integers, seven bits a byte, the lowest first. A reader believes no length:
//! of `n` items there must be at least `n` bytes left. Who builds the values counts how deep they are nested.

/// What follows.
pub mod tag {
    pub const NONE: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    /// An integer of 64 bits, zigzag.
    pub const INT: u8 = 3;
    /// The bytes of an integer, little-endian, signed.
    pub const BIG_INT: u8 = 4;
    pub const FLOAT: u8 = 5;
    pub const STR: u8 = 6;
    pub const BYTES: u8 = 7;
    pub const TUPLE: u8 = 8;
    pub const LIST: u8 = 9;
    /// Pairs, in their order.
    pub const DICT: u8 = 10;
    pub const SET: u8 = 11;
    pub const FROZENSET: u8 = 12;
}

/// How deep values are nested at most.
pub const MAX_DEPTH: usize = 64;

pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// A tag and a length.
#[inline]
pub fn put_head(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    put_number(out, length as u64);
}

#[inline]
pub fn put_int(out: &mut Vec<u8>, value: i64) {
    out.push(tag::INT);
    put_number(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

#[inline]
pub fn put_float(out: &mut Vec<u8>, value: f64) {
    out.push(tag::FLOAT);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

#[inline]
pub fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    put_head(out, tag, bytes.len());
    out.extend_from_slice(bytes);
}

/// Reads what the functions above have written; `None` is what they cannot have written.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn tag(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.tag()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub fn int(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub fn float(&mut self) -> Option<f64> {
        let (bits, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(f64::from_bits(u64::from_le_bytes(*bits)))
    }

    /// How many items follow, each of at least one byte.
    pub fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}
