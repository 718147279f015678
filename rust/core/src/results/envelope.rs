//! A record: a value as bytes, with all that must be known before it is looked at.
//!
//! ```text
//! offset  bytes
//!      0      6  magic
//!      6      2  version
//!      8      8  check: the beginning of BLAKE3(magic, version)
//!     16      1  codec: what reads the payload
//!     17      1  flags
//!     18      2  zero
//!     20      4  length of the key
//!     24      4  length of the metadata
//!     28      8  created
//!     36      8  expires; all ones is never
//!     44      8  length of the value as its codec sees it
//!     52      8  length of the payload
//!     60      8  which key signed; zero if none did
//!     68         key, metadata, payload
//!            32  tag
//! ```
//!
//! Numbers are little-endian, times are Unix times in nanoseconds. The tag is BLAKE3 of all bytes before it, keyed if
//! the record is signed. So no bit can be flipped, nothing cut off or appended, and nothing put under another key.
//!
//! The first 16 bytes keep their form in all versions, so that a newer record can be told from a damaged one. Nothing is
//! allocated by what a record says of itself: lengths must add up to the bytes that are there.

use std::ops::Range;

use super::keys::{Keys, SigningKey};

pub const VERSION: u16 = 1;
pub const MAGIC: [u8; 6] = *b"\x8foxrec";
/// The bytes before the key.
pub const FIXED: usize = 68;
/// The bytes after the payload.
pub const TAG: usize = 32;
const NEVER: u64 = u64::MAX;
const SIGNED: u8 = 1;
const APART: u8 = 2;

/// What reads the payload.
pub mod codec {
    /// The serializer that the metadata names.
    pub const SERIALIZER: u8 = 0;
    /// [`values`](crate::results::values).
    pub const PLAIN: u8 = 1;
    /// A pickle.
    pub const PICKLE: u8 = 2;
    /// Nothing: the payload is the value.
    pub const RAW: u8 = 3;
}

/// Why a record is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is no record, or not what was written.
    Damaged(&'static str),
    /// It belongs to this key.
    OtherKey(String),
    /// It was signed by somebody else.
    NotSigned,
    /// A newer version has written it.
    Newer(u16),
}

/// What is said of a value.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    pub key: &'a str,
    pub codec: u8,
    pub metadata: &'a [u8],
    pub created: u64,
    pub expires: Option<u64>,
}

/// Where in a verified record things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub codec: u8,
    pub is_signed: bool,
    pub created: u64,
    pub expires: Option<u64>,
    /// The length of the value: that of the payload, unless that is a digest.
    pub length: u64,
    pub key: Range<usize>,
    pub metadata: Range<usize>,
    pub payload: Range<usize>,
    is_apart: bool,
}

impl Layout {
    /// Whether the record still counts.
    pub fn counts(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }

    /// Whether the value is kept elsewhere, and the payload is its digest.
    pub fn is_apart(&self) -> bool {
        self.is_apart
    }

    /// Whether `value` is the one that was described, of a record whose value is kept elsewhere.
    pub fn describes(&self, record: &[u8], value: &[u8]) -> bool {
        let digest = <[u8; 32]>::try_from(&record[self.payload.clone()]);
        self.is_apart
            && self.length == value.len() as u64
            && digest.is_ok_and(|digest| blake3::hash(value) == blake3::Hash::from(digest))
    }
}

/// A record that is being written: the payload is appended to `bytes`.
pub struct Sealer {
    pub bytes: Vec<u8>,
    start: usize,
    signer: Option<SigningKey>,
}

/// Room for the lengths of keys and metadata.
const MAX_PART: usize = u32::MAX as usize;

