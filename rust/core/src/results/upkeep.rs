//! What keeps a pack in order: limits of size and age, what processes leave that were killed, damage.
//!
//! Eviction samples. Ids are hashes, so records with neighbouring ids are a random sample; of each sample those go that
//! were not used for longest. Rows leave holes that new rows fill, so a pack that is over its limit by its pages loses
//! at least twice what is written to it, until it is under: it neither grows nor is emptied at once. What is in files
//! is summed exactly.

use super::connections::{Lease, Patience};
use super::envelope::{self, Refusal};
use super::error::PackError;
use super::files::Folder;
use super::generations::Write;
use super::pack::{Pack, id_of};
use super::reading::Row;
use crate::sync::atomic::Ordering;

/// Rows of which the oldest are evicted.
const SAMPLE: usize = 64;
const EVICTED: usize = 8;
/// The log is written back after so many pages: 4 MB.
const LOG_PAGES: u64 = 1000;
/// Uses that are collected before they are written down.
const MAX_USES: usize = 256;
/// Damaged records that are kept for somebody to look at.
const MAX_DAMAGED: i64 = 100;

/// A record, as a listing shows it. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub size: u64,
    pub expires: Option<u64>,
    pub used: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub records: u64,
    /// Of all sealed records.
    pub bytes: u64,
    pub files: u64,
    pub damaged: u64,
    /// Since the pack was opened by this process.
    pub hits: u64,
    pub memory_hits: u64,
    pub misses: u64,
    pub memory_records: u64,
    pub memory_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub records: u64,
    pub files: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    pub records: u64,
    pub damaged: u64,
}

impl Pack {
    /// Sees to what processes have left that were killed. What fails is left to the next time.
    pub(super) fn recover(&self) {
        let Ok(lease) = self.connections.lease(Patience::Waits) else { return };
        self.folder.tidy(|id, number| {
            self.row(&lease, id).ok().map(|row| row.is_some_and(|row| row.file == Some(number)))
        });
        self.remove_leaving(&lease);
        let _ = lease.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
    }

    pub(super) fn is_upkeep_due(&self) -> bool {
        self.is_log_due() || self.is_limit_due()
    }

    /// The log counts too: of a small pack it is small.
    fn is_log_due(&self) -> bool {
        let limit = self.options.max_bytes.map_or(LOG_PAGES, |bytes| bytes / 4096 / 50);
        self.pages.load(Ordering::Relaxed) >= limit.clamp(1, LOG_PAGES)
    }

