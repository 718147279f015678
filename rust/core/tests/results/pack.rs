use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use oxtask_core::results::envelope::{Refusal, preamble};
use oxtask_core::results::error::PackError;
use oxtask_core::results::generations;
use oxtask_core::results::pack::{Found, Host, Options, Pack, Patience, id_of};

use crate::support::{Folder, NOW, get, keys, put, sealed};

fn try_open(path: &Path) -> Result<Pack, PackError> {
    let share = |_: &Path| Ok(generations::private());
    let host = Host { share: &share, random: Box::new(|| 1), process: || 0 };
    Pack::open(path, Options::default(), keys(), host)
}

fn database(folder: &Folder) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.path().join("results.db")).unwrap()
}

#[test]
fn the_database_is_new_enough_and_set_up_with_care() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    let folder = Folder::new();
    put(&folder.open(Options::default()), "key", b"1", NOW);
    let text = |sql: &str| -> String {
        database(&folder)
            .query_row(sql, (), |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
    };
    assert_eq!(text("PRAGMA journal_mode"), "Text(\"wal\")");
    assert_eq!(text("PRAGMA auto_vacuum"), "Integer(2)");
    assert_eq!(text("PRAGMA integrity_check"), "Text(\"ok\")");
}

#[test]
fn a_damaged_record_is_put_aside_and_can_be_written_again() {
    for size in [10, 100_000] {
        let folder = Folder::new();
        let pack = folder.open(Options { max_memory_records: 0, ..Options::default() });
        put(&pack, "key", &vec![1; size], NOW);
        if size > 1000 {
            let file = folder.files("files").pop().unwrap();
            let mut bytes = fs::read(&file).unwrap();
            bytes[200] ^= 1;
            fs::write(&file, bytes).unwrap();
        } else {
            let sql = "UPDATE record SET content = substr(content, 1, 90) || x'00' || substr(content, 92)";
            assert_eq!(database(&folder).execute(sql, ()).unwrap(), 1);
        }
        let found = pack.get("key", NOW, Patience::Waits).unwrap();
        assert!(matches!(found, Found::Refused(Refusal::Damaged(_))), "{found:?}");
        assert_eq!(get(&pack, "key", NOW), None);
        let aside = folder.files("files").iter().filter(|path| path.extension().is_some()).count();
        assert_eq!(aside as u64 + pack.stats().unwrap().damaged, 1);
        put(&pack, "key", b"2", NOW);
        assert_eq!(get(&pack, "key", NOW), Some(b"2".to_vec()));
    }
}

#[test]
fn a_record_of_a_newer_version_is_neither_used_nor_replaced() {
    let folder = Folder::new();
    let pack = folder.open(Options { max_memory_records: 0, ..Options::default() });
    put(&pack, "key", b"1", NOW);
    let newer = [&preamble(2)[..], b"unknown"].concat();
    database(&folder).execute("UPDATE record SET content = ?1", [&newer]).unwrap();

    let found = pack.get("key", NOW, Patience::Waits).unwrap();
    assert!(matches!(found, Found::Refused(Refusal::Newer(2))));
    let written = pack.put("key", &mut sealed("key", b"2", None), NOW, Patience::Waits);
    assert!(matches!(written, Err(PackError::Newer { version: 2, .. })));
    assert_eq!(pack.raw("key").unwrap(), Some(newer));
}

#[test]
fn a_newer_database_is_refused() {
    let folder = Folder::new();
    put(&folder.open(Options::default()), "key", b"1", NOW);
    database(&folder).pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(try_open(folder.path()), Err(PackError::Newer { version: 2, .. })));
    database(&folder).pragma_update(None, "user_version", 1).unwrap();
    assert_eq!(get(&try_open(folder.path()).unwrap(), "key", NOW), Some(vec![b'1']));
}

#[test]
fn a_row_under_another_id_is_not_used() {
    let folder = Folder::new();
    let pack = folder.open(Options { max_memory_records: 0, ..Options::default() });
    put(&pack, "key", b"1", NOW);
    database(&folder).execute("UPDATE record SET id = ?1", [id_of("other")]).unwrap();
    let found = pack.get("other", NOW, Patience::Waits).unwrap();
    assert!(matches!(found, Found::Refused(Refusal::OtherKey(_))), "{found:?}");
    assert_eq!(get(&pack, "other", NOW), None);
}

