//! The tables of a pack.
//!
//! A small record is a row. A large one is a row that says which file it is in, and has the key for content. A file
//! that no row names any more is listed in `leaving` by the same transaction that took the name away, whatever
//! transaction that is: triggers see to it, and to the sum of the sizes of all files.

use rusqlite::Connection;

/// Of this form of the tables; a database of a greater one is refused.
pub(crate) const VERSION: i64 = 1;
/// Tells the file from other databases.
pub(crate) const APPLICATION: i64 = 0x6f78_7231;

const TABLES: &str = "
CREATE TABLE record (
    id INTEGER PRIMARY KEY,  -- a hash of the key
    used INTEGER NOT NULL,   -- about when it was last used, in milliseconds
    expires INTEGER,         -- in nanoseconds
    size INTEGER NOT NULL,   -- of the sealed record, in bytes
    file INTEGER,            -- the number in the name of its file, if it has one
    content BLOB NOT NULL    -- the sealed record; of one in a file, its first 16 bytes and its key
);
CREATE TABLE leaving (id INTEGER, file INTEGER, PRIMARY KEY (id, file)) WITHOUT ROWID;
CREATE TABLE damaged (number INTEGER PRIMARY KEY, id INTEGER, found INTEGER, content BLOB);
CREATE TABLE total (files INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER record_added AFTER INSERT ON record WHEN new.file IS NOT NULL BEGIN
    UPDATE total SET files = files + new.size;
END;
CREATE TRIGGER record_replaced AFTER UPDATE OF file ON record WHEN old.file IS NOT new.file BEGIN
    INSERT INTO leaving SELECT old.id, old.file WHERE old.file IS NOT NULL;
    UPDATE total SET files = files + iif(new.file IS NULL, 0, new.size)
        - iif(old.file IS NULL, 0, old.size);
END;
CREATE TRIGGER record_removed AFTER DELETE ON record WHEN old.file IS NOT NULL BEGIN
    INSERT INTO leaving VALUES (old.id, old.file);
    UPDATE total SET files = files - old.size;
END;
";

/// The form of the tables of an open database; zero if there are none.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", (), |row| row.get(0))
}

/// Makes the tables, in a transaction: two processes may want to at once.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let made = version(connection).and_then(|version| {
        if version != 0 {
            return Ok(());
        }
        connection.execute_batch(TABLES)?;
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", VERSION)
    });
    connection.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    made
}
