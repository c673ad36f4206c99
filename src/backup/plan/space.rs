//! How much room on the drive a plan or a batch takes: bytes in allocation units, and inodes.
//!
//! Estimates, rather too high than too low; nothing is written here. What a run replaces counts as if it
//! stayed: the new version is whole before the old one leaves, and deletions come last. A run asks before
//! anything is written, and again before each batch.

use std::collections::HashSet;

use crate::backup::error::TooFull;
use crate::backup::plan::work::{Plan, Work};
use crate::model::entry::{Category, Kind};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::index::change::Change;
use crate::repository::index::contents::Index;
use crate::repository::index::record::{Content, Record};
use crate::repository::versioning::Keeping;
use crate::transaction::limits::BATCH_PATHS;

/// Bytes of a catalog's entry without its paths: 300 were measured, and every field that may be left out
/// makes 140 more.
const ENTRY: u64 = 448;

/// Bytes that the page for browsers has for a file, without its name: 40 were measured.
const ROW: u64 = 64;

/// Bytes of a record in the index without its path, with its frame's share: 90 were measured.
const RECORD: u64 = 128;

/// Bytes of a name in a folder beside the name itself, in folders that are two thirds full.
const NAME: u64 = 24;

/// Bytes of an inode where they are made as needed: xfs 512, btrfs somewhat less.
const INODE: u64 = 512;

/// Blocks of the page for browsers itself.
const PAGE: u64 = 16;

/// Folders that an increment has at least, its catalog, and what else a run makes once.
const ONCE: u64 = 8;

/// What a repository consists of before anything is backed up: records, staging area, texts.
const NEW_REPOSITORY: u64 = 16;

/// Room that is free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Free {
    /// Bytes.
    bytes: u64,
    /// Inodes; `None` where there is no limit.
    inodes: Option<u64>,
    /// Bytes of an allocation unit.
    pub(crate) block: u64,
}

impl Free {
    /// What the file system tells; `None` if it does not (some FUSE drivers).
    pub(crate) fn of(space: &rustix::fs::StatVfs) -> Option<Self> {
        let block = space.f_frsize.max(512);
        let inodes = (space.f_files != 0).then_some(space.f_favail);
        let bytes = space.f_bavail.saturating_mul(space.f_frsize);
        (space.f_blocks != 0).then_some(Self { bytes, inodes, block })
    }

    /// Whether `plan` fits: bytes that are left over then, or why not. `held` bytes are in the reserve,
    /// which stands in for what is written last.
    pub(crate) fn check(self, plan: &Plan<'_>, need: &Need<'_>, held: u64) -> Result<u64, TooFull> {
        let Self { bytes: free, inodes: files_free, .. } = self;
        if plan.work.is_empty() {
            return Ok(free);
        }
        let needed = need.bytes(held);
        let files_needed = need.inodes();
        if needed <= free && files_free.is_none_or(|files_free| files_needed <= files_free) {
            return Ok(free - needed);
        }
        Err(TooFull { needed, free, files_needed, files_free })
    }
}

/// In which part of the repository a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Mirror,
    /// `track` of the increment with this sequence.
    Track(u64),
    Deleted,
}

/// What is needed, as it adds up.
pub(crate) struct Need<'a> {
    index: &'a Index,
    keeping: Keeping,
    block: u64,
    /// Sequence of the run's increment.
    sequence: u64,
    /// Bytes of content, in whole blocks.
    content: u64,
    /// Bytes of the index.
    records: u64,
    /// Bytes of names in folders.
    names: u64,
    /// Bytes of the catalog.
    catalog: u64,
    /// Bytes of what the page for browsers has of it; it can do without.
    page: u64,
    /// Files and links.
    files: u64,
    /// Folders to be made.
    folders: HashSet<(Part, RelPath)>,
    /// Blocks and inodes that are needed once.
    once: u64,
}

