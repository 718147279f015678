//! Reading records of a pack: rows, files, and what to do with those that cannot be used.
//!
//! A file may be replaced, moved to its place or evicted between the look at its row and the look at it: the row is
//! looked at again. A row whose file is gone goes too.

use std::sync::Arc;

use rusqlite::OptionalExtension;
use rusqlite::types::ValueRef;

use super::connections::{Lease, Patience};
use super::envelope::{self, Refusal};
use super::error::PackError;
use super::memory::{RESOLUTION, Sealed};
use super::pack::{Found, Pack, id_of};

/// A row, as it is read.
pub(super) struct Row {
    pub(super) content: Vec<u8>,
    pub(super) file: Option<i64>,
    pub(super) size: u64,
}

const READ: &str = "SELECT content, file, size, used FROM record WHERE id = ?1";
impl Pack {
    pub(super) fn read(
        &self,
        lease: &Lease<'_>,
        id: i64,
        key: &str,
        time: u64,
        patience: Patience,
    ) -> Result<Found, PackError> {
        let failed = |error| self.connections.failed(&error);
        let mut statement = lease.prepare_cached(READ).map_err(failed)?;
        let mut rows = statement.query([id]).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(Found::Nothing) };
        let used: i64 = row.get(3).map_err(failed)?;
        if time.saturating_sub(used.cast_unsigned()) >= RESOLUTION {
            self.note_use(id, time);
        }
        if row.get_ref(1).map_err(failed)? == ValueRef::Null {
            let content = row.get_ref(0).map_err(failed)?;
            let bytes = content.as_blob().unwrap_or_default();
            match envelope::open(bytes, Some(key), &self.keys()) {
                Ok(layout) => {
                    let sealed = Sealed { bytes: Arc::from(bytes), layout: Arc::new(layout) };
                    return Ok(Found::Record(sealed));
                }
                Err(_) if patience == Patience::Quick => return Err(PackError::Busy),
                Err(_) => {}
            }
        } else if patience == Patience::Quick {
            return Err(PackError::Busy);
        }
        drop(rows);
        drop(statement);
        self.read_slowly(lease, id, key)
    }

    /// Reads a record that is in a file, or cannot be used.
    fn read_slowly(&self, lease: &Lease<'_>, id: i64, key: &str) -> Result<Found, PackError> {
        let Some(row) = self.row(lease, id)? else { return Ok(Found::Nothing) };
        let Some(row) = self.content(lease, id, row)? else { return Ok(Found::Nothing) };
        let refusal = match envelope::open(&row.content, Some(key), &self.keys()) {
            Ok(layout) => {
                let sealed = Sealed { bytes: row.content.into(), layout: Arc::new(layout) };
                return Ok(Found::Record(sealed));
            }
            Err(refusal) => refusal,
        };
        match &refusal {
            Refusal::Damaged(_) => self.put_aside(lease, id, &row)?,
            // Two keys may have the same id; anything else was put here by somebody.
            Refusal::OtherKey(other) if id_of(other) != id => self.put_aside(lease, id, &row)?,
            _ => {}
        }
        Ok(Found::Refused(refusal))
    }

    pub(super) fn row(&self, lease: &Lease<'_>, id: i64) -> Result<Option<Row>, PackError> {
        let read = lease.prepare_cached(READ).and_then(|mut statement| {
            let row = statement.query_row([id], |row| {
                Ok(Row {
                    content: row.get_ref(0)?.as_bytes().unwrap_or_default().to_vec(),
                    file: row.get(1)?,
                    size: row.get::<_, i64>(2)?.cast_unsigned(),
                })
            });
            row.optional()
        });
        read.map_err(|error| self.connections.failed(&error))
    }

    /// A row with the content of its file; none if that is gone, and the row with it.
    pub(super) fn content(
        &self,
        lease: &Lease<'_>,
        id: i64,
        mut row: Row,
    ) -> Result<Option<Row>, PackError> {
        while let Some(number) = row.file {
            let read = self.folder.read(id, number, row.size);
            if let Some(content) = read.map_err(|error| PackError::io(&error, self.path()))? {
                row.content = content;
                return Ok(Some(row));
            }
            // It was replaced, or evicted, or somebody has removed the file.
            match self.row(lease, id)? {
                Some(now) if now.file == row.file => {
                    let sql = "DELETE FROM record WHERE id = ?1 AND file = ?2";
                    let removed = lease
                        .prepare_cached(sql)
                        .and_then(|mut statement| statement.execute([id, number]));
                    removed.map_err(|error| self.connections.failed(&error))?;
                    return Ok(None);
                }
                Some(now) => row = now,
                None => return Ok(None),
            }
        }
        Ok(Some(row))
    }
}
