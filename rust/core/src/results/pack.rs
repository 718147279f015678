//! A pack: many records in one folder, read and written by many threads and processes.
//!
//! Invariants: a record is there as a whole or not at all, and records that are published together appear together.
//! What is given out was verified with the keys of the user and belongs to the key that was asked for. A record of a
//! newer version is neither used nor replaced.
//!
//! States of a large record: written in `new` (nobody sees it); named by a committed row (everybody does); in its place;
//! listed in `leaving`; removed. A process can be killed between any two of these: see `files` and `upkeep`.
//!
//! Locks: the state of the connections, a shard of the memory, the uses to be written down. No two are held at once, and
//! none of them during a call of SQLite. Only the turn to write is held meanwhile, by whoever writes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::connections::{Connections, Lease};
use super::envelope::{self, Refusal};
use super::error::PackError;
use super::files::{Folder, NewFile};
use super::generations::{Generations, Share};
use super::keys::Keys;
use super::memory::Memory;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

pub use super::connections::Patience;
pub use super::memory::Sealed;
pub use super::upkeep::{Entry, Pruned, Stats, Verified};

/// How a pack is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The most bytes of all records; those that were not used for longest go.
    pub max_bytes: Option<u64>,
    /// The nanoseconds after which a record that was not used goes.
    pub max_age: Option<u64>,
    /// Whether what was written survives a power cut.
    pub is_durable: bool,
    /// Larger records get a file of their own.
    pub max_inline: usize,
    pub max_memory_records: usize,
    pub max_memory_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: None,
            max_age: None,
            is_durable: false,
            max_inline: 32 << 10,
            max_memory_records: 1 << 17,
            max_memory_bytes: 64 << 20,
        }
    }
}

/// Numbers that nobody can foresee.
pub type Random = dyn Fn() -> u64 + Send + Sync;

/// What a pack needs that is not a file.
pub struct Host<'a> {
    pub share: &'a Share,
    pub random: Box<Random>,
    /// A number that a forked child does not share with its parent.
    pub process: fn() -> u64,
}

pub struct Pack {
    pub(super) folder: Folder,
    pub(super) connections: Connections,
    pub(super) generations: Generations,
    pub(super) memory: Memory,
    pub(super) options: Options,
    pub(super) random: Box<Random>,
    pub(super) uses: Mutex<Vec<(i64, u64)>>,
    /// Bytes written since limits were last looked at.
    pub(super) written: AtomicU64,
    /// Pages written since the log was last written back.
    pub(super) pages: AtomicU64,
    pub(super) upkeep: Mutex<()>,
    pub(super) hits: AtomicU64,
    pub(super) memory_hits: AtomicU64,
    pub(super) misses: AtomicU64,
    keys: Mutex<Arc<Keys>>,
    identity: Option<(u64, u64)>,
    _lock: File,
}

/// What is stored under a key.
#[derive(Debug)]
pub enum Found {
    Nothing,
    /// A record that may have expired.
    Record(Sealed),
    /// A record that cannot be used. A damaged one has been put aside.
    Refused(Refusal),
}

/// A record that is written and that nobody sees.
pub struct Staged {
    id: i64,
    expires: Option<u64>,
    size: u64,
    content: Vec<u8>,
    file: Option<NewFile>,
}

/// What a newer version has written is not replaced: it does not begin as records of this version do.
const WRITE: &str = "INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE
    SET used = ?2, expires = ?3, size = ?4, file = ?5, content = ?6
    WHERE ?7 OR substr(record.content, 1, 16) = ?8";

/// The place of a key: of two keys that have the same, one is never found.
pub fn id_of(key: &str) -> i64 {
    let mut id = [0; 8];
    id.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..8]);
    i64::from_le_bytes(id)
}

fn milliseconds(now: u64) -> u64 {
    now / 1_000_000
}