#[test]
fn a_file_that_is_missing_is_a_miss() {
    let folder = Folder::new();
    let pack = folder.open(Options::default());
    put(&pack, "key", &vec![1; 100_000], NOW);
    fs::remove_file(folder.files("files").pop().unwrap()).unwrap();
    assert_eq!(get(&pack, "key", NOW), None);
    assert_eq!(pack.stats().unwrap().records, 0);
}

#[test]
fn what_a_killed_process_left_is_seen_to() {
    let folder = Folder::new();
    let pack = folder.open(Options::default());
    put(&pack, "key", &vec![1; 100_000], NOW);
    drop(pack);
    let placed = folder.files("files").pop().unwrap();
    let new = folder.path().join("new");
    // Killed before the file got its place, before its row was committed, and while it was written.
    fs::rename(&placed, new.join(placed.file_name().unwrap())).unwrap();
    fs::write(new.join(format!("{:016x}-{:016x}", 1, 2)), b"half a rec").unwrap();
    fs::write(new.join("anything"), b"").unwrap();
    // Killed before the file of a replaced record was removed.
    let left = placed.with_file_name(format!("{:016x}-{:016x}", 0, 3));
    let left = folder.path().join("files/00/00").join(left.file_name().unwrap());
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, b"old").unwrap();
    database(&folder).execute("INSERT INTO leaving VALUES (0, 3)", ()).unwrap();

    let pack = folder.open(Options::default());
    assert_eq!(folder.files("new"), Vec::<std::path::PathBuf>::new());
    assert_eq!(folder.files("files"), vec![placed]);
    assert_eq!(get(&pack, "key", NOW), Some(vec![1; 100_000]));
}

#[test]
fn what_is_being_written_is_left_alone() {
    let folder = Folder::new();
    let pack = folder.open(Options::default());
    let staged = pack.stage("key", sealed("key", &vec![1; 100_000], None)).unwrap();
    let other = folder.open(Options::default());
    other.prune(NOW).unwrap();
    pack.publish(vec![staged], NOW).unwrap();
    assert_eq!(get(&other, "key", NOW), Some(vec![1; 100_000]));
    drop(pack.stage("dropped", sealed("dropped", &vec![1; 100_000], None)).unwrap());
    assert_eq!(folder.files("new").len(), 0);
}

#[test]
fn a_folder_that_others_could_change_is_refused() {
    let folder = Folder::new();
    drop(folder.open(Options::default()));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(try_open(folder.path()), Err(PackError::Unsafe { .. })));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let link = Folder::new();
    symlink(folder.path(), link.path()).unwrap();
    assert!(matches!(try_open(link.path()), Err(PackError::Unsafe { .. })));
    fs::remove_file(link.path()).unwrap();
    let database = folder.path().join("results.db");
    fs::rename(&database, folder.path().join("moved")).unwrap();
    symlink(folder.path().join("moved"), &database).unwrap();
    assert!(try_open(folder.path()).is_err());
}

#[test]
fn no_connection_is_open_after_close_until_the_next_use() {
    let folder = Folder::new();
    let pack = folder.open(Options { max_memory_records: 0, ..Options::default() });
    put(&pack, "key", b"1", NOW);
    pack.close();
    let open = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let name = folder.path().join("results.db");
    assert_eq!(open.filter(|path| path.starts_with(&name)).count(), 0);
    assert_eq!(get(&pack, "key", NOW), Some(vec![b'1']));
}

#[test]
fn what_another_has_written_is_not_hidden_by_what_is_in_memory() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    struct Shared(Arc<Vec<AtomicU32>>);
    impl generations::Counters for Shared {
        fn all(&self) -> &[AtomicU32] {
            &self.0
        }
    }
    let counters: Arc<Vec<_>> =
        Arc::new((0..generations::SLOTS * 2).map(|_| AtomicU32::new(0)).collect());
    let folder = Folder::new();
    let open = || {
        let counters = Arc::clone(&counters);
        let share = move |_: &Path| Ok(Box::new(Shared(Arc::clone(&counters))) as Box<_>);
        let host = Host { share: &share, random: Box::new(|| 1), process: || 0 };
        Pack::open(folder.path(), Options::default(), keys(), host).unwrap()
    };
    let (one, two) = (open(), open());
    for turn in 0..10_u8 {
        put(&one, "key", &[turn], NOW);
        assert_eq!(get(&one, "key", NOW), Some(vec![turn]));
        assert_eq!(get(&two, "key", NOW), Some(vec![turn]));
        assert_eq!(get(&two, "key", NOW), Some(vec![turn]));
    }
    assert!(two.stats().unwrap().memory_hits >= 10);
    one.remove("key").unwrap();
    assert_eq!(get(&two, "key", NOW), None);
}
