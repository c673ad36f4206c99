//! What a hook is told: `BKM_…` in its environment, and one JSON object on its standard input.
//!
//! The names are documented in `docs/profiles.md` and are kept.

use std::ffi::OsString;
use std::process::Command;

use serde::Serialize;

use crate::backup::report::RunReport;
use crate::config::profile::Profile;
use crate::job::hooks::event::{At, Event};

/// The longest `BKM_ERROR`, in bytes: the kernel takes 128 KiB for one variable, and the JSON has it whole.
const MAX_ERROR: usize = 4096;

/// What there is to be told.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) event: Event,
    pub(super) profile: &'a Profile,
    pub(super) at: &'a At<'a>,
    pub(super) report: Option<&'a RunReport>,
    pub(super) error: Option<&'a str>,
}

/// The object on standard input.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    profile: &'a str,
    source: String,
    repository: String,
    mount_point: Option<String>,
    device: Option<Drive<'a>>,
    report: Option<RunReport>,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Drive<'a> {
    node: String,
    label: Option<&'a str>,
    uuid: Option<&'a str>,
    serial: Option<&'a str>,
}

impl Facts<'_> {
    /// Sets the variables; those of which nothing is known are taken out, also where the agent itself
    /// was started by a hook.
    pub(super) fn environment(&self, command: &mut Command) {
        for (name, value) in self.variables() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }

    fn variables(&self) -> Vec<(&'static str, Option<OsString>)> {
        let At { device, mount_point, repository } = self.at;
        let text = |text: Option<&String>| text.map(|text| without_nul(text).into());
        let figure = |figure: fn(&RunReport) -> String| self.report.map(|r| figure(r).into());
        vec![
            ("BKM_EVENT", Some(self.event.name().into())),
            ("BKM_PROFILE", Some(self.profile.name.clone().into())),
            ("BKM_SOURCE", Some(self.profile.source.clone().into())),
            ("BKM_REPOSITORY", Some(repository.into())),
            ("BKM_MOUNT_POINT", mount_point.map(Into::into)),
            ("BKM_DEVICE", device.map(|device| device.node.clone().into())),
            ("BKM_LABEL", text(device.and_then(|device| device.label.as_ref()))),
            ("BKM_UUID", text(device.and_then(|device| device.uuid.as_ref()))),
            ("BKM_NEW", figure(|report| report.new.to_string())),
            ("BKM_CHANGED", figure(|report| report.changed.to_string())),
            ("BKM_TOUCHED", figure(|report| report.touched.to_string())),
            ("BKM_MOVED", figure(|report| report.moved.to_string())),
            ("BKM_DELETED", figure(|report| report.deleted.to_string())),
            ("BKM_UNCHANGED", figure(|report| report.unchanged.to_string())),
            ("BKM_BYTES_COPIED", figure(|report| report.bytes_copied.to_string())),
            ("BKM_PROBLEMS", figure(|report| report.problems.len().to_string())),
            ("BKM_NOTES", figure(|report| report.notes.len().to_string())),
            ("BKM_DURATION_S", figure(|report| format!("{:.3}", report.duration_s))),
            ("BKM_INCREMENT", text(self.report.and_then(|report| report.increment.as_ref()))),
            ("BKM_ERROR", self.error.map(|error| without_nul(cut(error, MAX_ERROR)).into())),
        ]
    }

    /// The same as JSON, on one line, with the whole report.
    pub(super) fn json(&self) -> Vec<u8> {
        let device = self.at.device.map(|device| Drive {
            node: device.node.to_string_lossy().into_owned(),
            label: device.label.as_deref(),
            uuid: device.uuid.as_deref(),
            serial: device.serial.as_deref().or(device.serial_long.as_deref()),
        });
        // A path that is not UTF-8 has no JSON; the environment has it exactly.
        let report = self.report.map(|report| RunReport {
            repository: report.repository.to_string_lossy().into_owned().into(),
            ..report.clone()
        });
        let told = Told {
            event: self.event.name(),
            profile: &self.profile.name,
            source: self.profile.source.to_string_lossy().into_owned(),
            repository: self.at.repository.to_string_lossy().into_owned(),
            mount_point: self.at.mount_point.map(|point| point.to_string_lossy().into_owned()),
            device,
            report,
            error: self.error,
        };
        // Nothing is left in it that has no JSON.
        let mut json = serde_json::to_vec(&told).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// A variable cannot hold a NUL character, and a label must not keep a hook from running.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The first `most` bytes of `text`, or fewer where that would cut a character.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    use super::*;
    use crate::drive::device::Device;

    #[test]
    fn labels_and_paths_that_are_no_text_are_told_all_the_same() {
        let profile = crate::config::check::check_text(r#"{ "src": "/s", "dist": "/d" }"#).unwrap();
        let device = Device { label: Some("a\0b\n$(id)".to_owned()), ..Device::default() };
        let point = Path::new(OsStr::from_bytes(b"/media/\xff"));
        let at = At { device: Some(&device), mount_point: Some(point), repository: point };
        let report = RunReport { repository: point.to_owned(), ..RunReport::default() };
        let error = format!("{}\u{20ac}", "x".repeat(MAX_ERROR - 1));
        let facts = Facts {
            event: Event::After,
            profile: &profile,
            at: &at,
            report: Some(&report),
            error: Some(&error),
        };
        let mut command = Command::new("true");
        facts.environment(&mut command);
        let get = |name: &str| {
            let mut all = command.get_envs();
            all.find(|(key, _)| *key == name).unwrap().1
        };
        assert_eq!(get("BKM_LABEL").unwrap(), "a\u{fffd}b\n$(id)");
        assert_eq!(get("BKM_REPOSITORY").unwrap(), point);
        assert_eq!(get("BKM_ERROR").unwrap().len(), MAX_ERROR - 1);
        assert_eq!(get("BKM_UUID"), None);
        let told: serde_json::Value = serde_json::from_slice(&facts.json()).unwrap();
        assert_eq!(told["device"]["label"], "a\0b\n$(id)");
        assert_eq!(told["report"]["repository"], "/media/\u{fffd}");
        assert_eq!(told["error"], error);
    }
}
