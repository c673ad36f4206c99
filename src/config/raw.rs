//! A profile as written: every field's type is checked, its meaning is not.
//!
//! `profile` gives it meaning; nothing else sees this form.

use std::path::Path;

use crate::config::error::ConfigError;
use crate::config::json::{Given, Object, Place};

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
    pub(super) browse: Flag<'t>,
    pub(super) every: Text<'t>,
    pub(super) min_interval: Text<'t>,
    pub(super) after: Text<'t>,
    pub(super) mass_change: RawMassChange<'t>,
    pub(super) pairing: Text<'t>,
    pub(super) on_battery: Text<'t>,
    pub(super) remind_after: Text<'t>,
    pub(super) unlock: RawUnlock<'t>,
    pub(super) hooks: RawHooks<'t>,
    pub(super) retention: RawRetention<'t>,
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

/// `retention`
pub(super) struct RawRetention<'t> {
    pub(super) last: Number<'t>,
    pub(super) within: Text<'t>,
    pub(super) hourly: Number<'t>,
    pub(super) daily: Number<'t>,
    pub(super) weekly: Number<'t>,
    pub(super) monthly: Number<'t>,
    pub(super) yearly: Number<'t>,
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
            browse: object.take("browse")?,
            every: object.take("every")?,
            min_interval: object.take("min_interval")?,
            after: object.take("after")?,
            mass_change: RawMassChange::take(&mut object)?,
            pairing: object.take("pairing")?,
            on_battery: object.take("on_battery")?,
            remind_after: object.take("remind_after")?,
            unlock: RawUnlock::take(&mut object)?,
            hooks: RawHooks::take(&mut object)?,
            retention: RawRetention::take(&mut object)?,
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

impl<'t> RawRetention<'t> {
    fn take(profile: &mut Object<'t>) -> Result<Self, ConfigError> {
        let (mut object, _) = profile.object("retention")?;
        let raw = Self {
            last: object.take("keep_last")?,
            within: object.take("keep_within")?,
            hourly: object.take("keep_hourly")?,
            daily: object.take("keep_daily")?,
            weekly: object.take("keep_weekly")?,
            monthly: object.take("keep_monthly")?,
            yearly: object.take("keep_yearly")?,
        };
        object.finish()?;
        Ok(raw)
    }
}
