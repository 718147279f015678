//! Packs in folders that are gone after the test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oxtask_core::results::envelope::{Label, codec, seal};
use oxtask_core::results::generations;
use oxtask_core::results::keys::Keys;
use oxtask_core::results::pack::{Found, Host, Options, Pack, Patience};

pub(crate) const NOW: u64 = 1_900_000_000_000_000_000;

pub(crate) struct Folder(PathBuf);

static COUNT: AtomicU64 = AtomicU64::new(0);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("oxtask-results-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn open(&self, options: Options) -> Pack {
        let random = AtomicU64::new(number());
        let random = move || {
            // Numbers that come one after the other, spread by an odd factor.
            random.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        let share = |_: &Path| Ok(generations::private());
        let host = Host { share: &share, random: Box::new(random), process: || 0 };
        Pack::open(&self.0, options, keys(), host).unwrap()
    }

    /// All files below a subfolder.
    pub(crate) fn files(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.join(name)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn number() -> u64 {
    COUNT.fetch_add(1, Ordering::Relaxed) << 32 | u64::from(std::process::id())
}

pub(crate) fn keys() -> Keys {
    Keys::new([b"0123456789abcdef"])
}

pub(crate) fn sealed(key: &str, value: &[u8], expires: Option<u64>) -> Vec<u8> {
    let label = Label { key, codec: codec::RAW, metadata: b"", created: NOW, expires };
    seal(&label, value, Some(&keys()))
}

pub(crate) fn put(pack: &Pack, key: &str, value: &[u8], now: u64) {
    if pack.put(key, &mut sealed(key, value, None), now, Patience::Waits).unwrap() {
        pack.upkeep().unwrap();
    }
}

pub(crate) fn get(pack: &Pack, key: &str, now: u64) -> Option<Vec<u8>> {
    match pack.get(key, now, Patience::Waits).unwrap() {
        Found::Record(record) if record.layout.counts(now) => Some(record.payload().to_vec()),
        Found::Record(_) | Found::Nothing => None,
        Found::Refused(refusal) => panic!("{refusal:?}"),
    }
}
