//! The walk through the source that a scan is made of.
//!
//! Each folder is a job of the thread pool, opened beneath the source's root when its turn comes:
//! no more handles are open than there are threads, however deep or wide the tree is, and a link that
//! is swapped in for a folder is refused. Folders in which nothing can be selected are not opened.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, RawDir, Statx};
use rustix::io::Errno;

use crate::model::entry::{Category, Kind, Stat};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::source::entry::{Entry, ScanOptions};
use crate::source::open::{self, Source};
use crate::source::rules::{Decider, Hits, Rules, Scope};

/// Bytes for one read of a folder: some hundred names.
const LISTING: usize = 32 * 1024;

/// From a folder with more names than this, the rest goes to other threads in portions of this size.
pub(super) const PORTION: usize = 512;

/// Walks through the source; gives what the jobs found, and how many folders have a number. It is not
/// complete if the scan was told to stop.
pub(super) fn walk(
    source: &Source,
    rules: &Rules,
    hits: &Hits,
    options: &ScanOptions<'_>,
) -> (Vec<Part>, usize) {
    let walk = Walk {
        source,
        rules,
        hits,
        options,
        folders: AtomicUsize::new(1),
        parts: Mutex::new(Vec::new()),
    };
    let root = Folder { number: 0, above: 0, path: None, stat: None, scope: rules.root() };
    rayon::scope(|threads| walk.folder(threads, root));
    let parts = walk.parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    (parts, walk.folders.into_inner())
}

/// What all jobs share.
struct Walk<'a> {
    source: &'a Source,
    rules: &'a Rules,
    hits: &'a Hits,
    options: &'a ScanOptions<'a>,
    /// How many folders have a number.
    folders: AtomicUsize,
    parts: Mutex<Vec<Part>>,
}

/// A folder that is to be listed.
#[derive(Clone)]
pub(super) struct Folder {
    /// Its own number; higher than that of the folder it lies in.
    pub(super) number: usize,
    /// The number of the folder it lies in.
    pub(super) above: usize,
    /// `None` is the source itself.
    pub(super) path: Option<RelPath>,
    pub(super) stat: Option<Stat>,
    pub(super) scope: Scope,
}

/// What one job found.
#[derive(Default)]
pub(super) struct Part {
    pub(super) entries: Vec<Entry>,
    /// Folders that were opened, or that are there and could not be.
    pub(super) folders: Vec<Folder>,
    /// Per folder number, the category of something selected in that folder (or of itself).
    pub(super) selected: Vec<(usize, Category)>,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<Problem>,
    pub(super) unknown: Vec<RelPath>,
    pub(super) root_error: Option<Errno>,
}

impl Walk<'_> {
    /// Lists one folder.
    fn folder<'s>(&'s self, threads: &rayon::Scope<'s>, folder: Folder) {
        if self.stopped() {
            return;
        }
        let mut job = Job::new(self, &folder);
        let listed = job.list(threads, &folder);
        match (listed, &folder.path) {
            // It vanished since the folder above was listed, and all in it: as if it had gone before.
            (Err(Errno::NOENT), Some(_)) => job.part = Part::default(),
            (Err(errno), None) => job.part.root_error = Some(errno),
            (result, Some(path)) => {
                if let Err(errno) = result {
                    job.part.unknown.push(path.clone());
                    let problem = Problem::new(path.clone(), reason(errno));
                    if folder.scope.is_excluded() {
                        // Looked into only because a file pattern could match in it at some depth.
                        job.part.notes.push(problem);
                    } else {
                        job.part.problems.push(problem);
                    }
                }
                if let Some(category) = self.rules.category(folder.scope) {
                    job.selected(category);
                }
                job.part.folders.push(folder);
            }
            (Ok(()), None) => {}
        }
        job.hand_in();
    }

    /// Looks at a portion of a large folder's names.
    fn portion<'s>(
        &'s self,
        threads: &rayon::Scope<'s>,
        folder: &Folder,
        names: &[(CString, FileType)],
    ) {
        let mut job = Job::new(self, folder);
        match self.source.open_folder(folder.path.as_ref()) {
            Ok(handle) => {
                for (name, kind) in names {
                    job.entry(threads, &handle, name, *kind);
                }
            }
            Err(Errno::NOENT) => {}
            Err(errno) => match &folder.path {
                None => job.part.root_error = Some(errno),
                Some(path) => {
                    job.part.unknown.push(path.clone());
                    let problem = Problem::new(path.clone(), reason(errno));
                    job.part.problems.push(problem);
                }
            },
        }
        job.hand_in();
    }

    fn stopped(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }
}

