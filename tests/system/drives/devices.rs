//! Devices and mounts with real drives: loop devices with and without udev.

use std::path::Path;
use std::process::Command;

use bkm_agent::drive::device::Device;
use bkm_agent::drive::monitor::{Event, Source};
use bkm_agent::drive::mount::{self, MountError};
use bkm_agent::drive::unmount;

use crate::support::drive::{Drive, SIZE};
use crate::support::needs::{self, skipped};
use crate::support::process;
use crate::support::udevd::{self, Udev};

#[test]
fn an_overrun_is_noticed_and_later_events_still_arrive() {
    let missing = needs::missing(&["losetup", "mkfs.ext4", "udevadm"]);
    let udev = match missing.map_or_else(Udev::start, Err) {
        Ok(udev) => udev,
        Err(why) => return skipped(&why),
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
    assert!(later.iter().any(is_drive), "deaf after the overrun: {later:?}");
}

#[test]
fn where_no_udev_runs_the_device_itself_is_read() {
    if let Some(why) = needs::missing(&["losetup", "mkfs.ext4", "blkid", "e2label", "udevadm"]) {
        return skipped(&why);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "FORMER");
    let (node, known_size) = match Udev::start() {
        Ok(udev) => {
            let node = drive.attach();
            udev.settle();
            let known = Device::from_node(&node).unwrap();
            assert_eq!(known.label.as_deref(), Some("FORMER"));
            assert!(known.diskseq.is_some() && known.has_file_system());
            (node, known.size)
        }
        Err(why) => return skipped(&why),
    };
    let _turn = udevd::lock().unwrap();
    if udevd::answers() {
        return skipped("this machine's own udev runs");
    }
    // udev's database still says FORMER.
    process::run(Command::new("e2label").arg(&node).arg("My Disk/1"));
    let read = Device::from_node(&node).unwrap();
    assert_eq!(read.label.as_deref(), Some("My Disk/1"));
    assert!(read.has_file_system() && read.uuid.is_some());
    assert_eq!(read.fs_type.as_deref(), Some("ext4"));
    assert_eq!((read.devnum.0, &read.node), (7, &node));
    // The size is the device's, and not the file system's, whoever is asked.
    assert_eq!((read.size, known_size), (Some(SIZE), Some(SIZE)));
}

#[test]
fn a_mount_of_our_own_is_private_checked_and_taken_away() {
    if let Some(why) = needs::missing(&["losetup", "mkfs.ext4", "blkid"]) {
        return skipped(&why);
    }
    let _turn = udevd::lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "OWN");
    mount_and_unmount(dir.path(), &drive.attach());
}

#[test]
fn btrfs_is_found_by_its_device_though_its_number_is_another() {
    if let Some(why) = needs::missing(&["losetup", "mkfs.btrfs", "blkid"]) {
        return skipped(&why);
    }
    let _turn = udevd::lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::btrfs(dir.path(), "OWNBTRFS");
    mount_and_unmount(dir.path(), &drive.attach());
}

fn mount_and_unmount(dir: &Path, node: &Path) {
    let device = Device::from_node(node).unwrap();
    assert!(mount::find(&device).unwrap().is_none());
    assert!(unmount::is_released(&device));
    let base = dir.join("run");

    let mounted = mount::mount_below(&base, &device, false).unwrap();
    assert!(mounted.is_ours() && !mounted.read_only());
    assert!(!unmount::is_released(&device));
    let entry = mount::find(&device).unwrap().unwrap();
    assert_eq!(entry.point, mounted.point);
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(entry.options.contains(option), "{}", entry.options);
    }
    let found = mount::open(&device, &entry).unwrap();
    assert!(!found.is_ours(), "not in the agent's own folder");
    unmount::unmount(found).unwrap();
    assert!(mount::find(&device).unwrap().is_some(), "left to its owner");

    let point = mounted.point.clone();
    let open = std::fs::File::create(point.join("file")).unwrap();
    let place = mounted.place();
    let busy = unmount::unmount(mounted).unwrap_err();
    let by = match &busy {
        MountError::Busy { by, .. } => by.as_slice(),
        _ => &[],
    };
    assert!(by.iter().any(|holder| holder.pid == std::process::id()), "{busy}");
    drop(open);
    unmount::unmount_lazily(&place).unwrap();
    process::wait_for("the drive to be free", || unmount::is_released(&device).then_some(()));

    // A folder that was left over is used again.
    let mounted = mount::mount_below(&base, &device, true).unwrap();
    assert_eq!(mounted.point, point);
    assert!(mounted.read_only());
    unmount::unmount(mounted).unwrap();
    assert!(unmount::is_released(&device));
}

#[test]
fn a_foreign_mount_is_unmounted_only_when_asked_to() {
    if let Some(why) = needs::missing(&["losetup", "mkfs.ext4", "blkid", "mount"]) {
        return skipped(&why);
    }
    let _turn = udevd::lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "DESKTOP");
    let device = Device::from_node(&drive.attach()).unwrap();
    let point = dir.path().join("media");
    drive.mount(&point);
    let open = || mount::open(&device, &mount::find(&device).unwrap().unwrap()).unwrap();
    unmount::unmount_lazily(&open().place()).unwrap();
    unmount::unmount(open()).unwrap();
    assert!(mount::find(&device).unwrap().is_some());
    unmount::unmount_any(open()).unwrap();
    assert!(unmount::is_released(&device));
    assert!(point.is_dir(), "a folder that is not ours stays");
}

#[test]
fn a_link_to_a_device_names_the_device() {
    if let Some(why) = needs::missing(&["losetup", "mkfs.ext4", "blkid"]) {
        return skipped(&why);
    }
    let _turn = udevd::lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "LINKED");
    let node = drive.attach();
    let link = dir.path().join("by-label");
    std::os::unix::fs::symlink(&node, &link).unwrap();
    let device = Device::from_node(&link).unwrap();
    assert_eq!((device.label.as_deref(), device.node), (Some("LINKED"), node));
}

#[test]
fn a_mount_that_is_another_by_now_is_refused() {
    if let Some(why) = needs::missing(&["losetup", "mkfs.ext4", "blkid", "mount"]) {
        return skipped(&why);
    }
    let _turn = udevd::lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut drive = Drive::ext4(dir.path(), "PULLED");
    let device = Device::from_node(&drive.attach()).unwrap();
    let point = dir.path().join("media");
    drive.mount(&point);
    let entry = mount::find(&device).unwrap().unwrap();
    assert!(mount::open(&device, &entry).is_ok());
    // What is left after a pull is an empty folder on the computer's own disk.
    drive.detach();
    let error = mount::open(&device, &entry).unwrap_err();
    assert!(matches!(error, MountError::NotTheDrive { .. }), "{error}");
}
