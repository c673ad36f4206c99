//! A block device as udev describes it, in plain owned values.
//!
//! It owns the meaning of udev's properties. Nothing of libudev leaves this folder: its types belong
//! to one thread. Labels and serials come from the drive and are shown only through `sanitize`.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::model::drive_match::DriveMatch;

/// A block device that may hold a file system, in plain values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// `/dev/sdb1`.
    pub node: PathBuf,
    /// The kernel's path of the device below `/sys`: `/devices/…/block/sdb/sdb1`.
    pub devpath: PathBuf,
    /// Major and minor number.
    pub devnum: (u32, u32),
    /// `disk` or `partition`.
    pub devtype: Option<String>,
    /// The kernel's number of this attach of the disk; never given twice (Linux 5.15 and later).
    pub diskseq: Option<u64>,
    /// Number of the event it came from; `None` if it was looked up.
    pub seqnum: Option<u64>,
    /// File system type as udev names it (`ext4`, `vfat`).
    pub fs_type: Option<String>,
    /// What the content is for: `filesystem`, `crypto`, `raid`, `other`.
    pub fs_usage: Option<String>,
    /// UUID of the file system.
    pub uuid: Option<String>,
    /// Label of the file system, decoded; a byte that is not UTF-8 stays as `\xNN`.
    pub label: Option<String>,
    /// UUID of the partition.
    pub partuuid: Option<String>,
    /// Name of the partition (GPT), decoded like the label.
    pub partlabel: Option<String>,
    /// Serial number that the device itself gives.
    pub serial: Option<String>,
    /// Vendor, model and serial number as udev joins them.
    pub serial_long: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// How it is connected: `usb`, `ata`.
    pub bus: Option<String>,
    /// The encrypted device that this one is the open content of.
    pub container: Option<Box<Device>>,
}

