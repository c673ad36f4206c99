//! Brings damaged versions back: from another sound file of the drive, or from the source where that
//! still has exactly the recorded content.
//!
//! No version is made and no recorded hash changes: the content is staged as a fresh file, hashed while it
//! is copied, and takes the place of each damaged name in a batch that is journalled as those of a run are.
//! A damaged file is never written to. What is damaged is found by `verify`; a batch that was cut off is
//! ended by `recover`.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::publish::{expect, mismatch, with_parents};
use super::{displace, execute, publish, stage};
use crate::drive::attributes::Attributes;
use crate::drive::content::{self, CopyError};
use crate::drive::tree::{Tree, TreeError};
use crate::relpath::RelPath;
use crate::repository::format::Keeping;
use crate::repository::index::{Batch, Change, Closing, HealedName, Index};
use crate::repository::layout::{self, Within};
use crate::repository::record::Identity;
use crate::repository::{Repository, RepositoryError, Status};
use crate::select::Kind;
use crate::select::source::Source;

/// Most names that get one fresh file: as for a run, far below what file systems can do.
const MOST_NAMES: usize = stage::MAX_LINKS as usize - 1;

/// How staged files are called here.
const STAGED: &str = "heal-";

/// A batch has so many versions, or so many bytes, at most.
const BATCH_VERSIONS: usize = 256;
const BATCH_BYTES: u64 = 64 << 20;

/// A version whose content is to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Length in bytes.
    pub size: u64,
    /// BLAKE3 of its content; of a link's target.
    pub hash: [u8; 32],
    /// Where a symbolic link points; `None` for files.
    pub target: Option<Vec<u8>>,
    /// Attributes for the new file.
    pub attributes: Recorded,
    /// Its names.
    pub names: Vec<DamagedName>,
    /// Sound files of the drive that have its content.
    pub sound: Vec<PathBuf>,
}

/// A name of a damaged version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedName {
    /// In which folder.
    pub within: Within,
    /// The source's path.
    pub path: RelPath,
    /// The path in that folder.
    pub place: RelPath,
    /// What is there; `None`: nothing.
    pub found: Option<Identity>,
}

/// The source's attributes, as they are recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why healing ended early; what was healed until then stays.
#[derive(Debug, thiserror::Error)]
pub enum HealError {
    /// Told to stop.
    #[error("stopped; what was healed until then stays")]
    Stopped,
    /// A run has to be ended first.
    #[error(
        "an interrupted backup has to be ended before anything is healed: `bkm-agent run` does it"
    )]
    Unclosed,
    /// An operation on the drive failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<TreeError> for HealError {
    fn from(e: TreeError) -> Self {
        Self::Repository(e.into())
    }
}

/// Makes folders of the mirror that are missing, by places and modes.
pub fn heal_folders(tree: &Tree, folders: &[(RelPath, u32)]) -> Result<(), HealError> {
    for (place, mode) in folders {
        let path = layout::mirror(place);
        with_parents(tree, &path, || tree.create_folder(&path, (mode & 0o777) | 0o700, None))?;
    }
    tree.sync()?;
    Ok(())
}

/// Heals what it can of `damaged`; says of each whether it is. `told` hears of bytes as they are copied.
pub fn heal(
    repository: &mut Repository<'_>,
    damaged: &[Damaged],
    source: Option<&Source>,
    stop: &AtomicBool,
    told: &dyn Fn(u64),
) -> Result<Vec<bool>, HealError> {
    if repository.index().is_unclosed() {
        return Err(HealError::Unclosed);
    }
    let tree = repository.tree();
    crate::repository::clear_stage(tree, |name| !name.starts_with(STAGED))?;
    let keeping = repository.format().keeps_versions;
    let set_owner = rustix::process::geteuid().is_root();
    let healer = Healer { tree, source, keeping, set_owner, stop, told };
    repository.begin_run()?;
    let healed = healer.all(repository, damaged);
    if healed.is_err() {
        // Where that fails as well, the next run takes back what was in flight.
        let _settled = repository.settle();
    }
    let (healed, mut left) = healed?;
    repository.close_run(|_| Closing {
        status: Status::Interrupted,
        folder_time_s: 0,
        problems: Vec::new(),
        notes: Vec::new(),
    })?;
    execute::remove_left(tree, &mut left)?;
    Ok(healed)
}

