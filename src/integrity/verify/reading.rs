//! Reads and hashes files of the drive: each once, few at the same time, and in the order in which they lie.
//!
//! It judges nothing, and writes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::fs::content;
use crate::fs::tree::handle::Tree;
use crate::integrity::verify::error::{VerifyError, reason_of};
use crate::integrity::verify::options::Check;
use crate::integrity::verify::verifier::{Key, Seen, Verifier};
use crate::repository::versioning::Keeping;

/// Files that are read at the same time: more would make a disk seek.
const READERS: usize = 2;

impl Verifier<'_> {
    /// Reads files, each inode once.
    pub(super) fn read(
        &mut self,
        mut files: BTreeMap<(u64, PathBuf), u64>,
    ) -> Result<(), VerifyError> {
        if self.keeping == Keeping::Hardlink {
            let mut before = None;
            files.retain(|(ino, _), _| before.replace(*ino) != Some(*ino));
        }
        (self.check.planned)(files.values().sum());
        let (tree, check) = (self.tree, self.check);
        let results = Mutex::new(Vec::with_capacity(files.len()));
        // In their order, two at a time.
        let all_read = self.pool.install(|| {
            files.iter().par_bridge().try_for_each(|((ino, place), size)| {
                let seen = read_file(tree, place, *size, check)?;
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                results.push((*ino, place.clone(), seen));
                Some(())
            })
        });
        all_read.ok_or(VerifyError::Stopped)?;
        for (ino, place, seen) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let key = match self.keeping {
                Keeping::Hardlink => Key::Inode(ino),
                Keeping::Displace => Key::Place(place),
            };
            self.seen.insert(key, seen);
        }
        self.done.bytes = self.done.bytes.saturating_add(files.values().sum());
        Ok(())
    }
}

/// Reads and hashes files of so many bytes, two at a time and in this order; `None` if told to stop.
pub(crate) fn hash_files(
    tree: &Tree,
    files: &[(PathBuf, u64)],
    stop: &AtomicBool,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Option<Vec<Hashed>>, rayon::ThreadPoolBuildError> {
    let check = Check { quick: false, stop, planned: &|_| {}, told };
    let results = Mutex::new(Vec::with_capacity(files.len()));
    let all_read = readers()?.install(|| {
        files.iter().par_bridge().try_for_each(|(place, size)| {
            let hash = match read_file(tree, place, *size, &check)? {
                Seen::Hash(hash) => Ok(hash),
                Seen::Unreadable(why) => Err(why),
            };
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((place.clone(), hash));
            Some(())
        })
    });
    Ok(all_read.map(|()| results.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// A file that was read: its hash, or why not.
pub(crate) type Hashed = (PathBuf, Result<[u8; 32], String>);

pub(super) fn readers() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(READERS)
        .thread_name(|n| format!("bkm-reader-{n}"))
        .build()
}

/// Reads and hashes one file; `None` if told to stop.
fn read_file(tree: &Tree, place: &Path, size: u64, check: &Check<'_>) -> Option<Seen> {
    let file = match tree.open_file(place) {
        Ok(Some(file)) => file,
        Ok(None) => return Some(Seen::Unreadable("it is gone".to_owned())),
        Err(e) => return Some(Seen::Unreadable(reason_of(&e))),
    };
    let sparse = content::has_holes(&file, size);
    match content::hash_and_tell(&file, size, sparse, check.stop, check.told) {
        Ok(Some(hash)) => Some(Seen::Hash(hash)),
        Ok(None) => None,
        Err(e) => Some(Seen::Unreadable(e.to_string())),
    }
}