/// Why a device node tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is no such file.
    #[error("{}: no such device (is the drive plugged in?)", .0.display())]
    Missing(PathBuf),
    /// Something else than a block device.
    #[error("{}: not a block device (a drive's file system is named like /dev/sdb1)", .0.display())]
    NotBlock(PathBuf),
    /// It could not be looked at.
    #[error("{}: cannot be looked at: {source}", node.display())]
    Io {
        /// The node.
        node: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Device {
    /// The device that udev's properties describe; `get` gives the value of one property.
    pub fn from_properties(get: impl Fn(&str) -> Option<OsString>) -> Self {
        let raw = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str| raw(name).map(|value| value.to_string_lossy().into_owned());
        let number = |name: &str| text(name).and_then(|value| value.parse().ok());
        let major_minor = |name: &str| text(name).and_then(|value| value.parse::<u32>().ok());
        Self {
            node: raw("DEVNAME").map(PathBuf::from).unwrap_or_default(),
            devpath: raw("DEVPATH").map(PathBuf::from).unwrap_or_default(),
            devnum: (
                major_minor("MAJOR").unwrap_or_default(),
                major_minor("MINOR").unwrap_or_default(),
            ),
            devtype: text("DEVTYPE"),
            diskseq: number("DISKSEQ"),
            seqnum: number("SEQNUM"),
            fs_type: text("ID_FS_TYPE"),
            fs_usage: text("ID_FS_USAGE"),
            uuid: raw("ID_FS_UUID_ENC").map(|value| decode(&value)).or_else(|| text("ID_FS_UUID")),
            // ID_FS_LABEL itself is mangled: spaces became underscores.
            label: raw("ID_FS_LABEL_ENC")
                .map(|value| decode(&value))
                .or_else(|| text("ID_FS_LABEL")),
            partuuid: text("ID_PART_ENTRY_UUID"),
            partlabel: raw("ID_PART_ENTRY_NAME").map(|value| decode(&value)),
            serial: text("ID_SERIAL_SHORT"),
            serial_long: text("ID_SERIAL"),
            // udev gives it in units of 512 bytes whatever the disk's sectors are.
            size: number("ID_PART_ENTRY_SIZE").and_then(|n| n.checked_mul(512)),
            bus: text("ID_BUS"),
            container: None,
        }
    }

    /// The device as libudev holds it.
    pub fn from_udev(device: &udev::Device) -> Self {
        let mut plain =
            Self::from_properties(|name| device.property_value(name).map(OsStr::to_owned));
        plain.size = kernel_size(device).or(plain.size);
        let kind = device.property_value("DM_UUID").and_then(OsStr::to_str);
        if kind.is_some_and(|kind| kind.starts_with("CRYPT-LUKS")) {
            plain.container = container(plain.devnum).map(Box::new);
        }
        plain
    }

    /// The device behind a node such as `/dev/sdb1` or `/dev/disk/by-label/PHOTOS`, as udev knows
    /// it; where no udev runs, as `blkid` reads it from the device.
    pub fn from_node(path: &Path) -> Result<Self, DeviceError> {
        let failed = |source| DeviceError::Io { node: path.to_owned(), source };
        let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DeviceError::Missing(path.to_owned()),
            _ => failed(error),
        })?;
        if !meta.file_type().is_block_device() {
            return Err(DeviceError::NotBlock(path.to_owned()));
        }
        let known = udev::Device::from_devnum(udev::DeviceType::Block, meta.rdev());
        if let Ok(known) = &known
            && crate::drive::udev::udev_runs()
            && is_current(known)
        {
            return Ok(Self::from_udev(known));
        }
        let probed = probe(path).map_err(failed)?;
        let find = |name: &str| {
            let key = name.as_bytes();
            probed
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, value)| OsString::from_vec(value.clone()))
        };
        let kernel = known.ok();
        let plain = Self::from_properties(|name| {
            find(name).or_else(|| {
                // What the kernel itself says holds without udev; udev's database does not.
                matches!(name, "DEVNAME" | "DEVPATH" | "DEVTYPE" | "DISKSEQ")
                    .then(|| kernel.as_ref()?.property_value(name).map(OsStr::to_owned))?
            })
        });
        Ok(Self {
            node: if plain.node.as_os_str().is_empty() {
                path.to_owned()
            } else {
                plain.node.clone()
            },
            devnum: (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())),
            size: kernel.as_ref().and_then(kernel_size).or(plain.size),
            ..plain
        })
    }

    /// Whether it holds a file system, as opposed to a partition table, a locked LUKS volume or
    /// nothing.
    pub fn has_file_system(&self) -> bool {
        self.fs_usage.as_deref() == Some("filesystem")
    }

    /// Whether the kernel has dropped it, or what it lies in. udev tells the same, but some seconds later on
    /// a computer that is busy.
    pub fn is_gone(&self) -> bool {
        let gone = |device: &Self| {
            let path = device.devpath.strip_prefix("/").unwrap_or(&device.devpath);
            !Path::new("/sys").join(path).exists()
        };
        gone(self) || self.container.as_deref().is_some_and(gone)
    }

    /// Whether it is a locked LUKS volume.
    pub fn is_luks(&self) -> bool {
        self.fs_usage.as_deref() == Some("crypto") && self.fs_type.as_deref() == Some("crypto_LUKS")
    }

    /// Whether it is what `wanted` asks for: every field that is given must match. A `wanted` that
    /// asks for nothing matches nothing.
    pub fn matches(&self, wanted: &DriveMatch) -> bool {
        // UUIDs are hexadecimal numbers: `b4c4-f001` is `B4C4-F001`.
        let uuid = |wanted: &String, own: &Option<String>| {
            own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(wanted))
        };
        let same = |wanted: &String, own: &Option<String>| own.as_ref() == Some(wanted);
        // An encrypted drive is known by what is in it and by what it is in: a profile may name either.
        let any = |is_so: &dyn Fn(&Self) -> bool| {
            is_so(self) || self.container.as_deref().is_some_and(is_so)
        };
        let checks = [
            wanted.uuid.as_ref().map(|w| any(&|device| uuid(w, &device.uuid))),
            wanted.label.as_ref().map(|w| any(&|device| same(w, &device.label))),
            wanted.partuuid.as_ref().map(|w| any(&|device| uuid(w, &device.partuuid))),
            wanted.partlabel.as_ref().map(|w| any(&|device| same(w, &device.partlabel))),
            wanted
                .serial
                .as_ref()
                .map(|w| any(&|device| same(w, &device.serial) || same(w, &device.serial_long))),
        ];
        checks.iter().any(Option::is_some) && checks.iter().flatten().all(|ok| *ok)
    }

    /// What to call it in front of people: the label, else the node; safe to show.
    pub fn name(&self) -> String {
        let label = self.label.as_deref().filter(|l| !l.trim().is_empty());
        crate::text::sanitize::line(&label.map_or_else(|| self.node.to_string_lossy(), Into::into))
    }
}

/// The size in bytes as the kernel tells it, with or without udev. It counts in units of 512 bytes whatever the
/// disk's sectors are, and knows whole disks as well as partitions.
fn kernel_size(device: &udev::Device) -> Option<u64> {
    let sectors = device.attribute_value("size")?.to_str()?.trim().parse::<u64>().ok()?;
    sectors.checked_mul(512).filter(|bytes| *bytes > 0)
}

/// The encrypted device that the device mapper's `devnum` is the open content of.
fn container((major, minor): (u32, u32)) -> Option<Device> {
    let slaves = format!("/sys/dev/block/{major}:{minor}/slaves");
    let slave = std::fs::read_dir(slaves).ok()?.next()?.ok()?;
    let number = std::fs::read_to_string(slave.path().join("dev")).ok()?;
    let (major, minor) = number.trim().split_once(':')?;
    let number = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
    let device = udev::Device::from_devnum(udev::DeviceType::Block, number).ok()?;
    // What is encrypted twice is not looked into further.
    let device = Device { container: None, ..Device::from_udev(&device) };
    device.is_luks().then_some(device)
}

