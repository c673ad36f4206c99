//! Takes back a batch that was cut off, on a drive without a journal.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::fs::probe::Names;
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::index::change::{Batch, Change, HealedName};
use crate::repository::index::contents::Index;
use crate::repository::index::record::{Content, Record};
use crate::repository::layout;
use crate::repository::names::fold;
use crate::transaction::healed;
use crate::transaction::leaving::leaves_to;
use crate::transaction::steps::{has_content, is_content, with_parents};

/// Takes back what a run that was cut off had in flight.
pub(crate) struct Undo<'a> {
    tree: &'a Tree,
    /// Where things go that must not be touched until the file system was checked.
    aside: PathBuf,
    /// Its number.
    number: u32,
    next: u64,
    /// Paths whose version in the mirror is gone.
    pub(crate) lost: Vec<RelPath>,
    /// Paths that are not in the mirror any more, though an increment has their version.
    pub(crate) left: Vec<RelPath>,
}

impl<'a> Undo<'a> {
    /// Sets the whole staging area aside, under the first free number.
    pub(crate) fn begin(tree: &'a Tree) -> Result<Self, RepositoryError> {
        let mut number = 1;
        let aside = loop {
            let aside = layout::unchecked(number);
            if tree.stat(&aside)?.is_none() {
                break aside;
            }
            number += 1;
        };
        let stage = Path::new(layout::STAGE);
        if tree.stat(stage)?.is_some() {
            tree.rename_folder(stage, &aside)?;
        } else {
            tree.create_folder(&aside, 0o700, None)?;
        }
        tree.create_folder(stage, 0o700, None)?;
        Ok(Self { tree, aside, number, next: 0, lost: Vec::new(), left: Vec::new() })
    }

    /// Where things were set aside.
    pub(crate) fn aside(&self) -> &Path {
        &self.aside
    }

    /// Takes a batch back, in the opposite order; `index` is as it was before it. `names`: which names the drive
    /// takes for one another.
    pub(crate) fn take_back(
        &mut self,
        index: &Index,
        batch: &Batch,
        names: Names,
    ) -> Result<(), RepositoryError> {
        let folded = |place: &RelPath| fold(names, place.as_bytes());
        // What was to leave, and may still stand where the drive sees what was to come ("A" and "a").
        let leaving: HashMap<Vec<u8>, &Record> = batch
            .changes
            .iter()
            .filter(|change| matches!(change, Change::Remove { .. } | Change::RemoveFolder { .. }))
            .filter_map(|change| {
                let record = index.records().get(change.path())?;
                Some((folded(change.place(index)), record))
            })
            .collect();
        for change in batch.changes.iter().rev() {
            let path = change.path();
            let old = index.records().get(path);
            let place = change.place(index);
            let mirror = layout::mirror(place);
            let stood = leaving.get(&folded(place)).copied();
            match change {
                Change::Put { .. } | Change::Remove { .. } => match old {
                    Some(old) if old.identity().is_some() => self.put_back(index, path, old)?,
                    _ if self.is_still(&mirror, stood)? => {}
                    _ => self.set_aside(&mirror)?,
                },
                Change::Folder { .. } => {
                    // A file that it replaced is put back by its own change.
                    if old.is_none_or(|old| !is_folder_record(old))
                        && !stood.is_some_and(is_folder_record)
                        && self.is_folder(&mirror)?
                    {
                        self.set_aside(&mirror)?;
                    }
                }
                Change::RemoveFolder { .. } => {
                    with_parents(self.tree, &mirror, || {
                        self.tree.create_folder(&mirror, 0o755, None)
                    })?;
                }
                Change::Note { .. } => {}
                Change::Heal { stage, size, hash, names, .. } => {
                    self.take_healed_back(index, stage, *size, hash, names)?;
                }
            }
        }
        Ok(())
    }

    /// What was being healed stays if it is, else the damaged file comes back.
    fn take_healed_back(
        &mut self,
        index: &Index,
        stage: &str,
        size: u64,
        hash: &[u8; 32],
        names: &[HealedName],
    ) -> Result<(), RepositoryError> {
        for name in names {
            let Some(path) = name.within.path(index, &name.place) else { continue };
            let damaged = self.left_aside(&healed::damaged_name(stage))?;
            if self.tree.stat(&damaged)?.is_some() && !has_content(self.tree, &path, size, hash)? {
                self.set_aside(&path)?;
                with_parents(self.tree, &path, || self.tree.rename_new(&damaged, &path))?;
            }
        }
        Ok(())
    }

