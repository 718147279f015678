//! The connections to the database of a pack: one for each thread that uses it at the same time.
//!
//! Invariants: a connection is used by one thread at a time and by the process that opened it only. When a process is
//! about to fork, nobody uses one (see `forks`) and all are [closed](Connections::close): nothing of SQLite is left
//! that the child could inherit, neither connections nor locks of other threads.
//!
//! A thread that is not [patient](Patience) gets [`PackError::Busy`] wherever it would wait for another.

use std::cell::Cell;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::PackError;
use super::{forks, schema};
use crate::sync::{Mutex, MutexGuard};

/// Whether a caller waits for others, and may take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// What takes longer than a read from the page cache is [`PackError::Busy`].
    Quick,
    Waits,
}

/// How long a writer waits for others: sixty seconds.
const MAX_TURNS: i32 = 12_000;
const TURN: Duration = Duration::from_millis(5);
const FIRST_TURN: Duration = Duration::from_micros(50);
/// Connections that are kept open for later.
const MAX_IDLE: usize = 16;

/// How often who is not patient lets others go first: about thirty microseconds.
const YIELDS: usize = 32;
/// Pages that a connection keeps, in KiB; it takes them as it reads them.
const CACHED: i32 = 32 << 10;
/// How long the log is waited for before it is begun anew: a millisecond.
const BRIEF_TURNS: i32 = 20;

thread_local! {
    static TURNS: Cell<i32> = const { Cell::new(MAX_TURNS) };
}

/// Called by SQLite when somebody else has a lock.
#[expect(clippy::disallowed_methods, reason = "SQLite has nothing to wait on")]
fn wait(turn: i32) -> bool {
    if turn >= TURNS.get() {
        return false;
    }
    std::thread::sleep(if turn < 20 { FIRST_TURN } else { TURN });
    true
}

pub(crate) struct Connections {
    database: PathBuf,
    is_durable: bool,
    process: fn() -> u64,
    state: Mutex<State>,
    /// Held by the thread that writes. SQLite lets one write at a time, and has the others look again and again.
    writing: Mutex<()>,
}

#[derive(Default)]
struct State {
    process: u64,
    idle: Vec<Connection>,
}

/// A connection, until it is dropped.
pub(crate) struct Lease<'a> {
    owner: &'a Connections,
    connection: Option<Connection>,
}

impl Connections {
    pub(crate) fn new(database: PathBuf, is_durable: bool, process: fn() -> u64) -> Self {
        let state = Mutex::new(State::default());
        Self { database, is_durable, process, state, writing: Mutex::new(()) }
    }

    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    pub(crate) fn lease(&self, patience: Patience) -> Result<Lease<'_>, PackError> {
        if patience == Patience::Quick && forks::is_paused() {
            return Err(PackError::Busy);
        }
        TURNS.set(if patience == Patience::Quick { 0 } else { MAX_TURNS });
        let process = (self.process)();
        let mut state = self.state.lock();
        if state.process != process {
            // Of a parent that forked without telling us: closing them would release its locks.
            std::mem::forget(std::mem::take(&mut state.idle));
            state.process = process;
        }
        let idle = state.idle.pop();
        if idle.is_none() && patience == Patience::Quick {
            return Err(PackError::Busy);
        }
        drop(state);
        let mut lease = Lease { owner: self, connection: idle };
        if lease.connection.is_none() {
            lease.connection = Some(self.open()?);
        }
        Ok(lease)
    }

    /// The turn to write, among the threads of this process. A small write takes less than to come back later.
    pub(crate) fn turn(&self, patience: Patience) -> Result<MutexGuard<'_, ()>, PackError> {
        if patience == Patience::Waits {
            return Ok(self.writing.lock());
        }
        for _ in 0..YIELDS {
            if let Some(turn) = self.writing.try_lock() {
                return Ok(turn);
            }
            std::thread::yield_now();
        }
        Err(PackError::Busy)
    }

    /// Writes the log back into the database and begins it anew. Others that read or write now are waited for, but not
    /// for long: then the log goes on, until next time.
    pub(crate) fn write_back(&self, lease: &Lease<'_>) -> rusqlite::Result<()> {
        let _turn = self.writing.lock();
        TURNS.set(BRIEF_TURNS);
        let written = lease.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()));
        TURNS.set(MAX_TURNS);
        written
    }

    /// Closes the connections that are not in use.
    pub(crate) fn close(&self) {
        let idle = std::mem::take(&mut self.state.lock().idle);
        drop(idle);
    }

    /// What SQLite says, as an error of the pack.
    pub(crate) fn failed(&self, error: &rusqlite::Error) -> PackError {
        PackError::sqlite(error, &self.database)
    }

    fn open(&self) -> Result<Connection, PackError> {
        let connection = self.connect().map_err(|error| self.failed(&error))?;
        let version = schema::version(&connection).map_err(|error| self.failed(&error))?;
        if version > schema::VERSION {
            return Err(PackError::Newer { version, path: self.database.clone() });
        }
        if version == 0 {
            schema::create(&connection).map_err(|error| self.failed(&error))?;
        }
        Ok(connection)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let connection = Connection::open_with_flags(&self.database, flags)?;
        connection.busy_handler(Some(wait))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_prepared_statement_cache_capacity(32);
        let is_new: i64 = connection.query_row("PRAGMA page_count", (), |row| row.get(0))?;
        if is_new == 0 {
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.query_row("PRAGMA journal_mode = WAL", (), |_| Ok(()))?;
        let synchronous = if self.is_durable { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "cache_size", -CACHED)?;
        // The log is written back in `upkeep`, where nobody waits for it.
        connection.query_row("PRAGMA wal_autocheckpoint = 0", (), |_| Ok(()))?;
        connection.query_row("PRAGMA journal_size_limit = 8388608", (), |_| Ok(()))?;
        Ok(connection)
    }
}

impl Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a lease has a connection until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        TURNS.set(MAX_TURNS);
        // An error has ended a transaction half way: closing the connection rolls it back.
        let Some(connection) = self.connection.take().filter(Connection::is_autocommit) else {
            return;
        };
        let mut state = self.owner.state.lock();
        if state.idle.len() < MAX_IDLE {
            state.idle.push(connection);
        } else {
            drop(state);
            drop(connection);
        }
    }
}
