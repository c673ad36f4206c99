//! Judges versions: where one can lie, whether it is sound at one of these places, and what is wrong if not.
//!
//! It only reads, and heals nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::fs::stat::Found;
use crate::fs::tree::error::TreeError;
use crate::integrity::expected::{Body, Expected};
use crate::integrity::verify::error::{VerifyError, reason_of};
use crate::integrity::verify::finding::{Damage, Finding};
use crate::integrity::verify::prove::Proven;
use crate::integrity::verify::verifier::{Key, Seen, Verifier, Wrong};
use crate::repository::placement::Within;
use crate::repository::versioning::Keeping;

/// What is at one of the places where a version can lie.
pub(super) type Candidate = (Within, PathBuf, Result<Option<Found>, TreeError>);

impl Verifier<'_> {
    /// Looks at some versions, and reads their files if they were not read yet.
    pub(super) fn versions(&mut self, expected: Vec<Expected>) -> Result<(), VerifyError> {
        let mut looked = Vec::with_capacity(expected.len());
        for version in expected {
            if self.check.stop.load(Ordering::Relaxed) {
                return Err(VerifyError::Stopped);
            }
            let candidates = self.look(&version);
            looked.push((version, candidates));
        }
        if !self.check.quick {
            let first = looked.iter().filter_map(|(version, candidates)| {
                candidates.iter().find_map(|candidate| self.to_read(version, candidate))
            });
            let to_read = first.collect::<BTreeMap<_, _>>();
            self.read(to_read)?;
        }
        for (version, candidates) in looked {
            self.judge(version, candidates)?;
        }
        Ok(())
    }

    pub(super) fn look(&self, version: &Expected) -> Vec<Candidate> {
        let places = version.within.iter().filter_map(|within| {
            let path = match &version.at {
                Some(at) => at.clone(),
                None => within.path(self.index, &version.place)?,
            };
            let found = self.tree.stat(&path);
            Some((*within, path, found))
        });
        places.collect()
    }

    pub(super) fn key(&self, place: &Path, found: Option<&Found>) -> Key {
        match (self.keeping, found) {
            (Keeping::Hardlink, Some(found)) => Key::Inode(found.ino),
            _ => Key::Place(place.to_owned()),
        }
    }

    /// What a candidate has to be read for; ordered as the files lie on the drive, as far as inode
    /// numbers tell.
    fn to_read(
        &self,
        version: &Expected,
        (_, place, found): &Candidate,
    ) -> Option<((u64, PathBuf), u64)> {
        let Body::File { size, hash } = version.body else { return None };
        if hash.is_none() && !version.unproven {
            return None;
        }
        let Ok(Some(found)) = found else { return None };
        let like = found.file_type.is_file() && found.size == size;
        let unread = like && !self.seen.contains_key(&self.key(place, Some(found)));
        unread.then(|| ((found.ino, place.clone()), size))
    }

    /// Says whether a version is sound at one of its places.
    fn judge(&mut self, version: Expected, candidates: Vec<Candidate>) -> Result<(), VerifyError> {
        if candidates.is_empty() {
            // It lives in the record alone.
            return Ok(());
        }
        if version.body != Body::Folder {
            self.done.versions += 1;
        }
        if let (true, Body::File { size, .. }) = (self.check.quick, &version.body) {
            self.done.bytes = self.done.bytes.saturating_add(*size);
        }
        let mut worst: Option<(Damage, String, Candidate)> = None;
        for candidate in candidates {
            if let Some(((ino, place), size)) =
                self.to_read(&version, &candidate).filter(|_| !self.check.quick)
            {
                self.read(BTreeMap::from([((ino, place), size)]))?;
            }
            match self.verdict(&version, &candidate) {
                None => {
                    self.prove(&version, &candidate);
                    return Ok(());
                }
                // What is there tells more than what is missing elsewhere.
                Some((damage, reason)) => {
                    if worst.as_ref().is_none_or(|(was, ..)| *was == Damage::Missing) {
                        worst = Some((damage, reason, candidate));
                    }
                }
            }
        }
        // A link's target is in the record: where the drive cannot have the link, nothing is lost.
        let link = matches!(version.body, Body::Link(_)) && version.increment.is_some();
        if let Some((damage, reason, candidate)) = worst
            && !(link && damage == Damage::Missing)
        {
            let (within, place, found) = candidate;
            let found = found.unwrap_or_default();
            let key = self.key(&place, found.as_ref());
            let at = self.done.findings.len();
            if version.body == Body::Folder && damage == Damage::Missing {
                let folder = (version.place.clone(), version.attributes.mode, at);
                self.done.folders.push(folder);
            }
            self.done.findings.push(Finding {
                path: Some(version.path.clone()),
                increment: version.increment.clone(),
                damage,
                reason,
                place,
                shared_with: Vec::new(),
            });
            self.wrong.push(Wrong { at, key, expected: version, within, found });
        }
        Ok(())
    }

    /// Takes down the hash of a version that nobody had hashed.
    fn prove(&mut self, version: &Expected, (_, place, found): &Candidate) {
        let Ok(Some(found)) = found else { return };
        let (true, Some(increment)) = (version.unproven, &version.increment) else { return };
        if let Some(Seen::Hash(hash)) = self.seen.get(&self.key(place, Some(found))) {
            self.done.proven.push(Proven {
                increment: increment.clone(),
                path: version.path.clone(),
                place: place.clone(),
                found: *found,
                hash: *hash,
            });
        }
    }

    /// What is wrong with a version at one place; `None` if it is sound there.
    fn verdict(
        &self,
        version: &Expected,
        (_, place, found): &Candidate,
    ) -> Option<(Damage, String)> {
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Some((Damage::Missing, "it is missing".to_owned())),
            Err(e) => return Some((Damage::Unreadable, reason_of(e))),
        };
        let damaged = |reason: &str| Some((Damage::Damaged, reason.to_owned()));
        match &version.body {
            Body::Folder if found.file_type.is_dir() => return None,
            Body::Folder => return damaged("it is no folder"),
            Body::Link(_) if !found.file_type.is_symlink() => {
                return damaged("it is no symbolic link");
            }
            Body::Link(target) => match self.tree.read_link(place) {
                Ok(Some(found)) if found == *target => {}
                Ok(_) => return damaged("the link points elsewhere"),
                Err(e) => return Some((Damage::Unreadable, reason_of(&e))),
            },
            Body::File { .. } if !found.file_type.is_file() => {
                return damaged("it is no regular file");
            }
            Body::File { size, .. } if *size != found.size => {
                let reason = format!("it has {} bytes, not the {size} of then", found.size);
                return Some((Damage::Damaged, reason));
            }
            Body::File { hash: Some(hash), .. } if !self.check.quick => {
                match self.seen.get(&self.key(place, Some(found))) {
                    Some(Seen::Hash(now)) if now == hash => {}
                    Some(Seen::Unreadable(why)) => {
                        return Some((Damage::Unreadable, format!("it cannot be read: {why}")));
                    }
                    _ => return damaged("its content is not what was backed up"),
                }
            }
            Body::File { hash: None, .. } if version.unproven && !self.check.quick => {
                match self.seen.get(&self.key(place, Some(found))) {
                    Some(Seen::Hash(_)) => {}
                    Some(Seen::Unreadable(why)) => {
                        return Some((Damage::Unreadable, format!("it cannot be read: {why}")));
                    }
                    None => return Some((Damage::Unreadable, "it was not read".to_owned())),
                }
            }
            Body::File { .. } => {}
        }
        (version.ino != 0 && version.ino != found.ino).then(|| {
            let reason = "it is another file than the one that the record knows";
            (Damage::Replaced, reason.to_owned())
        })
    }
}