    fn is_limit_due(&self) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        self.options.max_bytes.is_some_and(|limit| written >= limit / 1000)
    }

    pub(super) fn note_use(&self, id: i64, time: u64) {
        if let Some(mut uses) = self.uses.try_lock()
            && uses.len() < MAX_USES
        {
            uses.push((id, time));
        }
    }

    /// Does what readers and writers have left to be done: they say when it is due.
    pub fn upkeep(&self) -> Result<(), PackError> {
        // The connection first: who has one is waited for before a fork, so the child finds no lock held.
        let lease = self.connections.lease(Patience::Waits)?;
        let Some(_only) = self.upkeep.try_lock() else { return Ok(()) };
        self.write_uses(&lease)?;
        if self.is_limit_due() {
            let evicted = self.transaction(&lease, || self.make_room(&lease, 0, &[]));
            drop(evicted?);
        }
        self.remove_leaving(&lease);
        if self.is_log_due() {
            self.pages.store(0, Ordering::Relaxed);
            self.give_back(&lease, 1024)?;
            let written = self.connections.write_back(&lease);
            written.map_err(|error| self.connections.failed(&error))?;
        }
        Ok(())
    }

    /// Removes records that have expired or are over a limit, and files that belong to none.
    pub fn prune(&self, now: u64) -> Result<Pruned, PackError> {
        let failed = |error| self.connections.failed(&error);
        let lease = self.connections.lease(Patience::Waits)?;
        let _only = self.upkeep.lock();
        self.write_uses(&lease)?;
        // Listed first: a file gets its place after its row, so what no row names afterwards is nobody's.
        let placed = self.folder.placed();
        let sql = "SELECT id FROM record WHERE expires <= ?1 OR used < ?2";
        let oldest = self.options.max_age.map_or(0, |age| now.saturating_sub(age) / 1_000_000);
        let gone: Vec<i64> = lease
            .prepare_cached(sql)
            .and_then(|mut statement| {
                let times = [now, oldest].map(|time| i64::try_from(time).unwrap_or(i64::MAX));
                statement.query_map(times, |row| row.get(0))?.collect()
            })
            .map_err(failed)?;
        let mut pruned = Pruned::default();
        let evicted = self.transaction(&lease, || {
            let mut writes = Vec::new();
            for id in &gone {
                writes.push(self.evict(&lease, *id)?);
            }
            writes.extend(self.make_room(&lease, 0, &[])?);
            let sql = "DELETE FROM damaged WHERE number <= (SELECT max(number) FROM damaged) - ?1";
            lease.execute(sql, [MAX_DAMAGED]).map_err(failed)?;
            Ok(writes)
        })?;
        pruned.records = evicted.len() as u64;
        drop(evicted);
        self.remove_leaving(&lease);
        self.folder.tidy(|id, number| {
            self.row(&lease, id).ok().map(|row| row.is_some_and(|row| row.file == Some(number)))
        });
        for (path, named) in placed {
            let Some((id, number)) = named else { continue };
            if self.row(&lease, id)?.is_none_or(|row| row.file != Some(number)) {
                pruned.files += u64::from(Folder::remove_path(&path));
            }
        }
        self.give_back(&lease, 0)?; // all of them
        lease.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).map_err(failed)?;
        Ok(pruned)
    }

    /// Reads every record and puts aside those that are damaged.
    pub fn verify(&self) -> Result<Verified, PackError> {
        let lease = self.connections.lease(Patience::Waits)?;
        let mut verified = Verified::default();
        let mut after = None;
        loop {
            let ids = self.ids_from(&lease, after)?;
            let Some(last) = ids.last() else { return Ok(verified) };
            after = Some(*last);
            for id in ids {
                let Some(row) = self.row(&lease, id)? else { continue };
                let Some(row) = self.content(&lease, id, row)? else {
                    verified.damaged += 1;
                    continue;
                };
                verified.records += 1;
                let is_damaged = match envelope::open(&row.content, None, &self.keys()) {
                    Ok(layout) => {
                        let key = std::str::from_utf8(&row.content[layout.key]);
                        key.is_ok_and(|key| id_of(key) != id)
                    }
                    Err(refusal) => matches!(refusal, Refusal::Damaged(_)),
                };
                if is_damaged {
                    self.put_aside(&lease, id, &row)?;
                    verified.damaged += 1;
                }
            }
        }
    }

    fn ids_from(&self, lease: &Lease<'_>, after: Option<i64>) -> Result<Vec<i64>, PackError> {
        let (sql, from) = match after {
            None => ("SELECT id FROM record WHERE id >= ?1 ORDER BY id LIMIT 1000", i64::MIN),
            Some(id) => ("SELECT id FROM record WHERE id > ?1 ORDER BY id LIMIT 1000", id),
        };
        let ids = lease
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map([from], |row| row.get(0))?.collect());
        ids.map_err(|error| self.connections.failed(&error))
    }

    /// All records whose key begins with `prefix`, in no order.
    pub fn list(&self, prefix: &str) -> Result<Vec<Entry>, PackError> {
        let lease = self.connections.lease(Patience::Waits)?;
        let sql = "SELECT content, file, size, expires, used FROM record";
        let listed = lease.prepare_cached(sql).and_then(|mut statement| {
            let mut rows = statement.query(())?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                let content = row.get_ref(0)?.as_bytes().unwrap_or_default();
                let key = match row.get::<_, Option<i64>>(1)? {
                    None => envelope::claims(content).map(|(key, _)| key),
                    Some(_) => content.get(16..).and_then(|key| std::str::from_utf8(key).ok()),
                };
                let Some(key) = key.filter(|key| key.starts_with(prefix)) else { continue };
                entries.push(Entry {
                    key: key.to_owned(),
                    size: row.get::<_, i64>(2)?.cast_unsigned(),
                    expires: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
                    used: row.get::<_, i64>(4)?.cast_unsigned().saturating_mul(1_000_000),
                });
            }
            Ok(entries)
        });
        listed.map_err(|error| self.connections.failed(&error))
    }

    pub fn stats(&self) -> Result<Stats, PackError> {
        let lease = self.connections.lease(Patience::Waits)?;
        let sql = "SELECT count(*), ifnull(sum(size), 0), count(file),
            (SELECT count(*) FROM damaged) FROM record";
        let counted = lease.query_row(sql, (), |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok([number(0)?, number(1)?, number(2)?, number(3)?])
        });
        let [records, bytes, files, damaged] =
            counted.map_err(|error| self.connections.failed(&error))?;
        let (memory_records, memory_bytes) = self.memory.size();
        Ok(Stats {
            records,
            bytes,
            files,
            damaged,
            hits: self.hits.load(Ordering::Relaxed),
            memory_hits: self.memory_hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            memory_records: memory_records as u64,
            memory_bytes: memory_bytes as u64,
        })
    }

    /// Evicts until `more` bytes of files fit in, but not the records of `kept`. Runs in a transaction.
    pub(super) fn make_room(
        &self,
        lease: &Lease<'_>,
        more: u64,
        kept: &[i64],
    ) -> Result<Vec<Write<'_>>, PackError> {
        let mut writes = Vec::new();
        let Some(limit) = self.options.max_bytes else { return Ok(writes) };
        let written = self.written.swap(0, Ordering::Relaxed);
        let size = self.size(lease)?.saturating_add(more);
        if size <= limit {
            return Ok(writes);
        }
        let wanted = (size - limit).max(written.saturating_mul(2).min(limit / 20));
        let mut freed = 0;
        // Rows that go leave holes in pages; pages are free when several of their rows have gone.
        while freed < wanted
            || (freed < wanted * 4 && self.size(lease)?.saturating_add(more) > limit)
        {
            let mut sample = self.sample(lease)?;
            sample.retain(|row| !kept.contains(&row.0));
            if sample.is_empty() {
                break;
            }
            sample.sort_unstable_by_key(|row| row.1);
            for (id, _, size) in sample.into_iter().take(EVICTED) {
                writes.push(self.evict(lease, id)?);
                freed += size;
                if freed >= wanted * 4 {
                    break;
                }
            }
        }
        Ok(writes)
    }

    /// The bytes on disk: of pages in use, and of files.
    fn size(&self, lease: &Lease<'_>) -> Result<u64, PackError> {
        let number = |sql: &str| {
            let found = lease
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row((), |row| row.get::<_, i64>(0)));
            found.map(i64::cast_unsigned).map_err(|error| self.connections.failed(&error))
        };
        let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
        Ok(pages * number("PRAGMA page_size")? + number("SELECT files FROM total")?)
    }

    /// Random rows: id, last use and size.
    fn sample(&self, lease: &Lease<'_>) -> Result<Vec<(i64, i64, u64)>, PackError> {
        let start = (self.random)().cast_signed();
        let sql =
            "SELECT id, used, size FROM record WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";
        let rows = |from: i64, to: i64, limit: usize| {
            let read = lease.prepare_cached(sql).and_then(|mut statement| {
                let limit = i64::try_from(limit).unwrap_or(0);
                let rows = statement.query_map([from, to, limit], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
                })?;
                rows.collect::<Result<Vec<_>, _>>()
            });
            read.map_err(|error| self.connections.failed(&error))
        };
        let mut sample = rows(start, i64::MAX, SAMPLE)?;
        if sample.len() < SAMPLE {
            sample.extend(rows(i64::MIN, start, SAMPLE - sample.len())?);
        }
        Ok(sample)
    }

    fn evict(&self, lease: &Lease<'_>, id: i64) -> Result<Write<'_>, PackError> {
        let write = self.generations.begin(id);
        lease
            .prepare_cached("DELETE FROM record WHERE id = ?1")
            .and_then(|mut statement| statement.execute([id]))
            .map_err(|error| self.connections.failed(&error))?;
        Ok(write)
    }

    fn write_uses(&self, lease: &Lease<'_>) -> Result<(), PackError> {
        let uses = self.uses.try_lock().map(|mut uses| std::mem::take(&mut *uses));
        let uses = uses.unwrap_or_default();
        if uses.is_empty() {
            return Ok(());
        }
        self.transaction(lease, || {
            for (id, time) in uses {
                lease
                    .prepare_cached("UPDATE record SET used = max(used, ?2) WHERE id = ?1")
                    .and_then(|mut statement| statement.execute([id, time.cast_signed()]))
                    .map_err(|error| self.connections.failed(&error))?;
            }
            Ok(())
        })
    }

    /// Removes the files that no row names any more. What fails is left to the next time.
    pub(super) fn remove_leaving(&self, lease: &Lease<'_>) {
        let listed = lease.prepare_cached("SELECT id, file FROM leaving LIMIT 1000").and_then(
            |mut statement| {
                let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<Result<Vec<(i64, i64)>, _>>()
            },
        );
        let Ok(listed) = listed else { return };
        if listed.is_empty() {
            return;
        }
        for (id, number) in &listed {
            self.folder.remove(*id, *number);
        }
        let _ = self.transaction(lease, || {
            for (id, number) in &listed {
                lease
                    .prepare_cached("DELETE FROM leaving WHERE id = ?1 AND file = ?2")
                    .and_then(|mut statement| statement.execute([id, number]))
                    .map_err(|error| self.connections.failed(&error))?;
            }
            Ok(())
        });
    }

    /// Moves a record that cannot be used to where nobody looks for it, if it is still there.
    pub(super) fn put_aside(&self, lease: &Lease<'_>, id: i64, row: &Row) -> Result<(), PackError> {
        let failed = |error| self.connections.failed(&error);
        let write = self.generations.begin(id);
        let done = self.transaction(lease, || {
            let removed = if let Some(number) = row.file {
                let sql = "DELETE FROM record WHERE id = ?1 AND file = ?2";
                let removed = lease.execute(sql, [id, number]).map_err(failed)?;
                if removed > 0 {
                    self.folder.put_aside(id, number);
                }
                0
            } else {
                let sql = "DELETE FROM record WHERE id = ?1 AND file IS NULL AND CAST(content AS BLOB) = ?2";
                lease.execute(sql, rusqlite::params![id, row.content]).map_err(failed)?
            };
            if removed > 0 {
                let sql = "INSERT INTO damaged (id, found, content) VALUES (?1, unixepoch(), ?2)";
                lease.execute(sql, rusqlite::params![id, row.content]).map_err(failed)?;
            }
            Ok(())
        });
        write.end();
        self.memory.remove(id);
        done
    }

    /// Cuts free pages off the end of the database.
    fn give_back(&self, lease: &Lease<'_>, pages: u32) -> Result<(), PackError> {
        let sql = format!("PRAGMA incremental_vacuum({pages})");
        let given = lease.prepare(&sql).and_then(|mut statement| {
            let mut rows = statement.query(())?;
            // One row for each page.
            while rows.next()?.is_some() {}
            Ok(())
        });
        given.map_err(|error| self.connections.failed(&error))
    }
}
