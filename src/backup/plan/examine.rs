//! Reads what a comparison could not decide: the content and attributes of suspects, and whether a
//! path that appeared is one that vanished.
//!
//! It reads the source and nothing else.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::prelude::*;

use crate::backup::plan::compare::Comparison;
use crate::fs::content;
use crate::model::entry::{Kind, Stat};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::repository::index::record::{Content, Meta, Record};
use crate::source::entry::Entry;
use crate::source::open::Source;

/// Timestamps come from a clock that ticks every 1 to 10 ms (the kernel's `CONFIG_HZ`), so a change
/// within the same tick as an earlier one does not show; twice that, for good measure.
const TICK_NS: i64 = 20_000_000;

/// The same for file systems that keep whole (FAT: even) seconds.
const COARSE_TICK_NS: i64 = 2_100_000_000;

/// What reading a suspect told.
pub(super) enum Verdict {
    /// The content is the same; these are the attributes now.
    Same(Meta),
    /// The content is other.
    Other,
    /// It is gone by now.
    Gone,
}

/// Stats an entry whose content is to be read next. One that was changed within this tick of the clock is
/// given until the next: from then on every change shows. All that was changed before it is older then, so
/// a run waits once. Returns the time after which the content is read, too.
pub(crate) fn stat_to_read(mut stat: impl FnMut() -> io::Result<Stat>) -> io::Result<(Stat, i64)> {
    let found = stat()?;
    let now = crate::text::clock::now_ns();
    let age = now.saturating_sub(found.ctime_ns);
    match u64::try_from(TICK_NS - age) {
        Ok(wait) if age >= 0 && wait > 0 && !is_coarse(&found) => {
            std::thread::sleep(Duration::from_nanos(wait));
            Ok((stat()?, crate::text::clock::now_ns()))
        }
        _ => Ok((found, now)),
    }
}

/// The attributes of a source's entry whose content was read after `read_at_ns`: a change time that a
/// later change could share is recorded as unknown, so that the next run looks again.
pub(crate) fn meta_of(stat: &Stat, xattrs: Vec<(Vec<u8>, Vec<u8>)>, read_at_ns: i64) -> Meta {
    let mut meta = Meta::new(stat, xattrs);
    let tick = if is_coarse(stat) { COARSE_TICK_NS } else { TICK_NS };
    if stat.ctime_ns > read_at_ns.saturating_sub(tick) {
        meta.ctime_ns = 0;
    }
    meta
}

/// Whether the file system seems to keep whole seconds.
fn is_coarse(stat: &Stat) -> bool {
    stat.ctime_ns % 1_000_000_000 == 0
}

/// Whether a file was left alone between two stats.
pub(crate) fn settled(before: &Stat, after: &Stat) -> bool {
    before.size == after.size
        && before.mtime_ns == after.mtime_ns
        && before.ctime_ns == after.ctime_ns
}

/// Reads one suspect, or one candidate for a move, and compares it with `record`.
pub(super) fn examine(
    source: &Source,
    path: &RelPath,
    record: &Record,
    stop: &AtomicBool,
) -> Result<Verdict, Problem> {
    let problem = |e: io::Error| Problem::new(path.clone(), format!("cannot be read: {e}"));
    let verdict = match &record.content {
        Content::File { hash, size, .. } => file_verdict(source, path, hash, *size, stop),
        Content::Link { target, .. } => link_verdict(source, path, target),
        Content::Folder => source.stat(path).and_then(|stat| {
            let xattrs = source.xattrs(path)?;
            Ok(Verdict::Same(Meta::new(&stat, xattrs)))
        }),
    };
    match verdict {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Verdict::Gone),
        other => other.map_err(problem),
    }
}

fn file_verdict(
    source: &Source,
    path: &RelPath,
    hash: &[u8; 32],
    size: u64,
    stop: &AtomicBool,
) -> io::Result<Verdict> {
    let file = File::from(source.open_file(path)?);
    let (before, read_at) = stat_to_read(|| source.stat_fd(&file))?;
    if before.kind != Kind::File || before.size != size {
        return Ok(Verdict::Other);
    }
    let Some(now) = content::hash(&file, before.size, before.has_holes(), stop)? else {
        return Ok(Verdict::Other);
    };
    let after = source.stat_fd(&file)?;
    if now != *hash || !settled(&before, &after) {
        return Ok(Verdict::Other);
    }
    Ok(Verdict::Same(meta_of(&before, source.xattrs_fd(&file)?, read_at)))
}