/// The block devices with file systems, or encrypted, that are there now, as udev knows them; where no udev runs, as
/// `blkid` reads them from the devices.
pub fn present() -> io::Result<Vec<Device>> {
    let mut search = udev::Enumerator::new()?;
    search.match_subsystem("block")?;
    let udev_runs = crate::drive::udev::udev_runs();
    let device = |device: udev::Device| {
        if udev_runs && is_current(&device) {
            return Some(Device::from_udev(&device));
        }
        let size = device.attribute_value("size").and_then(OsStr::to_str)?;
        // A loop device without a file has no size, and nothing to be asked.
        if size.trim() == "0" { None } else { Device::from_node(device.devnode()?).ok() }
    };
    let usable = |device: &Device| device.has_file_system() || device.is_luks();
    Ok(search.scan_devices()?.filter_map(device).filter(usable).collect())
}

/// Whether udev's record is of the medium that is there now. A record outlives the udevd that made it;
/// until the next event it may tell of a medium that is gone, and its label would lead a backup to the
/// wrong drive.
fn is_current(device: &udev::Device) -> bool {
    let disk = match device.parent_with_subsystem_devtype("block", "disk") {
        Ok(Some(disk)) => disk,
        _ => device.clone(),
    };
    let text =
        |value: Option<&OsStr>| value.and_then(OsStr::to_str).map(str::trim).map(str::to_owned);
    let links = text(disk.property_value("DEVLINKS")).unwrap_or_default();
    let now = text(disk.attribute_value("diskseq"));
    device.is_initialized() && is_of_medium(&links, now.as_deref())
}

/// Whether a record with these links is of medium number `now`. The kernel counts media (since Linux
/// 5.15), and udev's rules make a link of the count (since systemd 249); without either nothing is known.
fn is_of_medium(links: &str, now: Option<&str>) -> bool {
    let mut links = links.split_ascii_whitespace();
    let then = links.find_map(|link| link.strip_prefix("/dev/disk/by-diskseq/"));
    match (then, now) {
        (Some(then), Some(now)) => then == now,
        _ => true,
    }
}

/// UUID of the file system on the block device with this number, where udev knows it.
pub fn uuid_of(devnum: u64) -> Option<String> {
    let device = udev::Device::from_devnum(udev::DeviceType::Block, devnum).ok()?;
    if crate::drive::udev::udev_runs() && is_current(&device) {
        Device::from_udev(&device).uuid
    } else {
        None
    }
}

/// What `blkid` finds on the device at `node`, as udev's properties; nothing if it finds nothing.
fn probe(node: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let ask =
        |program: &str| Command::new(program).args(["-p", "-o", "udev", "--"]).arg(node).output();
    // A user's search path often lacks the folder for system programs.
    let output = match ask("blkid") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => ask("/usr/sbin/blkid"),
        other => other,
    }?;
    // 2 is "nothing found"; everything else is said in words on standard error.
    if !output.status.success() && output.status.code() != Some(2) {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!(
            "blkid: {}",
            crate::text::sanitize::line(said.trim())
        )));
    }
    Ok(output
        .stdout
        .split(|&b| b == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|&b| b == b'=')?;
            Some((line.get(..at)?.to_vec(), line.get(at + 1..)?.to_vec()))
        })
        .collect())
}

