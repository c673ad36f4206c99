//! What else goes on at a desktop: it mounts drives by itself, sessions are switched, lids are closed.

use serde_json::json;

use crate::drive::{Drive, Fs};
use crate::guest::STEP;
use crate::host::wait_for;
use crate::outside::{Check, look};
use crate::world::{How, Outcome, World, repository};

/// The desktop mounted it before the agent heard of it: it is used where it is, and stays.
pub(crate) fn desktop_was_first(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "before", Fs::Ext4, "BEFORE");
    world.profile("before", &json!({ "label": "BEFORE" }), "Documents");
    world.guest.alice("systemctl --user stop bkm-agent");
    let plugged = world.plug(&drive, How::Storage);
    mount_as_the_desktop_does(world, "BEFORE");
    world.guest.alice("systemctl --user start bkm-agent");
    left_mounted(world, &drive, plugged)
}

/// The desktop mounts it as soon as it is there, while the agent wants to do the same.
pub(crate) fn desktop_mounts_too(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "meanwhile", Fs::Ext4, "MEANWHILE");
    world.profile("meanwhile", &json!({ "label": "MEANWHILE" }), "Documents");
    let plugged = world.plug(&drive, How::Storage);
    mount_as_the_desktop_does(world, "MEANWHILE");
    left_mounted(world, &drive, plugged)
}

/// Again and again until it worked, in a program of alice's desktop.
fn mount_as_the_desktop_does(world: &mut World, label: &str) {
    let (code, said) = world.guest.desktop(&format!(
        "for _ in $(seq 300); do
             test -e /dev/disk/by-label/{label} && udisksctl mount -b /dev/disk/by-label/{label} && exit
             grep -q ' /media/alice/{label} ' /proc/mounts && exit
             sleep 0.1
         done; exit 1"
    ));
    assert_eq!(code, 0, "{said}");
}

/// The backup is made, and alice is told to eject the drive.
fn left_mounted(world: &mut World, drive: &Drive, plugged: crate::world::Plugged) -> Outcome {
    let name = drive.name.as_str();
    let shown = world.finished(plugged, "Eject the drive before you pull it.");
    assert!(shown.contains("Backup finished"), "{shown}");
    assert!(!shown.contains("Safe to remove"), "{shown}");
    world.guest.wait_logged(plugged.since, STEP, &["finished, eject before you pull"]);
    let mounts = world.guest.sh("cat /proc/mounts");
    assert!(mounts.contains(&format!("/media/alice/{}", drive.parts[0].label)), "{mounts}");
    let label = &drive.parts[0].label;
    let (code, said) =
        world.guest.desktop(&format!("udisksctl unmount -b /dev/disk/by-label/{label}"));
    assert_eq!(code, 0, "the agent holds nothing of it any more: {said}");
    world.pull(drive);
    let found = look(drive, &drive.parts[0], Check::Clean);
    found.is_backup_of(&world.source_tree("Documents"), &repository(name));
    Outcome::Passed
}

/// Somebody else sits at the computer when the drive is plugged in: the agent waits, and backs up when
/// alice is back.
pub(crate) fn inactive(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "away", Fs::Ext4, "AWAY");
    world.profile("away", &json!({ "label": "AWAY" }), "Documents");
    world.guest.sh("busybox chvt 2");
    session_is(world, "no");
    let plugged = world.plug(&drive, How::Storage);
    world.guest.wait_logged(plugged.since, STEP, &["not authorised yet"]);
    let shown = world.guest.shown(plugged.since);
    assert!(!shown.iter().any(|shown| shown.contains("failed")), "{shown:#?}");
    world.nothing_is_mounted();
    world.guest.sh("busybox chvt 1");
    session_is(world, "yes");
    world.safe_to_remove(plugged);
    world.pull(&drive);
    let found = look(&drive, &drive.parts[0], Check::Clean);
    found.is_backup_of(&world.source_tree("Documents"), &repository("away"));
    Outcome::Passed
}

fn session_is(world: &mut World, active: &str) {
    wait_for("the switch of sessions", STEP, || {
        let says =
            world.guest.sh("loginctl show-user alice -p State; loginctl show-session 1 -p Active");
        says.contains(&format!("Active={active}")).then_some(())
    });
}

/// The lid is closed in the middle of a run: it stops in order, and goes on after waking.
pub(crate) fn suspend(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "asleep", Fs::Ext4, "ASLEEP");
    world.profile("asleep", &json!({ "label": "ASLEEP" }), "Videos");
    let (_, can) = world.guest.try_sh(
        "busctl call org.freedesktop.login1 /org/freedesktop/login1 \
        org.freedesktop.login1.Manager CanSuspend",
    );
    if !can.contains("yes") {
        return Outcome::Skipped(format!("this guest cannot suspend: {}", can.trim()));
    }
    let plugged = world.plug(&drive, How::Slow);
    wait_for("a part of the run", STEP, || (world.written(&drive) > 6_000_000).then_some(()));
    world.guest.without_answer("systemctl suspend");
    world.guest.wait_logged(plugged.since, STEP, &["asleep"]);
    world.guest.monitor.event("SUSPEND", |event| event["event"] == "SUSPEND");
    let log = world.guest.agent_log(plugged.since);
    assert!(!log.contains("complete"), "stopped before the end: {log}");
    world.guest.monitor.must("system_wakeup", &serde_json::Value::Null);
    world.safe_to_remove(plugged);
    let log = world.guest.agent_log(plugged.since);
    assert!(!log.contains("failed"), "{log}");
    world.pull(&drive);
    let found = look(&drive, &drive.parts[0], Check::Clean);
    found.is_backup_of(&world.source_tree("Videos"), &repository("asleep"));
    Outcome::Passed
}
