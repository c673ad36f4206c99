//! Lists what the rules select in the source: the result's form, and how it is put together.
//!
//! The walk itself is in `walk`. It must never leave something out in silence: what is not in
//! `entries` for another reason than the rules is in `problems` or `notes`.

use std::io;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use crate::model::entry::{Category, Kind};
use crate::model::problem::Problem;
use crate::model::relpath::RelPath;
use crate::source::entry::{Entry, Known, ScanOptions, Seen};
use crate::source::open::Source;
use crate::source::rules::Rules;
use crate::source::walk::{Part, walk};

/// What is selected, and what there is to say about the rest.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// What is selected, sorted by the paths' bytes. A folder is in it if the rules select it or
    /// anything below it; the source itself is not. Without what is `seen`.
    pub entries: Vec<Entry>,
    /// Files and links that are as they were; the scan's caller has them.
    pub seen: Seen,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What was left out on purpose, other than by the rules.
    pub notes: Vec<Problem>,
    /// Where the scan is blind: what was backed up of these paths, and below them, must not be taken
    /// as deleted.
    pub unknown: Vec<RelPath>,
    /// The rules that matched nothing, as field and text.
    pub unmatched: Vec<String>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It was told to stop.
    #[error("the scan was stopped")]
    Stopped,
    /// The source itself cannot be listed, or no threads could be started.
    #[error("the source cannot be listed")]
    Root(#[source] io::Error),
}

/// Lists what `rules` select in `source`, with the threads of the pool that this is called in.
pub fn scan(source: &Source, rules: &Rules, options: &ScanOptions<'_>) -> Result<Scan, ScanError> {
    let hits = rules.hits();
    let (mut parts, folders) = walk(source, rules, &hits, options);
    if options.stop.load(Ordering::Relaxed) {
        return Err(ScanError::Stopped);
    }
    if let Some(known) = options.known {
        drop_known(&mut parts, known);
    }
    let mut scan = merge(parts, folders)?;
    scan.unmatched = rules.unmatched(&hits);
    scan.entries.par_sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(scan)
}

/// Takes out what was listed before anything was known, and need not be.
fn drop_known(parts: &mut [Part], known: &dyn Known) {
    let Some(all) = known.below(b"") else { return };
    parts.par_iter_mut().map(|part| &mut part.entries).for_each(|entries| {
        entries.retain(|Entry { path, category, stat }| {
            stat.kind == Kind::Folder
                || stat.nlink > 1
                || !known.is_as_it_was(&all, path.as_bytes(), *category, stat)
        });
        entries.shrink_to_fit();
    });
}

/// Brings the jobs' findings together and picks the folders that hold something selected.
fn merge(parts: Vec<Part>, folders: usize) -> Result<Scan, ScanError> {
    let mut scan = Scan::default();
    let mut highest: Vec<Option<Category>> = vec![None; folders];
    let mut above = vec![0; folders];
    let mut opened = Vec::with_capacity(folders);
    scan.entries.reserve(parts.iter().map(|part| part.entries.len()).sum::<usize>() + folders);
    for part in parts {
        if let Some(errno) = part.root_error {
            return Err(ScanError::Root(errno.into()));
        }
        scan.entries.extend(part.entries);
        scan.problems.extend(part.problems);
        scan.notes.extend(part.notes);
        scan.unknown.extend(part.unknown);
        for (number, category) in part.selected {
            if let Some(slot) = highest.get_mut(number) {
                *slot = (*slot).max(Some(category));
            }
        }
        for folder in part.folders {
            if let Some(slot) = above.get_mut(folder.number) {
                *slot = folder.above;
            }
            opened.push(folder);
        }
    }
    // A folder's number is higher than that of the one it lies in: from the last to the first, each
    // is complete when it is handed up.
    for (number, &above) in above.iter().enumerate().rev() {
        let category = highest.get(number).copied().flatten();
        if let Some(slot) = highest.get_mut(above) {
            *slot = (*slot).max(category);
        }
    }
    for folder in opened {
        if let (Some(path), Some(stat), Some(Some(category))) =
            (folder.path, folder.stat, highest.get(folder.number))
        {
            scan.entries.push(Entry { path, category: *category, stat });
        }
    }
    scan.problems.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    scan.notes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    scan.unknown.sort_unstable();
    scan.unknown.dedup();
    Ok(scan)
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
