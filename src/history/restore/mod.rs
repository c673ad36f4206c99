//! Brings files back: one, a folder, what a mask matches, or the whole tree, as of now or then.
//!
//! It writes below the destination alone, through the same module that keeps drive operations beneath
//! an open handle, so that no symbolic link there or in the backup leads it elsewhere. A file gets its
//! name when it is whole and its hash was checked; what exists is compared first and only replaced if
//! asked. It can be cut off at any instant: the same restore again goes on.

mod attributes;
mod beside;
mod choose;
mod decide;
mod folders;
mod owners;
mod put;
pub mod script;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::tz::TimeZone;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::Serialize;

pub use choose::{Amount, Selection};
use decide::Decision;
use folders::{Due, Way};
pub use owners::{Owners, OwnersError};

use super::timeline::{Body, Version, Versions};
use crate::drive::tree::{Tree, TreeError};
use crate::problem::Problem;
use crate::relpath::RelPath;

/// What becomes of what exists at the destination and is not what is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and is a problem.
    #[default]
    Name,
    /// It stays; only what is missing is restored. What exists is not even read.
    Leave,
    /// It is replaced.
    Replace,
    /// It stays; what is restored gets another name beside it.
    KeepBoth,
}

/// How a restore is done.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// What becomes of what exists.
    pub existing: Existing,
    /// Gives set-id bits back as well. A drive that was in other hands could give anybody a privilege with
    /// them, so that is asked for.
    pub keep_set_id: bool,
    /// Who gets what belonged to whom.
    pub owners: Owners,
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
    /// Another restore writes there.
    #[error("another restore to {} is at work; wait for it to end", crate::sanitize::line(&.0.to_string_lossy()))]
    Busy(PathBuf),
    /// Told to stop.
    #[error(
        "stopped; {0} files were restored, each of them whole. The same command again goes on from there"
    )]
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
    /// Files and links that were there already, with the same content.
    pub already_there: u64,
    /// Files and links whose place was taken and that were left out for it, as asked.
    pub left: u64,
    /// What got another name beside what exists: its path, and that of what was made.
    pub beside: BTreeMap<RelPath, RelPath>,
    /// Files, links and folders that belong to who restored them, since only root can give them away.
    pub others: u64,
    /// Of what was restored, files whose content nobody has proven: the Python tool may have overwritten it.
    #[serde(skip_serializing_if = "super::list::is_zero")]
    pub unproven: u64,
    /// What could not be done.
    pub problems: Vec<Problem>,
}

/// What would be done with one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The path.
    pub path: RelPath,
    /// What would be done.
    pub action: Action,
    /// Length of a file, else 0.
    pub size: u64,
    /// Its other name, where it would get one.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub beside: Option<RelPath>,
}

/// What would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Put where nothing is.
    Restore,
    /// Put in the place of what exists.
    Replace,
    /// Put beside what exists.
    Beside,
    /// Nothing but owner, mode, times: the content is there.
    Attributes,
    /// Nothing: it is there.
    Same,
    /// Nothing: its place is taken.
    Leave,
    /// Make a folder.
    Folder,
}

/// What a restore would do.
#[derive(Debug, Default, Serialize)]
pub struct Preview {
    /// Path by path; folders that exist are left out.
    pub steps: Vec<Step>,
    /// What would not be done.
    pub problems: Vec<Problem>,
}

/// Restores what `selection` picks of `versions` from `repository` to `destination`, which exists.
/// `told` hears of bytes as they are written or found to be there.
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
    // Two at once would take each other's unfinished files for what a dead one left.
    let handle = destination.handle();
    if rustix::fs::flock(handle, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
    {
        return Err(RestoreError::Busy(destination.shown().to_owned()));
    }
    let mut restorer = Restorer::new(repository, versions, destination, how, stop, told);
    let ended = restorer.all(&picked);
    // Also when it was stopped: what there is has its attributes, and can be used.
    let ended = ended.and(restorer.end());
    let _ends_with_the_handle = rustix::fs::flock(handle, FlockOperation::Unlock);
    ended.map(|()| restorer.done)
}

/// What [`restore`] would do; `destination` is `None` if it would be made. Nothing is written.
pub fn preview(
    repository: &Tree,
    versions: &Versions,
    selection: &Selection,
    destination: Option<&Tree>,
    how: How,
    stop: &AtomicBool,
    told: &dyn Fn(u64),
) -> Result<Preview, RestoreError> {
    let picked = selection.pick(versions)?;
    let mut preview = Preview::default();
    let Some(destination) = destination else {
        let all = picked.iter().map(|(path, version)| match version.body {
            Body::Folder => step(path, version, Action::Folder, None),
            _ => step(path, version, Action::Restore, None),
        });
        preview.steps.extend(all);
        return Ok(preview);
    };
    let mut restorer = Restorer::new(repository, versions, destination, how, stop, told);
    restorer.dry = true;
    for (path, version) in &picked {
        if stop.load(Ordering::Relaxed) {
            return Err(RestoreError::Stopped(0));
        }
        match restorer.look(path, version) {
            Ok(Some(found)) => preview.steps.push(found),
            Ok(None) => {}
            Err(Failure::Stopped) => return Err(RestoreError::Stopped(0)),
            Err(Failure::Problem(reason)) => restorer.problem(path, reason),
            Err(Failure::Destination(e)) => restorer.problem(path, reason_of(&e)),
        }
    }
    preview.problems = restorer.done.problems;
    Ok(preview)
}

