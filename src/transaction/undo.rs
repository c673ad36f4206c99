//! Takes back a batch that was cut off, on a drive without a journal.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::fs::content;
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
use crate::transaction::aside::{self, MOST_OF_A_NAME};
use crate::transaction::displaced::double;
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
        self.part_doubles(index, batch, names)?;
        let ours = contents(index, batch);
        for change in batch.changes.iter().rev() {
            let path = change.path();
            let old = index.records().get(path);
            let place = change.place(index);
            let mirror = layout::mirror(place);
            let stood = leaving.get(&folded(place)).copied();
            match change {
                Change::Put { .. } | Change::Remove { .. } => match old {
                    Some(old) if old.identity().is_some() => {
                        self.put_back(index, path, old, &ours)?;
                    }
                    _ if self.is_still(&mirror, stood)? => {}
                    _ => self.clear_place(place, &ours)?,
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
                Change::RemoveFolder { .. } => self.put_folder_back(path, &mirror)?,
                Change::Note { .. } => {}
                Change::Heal { stage, size, hash, names, .. } => {
                    self.take_healed_back(index, stage, *size, hash, names)?;
                }
            }
        }
        Ok(())
    }

    /// Sees to it that each name of the batch's folders is there once at most. A folder that lies in several
    /// sectors can come to have what left and what came, both under one name: it shows the first, and the
    /// second as soon as that is gone. A check of the file system keeps both, and cuts the second off to no
    /// length where they share their space. So all that go by such a name are set aside, and what was there
    /// before the batch, if it is among them, comes back.
    fn part_doubles(
        &mut self,
        index: &Index,
        batch: &Batch,
        names: Names,
    ) -> Result<(), RepositoryError> {
        let folded = |place: &RelPath| fold(names, place.as_bytes());
        let mut was = HashMap::new();
        let mut folders = BTreeMap::new();
        for change in &batch.changes {
            let place = change.place(index);
            let parent = place.parent();
            folders.insert(parent.as_ref().map(folded), parent);
            if let Some(record) = index.records().get(change.path()) {
                was.insert(folded(place), (change.path(), record));
            }
        }
        let touched: BTreeSet<_> = batch.changes.iter().map(|c| folded(c.place(index))).collect();
        for folder in folders.into_values() {
            let within = folder.as_ref().map_or_else(|| layout::MIRROR.into(), layout::mirror);
            // What cannot be listed, or is no folder now, is for the changes themselves.
            let Ok(listed) = self.tree.list(&within, 1_000_000) else { continue };
            let mut times: BTreeMap<Vec<u8>, (u32, RelPath)> = BTreeMap::new();
            for name in &listed {
                if let Ok(place) = RelPath::child(folder.as_ref(), name) {
                    times.entry(folded(&place)).or_insert((0, place)).0 += 1;
                }
            }
            times.retain(|place, (times, _)| *times > 1 && touched.contains(place));
            for (folded, (_, place)) in times {
                self.part(&layout::mirror(&place), was.get(&folded).copied())?;
            }
        }
        Ok(())
    }

    /// Sets aside all that go by the name `at`, and puts back what was there: the version, or the folder.
    fn part(&mut self, at: &Path, was: Option<(&RelPath, &Record)>) -> Result<(), RepositoryError> {
        let mut out = Vec::new();
        for number in 0..MOST_OF_A_NAME {
            let to = match was {
                Some((path, _)) => self.aside.join(double(path, number)),
                None => self.next_aside()?,
            };
            match self.move_aside(at, &to) {
                Ok(true) => out.push(to),
                Ok(false) => break,
                Err(e) if e.is(Errno::IO) || e.is(Errno::NOENT) => break,
                Err(e) => return Err(e.into()),
            }
        }
        let Some((path, record)) = was else { return Ok(()) };
        let back = layout::mirror(record.place(path));
        if is_folder_record(record) {
            let mut folders = Vec::new();
            for place in out {
                if self.is_folder(&place)? {
                    folders.push(place);
                }
            }
            // One of them has what was in it; the other is empty, or has no room of its own any more.
            let full = folders.iter().find(|place| self.tree.list(place, 0).is_err());
            if let Some(place) = full.or(folders.first()) {
                self.tree.rename_folder(place, &back)?;
            }
            return Ok(());
        }
        for place in out {
            if self.is_sound(&place, record)? {
                self.tree.rename_new(&place, &back)?;
                break;
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
        ours: &HashSet<(u64, [u8; 32])>,
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
            self.clear_place(old.place(path), ours)?;
            let sound = if self.is_sound(&left, old)? {
                Some(left.clone())
            } else {
                self.double_of(path, |place| self.is_sound(place, old))?
            };
            if let Some(sound) = sound {
                match with_parents(self.tree, &mirror, || self.tree.rename_new(&sound, &mirror)) {
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

    /// Makes a folder again that was to leave, or brings it back if a recovery that was cut off had set it aside.
    fn put_folder_back(&self, path: &RelPath, mirror: &Path) -> Result<(), RepositoryError> {
        if self.tree.stat(mirror)?.is_none()
            && let Some(folder) = self.double_of(path, |place| Ok(self.is_folder(place)?))?
        {
            with_parents(self.tree, mirror, || self.tree.rename_folder(&folder, mirror))?;
        }
        with_parents(self.tree, mirror, || self.tree.create_folder(mirror, 0o755, None))?;
        Ok(())
    }

    /// What [`Undo::part`] set aside for `path` and did not put back, since it was cut off.
    fn double_of(
        &self,
        path: &RelPath,
        is_it: impl Fn(&Path) -> Result<bool, RepositoryError>,
    ) -> Result<Option<PathBuf>, RepositoryError> {
        for number in 0..MOST_OF_A_NAME {
            let place = self.left_aside(&double(path, number))?;
            if is_it(&place)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
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

    /// Sets aside what is at `path`, if anything is: all of it, should a torn folder have the name several
    /// times. What the driver cannot read stays: the run finds it in its way.
    pub(crate) fn set_aside(&mut self, path: &Path) -> Result<(), RepositoryError> {
        for _ in 0..MOST_OF_A_NAME {
            match self.try_to_set_aside(path) {
                Ok(true) => {}
                Ok(false) => break,
                // A FUSE driver may remember for a moment what has left under a name in other case.
                Err(e) if e.is(Errno::IO) || e.is(Errno::NOENT) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Sets aside what is at a place of the mirror. What has content that is not `ours` may be somebody's, who
    /// worked on the drive since: it is not removed after a check.
    fn clear_place(
        &mut self,
        place: &RelPath,
        ours: &HashSet<(u64, [u8; 32])>,
    ) -> Result<(), RepositoryError> {
        let mirror = layout::mirror(place);
        if self.is_foreign(&mirror, ours)? {
            let to = self.aside.join(aside::FOUND).join(place.as_path());
            match with_parents(self.tree, &to, || self.tree.rename_new(&mirror, &to)) {
                // What cannot be moved there is set aside like all else.
                Err(e) if e.is_full() || e.is(Errno::NODEV) => return Err(e.into()),
                _ => {}
            }
        }
        self.set_aside(&mirror)
    }

    /// Whether something with content is at `path` that is in none of `ours`.
    fn is_foreign(
        &self,
        path: &Path,
        ours: &HashSet<(u64, [u8; 32])>,
    ) -> Result<bool, RepositoryError> {
        let found = match self.tree.stat(path) {
            Err(e) if e.is(Errno::IO) => return Ok(false),
            found => found?,
        };
        let Some(found) = found.filter(|found| !found.file_type.is_dir()) else { return Ok(false) };
        if !found.file_type.is_file() || found.size == 0 {
            return Ok(!found.file_type.is_file());
        }
        if !ours.iter().any(|(size, _)| *size == found.size) {
            return Ok(true);
        }
        let Ok(Some(file)) = self.tree.open_file(path) else { return Ok(false) };
        let hash = content::hash(&file, found.size, false, &aside::NEVER);
        Ok(hash.is_ok_and(|hash| hash.is_some_and(|hash| !ours.contains(&(found.size, hash)))))
    }

    fn try_to_set_aside(&mut self, path: &Path) -> Result<bool, TreeError> {
        // An increment and the page keep their names, by which they are known for ours.
        let ours = path.file_name().filter(|_| path.to_str().is_some_and(layout::is_ours_alone));
        let to = match ours.map(|name| self.aside.join(name)) {
            Some(to) if self.tree.stat(&to)?.is_none() => to,
            _ => self.next_aside()?,
        };
        self.move_aside(path, &to)
    }

    /// The next free name among what is set aside.
    fn next_aside(&mut self) -> Result<PathBuf, TreeError> {
        loop {
            self.next += 1;
            let to = self.aside.join(format!("aside-{}", self.next));
            if self.tree.stat(&to)?.is_none() {
                return Ok(to);
            }
        }
    }

    /// Moves what is at `path`, if anything is; says whether it did.
    fn move_aside(&self, path: &Path, to: &Path) -> Result<bool, TreeError> {
        let Some(found) = self.tree.stat(path)? else {
            return Ok(false);
        };
        if found.file_type.is_dir() {
            self.tree.rename_folder(path, to)?;
        } else {
            self.tree.rename_new(path, to)?;
        }
        Ok(true)
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

/// What is in the files that a batch brings and takes away.
fn contents(index: &Index, batch: &Batch) -> HashSet<(u64, [u8; 32])> {
    let records = batch.changes.iter().flat_map(|change| {
        let new = match change {
            Change::Put { record, .. } => Some(record),
            _ => None,
        };
        [new, index.records().get(change.path())]
    });
    let content = |record: &Record| match record.content {
        Content::File { size, hash, .. } => Some((size, hash)),
        Content::Link { .. } | Content::Folder => None,
    };
    records.flatten().filter_map(content).collect()
}

fn is_folder_record(record: &Record) -> bool {
    matches!(record.content, Content::Folder)
}
