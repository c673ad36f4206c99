//! The kept catalogs of all drives: what is added after a run, and what is read for a question.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::drive::device::Device;
use crate::fs::tree::handle::Tree;
use crate::host::dirs;
use crate::host::names::file_name;
use crate::repository::catalog::document::Catalog;
use crate::repository::catalog::file::read_catalog;
use crate::repository::error::RepositoryError;
use crate::repository::index::history::Revised;
use crate::repository::{format, layout};
use crate::state::catalogs::entry::{Counts, Entry, Head};
use crate::state::catalogs::file::{self, Chapter, Contents, Whose, Writer};
use crate::state::memory::{Store, key_of};

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

/// Why the catalogs could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The drive's cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// This computer's cannot be written.
    #[error("{}: the catalogs of the drive cannot be kept here", crate::text::sanitize::line(&path.to_string_lossy()))]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process does it just now.
    #[error("another process brings the kept catalogs up to date")]
    Busy,
    /// Told to stop.
    #[error("stopped")]
    Stopped,
}

/// What a repository has now.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// Its increments, oldest first.
    pub history: &'a [Revised],
    /// The catalog of one that was made just now, which then need not be read.
    pub made: Option<&'a Catalog>,
}

/// The files below `<state folder>/catalogs`.
#[derive(Debug, Clone)]
pub struct Catalogs {
    folder: PathBuf,
}

/// What is kept of one repository.
#[derive(Debug)]
pub struct Kept {
    file: RefCell<File>,
    whose: Whose,
    chapters: Vec<Chapter>,
}

impl Kept {
    /// Whose catalogs these are.
    pub fn whose(&self) -> &Whose {
        &self.whose
    }

    /// The increments, oldest first.
    pub fn heads(&self) -> impl DoubleEndedIterator<Item = &Head> + ExactSizeIterator {
        self.chapters.iter().map(|chapter| &chapter.head)
    }

    /// Hands the entries of the `at`-th increment to `visit`, folder by folder; `false` if not all of them can
    /// be believed.
    pub fn entries(
        &self,
        at: usize,
        visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<()>,
    ) -> io::Result<bool> {
        let Some(chapter) = self.chapters.get(at) else { return Ok(true) };
        file::entries(&mut *self.file.borrow_mut(), chapter, visit)
    }

    /// Whether it has exactly these increments.
    fn is_of(&self, history: &[Revised]) -> bool {
        is_prefix(&self.chapters, history) && self.chapters.len() == history.len()
    }
}

impl Catalogs {
    /// Those in the state folder `state`.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("catalogs") }
    }

    /// What is kept of `profile`'s repository on the drive with this key.
    pub fn of(&self, profile: &str, key: &str) -> Option<Kept> {
        let kept = read(&self.path(profile, key))?;
        (kept.whose.profile == profile && kept.whose.key == key).then_some(kept)
    }

    /// Everything that is kept, by profile and drive.
    pub fn all(&self) -> Vec<Kept> {
        let files = dirs::at_depth(&self.folder, 2);
        let mut all: Vec<Kept> = files
            .into_iter()
            .filter_map(|path| {
                read(&path).filter(|k| self.path(&k.whose.profile, &k.whose.key) == path)
            })
            .collect();
        all.sort_by(|a, b| {
            let key = |kept: &Kept| (kept.whose.profile.clone(), kept.whose.label.clone());
            key(a).cmp(&key(b)).then_with(|| a.whose.key.cmp(&b.whose.key))
        });
        all
    }

    /// Brings what is kept in line with the repository in `tree`, which has what is `new`; only catalogs that
    /// are not kept yet are read. `place`: where the repository is on the drive.
    pub fn keep(
        &self,
        profile: &str,
        device: &Device,
        place: &Path,
        tree: &Tree,
        new: &New<'_>,
        stop: &AtomicBool,
    ) -> Result<Kept, KeepError> {
        let history = new.history;
        let format = format::read(tree)?;
        let format = format.ok_or_else(|| RepositoryError::Missing(tree.shown().to_owned()))?;
        let whose = Whose {
            profile: profile.to_owned(),
            key: key_of(device),
            label: device.label.clone(),
            uuid: device.uuid.clone(),
            place: place.to_string_lossy().into_owned(),
            keeping: format.keeps_versions,
            repairs: repairs(tree)?,
        };
        let path = self.path(profile, &whose.key);
        let kept = read(&path).filter(|kept| kept.whose == whose);
        if let Some(kept) = kept
            && kept.is_of(history)
        {
            return Ok(kept);
        }
        let folder = path.parent().unwrap_or(&self.folder);
        let failed = |source| KeepError::Write { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        // Held until this returns: two writers would be in each other's way.
        let lock = File::open(folder).map_err(failed)?;
        if lock.try_lock().is_err() {
            return Err(KeepError::Busy);
        }
        let update = Update { tree, history, made: new.made, stop, failed: &failed };
        // Looked at again, now that nobody else writes it.
        match read(&path) {
            Some(kept) if kept.whose == whose && is_prefix(&kept.chapters, history) => {
                update.append(&path, &kept)?;
            }
            old => update.anew(&path, &whose, old.as_ref())?,
        }
        read(&path).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
    }

    /// Takes out of what is kept whatever cannot be believed, so that it is read from the drive again.
    pub fn mend(&self, kept: &Kept) -> io::Result<()> {
        let path = self.path(&kept.whose.profile, &kept.whose.key);
        let lock = File::open(path.parent().unwrap_or(&self.folder))?;
        lock.try_lock()?;
        replace(&path, &kept.whose, |writer| {
            for chapter in &kept.chapters {
                let _believed = writer.copy(&mut *kept.file.borrow_mut(), chapter)?;
            }
            Ok(())
        })
    }

    fn path(&self, profile: &str, key: &str) -> PathBuf {
        self.folder.join(file_name(profile)).join(file_name(key))
    }
}

