//! Every kind of drive, as an ordinary user through the user service: plug in, backup, unmounted, safe to
//! remove; and what is on it, seen from outside.

use serde_json::json;

use crate::drive::{Drive, Fs};
use crate::outside::{Check, look};
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
    twice(world, &drive, How::Storage)
}

pub(crate) fn odd_label(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "odd", Fs::Ext4, "My Dïsk/1");
    twice(world, &drive, How::Storage)
}

pub(crate) fn uas(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "uas", Fs::Ext4, "FAST");
    twice(world, &drive, How::Uas)
}

/// A first backup and one after a change, each looked at from outside.
fn twice(world: &mut World, drive: &Drive, how: How) -> Outcome {
    let (name, part) = (drive.name.as_str(), &drive.parts[0]);
    world.profile(name, &json!({ "label": part.label }), "Documents");
    for changed in [false, true] {
        if changed {
            world.change("Documents", "echo changed >>Projects/a.txt; mv empty.txt Projects/");
        }
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
        found.is_backup_of(&world.source_tree("Documents"), &repository(name));
        let increments = found.catalogs.len();
        assert_eq!(increments, if changed { 2 } else { 1 });
    }
    world.change("Documents", "mv Projects/empty.txt .");
    Outcome::Passed
}

pub(crate) fn two_partitions(world: &mut World) -> Outcome {
    let parts = [(Fs::Ext4, "FIRST"), (Fs::Vfat, "SECOND")];
    let drive = Drive::partitioned(&world.folder, "two", &parts);
    world.profile("docs", &json!({ "label": "FIRST" }), "Documents");
    world.profile("pictures", &json!({ "label": "SECOND" }), "Pictures");
    let plugged = world.plug(&drive, How::Storage);
    for words in [["docs → FIRST", "Safe to remove."], ["pictures → SECOND", "Safe to remove."]]
    {
        world.guest.wait_shown(plugged.since, crate::guest::STEP * 2, &words);
    }
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
    let shown = world.guest.wait_shown(plugged.since, crate::guest::STEP, &["chown"]);
    assert!(shown.contains("Backup failed"), "{shown}");
    world.pull(&drive);
    assert!(look(&drive, &drive.parts[0], Check::Clean).catalogs.is_empty());
    // What the command does, without the mount point that it names.
    let point = tempfile::tempdir().unwrap();
    crate::host::run(
        "mount",
        ["-o", "loop", drive.file.to_str().unwrap(), point.path().to_str().unwrap()],
    );
    crate::host::run("chown", ["1000:1000", point.path().to_str().unwrap()]);
    crate::host::run("umount", [point.path()]);
    let plugged = world.plug(&drive, How::Storage);
    world.safe_to_remove(plugged);
    world.pull(&drive);
    let found = look(&drive, &drive.parts[0], Check::Clean);
    found.is_backup_of(&world.source_tree("Documents"), &repository("roots"));
    Outcome::Passed
}

/// Opened with the profile's key, backed up once for all the events of it, and locked again. Nobody
/// outside the guest can open it (no device mapper is wanted there), so it is looked at inside.
pub(crate) fn luks(world: &mut World) -> Outcome {
    let drive = Drive::new(&world.folder, "luks", Fs::Empty, "");
    let plugged = world.plug(&drive, How::Storage);
    let node = "/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_luks-0:0-part1";
    crate::host::wait_for("the empty drive", crate::guest::STEP, || {
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
    crate::host::wait_for("the locked drive", crate::guest::STEP, || {
        let (code, _) = world.guest.try_sh(&format!("test -e {node}"));
        (code == 0).then_some(())
    });
    world.guest.sh(&format!(
        "cryptsetup open --readonly --key-file /home/alice/key {node} looking
         mount -o ro /dev/mapper/looking /mnt
         cd /mnt/{repository}
         diff -r mirror /home/alice/Documents
         grep -q 'Projects/deep/er/b.txt' backup_*/backup_*.json
         cd /; umount /mnt; e2fsck -fn /dev/mapper/looking; cryptsetup close looking",
        repository = repository("luks")
    ));
    world.pull(&drive);
    Outcome::Passed
}
