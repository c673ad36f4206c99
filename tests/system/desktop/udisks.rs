//! UDisks2 itself, on a bus of its own with loop drives: as root, as a user who may, and as one who may not.
//! LUKS and power, which loop drives do not have, with a stand-in.

use std::path::Path;
use std::process::Command;

use bkm_agent::drive::device::Device;
use bkm_agent::drive::mount::{self, MountError};
use bkm_agent::drive::mounted::By;
use bkm_agent::drive::udisks::{self, UdisksError};
use bkm_agent::drive::{luks, unmount, writable};

use crate::support::drive::Drive;
use crate::support::needs::{self, skipped};
use crate::support::services::{self, Bus};
use crate::support::udevd::Udev;
use crate::support::{self, process};

const UDISKS: &str = "org.freedesktop.UDisks2";

const POLKIT: &str = "org.freedesktop.PolicyKit1";

/// A user that dbus-daemon finds in /etc/passwd: nobody.
const USER: u32 = 65534;

/// udev and the services, or `None` with the reason printed.
fn machine() -> Option<Udev> {
    let missing = needs::missing(&["losetup", "mkfs.ext4", "udevadm"]).or_else(services::missing);
    Udev::unless(missing.or_else(|| services::udisksd().err()))
}

#[test]
fn root_mounts_checks_and_unmounts() {
    if !services::is_second_run() {
        let Some(udev) = machine() else { return };
        let dir = tempfile::tempdir().unwrap();
        let mut bus = Bus::start(dir.path());
        bus.serve(UDISKS, &mut services::udisksd().unwrap());
        let mut drive = Drive::ext4(dir.path(), "My Disk");
        let node = drive.attach();
        udev.settle();
        return bus.again(None, dir.path(), &node);
    }
    let device = Device::from_node(&services::drive()).unwrap();
    assert!(udisks::make_sure(&device).unwrap(), "it is in order");

    let point = udisks::mount(&device, false).unwrap();
    let entry = mount::find(&device).unwrap().unwrap();
    assert_eq!(entry.point, point);
    assert!(!entry.read_only());
    let twice = udisks::mount(&device, false).unwrap_err();
    assert!(matches!(twice, UdisksError::AlreadyMounted), "{twice}");

    let open = std::fs::File::create(point.join("held")).unwrap();
    let busy = udisks::unmount(&device).unwrap_err();
    assert!(matches!(busy, UdisksError::Busy(_)), "{busy}");
    drop(open);
    udisks::unmount(&device).unwrap();
    assert!(unmount::is_released(&device));

    udisks::mount(&device, true).unwrap();
    assert!(mount::find(&device).unwrap().unwrap().read_only());
    udisks::unmount(&device).unwrap();

    // What FAT gets. This one is ext4, as not every kernel has FAT: the option is the same for all.
    let fat = Device { fs_type: Some("vfat".to_owned()), ..device.clone() };
    let point = udisks::mount(&fat, false).unwrap();
    let entry = mount::find(&device).unwrap().unwrap();
    assert_eq!(entry.point, point);
    assert!(entry.super_options.contains("dirsync"), "{}", entry.super_options);
    udisks::unmount(&device).unwrap();

    assert!(!udisks::power_off(&device).unwrap(), "a loop device has no power");
    let other = Device { devnum: (7, 4000), ..device };
    let gone = udisks::mount(&other, false).unwrap_err();
    assert!(matches!(gone, UdisksError::Gone), "the node is another drive's: {gone}");
}

