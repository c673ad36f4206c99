//! Brings files back: one, a folder, what a mask matches, or the whole tree, as of now or then.
//!
//! It writes below the destination alone, through the same module that keeps drive operations beneath
//! an open handle, so that no symbolic link there or in the backup leads it elsewhere. A file gets its
//! name when it is whole and its hash was checked; an existing one is only replaced if asked. Called by
//! `cli`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use rustix::io::Errno;
use serde::Serialize;

use super::timeline::{Body, Version, Versions};
use crate::drive::content::{self, CopyError};
use crate::drive::tree::{Tree, TreeError};
use crate::problem::Problem;
use crate::relpath::RelPath;

/// Longest mask that is taken, as for rules.
const MAX_MASK: usize = 4096;

/// What is said of a version that is not what was backed up.
const DAMAGED: &str = "the copy on the drive is damaged: its content is not what was backed up";

/// What to restore.
#[derive(Debug, Default)]
pub struct Selection {
    paths: Vec<RelPath>,
    by_name: GlobSet,
    by_path: GlobSet,
    everything: bool,
}

/// How a restore is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Replaces files that exist.
    pub overwrite: bool,
    /// Gives set-id bits back as well. A drive that was in other hands could give anybody a privilege with
    /// them, so that is asked for.
    pub keep_set_id: bool,
}

/// Why a restore cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A mask is not a glob.
    #[error("the mask '{mask}' is not a pattern: {reason}")]
    Mask {
        /// Which one.
        mask: String,
        /// Why.
        reason: String,
    },
    /// The backup has no such path.
    #[error("the backup has nothing at '{0}'")]
    NothingAt(RelPath),
    /// No path matches.
    #[error("nothing in the backup matches")]
    NothingMatches,
    /// The destination cannot be written.
    #[error(transparent)]
    Destination(#[from] TreeError),
    /// Told to stop.
    #[error("stopped; {0} files were restored, each of them whole")]
    Stopped(u64),
}

/// What a restore did.
#[derive(Debug, Default, Serialize)]
pub struct Restored {
    /// Files and links that were put in place.
    pub restored: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Folders that were made or given their attributes.
    pub folders: u64,
    /// What could not be done.
    pub problems: Vec<Problem>,
}

impl Selection {
    /// Selects `paths` with all below them and what `masks` match; without either, everything. A mask
    /// without `/` is matched against the name, one with `/` against the path.
    pub fn new(paths: Vec<RelPath>, masks: &[String]) -> Result<Self, RestoreError> {
        let (mut by_name, mut by_path) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for mask in masks {
            let bad = |reason: String| RestoreError::Mask { mask: mask.clone(), reason };
            if mask.len() > MAX_MASK || mask.matches('{').count() > 16 {
                return Err(bad("it is too long".to_owned()));
            }
            let glob = GlobBuilder::new(mask.trim_start_matches("./"))
                .literal_separator(true)
                .build()
                .map_err(|e| bad(e.kind().to_string()))?;
            if mask.contains('/') { &mut by_path } else { &mut by_name }.add(glob);
        }
        let build = |set: &GlobSetBuilder| {
            set.build().map_err(|e| RestoreError::Mask {
                mask: masks.join(" "),
                reason: e.kind().to_string(),
            })
        };
        Ok(Self {
            everything: paths.is_empty() && masks.is_empty(),
            paths,
            by_name: build(&by_name)?,
            by_path: build(&by_path)?,
        })
    }

    /// How many bytes are to be restored of `versions`; an error if nothing is, or nothing at a path that
    /// was named.
    pub fn bytes(&self, versions: &Versions) -> Result<u64, RestoreError> {
        let picked = self.pick(versions)?;
        Ok(picked.iter().fold(0, |sum: u64, (_, version)| {
            sum.saturating_add(match &version.body {
                Body::File { size, .. } => *size,
                Body::Link(_) | Body::Folder => 0,
            })
        }))
    }

    /// Whether it picks `path`.
    pub fn selects(&self, path: &RelPath) -> bool {
        self.everything
            || self.paths.iter().any(|p| p == path || path.is_below(p))
            || self.by_name.is_match(path.name())
            || self.by_path.is_match(path.as_path())
    }

    /// The selected versions; what is named and not there is an error.
    fn pick<'v>(
        &self,
        versions: &'v Versions,
    ) -> Result<Vec<(&'v RelPath, &'v Version)>, RestoreError> {
        for path in &self.paths {
            if !versions.keys().any(|p| p == path || p.is_below(path)) {
                return Err(RestoreError::NothingAt(path.clone()));
            }
        }
        let picked: Vec<_> = versions.iter().filter(|(path, _)| self.selects(path)).collect();
        if picked.is_empty() { Err(RestoreError::NothingMatches) } else { Ok(picked) }
    }
}

