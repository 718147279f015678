use oxtask_core::results::envelope::{Label, Refusal, codec, open, preamble, seal};
use oxtask_core::results::keys::Keys;
use proptest::prelude::*;

use crate::support::keys;

fn record(key: &str, payload: &[u8], metadata: &[u8], is_signed: bool) -> Vec<u8> {
    let label = Label { key, codec: codec::PLAIN, metadata, created: 1, expires: Some(7) };
    let keys = keys();
    seal(&label, payload, is_signed.then_some(&keys))
}

proptest! {
    #[test]
    fn what_was_sealed_is_opened(
        key in ".{0,40}",
        payload in prop::collection::vec(any::<u8>(), 0..300),
        metadata in prop::collection::vec(any::<u8>(), 0..50),
        is_signed: bool,
    ) {
        let sealed = record(&key, &payload, &metadata, is_signed);
        let layout = open(&sealed, Some(&key), &keys()).unwrap();
        prop_assert_eq!(&sealed[layout.payload.clone()], &payload[..]);
        prop_assert_eq!(&sealed[layout.metadata.clone()], &metadata[..]);
        prop_assert_eq!((layout.is_signed, layout.created, layout.expires), (is_signed, 1, Some(7)));
    }

    #[test]
    fn no_record_that_was_changed_is_opened(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        appended in prop::collection::vec(any::<u8>(), 1..9),
        is_signed: bool,
    ) {
        let sealed = record("key", &payload, b"{}", is_signed);
        let keys = keys();
        for length in 0..sealed.len() {
            prop_assert!(matches!(open(&sealed[..length], None, &keys), Err(Refusal::Damaged(_))));
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&changed, None, &keys).is_err(), "bit {}", bit);
        }
        let longer = [&sealed[..], &appended].concat();
        prop_assert!(open(&longer, None, &keys).is_err());
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&bytes, None, &keys()).is_err());
        let begun = [&preamble(1)[..], &bytes].concat();
        prop_assert!(open(&begun, None, &keys()).is_err());
    }
}

#[test]
fn the_parts_of_two_records_make_no_third() {
    let (one, two) = (record("one", b"111", b"", true), record("two", b"222", b"", true));
    for cut in 0..one.len() {
        let mixed = [&one[..cut], &two[cut..]].concat();
        let opened = open(&mixed, Some("one"), &keys());
        assert!(opened.is_err() || mixed == one, "{cut}");
    }
    assert_eq!(open(&two, Some("one"), &keys()), Err(Refusal::OtherKey("two".to_owned())));
}

#[test]
fn a_record_that_another_has_signed_is_told_from_a_damaged_one() {
    let sealed = record("key", b"1", b"", true);
    assert_eq!(open(&sealed, None, &Keys::new([b"another key here"])), Err(Refusal::NotSigned));
    let both = Keys::new([&b"another key here"[..], b"0123456789abcdef"]);
    assert!(open(&sealed, None, &both).is_ok());
}

#[test]
fn a_newer_record_is_told_from_a_damaged_one() {
    let newer = [&preamble(2)[..], b"whatever it is"].concat();
    assert_eq!(open(&newer, Some("key"), &keys()), Err(Refusal::Newer(2)));
    for bit in 0..16 * 8 {
        let mut changed = newer.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(open(&changed, None, &keys()), Err(Refusal::Damaged(_))));
    }
}

#[test]
fn lengths_that_are_lies_are_refused_before_anything_is_allocated() {
    let sealed = record("key", b"1", b"", false);
    for at in [20, 24, 44, 52] {
        for lie in [u64::MAX, 1 << 33, 10_000_000_000] {
            let mut changed = sealed.clone();
            let bytes = lie.to_le_bytes();
            let width = if at < 40 { 4 } else { 8 };
            changed[at..at + width].copy_from_slice(&bytes[..width]);
            assert!(changed == sealed || open(&changed, None, &keys()).is_err());
        }
    }
}