    /// Whether what stands at `place` is what was there before the batch. (What was a folder is made again
    /// by its own change.)
    fn is_still(&self, place: &Path, stood: Option<&Record>) -> Result<bool, RepositoryError> {
        match stood {
            Some(record) if is_folder_record(record) => Ok(self.is_folder(place)?),
            Some(record) => self.is_sound(place, record),
            None => Ok(false),
        }
    }

    /// Brings a version back into the mirror, wherever it is now.
    fn put_back(
        &mut self,
        index: &Index,
        path: &RelPath,
        old: &Record,
    ) -> Result<(), RepositoryError> {
        let mirror = layout::mirror(old.place(path));
        let in_increment = index.increment_name(old.brought_by).is_some();
        let left = if in_increment {
            leaves_to(index, path, old)
        } else {
            self.left_aside(&layout::leaving(path))?
        };
        if self.is_sound(&mirror, old)? {
            if in_increment {
                self.set_aside(&left)?;
            }
        } else {
            self.set_aside(&mirror)?;
            if self.is_sound(&left, old)? {
                match with_parents(self.tree, &mirror, || self.tree.rename_new(&left, &mirror)) {
                    // What stands there cannot be read, nor set aside.
                    Err(e) if e.is(Errno::EXIST) || e.is(Errno::IO) => {
                        self.left.push(path.clone());
                    }
                    other => other?,
                }
            } else {
                if in_increment {
                    self.set_aside(&left)?;
                }
                self.lost.push(path.clone());
            }
        }
        if in_increment {
            self.set_aside_empty(&left)?;
        }
        Ok(())
    }

    /// Where a staged file was set aside: now, or by a recovery that was cut off.
    pub(crate) fn left_aside(&self, name: &str) -> Result<PathBuf, RepositoryError> {
        for number in (1..=self.number).rev() {
            let left = layout::unchecked(number).join(name);
            if self.tree.stat(&left)?.is_some() {
                return Ok(left);
            }
        }
        Ok(self.aside.join(name))
    }

    /// Whether the file at `place` has the content that `old` records.
    fn is_sound(&self, place: &Path, old: &Record) -> Result<bool, RepositoryError> {
        match is_content(self.tree, place, old) {
            // What cannot be read is not sound; the run goes on without it.
            Err(RepositoryError::Drive(e)) if e.is(Errno::IO) => Ok(false),
            other => other,
        }
    }

    /// Sets aside what is at `path`, if anything is. What the driver cannot read stays: the run finds it
    /// in its way.
    pub(crate) fn set_aside(&mut self, path: &Path) -> Result<(), RepositoryError> {
        match self.try_to_set_aside(path) {
            // A FUSE driver may remember for a moment what has left under a name in other case.
            Err(e) if e.is(Errno::IO) || e.is(Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    fn try_to_set_aside(&mut self, path: &Path) -> Result<(), TreeError> {
        let Some(found) = self.tree.stat(path)? else {
            return Ok(());
        };
        // An increment and the page keep their names, by which they are known for ours.
        let mut to = self.aside.join(path.file_name().unwrap_or_default());
        let is_ours = path.to_str().is_some_and(layout::is_ours_alone);
        while !is_ours || self.tree.stat(&to)?.is_some() {
            self.next += 1;
            to = self.aside.join(format!("aside-{}", self.next));
            if self.tree.stat(&to)?.is_none() {
                break;
            }
        }
        if found.file_type.is_dir() {
            self.tree.rename_folder(path, &to)
        } else {
            self.tree.rename_new(path, &to)
        }
    }

    fn is_folder(&self, path: &Path) -> Result<bool, TreeError> {
        match self.tree.stat(path) {
            Err(e) if e.is(Errno::IO) => Ok(false),
            found => Ok(found?.is_some_and(|found| found.file_type.is_dir())),
        }
    }

    /// Sets aside the folders above `path` in an increment that have nothing in them: the batch may have
    /// made them.
    fn set_aside_empty(&mut self, path: &Path) -> Result<(), RepositoryError> {
        // Not the increment, nor its `track`: those are older.
        let depth = path.components().count();
        for folder in path.ancestors().skip(1).take(depth.saturating_sub(3)) {
            let is_folder = self.is_folder(folder)?;
            if is_folder && !self.tree.list(folder, 1).is_ok_and(|names| names.is_empty()) {
                break;
            }
            if is_folder {
                self.set_aside(folder)?;
            }
        }
        Ok(())
    }
}

fn is_folder_record(record: &Record) -> bool {
    matches!(record.content, Content::Folder)
}