/// Restores what `selection` picks of `versions` from `repository` to `destination`, which exists.
/// `told` hears of bytes as they are written.
pub fn restore(
    repository: &Tree,
    versions: &Versions,
    selection: &Selection,
    destination: &Tree,
    how: How,
    stop: &AtomicBool,
    told: &dyn Fn(u64),
) -> Result<Restored, RestoreError> {
    let picked = selection.pick(versions)?;
    let mut restorer = Restorer {
        repository,
        destination,
        how,
        stop,
        told,
        done: Restored::default(),
        linked: HashMap::new(),
        root: rustix::process::geteuid().is_root(),
        uid: rustix::process::geteuid().as_raw(),
    };
    for (path, version) in &picked {
        if stop.load(Ordering::Relaxed) {
            return Err(RestoreError::Stopped(restorer.done.restored));
        }
        match restorer.one(path, version) {
            Ok(()) => {}
            Err(Failure::Stopped) => return Err(RestoreError::Stopped(restorer.done.restored)),
            Err(Failure::Problem(reason)) => restorer.problem(path, reason),
            // A full or failing destination ends it: every further file would fail as well.
            Err(Failure::Destination(e))
                if e.is(Errno::NOSPC) || e.is(Errno::IO) || e.is(Errno::ROFS) =>
            {
                return Err(e.into());
            }
            Err(Failure::Destination(e)) => restorer.problem(path, reason_of(&e)),
        }
    }
    // Inner folders first, and after all files: each entry that is made changes its folder's time.
    for (path, version) in picked.iter().rev().filter(|(_, v)| v.body == Body::Folder) {
        if let Err(e) = restorer.folder_attributes(path, version) {
            restorer.problem(path, reason_of(&e));
        }
    }
    Ok(restorer.done)
}

enum Failure {
    Stopped,
    Problem(String),
    Destination(TreeError),
}

impl From<TreeError> for Failure {
    fn from(e: TreeError) -> Self {
        Self::Destination(e)
    }
}

pub(super) struct Restorer<'a> {
    repository: &'a Tree,
    pub(super) destination: &'a Tree,
    pub(super) how: How,
    stop: &'a AtomicBool,
    told: &'a dyn Fn(u64),
    done: Restored,
    /// First restored name of files that were hard links to one another.
    linked: HashMap<(String, [u8; 32], i64), PathBuf>,
    pub(super) root: bool,
    pub(super) uid: u32,
}

impl Restorer<'_> {
    pub(super) fn problem(&mut self, path: &RelPath, reason: impl Into<String>) {
        self.done.problems.push(Problem::new(path.clone(), reason));
    }

    fn one(&mut self, path: &RelPath, version: &Version) -> Result<(), Failure> {
        let to = path.as_path();
        if let Some(parent) = to.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.destination.create_folders_by_umask(parent)?;
        }
        if version.body == Body::Folder {
            // Open to us until its content is in place; its own attributes come last.
            self.destination.create_folder(to, 0o700, None)?;
            self.done.folders += 1;
            return Ok(());
        }
        if let Some(found) = self.destination.stat(to)? {
            if !self.how.overwrite {
                return Err(Failure::Problem("exists already; --overwrite replaces it".to_owned()));
            }
            if found.file_type.is_dir() {
                return Err(Failure::Problem("a folder stands in its place".to_owned()));
            }
        }
        let mut name = std::ffi::OsString::from(".bkm-restore-");
        name.push(std::process::id().to_string());
        let staged = to.with_file_name(name);
        self.destination.remove_file(&staged)?;
        let made = self.make(path, version, &staged);
        if let Err(failure) = made {
            self.destination.remove_file(&staged)?;
            return Err(failure);
        }
        if self.how.overwrite {
            self.destination.rename_over(&staged, to)?;
            // Two names of one inode: a rename between them does nothing.
            self.destination.remove_file(&staged)?;
        } else if let Err(e) = self.destination.rename_new(&staged, to) {
            self.destination.remove_file(&staged)?;
            return Err(e.into());
        }
        self.done.restored += 1;
        Ok(())
    }

    fn make(&mut self, path: &RelPath, version: &Version, staged: &Path) -> Result<(), Failure> {
        match &version.body {
            Body::Folder => Ok(()),
            Body::Link(target) => {
                let attributes = self.attributes(version);
                self.destination.create_link(staged, target, &attributes)?;
                let made = self.destination.stat(staged)?;
                self.say_lost(path, version, made);
                Ok(())
            }
            Body::File { size, hash, places, linked } => {
                let key = linked.clone().zip(*hash).map(|(id, hash)| (id, hash, version.mtime_ns));
                if let Some(first) = key.as_ref().and_then(|key| self.linked.get(key)) {
                    // Where the destination has no hard links, a copy of its own is the next best.
                    if self.destination.link(first, staged).is_ok() {
                        return Ok(());
                    }
                }
                self.copy(path, version, staged, *size, *hash, places)?;
                if let Some(key) = key {
                    self.linked.insert(key, path.as_path().to_owned());
                }
                self.done.bytes += size;
                Ok(())
            }
        }
    }

    fn copy(
        &mut self,
        path: &RelPath,
        version: &Version,
        staged: &Path,
        size: u64,
        hash: Option<[u8; 32]>,
        places: &[PathBuf],
    ) -> Result<(), Failure> {
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
            let mut to = self.destination.create_file(staged, 0o600)?;
            let sparse = content::has_holes(&from, size);
            match content::copy(&from, size, sparse, &mut to, 0, self.stop, self.told) {
                Ok((len, now)) if len == size && hash.is_none_or(|hash| hash == now) => {
                    self.finish(path, version, &mut to)?;
                    return Ok(());
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
            self.destination.remove_file(staged)?;
        }
        Err(Failure::Problem(wrong.unwrap_or_else(|| "it is missing from the drive".to_owned())))
    }
}

fn reason_of(e: &TreeError) -> String {
    format!("{e}: {}", e.source)
}
