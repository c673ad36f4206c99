//! Profiles and rules for tests.

use std::path::{Path, PathBuf};

use bkm_agent::config::profile::{
    After, Dist, Hooks, MassChange, OnBattery, Pairing, Profile, Retention,
};
use bkm_agent::model::drive_match::DriveMatch;
use bkm_agent::source::rules::{RawRules, Rules};

/// The repository's folder on a test's drive.
pub(crate) const REPOSITORY: &str = "repository";

/// A profile of `source` for a drive.
pub(crate) fn profile(source: &Path, rules: &RawRules, workers: usize) -> Profile {
    Profile {
        name: "test".to_owned(),
        file: PathBuf::from("test.json"),
        source: source.to_owned(),
        dist: Dist::Drive {
            drive: DriveMatch::default(),
            path: PathBuf::from(REPOSITORY),
            given: true,
        },
        every: None,
        min_interval: None,
        after: After::Keep,
        pairing: Pairing::Off,
        on_battery: OnBattery::Run,
        remind_after: None,
        keyfile: None,
        hooks: Hooks::default(),
        max_workers: Some(workers),
        one_file_system: true,
        private: true,
        browse: true,
        mass_change: MassChange::default(),
        retention: Retention::default(),
        rules: Rules::new(rules).unwrap(),
    }
}

/// Everything is tracked.
pub(crate) fn all_tracked() -> RawRules {
    RawRules::default()
}

/// Some folders tracked, others mirrored, some left out.
pub(crate) fn mixed() -> RawRules {
    let list = |rules: &[&str]| rules.iter().map(|&r| r.to_owned()).collect();
    RawRules {
        track_dirs: list(&["a", "b/*"]),
        include_dirs: list(&["b", "c", "d/e"]),
        track_files: list(&["**/f1"]),
        exclude_dirs: list(&["c/d"]),
        exclude_files: list(&["f3"]),
        ..RawRules::default()
    }
}

/// The same folders, the other way round.
pub(crate) fn turned_round() -> RawRules {
    let list = |rules: &[&str]| rules.iter().map(|&r| r.to_owned()).collect();
    RawRules {
        track_dirs: list(&["b", "c", "d"]),
        include_dirs: list(&["a", "e"]),
        include_files: list(&["f1", "*"]),
        exclude_files: list(&["f4"]),
        ..RawRules::default()
    }
}

/// Everything is only mirrored.
pub(crate) fn all_mirrored() -> RawRules {
    RawRules {
        include_dirs: vec!["*".to_owned()],
        include_files: vec!["*".to_owned()],
        ..RawRules::default()
    }
}
