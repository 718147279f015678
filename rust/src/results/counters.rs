//! The counters of `oxtask_core::results::generations`, in a file that all processes map.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use oxtask_core::results::error::PackError;
use oxtask_core::results::generations::{BYTES, Counters};

const NAME: &str = "results.generations";

struct Mapped(NonNull<AtomicU32>);

// SAFETY: atomics may be used by all threads, and the memory stays mapped until this is dropped.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Counters for Mapped {
    fn all(&self) -> &[AtomicU32] {
        // SAFETY: so many bytes are mapped for as long as `self` lives, and changed by atomics only.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), BYTES / size_of::<AtomicU32>()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and nobody has a reference any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), BYTES) };
    }
}

/// Maps the counters of a folder.
pub(super) fn share(folder: &Path) -> Result<Box<dyn Counters>, PackError> {
    let path = folder.join(NAME);
    map(&path).map_err(|error| PackError::io(&error, &path))
}

fn map(path: &Path) -> io::Result<Box<dyn Counters>> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let length = usize::try_from(found.len()).unwrap_or(BYTES);
    if length < BYTES {
        // Written out, so that a full disk is an error here and not a signal later.
        file.write_all(&vec![0; BYTES - length])?;
    }
    // SAFETY: a new mapping of a regular file of at least so many bytes, at an address that the system chooses. Others
    // who may write the file, which is this user only, could cut it off; so they could kill the process.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
    Ok(Box::new(Mapped(start)))
}