/// The work on one folder, or on a portion of its names.
struct Job<'s, 'a> {
    walk: &'s Walk<'a>,
    decider: Decider<'s>,
    number: usize,
    scope: Scope,
    folder: Option<RelPath>,
    /// The folder's path with a `/`, then the name in hand.
    path: Vec<u8>,
    /// Length of the folder's path with the `/`.
    prefix: usize,
    /// The numbers of what is known to lie in the folder.
    known: Option<Range<usize>>,
    part: Part,
}

impl<'s, 'a> Job<'s, 'a> {
    fn new(walk: &'s Walk<'a>, folder: &Folder) -> Self {
        let mut path = Vec::with_capacity(512);
        if let Some(folder) = &folder.path {
            path.extend_from_slice(folder.as_bytes());
            path.push(b'/');
        }
        Self {
            walk,
            decider: Decider::new(walk.rules, walk.hits),
            number: folder.number,
            scope: folder.scope,
            folder: folder.path.clone(),
            prefix: path.len(),
            known: walk.options.known.and_then(|known| known.below(&path)),
            path,
            part: Part::default(),
        }
    }

    fn hand_in(self) {
        self.walk.parts.lock().unwrap_or_else(PoisonError::into_inner).push(self.part);
    }

    /// Reads the folder's names and looks at each. An error says that some may be missing.
    fn list(&mut self, threads: &rayon::Scope<'s>, folder: &Folder) -> Result<(), Errno> {
        let handle = self.walk.source.open_folder(folder.path.as_ref())?;
        let mut buffer = Vec::with_capacity(LISTING);
        let mut listing = RawDir::new(&handle, buffer.spare_capacity_mut());
        let mut count = 0;
        let mut later = Vec::new();
        while let Some(entry) = listing.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    self.later(threads, folder, later);
                    return Err(errno);
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            count += 1;
            if count <= PORTION {
                self.entry(threads, &handle, name, entry.file_type());
                continue;
            }
            later.push((name.to_owned(), entry.file_type()));
            if later.len() == PORTION {
                self.later(threads, folder, std::mem::take(&mut later));
                if self.walk.stopped() {
                    return Ok(());
                }
            }
        }
        self.later(threads, folder, later);
        Ok(())
    }

    fn later(&self, threads: &rayon::Scope<'s>, folder: &Folder, names: Vec<(CString, FileType)>) {
        if !names.is_empty() {
            let (walk, folder) = (self.walk, folder.clone());
            threads.spawn(move |threads| walk.portion(threads, &folder, &names));
        }
    }

    /// Decides on one name of the folder; `kind` is what the listing says, which may be nothing.
    fn entry(
        &mut self,
        threads: &rayon::Scope<'s>,
        handle: impl AsFd,
        name: &CStr,
        mut kind: FileType,
    ) {
        let bytes = name.to_bytes();
        self.path.truncate(self.prefix);
        self.path.extend_from_slice(bytes);
        let look = || {
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            rustix::fs::statx(&handle, name, flags, open::STATX)
        };
        let mut statx = None;
        if kind == FileType::Unknown {
            match look() {
                Ok(known) => kind = open::file_type(statx.insert(known)),
                Err(errno) => {
                    // Blind to what it is: it counts if the rules take it as either.
                    if self.decider.folder(self.scope, &self.path).is_some()
                        || self.decider.file(self.scope, &self.path).is_some()
                    {
                        self.unreadable(bytes, errno);
                    }
                    return;
                }
            }
        }
        let is_folder = kind == FileType::Directory;
        let (scope, category) = if is_folder {
            match self.decider.folder(self.scope, &self.path) {
                Some(scope) => (scope, None),
                None => return,
            }
        } else {
            match self.decider.file(self.scope, &self.path) {
                Some(category) => (self.scope, Some(category)),
                None => return,
            }
        };
        let statx = match statx.map_or_else(look, Ok) {
            Ok(statx) => statx,
            Err(errno) => return self.unreadable(bytes, errno),
        };
        let left_out = self.left_out(&statx);
        if let (Some(category), None) = (category, &left_out)
            && self.is_as_it_was(category, &statx)
        {
            return self.selected(category);
        }
        let Some(path) = self.child(bytes) else {
            return;
        };
        if is_folder != (open::file_type(&statx) == FileType::Directory) {
            self.part.unknown.push(path.clone());
            let reason = "became something else while the source was read";
            self.part.problems.push(Problem::new(path, reason));
            return;
        }
        if let Some(note) = left_out {
            if !note.is_repository {
                // Whatever was backed up from here lies hidden below the mount and is not gone.
                self.part.unknown.push(path.clone());
            }
            self.part.notes.push(Problem::new(path, note.text));
            return;
        }
        match (open::kind(&statx), category) {
            (Some(Kind::Folder), _) => {
                let folder = Folder {
                    number: self.walk.folders.fetch_add(1, Ordering::Relaxed),
                    above: self.number,
                    path: Some(path),
                    stat: Some(open::stat(&statx, Kind::Folder)),
                    scope,
                };
                let walk = self.walk;
                threads.spawn(move |threads| walk.folder(threads, folder));
            }
            (Some(kind), Some(category)) => {
                self.selected(category);
                self.part.entries.push(Entry { path, category, stat: open::stat(&statx, kind) });
            }
            _ => {
                let what = special(open::file_type(&statx));
                let note = format!("{what}; only files, links and folders are backed up");
                self.part.notes.push(Problem::new(path, note));
            }
        }
    }

    /// Whether the file or link in hand need not be listed. One with several names is: they belong together.
    fn is_as_it_was(&self, category: Category, statx: &Statx) -> bool {
        match (self.walk.options.known, &self.known, open::kind(statx)) {
            (Some(known), Some(below), Some(kind @ (Kind::File | Kind::Link)))
                if statx.stx_nlink == 1 =>
            {
                known.is_as_it_was(below, &self.path, category, &open::stat(statx, kind))
            }
            _ => false,
        }
    }

    /// Whether the thing is left out for where it lies.
    fn left_out(&self, statx: &Statx) -> Option<LeftOut> {
        let (source, options) = (self.walk.source, self.walk.options);
        let dev = open::device(statx);
        if options.skip.contains(&(dev, statx.stx_ino)) {
            return Some(LeftOut {
                is_repository: true,
                text: "the backup itself lies here; left out",
            });
        }
        // The mount is what counts: a btrfs subvolume has a device number of its own and is entered;
        // a bind mount of the same device is not. Only before Linux 5.8 the device has to do.
        let elsewhere = match (open::mount_id(statx), source.mount_id()) {
            (Some(here), Some(root)) => here != root,
            _ => dev != source.dev(),
        };
        (options.one_file_system && elsewhere).then_some(LeftOut {
            is_repository: false,
            text: "another file system is mounted here; not entered (one_file_system)",
        })
    }

    fn unreadable(&mut self, name: &[u8], errno: Errno) {
        // Gone between the listing and the look: as if it had gone before.
        if errno == Errno::NOENT {
            return;
        }
        if let Some(path) = self.child(name) {
            self.part.unknown.push(path.clone());
            self.part.problems.push(Problem::new(path, reason(errno)));
        }
    }

    /// The path of a name in this folder; one that cannot be a path is a problem of the folder.
    fn child(&mut self, name: &[u8]) -> Option<RelPath> {
        let path = RelPath::child(self.folder.as_ref(), OsStr::from_bytes(name));
        if path.is_err()
            && let Some(folder) = &self.folder
        {
            let name = crate::text::sanitize::line(&String::from_utf8_lossy(name));
            let reason = format!("holds {name:?}, whose path is too long to be backed up");
            self.part.problems.push(Problem::new(folder.clone(), reason));
        }
        path.ok()
    }

    /// Something of this category is selected in the folder.
    fn selected(&mut self, category: Category) {
        match self.part.selected.last_mut() {
            Some((_, highest)) => *highest = category.max(*highest),
            None => self.part.selected.push((self.number, category)),
        }
    }
}

struct LeftOut {
    is_repository: bool,
    text: &'static str,
}

fn reason(errno: Errno) -> String {
    match errno {
        Errno::ACCESS | Errno::PERM => "cannot be read: permission denied".to_owned(),
        Errno::IO => "cannot be read: the disk reports an error".to_owned(),
        Errno::LOOP | Errno::NOTDIR => "became something else while the source was read".to_owned(),
        errno => format!("cannot be read: {}", io::Error::from(errno)),
    }
}

fn special(kind: FileType) -> &'static str {
    match kind {
        FileType::Socket => "a socket",
        FileType::Fifo => "a FIFO",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "of an unknown kind",
    }
}
