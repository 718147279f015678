//! One NaN for all NaNs: hardware makes NaNs of either sign, and 0/0 must have the key of `float("nan")`.

/// What the bytes of an array stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Integers, characters, anything whose bytes are its value.
    Opaque,
    /// Little-endian IEEE 754 numbers of two, four or eight bytes.
    Half,
    Single,
    Double,
}

const HALF: u16 = 0x7e00;
const SINGLE: u32 = 0x7fc0_0000;
const DOUBLE: u64 = 0x7ff8_0000_0000_0000;

/// Looks for NaNs in numbers of one size, and replaces them.
///
/// A number is NaN where its bits without the sign are above those of infinity. Their difference is then negative, so a
/// sum of `or`s over all numbers tells in one bit whether there is any: three instructions for each register full of
/// numbers, on any processor, which is as good as free beside the hash.
macro_rules! patched {
    ($bytes:expr, $bits:ty, $infinity:expr, $nan:expr) => {{
        const WIDTH: usize = size_of::<$bits>();
        const MAGNITUDE: $bits = <$bits>::MAX >> 1;
        let above = |item: &[u8; WIDTH]| {
            <$bits>::wrapping_sub($infinity, <$bits>::from_le_bytes(*item) & MAGNITUDE)
        };
        let items = $bytes.as_chunks::<WIDTH>().0;
        if items.iter().fold(0, |found, item| found | above(item)) <= MAGNITUDE {
            return None;
        }
        let mut copy = $bytes.to_vec();
        for item in copy.as_chunks_mut::<WIDTH>().0 {
            if above(item) > MAGNITUDE {
                *item = <$bits>::to_le_bytes($nan);
            }
        }
        Some(copy)
    }};
}

/// `bytes` with the same NaN in place of every NaN; `None` if there is none.
pub fn quiet(bytes: &[u8], elements: Elements) -> Option<Vec<u8>> {
    match elements {
        Elements::Opaque => None,
        Elements::Half => patched!(bytes, u16, 0x7c00, HALF),
        Elements::Single => patched!(bytes, u32, 0x7f80_0000, SINGLE),
        Elements::Double => patched!(bytes, u64, 0x7ff0_0000_0000_0000, DOUBLE),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_nan_becomes_the_same_one_and_nothing_else_changes() {
        let numbers = [1.0, -f64::NAN, 0.0, -0.0, f64::NAN, f64::INFINITY];
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let patched = quiet(&bytes, Elements::Double).unwrap();
        let (items, _) = patched.as_chunks::<8>();
        for (item, number) in items.iter().zip(numbers) {
            let expected = if number.is_nan() { DOUBLE } else { number.to_bits() };
            assert_eq!(u64::from_le_bytes(*item), expected);
        }
    }

    #[test]
    fn numbers_without_nan_are_not_copied() {
        assert_eq!(quiet(&1.5f64.to_le_bytes(), Elements::Double), None);
        assert_eq!(quiet(&f32::INFINITY.to_le_bytes(), Elements::Single), None);
        assert_eq!(quiet(&0x7c00u16.to_le_bytes(), Elements::Half), None);
        assert_eq!(quiet(&[0xff; 16], Elements::Opaque), None);
    }

    #[test]
    fn short_floats_have_one_nan_too() {
        let half = quiet(&0xfe01u16.to_le_bytes(), Elements::Half);
        assert_eq!(half.unwrap(), HALF.to_le_bytes());
        let single = quiet(&0xffc0_0001u32.to_le_bytes(), Elements::Single);
        assert_eq!(single.unwrap(), SINGLE.to_le_bytes());
    }
}
