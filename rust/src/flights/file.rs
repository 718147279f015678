//! Flights of other processes: locks on single bytes of one file, which end with the process that has them.
//!
//! The locks belong to the open file (`F_OFD_SETLK`), not to the process: closing another descriptor of the same file
//! does not end them, and a forked child, which shares the open file, opens its own. Threads of one process share the
//! locks; between them `oxtask_core::flights` decides.

use std::path::PathBuf;
use std::sync::OnceLock;

use oxtask_core::hashing::{Hasher, Xxh3};
use pyo3::prelude::*;

use crate::boundary::{self, Enter};

const MODULE: &str = "oxtask._internal.flights";

/// Where the lock of a key lies.
pub(super) fn place_of(key: &str) -> u64 {
    // Offsets in files have 63 bits, and a range must end before the last.
    u64::try_from(Xxh3::digest(key.as_bytes()) >> 66).unwrap_or(0)
}

/// The file of this process, opened when it is first needed.
#[derive(Default)]
pub(crate) struct Files(OnceLock<Option<LockFile>>);

impl Files {
    /// The file; `None` if it cannot be opened: flights of other processes are not seen then.
    pub(super) fn get(&self, py: Python<'_>) -> PyResult<Option<&LockFile>> {
        if let Some(opened) = self.0.get() {
            return Ok(opened.as_ref());
        }
        let module = boundary::import(py, MODULE)?;
        let path: Option<PathBuf> = module.enter_method0("lock_file")?.extract()?;
        let file = match path.map(|path| LockFile::open(&path)) {
            Some(Err(error)) => {
                module.enter_method("unavailable", (PyErr::from(error).into_value(py),))?;
                None
            }
            opened => opened.and_then(Result::ok),
        };
        // The file of another thread that was first is kept: all locks are to be in one.
        Ok(self.0.get_or_init(|| file).as_ref())
    }

    /// The file, if it was opened.
    pub(super) fn opened(&self) -> Option<&LockFile> {
        self.0.get()?.as_ref()
    }

    /// Closes a file that was inherited from the process that forked this one: its locks end with that process.
    pub(crate) fn close_in_child(&self) {
        if let Some(file) = self.opened() {
            file.close();
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)] // types of C depend on the system
mod imp {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;

    #[cfg(target_vendor = "apple")]
    const OFD_SETLK: libc::c_int = 90;
    #[cfg(not(target_vendor = "apple"))]
    const OFD_SETLK: libc::c_int = libc::F_OFD_SETLK;

    /// The open file.
    pub(crate) struct LockFile(File);

    impl LockFile {
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
                .open(path)
                .map(Self)
        }

        /// Locks a byte; false if another process has it locked.
        ///
        /// True on a file system that has no such locks: a result that is made twice is better than none.
        pub(crate) fn try_lock(&self, place: u64) -> bool {
            let failed = self.set(place, libc::F_WRLCK as libc::c_short).err();
            let code = failed.and_then(|error| error.raw_os_error());
            !matches!(code, Some(libc::EAGAIN | libc::EACCES))
        }

        pub(crate) fn unlock(&self, place: u64) {
            // A lock that is there can be removed; it ends with the process at the latest.
            let _ = self.set(place, libc::F_UNLCK as libc::c_short);
        }

        /// Closes the file, which is not used any more.
        pub(crate) fn close(&self) {
            // SAFETY: an open descriptor. The runtime that has it is never used again, nor dropped.
            unsafe { libc::close(self.0.as_raw_fd()) };
        }

        fn set(&self, place: u64, kind: libc::c_short) -> io::Result<()> {
            // SAFETY: plain numbers, for which zeros are values; the process must be 0 for locks of open files.
            let mut lock: libc::flock = unsafe { std::mem::zeroed() };
            lock.l_type = kind;
            lock.l_whence = libc::SEEK_SET as libc::c_short;
            lock.l_start = place.cast_signed() as libc::off_t;
            lock.l_len = 1;
            loop {
                // SAFETY: an open descriptor, and a lock that outlives the call.
                if unsafe { libc::fcntl(self.0.as_raw_fd(), OFD_SETLK, &raw const lock) } == 0 {
                    return Ok(());
                }
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod imp {
    use std::io;
    use std::path::Path;

    /// No locks between processes: each makes what it wants.
    pub(crate) struct LockFile;

    impl LockFile {
        pub(crate) fn open(_: &Path) -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) fn try_lock(&self, _: u64) -> bool {
            true
        }

        pub(crate) fn unlock(&self, _: u64) {}

        pub(crate) fn close(&self) {}
    }
}

pub(super) use imp::LockFile;
