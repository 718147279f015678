use oxtask_core::results::error::PackError;
use oxtask_core::results::pack::{Options, Patience};

use crate::support::{Folder, NOW, get, put, sealed};

const SECOND: u64 = 1_000_000_000;
const LIMIT: u64 = 4 << 20;

fn size_on_disk(folder: &Folder) -> u64 {
    let files = folder.files("").into_iter();
    let kept = files.filter(|path| !path.ends_with("results.db-shm"));
    kept.map(|path| path.metadata().unwrap().len()).sum()
}

#[test]
fn a_pack_stays_within_its_limit_and_keeps_what_is_used() {
    let folder = Folder::new();
    let limited = Options { max_bytes: Some(LIMIT), max_memory_records: 0, ..Options::default() };
    let pack = folder.open(limited);
    let mut now = NOW;
    put(&pack, "used", b"1", now);
    for turn in 0..3000_usize {
        now += SECOND;
        let size = if turn % 100 == 0 { 200_000 } else { 500 + turn % 2500 };
        put(&pack, &turn.to_string(), &vec![7; size], now);
        if turn % 30 == 0 {
            // Looked at once a minute, which is written down once a minute.
            assert_eq!(get(&pack, "used", now), Some(vec![b'1']), "{turn}");
            pack.upkeep().unwrap();
        }
        if turn % 250 == 0 {
            let files =
                folder.files("files").into_iter().map(|path| path.metadata().unwrap().len());
            let database = folder.path().join("results.db").metadata().unwrap().len();
            let files = files.sum::<u64>();
            let size = files + database;
            assert!(size <= LIMIT * 105 / 100, "{turn}: {size}");
        }
    }
    assert!(pack.stats().unwrap().bytes > LIMIT / 2, "{:?}", pack.stats());
    assert!(get(&pack, "2999", now).is_some());
    assert_eq!(get(&pack, "0", now), None);
    pack.prune(now).unwrap();
    assert!(size_on_disk(&folder) <= LIMIT * 105 / 100);
    assert_eq!(folder.files("files").len() as u64, pack.stats().unwrap().files);
}

#[test]
fn a_record_that_cannot_fit_is_refused() {
    let folder = Folder::new();
    let pack = folder.open(Options { max_bytes: Some(100_000), ..Options::default() });
    put(&pack, "key", b"1", NOW);
    let written =
        pack.put("big", &mut sealed("big", &vec![0; 200_000], None), NOW, Patience::Waits);
    assert!(matches!(written, Err(PackError::TooLarge { limit: 100_000, .. })));
    assert_eq!(get(&pack, "key", NOW), Some(vec![b'1']));
}

#[test]
fn what_was_not_used_for_too_long_is_pruned() {
    let folder = Folder::new();
    let pack = folder.open(Options { max_age: Some(100 * SECOND), ..Options::default() });
    put(&pack, "old", b"1", NOW);
    put(&pack, "new", b"1", NOW + 90 * SECOND);
    assert_eq!(pack.prune(NOW + 150 * SECOND).unwrap().records, 1);
    assert_eq!(get(&pack, "old", NOW), None);
    assert_eq!(get(&pack, "new", NOW), Some(vec![b'1']));
}