struct Healer<'a> {
    tree: &'a Tree,
    source: Option<&'a Source>,
    keeping: Keeping,
    set_owner: bool,
    stop: &'a AtomicBool,
    told: &'a dyn Fn(u64),
}

impl Healer<'_> {
    /// Returns what was healed, and the staging names of damaged files that have left.
    fn all(
        &self,
        repository: &mut Repository<'_>,
        damaged: &[Damaged],
    ) -> Result<(Vec<bool>, Vec<String>), HealError> {
        let (mut healed, mut left) = (Vec::with_capacity(damaged.len()), Vec::new());
        let (mut changes, mut bytes, mut number) = (Vec::new(), 0_u64, 0_u64);
        for version in damaged {
            let mut whole = true;
            for names in version.names.chunks(MOST_NAMES) {
                number += 1;
                let stage = format!("{STAGED}{number}");
                match self.staged(version, names, &stage)? {
                    Some(change) => changes.push(change),
                    None => whole = false,
                }
                bytes = bytes.saturating_add(version.size);
            }
            healed.push(whole);
            if changes.len() >= BATCH_VERSIONS || bytes >= BATCH_BYTES {
                self.commit(repository, std::mem::take(&mut changes), &mut left)?;
                bytes = 0;
            }
        }
        self.commit(repository, changes, &mut left)?;
        Ok((healed, left))
    }

    fn commit(
        &self,
        repository: &mut Repository<'_>,
        changes: Vec<Change>,
        left: &mut Vec<String>,
    ) -> Result<(), HealError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.tree.sync()?;
        repository.begin_batch(Batch { run: None, changes })?;
        // Only now the index says that the batch before is not to be taken back.
        execute::remove_left(self.tree, left)?;
        if let Some(batch) = repository.index().pending() {
            match self.keeping {
                Keeping::Hardlink => {
                    publish::publish(self.tree, repository.index(), batch, self.set_owner, None)?;
                }
                Keeping::Displace => {
                    let mut published = displace::Published::default();
                    displace::publish(self.tree, repository.index(), batch, &mut published)?;
                    *left = published.left;
                }
            }
        }
        repository.finish_batch();
        Ok(())
    }

    /// Stages a fresh file for `names`; `None` if its content is nowhere.
    fn staged(
        &self,
        version: &Damaged,
        names: &[DamagedName],
        stage: &str,
    ) -> Result<Option<Change>, HealError> {
        let Some(first) = names.first() else { return Ok(None) };
        let Some(ino) = self.bring(version, &layout::staged(stage))? else { return Ok(None) };
        let (placed, means) = match self.keeping {
            Keeping::Hardlink => (ino, true),
            Keeping::Displace => (0, false),
        };
        let name = |name: &DamagedName| HealedName {
            within: name.within,
            path: name.path.clone(),
            place: name.place.clone(),
            found: name.found.map(|found| (if means { found.ino } else { 0 }, found.size)),
        };
        Ok(Some(Change::Heal {
            path: first.path.clone(),
            stage: stage.to_owned(),
            size: version.size,
            hash: version.hash,
            placed,
            names: names.iter().map(name).collect(),
        }))
    }

    /// Makes the file `staged`; returns its inode, or `None` if its content is nowhere.
    fn bring(&self, version: &Damaged, staged: &Path) -> Result<Option<u64>, HealError> {
        if let Some(target) = &version.target {
            self.tree.create_link(staged, target, &self.attributes(&version.attributes))?;
            return Ok(self.tree.stat(staged)?.map(|found| found.ino));
        }
        for place in &version.sound {
            if let Ok(Some(file)) = self.tree.open_file(place)
                && let Some(ino) = self.copy(version, &file, staged)?
            {
                return Ok(Some(ino));
            }
        }
        let Some(source) = self.source else { return Ok(None) };
        // Several increments can have the version under one path.
        let paths: BTreeSet<&RelPath> = version.names.iter().map(|name| &name.path).collect();
        for path in paths {
            let Some(file) = of_source(source, path, version.size) else { continue };
            if let Some(ino) = self.copy(version, &file, staged)? {
                return Ok(Some(ino));
            }
        }
        Ok(None)
    }

    /// Copies `from` if it has the content; returns the new inode.
    fn copy(
        &self,
        version: &Damaged,
        from: &File,
        staged: &Path,
    ) -> Result<Option<u64>, HealError> {
        let mut to = self.tree.create_file(staged, 0o600)?;
        let sparse = self.keeping == Keeping::Hardlink && content::has_holes(from, version.size);
        match content::copy(from, version.size, sparse, &mut to, 0, self.stop, self.told) {
            Ok(copied) if copied == (version.size, version.hash) => {
                for (name, value) in &version.attributes.xattrs {
                    to.set_xattr(name, value)?;
                }
                let ino = to.set_attributes(&self.attributes(&version.attributes))?;
                if self.tree.syncs_each_file() {
                    to.sync()?;
                }
                return Ok(Some(ino));
            }
            Ok(_) | Err(CopyError::Source(_)) => {}
            Err(CopyError::Stopped) => return Err(HealError::Stopped),
            Err(CopyError::Drive(e)) => return Err(e.into()),
        }
        drop(to);
        self.tree.remove_file(staged)?;
        Ok(None)
    }

    fn attributes(&self, recorded: &Recorded) -> Attributes {
        Attributes {
            mode: stage::mode_on_drive(recorded.mode),
            owner: self.set_owner.then_some((recorded.uid, recorded.gid)),
            mtime_ns: recorded.mtime_ns,
        }
    }
}

