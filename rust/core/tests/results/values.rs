use oxtask_core::results::values::{Reader, put_bytes, put_float, put_int, put_number, tag};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_was_written_is_read(numbers: Vec<u64>, ints: Vec<i64>, floats: Vec<u64>, text in ".*") {
        let mut out = Vec::new();
        for number in &numbers {
            put_number(&mut out, *number);
        }
        for number in &ints {
            put_int(&mut out, *number);
        }
        for bits in &floats {
            put_float(&mut out, f64::from_bits(*bits));
        }
        put_bytes(&mut out, tag::STR, text.as_bytes());
        let mut reader = Reader::new(&out);
        for number in numbers {
            prop_assert_eq!(reader.number(), Some(number));
        }
        for number in ints {
            prop_assert_eq!((reader.tag(), reader.int()), (Some(tag::INT), Some(number)));
        }
        for bits in floats {
            prop_assert_eq!(reader.tag(), Some(tag::FLOAT));
            prop_assert_eq!(reader.float().map(f64::to_bits), Some(bits));
        }
        prop_assert_eq!((reader.tag(), reader.text()), (Some(tag::STR), Some(&text[..])));
        prop_assert!(reader.is_at_end());
    }

    #[test]
    fn any_bytes_can_be_read(bytes: Vec<u8>) {
        let read = |mut reader: Reader<'_>| while reader.tag().is_some() {
            reader.number();
            reader.text();
            reader.float();
            assert!(reader.count().is_none_or(|count| count <= bytes.len()));
        };
        read(Reader::new(&bytes));
    }
}
