//! This computer's secret, and what is proved with it.
//!
//! The secret never leaves the computer and is never printed; on drives are only hashes keyed with it.

use std::fs::File;
use std::io::{self, Read as _};

use crate::repository::mark::Mark;

/// What is hashed begins with one of these, so that no hash can pass for another kind.
const COMPUTER: &[u8] = b"bkm-agent computer v1\n";

const TOKEN: &[u8] = b"bkm-agent pairing v1\n";

/// The secret.
pub(super) struct Secret([u8; 32]);

impl Secret {
    /// One that nobody knows yet.
    pub(super) fn new() -> io::Result<Self> {
        random().map(Self)
    }

    /// As it was stored; `None` if that is no secret.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// To be stored.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A new mark for the file system `uuid`.
    pub(super) fn mark(&self, uuid: &str, computer_name: String) -> io::Result<Mark> {
        let id = random()?;
        Ok(Mark {
            id,
            file_system: uuid.to_owned(),
            computer: self.computer(),
            computer_name,
            token: *self.token(&id, uuid).as_bytes(),
        })
    }

    /// Whether this computer made the mark.
    pub(super) fn made(&self, mark: &Mark) -> bool {
        // Compared in constant time (`blake3::Hash`).
        self.token(&mark.id, &mark.file_system) == blake3::Hash::from_bytes(mark.token)
    }

    /// What tells this computer from others.
    pub(super) fn computer(&self) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.0, COMPUTER);
        let mut short = [0; 16];
        short.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        short
    }

    fn token(&self, id: &[u8; 16], uuid: &str) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // The first two have one length each, so no two inputs give one text.
        hasher.update(TOKEN).update(id).update(uuid.to_ascii_lowercase().as_bytes());
        hasher.finalize()
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_convinces_its_own_computer_alone_and_only_as_it_was_made() {
        let (secret, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        let mark = secret.mark("B4C4-F001", "anna@host".to_owned()).unwrap();
        assert!(secret.made(&mark));
        assert!(secret.made(&Mark { file_system: "b4c4-f001".to_owned(), ..mark.clone() }));
        assert!(!other.made(&mark));
        assert_ne!(secret.computer(), other.computer());
        assert!(!secret.made(&Mark { id: [0; 16], ..mark.clone() }));
        assert!(!secret.made(&Mark { file_system: "B4C4-F002".to_owned(), ..mark.clone() }));
        assert!(!secret.made(&Mark { token: [0; 32], ..mark.clone() }));
        let again = Secret::from_bytes(secret.bytes()).unwrap();
        assert!(again.made(&mark));
        assert!(Secret::from_bytes(b"short").is_none());
    }
}
