//! Which of a device's mounts is used: pure, from the kernel's list of mounts.
//!
//! `mount` proves the choice by what it opens.

use std::path::Path;

use crate::drive::mountinfo::MountEntry;

/// Of `list`, the mount of the device `devnum` to use: its whole content, visible, writable rather
/// than not, the newest. `block` gives the numbers of the block device at a path: the file systems of
/// btrfs have numbers of their own and are recognised by what was mounted.
pub(super) fn choose<'a>(
    devnum: (u32, u32),
    list: &'a [MountEntry],
    block: &dyn Fn(&Path) -> Option<(u32, u32)>,
) -> Option<&'a MountEntry> {
    let is_its_own = |entry: &MountEntry| {
        if entry.fs_type == "btrfs" {
            // The default subvolume may be any; by custom those for a system are called @….
            (entry.root == Path::new("/") || entry.root.to_string_lossy().starts_with("/@"))
                && block(&entry.source) == Some(devnum)
        } else {
            entry.dev == devnum && entry.root == Path::new("/")
        }
    };
    let usable = |entry: &&MountEntry| is_its_own(entry) && is_visible(entry, list);
    // The kernel lists mounts in the order they were made; `max_by_key` takes the last of equals.
    list.iter().filter(usable).max_by_key(|entry| !entry.read_only())
}

/// Whether a path leads to `entry`: neither it nor a mount it lies on is covered by another mount.
/// `mount::open` proves it; this only avoids choosing in vain.
fn is_visible(entry: &MountEntry, list: &[MountEntry]) -> bool {
    let mut current = entry;
    // Bounded: the list is not read in one instant and could, in theory, hold a circle.
    for _ in 0..64 {
        let covered = list.iter().any(|other| {
            let on_top = other.parent_id == current.mount_id && other.point == current.point;
            let above = other.parent_id == current.parent_id
                && other.point != current.point
                && current.point.starts_with(&other.point);
            other.mount_id != current.mount_id && (on_top || above)
        });
        if covered {
            return false;
        }
        match list
            .iter()
            .find(|other| other.mount_id == current.parent_id && other.mount_id != current.mount_id)
        {
            Some(parent) => current = parent,
            None => break,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::mountinfo;
    use std::path::PathBuf;

    const BTRFS: (u32, u32) = (8, 33);

    fn choose_from(devnum: (u32, u32), text: &str) -> Option<PathBuf> {
        let list = mountinfo::parse(text.as_bytes());
        let block = |path: &Path| (path == Path::new("/dev/sdc1")).then_some(BTRFS);
        choose(devnum, &list, &block).map(|entry| entry.point.clone())
    }

    #[test]
    fn takes_the_newest_writable_whole_mount() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
            20 1 8:17 / /a rw - ext4 /dev/sdb1 rw\n\
            21 1 8:17 / /b rw - ext4 /dev/sdb1 rw\n\
            22 1 8:17 / /c ro - ext4 /dev/sdb1 rw\n\
            23 1 8:17 /sub /d rw - ext4 /dev/sdb1 rw\n";
        assert_eq!(choose_from((8, 17), text), Some("/b".into()));
        assert_eq!(choose_from((8, 18), text), None);
    }

    #[test]
    fn a_covered_mount_does_not_count() {
        let on_top = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
            20 1 8:17 / /a rw - ext4 /dev/sdb1 rw\n\
            21 20 0:50 / /a rw - tmpfs tmpfs rw\n";
        assert_eq!(choose_from((8, 17), on_top), None);
        let above = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
            20 1 8:17 / /mnt/a rw - ext4 /dev/sdb1 rw\n\
            21 1 0:50 / /mnt rw - tmpfs tmpfs rw\n";
        assert_eq!(choose_from((8, 17), above), None);
        let beside = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
            19 1 0:50 / /mnt rw - tmpfs tmpfs rw\n\
            20 19 8:17 / /mnt/a rw - ext4 /dev/sdb1 rw\n\
            21 19 0:51 / /mnt/ab rw - tmpfs tmpfs rw\n";
        assert_eq!(choose_from((8, 17), beside), Some("/mnt/a".into()));
    }

    #[test]
    fn btrfs_is_known_by_what_was_mounted() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
            20 1 0:60 /@home /a rw - btrfs /dev/sdc1 rw\n\
            21 1 0:61 /folder /b rw - btrfs /dev/sdc1 rw\n\
            22 1 0:62 / /c rw - btrfs /dev/sdd1 rw\n";
        assert_eq!(choose_from(BTRFS, text), Some("/a".into()));
    }

    #[test]
    fn a_circle_in_the_list_ends() {
        let text = "20 21 8:17 / /a rw - ext4 /dev/sdb1 rw\n\
            21 20 8:18 / /b rw - ext4 /dev/sdb2 rw\n";
        assert_eq!(choose_from((8, 17), text), Some("/a".into()));
    }
}
