//! What can go wrong with a pack, in the words of the operating system where there are such.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::io::Errno as E;

/// A pack could not do what it was asked.
#[derive(Debug)]
pub enum PackError {
    /// The storage failed: what it says, and its number if it has one.
    Storage { errno: Option<i32>, message: String, path: PathBuf },
    /// The database is damaged.
    Damaged { message: String, path: PathBuf },
    /// Somebody else is writing, and the caller does not want to wait.
    Busy,
    /// A newer version has written it.
    Newer { version: i64, path: PathBuf },
    /// The folder could be read or changed by others.
    Unsafe { message: String, path: PathBuf },
    /// A record is larger than the pack may be.
    TooLarge { size: u64, limit: u64, path: PathBuf },
}

impl PackError {
    /// What the operating system says.
    pub fn io(error: &io::Error, path: &Path) -> Self {
        Self::Storage {
            errno: error.raw_os_error(),
            message: error.to_string(),
            path: path.to_owned(),
        }
    }

    /// What the database says; the number is that of the operating system as far as it can be told.
    pub(crate) fn sqlite(error: &rusqlite::Error, path: &Path) -> Self {
        // Read before anything else is called: SQLite does not pass it on.
        let last = io::Error::last_os_error().raw_os_error();
        let known = |numbers: &[E], or: E| {
            let found = numbers.iter().map(|number| number.raw_os_error());
            Some(
                found.into_iter().find(|number| Some(*number) == last).unwrap_or(or.raw_os_error()),
            )
        };
        let errno = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                return Self::Damaged { message: error.to_string(), path: path.to_owned() };
            }
            Some(ErrorCode::DiskFull) => known(&[E::DQUOT, E::FBIG], E::NOSPC),
            Some(ErrorCode::SystemIoFailure) => {
                known(&[E::DQUOT, E::FBIG, E::NOSPC, E::ROFS, E::ACCESS], E::IO)
            }
            Some(ErrorCode::ReadOnly) => known(&[E::ACCESS, E::PERM], E::ROFS),
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                known(&[E::ROFS, E::NOENT, E::MFILE, E::NFILE, E::LOOP], E::ACCESS)
            }
            _ => None,
        };
        Self::Storage { errno, message: error.to_string(), path: path.to_owned() }
    }
}
