//! Every kind of drive, as an ordinary user through the user service: plug in, backup, unmounted, safe to
//! remove; and what is on it, seen from outside.

use std::path::Path;

use serde_json::json;

use crate::drive::{Drive, Fs};
use crate::guest::STEP;
use crate::host::{run, wait_for};
use crate::outside::{Check, Found, look};
use crate::world::{How, Outcome, World, repository};

pub(crate) fn ext4(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "ext4", Fs::Ext4, "PHOTOS");
    twice(world, &drive, How::Storage)
}

pub(crate) fn vfat(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "vfat", Fs::Vfat, "STICK");
    twice(world, &drive, How::Storage)
}

pub(crate) fn exfat(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "exfat", Fs::Exfat, "CARD");
    twice(world, &drive, How::Storage)
}

pub(crate) fn ntfs(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "ntfs", Fs::Ntfs, "Windows disk");
    twice(world, &drive, How::Storage)
}

pub(crate) fn btrfs(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "btrfs", Fs::Btrfs, "TREE");
    twice(world, &drive, How::Storage)
}

pub(crate) fn no_partition_table(world: &mut World) -> Outcome {
    let drive = Drive::bare(&world.folder, "bare", Fs::Vfat, "BARE");
    once(world, &drive, How::Storage)
}

pub(crate) fn odd_label(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "odd", Fs::Ext4, "My Dïsk/1");
    once(world, &drive, How::Storage)
}

pub(crate) fn uas(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "uas", Fs::Ext4, "FAST");
    once(world, &drive, How::Uas)
}

/// A first backup and one after a change, each looked at from outside.
fn twice(world: &mut World, drive: &Drive, how: How) -> Outcome {
    once(world, drive, how);
    world.change("Documents", "echo changed >>Projects/a.txt; mv empty.txt Projects/");
    let found = plugged_in(world, drive, how);
    assert_eq!(found.catalogs.len(), 2);
    world.change("Documents", "mv Projects/empty.txt .");
    Outcome::Passed
}

/// A first backup.
fn once(world: &mut World, drive: &Drive, how: How) -> Outcome {
    world.profile(&drive.name, &json!({ "label": drive.parts[0].label }), "Documents");
    let found = plugged_in(world, drive, how);
    assert_eq!(found.catalogs.len(), 1);
    Outcome::Passed
}

/// The drive is plugged in, backed up to in one run, unmounted and pulled; what is on it then.
#[track_caller]
fn plugged_in(world: &mut World, drive: &Drive, how: How) -> Found {
    let part = &drive.parts[0];
    let plugged = world.plug(drive, how);
    let shown = world.safe_to_remove(plugged);
    assert!(shown.contains("Backup finished"), "{shown}");
    assert!(shown.contains(&part.label), "{shown}");
    world.nothing_is_mounted();
    let log = world.guest.agent_log(plugged.since);
    let runs = log.lines().filter(|line| line.ends_with("running")).count();
    assert_eq!(runs, 1, "{log}");
    world.pull(drive);
    let found = look(drive, part, Check::Clean);
    found.is_backup_of(&world.source_tree("Documents"), &repository(&drive.name));
    found
}

pub(crate) fn two_partitions(world: &mut World) -> Outcome {
    let parts = [(Fs::Ext4, "FIRST"), (Fs::Vfat, "SECOND")];
    let drive = Drive::partitioned(&world.folder, "two", &parts);
    world.profile("docs", &json!({ "label": "FIRST" }), "Documents");
    world.profile("pictures", &json!({ "label": "SECOND" }), "Pictures");
    let plugged = world.plug(&drive, How::Storage);
    for words in [["docs → FIRST", "Backup finished"], ["pictures → SECOND", "Backup finished"]]
    {
        world.guest.wait_shown(plugged.since, STEP * 2, &words);
    }
    // While the other partition is in use it would be a lie: the last one says it.
    world.safe_to_remove(plugged);
    world.nothing_is_mounted();
    world.pull(&drive);
    for (part, source, profile) in [(0, "Documents", "docs"), (1, "Pictures", "pictures")] {
        let found = look(&drive, &drive.parts[part], Check::Clean);
        found.is_backup_of(&world.source_tree(source), &repository(profile));
    }
    Outcome::Passed
}

