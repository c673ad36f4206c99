//! USB drives: their images, made outside the guest, with partitions or without.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::host::run;

const MIB: u64 = 1 << 20;

/// What lies on a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fs {
    Ext4,
    Vfat,
    Exfat,
    Ntfs,
    Btrfs,
    /// Nothing yet.
    Empty,
}

/// One partition, or the whole of a drive without partitions.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) fs: Fs,
    pub(crate) label: String,
    /// In MiB.
    start: u64,
    /// In MiB.
    size: u64,
}

/// An image that can be plugged in.
#[derive(Debug, Clone)]
pub(crate) struct Drive {
    /// Its name in the machine, and its serial number.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) parts: Vec<Part>,
}

/// Whose a new file system is, where it has owners.
const ALICE: &str = "1000:1000";

impl Drive {
    /// A drive with one partition that alice owns.
    pub(crate) fn new(folder: &Path, name: &str, fs: Fs, label: &str) -> Self {
        Self::partitioned(folder, name, &[(fs, label)])
    }

    /// A drive with these partitions.
    pub(crate) fn partitioned(folder: &Path, name: &str, parts: &[(Fs, &str)]) -> Self {
        let mut start = 1;
        let parts: Vec<Part> = parts
            .iter()
            .map(|&(fs, label)| {
                let part = Part { fs, label: label.to_owned(), start, size: size(fs) };
                start += part.size;
                part
            })
            .collect();
        let drive = Self { name: name.to_owned(), file: folder.join(format!("{name}.img")), parts };
        let disk = File::create(&drive.file).unwrap();
        disk.set_len((start + 1) * MIB).unwrap();
        disk.write_all_at(&boot_record(name, &drive.parts), 0).unwrap();
        for part in &drive.parts {
            let scratch = folder.join(format!("{name}.part"));
            make(&scratch, part, ALICE);
            drive.put(part, &scratch);
            fs::remove_file(scratch).unwrap();
        }
        drive
    }

    /// A drive without a partition table.
    pub(crate) fn bare(folder: &Path, name: &str, fs: Fs, label: &str) -> Self {
        let part = Part { fs, label: label.to_owned(), start: 0, size: size(fs) };
        let file = folder.join(format!("{name}.img"));
        make(&file, &part, ALICE);
        Self { name: name.to_owned(), file, parts: vec![part] }
    }

    /// A drive whose file system a root made and did not give away.
    pub(crate) fn of_root(folder: &Path, name: &str, label: &str) -> Self {
        let part = Part { fs: Fs::Ext4, label: label.to_owned(), start: 0, size: size(Fs::Ext4) };
        let file = folder.join(format!("{name}.img"));
        make(&file, &part, "0:0");
        Self { name: name.to_owned(), file, parts: vec![part] }
    }

    /// Another drive with the same bytes.
    pub(crate) fn copy(&self, folder: &Path, name: &str) -> Self {
        let file = folder.join(format!("{name}.img"));
        run("cp", [Path::new("--sparse=always"), &self.file, &file]);
        Self { name: name.to_owned(), file, parts: self.parts.clone() }
    }

    /// Copies a partition's content out, to look at it.
    pub(crate) fn take(&self, part: &Part, to: &Path) {
        run(
            "dd",
            [
                format!("if={}", self.file.display()),
                format!("of={}", to.display()),
                format!("skip={}", part.start),
                format!("count={}", part.size),
                "bs=1M".to_owned(),
                "conv=sparse".to_owned(),
                "status=none".to_owned(),
            ],
        );
        let file = OpenOptions::new().write(true).open(to).unwrap();
        file.set_len(part.size * MIB).unwrap();
    }

    fn put(&self, part: &Part, from: &Path) {
        run(
            "dd",
            [
                format!("if={}", from.display()),
                format!("of={}", self.file.display()),
                format!("seek={}", part.start),
                "bs=1M".to_owned(),
                "conv=sparse,notrunc".to_owned(),
                "status=none".to_owned(),
            ],
        );
    }
}

/// In MiB; btrfs needs most.
fn size(fs: Fs) -> u64 {
    if fs == Fs::Btrfs { 256 } else { 160 }
}

fn make(file: &Path, part: &Part, owner: &str) {
    File::create(file).unwrap().set_len(part.size * MIB).unwrap();
    let path = file.to_str().unwrap();
    let label = part.label.as_str();
    match part.fs {
        Fs::Ext4 => {
            let owner = format!("root_owner={owner}");
            run("mkfs.ext4", ["-q", "-L", label, "-E", &owner, path]);
        }
        Fs::Vfat => {
            run("mkfs.vfat", ["-F", "32", "-n", label, path]);
        }
        Fs::Exfat => {
            run("mkfs.exfat", ["-L", label, path]);
        }
        Fs::Ntfs => {
            run("mkfs.ntfs", ["-F", "-Q", "-q", "-L", label, path]);
        }
        Fs::Btrfs => {
            run("mkfs.btrfs", ["-q", "-L", label, path]);
            let point = tempfile::tempdir().unwrap();
            run("mount", [Path::new("-oloop"), file, point.path()]);
            run("chown", [Path::new(owner), point.path()]);
            run("umount", [point.path()]);
        }
        Fs::Empty => {}
    }
}

/// A master boot record. Written by hand: loop devices show no partitions on every kernel, so that the
/// tools which would write it could not be used for more anyway.
fn boot_record(name: &str, parts: &[Part]) -> [u8; 512] {
    let mut record = [0; 512];
    // The disk's identity, of which the partitions' is made.
    record[440..444].copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..4]);
    for (at, part) in parts.iter().enumerate() {
        let kind = match part.fs {
            Fs::Vfat => 0x0c,
            Fs::Exfat | Fs::Ntfs => 0x07,
            Fs::Ext4 | Fs::Btrfs | Fs::Empty => 0x83,
        };
        let sectors = |mib: u64| u32::try_from(mib * MIB / 512).unwrap().to_le_bytes();
        let entry = &mut record[446 + 16 * at..462 + 16 * at];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&sectors(part.start));
        entry[12..16].copy_from_slice(&sectors(part.size));
    }
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}
