//! The folder of a pack and the files of large records.
//!
//! ```text
//! results.db (-wal, -shm)   the database
//! results.lock              locked for as long as a process uses the folder
//! results.generations       see `generations`
//! results.damaged           there if the database was found to be damaged
//! results.db.corrupt        the last database that was
//! new/<name>                large records that are being written, locked by who writes them
//! files/ab/cd/<name>        large records; a name is the id and a random number, in hexadecimal digits
//! ```
//!
//! A file gets its place in `files` after the row that names it was committed; until then readers find it in `new`. So
//! what a process leaves that was killed is in `new`, unlocked: it is moved to its place if a row names it, or else
//! removed. Names are never made of keys. All is readable by the user only, and no link is followed.
#![expect(clippy::disallowed_methods, reason = "these are the files")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

use super::error::PackError;

const DAMAGED: &str = "results.damaged";

pub(crate) struct Folder {
    path: PathBuf,
    is_durable: bool,
}

/// A file that is written and has no place yet.
pub(crate) struct NewFile {
    pub(crate) id: i64,
    pub(crate) number: i64,
    path: PathBuf,
    file: File,
    is_placed: bool,
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}

impl Folder {
    /// Opens a folder, and makes it if there is none.
    pub(crate) fn open(path: &Path, is_durable: bool) -> Result<Self, PackError> {
        let failed = |error: &io::Error| PackError::io(error, path);
        let make = || DirBuilder::new().recursive(true).mode(0o700).create(path);
        let found = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make().and_then(|()| fs::symlink_metadata(path))
            }
            other => other,
        };
        let found = found.map_err(|error| failed(&error))?;
        let refuse = |message: &str| {
            Err(PackError::Unsafe { message: message.to_owned(), path: path.to_owned() })
        };
        if !found.is_dir() {
            return refuse("it is not a folder (links are not followed)");
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return refuse("it belongs to another user");
        }
        if found.mode() & 0o022 != 0 {
            return refuse("others may write to it (make it `chmod 700`)");
        }
        // SQLite would refuse a link anywhere in the path; those above the folder are the user's.
        let path = fs::canonicalize(path).map_err(|error| failed(&error))?;
        let folder = Self { path, is_durable };
        folder.make(&folder.path.join("new"))?;
        folder.make(&folder.path.join("files"))?;
        folder.make_database()?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("results.db")
    }

    /// What tells one database from another that takes its name.
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        let found = fs::symlink_metadata(self.database()).ok()?;
        Some((found.dev(), found.ino()))
    }

    /// Makes an empty file for the database, which SQLite would make readable for others.
    ///
    /// One that is there is not opened: closing it would release the locks of connections of this process.
    fn make_database(&self) -> Result<(), PackError> {
        let path = self.database();
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(PackError::io(&error, &path));
            }
            Ok(_) => return Ok(()),
            Err(_) => {}
        }
        let found = fs::symlink_metadata(&path).map_err(|error| PackError::io(&error, &path))?;
        if found.is_file() {
            return Ok(());
        }
        let message = "it is not a regular file (links are not followed)".to_owned();
        Err(PackError::Unsafe { message, path })
    }

    /// Opens a file of the folder, and makes it if there is none.
    pub(crate) fn own_file(&self, name: &str) -> Result<(File, PathBuf), PackError> {
        let path = self.path.join(name);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(&path)
            .and_then(|file| {
                let is_file = file.metadata()?.is_file();
                is_file.then_some(file).ok_or_else(|| io::Error::other("it is not a regular file"))
            });
        let file = opened.map_err(|error| PackError::io(&error, &path))?;
        Ok((file, path))
    }

    /// Locks the folder for this process; the second is whether nobody else has it.
    pub(crate) fn lock(&self) -> Result<(File, bool), PackError> {
        let (file, path) = self.own_file("results.lock")?;
        let is_alone = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !is_alone {
            rustix::fs::flock(&file, FlockOperation::LockShared)
                .map_err(|error| PackError::io(&error.into(), &path))?;
        }
        Ok((file, is_alone))
    }

    /// Lets others have the folder too.
    pub(crate) fn share(&self, lock: &File) -> Result<(), PackError> {
        rustix::fs::flock(lock, FlockOperation::LockShared)
            .map_err(|error| PackError::io(&error.into(), &self.path))
    }

    /// Writes a file that nobody sees yet.
    pub(crate) fn write(&self, id: i64, number: i64, bytes: &[u8]) -> Result<NewFile, PackError> {
        let path = self.path.join("new").join(name(id, number));
        self.try_write(id, number, bytes, &path).map_err(|error| PackError::io(&error, &path))
    }

    fn try_write(&self, id: i64, number: i64, bytes: &[u8], path: &Path) -> io::Result<NewFile> {
        let file = loop {
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(flags(OFlags::NOFOLLOW))
                .open(path)?;
            // Somebody who tidies up may have removed it before it was locked.
            let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            if locked.is_ok() && file.metadata()?.nlink() > 0 {
                break file;
            }
        };
        let mut new = NewFile { id, number, path: path.to_owned(), file, is_placed: false };
        new.file.write_all(bytes)?;
        if self.is_durable {
            new.file.sync_all()?;
            sync_folder(&self.path.join("new"))?;
        }
        Ok(new)
    }

    /// Gives a file its place, after its row was committed. If that fails, it is found where it is.
    pub(crate) fn place(&self, new: &mut NewFile) {
        new.is_placed = true;
        self.place_named(&new.path, new.id, new.number);
    }

    fn place_named(&self, from: &Path, id: i64, number: i64) {
        let place = self.place_of(id, number);
        let moved = fs::rename(from, &place);
        if moved.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let above = place.parent().map(|folder| self.make(folder));
            if above.is_some_and(|made| made.is_ok()) {
                let _ = fs::rename(from, &place);
            }
        }
    }

    /// The content of a large record, if it is there; more bytes than `size` are not read.
    pub(crate) fn read(&self, id: i64, number: i64, size: u64) -> io::Result<Option<Vec<u8>>> {
        let places = [self.place_of(id, number), self.path.join("new").join(name(id, number))];
        // It may be moved from the second place to the first between the two looks.
        for place in [&places[0], &places[1], &places[0]] {
            let opened = OpenOptions::new()
                .read(true)
                .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
                .open(place);
            let file = match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let found = file.metadata()?;
            if !found.is_file() || found.len() != size {
                return Ok(Some(Vec::new())); // which is no record
            }
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX))?;
            file.take(size).read_to_end(&mut bytes)?;
            return Ok(Some(bytes));
        }
        Ok(None)
    }

    pub(crate) fn remove(&self, id: i64, number: i64) {
        for place in [self.place_of(id, number), self.path.join("new").join(name(id, number))] {
            let _ = fs::remove_file(place);
        }
    }

    /// Moves a damaged file to where nobody looks for records.
    pub(crate) fn put_aside(&self, id: i64, number: i64) {
        let place = self.place_of(id, number);
        let _ = fs::rename(&place, place.with_extension("corrupt"));
    }

    /// Sees to what killed processes have left in `new`; `is_wanted` tells whether a row names a file.
    pub(crate) fn tidy(&self, mut is_wanted: impl FnMut(i64, i64) -> Option<bool>) {
        for (path, named) in listing(&self.path.join("new")) {
            let Ok(file) = OpenOptions::new()
                .read(true)
                .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
                .open(&path)
            else {
                continue;
            };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue; // somebody is writing it
            }
            match named.map(|(id, number)| (id, number, is_wanted(id, number))) {
                Some((id, number, Some(true))) => self.place_named(&path, id, number),
                Some((_, _, None)) => {}
                _ => drop(fs::remove_file(&path)),
            }
        }
    }

    /// All files that have their place.
    pub(crate) fn placed(&self) -> Vec<(PathBuf, Option<(i64, i64)>)> {
        let mut found = Vec::new();
        for (first, _) in listing(&self.path.join("files")) {
            for (second, _) in listing(&first) {
                found.extend(listing(&second));
            }
        }
        found
    }

    /// Removes a file that no row names; false if somebody else has.
    pub(crate) fn remove_path(path: &Path) -> bool {
        fs::remove_file(path).is_ok()
    }

    /// Notes that the database is damaged: who opens the folder alone next time puts it aside.
    pub(crate) fn note_damage(&self) {
        let _ = self.own_file(DAMAGED);
    }

    pub(crate) fn is_damage_noted(&self) -> bool {
        fs::symlink_metadata(self.path.join(DAMAGED)).is_ok()
    }

    /// Moves a damaged database to where it can be looked at, and makes an empty one. Nobody else has the folder.
    pub(crate) fn put_database_aside(&self) -> Result<(), PackError> {
        let database = self.database();
        fs::rename(&database, self.path.join("results.db.corrupt"))
            .map_err(|error| PackError::io(&error, &database))?;
        for name in ["results.db-wal", "results.db-shm", DAMAGED] {
            let _ = fs::remove_file(self.path.join(name));
        }
        self.make_database()
    }

    fn place_of(&self, id: i64, number: i64) -> PathBuf {
        let name = name(id, number);
        self.path.join("files").join(&name[..2]).join(&name[2..4]).join(&name)
    }

    fn make(&self, folder: &Path) -> Result<(), PackError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| if self.is_durable { sync_folder(&self.path) } else { Ok(()) })
            .map_err(|error| PackError::io(&error, folder))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn name(id: i64, number: i64) -> String {
    format!("{:016x}-{:016x}", id.cast_unsigned(), number.cast_unsigned())
}

fn parse(name: &str) -> Option<(i64, i64)> {
    let (id, number) = name.split_once('-')?;
    let parse = |text: &str| match text.len() {
        16 => u64::from_str_radix(text, 16).ok().map(u64::cast_signed),
        _ => None,
    };
    Some((parse(id)?, parse(number)?))
}

fn listing(folder: &Path) -> Vec<(PathBuf, Option<(i64, i64)>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let found = entries.filter_map(Result::ok);
    found.map(|entry| (entry.path(), entry.file_name().to_str().and_then(parse))).collect()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
