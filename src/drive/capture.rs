//! Reads recordings of `udevadm monitor --udev --property`, so that real plug-ins can be replayed.
//!
//! A recording is a text that somebody sends or that lies in `tests/udev-captures`: anything may be in it,
//! and nothing of it reaches a device.

use std::ffi::OsString;

use crate::drive::device::Device;
use crate::drive::monitor::Action;

/// Why a recording cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "holds no event of udev; record one with: udevadm monitor --udev --property --subsystem-match=block"
)]
pub struct NoEvents;

/// The events of a recording in their order.
pub fn parse(text: &str) -> Result<Vec<(Action, Device)>, NoEvents> {
    let mut events = Vec::new();
    let mut open: Option<Vec<(&str, &str)>> = None;
    // What follows in a recording are the same events again, without properties.
    let text = text.split("# ---- the same").next().unwrap_or_default();
    for line in text.lines().chain([""]) {
        if line.starts_with("UDEV  [") {
            open = Some(Vec::new());
        } else if let Some((key, value)) = line.split_once('=') {
            if let Some(list) = &mut open {
                list.push((key, value));
            }
        } else if let Some(list) = open.take() {
            let find = |name: &str| list.iter().find(|(k, _)| *k == name).map(|(_, v)| *v);
            let action = Action::from_name(find("ACTION").unwrap_or_default());
            let device = Device::from_properties(|name| find(name).map(OsString::from));
            if find("ACTION").is_some() {
                events.push((action, device));
            }
        }
    }
    if events.is_empty() { Err(NoEvents) } else { Ok(events) }
}

/// The events of the recording `name` in `tests/udev-captures`.
#[cfg(test)]
pub(crate) fn load(name: &str) -> Vec<(Action, Device)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/udev-captures");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    parse(&text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_and_other_text_is_not() {
        let text = "noise\nUDEV  [826.5] add /devices/x (block)\nACTION=add\nDEVNAME=/dev/sda1\n\
                    ID_FS_LABEL_ENC=A\\x20B\n\nKERNEL[1.0] add /x\nACTION=add\n\n";
        let events = parse(text).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].1.label.as_deref(), Some("A B"));
        for other in ["", "UDEV  [x] add", "UDEV  [1] add\nDEVNAME=/dev/sda", "a=b\n\nc=d"] {
            assert_eq!(parse(other), Err(NoEvents), "{other:?}");
        }
    }
}
