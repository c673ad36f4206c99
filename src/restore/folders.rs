//! The folders of a restore: those on the way to a file, and those that are restored themselves.
//!
//! A folder that was made here has a mode that folders do not have by chance, [`UNFINISHED`], until it gets
//! its own after all that is in it. So a restore that goes on after another was killed knows which
//! folders are not done. It never goes through a link.

use crate::fs::stat::Found;
use crate::history::timeline::{Body, Version};
use crate::model::relpath::RelPath;
use crate::restore::options::Existing;
use crate::restore::restorer::{Due, Failure, Restorer, Way, reason_of};

/// Mode of a folder that is not finished: closed to all others, and with the sticky bit, which makes no
/// sense with that.
const UNFINISHED: u32 = 0o1700;

impl Restorer<'_> {
    /// Sees to it that the folders above `path` exist; those that the backup knows get their attributes at
    /// the end.
    pub(super) fn way_to(&mut self, path: &RelPath) -> Way {
        let Some(parent) = path.parent() else { return Way::Open };
        if let Some(way) = self.ways.get(&parent) {
            return way.clone();
        }
        let mut way = Way::Open;
        for folder in path.ancestors() {
            way = match self.ways.get(&folder) {
                Some(way) => way.clone(),
                None => self.way_through(&folder),
            };
            if !matches!(way, Way::Open) {
                break;
            }
        }
        self.ways.insert(parent, way.clone());
        way
    }

    /// Looks at a folder that is on the way and not selected itself, and makes it where it is missing.
    fn way_through(&mut self, folder: &RelPath) -> Way {
        let known = self.versions.get(folder).filter(|version| version.body == Body::Folder);
        let way = match self.destination.stat(folder.as_path()) {
            Ok(Some(found)) if found.file_type.is_dir() => {
                if let Some(version) = known {
                    self.found_folder(folder, version, &found, false);
                }
                Way::Open
            }
            Ok(Some(_)) => {
                Way::Blocked(format!("a file or link stands in the place of the folder {folder}"))
            }
            Ok(None) if self.dry => Way::Absent,
            Ok(None) => self.make_folder(folder, known.is_some()),
            Err(e) => Way::Blocked(reason_of(&e)),
        };
        self.ways.insert(folder.clone(), way.clone());
        way
    }

    fn make_folder(&mut self, folder: &RelPath, known: bool) -> Way {
        let path = folder.as_path();
        let made = if known {
            self.destination.create_folder(path, UNFINISHED, None).map(drop)
        } else {
            self.destination.create_folders_by_umask(path)
        };
        match made {
            Ok(()) => {
                if known {
                    self.due.insert(folder.clone(), Due::New);
                }
                Way::Open
            }
            Err(e) => Way::Blocked(reason_of(&e)),
        }
    }

    /// Restores a folder, all but its attributes. Returns whether it is made.
    pub(super) fn folder(&mut self, path: &RelPath, version: &Version) -> Result<bool, Failure> {
        let blocked = |restorer: &mut Self, reason: String| {
            restorer.ways.insert(path.clone(), Way::Blocked(reason.clone()));
            Err(Failure::Problem(reason))
        };
        match self.way_to(path) {
            Way::Open => {}
            Way::Blocked(reason) => return blocked(self, reason),
            Way::Absent => {
                self.ways.insert(path.clone(), Way::Absent);
                return Ok(true);
            }
        }
        match self.destination.stat(path.as_path())? {
            Some(found) if found.file_type.is_dir() => {
                let all = self.how.existing == Existing::Replace;
                self.found_folder(path, version, &found, all);
                self.ways.insert(path.clone(), Way::Open);
                return Ok(false);
            }
            Some(_) if self.how.existing != Existing::Replace => {
                let reason = format!("a file or link stands in the place of the folder {path}");
                return blocked(self, reason);
            }
            Some(_) if !self.dry => {
                self.destination.remove_file(path.as_path())?;
            }
            _ => {}
        }
        let way = if self.dry { Way::Absent } else { self.make_folder(path, true) };
        if let Way::Blocked(reason) = way {
            return blocked(self, reason);
        }
        self.ways.insert(path.clone(), way);
        Ok(true)
    }

    /// Decides whether a folder that exists gets its attributes at the end: if an earlier restore did not
    /// finish it, if it has the very ones now, or if `all` do.
    fn found_folder(&mut self, path: &RelPath, version: &Version, found: &Found, all: bool) {
        let same = self.has_attributes(version, found);
        if found.mode & 0o1777 == UNFINISHED || (all && !same) {
            self.due.insert(path.clone(), Due::New);
        } else if same {
            self.due.insert(path.clone(), if all { Due::Whole } else { Due::Again });
            // As in the source, nobody may write into it; for us it is opened until the end.
            let closed = found.mode & 0o300 != 0o300 && !self.root;
            if closed && !self.dry {
                let open = crate::fs::attributes::Attributes {
                    mode: UNFINISHED,
                    owner: None,
                    mtime_ns: version.mtime_ns,
                };
                // Where that fails, so will what is put into it, and that is told.
                drop(self.destination.set_folder_attributes(path.as_path(), &open));
            }
        }
    }
}
