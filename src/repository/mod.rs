//! What lies on the drive: layout, records, catalogs, lock — the only code that knows the format.
//!
//! A [`Repository`] is the folder of one profile's backup, open for a run; readers take the parts they
//! need ([`Repository::read_index`], [`read_catalog`]). It places no files of the user: that is
//! `backup::publish`. It knows nothing of udev, D-Bus or terminals. The format is specified in
//! `docs/format.md`.

pub mod adoption;
pub mod browse;
pub mod catalog;
mod catalog_file;
mod error;
pub mod format;
#[cfg(test)]
mod format_tests;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
pub mod index;
pub mod layout;
mod lock;
mod log;
pub mod mark;
pub mod names;
#[cfg(test)]
mod parser_tests;
pub mod python;
pub mod readme;
pub mod rebuild;
pub mod record;
pub mod records;
pub mod reserve;
pub mod stamp;
mod trust;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub use error::RepositoryError;

use crate::drive::tree::{Tree, TreeError};
use crate::relpath::RelPath;
use catalog::Catalog;
pub use catalog_file::{catalog_of, place_of_catalog, read_catalog, stage_catalog};
use format::{Format, Keeping};
use index::{Batch, Closing, Frame, Index, Prune};
use log::LogWriter;
pub(crate) use log::checksum;
use stamp::Stamp;

/// Staging name of an index that is written anew.
const BASE: &str = "index";

/// Staging name of a catalog.
const CATALOG: &str = "catalog";

/// Whether an increment is a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The run went through to its end.
    Complete,
    /// The run was cut off; the increment supplies versions, but is no point in time.
    Interrupted,
}

/// A repository that is open for a run; the lock is held as long as it lives.
#[derive(Debug)]
pub struct Repository<'t> {
    tree: &'t Tree,
    format: Format,
    index: Index,
    log: LogWriter<'t>,
    /// Which file the log is.
    log_name: &'static str,
    stamp: Stamp,
    /// Whether there is to be a page for browsers; `None` keeps one that is there in line and makes none.
    browse: Option<bool>,
    _lock: lock::Lock<'t>,
}

/// How [`Repository::close_run`] ended a run.
#[derive(Debug, Default)]
pub struct Closed {
    /// The catalog of the increment that was made.
    pub made: Option<Catalog>,
    /// Why the page for browsers is not as it should be, for people.
    pub warning: Option<String>,
}

/// A repository that is open for checking; no run can begin as long as it lives.
#[derive(Debug)]
pub struct Reading {
    /// What is in the mirror.
    pub index: Index,
    /// How old versions are kept.
    pub format: Format,
    /// Paths of a batch that an interrupted run left: the mirror may have them as before or as after it.
    pub in_flight: BTreeSet<RelPath>,
    _lock: Option<lock::Watch>,
}

