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

/// How many bytes are looked at together: four registers of 16 bytes, twice.
const BLOCK: usize = 128;

/// Looks for NaNs in numbers of one size, and replaces them.
///
/// Numbers of the two halves of a block are looked at in pairs, because one comparison can tell whether either of two
/// is NaN: the look is twice as fast as the hash of what lies in the first-level cache, on any processor.
macro_rules! patched {
    ($bytes:expr, $bits:ty, $nan:expr, $is_nan:expr) => {{
        const WIDTH: usize = size_of::<$bits>();
        const PAIRS: usize = BLOCK / WIDTH / 2;
        let is_nan = $is_nan;
        let (blocks, rest) = $bytes.as_chunks::<BLOCK>();
        let mut found: [$bits; PAIRS] = [0; PAIRS];
        for block in blocks {
            let (one, other) = block.as_chunks::<WIDTH>().0.split_at(PAIRS);
            for place in 0..PAIRS {
                let is_found = is_nan(&one[place]) | is_nan(&other[place]);
                found[place] |= if is_found { <$bits>::MAX } else { 0 };
            }
        }
        if found == [0; PAIRS] && !rest.as_chunks::<WIDTH>().0.iter().any(is_nan) {
            return None;
        }
        let mut copy = $bytes.to_vec();
        for item in copy.as_chunks_mut::<WIDTH>().0 {
            *item = if is_nan(item) { $nan.to_le_bytes() } else { *item };
        }
        Some(copy)
    }};
}

/// `bytes` with the same NaN in place of every NaN; `None` if there is none.
pub fn quiet(bytes: &[u8], elements: Elements) -> Option<Vec<u8>> {
    match elements {
        Elements::Opaque => None,
        Elements::Half => patched!(bytes, u16, HALF, |item: &[u8; 2]| {
            u16::from_le_bytes(*item) & 0x7fff > 0x7c00
        }),
        Elements::Single => {
            patched!(bytes, u32, SINGLE, |item: &[u8; 4]| f32::from_le_bytes(*item).is_nan())
        }
        Elements::Double => {
            patched!(bytes, u64, DOUBLE, |item: &[u8; 8]| f64::from_le_bytes(*item).is_nan())
        }
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
    fn a_nan_is_found_wherever_it_stands() {
        for length in [1, 15, 16, 17, 40] {
            for place in 0..length {
                let mut numbers = vec![1.5_f32; length];
                numbers[place] = -f32::NAN;
                let bytes: Vec<u8> =
                    numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
                let patched = quiet(&bytes, Elements::Double).unwrap();
                assert_eq!(patched[8 * place..8 * place + 8], DOUBLE.to_le_bytes());
                let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                let patched = quiet(&bytes, Elements::Single).unwrap();
                assert_eq!(patched[4 * place..4 * place + 4], SINGLE.to_le_bytes());
            }
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