#[test]
fn a_user_who_may_mounts_and_unmounts_what_was_mounted_for_him() {
    if !services::is_second_run() {
        let Some(udev) = machine() else { return };
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let mut bus = Bus::start(dir.path());
        bus.serve(POLKIT, &mut services::mock("polkitd"));
        let authority = "/org/freedesktop/PolicyKit1/Authority";
        let allow = bus.call(POLKIT, authority, "org.freedesktop.DBus.Mock.AllowUnknown");
        process::run({ allow }.arg("boolean:true"));
        bus.serve(UDISKS, &mut services::udisksd().unwrap());
        let mut drive = Drive::ext4(dir.path(), "MINE");
        let node = drive.attach();
        udev.settle();
        return bus.again(Some(USER), &home, &node);
    }
    assert!(!rustix::process::geteuid().is_root());
    let device = Device::from_node(&services::drive()).unwrap();
    let mounted = mount::find_or_mount(&device, false).unwrap();
    assert_eq!(mounted.by, By::Udisks);

    // A fresh file system is root's.
    let refused = writable::check(&mounted, Path::new("Backups/me@here/docs")).unwrap_err();
    let first = mounted.point.join("Backups");
    let expected = format!("sudo mkdir '{0}' && sudo chown \"$USER\": '{0}'", first.display());
    assert_eq!(refused.command, expected);

    // An agent that was killed left it behind; a new one opens it as its own.
    let point = mounted.point.clone();
    drop(mounted);
    let mounted = mount::find_or_mount(&device, false).unwrap();
    assert_eq!((mounted.by, &mounted.point), (By::Udisks, &point));

    let held = std::fs::File::open(&point).unwrap();
    let busy = unmount::unmount(mounted).unwrap_err();
    let me = format!("(process {})", std::process::id());
    assert!(matches!(busy, MountError::Busy { .. }) && busy.to_string().contains(&me), "{busy}");
    drop(held);
    unmount::unmount(mount::find_or_mount(&device, false).unwrap()).unwrap();
    assert!(unmount::is_released(&device));
    // Forgotten: mounted by somebody else, it is not ours.
    udisks::mount(&device, false).unwrap();
    let found = mount::find_or_mount(&device, false).unwrap();
    assert_eq!(found.by, By::Others);
    unmount::unmount_any(found).unwrap();
    assert!(mount::find(&device).unwrap().is_none());

    // The desktop mounts it at the same moment: it is used, whoever was quicker, and known whose it is.
    for round in 0..10 {
        let (theirs, used) = std::thread::scope(|scope| {
            let desktop = scope.spawn(|| udisks::mount(&device, false));
            let used = mount::find_or_mount(&device, false).unwrap();
            (desktop.join().unwrap(), used)
        });
        let expected = if theirs.is_ok() { By::Others } else { By::Udisks };
        assert_eq!(used.by, expected, "round {round}: {theirs:?}");
        unmount::unmount_any(used).unwrap();
    }
}

#[test]
fn a_user_without_a_session_is_told_later_and_without_udisks_nobody() {
    if !services::is_second_run() {
        let Some(udev) = machine() else { return };
        let polkitd = Path::new("/usr/lib/polkit-1/polkitd");
        if !polkitd.exists() {
            return skipped("needs polkitd");
        }
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let mut bus = Bus::start(dir.path());
        let mut drive = Drive::ext4(dir.path(), "LATER");
        let node = drive.attach();
        udev.settle();
        bus.again(Some(USER), &home, &node);
        bus.serve(POLKIT, Command::new(polkitd).arg("--no-debug"));
        bus.serve(UDISKS, &mut services::udisksd().unwrap());
        std::fs::write(home.join("served"), "").unwrap();
        return bus.again(Some(USER), &home, &node);
    }
    let device = Device::from_node(&services::drive()).unwrap();
    let error = mount::find_or_mount(&device, false).unwrap_err();
    let served = std::env::var("XDG_RUNTIME_DIR").unwrap();
    if Path::new(&served).join("served").exists() {
        assert!(matches!(error, MountError::NotAuthorised { .. }), "{error:?}");
    } else {
        assert!(matches!(error, MountError::Nobody { .. }), "{error:?}");
    }
    assert!(mount::find(&device).unwrap().is_none());
}

#[test]
fn an_encrypted_drive_is_opened_with_a_key_and_its_power_cut() {
    if !services::is_second_run() {
        let Some(udev) = machine() else { return };
        let dir = tempfile::tempdir().unwrap();
        let mut bus = Bus::start(dir.path());
        let mut drive = Drive::ext4(dir.path(), "LUKS");
        let node = drive.attach();
        udev.settle();
        let script = support::project_file("tests/support/udisks_stand_in.py");
        let log = dir.path().join("calls");
        bus.serve(UDISKS, Command::new("/usr/bin/python3").arg(script).arg(&node).arg(&log));
        bus.again(None, dir.path(), &node);
        // Nobody is ever asked for a password, and the key arrives byte by byte.
        let calls = std::fs::read_to_string(log).unwrap();
        let expected =
            "Unlock '' wrong quiet\nUnlock '' 00ff6b6579 quiet\nLock quiet\nPowerOff quiet\n";
        return assert_eq!(calls, expected);
    }
    let container = Device::from_node(&services::drive()).unwrap();
    let wrong = udisks::unlock(&container, b"wrong").unwrap_err();
    assert!(wrong.to_string().contains("No key available"), "{wrong}");
    let inside = udisks::unlock(&container, b"\x00\xffkey").unwrap();
    let (major, minor) = container.devnum;
    assert_eq!(inside, Path::new(&format!("/dev/block/{major}:{minor}")));
    luks::lock(&container).unwrap();
    assert!(udisks::power_off(&container).unwrap());
}