/// A folder in which a repository is to be made.
enum Prepared<'t> {
    /// Somebody else made it meanwhile.
    Made(Box<Repository<'t>>),
    /// It can be made.
    Begun(lock::Lock<'t>),
}

impl<'t> Repository<'t> {
    /// Opens the repository in `tree`; `None` if the folder is empty or has none. Takes the lock, and
    /// changes nothing but a torn tail of the index.
    pub fn open(tree: &'t Tree) -> Result<Option<Self>, RepositoryError> {
        if format::read(tree)?.is_none() {
            return Ok(None);
        }
        let lock = lock::take(tree)?;
        // Read again, now that nobody else writes it.
        let format =
            format::read(tree)?.ok_or_else(|| RepositoryError::Missing(tree.shown().to_owned()))?;
        if !is_folder(tree, layout::STAGE)? {
            tree.create_folder(Path::new(layout::STAGE), 0o700, None)?;
        }
        let format = format.checked(tree)?;
        let (index, end, stamp, log_name) = read_records(tree)?;
        is_folder(tree, layout::MIRROR)?;
        let file = tree.open_record_file(Path::new(log_name), false).map_err(record_error)?;
        let clean = (end.generation, end.end) == (stamp.generation, stamp.synced);
        let log = LogWriter::resume(file, &end, clean)?;
        Ok(Some(Self { tree, format, index, log, log_name, stamp, browse: None, _lock: lock }))
    }

    /// Makes a repository in `tree`, whose folder must be empty but for what an earlier attempt left.
    /// `format.json` comes last, so a repository either is whole or is made again.
    pub fn create(tree: &'t Tree) -> Result<Self, RepositoryError> {
        if !is_free(tree)? {
            return Err(match missing(tree)? {
                RepositoryError::Missing(path) => RepositoryError::Occupied(path),
                damaged => damaged,
            });
        }
        match Self::prepare(tree)? {
            Prepared::Made(there) => Ok(*there),
            Prepared::Begun(lock) => {
                let format = Format::found(tree)?;
                Self::complete(tree, lock, format, Index::empty())
            }
        }
    }

    /// Makes what a repository needs to be made in, and takes its lock.
    fn prepare(tree: &'t Tree) -> Result<Prepared<'t>, RepositoryError> {
        tree.create_folder(Path::new(layout::META), 0o700, None)?;
        tree.create_folder(Path::new(layout::STAGE), 0o700, None)?;
        let lock = lock::take(tree)?;
        // Another first run may have made it while we had no lock.
        if format::read(tree)?.is_some() {
            drop(lock);
            let there = Self::open(tree)?
                .ok_or_else(|| RepositoryError::Missing(tree.shown().to_owned()))?;
            return Ok(Prepared::Made(Box::new(there)));
        }
        clear_stage(tree, |_| false)?;
        Ok(Prepared::Begun(lock))
    }

    /// Writes the records of a new repository, `format.json` last.
    fn complete(
        tree: &'t Tree,
        lock: lock::Lock<'t>,
        format: Format,
        index: Index,
    ) -> Result<Self, RepositoryError> {
        let log = write_base(tree, &index, 1)?;
        let log_name = layout::INDEX;
        readme::write(tree, format.keeps_versions)?;
        reserve::make(tree)?;
        tree.sync()?;
        format::write(tree, &format)?;
        tree.create_folder(Path::new(layout::MIRROR), 0o755, None)?;
        tree.sync()?;
        Ok(Self {
            tree,
            format,
            index,
            log,
            log_name,
            stamp: Stamp::default(),
            browse: None,
            _lock: lock,
        })
    }

    /// Reads the index without taking the lock; what an interrupted run left is taken as done.
    pub fn read_index(tree: &Tree) -> Result<(Index, Stamp), RepositoryError> {
        let Some(format) = format::read(tree)? else {
            return Err(missing(tree)?);
        };
        let (mut index, _, stamp, _) = read_records(tree)?;
        index.end_pending(format.keeps_versions);
        Ok((index, stamp))
    }

    /// Reads what is to be checked against the drive's files; no run can begin while the result lives.
    pub fn read_to_check(tree: &Tree) -> Result<Reading, RepositoryError> {
        if format::read(tree)?.is_none() {
            return Err(missing(tree)?);
        }
        let lock = lock::watch(tree)?;
        // Read again, now that nobody writes it.
        let Some(format) = format::read(tree)? else {
            return Err(missing(tree)?);
        };
        let (mut index, _, _, _) = read_records(tree)?;
        let changes = index.pending().map_or(&[][..], |batch| &batch.changes);
        let in_flight = changes.iter().map(|change| change.path().clone()).collect();
        index.end_pending(format.keeps_versions);
        Ok(Reading { index, format, in_flight, _lock: lock })
    }

    /// How old versions are kept, and what the drive can do.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The drive's folder.
    pub fn tree(&self) -> &'t Tree {
        self.tree
    }

    /// What is in the mirror.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Lets go of the repository, and of its lock; what is in the mirror stays in hand.
    pub fn into_index(self) -> Index {
        self.index
    }

    /// What the last run left.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Says whether there is to be a page for browsers (`browse.html`). [`Repository::close_run`] then sees to
    /// it; without a word one that is there is kept in line.
    pub fn set_browse(&mut self, wanted: bool) {
        self.browse = Some(wanted);
    }

    /// Whether the page for browsers is to be made or removed, also by a run that finds no changes.
    pub fn is_browse_due(&self) -> Result<bool, RepositoryError> {
        if self.index.increments().is_empty() {
            return Ok(false);
        }
        let there = browse::is_there(self.tree)?;
        Ok(match self.browse {
            Some(true) => !there || !browse::is_up_to_date(self.tree, &self.index)?,
            Some(false) => there,
            None => false,
        })
    }

    /// Brings the page for browsers in line with the catalogs, where there is to be one: called when catalogs
    /// were written, before the frame that says so; `made` is the one of this run. Returns what kept it from
    /// that, for people.
    fn refresh_browse(&self, made: Option<&Catalog>) -> Result<Option<String>, RepositoryError> {
        match self.browse {
            None if !browse::is_there(self.tree)? => Ok(None),
            None | Some(true) => {
                browse::refresh(self.tree, &self.index, self.format.keeps_versions, made)
            }
            Some(false) => browse::remove(self.tree),
        }
    }

    /// Says that from now on things are on their way: on a drive without a journal of its own, all that is
    /// not known to be durable is to be looked at if the run does not come to its end.
    pub fn begin_run(&mut self) -> Result<(), RepositoryError> {
        if self.format.keeps_versions == Keeping::Displace && !self.index.is_torn() {
            self.log.append_synced(&encode(&Frame::Begun)?)?;
            self.index.set_begun();
        }
        Ok(())
    }

    /// Says that nothing is on its way, though the run did not come to its end: all batches are in place,
    /// and what is staged is durable.
    pub fn settle(&mut self) -> Result<(), RepositoryError> {
        if self.index.is_torn() && self.index.pending().is_none() {
            self.tree.sync()?;
            self.append(&Frame::Settled)?;
            self.index.set_settled();
        }
        Ok(())
    }

    /// Sees to it that a batch whose frame could not be written is not found in the index by a later run.
    pub fn forget_unwritten(&mut self) -> Result<(), RepositoryError> {
        Ok(self.log.cut_off()?)
    }

    /// Takes the pending batch as undone: everything of it is back where it was, but for the paths in
    /// `lost`, whose content is gone.
    pub fn batch_undone(&mut self, lost: Vec<RelPath>) -> Result<(), RepositoryError> {
        self.tree.sync()?;
        let frame = Frame::Undone(lost);
        self.append(&frame)?;
        if let Frame::Undone(lost) = frame {
            self.index.drop_pending(&lost);
        }
        Ok(())
    }

    /// Writes a batch to the index and makes it durable; its files may be published then. The batch
    /// before it must be published and synced.
    pub fn begin_batch(&mut self, batch: Batch) -> Result<(), RepositoryError> {
        let frame = Frame::Batch(batch);
        self.log.append_synced(&encode(&frame)?)?;
        if let Frame::Batch(batch) = frame {
            self.index.begin(batch);
        }
        Ok(())
    }

    /// Writes to the index what is about to be removed, and makes it durable; its catalogs are staged and
    /// durable. No run is in hand.
    pub fn begin_prune(&mut self, prune: Prune) -> Result<(), RepositoryError> {
        let frame = Frame::Prune(prune);
        self.log.append_synced(&encode(&frame)?)?;
        if let Frame::Prune(prune) = frame {
            self.index.set_pruning(prune);
        }
        Ok(())
    }

    /// So many moves of what is being removed are done: makes them durable, then says so.
    pub fn prune_step(&mut self, moves: u64) -> Result<(), RepositoryError> {
        self.tree.sync()?;
        self.append(&Frame::PruneStep(moves))?;
        self.index.set_pruned(moves);
        Ok(())
    }

    /// Takes the pending batch as published: its files are in place.
    pub fn finish_batch(&mut self) {
        self.index.apply_pending();
    }

    /// Writes the open increment's catalog and ends the run. All batches must be published; they are
    /// synced here.
    ///
    /// How the increment ends is made durable before its catalog is put in place, so that a run that is cut
    /// off in between is ended by the next one in the same way. Each sync costs the user a moment at the end:
    /// one makes both durable, what the batches brought and the staged catalog.
    pub fn close_run(
        &mut self,
        closing: impl FnOnce(&Index) -> Closing,
    ) -> Result<Closed, RepositoryError> {
        let mut browse_due = self.is_browse_due()? || self.index.pruning().is_some();
        if !self.index.is_unclosed() && !browse_due {
            return Ok(Closed::default());
        }
        self.index.apply_pending();
        let mut made = None;
        if let Some(open) = self.index.open().filter(|open| !open.is_empty()) {
            let (name, known) = (open.mark.name.clone(), open.closing.clone());
            let is_known = known.is_some();
            let closing = known.unwrap_or_else(|| closing(&self.index));
            let catalog = catalog::of_open(&self.index, open, &closing, self.format.keeps_versions);
            reserve::with_room(self.tree, || self.stage_catalog(&catalog))?;
            self.tree.sync()?;
            if !is_known {
                self.append(&Frame::Closing(closing.clone()))?;
                self.index.set_closing(closing.clone());
            }
            self.place_catalog(&name, &closing)?;
            made = Some(catalog);
            browse_due = true;
        }
        let warning = if browse_due { self.refresh_browse(made.as_ref())? } else { None };
        self.tree.sync()?;
        self.append(&Frame::Closed)?;
        self.index.close();
        reserve::settle(self.tree)?;
        Ok(Closed { made, warning })
    }

    /// Writes the open increment's catalog to the staging area; the next sync makes it durable.
    fn stage_catalog(&self, catalog: &Catalog) -> Result<(), RepositoryError> {
        let mut staged = catalog_file::stage(self.tree, &layout::staged(CATALOG), |out| {
            serde_json::to_writer(out, catalog)
        })?;
        if self.tree.syncs_each_file() {
            staged.sync()?;
        }
        Ok(())
    }

    /// Puts the staged catalog in its place, in the increment `name`.
    fn place_catalog(&self, name: &str, closing: &Closing) -> Result<(), RepositoryError> {
        reserve::with_room(self.tree, || {
            self.tree.create_folder(Path::new(name), 0o755, None)?;
            self.tree.create_folder(&layout::track_folder(name), 0o755, None)?;
            // Last: what found no room is done again, and what was renamed is not staged any more.
            Ok(self.tree.rename_over(&layout::staged(CATALOG), &catalog::path_of(name))?)
        })?;
        // The Python tool sorts increments by this time.
        let folder_time_ns = closing.folder_time_s.saturating_mul(1_000_000_000);
        reserve::with_room(self.tree, || {
            Ok(self.tree.set_folder_time(Path::new(name), folder_time_ns)?)
        })
    }

    /// Writes the stamp, the last thing of a run, and compacts the index before if that pays.
    pub fn stamp_run(&mut self, time_ns: i64, rules: [u8; 32]) -> Result<(), RepositoryError> {
        let pays = self.index.wants_compaction();
        let replaced = if pays { self.compact()? } else { None };
        self.stamp = Stamp {
            counter: self.stamp.counter.saturating_add(1),
            time_ns,
            generation: self.log.generation(),
            synced: self.log.end(),
            rules,
        };
        reserve::with_room(self.tree, || {
            Ok(stamp::write(self.tree, &self.stamp).map_err(record_error)?.sync()?)
        })?;
        // Only now the new one is the index.
        replaced.map_or(Ok(()), |old| remove_index(self.tree, old))
    }

    /// Writes the index anew; a drive without the room for that keeps the one it has. Returns where the old
    /// one is, if it is to be removed after the stamp.
    fn compact(&mut self) -> Result<Option<&'static str>, RepositoryError> {
        match self.write_anew() {
            Err(e) if e.is_full() => {
                match self.format.keeps_versions {
                    Keeping::Hardlink => {
                        self.tree.remove_file(&layout::staged(BASE))?;
                    }
                    Keeping::Displace => remove_index(self.tree, self.next_place())?,
                }
                Ok(None)
            }
            other => other,
        }
    }

    /// Writes the index anew. Without a journal a rename over it could leave none, or a second name for what
    /// is in use: there the new one gets a place of its own, and is the index once the stamp says so.
    fn write_anew(&mut self) -> Result<Option<&'static str>, RepositoryError> {
        let generation = self.log.generation().saturating_add(1);
        let mut replaced = None;
        match self.format.keeps_versions {
            Keeping::Hardlink => self.log = write_base(self.tree, &self.index, generation)?,
            // What is left of an earlier try is not touched before the file system was checked.
            Keeping::Displace if self.has_spare_index()? => return Ok(None),
            Keeping::Displace => {
                let place = self.next_place();
                self.log = write_base_apart(self.tree, &self.index, generation, place)?;
                replaced = Some(std::mem::replace(&mut self.log_name, place));
            }
        }
        self.index.compacted();
        Ok(replaced)
    }

    /// Where a new base goes on a drive without a journal.
    fn next_place(&self) -> &'static str {
        let [_, one, other] = layout::INDEX_PLACES;
        if self.log_name == one { other } else { one }
    }

    /// Where the index is not.
    fn spare_places(&self) -> impl Iterator<Item = &'static str> + use<> {
        let here = self.log_name;
        layout::INDEX_PLACES.into_iter().filter(move |place| *place != here)
    }

    fn has_spare_index(&self) -> Result<bool, RepositoryError> {
        for place in self.spare_places() {
            if self.tree.stat(layout::index_entry(place))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes what is left of an index that was not finished, or was replaced. Only after a check of the
    /// file system.
    pub fn remove_spare_index(&self) -> Result<(), RepositoryError> {
        self.spare_places().try_for_each(|place| remove_index(self.tree, place))
    }

    /// Appends a frame that ends what is in flight, and makes it durable.
    fn append(&mut self, frame: &Frame) -> Result<(), RepositoryError> {
        let payload = encode(frame)?;
        reserve::with_room(self.tree, || Ok(self.log.append_synced(&payload)?))
    }
}

/// Whether a repository can be made in the folder: it has nothing but what an earlier attempt left, or
/// what a file system puts into its root.
fn is_free(tree: &Tree) -> Result<bool, TreeError> {
    let known = [layout::META, layout::README, layout::README_PART, "lost+found"];
    let harmless = |name: &std::ffi::OsString| known.iter().any(|known| name == known);
    match tree.list(Path::new(""), 100) {
        Ok(names) => Ok(names.iter().all(harmless)),
        Err(e) if e.is(Errno::TOOBIG) => Ok(false),
        Err(e) => Err(e),
    }
}

/// What is wrong with a folder that has no `format.json`.
fn missing(tree: &Tree) -> Result<RepositoryError, RepositoryError> {
    if python::look(tree)?.is_some() {
        return Ok(RepositoryError::NotTakenOver(tree.shown().to_owned()));
    }
    // The mirror is made last, so without it there never was a repository.
    let has_mirror = tree.stat(Path::new(layout::MIRROR))?.is_some();
    Ok(if has_mirror && is_ours(&tree.list(Path::new(""), 1_000_000)?) {
        RepositoryError::Damaged("its .bkm/format.json is missing".to_owned())
    } else {
        RepositoryError::Missing(tree.shown().to_owned())
    })
}

/// Whether a folder with these names in it is what is left of a repository.
fn is_ours(names: &[OsString]) -> bool {
    let has = |name: &str| names.iter().any(|n| n == name);
    has(layout::META)
        || (has(layout::MIRROR) && has(layout::README))
        || layout::increment_names(names.to_vec()).next().is_some()
}

/// Removes what lies in the staging area but what `keep` names.
pub fn clear_stage(tree: &Tree, keep: impl Fn(&str) -> bool) -> Result<(), RepositoryError> {
    let stage = Path::new(layout::STAGE);
    for name in tree.list(stage, 1_000_000)? {
        let shelf = name.to_str().filter(|name| layout::is_stage_shelf(name));
        let path = stage.join(&name);
        let found = tree.stat(&path)?;
        let is_folder = found.is_some_and(|found| found.file_type.is_dir());
        if let Some(shelf) = shelf
            && is_folder
        {
            clear_shelf(tree, shelf, &keep)?;
        } else if !name.to_str().is_some_and(&keep) {
            remove_staged(tree, &path)?;
        }
    }
    Ok(())
}

fn clear_shelf(
    tree: &Tree,
    shelf: &str,
    keep: &impl Fn(&str) -> bool,
) -> Result<(), RepositoryError> {
    let mut kept = false;
    for name in tree.list(&layout::staged(shelf), 1_000_000)? {
        if name.to_str().is_some_and(|name| keep(&format!("{shelf}/{name}"))) {
            kept = true;
        } else {
            remove_staged(tree, &layout::staged(shelf).join(name))?;
        }
    }
    if !kept {
        tree.remove_folder(&layout::staged(shelf))?;
    }
    Ok(())
}

fn remove_staged(tree: &Tree, path: &Path) -> Result<(), RepositoryError> {
    match tree.remove_file(path) {
        Err(e) if e.is(Errno::ISDIR) => {
            let found = "there is a folder".to_owned();
            Err(RepositoryError::Mismatch { path: tree.shown().join(path), found })
        }
        other => Ok(other.map(drop)?),
    }
}

/// Removes a folder of `.bkm` with all in it; `depth` is 0.
pub fn remove_all(tree: &Tree, folder: &Path, depth: u32) -> Result<(), RepositoryError> {
    /// Deeper than any path that a backup can have.
    const DEEPEST: u32 = 40_000;
    for name in tree.list(folder, 1_000_000)? {
        let path = folder.join(name);
        match tree.stat(&path)? {
            Some(found) if found.file_type.is_dir() && depth < DEEPEST => {
                remove_all(tree, &path, depth + 1)?;
            }
            _ => {
                tree.remove_file(&path)?;
            }
        }
    }
    tree.remove_folder(folder)?;
    Ok(())
}

/// Whether a folder of the repository's own is there; something else in its place is damage.
fn is_folder(tree: &Tree, path: &str) -> Result<bool, RepositoryError> {
    Ok(tree.subtree(Path::new(path)).map_err(record_error)?.is_some())
}

/// Something else in the place of one of the repository's records is damage of the repository.
fn record_error(e: TreeError) -> RepositoryError {
    if e.is_foreign() { RepositoryError::Damaged(format!("{e}: {}", e.source)) } else { e.into() }
}

/// What a parser said, cut where it repeats much of a hostile text.
fn short(e: &dyn std::fmt::Display) -> String {
    const HEAD: usize = 200;
    let text = e.to_string();
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(HEAD).collect();
    match chars.as_str() {
        "" => text,
        rest => {
            // Where it is stands at the end.
            let place = rest.rfind(" at line ").and_then(|at| rest.get(at..));
            format!("{head}…{}", place.unwrap_or_default())
        }
    }
}

/// Now, in nanoseconds since 1970.
pub fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Reads index and stamp; says which file the index is. Where two are there (`compact`), it is the one that the
/// stamp knows: a newer one may look whole and lie where the drive has room for others.
fn read_records(tree: &Tree) -> Result<(Index, log::LogEnd, Stamp, &'static str), RepositoryError> {
    let stamp = stamp::read(tree).map_err(record_error)?.unwrap_or_default();
    let rank = |end: &log::LogEnd| (end.generation == stamp.generation, end.generation);
    let (mut best, mut failed) = (None, None);
    for name in layout::INDEX_PLACES {
        let Some(file) = tree.open_file(Path::new(name)).map_err(record_error)? else { continue };
        match Index::read(&file, Some((stamp.generation, stamp.synced))) {
            Ok((index, end)) => {
                let is_better = |other: &(_, log::LogEnd, _)| rank(&other.1) < rank(&end);
                if best.as_ref().is_none_or(is_better) {
                    best = Some((index, end, name));
                }
            }
            Err(e) => failed = Some(e),
        }
    }
    match best {
        Some((index, end, name)) if end.generation >= stamp.generation => {
            Ok((index, end, stamp, name))
        }
        // One that was replaced does not stand in for the one after it: it knows nothing of the runs since.
        _ => {
            Err(failed
                .unwrap_or_else(|| RepositoryError::Damaged("its index is missing".to_owned())))
        }
    }
}

/// Removes the index at `place` with the folder that it has for itself. That is durable before anything can
/// take the room: a torn removal leaves it a name.
fn remove_index(tree: &Tree, place: &str) -> Result<(), RepositoryError> {
    let entry = layout::index_entry(place);
    // A FUSE driver keeps a file that is open somewhere under another name until it is closed (as in a program
    // that is just being started). What is there after that waits for a check.
    for _ in 0..2 {
        match tree.stat(entry)? {
            None => return Ok(()),
            Some(found) if found.file_type.is_dir() => match remove_all(tree, entry, 0) {
                Err(RepositoryError::Drive(e)) if e.is(Errno::NOTEMPTY) || e.is(Errno::EXIST) => {}
                other => other?,
            },
            Some(_) => drop(tree.remove_file(entry)?),
        }
        tree.sync()?;
    }
    Ok(())
}

/// Writes a new index to a place with a folder of its own, where nothing may be, and makes it durable.
fn write_base_apart<'t>(
    tree: &'t Tree,
    index: &Index,
    generation: u64,
    place: &str,
) -> Result<LogWriter<'t>, RepositoryError> {
    tree.create_folder(layout::index_entry(place), 0o700, None)?;
    let mut log = write_base_at(tree, index, generation, Path::new(place))?;
    // A file of exFAT that grows where others lie gets a list of all its clusters, and is lost with that.
    log.take_room()?;
    log.sync()?;
    tree.sync()?;
    Ok(log)
}

/// Writes a new index beside the old one and puts it in its place.
fn write_base<'t>(
    tree: &'t Tree,
    index: &Index,
    generation: u64,
) -> Result<LogWriter<'t>, RepositoryError> {
    let staged = layout::staged(BASE);
    tree.remove_file(&staged)?;
    let mut log = write_base_at(tree, index, generation, &staged)?;
    log.sync()?;
    tree.rename_over(&staged, Path::new(layout::INDEX))?;
    tree.sync()?;
    Ok(log)
}

/// Writes a new index to a file that must not be there; durable only after [`LogWriter::sync`].
fn write_base_at<'t>(
    tree: &'t Tree,
    index: &Index,
    generation: u64,
    path: &Path,
) -> Result<LogWriter<'t>, RepositoryError> {
    let mut log = LogWriter::start(tree.create_file(path, 0o600)?, generation)?;
    for frame in index.base_frames() {
        log.append(&encode(&frame)?)?;
    }
    Ok(log)
}

fn encode(frame: &Frame) -> Result<Vec<u8>, RepositoryError> {
    postcard::to_stdvec(frame).map_err(|e| RepositoryError::Read(io::Error::other(e)))
}
