//! What is to be done with a file or link, by what is at the destination.
//!
//! It only looks. What exists is the same if its content is: size first, then the hash.

use std::fs::File;

use crate::fs::content;
use crate::fs::stat::Found;
use crate::history::timeline::{Body, Proof, Version};
use crate::model::relpath::RelPath;
use crate::restore::keep_both;
use crate::restore::options::Existing;
use crate::restore::restorer::{Failure, LinkKey, Restorer};
use crate::source::open::xattrs_of;

/// Most numbered names that are tried for one version.
const MOST_NAMES: u32 = 1000;

/// What is to be done.
pub(super) enum Decision {
    /// Nothing is there: put it.
    Make,
    /// Put it over what is there.
    Replace,
    /// Put it under this name.
    Beside(RelPath),
    /// The content is there: give it its attributes.
    Attributes,
    /// It is there.
    Same,
    /// Its place is taken, and stays so.
    Leave,
}

/// What is said of a version that the Python tool wrote a later one over.
const OVERWRITTEN: &str = "is lost: the Python backup-manager overwrote it with a later version";

/// How what exists compares.
enum Compared {
    Other,
    /// The content is the same; whether the attributes are.
    Same(bool),
}

impl Restorer<'_> {
    pub(super) fn decide(
        &mut self,
        path: &RelPath,
        version: &Version,
    ) -> Result<Decision, Failure> {
        if version.proof == Proof::Overwritten {
            return Err(Failure::Problem(OVERWRITTEN.to_owned()));
        }
        let Some(found) = self.destination.stat(path.as_path())? else {
            return Ok(Decision::Make);
        };
        let existing = self.how.existing;
        let key = link_key(version);
        // Reading it would tell only which files are links to one another.
        if existing == Existing::Leave && key.is_none() {
            return Ok(Decision::Leave);
        }
        match self.compare(path, version, &found) {
            Ok(Compared::Same(attributes)) => {
                return Ok(self.same(path, version, &found, attributes, key));
            }
            Err(Failure::Stopped) => return Err(Failure::Stopped),
            Err(failure) if existing == Existing::Name => return Err(failure),
            // What cannot be read is not the same.
            Ok(Compared::Other) | Err(_) => {}
        }
        match existing {
            Existing::Leave => Ok(Decision::Leave),
            Existing::KeepBoth => self.beside(path, version),
            Existing::Name => Err(Failure::Problem(
                "exists already and is not the same; --overwrite replaces it, --keep-both puts this one beside it"
                    .to_owned(),
            )),
            Existing::Replace if found.file_type.is_dir() => {
                let names = self.destination.list(path.as_path(), 1);
                if names.is_ok_and(|names| names.is_empty()) {
                    Ok(Decision::Replace)
                } else {
                    let reason = "a folder that is not empty stands in its place; move it away";
                    Err(Failure::Problem(reason.to_owned()))
                }
            }
            Existing::Replace if self.put.contains(&found.ino) => Err(Failure::Problem(
                "the destination takes its name for that of another file that was just restored"
                    .to_owned(),
            )),
            Existing::Replace => Ok(Decision::Replace),
        }
    }

    /// What is to be done where the content is the same.
    fn same(
        &mut self,
        path: &RelPath,
        version: &Version,
        found: &Found,
        attributes: bool,
        key: Option<LinkKey>,
    ) -> Decision {
        let replaces = self.how.existing == Existing::Replace;
        if let Some(key) = key {
            match self.linked.get(&key) {
                // It was a link to that one.
                Some((_, ino)) if replaces && *ino != found.ino => return Decision::Replace,
                None if attributes || (replaces && found.nlink == 1) => {
                    self.linked.insert(key, (path.as_path().to_owned(), found.ino));
                }
                _ => {}
            }
        }
        if attributes || !replaces {
            return Decision::Same;
        }
        // Other names of the file may lie anywhere, and would get the attributes as well.
        let alone = found.nlink == 1 && matches!(version.body, Body::File { .. });
        if alone { Decision::Attributes } else { Decision::Replace }
    }

    /// Compares what is at `to` with `version`.
    fn compare(
        &mut self,
        to: &RelPath,
        version: &Version,
        found: &Found,
    ) -> Result<Compared, Failure> {
        match &version.body {
            Body::Folder => Ok(Compared::Other),
            Body::Link(target) => {
                let same = found.file_type.is_symlink()
                    && self.destination.read_link(to.as_path())?.as_ref() == Some(target);
                let attributes = same && self.has_attributes(version, found);
                Ok(if same { Compared::Same(attributes) } else { Compared::Other })
            }
            Body::File { size, .. } => {
                if !found.file_type.is_file() || found.size != *size {
                    return Ok(Compared::Other);
                }
                let Some(hash) = self.expected_hash(version)? else {
                    return Ok(Compared::Other);
                };
                let Some(file) = self.destination.open_file(to.as_path())? else {
                    return Ok(Compared::Other);
                };
                if self.hash(&file, *size).map_err(|e| unread(&e))? != Some(hash) {
                    return Ok(Compared::Other);
                }
                (self.told)(*size);
                let attributes = self.has_attributes(version, found)
                    && xattrs_of(&file).is_ok_and(|has| has == version.xattrs);
                Ok(Compared::Same(attributes))
            }
        }
    }

    /// The hash of a version's content; where none was recorded, that of what lies on the drive.
    fn expected_hash(&self, version: &Version) -> Result<Option<[u8; 32]>, Failure> {
        let Body::File { size, hash, places, .. } = &version.body else { return Ok(None) };
        if hash.is_some() {
            return Ok(*hash);
        }
        for place in places {
            if let Ok(Some(file)) = self.repository.open_file(place)
                && file.metadata().is_ok_and(|meta| meta.len() == *size)
            {
                return self.hash(&file, *size).map_err(|e| unread(&e));
            }
        }
        Ok(None)
    }

    /// The hash of the first `size` bytes; an error of kind `Interrupted` if told to stop.
    fn hash(&self, file: &File, size: u64) -> std::io::Result<Option<[u8; 32]>> {
        match content::hash(file, size, content::has_holes(file, size), self.stop)? {
            Some(hash) => Ok(Some(hash)),
            None => Err(std::io::ErrorKind::Interrupted.into()),
        }
    }

    /// A free name beside what exists, or one at which this version lies already.
    fn beside(&mut self, path: &RelPath, version: &Version) -> Result<Decision, Failure> {
        let time = keep_both::time(version.mtime_ns, &self.zone);
        for number in 1..=MOST_NAMES {
            let name = keep_both::name(path.name(), &time, number);
            let Ok(to) = RelPath::child(path.parent().as_ref(), &name) else { break };
            // Another file of the backup has it, or another one got it.
            if self.versions.contains_key(&to) || self.beside.contains(&to) {
                continue;
            }
            let decision = match self.destination.stat(to.as_path())? {
                None => Decision::Beside(to.clone()),
                Some(found) => match self.compare(&to, version, &found) {
                    Ok(Compared::Same(_)) => Decision::Same,
                    Err(Failure::Stopped) => return Err(Failure::Stopped),
                    Ok(Compared::Other) | Err(_) => continue,
                },
            };
            self.beside.insert(to);
            return Ok(decision);
        }
        Err(Failure::Problem("no name beside it is free".to_owned()))
    }
}

/// What tells which files are hard links to one another; `None` for most.
pub(super) fn link_key(version: &Version) -> Option<LinkKey> {
    match &version.body {
        Body::File { linked: Some(id), hash: Some(hash), .. } => {
            Some((id.clone(), *hash, version.mtime_ns))
        }
        _ => None,
    }
}

fn unread(e: &std::io::Error) -> Failure {
    if e.kind() == std::io::ErrorKind::Interrupted {
        Failure::Stopped
    } else {
        Failure::Problem(format!("what exists cannot be read: {e}"))
    }
}
