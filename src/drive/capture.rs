//! Reads recordings of `udevadm monitor --udev --property`, so that tests replay real plug-ins.
//!
//! Only for tests; a recording is a file of this repository.

use std::ffi::OsString;
use std::path::Path;

use super::device::Device;
use super::monitor::Action;

/// The events of the recording `name` in `tests/udev-captures`, in their order.
pub(crate) fn load(name: &str) -> Vec<(Action, Device)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/udev-captures");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let events = parse(&text);
    assert!(!events.is_empty(), "{name} holds events");
    events
}

fn parse(text: &str) -> Vec<(Action, Device)> {
    let mut events = Vec::new();
    let mut properties: Option<Vec<(&str, &str)>> = None;
    // What follows in a recording are the same events again, without properties.
    let text = text.split("# ---- the same").next().unwrap_or_default();
    for line in text.lines().chain([""]) {
        if line.starts_with("UDEV  [") {
            properties = Some(Vec::new());
        } else if let Some((key, value)) = line.split_once('=') {
            if let Some(list) = &mut properties {
                list.push((key, value));
            }
        } else if let Some(list) = properties.take() {
            let find = |name: &str| list.iter().find(|(k, _)| *k == name).map(|(_, v)| *v);
            let device = Device::from_properties(|name| find(name).map(OsString::from));
            events.push((Action::from_name(find("ACTION").unwrap_or_default()), device));
        }
    }
    events
}
