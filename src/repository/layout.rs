//! Where things lie in a repository, and what increments are called.
//!
//! The only place that spells these names. It makes paths relative to the repository and touches
//! nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;

use crate::model::relpath::RelPath;

/// The repository's own records.
pub const META: &str = ".bkm";

/// Says what the repository is and which version of the format it has.
pub const FORMAT: &str = ".bkm/format.json";

/// Base, journal and deltas of what is in the mirror.
pub const INDEX: &str = ".bkm/index";

/// Where it can be: drives without a journal have each new base in a folder of its own, in turn. There the
/// entry of the file is the first of its folder, so that it lies in one sector; one of exFAT that lies in two
/// and is written by halves, as at each append, is removed by a check of the file system with all it has.
pub const INDEX_PLACES: [&str; 3] = [INDEX, ".bkm/index-a/index", ".bkm/index-b/index"];

/// The two-slot stamp.
pub const STAMP: &str = ".bkm/stamp";

/// The mark that ties it to one computer and one file system.
pub const PAIRING: &str = ".bkm/pairing";

/// Locked while a run works; always empty.
pub const LOCK: &str = ".bkm/lock";

/// Room that is given up when the drive is full.
pub const RESERVE: &str = ".bkm/reserve";

/// Catalogs of increments that the Python tool made, so that its own are not touched.
pub const ADOPTED: &str = ".bkm/adopted";

/// What the Python tool says of its mirror.
pub const PYTHON_MIRROR: &str = "mirror.json";

/// The same at its other place.
pub const PYTHON_MIRROR_INSIDE: &str = "mirror/mirror.json";

/// How folders of [`unchecked`] are called.
pub const UNCHECKED: &str = "unchecked-";

/// How folders of records that a repair replaced are called.
pub const BEFORE_REPAIR: &str = "before-repair-";

/// Where content is written before it is published.
pub const STAGE: &str = ".bkm/stage";

/// The source as of the last run.
pub const MIRROR: &str = "mirror";

/// How to get files back without this program.
pub const README: &str = "README.txt";

/// The page by which files are found without this program.
pub const BROWSE_PAGE: &str = "browse.html";

/// What the page is made of.
pub const BROWSE: &str = "browse";

/// [`README`] while it is written.
pub const README_PART: &str = ".README.bkm-part";

/// How names of [`leaving`] begin.
const LEAVING: &str = "old-";

/// Name of a file in the staging area: see [`is_stage_name`].
pub type StageName = String;

/// What of [`META`] the index at `place` takes: the folder that it has for itself, or the file.
pub fn index_entry(place: &str) -> &Path {
    let file = Path::new(place);
    file.parent().filter(|folder| *folder != Path::new(META)).unwrap_or(file)
}

/// The path of a staged file.
pub fn staged(name: &str) -> PathBuf {
    Path::new(STAGE).join(name)
}

/// The staging name of what leaves the mirror and no increment keeps, until its leaving is durable. The
/// same each time, so that it is found again.
pub fn leaving(path: &RelPath) -> StageName {
    format!("{LEAVING}{}", blake3::hash(path.as_bytes()).to_hex().get(..32).unwrap_or_default())
}

/// Whether a staged file is one of those.
pub fn is_leaving(name: &str) -> bool {
    name.starts_with(LEAVING)
}

/// The `number`-th folder of things that must not be touched before the file system was checked.
pub fn unchecked(number: u32) -> PathBuf {
    Path::new(META).join(format!("{UNCHECKED}{number}"))
}

/// What the `number`-th repair replaced.
pub fn before_repair(number: u64) -> PathBuf {
    Path::new(META).join(format!("{BEFORE_REPAIR}{number}"))
}

/// The mirror's file or folder at the place `path`.
pub fn mirror(path: &RelPath) -> PathBuf {
    Path::new(MIRROR).join(path.as_path())
}

/// An increment's copy of a new or changed file, at the place `path`.
pub fn track(increment: &str, path: &RelPath) -> PathBuf {
    Path::new(increment).join("track").join(path.as_path())
}

/// An increment's copy of a file that vanished.
pub fn deleted(increment: &str, path: &RelPath) -> PathBuf {
    Path::new(increment).join("deleted").join(path.as_path())
}

/// An increment's folder for new or changed files; it exists even when empty.
pub fn track_folder(increment: &str) -> PathBuf {
    Path::new(increment).join("track")
}

/// An increment's catalog.
pub fn catalog(increment: &str) -> PathBuf {
    Path::new(increment).join(format!("{increment}.json"))
}

/// The catalog of an increment that the Python tool made.
pub fn adopted(increment: &str) -> PathBuf {
    Path::new(ADOPTED).join(format!("{increment}.json"))
}

/// The name of the increment of a run that started at `time` (local).
pub fn increment_name(time: DateTime) -> String {
    time.strftime("backup_%Y%m%d_%H%M%S").to_string()
}

/// Whether `name` is the name of an increment.
pub fn is_increment_name(name: &str) -> bool {
    name.strip_prefix("backup_").is_some_and(|time| {
        time.len() == 15
            && time.bytes().enumerate().all(
                |(at, b)| {
                    if at == 8 { b == b'_' } else { b.is_ascii_digit() }
                },
            )
    })
}

/// Whether the folder `name` of a repository has only what this program put there, so that all of it can go.
pub fn is_ours_alone(name: &str) -> bool {
    name == BROWSE || is_increment_name(name)
}

/// Whether `name` can be one of ours in the staging area: no other leads out of it.
pub fn is_stage_name(name: &str) -> bool {
    let (shelf, name) = name.split_once('/').unwrap_or(("a", name));
    is_stage_shelf(shelf)
        && !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether a folder in the staging area is one of ours: one or two letters. Files of their own folder are made and
/// leave without waiting for others.
pub fn is_stage_shelf(name: &str) -> bool {
    matches!(name.as_bytes(), [b'a'..=b'z'] | [b'a'..=b'z', b'a'..=b'z'])
}

/// The shelf with this number, of the 64 there are.
pub fn stage_shelf(number: usize) -> String {
    let letter = |n: usize| char::from(b"abcdefgh".get(n % 8).copied().unwrap_or(b'a'));
    [letter(number / 8), letter(number)].iter().collect()
}

/// The increments among `names`.
pub fn increment_names(names: Vec<OsString>) -> impl Iterator<Item = String> {
    names.into_iter().filter_map(|name| name.into_string().ok()).filter(|n| is_increment_name(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_name_leads_nowhere_else() {
        for ours in ["1", "b/1", "ab/1", "part-0123456789abcdef0123456789abcdef"] {
            assert!(is_stage_name(ours), "{ours}");
        }
        let long = "1".repeat(65);
        let others = [
            "",
            ".",
            "..",
            "a/",
            "a/..",
            "a/b/c",
            "abc/d",
            "A/b",
            "../index",
            "/etc/passwd",
            "a\0",
            &long,
        ];
        for other in others {
            assert!(!is_stage_name(other), "{other:?}");
        }
    }

    #[test]
    fn increments_are_told_from_other_folders() {
        let time = jiff::civil::date(2026, 11, 23).at(9, 15, 0, 0);
        assert_eq!(increment_name(time), "backup_20261123_091500");
        assert!(is_increment_name("backup_20261123_091500"));
        for other in ["backup_2026", "backup_20261123-091500", "backup_20261123_09150x", "mirror"] {
            assert!(!is_increment_name(other), "{other}");
        }
    }
}