/// Undoes udev's `\xNN`, once, from left to right. Bytes that are not UTF-8 keep that spelling, so
/// that a profile can name them.
fn decode(value: &OsStr) -> String {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if let (b'\\', [b'x', high, low, tail @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            bytes.push(high * 16 + low);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _infallible = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(properties: &[(&str, &str)]) -> Device {
        Device::from_properties(|name| {
            properties.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).into())
        })
    }

    #[test]
    fn a_device_that_the_kernel_dropped_is_gone() {
        assert!(!device(&[("DEVPATH", "/devices")]).is_gone());
        assert!(device(&[("DEVPATH", "/devices/that/was/pulled")]).is_gone());
        let opened = Device {
            container: Some(Box::new(device(&[("DEVPATH", "/devices/that/was/pulled")]))),
            ..device(&[("DEVPATH", "/devices")])
        };
        assert!(opened.is_gone());
    }

    #[test]
    fn labels_are_decoded_and_nothing_is_lost() {
        let d = device(&[
            ("ID_FS_LABEL", "My_Dïsk/1"),
            ("ID_FS_LABEL_ENC", "My\\x20Dïsk\\x2f1"),
            ("ID_PART_ENTRY_NAME", "Basic\\x20data"),
        ]);
        assert_eq!(d.label.as_deref(), Some("My Dïsk/1"));
        assert_eq!(d.partlabel.as_deref(), Some("Basic data"));
        for (encoded, decoded) in [
            ("caf\\xe9", "caf\\xe9"),
            ("F\\xc3\\xbc\\xc3\\x9fe", "Füße"),
            ("a\\x5cx20b", "a\\x20b"),
            ("\\x", "\\x"),
            ("\\x4", "\\x4"),
            ("\\xzz", "\\xzz"),
        ] {
            let label = device(&[("ID_FS_LABEL_ENC", encoded)]).label;
            assert_eq!(label.as_deref(), Some(decoded));
        }
        assert_eq!(device(&[("ID_FS_LABEL", "A")]).label.as_deref(), Some("A"), "fallback");
    }

    #[test]
    fn an_open_encrypted_drive_is_known_by_what_is_in_it_and_by_what_it_is_in() {
        let container = device(&[
            ("ID_FS_LABEL_ENC", "VAULT"),
            ("ID_FS_USAGE", "crypto"),
            ("ID_FS_TYPE", "crypto_LUKS"),
            ("ID_SERIAL_SHORT", "SER1"),
        ]);
        assert!(container.is_luks() && !container.has_file_system());
        let inside = device(&[("ID_FS_LABEL_ENC", "SECRET"), ("ID_FS_USAGE", "filesystem")]);
        let open = Device { container: Some(Box::new(container)), ..inside };
        let wanted = |label: &str, serial: Option<&str>| DriveMatch {
            label: Some(label.to_owned()),
            serial: serial.map(str::to_owned),
            ..DriveMatch::default()
        };
        assert!(open.matches(&wanted("SECRET", None)));
        assert!(open.matches(&wanted("VAULT", None)));
        assert!(open.matches(&wanted("SECRET", Some("SER1"))));
        assert!(!open.matches(&wanted("SECRET", Some("SER2"))));
        assert!(!open.matches(&wanted("OTHER", None)));
    }

    #[test]
    fn every_field_that_is_given_must_match() {
        let d = device(&[
            ("ID_FS_UUID", "B4C4-F001"),
            ("ID_FS_LABEL_ENC", "PHOTOS"),
            ("ID_SERIAL", "QEMU_HARDDISK_SER1"),
            ("ID_SERIAL_SHORT", "SER1"),
            ("ID_PART_ENTRY_UUID", "be000001-01"),
        ]);
        let some = |s: &str| Some(s.to_owned());
        let nothing = DriveMatch::default();
        assert!(!d.matches(&nothing), "no rule must not mean every drive");
        let wanted = |f: &dyn Fn(&mut DriveMatch)| {
            let mut w = DriveMatch::default();
            f(&mut w);
            d.matches(&w)
        };
        assert!(wanted(&|w| w.uuid = some("b4c4-f001")));
        assert!(wanted(&|w| w.partuuid = some("BE000001-01")));
        assert!(wanted(&|w| w.label = some("PHOTOS")));
        assert!(!wanted(&|w| w.label = some("photos")), "labels differ in case");
        assert!(wanted(&|w| w.serial = some("SER1")));
        assert!(wanted(&|w| w.serial = some("QEMU_HARDDISK_SER1")));
        assert!(!wanted(&|w| w.partlabel = some("first")), "it has none");
        assert!(!wanted(&|w| {
            w.label = some("PHOTOS");
            w.uuid = some("other");
        }));
    }

    #[test]
    fn a_node_that_is_none_is_named() {
        let missing = Device::from_node(Path::new("/dev/no-such-drive")).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "/dev/no-such-drive: no such device (is the drive plugged in?)"
        );
        let wrong = Device::from_node(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(wrong, DeviceError::NotBlock(_)));
    }

    #[test]
    fn a_name_is_safe_to_show() {
        let hostile = device(&[("ID_FS_LABEL_ENC", "A\\x1b[2J"), ("DEVNAME", "/dev/sda1")]);
        assert_eq!(hostile.name(), "A\\u{1b}[2J");
        assert_eq!(
            device(&[("ID_FS_LABEL_ENC", "\\x20"), ("DEVNAME", "/dev/sda1")]).name(),
            "/dev/sda1"
        );
    }

    #[test]
    fn a_record_of_a_medium_that_is_gone_is_not_believed() {
        let links = "/dev/disk/by-label/A /dev/disk/by-diskseq/18 /dev/disk/by-uuid/B4C4-F001";
        assert!(is_of_medium(links, Some("18")));
        assert!(!is_of_medium(links, Some("19")));
        assert!(is_of_medium(links, None), "a kernel that does not count");
        assert!(is_of_medium("/dev/disk/by-label/A", Some("19")), "a udev that makes no link");
    }
}
