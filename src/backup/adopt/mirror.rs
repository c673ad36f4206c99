//! The records of what lies in the mirror of the Python tool's repository.
//!
//! Each is such that the run that follows looks at the file again: its change time is unknown. It only reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use crate::backup::error::RunError;
use crate::backup::options::Options;
use crate::fs::content;
use crate::fs::stat::Found;
use crate::fs::tree::handle::Tree;
use crate::model::entry::{Category, Kind};
use crate::model::relpath::RelPath;
use crate::repository::index::record::{Content, Meta, Record};
use crate::repository::layout;
use crate::source::entry::Entry;
use crate::source::scan::Scan;

/// What lies in a folder of the repository, by place.
pub(crate) type Files = BTreeMap<RelPath, Found>;

/// The tool's floats keep times to less than a microsecond.
const SAME_TIME_NS: u64 = 1_000;

/// One record for each path of the mirror; those in `tracked` have versions in increments.
pub(super) fn records(
    tree: &Tree,
    scan: &Scan,
    mirror: &Files,
    tracked: &BTreeSet<RelPath>,
    warnings: &mut Vec<String>,
    options: &Options<'_>,
) -> Result<BTreeMap<RelPath, Record>, RunError> {
    let in_source: BTreeMap<&RelPath, &Entry> =
        scan.entries.iter().map(|entry| (&entry.path, entry)).collect();
    let own = Path::new(layout::PYTHON_MIRROR_INSIDE).file_name().unwrap_or_default();
    // The tool's list of the mirror is none of its files, unless the source has one of that name.
    let is_list =
        |path: &RelPath| path.as_path() == Path::new(own) && !in_source.contains_key(path);
    let files = || mirror.iter().filter(|(path, _)| !is_list(path));
    let sizes = files().filter(|(_, found)| found.file_type.is_file()).map(|(_, f)| f.size);
    options.monitor.planned(mirror.len() as u64, sizes.fold(0, u64::saturating_add));
    let all: Vec<(&RelPath, &Found)> = files().collect();
    let contents: Vec<Result<Content, String>> =
        all.par_iter().map(|(path, found)| content_of(tree, path, found, options)).collect();
    if options.stop.load(Ordering::Relaxed) {
        return Err(RunError::stopped());
    }
    let mut records = BTreeMap::new();
    let mut no_history = 0;
    for ((path, found), content) in all.into_iter().zip(contents) {
        let content = match content {
            Ok(content) => content,
            Err(why) => {
                warnings.push(format!(
                    "{}: {why}",
                    layout::MIRROR.to_owned() + "/" + &path.to_string()
                ));
                continue;
            }
        };
        let entry = in_source.get(path).copied();
        let is_tracked = tracked.contains(path);
        let only_mirrored = entry.is_some_and(|entry| entry.category == Category::Mirrored);
        no_history += u64::from(is_tracked && only_mirrored);
        let category = if is_tracked { Category::Tracked } else { Category::Mirrored };
        let meta = meta(&content, found, entry);
        let record = Record { category, content, meta, brought_by: 0, listed: true, stored: None };
        records.insert(path.clone(), record);
    }
    if no_history > 0 {
        let n = crate::text::human::count(no_history, "file", "files");
        warnings.push(format!(
            "{n} whose versions the Python backup-manager kept are only mirrored by this profile's rules: \
             their history ends here"
        ));
    }
    Ok(records)
}

/// What a file of the mirror is; an error says why it gets no record.
fn content_of(
    tree: &Tree,
    path: &RelPath,
    found: &Found,
    options: &Options<'_>,
) -> Result<Content, String> {
    let at = layout::mirror(path);
    let in_words = |e: &crate::fs::tree::error::TreeError| format!("{e}: {}", e.source);
    if found.file_type.is_dir() {
        return Ok(Content::Folder);
    }
    if found.file_type.is_symlink() {
        let target = tree.read_link(&at).map_err(|e| in_words(&e))?;
        let target = target.ok_or_else(|| "it is gone".to_owned())?;
        return Ok(Content::Link { target, placed: found.ino });
    }
    if !found.file_type.is_file() {
        return Err("it is no file, link or folder; move it away".to_owned());
    }
    let size = found.size;
    // What cannot be read is not what the source has, so the run copies it again.
    let unread = Content::File { size, hash: [0; 32], placed: found.ino, unsettled: true };
    let Ok(Some(file)) = tree.open_file(&at) else { return Ok(unread) };
    let told = |bytes| options.monitor.copied(0, bytes);
    let sparse = content::has_holes(&file, size);
    match content::hash_and_tell(&file, size, sparse, options.stop, &told) {
        Ok(Some(hash)) => Ok(Content::File { size, hash, placed: found.ino, unsettled: false }),
        Ok(None) | Err(_) => Ok(unread),
    }
}

/// The attributes of then: where size and time are the source's, the tool took the file for unchanged, and
/// what it does not keep (the owner, say) is no change.
fn meta(content: &Content, found: &Found, entry: Option<&Entry>) -> Meta {
    let same = entry.filter(|entry| {
        let kind = match content {
            Content::File { .. } => Kind::File,
            Content::Link { .. } => Kind::Link,
            Content::Folder => Kind::Folder,
        };
        let in_time = entry.stat.mtime_ns.abs_diff(found.mtime_ns) <= SAME_TIME_NS;
        entry.stat.kind == kind && entry.stat.size == found.size && in_time
    });
    match same {
        // Neither inode nor birth time: nothing that vanished is to be taken for moved, since the mirror's
        // file can be the source's own.
        Some(entry) if entry.stat.kind != Kind::Folder => {
            let meta = Meta::new(&entry.stat, Vec::new());
            Meta { ctime_ns: 0, btime_ns: None, ..meta }
        }
        _ => Meta {
            mtime_ns: found.mtime_ns,
            ctime_ns: 0,
            btime_ns: None,
            ino: 0,
            linked: false,
            mode: found.mode,
            uid: found.uid,
            gid: found.gid,
            xattrs: Box::default(),
        },
    }
}