fn link_verdict(source: &Source, path: &RelPath, target: &[u8]) -> io::Result<Verdict> {
    let (stat, read_at) = stat_to_read(|| source.stat(path))?;
    if stat.kind != Kind::Link || source.read_link(path)? != target {
        return Ok(Verdict::Other);
    }
    Ok(Verdict::Same(meta_of(&stat, source.xattrs(path)?, read_at)))
}

/// A path that appeared and is one that vanished.
pub(super) struct Moved<'s, 'i> {
    /// The new path.
    pub(super) entry: &'s Entry,
    /// The old one.
    pub(super) from: &'i RelPath,
    /// What is known of it.
    pub(super) record: &'i Record,
    /// Its attributes now.
    pub(super) meta: Meta,
}

/// Finds moves among what appeared and vanished: the same inode, size, time and birth time. Without
/// birth times, or with another change time, the content is compared as well.
pub(super) fn find_moves<'s, 'i>(
    source: &Source,
    found: &Comparison<'s, 'i>,
    stop: &AtomicBool,
) -> Vec<Moved<'s, 'i>> {
    let candidates = candidates(source, found);
    let moves: Vec<Moved<'s, 'i>> = candidates
        .into_par_iter()
        .filter(|_| !stop.load(Ordering::Relaxed))
        .filter_map(|(entry, from, record)| {
            // Where the change time is the one of then as well (the folder above was renamed), nothing
            // was written since; a file that was renamed itself has another one, and its time can
            // have been set back after a change of content.
            let born = entry.stat.btime_ns.is_some() && record.meta.btime_ns.is_some();
            let untouched = born && entry.stat.ctime_ns == record.meta.ctime_ns;
            let unsettled = matches!(record.content, Content::File { unsettled: true, .. });
            let meta = if untouched && !unsettled && record.kind() == Kind::File {
                meta_of(&entry.stat, source.xattrs(&entry.path).ok()?, crate::text::clock::now_ns())
            } else {
                match examine(source, &entry.path, record, stop) {
                    Ok(Verdict::Same(meta)) => meta,
                    _ => return None,
                }
            };
            Some(Moved { entry, from, record, meta })
        })
        .collect();
    once_each(moves)
}

/// What appeared and looks like what vanished: the same inode, size, time and birth time.
pub(super) fn candidates<'s, 'i>(
    source: &Source,
    found: &Comparison<'s, 'i>,
) -> Vec<(&'s Entry, &'i RelPath, &'i Record)> {
    let by_inode: HashMap<u64, (&RelPath, &Record)> = found
        .vanished
        .iter()
        .filter(|(path, _)| !is_turned(found, path))
        .map(|(path, record)| (record.meta.ino, (*path, *record)))
        .collect();
    if by_inode.is_empty() || !source.stable_inodes() {
        return Vec::new();
    }
    found
        .new
        .iter()
        .filter(|entry| !is_turned(found, &entry.path))
        .filter_map(|entry| {
            let (from, record) = by_inode.get(&entry.stat.ino)?;
            let like = entry.stat.kind == record.kind()
                && entry.stat.size == record.size()
                && entry.stat.mtime_ns == record.meta.mtime_ns;
            let born_alike = match (entry.stat.btime_ns, record.meta.btime_ns) {
                (Some(now), Some(then)) => now == then,
                _ => true,
            };
            (like && born_alike).then_some((*entry, *from, *record))
        })
        .collect()
}

/// Two new names can have the vanished one's inode (hard links); one of them is the move.
fn once_each<'s, 'i>(moves: Vec<Moved<'s, 'i>>) -> Vec<Moved<'s, 'i>> {
    let mut taken = std::collections::HashSet::new();
    moves.into_iter().filter(|moved| taken.insert(moved.from.clone())).collect()
}

/// Whether a folder took the place of a file or the other way round at `path` or above it: such paths
/// are removed and copied, not moved, so that no order of steps can collide.
fn is_turned(found: &Comparison<'_, '_>, path: &RelPath) -> bool {
    !found.turned.is_empty()
        && (found.turned.contains(path)
            || path.ancestors().any(|above| found.turned.contains(&above)))
}
