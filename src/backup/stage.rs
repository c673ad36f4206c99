//! Brings content into the staging area, ready to be published: copied and hashed from the source, or
//! as one more link to a file of the mirror.
//!
//! It creates files below `.bkm/stage` only. Several threads stage at the same time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;

use crate::backup::error::RunError;
use crate::backup::options::Monitor;
use crate::backup::plan::examine::{meta_of, settled, stat_to_read};
use crate::backup::plan::work::{Reuse, ToCopy, ToNote, Work};
use crate::fs::attributes::Attributes;
use crate::fs::content::{self, CopyError};
use crate::fs::tree::error::TreeError;
use crate::fs::tree::handle::Tree;
use crate::fs::writer::DriveFile;
use crate::model::entry::{Category, Kind, Stat};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::error::RepositoryError;
use crate::repository::index::change::Change;
use crate::repository::index::record::{Content, Identity, Meta, Record};
use crate::repository::layout;
use crate::repository::names::Naming;
use crate::repository::versioning::Keeping;
use crate::source::entry::Entry;
use crate::source::open::Source;
use crate::transaction::limits::MAX_LINKS;
use crate::transaction::staged::{mode_on_drive, part_name};
use crate::transaction::steps::with_parents;

/// A file of this size or more is staged under a name that the next run finds again, so that an
/// interrupted copy goes on where it was.
pub(super) const RESUMABLE: u64 = 32 << 20;

/// How often a file that changes while it is read is read again.
const TRIES: usize = 3;

/// What staging needs to know.
pub(super) struct Stager<'a> {
    pub(super) source: &'a Source,
    pub(super) tree: &'a Tree,
    pub(super) stop: &'a AtomicBool,
    pub(super) monitor: &'a dyn Monitor,
    /// Sequence of the run's increment; 0 if it makes none.
    pub(super) sequence: u64,
    /// Number for the next staged file.
    pub(super) next: AtomicU64,
    /// Whether owners can be set (root).
    pub(super) set_owner: bool,
    /// How the drive keeps versions.
    pub(super) keeping: Keeping,
    /// Where paths lie in the mirror.
    pub(super) naming: &'a Naming,
}

/// What staging one piece of work gave.
#[derive(Default)]
pub(super) struct Staged {
    /// What is to be published.
    pub(super) changes: Vec<Change>,
    /// What went wrong with the source.
    pub(super) problems: Vec<Problem>,
    /// Bytes of content that were copied.
    pub(super) bytes: u64,
}

