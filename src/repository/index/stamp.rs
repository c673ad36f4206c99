//! The two-slot stamp: what a run without changes writes, and how far the index is known to be
//! durable.
//!
//! Two slots, a block apart, written in turn: a torn write hits one and leaves the other.

use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::fs::writer::DriveFile;
use crate::repository::index::log::checksum;
use crate::repository::layout;

/// Distance of the slots: the largest usual sector, so that one torn sector cannot take both.
const SLOT: u64 = 4096;

/// What the last runs left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// How many runs were finished on this repository.
    pub counter: u64,
    /// When the last of them ended, nanoseconds since 1970.
    pub time_ns: i64,
    /// Generation of the index.
    pub generation: u64,
    /// Up to which byte that index is durable.
    pub synced: u64,
    /// Fingerprint of the rules of the last run.
    pub rules: [u8; 32],
}

/// Reads the newer sound slot; `None` if neither is.
pub(crate) fn read(tree: &Tree) -> Result<Option<Stamp>, TreeError> {
    let Some(file) = tree.open_file(Path::new(layout::STAMP))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(2 * SLOT).read_to_end(&mut bytes).map_err(|source| TreeError {
        action: "read",
        path: tree.shown().join(layout::STAMP),
        source,
    })?;
    Ok(newer(&bytes))
}

/// The newer sound slot of a stamp file.
pub(crate) fn newer(bytes: &[u8]) -> Option<Stamp> {
    let slots = bytes.chunks(usize::try_from(SLOT).unwrap_or(usize::MAX));
    slots.filter_map(decode).max_by_key(|stamp| stamp.counter)
}

/// Writes `stamp` over the older slot; durable after [`DriveFile::sync`] of the returned file.
pub(crate) fn write<'t>(tree: &'t Tree, stamp: &Stamp) -> Result<DriveFile<'t>, TreeError> {
    let mut file = tree.open_record_file(Path::new(layout::STAMP), true)?;
    file.write_at(&encode(stamp), (stamp.counter % 2) * SLOT)?;
    Ok(file)
}

/// A slot is `checksum 16 bytes | length u8 | postcard`.
pub(crate) fn encode(stamp: &Stamp) -> Vec<u8> {
    // A struct of numbers always serialises; an empty slot would merely be unsound.
    let payload = postcard::to_stdvec(stamp).unwrap_or_default();
    let mut slot = checksum(0, u64::MAX, &payload).to_vec();
    slot.push(u8::try_from(payload.len()).unwrap_or(u8::MAX));
    slot.extend_from_slice(&payload);
    slot
}

fn decode(slot: &[u8]) -> Option<Stamp> {
    let (check, rest) = slot.split_at_checked(16)?;
    let (&length, rest) = rest.split_first()?;
    let payload = rest.get(..usize::from(length))?;
    if checksum(0, u64::MAX, payload) != check {
        return None;
    }
    postcard::from_bytes(payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.create_folder(Path::new(layout::META), 0o700, None).unwrap();
        assert_eq!(read(&tree).unwrap(), None);
        for counter in 1..=5 {
            let stamp = Stamp { counter, time_ns: 17, ..Stamp::default() };
            write(&tree, &stamp).unwrap();
            assert_eq!(read(&tree).unwrap(), Some(stamp));
        }
        let path = dir.path().join(layout::STAMP);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4096 + 20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&tree).unwrap().map(|s| s.counter), Some(4));
    }
}
