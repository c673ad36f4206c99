//! Finding and making mounts.
//!
//! It hands out a drive only as an open handle that was checked to be the device's own mount: a path
//! alone may lead to the computer's disk once a drive is gone. Letting go of it is `unmount`. Everything here
//! may block for as long as the device does, so the agent does it on blocking threads.

use std::ffi::CStr;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::drive::choose_mount::choose;
use crate::drive::device::Device;
use crate::drive::holders::{self, Holder};
use crate::drive::mounted::{By, Mounted};
use crate::drive::mountinfo::{self, MountEntry};
use crate::drive::udisks::{self, UdisksError};
use crate::drive::{fsck, own_mounts};

/// Where mounts of our own are made; on a tmpfs, so that nothing stays after a crash.
pub const RUN_DIR: &str = "/run/bkm-agent";

/// How often and how long to wait between tries when a mount is busy: virus scanners and thumbnailers
/// hold a drive for moments.
pub(super) const BUSY_TRIES: u32 = 10;

pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Why a drive is not mounted, or still is.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel's list of mounts could not be read.
    #[error("{}: the list of mounts cannot be read: {source}", mountinfo::PATH)]
    List {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The mount point could not be opened or looked at.
    #[error("{}: the drive's mount point cannot be opened: {source}", point.display())]
    Open {
        /// The mount point.
        point: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something else is at the mount point.
    #[error("{}: is not the mount of {} (any more); nothing was done there", point.display(), node.display())]
    NotTheDrive {
        /// The mount point.
        point: PathBuf,
        /// The device.
        node: PathBuf,
    },
    /// The folder to mount on could not be made.
    #[error("{}: cannot be made to mount the drive on: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel does not know the file system.
    #[error("{}: this kernel has no driver for {fs_type}: mount it with the desktop (for NTFS and exFAT, install ntfs-3g or exfat-fuse), then the backup starts", node.display())]
    NoDriver {
        /// The device.
        node: PathBuf,
        /// File system type as udev names it.
        fs_type: String,
    },
    /// The medium has a write protection switch, or lost its trust in itself.
    #[error("{}: the drive is write-protected (look for a switch on it)", node.display())]
    WriteProtected {
        /// The device.
        node: PathBuf,
    },
    /// The kernel refused to mount it.
    #[error("{}: cannot be mounted as {fs_type}: {source}; check it with fsck", node.display())]
    Refused {
        /// The device.
        node: PathBuf,
        /// File system type as udev names it.
        fs_type: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The user's session is not the active one, or a rule forbids it.
    #[error("{}: may not be mounted or unmounted now: {why}", node.display())]
    NotAuthorised {
        /// The device.
        node: PathBuf,
        /// UDisks2's words.
        why: String,
    },
    /// Nobody here mounts for a user.
    #[error("{}: not mounted, and only root may do that here: {why}; open it in the file manager, or mount it", node.display())]
    Nobody {
        /// The device.
        node: PathBuf,
        /// What is missing.
        why: String,
    },
    /// UDisks2 did not do it.
    #[error("{}", node.display())]
    Udisks {
        /// The device.
        node: PathBuf,
        /// Why.
        #[source]
        source: UdisksError,
    },
    /// A program has files open on it.
    #[error("{}: still in use {}; close that, then eject the drive", point.display(), holders::in_words(by))]
    Busy {
        /// The mount point.
        point: PathBuf,
        /// Who has; those that can be seen.
        by: Vec<Holder>,
    },
    /// It could not be unmounted for another reason.
    #[error("{}: cannot be unmounted: {source}", point.display())]
    Unmount {
        /// The mount point.
        point: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The mount of `device` to use, if it has one now.
pub fn find(device: &Device) -> Result<Option<MountEntry>, MountError> {
    let list = mountinfo::read().map_err(|source| MountError::List { source })?;
    Ok(choose(device.devnum, &list, &block_device).cloned())
}

/// The numbers of the block device at `path`.
pub(super) fn block_device(path: &Path) -> Option<(u32, u32)> {
    let rdev = std::fs::metadata(path).ok()?.rdev();
    Some((rustix::fs::major(rdev), rustix::fs::minor(rdev)))
}

/// Opens the mount `entry` of `device`, and makes sure that this is what was opened.
pub fn open(device: &Device, entry: &MountEntry) -> Result<Mounted, MountError> {
    let failed =
        |errno: Errno| MountError::Open { point: entry.point.clone(), source: errno.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let root = rustix::fs::open(&entry.point, flags, Mode::empty()).map_err(failed)?;
    let mask = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(&root, c"", AtFlags::EMPTY_PATH, mask).map_err(failed)?;
    // Without the number (before Linux 5.8) nothing proves which mount it is.
    let same_mount = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID)
        && stat.stx_mnt_id == entry.mount_id;
    let same_device =
        entry.fs_type == "btrfs" || (stat.stx_dev_major, stat.stx_dev_minor) == device.devnum;
    if !same_mount || !same_device {
        return Err(MountError::NotTheDrive {
            point: entry.point.clone(),
            node: device.node.clone(),
        });
    }
    Ok(Mounted {
        point: entry.point.clone(),
        root,
        device: device.clone(),
        // One that an agent left behind when it was killed is still to be unmounted by us.
        by: match entry {
            _ if entry.point.starts_with(RUN_DIR) => By::Root,
            _ if own_mounts::is_ours(entry) => By::Udisks,
            _ => By::Others,
        },
        fs_type: entry.fs_type.clone(),
        dev: entry.dev,
        mount_id: entry.mount_id,
        checked: false,
    })
}

/// Mounts `device` below [`RUN_DIR`]. Needs root.
pub fn mount_as_root(device: &Device, read_only: bool) -> Result<Mounted, MountError> {
    mount_below(Path::new(RUN_DIR), device, read_only)
}

/// Mounts `device` on a folder of its own in `base`, which nobody else can enter.
pub fn mount_below(base: &Path, device: &Device, read_only: bool) -> Result<Mounted, MountError> {
    let point = base.join(folder_name(device));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&point);
    made.map_err(|source| MountError::Folder { folder: point.clone(), source })?;
    let mounted = mount_at(device, &point, read_only).and_then(|()| {
        let list = mountinfo::read().map_err(|source| MountError::List { source })?;
        let entry = choose(device.devnum, &list, &block_device)
            .filter(|entry| entry.point == point)
            .ok_or_else(|| MountError::NotTheDrive {
                point: point.clone(),
                node: device.node.clone(),
            })?;
        open(device, entry)
    });
    match mounted {
        Ok(mounted) => Ok(Mounted { by: By::Root, ..mounted }),
        Err(error) => {
            // Only succeeds on an empty folder that nothing is mounted on.
            let _left = std::fs::remove_dir(&point);
            Err(error)
        }
    }
}

/// The mount itself. Nothing on a drive may be run, own the computer or pass for one of its devices.
fn mount_at(device: &Device, point: &Path, read_only: bool) -> Result<(), MountError> {
    let fs_type = device.fs_type.as_deref().unwrap_or("auto");
    // Names are UTF-8 here. FAT's own default would show other characters than the desktop does.
    let (drivers, data): (&[&str], Option<&CStr>) = match fs_type {
        "vfat" => (&["vfat"], Some(c"utf8=1,shortname=mixed")),
        "ntfs" => (&["ntfs3"], None),
        other => (&[other], None),
    };
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if matches!(fs_type, "vfat" | "exfat") {
        // A rename there is two sectors: written at once, only the one in flight is at risk.
        flags |= MountFlags::DIRSYNC;
    }
    if read_only {
        flags |= MountFlags::RDONLY;
    }
    let node = || device.node.clone();
    let mut last = Errno::NODEV;
    for driver in drivers {
        match rustix::mount::mount(&device.node, point, *driver, flags, data) {
            Ok(()) => return Ok(()),
            Err(errno) => last = errno,
        }
    }
    Err(match last {
        Errno::NODEV => MountError::NoDriver {
            node: node(),
            fs_type: if fs_type == "ntfs" { "NTFS" } else { fs_type }.to_owned(),
        },
        Errno::ROFS | Errno::ACCESS => MountError::WriteProtected { node: node() },
        errno => {
            MountError::Refused { node: node(), fs_type: fs_type.to_owned(), source: errno.into() }
        }
    })
}

/// A readable folder name of its own for each device: `PHOTOS-sdb1`.
fn folder_name(device: &Device) -> String {
    let label = device.label.as_ref().or(device.uuid.as_ref());
    let plain: String = label
        .map_or("", String::as_str)
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .collect();
    let name = device.node.file_name().unwrap_or_default();
    format!("{plain}-{}", name.to_string_lossy())
}

/// The same for writing to a drive that is known to be the right one: a file system without a journal that
/// was torn is put in order before. Never for another: that would write to a drive that may be refused. Where it
/// cannot be checked, it is mounted all the same.
pub fn find_or_mount_known(device: &Device) -> Result<Mounted, MountError> {
    let journalless = matches!(device.fs_type.as_deref(), Some("vfat" | "exfat"));
    let in_order = journalless
        && find(device)?.is_none()
        && if rustix::process::geteuid().is_root() {
            fsck::make_sure(&device.node)
        } else {
            udisks::make_sure(device).unwrap_or(false)
        };
    let mounted = find_or_mount(device, false)?;
    // What somebody else mounted meanwhile may have been written to before it was looked at.
    Ok(Mounted { checked: in_order && mounted.is_ours(), ..mounted })
}

/// Opens `device` where it is mounted; mounts it if it is not: as a user through UDisks2, as root by itself
/// (`dirsync` and a check before, where there is no journal, and a folder that nobody else can enter).
pub fn find_or_mount(device: &Device, read_only: bool) -> Result<Mounted, MountError> {
    if let Some(entry) = find(device)? {
        return open(device, &entry);
    }
    if rustix::process::geteuid().is_root() {
        return mount_as_root(device, read_only);
    }
    let by = match udisks::mount(device, read_only) {
        Ok(_) => By::Udisks,
        Err(UdisksError::AlreadyMounted) => By::Others,
        // The desktop was quicker, whatever that made of our call.
        Err(_) if find(device)?.is_some() => By::Others,
        Err(error) => return Err(refused(device, error)),
    };
    for pause in (0..BUSY_TRIES).rev() {
        if let Some(entry) = find(device)? {
            let mounted = open(device, &entry)?;
            if by == By::Udisks {
                own_mounts::remember(&mounted);
            }
            return Ok(Mounted { by, ..mounted });
        }
        if pause > 0 {
            std::thread::sleep(BUSY_PAUSE);
        }
    }
    Err(MountError::NotTheDrive {
        point: Path::new("its mount point").to_owned(),
        node: device.node.clone(),
    })
}

pub(super) fn refused(device: &Device, error: UdisksError) -> MountError {
    let node = device.node.clone();
    match error {
        UdisksError::NotAuthorised(why) => MountError::NotAuthorised { node, why },
        UdisksError::Unavailable(why) => MountError::Nobody { node, why },
        source => MountError::Udisks { node, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_must_be_the_drive() {
        // The root mount under another number, as if the drive had been pulled meanwhile.
        let list = mountinfo::read().unwrap();
        let mut entry = list.last().unwrap().clone();
        entry.point = "/".into();
        entry.mount_id = u64::MAX;
        let device = Device { devnum: entry.dev, ..Device::default() };
        let error = open(&device, &entry).unwrap_err();
        assert!(matches!(error, MountError::NotTheDrive { .. }), "got {error}");
    }

    #[test]
    fn folder_names_cannot_lead_elsewhere() {
        let named = |label: &str| {
            folder_name(&Device {
                node: "/dev/sdb1".into(),
                label: Some(label.to_owned()),
                ..Device::default()
            })
        };
        assert_eq!(named("PHOTOS"), "PHOTOS-sdb1");
        assert_eq!(named("../../etc"), "______etc-sdb1");
        assert_eq!(named("My Dïsk/1"), "My_D_sk_1-sdb1");
        assert!(named(&"x".repeat(500)).len() < 80);
    }
}