fn step(path: &RelPath, version: &Version, action: Action, beside: Option<RelPath>) -> Step {
    let size = match &version.body {
        Body::File { size, .. } => *size,
        Body::Link(_) | Body::Folder => 0,
    };
    Step { path: path.clone(), action, size, beside }
}

/// Why one path was not restored.
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

/// What makes files hard links to one another: the source's inode, the content and the time.
type LinkKey = (String, [u8; 32], i64);

struct Restorer<'a> {
    repository: &'a Tree,
    destination: &'a Tree,
    versions: &'a Versions,
    how: How,
    stop: &'a AtomicBool,
    told: &'a dyn Fn(u64),
    done: Restored,
    /// Nothing is written.
    dry: bool,
    /// First name and inode of files that are hard links to one another.
    linked: HashMap<LinkKey, (PathBuf, u64)>,
    /// The folders that were come by, and how they are.
    ways: HashMap<RelPath, Way>,
    /// Folders that get their attributes at the end.
    due: BTreeMap<RelPath, Due>,
    /// Inodes of what was put in place: a destination may take two names for one.
    put: HashSet<u64>,
    /// Names that `--keep-both` gave.
    beside: HashSet<RelPath>,
    root: bool,
    uid: u32,
    zone: TimeZone,
}

impl<'a> Restorer<'a> {
    fn new(
        repository: &'a Tree,
        versions: &'a Versions,
        destination: &'a Tree,
        how: How,
        stop: &'a AtomicBool,
        told: &'a dyn Fn(u64),
    ) -> Self {
        Self {
            repository,
            destination,
            versions,
            how,
            stop,
            told,
            done: Restored::default(),
            dry: false,
            linked: HashMap::new(),
            ways: HashMap::new(),
            due: BTreeMap::new(),
            put: HashSet::new(),
            beside: HashSet::new(),
            root: rustix::process::geteuid().is_root(),
            uid: rustix::process::geteuid().as_raw(),
            zone: TimeZone::system(),
        }
    }

    fn problem(&mut self, path: &RelPath, reason: impl Into<String>) {
        self.done.problems.push(Problem::new(path.clone(), reason));
    }

    fn all(&mut self, picked: &[(&RelPath, &Version)]) -> Result<(), RestoreError> {
        for (path, version) in picked {
            if self.stop.load(Ordering::Relaxed) {
                return Err(RestoreError::Stopped(self.done.restored));
            }
            match self.one(path, version) {
                Ok(()) => {}
                Err(Failure::Stopped) => return Err(RestoreError::Stopped(self.done.restored)),
                Err(Failure::Problem(reason)) => self.problem(path, reason),
                // A full or failing destination ends it: every further file would fail as well.
                Err(Failure::Destination(e))
                    if e.is_full() || e.is(Errno::IO) || e.is(Errno::ROFS) =>
                {
                    return Err(e.into());
                }
                Err(Failure::Destination(e)) => self.problem(path, reason_of(&e)),
            }
        }
        self.remove_leftovers(picked);
        Ok(())
    }

    fn one(&mut self, path: &RelPath, version: &Version) -> Result<(), Failure> {
        if version.body == Body::Folder {
            return self.folder(path, version).map(drop);
        }
        if let Way::Blocked(reason) = self.way_to(path) {
            return Err(Failure::Problem(reason));
        }
        match self.decide(path, version)? {
            Decision::Make => self.put(path, version, path, false)?,
            Decision::Replace => self.put(path, version, path, true)?,
            Decision::Beside(to) => {
                self.put(path, version, &to, false)?;
                self.done.beside.insert(path.clone(), to);
            }
            Decision::Attributes => {
                self.put_right(path, version)?;
                self.done.already_there += 1;
            }
            Decision::Same => self.done.already_there += 1,
            Decision::Leave => self.done.left += 1,
        }
        Ok(())
    }

    /// What would be done with one path; `None`: nothing, since it is a folder that exists.
    fn look(&mut self, path: &RelPath, version: &Version) -> Result<Option<Step>, Failure> {
        if version.body == Body::Folder {
            let made = self.folder(path, version)?;
            return Ok(made.then(|| step(path, version, Action::Folder, None)));
        }
        match self.way_to(path) {
            Way::Open => {}
            Way::Blocked(reason) => return Err(Failure::Problem(reason)),
            // What stands there now gives way to a folder.
            Way::Absent => return Ok(Some(step(path, version, Action::Restore, None))),
        }
        let (action, beside) = match self.decide(path, version)? {
            Decision::Make => (Action::Restore, None),
            Decision::Replace => (Action::Replace, None),
            Decision::Beside(to) => (Action::Beside, Some(to)),
            Decision::Attributes => (Action::Attributes, None),
            Decision::Same => (Action::Same, None),
            Decision::Leave => (Action::Leave, None),
        };
        Ok(Some(step(path, version, action, beside)))
    }

    /// Gives folders their attributes, inner ones first and after all files: each entry that is made
    /// changes its folder's time.
    fn end(&mut self) -> Result<(), RestoreError> {
        for (path, due) in std::mem::take(&mut self.due).into_iter().rev() {
            let Some(version) = self.versions.get(&path) else { continue };
            if due == Due::New {
                self.done.folders += 1;
            }
            let set = if due == Due::Again {
                let attributes = self.attributes(version);
                self.destination.set_folder_attributes(path.as_path(), &attributes)
            } else {
                self.folder_attributes(&path, version)
            };
            if let Err(e) = set {
                self.problem(&path, reason_of(&e));
            }
        }
        Ok(self.destination.sync()?)
    }
}

fn reason_of(e: &TreeError) -> String {
    format!("{e}: {}", e.source)
}