impl Sealer {
    /// Begins a record in a buffer of the caller; signed by the first of `keys`, if any are given.
    ///
    /// Keys and metadata that do not fit in 32 bits are the caller's error and are refused by [`open`].
    #[allow(clippy::cast_possible_truncation)] // checked by `open`, and nobody has keys of 4 GiB
    pub fn new(mut bytes: Vec<u8>, label: &Label<'_>, keys: Option<&Keys>) -> Self {
        bytes.clear();
        let signer = keys.and_then(Keys::first).cloned();
        debug_assert!(label.key.len() <= MAX_PART && label.metadata.len() <= MAX_PART);
        bytes.reserve(FIXED + label.key.len() + label.metadata.len() + TAG + 64);
        bytes.extend_from_slice(&preamble(VERSION));
        bytes.extend_from_slice(&[label.codec, u8::from(signer.is_some()) * SIGNED, 0, 0]);
        bytes.extend_from_slice(&(label.key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(label.metadata.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&label.created.to_le_bytes());
        bytes.extend_from_slice(&label.expires.unwrap_or(NEVER).to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&signer.as_ref().map(SigningKey::id).unwrap_or_default());
        bytes.extend_from_slice(label.key.as_bytes());
        bytes.extend_from_slice(label.metadata);
        let start = bytes.len();
        Self { bytes, start, signer }
    }

    /// What reads the payload, if that is found out while it is written.
    pub fn set_codec(&mut self, codec: u8) {
        self.bytes[16] = codec;
    }

    /// Drops the payload written so far.
    pub fn restart(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// The record, whose payload is all that was appended.
    pub fn finish(mut self) -> Vec<u8> {
        let length = (self.bytes.len() - self.start) as u64;
        self.lengths(length, length);
        self.tag();
        self.bytes
    }

    /// The record of a value that is kept elsewhere.
    pub fn finish_apart(mut self, value: &[u8]) -> Vec<u8> {
        self.restart();
        self.bytes[17] |= APART;
        self.bytes.extend_from_slice(blake3::hash(value).as_bytes());
        self.lengths(value.len() as u64, 32);
        self.tag();
        self.bytes
    }

    fn lengths(&mut self, value: u64, payload: u64) {
        self.bytes[44..52].copy_from_slice(&value.to_le_bytes());
        self.bytes[52..60].copy_from_slice(&payload.to_le_bytes());
    }

    fn tag(&mut self) {
        let signer = self.signer.as_ref();
        let tag = signer.map_or_else(|| blake3::hash(&self.bytes), |key| key.sign(&self.bytes));
        self.bytes.extend_from_slice(tag.as_bytes());
    }
}

/// Writes a record whose payload is there.
pub fn seal(label: &Label<'_>, payload: &[u8], keys: Option<&Keys>) -> Vec<u8> {
    let mut sealer = Sealer::new(Vec::new(), label, keys);
    sealer.bytes.reserve(payload.len() + TAG);
    sealer.bytes.extend_from_slice(payload);
    sealer.finish()
}

/// The first 16 bytes of a record.
pub fn preamble(version: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&MAGIC);
    bytes[6..8].copy_from_slice(&version.to_le_bytes());
    let check = blake3::hash(&bytes[..8]);
    bytes[8..].copy_from_slice(&check.as_bytes()[..8]);
    bytes
}

/// Verifies a record, which must be of `key` if one is given.
///
/// A record that is not signed is given too: its layout says so.
pub fn open(bytes: &[u8], key: Option<&str>, keys: &Keys) -> Result<Layout, Refusal> {
    let Some(given) = bytes.first_chunk::<16>() else {
        let what = if MAGIC.starts_with(&bytes[..bytes.len().min(6)]) {
            "its beginning is cut off"
        } else {
            "it was not written by oxtask"
        };
        return Err(Refusal::Damaged(what));
    };
    if given[..6] != MAGIC {
        return Err(Refusal::Damaged("it was not written by oxtask"));
    }
    let version = u16::from_le_bytes([given[6], given[7]]);
    if *given != preamble(version) {
        return Err(Refusal::Damaged("its beginning is damaged"));
    }
    if version > VERSION {
        return Err(Refusal::Newer(version));
    }
    let layout = laid_out(bytes).ok_or(Refusal::Damaged("its content is not what was written"))?;
    verify(bytes, &layout, keys)?;
    let owner = std::str::from_utf8(&bytes[layout.key.clone()])
        .map_err(|_| Refusal::Damaged("its key is no text"))?;
    match key {
        Some(key) if key != owner => Err(Refusal::OtherKey(owner.to_owned())),
        _ => Ok(layout),
    }
}

/// Where in a record things are that this process has made.
pub(crate) fn layout(bytes: &[u8]) -> Option<Layout> {
    laid_out(bytes)
}

/// What a record says of itself, if its lengths add up.
fn laid_out(bytes: &[u8]) -> Option<Layout> {
    let number = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let size = |at: usize| {
        let size = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
        usize::try_from(size).ok()
    };
    let flags = *bytes.get(17)?;
    if flags & !(SIGNED | APART) != 0 || bytes.get(18..20)? != [0, 0] {
        return None;
    }
    let key = FIXED..FIXED.checked_add(size(20)?)?;
    let metadata = key.end..key.end.checked_add(size(24)?)?;
    let length = number(52)?;
    let payload = metadata.end..metadata.end.checked_add(usize::try_from(length).ok()?)?;
    let expires = number(36)?;
    let layout = Layout {
        codec: bytes[16],
        is_signed: flags & SIGNED != 0,
        is_apart: flags & APART != 0,
        created: number(28)?,
        expires: (expires != NEVER).then_some(expires),
        length: number(44)?,
        key,
        metadata,
        payload,
    };
    let fits = layout.payload.end.checked_add(TAG)? == bytes.len();
    let agrees = if layout.is_apart { length == 32 } else { layout.length == length };
    (fits && agrees).then_some(layout)
}

fn verify(bytes: &[u8], layout: &Layout, keys: &Keys) -> Result<(), Refusal> {
    let (covered, tag) = bytes.split_at(layout.payload.end);
    let tag = <[u8; TAG]>::try_from(tag).map_or(blake3::Hash::from([0; TAG]), blake3::Hash::from);
    let mut signer = [0; 8];
    signer.copy_from_slice(&bytes[60..68]);
    if !layout.is_signed {
        let is_whole = signer == [0; 8] && blake3::hash(covered) == tag;
        return is_whole
            .then_some(())
            .ok_or(Refusal::Damaged("its content is not what was written"));
    }
    let mut is_known = false;
    for key in keys.named(signer) {
        is_known = true;
        if key.sign(covered) == tag {
            return Ok(());
        }
    }
    Err(if is_known {
        Refusal::Damaged("its content is not what was written")
    } else {
        Refusal::NotSigned
    })
}

/// The key that a record says it has, and when it expires, without verifying any of it.
pub fn claims(bytes: &[u8]) -> Option<(&str, Option<u64>)> {
    let size = u32::from_le_bytes(*bytes.get(20..)?.first_chunk()?);
    let expires = u64::from_le_bytes(*bytes.get(36..)?.first_chunk()?);
    let key = bytes.get(FIXED..FIXED.checked_add(usize::try_from(size).ok()?)?)?;
    Some((std::str::from_utf8(key).ok()?, (expires != NEVER).then_some(expires)))
}
