//! A profile as written: every field's type is checked, its meaning is not.
//!
//! Called by `profile`, which gives it meaning; nothing else sees this form.

use std::path::Path;

use super::error::ConfigError;
use super::json::{Given, Object, Place};

type Text<'t> = Option<Given<'t, String>>;
type List<'t> = Option<Given<'t, Vec<String>>>;
type Number<'t> = Option<Given<'t, u64>>;
type Flag<'t> = Option<Given<'t, bool>>;

/// The fields of a profile.
pub(super) struct RawProfile<'t> {
    pub(super) src: Text<'t>,
    pub(super) dist: Text<'t>,
    pub(super) dst: Text<'t>,
    pub(super) drive: RawDrive<'t>,
    pub(super) include_dirs: List<'t>,
    pub(super) track_dirs: List<'t>,
    pub(super) include_files: List<'t>,
    pub(super) track_files: List<'t>,
    pub(super) exclude_dirs: List<'t>,
    pub(super) exclude_files: List<'t>,
    pub(super) directory_priority: Text<'t>,
    pub(super) max_workers: Number<'t>,
    pub(super) one_file_system: Flag<'t>,
    pub(super) private: Flag<'t>,
    pub(super) every: Text<'t>,
    pub(super) min_interval: Text<'t>,
    pub(super) after: Text<'t>,
    pub(super) mass_change: RawMassChange<'t>,
    pub(super) pairing: Text<'t>,
    pub(super) on_battery: Text<'t>,
    pub(super) remind_after: Text<'t>,
    pub(super) unlock: RawUnlock<'t>,
    pub(super) hooks: RawHooks<'t>,
    pub(super) later: RawLater<'t>,
}

/// `drive`
pub(super) struct RawDrive<'t> {
    pub(super) place: Option<Place<'t>>,
    pub(super) uuid: Text<'t>,
    pub(super) label: Text<'t>,
    pub(super) partuuid: Text<'t>,
    pub(super) partlabel: Text<'t>,
    pub(super) serial: Text<'t>,
}

/// `mass_change`
pub(super) struct RawMassChange<'t> {
    pub(super) percent: Number<'t>,
    pub(super) files: Number<'t>,
}

/// `unlock`
pub(super) struct RawUnlock<'t> {
    pub(super) place: Option<Place<'t>>,
    pub(super) keyfile: Text<'t>,
}

/// `hooks`
pub(super) struct RawHooks<'t> {
    pub(super) before: List<'t>,
    pub(super) after: List<'t>,
    pub(super) failed: List<'t>,
    pub(super) timeout: Text<'t>,
}

/// Fields that are accepted and checked, and not acted on yet.
pub(super) struct RawLater<'t> {
    /// Place of `retention`, if it is given.
    pub(super) retention: Option<Place<'t>>,
    /// Its counts.
    pub(super) keep: Vec<Given<'t, u64>>,
    pub(super) keep_within: Text<'t>,
}

impl<'t> RawProfile<'t> {
    /// Reads the text of the profile `file`.
    pub(super) fn parse(file: &'t Path, text: &'t str) -> Result<Self, ConfigError> {
        let mut object = Object::root(file, text)?;
        // For editors: it says which schema describes the file.
        object.ignore("$schema");
        let raw = Self {
            src: object.take("src")?,
            dist: object.take("dist")?,
            dst: object.take("dst")?,
            drive: RawDrive::take(&mut object)?,
            include_dirs: object.take("include_dirs")?,
            track_dirs: object.take("track_dirs")?,
            include_files: object.take("include_files")?,
            track_files: object.take("track_files")?,
            exclude_dirs: object.take("exclude_dirs")?,
            exclude_files: object.take("exclude_files")?,
            directory_priority: object.take("directory_priority")?,
            max_workers: object.take("max_workers")?,
            one_file_system: object.take("one_file_system")?,
            private: object.take("private")?,
            every: object.take("every")?,
            min_interval: object.take("min_interval")?,
            after: object.take("after")?,
            mass_change: RawMassChange::take(&mut object)?,
            pairing: object.take("pairing")?,
            on_battery: object.take("on_battery")?,
            remind_after: object.take("remind_after")?,
            unlock: RawUnlock::take(&mut object)?,
            hooks: RawHooks::take(&mut object)?,
            later: RawLater::take(&mut object)?,
        };
        // Of the Python tool: it kept empty folders by it, which here are kept anyway.
        object.take::<Vec<String>>("preserved_dirs")?;
        object.finish()?;
        Ok(raw)
    }
}

impl<'t> RawDrive<'t> {
    fn take(profile: &mut Object<'t>) -> Result<Self, ConfigError> {
        let (mut object, place) = profile.object("drive")?;
        let raw = Self {
            place,
            uuid: object.take("uuid")?,
            label: object.take("label")?,
            partuuid: object.take("partuuid")?,
            partlabel: object.take("partlabel")?,
            serial: object.take("serial")?,
        };
        object.finish()?;
        Ok(raw)
    }
}

impl<'t> RawMassChange<'t> {
    fn take(profile: &mut Object<'t>) -> Result<Self, ConfigError> {
        let (mut object, _) = profile.object("mass_change")?;
        let raw = Self { percent: object.take("percent")?, files: object.take("files")? };
        object.finish()?;
        Ok(raw)
    }
}

impl<'t> RawUnlock<'t> {
    fn take(profile: &mut Object<'t>) -> Result<Self, ConfigError> {
        let (mut object, place) = profile.object("unlock")?;
        let raw = Self { place, keyfile: object.take("keyfile")? };
        object.finish()?;
        Ok(raw)
    }
}

impl<'t> RawHooks<'t> {
    fn take(profile: &mut Object<'t>) -> Result<Self, ConfigError> {
        let (mut object, _) = profile.object("hooks")?;
        let raw = Self {
            before: object.take("before")?,
            after: object.take("after")?,
            failed: object.take("failed")?,
            timeout: object.take("timeout")?,
        };
        object.finish()?;
        Ok(raw)
    }
}

impl<'t> RawLater<'t> {
    fn take(profile: &mut Object<'t>) -> Result<Self, ConfigError> {
        let (mut object, retention) = profile.object("retention")?;
        let mut keep = Vec::new();
        for name in
            ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"]
        {
            keep.extend(object.take(name)?);
        }
        let keep_within = object.take("keep_within")?;
        object.finish()?;

        Ok(Self { retention, keep, keep_within })
    }
}