impl<'a> Need<'a> {
    pub(crate) fn new(index: &'a Index, keeping: Keeping, block: u64) -> Self {
        Self {
            index,
            keeping,
            block,
            sequence: index.next_sequence(),
            content: 0,
            records: 0,
            names: 0,
            catalog: 0,
            page: PAGE * block,
            files: 0,
            folders: HashSet::new(),
            once: ONCE,
        }
    }

    /// Of a whole plan. `staged` says how much of a piece of work is on the drive already, in bytes.
    pub(crate) fn of_plan<E>(
        mut self,
        plan: &Plan<'_>,
        staged: impl Fn(&Work<'_>) -> Result<u64, E>,
    ) -> Result<Self, E> {
        for work in &plan.work {
            self.content = self.content.saturating_add(self.content_of(work, staged(work)?));
            self.work(work);
        }
        self.content = self.content.saturating_add(plan.room_beside);
        self.catalog += of_remarks(&[&plan.problems, &plan.notes]);
        Ok(self)
    }

    /// A repository is to be made as well.
    pub(crate) fn with_new_repository(mut self) -> Self {
        self.once += NEW_REPOSITORY;
        self
    }

    fn content_of(&self, work: &Work<'_>, staged: u64) -> u64 {
        let content = work.room(self.keeping).saturating_sub(staged);
        // Beside the blocks the file system keeps lists and checksums of them: btrfs a thousandth.
        let lists = content / 512;
        content.div_ceil(self.block).saturating_mul(self.block).saturating_add(lists)
    }

    fn work(&mut self, work: &Work<'_>) {
        match work {
            Work::Copy(copy) => {
                let in_record = copy.entry.stat.kind == Kind::Link;
                self.files += u64::from(!(in_record && self.keeping == Keeping::Displace));
                for entry in std::iter::once(&copy.entry).chain(&copy.twins) {
                    self.put(&entry.path, entry.category == Category::Tracked, self.sequence);
                }
            }
            Work::Reuse(reuse) => {
                let tracked = reuse.entry.category == Category::Tracked;
                self.put(&reuse.entry.path, tracked, self.sequence);
                if reuse.moved {
                    self.leaves(&reuse.from, &reuse.record);
                    self.entry(&reuse.from, reuse.record.is_tracked());
                }
            }
            Work::Note(note) => self.change(&note.change),
            Work::Change(change) => self.change(change),
        }
    }

    /// Adds a change of the mirror.
    pub(crate) fn change(&mut self, change: &Change) {
        let index = self.index;
        let path = change.path();
        if !matches!(change, Change::Put { .. }) {
            self.record(path);
        }
        match change {
            Change::Put { record, .. } => {
                self.xattrs(record);
                self.put(path, record.is_tracked(), self.sequence);
            }
            Change::Note { record, version, .. } => {
                self.xattrs(record);
                self.entry(path, *version);
                if *version && self.keeping == Keeping::Hardlink {
                    self.folders_above(Part::Track(self.sequence), path);
                    self.name(path);
                }
            }
            Change::Remove { .. } => {
                if let Some(old) = index.records().get(path) {
                    self.leaves(path, old);
                    self.entry(path, old.is_tracked());
                }
            }
            Change::Folder { record, .. } => {
                self.xattrs(record);
                self.entry(path, record.is_tracked());
                if !index.records().contains_key(path) {
                    self.folder(Part::Mirror, path.clone());
                    self.folders_above(Part::Mirror, path);
                    self.name(path);
                }
            }
            Change::RemoveFolder { .. } => {
                let tracked = index.records().get(path).is_some_and(Record::is_tracked);
                self.entry(path, tracked);
            }
            // No plan has one.
            Change::Heal { .. } => {}
        }
    }

    /// A file takes its place, and what was there leaves.
    fn put(&mut self, path: &RelPath, tracked: bool, sequence: u64) {
        self.record(path);
        // In the staging area and in the mirror.
        self.name(path);
        self.name(path);
        self.entry(path, tracked);
        match self.index.records().get(path) {
            Some(old) if self.keeping == Keeping::Displace => self.leaves(path, old),
            Some(_) => {}
            None => self.folders_above(Part::Mirror, path),
        }
        if tracked && self.keeping == Keeping::Hardlink {
            self.folders_above(Part::Track(sequence), path);
            self.name(path);
        }
    }

    /// A file leaves the mirror.
    fn leaves(&mut self, path: &RelPath, old: &Record) {
        let to = match self.keeping {
            Keeping::Hardlink => old.is_tracked().then_some(Part::Deleted),
            Keeping::Displace => {
                let kept = old.identity().is_some() && old.brought_by != 0;
                kept.then_some(Part::Track(old.brought_by))
            }
        };
        if let Some(part) = to {
            self.folders_above(part, path);
            self.name(path);
        }
    }

    fn record(&mut self, path: &RelPath) {
        self.records += RECORD + path.as_bytes().len() as u64;
    }

    /// The catalog lists a path.
    fn entry(&mut self, path: &RelPath, listed: bool) {
        if listed {
            self.catalog += ENTRY + 3 * json_len(path);
            self.page += ROW + json_len(path);
        }
    }

    /// Extended attributes, which index and catalog have; and where a link points.
    fn xattrs(&mut self, record: &Record) {
        let xattrs = &record.meta.xattrs;
        let bytes: usize = xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let target =
            if let Content::Link { target, .. } = &record.content { target.len() } else { 0 };
        let bytes = (bytes + target) as u64;
        self.records += bytes;
        self.catalog += 4 * bytes;
    }

    fn name(&mut self, path: &RelPath) {
        self.names += NAME + 2 * path.name().len() as u64;
    }

    fn folders_above(&mut self, part: Part, path: &RelPath) {
        // From the innermost: where that is known, so are those above it.
        let mut above = path.parent();
        while let Some(folder) = above {
            let known = part == Part::Mirror && self.index.records().contains_key(&folder);
            above = folder.parent();
            if known || !self.folder(part, folder) {
                return;
            }
        }
    }

    fn folder(&mut self, part: Part, path: RelPath) -> bool {
        self.folders.insert((part, path))
    }

    /// Bytes that are written once the index knows of them, and so must not fail for want of room: folders
    /// with their names, and the catalog.
    pub(crate) fn last(&self) -> u64 {
        self.publishing().saturating_add(self.catalog)
    }

    fn publishing(&self) -> u64 {
        let folders = (self.folders.len() as u64).saturating_add(self.once);
        folders.saturating_mul(self.block + INODE).saturating_add(self.names)
    }

    /// All bytes that are needed while `held` bytes are in the reserve.
    fn bytes(&self, held: u64) -> u64 {
        // The reserve is to cover the catalog and what one batch makes.
        let batch = BATCH_PATHS as u64 * 4 * self.block;
        let reserve = self.publishing().min(batch).saturating_add(self.catalog);
        let inodes = self.files.saturating_mul(INODE);
        let reserve = reserve.saturating_sub(held);
        [self.content, inodes, self.records, self.publishing(), self.page, reserve]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Inodes that are needed.
    pub(crate) fn inodes(&self) -> u64 {
        self.files.saturating_add(self.folders.len() as u64).saturating_add(self.once)
    }

    /// Bytes of the catalog alone.
    pub(crate) fn catalog(&self) -> u64 {
        self.catalog
    }
}

/// Bytes of problems and notes, each once in the catalog and once in the index.
pub(crate) fn of_remarks(lists: &[&[Problem]]) -> u64 {
    let bytes = |remark: &Problem| json_len(&remark.path) + 2 * remark.reason.len() as u64 + 64;
    lists.iter().copied().flatten().map(|remark| 2 * bytes(remark)).sum()
}

/// How long a path can be in JSON, where it is a key: escaped where it is not plain.
fn json_len(path: &RelPath) -> u64 {
    let is_text = std::str::from_utf8(path.as_bytes()).is_ok();
    let len = |b: &u8| match b {
        b'"' | b'\\' => 4,
        0..0x20 | 0x7f => 6,
        0x80.. if !is_text => 5,
        _ => 1,
    };
    path.as_bytes().iter().map(len).sum()
}
