//! A profile for tests of this folder.

use std::path::PathBuf;

use crate::config::profile::{After, Dist, Hooks, MassChange, OnBattery, Pairing, Profile};
use crate::model::drive_match::DriveMatch;
use crate::source::rules::{RawRules, Rules};

/// A profile of all of `/source` for the drive that `drive` describes.
pub(crate) fn drive(name: &str, drive: DriveMatch) -> Profile {
    Profile {
        name: name.to_owned(),
        file: PathBuf::from(format!("/profiles/{name}.json")),
        source: PathBuf::from("/source"),
        dist: Dist::Drive { drive, path: PathBuf::from("Backups"), given: true },
        every: None,
        min_interval: None,
        after: After::AsFound,
        pairing: Pairing::Off,
        on_battery: OnBattery::Run,
        remind_after: None,
        keyfile: None,
        hooks: Hooks::default(),
        max_workers: None,
        one_file_system: true,
        private: true,
        browse: true,
        mass_change: MassChange::default(),
        rules: Rules::new(&RawRules::default()).unwrap(),
        retention: crate::config::profile::Retention::default(),
    }
}