/// The source's file, if it can have the content.
fn of_source(source: &Source, path: &RelPath, size: u64) -> Option<File> {
    let file = File::from(source.open_file(path).ok()?);
    let stat = source.stat_fd(&file).ok()?;
    (stat.kind == Kind::File && stat.size == size).then_some(file)
}

/// Where a drive has links: puts the staged file in the place of each damaged name. Doing it again does no
/// harm. `again`: the staged file is not taken on trust.
pub(super) fn put_in_place(
    tree: &Tree,
    index: &Index,
    stage: &str,
    new: Identity,
    names: &[HealedName],
    again: bool,
) -> Result<(), RepositoryError> {
    let staged = layout::staged(stage);
    let one_more = layout::staged(&format!("{stage}-name"));
    if again && tree.stat(&staged)?.is_some() {
        expect(tree, &staged, new)?;
    }
    for name in names {
        let Some(path) = name.within.path(index, &name.place) else { continue };
        match tree.stat(&path)? {
            Some(found) if new.is(&found) => {}
            Some(found) if name.found().is_some_and(|damaged| damaged.is(&found)) => {
                tree.remove_file(&one_more)?;
                tree.link(&staged, &one_more)?;
                tree.rename_over(&one_more, &path)?;
            }
            // Nothing was there, or somebody removed it: putting it there loses nothing.
            None => with_parents(tree, &path, || tree.link(&staged, &path))?,
            Some(found) => return Err(mismatch(tree, &path, Some(&found))),
        }
    }
    tree.remove_file(&one_more)?;
    tree.remove_file(&staged)?;
    Ok(())
}

/// The staging name of a damaged file that is being replaced on a drive without links.
pub(super) fn damaged_name(stage: &str) -> String {
    format!("{stage}-damaged")
}

/// Without links: the damaged file leaves to the staging area, the staged one takes its place. Returns the
/// staging name of what left.
pub(super) fn displace(
    tree: &Tree,
    index: &Index,
    stage: &str,
    names: &[HealedName],
) -> Result<Option<String>, RepositoryError> {
    let Some((name, path)) =
        names.first().and_then(|name| Some((name, name.within.path(index, &name.place)?)))
    else {
        return Ok(None);
    };
    let mut left = None;
    match tree.stat(&path)? {
        Some(found) if name.found().is_some_and(|damaged| damaged.is(&found)) => {
            let aside = damaged_name(stage);
            tree.rename_new(&path, &layout::staged(&aside))?;
            left = Some(aside);
        }
        None => {}
        Some(found) => return Err(mismatch(tree, &path, Some(&found))),
    }
    with_parents(tree, &path, || tree.rename_new(&layout::staged(stage), &path))?;
    Ok(left)
}
