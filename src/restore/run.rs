//! The order of a restore, and of its preview: folders first, then files and links, then the folders' attributes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::tz::TimeZone;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::fs::tree::handle::Tree;
use crate::history::timeline::{Body, Version, Versions};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::restore::decide::Decision;
use crate::restore::error::RestoreError;
use crate::restore::options::How;
use crate::restore::report::{Action, Preview, Restored, Step};
use crate::restore::restorer::{Due, Failure, Restorer, Way, reason_of};
use crate::restore::selection::Selection;

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

    pub(crate) fn problem(&mut self, path: &RelPath, reason: impl Into<String>) {
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
