//! Where an old version goes when it leaves the mirror, where no hard link keeps it.

use std::path::PathBuf;

use crate::model::relpath::RelPath;
use crate::repository::index::contents::Index;
use crate::repository::index::record::Record;
use crate::repository::layout;

/// Where a version goes when it leaves the mirror: to the increment that brought it, or out.
pub(crate) fn leaves_to(index: &Index, path: &RelPath, old: &Record) -> PathBuf {
    match index.increment_name(old.brought_by) {
        Some(increment) => layout::track(increment, old.place(path)),
        None => layout::staged(&layout::leaving(path)),
    }
}
