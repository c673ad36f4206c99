//! The udev monitor after the kernel had to drop events.

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;

use bkm_agent::drive::monitor::{Event, Source};
use common::drive::Drive;
use common::udevd::Udev;

#[test]
fn an_overrun_is_noticed_and_later_events_still_arrive() {
    let missing = common::missing(&["losetup", "mkfs.ext4", "udevadm"]);
    let udev = match missing.map_or_else(Udev::start, Err) {
        Ok(udev) => udev,
        Err(why) => return println!("skipped: {why}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "OVERRUN");
    let node = drive.attach();
    udev.settle();
    // The kernel's smallest buffer holds a few events.
    let source = Source::open(4096).unwrap();
    for _ in 0..50 {
        udev.change(&node);
        udev.settle();
    }
    let mut events = Vec::new();
    assert!(source.drain(&mut events), "the overrun was not noticed");
    assert!(events.len() < 50, "{}", events.len());
    assert!(!events.is_empty(), "what was kept is delivered");

    udev.change(&node);
    udev.settle();
    let mut later = Vec::new();
    assert!(!source.drain(&mut later), "told once");
    let is_drive =
        |event: &Event| matches!(event, Event::Device { device, .. } if device.node == node);
    assert!(
        later.iter().any(is_drive),
        "deaf after the overrun: {later:?}"
    );
}
