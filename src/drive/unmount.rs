//! Letting go of mounts, and whether a drive can be pulled.
//!
//! It must never unmount anything but the mount it was given, nor call a drive free of which it cannot know
//! that. It may block for as long as the device does.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::drive::device::Device;
use crate::drive::mount::{BUSY_PAUSE, BUSY_TRIES, MountError, block_device, refused};
use crate::drive::mounted::{By, Mounted, Place};
use crate::drive::udisks::{self, UdisksError};
use crate::drive::{holders, mountinfo, own_mounts};

/// Unmounts what this program mounted and removes its folder; lets go of everything else.
pub fn unmount(mounted: Mounted) -> Result<(), MountError> {
    if mounted.is_ours() { unmount_any(mounted) } else { Ok(()) }
}

/// Unmounts a drive whoever mounted it: as root by itself, as a user through UDisks2.
pub fn unmount_any(mounted: Mounted) -> Result<(), MountError> {
    let place = mounted.place();
    // The handle itself would keep the mount busy.
    let Mounted { root, device, .. } = mounted;
    drop(root);
    for pause in (0..BUSY_TRIES).rev() {
        if !is_there(&place)? {
            break;
        }
        match unmount_once(&place, &device) {
            Ok(()) => break,
            Err(MountError::Busy { .. }) if pause > 0 => std::thread::sleep(BUSY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    remove_folder(&place);
    own_mounts::forget(place.mount_id);
    Ok(())
}

fn unmount_once(place: &Place, device: &Device) -> Result<(), MountError> {
    let busy = || MountError::Busy { point: place.point.clone(), by: holders::of(&place.point) };
    if place.by == By::Root || rustix::process::geteuid().is_root() {
        return match rustix::mount::unmount(&place.point, UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(()),
            Err(Errno::BUSY) => Err(busy()),
            Err(errno) => {
                Err(MountError::Unmount { point: place.point.clone(), source: errno.into() })
            }
        };
    }
    match udisks::unmount(device) {
        Ok(()) => Ok(()),
        Err(UdisksError::Busy(_)) => Err(busy()),
        // Somebody ejected it meanwhile.
        Err(_) if !is_there(place)? => Ok(()),
        Err(error) => Err(refused(device, error)),
    }
}

/// Takes a mount of ours out of sight at once, though it may be busy or its device be gone; the
/// kernel lets go of the device when the last open file is closed.
pub fn unmount_lazily(place: &Place) -> Result<(), MountError> {
    // What UDisks2 mounted it takes away itself when the device is gone; the next mount with that number may
    // be the desktop's.
    own_mounts::forget(place.mount_id);
    if place.by != By::Root {
        return Ok(());
    }
    if is_there(place)? {
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        rustix::mount::unmount(&place.point, flags).map_err(|errno| MountError::Unmount {
            point: place.point.clone(),
            source: errno.into(),
        })?;
    }
    remove_folder(place);
    Ok(())
}

/// Whether nothing on this computer uses the disk that `device` is on any more, as far as can be
/// told: no mount that this process sees, and for root also none in another mount namespace. Another
/// partition that is mounted counts: both are pulled at once.
pub fn is_released(device: &Device) -> bool {
    let own_disk = disk(device.devnum);
    let is_on_it = |number: (u32, u32)| {
        number == device.devnum || (own_disk.is_some() && disk(number) == own_disk)
    };
    let listed = match mountinfo::read() {
        // A bind mount of one of its folders holds it as well: look at all, not at the one to use. Numbers
        // of btrfs are made up; its source is the device.
        Ok(list) => list.iter().any(|entry| {
            is_on_it(entry.dev)
                || (entry.dev.0 == 0 && block_device(&entry.source).is_some_and(is_on_it))
        }),
        Err(_) => true,
    };
    if listed {
        return false;
    }
    // The kernel refuses an exclusive handle on a mounted device.
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK;
    !matches!(rustix::fs::open(&device.node, flags, Mode::empty()), Err(Errno::BUSY))
}

/// The disk that a block device is, or is a part of: its folder in `/sys`. What is open of an encrypted
/// volume is on the disk of that.
fn disk((major, minor): (u32, u32)) -> Option<PathBuf> {
    let mut device = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    // A volume in a volume in a partition is deeper than any that people make.
    for _ in 0..4 {
        let mut below = std::fs::read_dir(device.join("slaves")).ok().into_iter().flatten();
        match below.next() {
            Some(Ok(slave)) => device = std::fs::canonicalize(slave.path()).ok()?,
            _ => break,
        }
    }
    let is_partition = device.join("partition").exists();
    if is_partition { device.parent().map(Path::to_owned) } else { Some(device) }
}

/// Whether the mount at the place is still the one that is meant.
fn is_there(place: &Place) -> Result<bool, MountError> {
    let list = mountinfo::read().map_err(|source| MountError::List { source })?;
    Ok(list.iter().any(|entry| entry.mount_id == place.mount_id && entry.point == place.point))
}

/// Removes the folder that was made to mount on; only ever an empty one.
fn remove_folder(place: &Place) {
    if place.by == By::Root {
        let _left = std::fs::remove_dir(&place.point);
    }
}
