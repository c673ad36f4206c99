//! A drive for tests: an image with a file system, attached as a loop device.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::run;

/// The smallest that mkfs.btrfs takes is 109 MiB; what is not written takes no space.
pub(crate) const SIZE: u64 = 128 << 20;

/// An image that can be attached and detached; detached at the end.
pub(crate) struct Drive {
    image: PathBuf,
    pub(crate) node: Option<PathBuf>,
    mounted_at: Option<PathBuf>,
}

impl Drive {
    /// Makes an ext4 image in `folder`, labelled `label`; not attached yet.
    pub(crate) fn ext4(folder: &Path, label: &str) -> Self {
        Self::ext4_of(folder, label, SIZE)
    }

    /// The same with `size` bytes.
    pub(crate) fn ext4_of(folder: &Path, label: &str, size: u64) -> Self {
        Self::ext4_for(folder, label, size, 2048)
    }

    /// The same with room for this number of files.
    pub(crate) fn ext4_for(folder: &Path, label: &str, size: u64, files: u32) -> Self {
        // Nothing is left to be written later by the kernel: what is written then is ours.
        let whole = "lazy_itable_init=0,lazy_journal_init=0";
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-F", "-E", whole, "-N", &files.to_string(), "-L", label]);
        Self::made_by(&mut mkfs, folder, size)
    }

    /// The same with btrfs.
    pub(crate) fn btrfs(folder: &Path, label: &str) -> Self {
        let mut mkfs = Command::new("mkfs.btrfs");
        Self::made_by(mkfs.args(["-q", "-L", label]), folder, SIZE)
    }

    /// An encrypted one that nobody can open: the beginning of a LUKS header, which is all that udev reads.
    pub(crate) fn luks(folder: &Path, uuid: &str) -> Self {
        let drive = Self::made_by(&mut Command::new("true"), folder, SIZE);
        let mut header = vec![0; 592];
        header[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
        header[168..][..uuid.len()].copy_from_slice(uuid.as_bytes());
        File::options().write(true).open(&drive.image).unwrap().write_all(&header).unwrap();
        drive
    }

    fn made_by(mkfs: &mut Command, folder: &Path, size: u64) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let image = folder.join(format!("{}.img", MADE.fetch_add(1, Ordering::Relaxed)));
        File::create(&image).unwrap().set_len(size).unwrap();
        run(mkfs.arg(&image));
        Self { image, node: None, mounted_at: None }
    }

    /// A drive that is the same, bit by bit.
    pub(crate) fn copy(&self) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let image = self.image.with_extension(format!("copy-{number}"));
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&image));
        Self { image, node: None, mounted_at: None }
    }

    /// Formats it anew, with this UUID if one is given.
    pub(crate) fn format(&self, label: &str, uuid: Option<&str>) {
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-F", "-N", "2048", "-L", label]);
        run(mkfs.args(uuid.into_iter().flat_map(|uuid| ["-U", uuid])).arg(&self.image));
    }

    /// Takes its file system away.
    pub(crate) fn wipe(&self) {
        let image = File::options().write(true).open(&self.image).unwrap();
        image.set_len(0).unwrap();
        image.set_len(SIZE).unwrap();
    }

    /// Gives it another label.
    pub(crate) fn rename(&self, label: &str) {
        run(Command::new("e2label").arg(&self.image).arg(label));
    }

    /// Plugs it in.
    pub(crate) fn attach(&mut self) -> PathBuf {
        let node = run(Command::new("losetup").args(["--find", "--show"]).arg(&self.image));
        self.node = Some(node.clone().into());
        node.into()
    }

    /// Mounts it as a desktop would.
    pub(crate) fn mount(&mut self, point: &Path) {
        std::fs::create_dir_all(point).unwrap();
        run(Command::new("mount").arg(self.node.as_ref().unwrap()).arg(point));
        self.mounted_at = Some(point.to_owned());
    }

    /// Ejects it as a desktop would.
    pub(crate) fn unmount(&mut self) {
        if let Some(point) = self.mounted_at.take() {
            run(Command::new("umount").arg(point));
        }
    }

    /// UUID of its file system.
    pub(crate) fn uuid(&self) -> String {
        let mut blkid = Command::new("blkid");
        run(blkid.args(["-o", "value", "-s", "UUID", "-p"]).arg(&self.image))
    }

    /// A hash of every byte of it.
    pub(crate) fn image_hash(&self) -> String {
        run(Command::new("sha256sum").arg(&self.image))
    }

    /// Bytes that were written to the device so far.
    pub(crate) fn written(&self) -> u64 {
        let name = self.node.as_ref().unwrap().file_name().unwrap();
        let stat = Path::new("/sys/block").join(name).join("stat");
        let stat = std::fs::read_to_string(stat).unwrap();
        let sectors: u64 = stat.split_whitespace().nth(6).unwrap().parse().unwrap();
        sectors * 512
    }

    /// Pulls it.
    pub(crate) fn detach(&mut self) {
        if let Some(point) = self.mounted_at.take() {
            let _status =
                Command::new("umount").arg("-l").arg(point).stderr(Stdio::null()).status();
        }
        if let Some(node) = self.node.take() {
            let _status = Command::new("losetup").arg("-d").arg(node).status();
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        // A test that failed may leave a mount that the agent made.
        if let Some(node) = &self.node {
            let _status = Command::new("umount")
                .args(["-q", "-l", "-A"])
                .arg(node)
                .stderr(Stdio::null())
                .status();
        }
        self.detach();
    }
}