/// A fresh ext4 belongs to root: alice is told what mends it, and it works when she did that.
pub(crate) fn owned_by_root(world: &mut World) -> Outcome {
    let drive = Drive::of_root(&world.folder, "roots", "ROOTS");
    world.profile("roots", &json!({ "label": "ROOTS" }), "Documents");
    let plugged = world.plug(&drive, How::Storage);
    let shown = world.guest.wait_shown(plugged.since, STEP, &["ROOTS", "sudo chown"]);
    assert!(shown.contains("sudo mkdir '/media/alice/ROOTS/Backups'"), "{shown}");
    world.guest.wait_logged(plugged.since, STEP, &["unmounted"]);
    world.nothing_is_mounted();
    world.pull(&drive);
    assert!(look(&drive, &drive.parts[0], Check::Clean).catalogs.is_empty());
    // What the command does. Of what alice owns then, the backup makes what it needs.
    let point = tempfile::tempdir().unwrap();
    let backups = point.path().join("Backups");
    run("mount", [Path::new("-oloop"), &drive.file, point.path()]);
    run("mkdir", [&backups]);
    run("chown", [Path::new("1000"), &backups]);
    run("umount", [point.path()]);
    let found = plugged_in(world, &drive, How::Storage);
    assert_eq!(found.catalogs.len(), 1);
    Outcome::Passed
}

/// Opened with the profile's key, backed up once for all the events of it, and locked again. Nobody
/// outside the guest can open it (no device mapper is wanted there), so it is looked at inside.
pub(crate) fn luks(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "luks", Fs::Empty, "");
    let plugged = world.plug(&drive, How::Storage);
    let node = "/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_luks-0:0-part1";
    wait_for("the empty drive", STEP, || {
        let (code, _) = world.guest.try_sh(&format!("test -e {node}"));
        (code == 0).then_some(())
    });
    let uuid = world.guest.sh(&format!(
        "umask 077; echo -n secret >/home/alice/key; chown alice: /home/alice/key; cd /run
         cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {node} /home/alice/key
         cryptsetup open --key-file /home/alice/key {node} making
         mkfs.ext4 -q -E root_owner=1000:1000 -L INSIDE /dev/mapper/making
         udevadm settle; cryptsetup close making; udevadm settle
         cryptsetup luksUUID {node}"
    ));
    let log = world.guest.agent_log(plugged.since);
    assert!(!log.contains("matched"), "{log}");
    world.pull(&drive);
    let profile = json!({ "drive": { "uuid": uuid.trim() }, "src": "~/Documents",
        "unlock": { "keyfile": "~/key" } });
    world.profile_with("luks", &profile);
    for _ in 0..2 {
        let plugged = world.plug(&drive, How::Storage);
        world.safe_to_remove(plugged);
        world.nothing_is_mounted();
        let log = world.guest.agent_log(plugged.since);
        let runs = log.lines().filter(|line| line.ends_with("running")).count();
        assert_eq!(runs, 1, "one for all events: {log}");
        world.pull(&drive);
    }
    world.guest.alice("systemctl --user stop bkm-agent");
    world.plug(&drive, How::Storage);
    wait_for("the locked drive", STEP, || {
        let (code, _) = world.guest.try_sh(&format!("test -e {node}"));
        (code == 0).then_some(())
    });
    world.guest.sh(&format!(
        "set -e
         udevadm settle
         cryptsetup open --readonly --key-file /home/alice/key {node} looking
         mount -o ro /dev/mapper/looking /mnt
         cd /mnt/{repository}
         diff -r mirror /home/alice/Documents
         grep -q 'Projects/deep/er/b.txt' backup_*/backup_*.json
         cd /
         umount /mnt
         e2fsck -fn /dev/mapper/looking
         cryptsetup close looking",
        repository = repository("luks")
    ));
    world.pull(&drive);
    Outcome::Passed
}
