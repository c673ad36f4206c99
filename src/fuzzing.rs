//! Every parser of what others write, behind one function that takes any bytes: the drive's records, the
//! kernel's list of mounts, profiles, rules and masks.
//!
//! Each function panics where its parser breaks a promise. Only in tests: the targets in `fuzz/` run it, and
//! the test below runs what they once found. See `docs/testing.md`.

#![allow(clippy::panic, clippy::missing_panics_doc, reason = "a finding is told by a panic")]

use jiff::tz::TimeZone;

use crate::drive::mountinfo;
use crate::history::filter::{Filter, Folder, Wish};
use crate::model::relpath::RelPath;
use crate::repository::fuzzing;
use crate::restore::selection::Selection;
use crate::source::rules::{Decider, DirectoryPriority, RawRules, Rules};

/// Name and function of a target.
pub type Target = (&'static str, fn(&[u8]));

/// All targets: `fuzz/fuzz_targets/<name>.rs` calls the function of that name.
pub const TARGETS: [Target; 14] = [
    ("index", index),
    ("frames", frames),
    ("catalog", catalog),
    ("python", python),
    ("format", format),
    ("stamp", stamp),
    ("pairing", pairing),
    ("lock", lock),
    ("keys", keys),
    ("mountinfo", mountinfo),
    ("profile", profile),
    ("rules", rules),
    ("kept", kept),
    ("search", search),
];

/// `.bkm/index`, as it is.
pub fn index(bytes: &[u8]) {
    fuzzing::index(bytes);
}

/// `.bkm/index` with sound checksums: payloads behind their lengths.
pub fn frames(bytes: &[u8]) {
    fuzzing::frames(bytes);
}

/// A catalog.
pub fn catalog(bytes: &[u8]) {
    fuzzing::catalog(bytes);
}

/// JSON of the Python tool.
pub fn python(bytes: &[u8]) {
    fuzzing::python(bytes);
}

/// `.bkm/format.json`.
pub fn format(bytes: &[u8]) {
    fuzzing::format(bytes);
}

/// `.bkm/stamp`.
pub fn stamp(bytes: &[u8]) {
    fuzzing::stamp(bytes);
}

/// `.bkm/pairing`.
pub fn pairing(bytes: &[u8]) {
    fuzzing::mark(bytes);
}

/// A line of `/proc/locks`.
pub fn lock(bytes: &[u8]) {
    fuzzing::lock_line(&String::from_utf8_lossy(bytes), 131);
}

/// Paths and their keys in JSON: each path has one key, each key one path.
pub fn keys(bytes: &[u8]) {
    if let Ok(path) = RelPath::new(bytes) {
        let key = path.to_key();
        assert_eq!(RelPath::from_key(&key).as_ref(), Ok(&path), "{key}");
        assert!(!path.to_string().chars().any(char::is_control));
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(path) = RelPath::from_key(&text) {
        assert_eq!(path.to_key(), text);
        assert!(!path.as_path().is_absolute());
        let normal = |part| matches!(part, std::path::Component::Normal(_));
        assert!(path.as_path().components().all(normal), "{path:?} leads outside");
    }
}

/// `/proc/self/mountinfo`.
pub fn mountinfo(bytes: &[u8]) {
    for entry in mountinfo::parse(bytes) {
        let _looked = entry.read_only();
    }
}

/// A profile.
pub fn profile(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(error) = crate::config::check::check_text(text)
    {
        let words = crate::text::error_chain::in_words(&error);
        assert!(!words.chars().any(char::is_control), "{words:?}");
    }
}

/// Patterns, one a line, in each field of a profile and as masks of a restore; the last line is matched.
pub fn rules(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let path = lines.pop().unwrap_or_default();
    let _selection = Selection::new(Vec::new(), &lines);
    for field in 0..6 {
        let list = |of| if of == field { lines.clone() } else { Vec::new() };
        let raw = RawRules {
            include_dirs: list(0),
            track_dirs: list(1),
            include_files: list(2),
            track_files: list(3),
            exclude_dirs: list(4),
            exclude_files: list(5),
            directory_priority: DirectoryPriority::default(),
        };
        let Ok(rules) = Rules::new(&raw) else { continue };
        let hits = rules.hits();
        let mut decider = Decider::new(&rules, &hits);
        if let Some(scope) = decider.folder(rules.root(), path.as_bytes()) {
            let _category = decider.file(scope, path.as_bytes());
        }
        let _unmatched = rules.unmatched(&hits);
    }
}

/// What this computer keeps of catalogs: as it is, and as frames with sound checksums.
pub fn kept(bytes: &[u8]) {
    let _seen = crate::state::catalogs::file::fuzzing::file(bytes)
        + crate::state::catalogs::file::fuzzing::frames(bytes);
}

/// Filters of a search, one a line: mask, folder, size and time each; the last line is matched.
pub fn search(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let path = lines.pop().unwrap_or_default();
    let folders: Vec<_> = lines.iter().cloned().map(Folder::Glob).collect();
    let empty = Wish::default();
    for wish in [
        Wish { masks: &lines, ..empty },
        Wish { folders: &folders, ..empty },
        Wish { sizes: &lines, ..empty },
        Wish { times: &lines, ..empty },
    ] {
        if let Ok(filter) = Filter::new(&wish, &TimeZone::UTC) {
            let _taken = filter.takes_path(path.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_input_that_fuzzing_started_from_or_found_is_read_or_refused() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(name);
            let inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
            assert!(!inputs.is_empty(), "{name} has no input");
            for input in inputs {
                println!("{}", input.path().display());
                target(&std::fs::read(input.path()).unwrap());
            }
        }
    }
}
