//! Puts a file or link in its place: whole, checked, with its attributes, by a rename.
//!
//! Until then it has a name of ours beside its place, the same at each try, so that a restore which was
//! cut off goes on with the part that is there, and leaves nothing behind.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::fs::content::{self, CopyError};
use crate::fs::stat::Found;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::fs::writer::DriveFile;
use crate::history::timeline::{Body, Proof, Version};
use crate::model::relpath::RelPath;
use crate::restore::decide::link_key;
use crate::restore::restorer::{Failure, Restorer, reason_of};

/// What is said of a version that is not what was backed up.
const DAMAGED: &str = "the copy on the drive is damaged: its content is not what was backed up";

/// How the names of unfinished files begin; 32 hexadecimal digits follow.
const PART: &str = ".bkm-restore-";

/// Most names of a folder that are looked through for what a killed restore left.
const MOST_NAMES: usize = 1_000_000;

/// The unfinished file of what is to be at `to`.
fn part_of(to: &RelPath) -> PathBuf {
    let hash = blake3::hash(to.as_bytes()).to_hex();
    to.as_path().with_file_name(format!("{PART}{}", hash.get(..32).unwrap_or_default()))
}

fn is_part(name: &[u8]) -> bool {
    let digits = name.strip_prefix(PART.as_bytes());
    digits
        .is_some_and(|d| d.len() == 32 && d.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

impl Restorer<'_> {
    /// Puts the version of `path` to `to`, over what is there if `replace`.
    pub(super) fn put(
        &mut self,
        path: &RelPath,
        version: &Version,
        to: &RelPath,
        replace: bool,
    ) -> Result<(), Failure> {
        let part = part_of(to);
        let ino = match self.make(path, version, &part, to) {
            Ok(ino) => ino,
            // The part is there for the next try.
            Err(Failure::Stopped) => return Err(Failure::Stopped),
            Err(failure) => {
                self.destination.remove_file(&part)?;
                return Err(failure);
            }
        };
        let placed = if replace {
            self.replace(&part, to.as_path())
        } else {
            self.destination.rename_new(&part, to.as_path())
        };
        if let Err(e) = placed {
            self.destination.remove_file(&part)?;
            return Err(e.into());
        }
        self.put.insert(ino);
        self.done.restored += 1;
        Ok(())
    }

    fn replace(&self, part: &Path, to: &Path) -> Result<(), TreeError> {
        if self.destination.stat(to)?.is_some_and(|found| found.file_type.is_dir()) {
            // Empty, or this fails.
            self.destination.remove_folder(to)?;
        }
        self.destination.rename_over(part, to)?;
        // Two names of one inode: a rename between them does nothing.
        self.destination.remove_file(part).map(drop)
    }

    /// Makes what is to be at `to` under the name `part`; returns its inode.
    fn make(
        &mut self,
        path: &RelPath,
        version: &Version,
        part: &Path,
        to: &RelPath,
    ) -> Result<u64, Failure> {
        match &version.body {
            Body::Folder => Ok(0),
            Body::Link(target) => {
                self.destination.remove_file(part)?;
                let attributes = self.attributes(version);
                self.destination.create_link(part, target, &attributes)?;
                let made = self.destination.stat(part)?;
                self.say_lost(path, version, made);
                Ok(made.map_or(0, |made| made.ino))
            }
            Body::File { size, hash, places, .. } => {
                let key = link_key(version);
                if let Some((first, ino)) = key.as_ref().and_then(|key| self.linked.get(key)) {
                    self.destination.remove_file(part)?;
                    // Where the destination has no hard links, a copy of its own is the next best.
                    if self.destination.link(first, part).is_ok() {
                        (self.told)(*size);
                        return Ok(*ino);
                    }
                }
                let ino = self.copy(path, version, part, *size, *hash, places)?;
                if let Some(key) = key {
                    self.linked.insert(key, (to.as_path().to_owned(), ino));
                }
                self.done.bytes += size;
                self.done.unproven += u64::from(version.proof == Proof::Unproven);
                Ok(ino)
            }
        }
    }

    fn copy(
        &mut self,
        path: &RelPath,
        version: &Version,
        part: &Path,
        size: u64,
        hash: Option<[u8; 32]>,
        places: &[PathBuf],
    ) -> Result<u64, Failure> {
        // What is wrong at the first place says most: it should lie there.
        let mut wrong: Option<String> = None;
        for place in places {
            let from = match self.repository.open_file(place) {
                Ok(Some(from)) => from,
                Ok(None) => continue,
                Err(e) => {
                    wrong.get_or_insert(reason_of(&e));
                    continue;
                }
            };
            // A length that the file has not would be filled up with the zeros of a hole.
            if from.metadata().is_ok_and(|meta| meta.len() != size) {
                wrong.get_or_insert(DAMAGED.to_owned());
                continue;
            }
            let (mut to, there) = open_part(self.destination, self.uid, part)?;
            let sparse = content::has_holes(&from, size);
            match content::copy(&from, size, sparse, &mut to, there, self.stop, self.told) {
                Ok((len, now)) if len == size && hash.is_none_or(|hash| hash == now) => {
                    return Ok(self.finish(path, version, &mut to)?);
                }
                Ok(_) => {
                    wrong.get_or_insert(DAMAGED.to_owned());
                }
                Err(CopyError::Stopped) => return Err(Failure::Stopped),
                Err(CopyError::Drive(e)) => return Err(e.into()),
                Err(CopyError::Source(e)) => {
                    wrong.get_or_insert(format!("cannot be read from the drive: {e}"));
                }
            }
            drop(to);
            self.destination.remove_file(part)?;
        }
        Err(Failure::Problem(wrong.unwrap_or_else(|| "it is missing from the drive".to_owned())))
    }

    /// Gives what exists with the right content its attributes.
    pub(super) fn put_right(&mut self, path: &RelPath, version: &Version) -> Result<(), Failure> {
        let Some(mut file) = self.destination.open_for_attributes(path.as_path())? else {
            return Err(Failure::Problem("it was taken away meanwhile".to_owned()));
        };
        self.finish(path, version, &mut file)?;
        Ok(())
    }

    /// Removes what an earlier restore that was killed left in the folders of this one, but nothing that the
    /// backup has.
    pub(super) fn remove_leftovers(&mut self, picked: &[(&RelPath, &Version)]) {
        let files = picked.iter().filter(|(_, version)| version.body != Body::Folder);
        let folders: BTreeSet<Option<RelPath>> = files.map(|(path, _)| path.parent()).collect();
        for folder in folders {
            let at = folder.as_ref().map_or(Path::new(""), RelPath::as_path);
            // A folder that cannot be listed was a problem before, or is too large to care.
            let names = self.destination.list(at, MOST_NAMES).unwrap_or_default();
            for name in names.iter().filter(|name| is_part(name.as_bytes())) {
                let Ok(path) = RelPath::child(folder.as_ref(), name) else { continue };
                let is_folder = |found: Found| found.file_type.is_dir();
                if !self.versions.contains_key(&path)
                    && !self.destination.stat(path.as_path()).ok().flatten().is_none_or(is_folder)
                    && let Err(e) = self.destination.remove_file(path.as_path())
                {
                    self.problem(&path, reason_of(&e));
                }
            }
        }
    }
}

/// Opens an unfinished file; returns how much an earlier try left in it, which is compared before it is kept.
/// One that somebody other than `uid` could write to, or that has another name, is not gone on with.
fn open_part<'t>(
    destination: &'t Tree,
    uid: u32,
    part: &Path,
) -> Result<(DriveFile<'t>, u64), TreeError> {
    if let Some(found) = destination.stat(part)? {
        let ours = found.file_type.is_file()
            && found.nlink == 1
            && found.uid == uid
            && found.mode & 0o022 == 0;
        if ours && let Ok(file) = destination.open_record_file(part, false) {
            return Ok((file, found.size));
        }
        destination.remove_file(part)?;
    }
    Ok((destination.create_file(part, 0o600)?, 0))
}
