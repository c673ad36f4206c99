//! What a profile selects at this moment: a scan of its source, without looking at any drive.
//!
//! It only reads.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::config::profile::{Dist, Profile};
use crate::model::drive_match::DriveMatch;
use crate::model::entry::{Category, Kind};
use crate::model::problem::Problem;
use crate::source::entry::ScanOptions;
use crate::source::open::{Source, SourceError};
use crate::source::scan::{ScanError, scan};

/// What a profile selects at this moment.
#[derive(Debug, Clone, Serialize)]
pub struct CheckSummary {
    /// The profile's name.
    pub profile: String,
    /// Its file; bytes that are not UTF-8 are replaced, as in all paths here.
    pub file: String,
    /// The source.
    pub source: String,
    /// Which drive; `None` without one.
    pub drive: Option<DriveMatch>,
    /// The repository: a folder on the drive, or without one an absolute path.
    pub dist: String,
    /// Files and links that are selected.
    pub files: u64,
    /// How many of them are tracked.
    pub tracked: u64,
    /// Bytes in the files.
    pub bytes: u64,
    /// Folders that are selected or hold something selected.
    pub folders: u64,
    /// Rules that match nothing, as field and text.
    pub unmatched: Vec<String>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What is left out other than by the rules.
    pub notes: Vec<Problem>,
    /// What the user should know of the profile.
    pub warnings: Vec<String>,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source cannot be listed.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// Scans the source of `profile`. Takes as long as a run's scan. `mounted_at`: where its drive is mounted
/// now, if it has one and it is there.
pub fn summary(profile: &Profile, mounted_at: Option<&Path>) -> Result<CheckSummary, SummaryError> {
    let source = Source::open(&profile.source)?;
    let (drive, dist) = match &profile.dist {
        Dist::Drive { drive, path, .. } => (Some(drive.clone()), path),
        Dist::Folder(path) => (None, path),
    };
    let mut warnings = Vec::new();
    let mut skip = Vec::new();
    let place = if drive.is_none() { Some(dist.clone()) } else { mounted_at.map(|p| p.join(dist)) };
    if let Some(place) = place {
        warnings.extend(overlap(&profile.source, &place, mounted_at));
        skip.extend(fs::metadata(place).map(|meta| (meta.dev(), meta.ino())));
    }
    let options = ScanOptions {
        one_file_system: profile.one_file_system,
        skip: &skip,
        stop: &AtomicBool::new(false),
        known: None,
    };
    let scan = scan(&source, &profile.rules, &options)?;
    let mut summary = CheckSummary {
        profile: profile.name.clone(),
        file: shown(&profile.file),
        source: shown(&profile.source),
        drive,
        dist: shown(dist),
        files: 0,
        tracked: 0,
        bytes: 0,
        folders: 0,
        unmatched: scan.unmatched,
        problems: scan.problems,
        notes: scan.notes,
        warnings,
    };
    for entry in &scan.entries {
        match entry.stat.kind {
            Kind::Folder => summary.folders += 1,
            kind => {
                summary.files += 1;
                summary.tracked += u64::from(entry.category == Category::Tracked);
                if kind == Kind::File {
                    summary.bytes = summary.bytes.saturating_add(entry.stat.size);
                }
            }
        }
    }
    if summary.files == 0 {
        let warning = "nothing is selected: a backup would be empty";
        summary.warnings.push(warning.to_owned());
    }
    Ok(summary)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether source and repository (or the whole drive) lie in each other, links resolved.
fn overlap(source: &Path, dist: &Path, mounted_at: Option<&Path>) -> Option<String> {
    let source = fs::canonicalize(source).ok()?;
    // The repository's folder may have still to be made; the nearest one above it is there.
    let dist = dist.ancestors().find_map(|there| {
        let rest = dist.strip_prefix(there).ok()?;
        Some(fs::canonicalize(there).ok()?.join(rest))
    })?;
    let text = if source == dist {
        "the backup goes into the source itself"
    } else if mounted_at.is_some_and(|drive| drive.starts_with(&source)) {
        "the drive is mounted inside the source; the backup on it is left out of the scan"
    } else if dist.starts_with(&source) {
        "the backup lies inside the source; it is left out of the scan"
    } else if source.starts_with(&dist) {
        "the source lies inside the folder that the backup goes to"
    } else if mounted_at.is_some_and(|drive| source.starts_with(drive)) {
        "the source lies on the drive that it is backed up to: if the drive fails, both are gone"
    } else {
        return None;
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(source: &Path, dist: &Path) -> Profile {
        let file = source.join("p.json");
        let text = format!(
            r#"{{ "src": {source:?}, "dist": {dist:?}, "exclude_dirs": ["none"],
                "track_dirs": ["a"], "include_files": ["p.json"] }}"#
        );
        fs::write(&file, text).unwrap();
        crate::config::load::load_file(&file).unwrap()
    }

    #[test]
    fn counts_what_is_selected() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/x"), "12345").unwrap();
        std::os::unix::fs::symlink("x", dir.path().join("a/link")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let profile = profile(dir.path(), &elsewhere.path().join("new"));
        let found = summary(&profile, None).unwrap();
        let size = fs::metadata(&profile.file).unwrap().len();
        assert_eq!((found.files, found.tracked, found.folders), (3, 2, 1));
        assert_eq!(found.bytes, 5 + size);
        assert_eq!(found.unmatched, ["exclude_dirs \"none\""]);
        assert_eq!(found.warnings, [""; 0]);
    }

    #[test]
    fn tells_when_source_and_backup_lie_in_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a");
        fs::create_dir(&inside).unwrap();
        let warning = |source: &Path, dist: &Path| overlap(source, dist, None).unwrap_or_default();
        assert!(warning(dir.path(), &inside).contains("inside the source"));
        assert!(warning(dir.path(), &dir.path().join("new")).contains("inside the source"));
        assert!(warning(&inside, dir.path()).contains("the source lies inside"));
        assert_eq!(warning(&inside, &dir.path().join("ab")), "");

        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(warning(&inside, &link).contains("the source lies inside"));

        let found = summary(&profile(dir.path(), &inside), None).unwrap();
        assert_eq!(found.notes.len(), 1, "the repository's folder is left out");
    }

    #[test]
    fn warns_of_a_drive_inside_the_source_and_the_other_way_round() {
        let dir = tempfile::tempdir().unwrap();
        let (home, drive) = (dir.path().join("home"), dir.path().join("home/usb"));
        fs::create_dir_all(drive.join("Pictures")).unwrap();
        let text = |source: &Path| {
            overlap(source, &drive.join("Backups/a@b/c"), Some(&drive)).unwrap_or_default()
        };
        assert!(text(&home).starts_with("the drive is mounted inside the source"));
        assert!(text(&drive.join("Pictures")).starts_with("the source lies on the drive"));
        assert_eq!(text(&dir.path().join("none")), "");
    }
}