impl Pack {
    /// Opens a folder, and makes it if there is none.
    pub fn open(
        path: &Path,
        options: Options,
        keys: Keys,
        host: Host<'_>,
    ) -> Result<Self, PackError> {
        let folder = Folder::open(path, options.is_durable)?;
        let (lock, is_alone) = folder.lock()?;
        let connections = Connections::new(folder.database(), options.is_durable, host.process);
        let is_damaged = |opened: &Result<_, _>| {
            folder.is_damage_noted() || matches!(opened, Err(PackError::Damaged { .. }))
        };
        let opened = connections.lease(Patience::Waits).map(drop);
        if is_alone && is_damaged(&opened) {
            connections.close();
            folder.put_database_aside()?;
            drop(connections.lease(Patience::Waits)?);
        } else {
            opened?;
        }
        let generations = Generations::new((host.share)(folder.path())?);
        if is_alone {
            generations.reset();
            folder.share(&lock)?;
        }
        let pack = Self {
            identity: folder.identity(),
            memory: Memory::new(options.max_memory_records, options.max_memory_bytes),
            keys: Mutex::new(Arc::new(keys)),
            folder,
            connections,
            generations,
            options,
            random: host.random,
            uses: Mutex::default(),
            written: AtomicU64::new(0),
            pages: AtomicU64::new(0),
            upkeep: Mutex::default(),
            hits: AtomicU64::new(0),
            memory_hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            _lock: lock,
        };
        pack.recover();
        Ok(pack)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether the folder still has the database that was opened.
    pub fn is_current(&self) -> bool {
        self.folder.identity() == self.identity
    }

    /// Notes that the database was found to be damaged: whoever opens the folder alone next time begins anew.
    pub fn note_damage(&self) {
        self.folder.note_damage();
    }

    /// Closes all connections; called while nobody works on packs, before a fork.
    pub fn close(&self) {
        self.connections.close();
    }

    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.lock())
    }

    pub fn set_keys(&self, keys: Keys) {
        *self.keys.lock() = Arc::new(keys);
        self.memory.clear();
    }

    /// Reads what is stored under a key.
    pub fn get(&self, key: &str, now: u64, patience: Patience) -> Result<Found, PackError> {
        let id = id_of(key);
        let time = milliseconds(now);
        let generation = self.generations.settled(id);
        if let Some(generation) = generation
            && let Some((record, is_due)) = self.memory.get(id, key, generation, time)
        {
            if is_due {
                self.note_use(id, time);
            }
            self.memory_hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Found::Record(record));
        }
        let lease = self.connections.lease(patience)?;
        let found = self.read(&lease, id, key, time, patience)?;
        let counter = if matches!(found, Found::Record(_)) { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        if let (Some(generation), Found::Record(record)) = (generation, &found) {
            self.memory.put(id, generation, record.clone(), time);
        }
        Ok(found)
    }

    /// A number that changes when something is stored under a key, in any process; `None` while that happens.
    pub fn stamp(&self, key: &str) -> Option<u32> {
        self.generations.settled(id_of(key))
    }

    /// Whether there is a record that counts, as far as can be told without reading it.
    pub fn contains(&self, key: &str, now: u64) -> Result<bool, PackError> {
        let lease = self.connections.lease(Patience::Waits)?;
        let Some(row) = self.row(&lease, id_of(key))? else { return Ok(false) };
        if row.file.is_none() {
            let keys = self.keys();
            return Ok(envelope::open(&row.content, Some(key), &keys)
                .is_ok_and(|layout| layout.counts(now)));
        }
        let sql = "SELECT expires FROM record WHERE id = ?1";
        let expires = lease.prepare_cached(sql).and_then(|mut statement| {
            statement.query_row([id_of(key)], |row| row.get::<_, Option<i64>>(0)).optional()
        });
        let expires = expires.map_err(|error| self.connections.failed(&error))?;
        let is_own = row.content.get(..16) == Some(&envelope::preamble(envelope::VERSION))
            && row.content.get(16..) == Some(key.as_bytes());
        Ok(is_own
            && expires
                .is_some_and(|at| at.is_none_or(|at| u64::try_from(at).is_ok_and(|at| at > now))))
    }

    /// The sealed record of a key, whatever it is.
    pub fn raw(&self, key: &str) -> Result<Option<Vec<u8>>, PackError> {
        let lease = self.connections.lease(Patience::Waits)?;
        match self.row(&lease, id_of(key))? {
            None => Ok(None),
            Some(row) => {
                self.content(&lease, id_of(key), row).map(|row| row.map(|row| row.content))
            }
        }
    }

    /// Stores a sealed record under its key; the answer is whether [`upkeep`](Self::upkeep) is due.
    ///
    /// The record is taken, unless the answer is [`PackError::Busy`].
    pub fn put(
        &self,
        key: &str,
        sealed: &mut Vec<u8>,
        now: u64,
        patience: Patience,
    ) -> Result<bool, PackError> {
        if patience == Patience::Quick {
            if sealed.len() > self.options.max_inline || self.options.is_durable {
                return Err(PackError::Busy);
            }
            let lease = self.connections.lease(patience)?;
            return self
                .put_small(lease, self.stage(key, std::mem::take(sealed))?, now, patience)
                .map_err(|(error, record)| {
                    *sealed = record;
                    error
                });
        }
        let staged = self.stage(key, std::mem::take(sealed))?;
        if staged.file.is_some() {
            return self.publish(vec![staged], now);
        }
        let lease = self.connections.lease(patience)?;
        self.put_small(lease, staged, now, patience).map_err(|(error, _)| error)
    }

    fn put_small(
        &self,
        lease: Lease<'_>,
        staged: Staged,
        now: u64,
        patience: Patience,
    ) -> Result<bool, (PackError, Vec<u8>)> {
        let turn = match self.connections.turn(patience) {
            Ok(turn) => turn,
            Err(error) => return Err((error, staged.content)),
        };
        let before = lease.total_changes();
        let write = self.generations.begin(staged.id);
        let written = self.write_row(&lease, &staged, now, patience);
        let generation = write.end();
        drop(turn);
        if let Err(error) = written {
            return Err((error, staged.content));
        }
        let is_due = lease.total_changes() > before + 1;
        drop(lease);
        self.remember(staged, generation, now);
        Ok(is_due || self.is_upkeep_due())
    }

    /// Writes a record so that only its publication is left to do.
    pub fn stage(&self, key: &str, sealed: Vec<u8>) -> Result<Staged, PackError> {
        let id = id_of(key);
        let size = sealed.len() as u64;
        if let Some(limit) = self.options.max_bytes.filter(|limit| size > *limit) {
            return Err(PackError::TooLarge { size, limit, path: self.path().to_owned() });
        }
        let expires = envelope::claims(&sealed).and_then(|(_, expires)| expires);
        if sealed.len() <= self.options.max_inline {
            return Ok(Staged { id, expires, size, content: sealed, file: None });
        }
        let number = (self.random)().cast_signed();
        let file = self.folder.write(id, number, &sealed)?;
        let content = [&envelope::preamble(envelope::VERSION), key.as_bytes()].concat();
        Ok(Staged { id, expires, size, content, file: Some(file) })
    }

    /// Makes records visible, all of them at once; the answer is whether [`upkeep`](Self::upkeep) is due.
    pub fn publish(&self, mut staged: Vec<Staged>, now: u64) -> Result<bool, PackError> {
        let lease = self.connections.lease(Patience::Waits)?;
        let files = staged.iter().filter(|record| record.file.is_some());
        let large: u64 = files.map(|record| record.size).sum();
        let mut leaving = Vec::new();
        let writes: Vec<_> =
            staged.iter().map(|record| self.generations.begin(record.id)).collect();
        let published = self.transaction(&lease, || {
            if large > 0 {
                let kept: Vec<i64> = staged.iter().map(|record| record.id).collect();
                leaving = self.make_room(&lease, large, &kept)?;
            }
            for record in &staged {
                self.write_row(&lease, record, now, Patience::Waits)?;
            }
            Ok(())
        });
        let generations: Vec<_> = writes.into_iter().map(super::generations::Write::end).collect();
        drop(leaving);
        published?;
        for file in staged.iter_mut().filter_map(|record| record.file.as_mut()) {
            self.folder.place(file);
        }
        self.remove_leaving(&lease);
        drop(lease);
        for (record, generation) in staged.into_iter().zip(generations) {
            self.remember(record, generation, now);
        }
        Ok(self.is_upkeep_due())
    }

    /// Removes a record; the answer is whether there was one.
    pub fn remove(&self, key: &str) -> Result<bool, PackError> {
        let id = id_of(key);
        let lease = self.connections.lease(Patience::Waits)?;
        let turn = self.connections.turn(Patience::Waits)?;
        let write = self.generations.begin(id);
        let removed = lease
            .prepare_cached("DELETE FROM record WHERE id = ?1")
            .and_then(|mut statement| statement.execute([id]));
        write.end();
        drop(turn);
        let removed = removed.map_err(|error| self.connections.failed(&error))?;
        self.memory.remove(id);
        self.remove_leaving(&lease);
        Ok(removed > 0)
    }

    /// Runs statements that take effect together, or not at all.
    pub(super) fn transaction<T>(
        &self,
        lease: &Lease<'_>,
        body: impl FnOnce() -> Result<T, PackError>,
    ) -> Result<T, PackError> {
        let run = |sql: &str| {
            let ran = lease.prepare_cached(sql).and_then(|mut statement| statement.execute(()));
            ran.map_err(|error| self.connections.failed(&error))
        };
        let _turn = self.connections.turn(Patience::Waits)?;
        run("BEGIN IMMEDIATE")?;
        let done = body().and_then(|value| run("COMMIT").map(|_| value));
        if done.is_err() && !lease.is_autocommit() {
            // What cannot be rolled back is, when the connection is closed.
            let _ = run("ROLLBACK");
        }
        done
    }

    fn write_row(
        &self,
        lease: &Lease<'_>,
        record: &Staged,
        now: u64,
        patience: Patience,
    ) -> Result<(), PackError> {
        let write = |is_forced: bool| {
            let used = milliseconds(now).cast_signed();
            let expires = record.expires.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
            let file = record.file.as_ref().map(|file| file.number);
            let current = envelope::preamble(envelope::VERSION);
            let values = rusqlite::params![
                record.id,
                used,
                expires,
                record.size.cast_signed(),
                file,
                record.content,
                is_forced,
                current
            ];
            lease
                .prepare_cached(WRITE)
                .and_then(|mut statement| statement.execute(values))
                .map_err(|error| self.connections.failed(&error))
        };
        if write(false)? > 0 {
            return Ok(());
        }
        if patience == Patience::Quick {
            return Err(PackError::Busy);
        }
        if let Some(row) = self.row(lease, record.id)?
            && let Err(Refusal::Newer(version)) = envelope::open(&row.content, None, &self.keys())
        {
            let path = self.connections.database().to_owned();
            return Err(PackError::Newer { version: version.into(), path });
        }
        write(true).map(drop)
    }

    fn remember(&self, record: Staged, generation: Option<u32>, now: u64) {
        self.written.fetch_add(record.size, Ordering::Relaxed);
        self.pages.fetch_add(1 + record.content.len() as u64 / 4096, Ordering::Relaxed);
        match generation {
            Some(generation) if record.file.is_none() => {
                let Some(layout) = envelope::layout(&record.content) else { return };
                let sealed = Sealed { bytes: record.content.into(), layout: Arc::new(layout) };
                self.memory.put(record.id, generation, sealed, milliseconds(now));
            }
            _ => self.memory.remove(record.id),
        }
    }
}
