//! Brings damaged versions back: from another sound file of the drive, or from the source where that
//! still has exactly the recorded content.
//!
//! No version is made and no recorded hash changes: the content is staged as a fresh file, hashed while it
//! is copied, and takes the place of each damaged name in a batch that is journalled as those of a run are.
//! A damaged file is never written to. What is damaged is found by `verify`; a batch that was cut off is
//! ended by `recover`.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::fs::attributes::Attributes;
use crate::fs::content::{self, CopyError};
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::integrity::damage::{Damaged, DamagedName, Recorded};
use crate::model::entry::Kind;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::handle::Repository;
use crate::repository::index::change::{Batch, Change, HealedName};
use crate::repository::index::open::Closing;
use crate::repository::layout;
use crate::repository::status::Status;
use crate::repository::versioning::Keeping;
use crate::source::open::Source;
use crate::transaction::steps::with_parents;
use crate::transaction::{displaced, limits, linked, staged};

/// Most names that get one fresh file: as for a run, far below what file systems can do.
const MOST_NAMES: usize = limits::MAX_LINKS as usize - 1;

/// How staged files are called here.
const STAGED: &str = "heal-";

/// A batch has so many versions, or so many bytes, at most.
const BATCH_VERSIONS: usize = 256;

const BATCH_BYTES: u64 = 64 << 20;

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
    crate::repository::staging::clear_stage(tree, |name| !name.starts_with(STAGED))?;
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
    staged::remove_left(tree, &mut left)?;
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
        staged::remove_left(self.tree, left)?;
        if let Some(batch) = repository.index().pending() {
            match self.keeping {
                Keeping::Hardlink => {
                    linked::publish(self.tree, repository.index(), batch, self.set_owner, None)?;
                }
                Keeping::Displace => {
                    let mut published = displaced::Published::default();
                    displaced::publish(self.tree, repository.index(), batch, &mut published)?;
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
            mode: staged::mode_on_drive(recorded.mode),
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