/// When a drive was last seen, and its label then.
pub fn seen(store: &Store, whose: &Whose) -> (Option<String>, Option<String>) {
    match store.of(&whose.profile, &whose.key) {
        Some(memory) => (memory.last_seen, memory.drive.label.or_else(|| whose.label.clone())),
        None => (None, whose.label.clone()),
    }
}

fn read(path: &Path) -> Option<Kept> {
    // A FIFO in its place is not waited for.
    if !std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()) {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let Contents { whose, chapters, .. } = file::contents(&mut file).ok()??;
    Some(Kept { file: RefCell::new(file), whose, chapters })
}

/// Writes a new file in the place of an old one.
fn replace(
    path: &Path,
    whose: &Whose,
    write: impl FnOnce(&mut Writer<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let staged = path.with_file_name(name);
    let written = || {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        let mut writer = Writer::start(file.try_clone()?, whose)?;
        write(&mut writer)?;
        file.set_len(writer.finish()?)?;
        crate::host::atomic_file::put(&staged, path)
    };
    written().inspect_err(|_| {
        // It was not finished, whatever became of it.
        drop(std::fs::remove_file(&staged));
    })
}

fn is_same(chapter: &Chapter, (increment, revision): &Revised) -> bool {
    chapter.head.increment == *increment && chapter.head.revision == *revision
}

fn is_prefix(chapters: &[Chapter], history: &[Revised]) -> bool {
    chapters.len() <= history.len() && chapters.iter().zip(history).all(|(c, h)| is_same(c, h))
}

/// The number of the last repair of the records; 0 if there was none.
fn repairs(tree: &Tree) -> Result<u64, RepositoryError> {
    let names = tree.list(Path::new(layout::META), 100_000)?;
    let numbers = names
        .iter()
        .filter_map(|name| name.to_str()?.strip_prefix(layout::BEFORE_REPAIR)?.parse::<u64>().ok());
    Ok(numbers.max().unwrap_or(0))
}

struct Update<'a, F> {
    tree: &'a Tree,
    history: &'a [Revised],
    made: Option<&'a Catalog>,
    stop: &'a AtomicBool,
    failed: &'a F,
}

impl<F: Fn(io::Error) -> KeepError> Update<'_, F> {
    /// Adds what is missing behind what is kept.
    fn append(&self, path: &Path, kept: &Kept) -> Result<(), KeepError> {
        let open = || {
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            let end = file::contents(&mut file)?.map_or(0, |contents| contents.end);
            file.set_len(end)?;
            Ok((Writer::go_on(file.try_clone()?, end)?, file))
        };
        let (mut writer, file) = open().map_err(self.failed)?;
        let missing = self.history.get(kept.chapters.len()..).unwrap_or_default();
        let added = missing.iter().try_for_each(|revised| self.add(&mut writer, revised));
        // What came before an error is kept all the same.
        let finish = || file.set_len(writer.finish()?);
        finish().map_err(self.failed)?;
        added
    }

    /// Writes a new file, with what is still right of the old one.
    fn anew(&self, path: &Path, whose: &Whose, old: Option<&Kept>) -> Result<(), KeepError> {
        // Of before its records were rebuilt nothing is believed.
        let old = old.filter(|old| old.whose.repairs == whose.repairs);
        let mut failed = None;
        let replaced = replace(path, whose, |writer| {
            let mut kept = old.map_or(&[][..], |old| &old.chapters).iter().peekable();
            for revised in self.history {
                // Both are in the order of sequences.
                let earlier = |c: &&Chapter| c.head.increment.sequence < revised.0.sequence;
                while kept.next_if(earlier).is_some() {}
                if let (Some(old), Some(chapter)) = (old, kept.peek())
                    && is_same(chapter, revised)
                    && writer.copy(&mut *old.file.borrow_mut(), chapter)?
                {
                    continue;
                }
                if let Err(error) = self.add(writer, revised) {
                    // What came before it is kept all the same.
                    failed = Some(error);
                    break;
                }
            }
            Ok(())
        });
        replaced.map_err(self.failed)?;
        failed.map_or(Ok(()), Err)
    }

    fn add(
        &self,
        writer: &mut Writer<File>,
        (increment, revision): &Revised,
    ) -> Result<(), KeepError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(KeepError::Stopped);
        }
        // One that was written anew since it was made is another.
        let made = self.made.filter(|made| *revision == 0 && made.sequence == increment.sequence);
        let read = || read_catalog(self.tree, &increment.name).map(Cow::Owned);
        let catalog = made.map_or_else(read, |made| Ok(Cow::Borrowed(made)))?;
        let head = Head {
            increment: increment.clone(),
            revision: *revision,
            timestamp: catalog.backup_timestamp.clone(),
            counts: Counts::of(&catalog),
        };
        writer.add(&head, &catalog).map_err(self.failed)
    }
}
