//! What differs between two points in time, or between one and the source now.
//!
//! Files and links, not folders, and tracked ones alone: increments list no others. Comparing is pure; for
//! the source, only files are read whose size and time leave it open.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::fs::content;
use crate::history::timeline::{Body, Proof, Version, Versions};
use crate::model::entry::{Category, Kind};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::source::entry::Entry;
use crate::source::open::Source;
use crate::source::scan::Scan;

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there.
    New,
    /// Its content is another one.
    Changed,
    /// Only its mode, owner, time or extended attributes are others.
    Touched,
    /// Its content was at another path, which is gone.
    Moved,
    /// It is gone.
    Deleted,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The path.
    pub path: RelPath,
    /// How it differs.
    pub change: Change,
    /// Length now; of what is gone, before.
    pub size: u64,
    /// Length before, where the content is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_before: Option<u64>,
    /// Where it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<RelPath>,
}

/// Told to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// The differences, by path.
pub fn between(before: &Versions, after: &Versions) -> Vec<Difference> {
    let moved = moves(before, after);
    let mut found = Vec::new();
    for (path, version) in files(after) {
        let was = before.get(path).filter(|was| was.body != Body::Folder);
        let (change, size_before, moved_from) = match (was, moved.get(path)) {
            (Some(was), _) if !same_content(was, version) => {
                (Change::Changed, Some(size(was)), None)
            }
            (Some(was), _) if same_attributes(was, version) => continue,
            (Some(_), _) => (Change::Touched, None, None),
            (None, Some(from)) => (Change::Moved, None, Some((*from).clone())),
            (None, None) => (Change::New, None, None),
        };
        let path = path.clone();
        found.push(Difference { path, change, size: size(version), size_before, moved_from });
    }
    let moved: std::collections::HashSet<&RelPath> = moved.into_values().collect();
    for (path, version) in files(before) {
        let is_there = after.get(path).is_some_and(|now| now.body != Body::Folder);
        if !is_there && !moved.contains(path) {
            found.push(Difference {
                path: path.clone(),
                change: Change::Deleted,
                size: size(version),
                size_before: None,
                moved_from: None,
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn files(versions: &Versions) -> impl Iterator<Item = (&RelPath, &Version)> {
    versions.iter().filter(|(_, version)| version.body != Body::Folder)
}

fn size(version: &Version) -> u64 {
    match &version.body {
        Body::File { size, .. } => *size,
        Body::Link(_) | Body::Folder => 0,
    }
}

fn same_content(one: &Version, other: &Version) -> bool {
    match (&one.body, &other.body) {
        (Body::Link(one), Body::Link(other)) => one == other,
        (
            Body::File { size: a, hash: one_hash, .. },
            Body::File { size: b, hash: other_hash, .. },
        ) => {
            a == b
                && match (one_hash, other_hash) {
                    (Some(one), Some(other)) => one == other,
                    // Catalogs of the Python tool have none, and what could not be read has none.
                    _ => one.mtime_ns == other.mtime_ns,
                }
        }
        _ => false,
    }
}

fn same_attributes(one: &Version, other: &Version) -> bool {
    (one.mode, one.uid, one.gid, one.mtime_ns) == (other.mode, other.uid, other.gid, other.mtime_ns)
        && one.xattrs == other.xattrs
}

/// New paths and the gone ones whose content they have, where each has only one counterpart.
fn moves<'v>(before: &'v Versions, after: &'v Versions) -> HashMap<&'v RelPath, &'v RelPath> {
    fn content(version: &Version) -> Option<[u8; 32]> {
        match &version.body {
            // Empty files are all alike.
            Body::File { hash: Some(hash), size: 1.., .. } => Some(*hash),
            _ => None,
        }
    }
    fn alone<'v>(there: &'v Versions, not_there: &Versions) -> HashMap<[u8; 32], Vec<&'v RelPath>> {
        let mut by_content: HashMap<_, Vec<_>> = HashMap::new();
        for (path, version) in there.iter().filter(|(path, _)| !not_there.contains_key(*path)) {
            if let Some(content) = content(version) {
                by_content.entry(content).or_default().push(path);
            }
        }
        by_content
    }
    let (gone, new) = (alone(before, after), alone(after, before));
    let pairs = new.iter().filter_map(|(content, new)| {
        match (new.as_slice(), gone.get(content)?.as_slice()) {
            ([to], [from]) => Some((*to, *from)),
            _ => None,
        }
    });
    pairs.collect()
}

/// The tracked files and links of the source, as versions to be compared with `before`, from which what could
/// not be looked at is taken. A file with the size and time of before is taken to be the same; it is read
/// only if its size leaves open whether it is the same, or one that moved.
pub fn now(
    source: &Source,
    scan: &Scan,
    before: &mut Versions,
    stop: &AtomicBool,
) -> Result<(Versions, Vec<Problem>), Stopped> {
    let mut problems = scan.problems.clone();
    if !scan.unknown.is_empty() {
        let unknown = |path: &RelPath| scan.unknown.iter().any(|u| u == path || path.is_below(u));
        before.retain(|path, _| !unknown(path));
    }
    let tracked = || scan.entries.iter().filter(|e| e.category == Category::Tracked);
    let there: std::collections::HashSet<&RelPath> = tracked().map(|entry| &entry.path).collect();
    let gone_sizes: std::collections::HashSet<u64> = files(before)
        .filter(|(path, _)| !there.contains(path))
        .map(|(_, version)| size(version))
        .collect();
    let mut after = Versions::new();
    for entry in tracked() {
        let was = before.get(&entry.path);
        let body = match entry.stat.kind {
            Kind::Folder => Body::Folder,
            Kind::Link => match source.read_link(&entry.path) {
                Ok(target) => Body::Link(target),
                Err(e) => {
                    problems.push(Problem::new(entry.path.clone(), format!("cannot be read: {e}")));
                    continue;
                }
            },
            Kind::File => Body::File {
                size: entry.stat.size,
                hash: hash(source, entry, was, &gone_sizes, stop, &mut problems)?,
                places: Vec::new(),
                linked: None,
            },
        };
        let stat = &entry.stat;
        let version = Version {
            body,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            mtime_ns: stat.mtime_ns,
            // Not looked at.
            xattrs: was.map(|was| was.xattrs.clone()).unwrap_or_default(),
            proof: Proof::Recorded,
        };
        after.insert(entry.path.clone(), version);
    }
    Ok((after, problems))
}

/// The hash of a file of the source, if it is needed.
fn hash(
    source: &Source,
    entry: &Entry,
    was: Option<&Version>,
    gone_sizes: &std::collections::HashSet<u64>,
    stop: &AtomicBool,
    problems: &mut Vec<Problem>,
) -> Result<Option<[u8; 32]>, Stopped> {
    let stat = &entry.stat;
    match was.map(|was| (&was.body, was.mtime_ns)) {
        Some((Body::File { size, hash, .. }, mtime_ns)) => {
            if *size != stat.size {
                return Ok(None);
            }
            if mtime_ns == stat.mtime_ns {
                return Ok(*hash);
            }
        }
        _ if !gone_sizes.contains(&stat.size) => return Ok(None),
        _ => {}
    }
    let read = || {
        let file = std::fs::File::from(source.open_file(&entry.path)?);
        // It may be another one by now: what is no file is not read.
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no file any more"));
        }
        content::hash(&file, stat.size, stat.has_holes(), stop)
    };
    match read() {
        Ok(Some(hash)) => Ok(Some(hash)),
        Ok(None) => Err(Stopped),
        Err(e) => {
            problems.push(Problem::new(entry.path.clone(), format!("cannot be read: {e}")));
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str, mtime_ns: i64) -> Version {
        let body = Body::File {
            size: content.len() as u64,
            hash: Some(*blake3::hash(content.as_bytes()).as_bytes()),
            places: Vec::new(),
            linked: None,
        };
        let (xattrs, proof) = (Vec::new(), Proof::Recorded);
        Version { body, mode: 0o100_644, uid: 0, gid: 0, mtime_ns, xattrs, proof }
    }

    fn tree(files: &[(&str, Version)]) -> Versions {
        let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
        files.iter().map(|(name, version)| (path(name), version.clone())).collect()
    }

    fn shown(before: &Versions, after: &Versions) -> Vec<String> {
        let words = |d: Difference| format!("{:?} {} {}", d.change, d.path, d.size);
        between(before, after).into_iter().map(words).collect()
    }

    #[test]
    fn every_kind_of_change_is_told() {
        let folder = Version { body: Body::Folder, ..file("", 0) };
        let link = |target: &str| Version { body: Body::Link(target.into()), ..file("", 0) };
        let before = tree(&[
            ("changed", file("one", 1)),
            ("folder", folder.clone()),
            ("gone", file("gone", 1)),
            ("link", link("a")),
            ("moved", file("moved content", 1)),
            ("same", file("same", 1)),
            ("touched", file("same", 1)),
            ("turned", file("a file", 1)),
        ]);
        let after = tree(&[
            ("changed", file("one more", 2)),
            ("link", link("b")),
            ("moved away", file("moved content", 1)),
            ("new", file("new", 1)),
            ("same", file("same", 1)),
            ("touched", file("same", 2)),
            ("turned", folder),
        ]);
        assert_eq!(
            shown(&before, &after),
            [
                "Changed changed 8",
                "Deleted gone 4",
                "Changed link 0",
                "Moved moved away 13",
                "New new 3",
                "Touched touched 4",
                "Deleted turned 6",
            ]
        );
        assert!(between(&before, &before).is_empty());
    }

    #[test]
    fn what_could_have_moved_in_two_ways_did_not_move() {
        let (one, empty) = (file("content", 1), file("", 1));
        let before = tree(&[("a", one.clone()), ("e", empty.clone())]);
        let after = tree(&[("b", one.clone()), ("c", one), ("f", empty)]);
        assert_eq!(
            shown(&before, &after),
            ["Deleted a 7", "New b 7", "New c 7", "Deleted e 0", "New f 0"]
        );
    }
}