impl Stager<'_> {
    /// Copies a file or link of the source, and links its hard-linked siblings to the copy.
    pub(super) fn copy(&self, work: &ToCopy<'_>) -> Result<Staged, RunError> {
        let entry = work.entry;
        let staged = match entry.stat.kind {
            Kind::Link => self.copy_link(entry),
            _ => self.copy_file(entry),
        };
        let (name, content, meta, bytes) = match staged {
            Ok(staged) => staged,
            Err(CopyError::Stopped) => return Err(RunError::stopped()),
            Err(CopyError::Drive(e)) if e.is(Errno::FBIG) => {
                let reason = format!(
                    "not backed up: {} is more than a file can have on this drive (FAT32: 4 GiB); \
                     exFAT or a Linux file system takes it",
                    crate::text::human::size(entry.stat.size)
                );
                let problem = Problem::new(entry.path.clone(), reason);
                return Ok(Staged { problems: vec![problem], ..Staged::default() });
            }
            Err(CopyError::Drive(e)) => return Err(e.into()),
            Err(CopyError::Source(e)) => {
                // Another name of the same file may be within reach.
                let mut staged = match work.twins.split_first() {
                    Some((entry, twins)) => self.copy(&ToCopy { entry, twins: twins.to_vec() })?,
                    None => Staged::default(),
                };
                // What vanished since the scan is no problem; the next run sees it gone.
                if e.kind() != io::ErrorKind::NotFound {
                    let reason = format!("not backed up: cannot be read: {e}");
                    staged.problems.push(Problem::new(entry.path.clone(), reason));
                }
                return Ok(staged);
            }
        };
        let mut staged = Staged { bytes, ..Staged::default() };
        if matches!(content, Content::File { unsettled: true, .. }) {
            let reason = "kept changing while it was read; what was backed up may be a mixture";
            staged.problems.push(Problem::new(entry.path.clone(), reason));
        }
        for twin in &work.twins {
            let twin_name = self.name();
            self.tree.link(&layout::staged(&name), &layout::staged(&twin_name))?;
            let record = self.record(twin, content.clone(), meta.clone());
            staged.changes.push(put(&twin.path, record, twin_name));
        }
        staged.changes.push(put(&entry.path, self.record(entry, content, meta), name));
        self.monitor.copied(1 + work.twins.len() as u64, 0);
        Ok(staged)
    }

    /// Stages one more link to a file of the mirror, which is to appear under another path as well.
    pub(super) fn reuse(&self, work: &Reuse<'_>) -> Result<Staged, RunError> {
        let old = &work.record;
        let Some((name, content)) = self.link_of(&work.from, old)? else {
            // The mirror's file is not what it was; the source has the content as well.
            let mut staged = self.copy(&ToCopy { entry: work.entry, twins: Vec::new() })?;
            if work.moved && !staged.changes.is_empty() {
                staged.changes.push(Change::Remove { path: work.from.clone() });
            }
            return Ok(staged);
        };
        let mut record = self.record(work.entry, content, work.meta.clone());
        if old.brought_by != 0 && record.is_tracked() {
            record.brought_by = old.brought_by;
        }
        let moved_from = work.moved.then(|| work.from.clone());
        let change = Change::Put { path: work.entry.path.clone(), record, stage: name, moved_from };
        let mut staged = Staged { changes: vec![change], ..Staged::default() };
        if work.moved {
            staged.changes.push(Change::Remove { path: work.from.clone() });
        }
        Ok(staged)
    }

    /// Lets a file whose record alone changes be; where it gets a name in the increment and takes no
    /// more links, a fresh inode replaces it.
    pub(super) fn note(&self, work: &ToNote<'_>) -> Result<Staged, RunError> {
        let ToNote { entry, change, old } = work;
        let as_it_is = || Ok(Staged { changes: vec![change.clone()], ..Staged::default() });
        let Change::Note { path, record, version: true } = change else { return as_it_is() };
        if old.identity().is_none() {
            return as_it_is();
        }
        match self.links(path, old)? {
            Some(links) if links >= MAX_LINKS => {
                let (name, content) = self.fresh(path, old)?;
                let record = Record { content, ..record.clone() };
                Ok(Staged { changes: vec![put(path, record, name)], ..Staged::default() })
            }
            // Somebody removed it from the drive; the source has the content.
            None if self.tree.stat(&layout::mirror(old.place(path)))?.is_none() => {
                self.copy(&ToCopy { entry, twins: Vec::new() })
            }
            // Something else in its place is found before the batch is published.
            _ => as_it_is(),
        }
    }

    /// Stages the mirror's file for `path`: as a link, or as a copy where it takes no more links.
    /// `None` if the mirror has something else there than the record says.
    fn link_of(&self, path: &RelPath, old: &Record) -> Result<Option<(String, Content)>, RunError> {
        match self.links(path, old)? {
            None => return Ok(None),
            Some(links) if links >= MAX_LINKS => return self.fresh(path, old).map(Some),
            Some(_) => {}
        }
        let name = self.name();
        match self.tree.link(&layout::mirror(old.place(path)), &layout::staged(&name)) {
            // A batch that is published meanwhile may have given the file a fresh inode.
            Ok(()) => {
                let found = self.placed(&layout::staged(&name))?;
                Ok((found.size == old.size()).then(|| (name, placed_at(&old.content, found.ino))))
            }
            Err(e) if e.is(Errno::MLINK) || e.is(Errno::PERM) => self.fresh(path, old).map(Some),
            Err(e) => Err(e.into()),
        }
    }

    /// How many links the mirror's file has; `None` if it is not what the record says.
    fn links(&self, path: &RelPath, old: &Record) -> Result<Option<u32>, RunError> {
        let found = self.tree.stat(&layout::mirror(old.place(path)))?;
        let same = found.filter(|found| old.identity().is_some_and(|old| old.is(found)));
        Ok(same.map(|found| found.nlink))
    }

    /// A copy of the mirror's file on the drive itself, with an inode of its own.
    fn fresh(&self, path: &RelPath, old: &Record) -> Result<(String, Content), RunError> {
        let name = self.name();
        let staged = layout::staged(&name);
        let content = match &old.content {
            Content::Link { target, .. } => {
                self.tree.create_link(&staged, target, &self.attributes(&old.meta))?;
                let placed = self.placed(&staged)?;
                Content::Link { target: target.clone(), placed: placed.ino }
            }
            Content::File { hash, size, unsettled, .. } => {
                let mirror = layout::mirror(old.place(path));
                let damaged =
                    |what: &str| RepositoryError::Damaged(format!("{}: {what}", mirror.display()));
                let from = self.tree.open_file(&mirror)?.ok_or_else(|| damaged("it is gone"))?;
                let sparse = content::has_holes(&from, *size);
                let mut to = self.tree.create_file(&staged, 0o600)?;
                let (len, found) =
                    match content::copy(&from, *size, sparse, &mut to, 0, self.stop, &|_| {}) {
                        Ok(copied) => copied,
                        Err(CopyError::Stopped) => return Err(RunError::stopped()),
                        Err(CopyError::Drive(e)) => return Err(e.into()),
                        Err(CopyError::Source(e)) => return Err(RepositoryError::Read(e).into()),
                    };
                if len != *size || found != *hash {
                    return Err(damaged("its content is not what was backed up").into());
                }
                let placed = self.finish(&mut to, &old.meta)?;
                Content::File { size: *size, hash: *hash, placed, unsettled: *unsettled }
            }
            Content::Folder => Content::Folder,
        };
        Ok((name, content))
    }

    fn copy_link(&self, entry: &Entry) -> Result<(String, Content, Meta, u64), CopyError> {
        let (stat, read_at) =
            stat_to_read(|| self.source.stat(&entry.path)).map_err(CopyError::Source)?;
        let target = self.source.read_link(&entry.path).map_err(CopyError::Source)?;
        let xattrs = self.source.xattrs(&entry.path).map_err(CopyError::Source)?;
        let meta = meta_of(&stat, xattrs, read_at);
        let name = self.name();
        if self.keeping == Keeping::Displace {
            // Such drives have no links; the record has all there is to one.
            return Ok((name, Content::Link { target, placed: 0 }, meta, 0));
        }
        let path = layout::staged(&name);
        let placed = match self.tree.create_link(&path, &target, &self.attributes(&meta)) {
            Ok(()) => self.placed(&path)?.ino,
            Err(e) if [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS].iter().any(|no| e.is(*no)) => 0,
            Err(e) => return Err(e.into()),
        };
        Ok((name, Content::Link { target, placed }, meta, 0))
    }

    fn copy_file(&self, entry: &Entry) -> Result<(String, Content, Meta, u64), CopyError> {
        let from = File::from(self.source.open_file(&entry.path).map_err(CopyError::Source)?);
        let before = self.source.stat_fd(&from).map_err(CopyError::Source)?;
        if before.kind != Kind::File {
            return Err(CopyError::Source(io::Error::other("it is no regular file any more")));
        }
        let (name, mut to, there) = self.staged_file(entry, &before)?;
        // FAT takes 4 GiB at most; found out at the end of those, they are copied in vain in each run.
        let may_be_too_large = self.keeping == Keeping::Displace && before.size > u32::MAX.into();
        let copied = if may_be_too_large && !to.takes_length(before.size) {
            Err(CopyError::Drive(to.error("write", Errno::FBIG.into())))
        } else {
            self.copy_settled(&from, before, &mut to, there)
        };
        match copied {
            Ok((content, meta, size)) => Ok((name, content, meta, size)),
            Err(e) if is_of_this_file(&e) => {
                drop(to);
                self.tree.remove_file(&layout::staged(&name))?;
                Err(e)
            }
            Err(e) => Err(e),
        }
    }

    /// Copies a file, which was just found like `before`, until it does not change meanwhile, a few times at
    /// most. `to` has `there` bytes already.
    fn copy_settled(
        &self,
        from: &File,
        before: Stat,
        to: &mut DriveFile<'_>,
        mut there: u64,
    ) -> Result<(Content, Meta, u64), CopyError> {
        let stat = || self.source.stat_fd(from);
        let told = |bytes| self.monitor.copied(0, bytes);
        let mut found = Some(before);
        let mut tries = 0;
        let (size, hash, mut meta, unsettled) = loop {
            let (before, read_at) =
                stat_to_read(|| found.take().map_or_else(stat, Ok)).map_err(CopyError::Source)?;
            // A change of attributes shows in the change time, so it does not settle either.
            let xattrs = self.source.xattrs_fd(from).map_err(CopyError::Source)?;
            // A drive without links has no holes either: there zeros are written like all else.
            let sparse = before.has_holes() && self.keeping == Keeping::Hardlink;
            let (size, hash) =
                content::copy(from, before.size, sparse, to, there, self.stop, &told)?;
            let unsettled = !settled(&before, &stat().map_err(CopyError::Source)?);
            tries += 1;
            if !unsettled || tries == TRIES {
                break (size, hash, meta_of(&before, xattrs, read_at), unsettled);
            }
            there = size;
        };
        if unsettled {
            meta.ctime_ns = 0;
        }
        let placed = self.finish(to, &meta)?;
        Ok((Content::File { size, hash, placed, unsettled }, meta, size))
    }

    /// Where a file is staged, and how many bytes are there: a large one goes on in the part that an
    /// interrupted run left.
    fn staged_file(
        &self,
        entry: &Entry,
        stat: &Stat,
    ) -> Result<(String, DriveFile<'_>, u64), CopyError> {
        let mode = mode_on_drive(stat.mode);
        if stat.size < RESUMABLE {
            let name = self.name_on_shelf(&entry.path);
            let path = layout::staged(&name);
            let file = with_parents(self.tree, &path, || self.tree.create_file(&path, mode))?;
            return Ok((name, file, 0));
        }
        let name = part_name(&entry.path, stat);
        let path = layout::staged(&name);
        match self.tree.stat(&path)? {
            Some(found) if found.nlink == 1 && found.file_type.is_file() => {
                match self.tree.open_record_file(&path, false) {
                    Ok(file) => return Ok((name, file, found.size)),
                    // It was whole and has the attributes of a read-only file already.
                    Err(e) if e.is(Errno::ACCESS) => {
                        self.tree.remove_file(&path)?;
                    }
                    Err(e) => return Err(e.into()),
                }
            }
            Some(_) => {
                self.tree.remove_file(&path)?;
            }
            None => {}
        }
        // The next run must be able to go on with it.
        Ok((name, self.tree.create_file(&path, mode | 0o600)?, 0))
    }

    /// Gives a staged file its attributes; returns its inode.
    fn finish(&self, to: &mut DriveFile<'_>, meta: &Meta) -> Result<u64, TreeError> {
        for (name, value) in &meta.xattrs {
            to.set_xattr(name, value)?;
        }
        let ino = to.set_attributes(&self.attributes(meta))?;
        if self.tree.syncs_each_file() {
            to.sync()?;
        }
        Ok(if self.keeping == Keeping::Hardlink { ino } else { 0 })
    }

    fn attributes(&self, meta: &Meta) -> Attributes {
        Attributes {
            mode: mode_on_drive(meta.mode),
            owner: self.set_owner.then_some((meta.uid, meta.gid)),
            mtime_ns: meta.mtime_ns,
        }
    }

    fn placed(&self, path: &Path) -> Result<Identity, TreeError> {
        let found = self.tree.stat(path)?;
        Ok(found
            .as_ref()
            .map_or(Identity { ino: 0, size: 0 }, crate::transaction::steps::identity_of))
    }

    fn record(&self, entry: &Entry, content: Content, meta: Meta) -> Record {
        let category = entry.category;
        let brought_by = if category == Category::Tracked { self.sequence } else { 0 };
        let stored = self.naming.stored(&entry.path).map(Box::new);
        Record { category, content, meta, brought_by, listed: true, stored }
    }

    /// The name of a small file, in a folder of the staging area. Each thread and source folder has one of them,
    /// as far as they go: a folder is locked while a file is made in it or leaves it, and searched from one
    /// end, which is most of what a small file costs. Without links a staging area that was torn is set
    /// aside whole, and has no folders.
    fn name_on_shelf(&self, path: &RelPath) -> String {
        if self.keeping == Keeping::Displace {
            return self.name();
        }
        let thread = rayon::current_thread_index().unwrap_or(0);
        let mix = |sum: usize, byte: &u8| sum.wrapping_mul(31).wrapping_add(usize::from(*byte));
        let folder = path.parent().map_or(0, |folder| folder.as_bytes().iter().fold(0, mix));
        format!("{}/{}", layout::stage_shelf(folder.wrapping_add(thread)), self.name())
    }

    /// Removes the folders in the staging area once all is published.
    pub(super) fn remove_shelves(&self) -> Result<(), TreeError> {
        if self.keeping == Keeping::Displace || self.next.load(Ordering::Relaxed) == 1 {
            return Ok(());
        }
        for name in self.tree.list(Path::new(layout::STAGE), 1_000_000)? {
            let Some(shelf) = name.to_str().filter(|name| layout::is_stage_shelf(name)) else {
                continue;
            };
            match self.tree.remove_folder(&layout::staged(shelf)) {
                // What somebody put there the next run takes away.
                Err(e) if e.is(Errno::NOTEMPTY) || e.is(Errno::EXIST) || e.is(Errno::NOTDIR) => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }
}

/// The same content at another inode of the drive.
fn placed_at(content: &Content, ino: u64) -> Content {
    let mut content = content.clone();
    if let Content::File { placed, .. } | Content::Link { placed, .. } = &mut content {
        *placed = ino;
    }
    content
}

/// Whether an error ends one file and not the run.
fn is_of_this_file(e: &CopyError) -> bool {
    match e {
        CopyError::Source(_) => true,
        CopyError::Drive(e) => e.is(Errno::FBIG),
        CopyError::Stopped => false,
    }
}

fn put(path: &RelPath, record: Record, stage: String) -> Change {
    Change::Put { path: path.clone(), record, stage, moved_from: None }
}

/// How many bytes of a large file an interrupted run left in the staging area.
pub(super) fn there_already(tree: &Tree, work: &Work<'_>) -> Result<u64, TreeError> {
    let Work::Copy(copy) = work else { return Ok(0) };
    let entry = copy.entry;
    if entry.stat.kind != Kind::File || entry.stat.size < RESUMABLE {
        return Ok(0);
    }
    let path = layout::staged(&part_name(&entry.path, &entry.stat));
    if tree.stat(&path)?.is_none_or(|found| !found.file_type.is_file()) {
        return Ok(0);
    }
    let part = tree.open_file(&path)?;
    let allocated = |part: File| rustix::fs::fstat(&part).map_or(0, |stat| stat.st_blocks);
    Ok(part.map_or(0, |part| allocated(part).cast_unsigned().saturating_mul(512)))
}
