//! The keys by which records are signed: the first signs, all are accepted.
//!
//! What is kept here is derived from the bytes of the key file, for this one purpose. Comparing is the business of
//! `blake3::Hash`, which takes the same time wherever two differ.

/// How many bytes tell which key made a signature.
pub const KEY_ID: usize = 8;

const MAC: &str = "oxtask 2026-11 results: signature of a record";
const ID: &str = "oxtask 2026-11 results: name of a key";

/// One key.
#[derive(Clone)]
pub struct SigningKey {
    id: [u8; KEY_ID],
    mac: [u8; 32],
}

impl SigningKey {
    pub fn new(secret: &[u8]) -> Self {
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&blake3::derive_key(ID, secret)[..KEY_ID]);
        Self { id, mac: blake3::derive_key(MAC, secret) }
    }

    pub fn id(&self) -> [u8; KEY_ID] {
        self.id
    }

    pub(crate) fn sign(&self, data: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.mac, data)
    }
}

/// All keys of a user.
#[derive(Clone, Default)]
pub struct Keys(Vec<SigningKey>);

impl Keys {
    /// From the bytes of each key, the one that signs first.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        Self(secrets.into_iter().map(|secret| SigningKey::new(secret.as_ref())).collect())
    }

    /// The key that signs.
    pub fn first(&self) -> Option<&SigningKey> {
        self.0.first()
    }

    pub(crate) fn named(&self, id: [u8; KEY_ID]) -> impl Iterator<Item = &SigningKey> {
        self.0.iter().filter(move |key| key.id == id)
    }
}
