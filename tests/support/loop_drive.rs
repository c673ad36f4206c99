//! A real file system for tests: an image file, attached as a loop device and mounted. FAT, exFAT and NTFS
//! through FUSE, since not every kernel has them.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::needs::skipped;
use super::udevd;

/// An image that is attached and mounted as long as this lives.
pub(crate) struct LoopDrive {
    image: PathBuf,
    point: PathBuf,
    fs: String,
    node: Option<String>,
    mounted: bool,
    /// A FUSE driver that runs as long as the drive is mounted.
    driver: Option<Child>,
    _folder: Option<tempfile::TempDir>,
    /// An agent of another test would see the drive.
    _beside: Option<File>,
}

/// The kernel's side of FUSE is to remember no names: where "A" is "a", it would see for a second what has left under
/// the other name. The kernel's own drivers, which people's drives have, do not.
const FORGET: &str = "entry_timeout=0,attr_timeout=0,negative_timeout=0";

impl LoopDrive {
    /// Makes a drive with the file system `fs`, or says why that cannot be done here.
    pub(crate) fn new(fs: &str, megabytes: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("loop devices need root".to_owned());
        }
        let folder = super::scratch();
        let image = folder.path().join("image");
        File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let mut mkfs = Command::new(format!("mkfs.{}", fs.trim_end_matches("-nocase")));
        match fs {
            "exfat" => mkfs.args(["-L", "TESTS"]),
            "vfat" => mkfs.args(["-F", "32", "-n", "TESTS"]),
            "ntfs" | "ntfs-nocase" => mkfs.args(["-F", "-Q", "-q", "-L", "TESTS"]),
            "ext4" => mkfs.args(["-q", "-F", "-L", "TESTS"]),
            "xfs" => mkfs.args(["-q", "-f", "-L", "TESTS"]),
            _ => mkfs.args(["-q", "-f", "-L", "TESTS", "-m", "single"]),
        };
        match mkfs.arg(&image).output() {
            Err(_) => return Err(format!("mkfs.{fs} is missing")),
            Ok(made) => assert!(
                made.status.success(),
                "mkfs.{fs}: {}",
                String::from_utf8_lossy(&made.stderr)
            ),
        }
        let point = folder.path().join("mount");
        std::fs::create_dir(&point).unwrap();
        Self::attach(image, point, fs, Some(folder))
    }

    /// Makes an exFAT drive and mounts it at `point`, its image beside it; `None` with the reason printed.
    pub(crate) fn exfat_at(point: &Path, megabytes: u64) -> Option<Self> {
        let image = point.with_extension("image");
        File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        if Command::new("mkfs.exfat").arg(&image).output().is_err() {
            skipped("needs mkfs.exfat");
            return None;
        }
        Self::of_image(&image, point, "exfat").map_err(skipped).ok()
    }

    /// Attaches and mounts an image that is there already, at `point`.
    pub(crate) fn of_image(image: &Path, point: &Path, fs: &str) -> Result<Self, String> {
        std::fs::create_dir_all(point).unwrap();
        Self::attach(image.to_owned(), point.to_owned(), fs, None)
    }

    fn attach(
        image: PathBuf,
        point: PathBuf,
        fs: &str,
        folder: Option<tempfile::TempDir>,
    ) -> Result<Self, String> {
        let mut drive = Self {
            image,
            point,
            fs: fs.to_owned(),
            node: None,
            mounted: false,
            driver: None,
            _folder: folder,
            _beside: udevd::beside().map_err(|error| error.to_string())?,
        };
        let attached =
            Command::new("losetup").args(["--find", "--show"]).arg(&drive.image).output();
        match attached {
            Ok(attached) if attached.status.success() => {
                drive.node = Some(String::from_utf8_lossy(&attached.stdout).trim().to_owned());
            }
            _ => return Err("no loop device can be attached".to_owned()),
        }
        drive.try_mount()?;
        Ok(drive)
    }

    /// Mounts it at its point, where it is not mounted.
    pub(crate) fn mount(&mut self) {
        self.try_mount().unwrap();
    }

    fn try_mount(&mut self) -> Result<(), String> {
        let node = self.node.as_deref().unwrap();
        let (driver, arguments): (&str, &[&str]) = match self.fs.as_str() {
            "exfat" => ("mount.exfat-fuse", &["-o", FORGET]),
            "ntfs" => ("ntfs-3g", &[]),
            "ntfs-nocase" => ("lowntfs-3g", &["-o", "ignore_case", "-o", FORGET]),
            "vfat" => ("fusefat", &["-f", "-s", "-o", "rw+"]),
            fs => {
                // A copy of an image has its UUID, and the mount of the other may take a moment to go.
                let options = (fs == "xfs").then_some(c"nouuid");
                mount(node, &self.point, fs, MountFlags::empty(), options).unwrap();
                self.mounted = true;
                return Ok(());
            }
        };
        let mut driver = Command::new(driver);
        driver.args(arguments).arg(node).arg(&self.point).env("LC_ALL", "C.UTF-8");
        driver.stdout(Stdio::null()).stderr(Stdio::null());
        let started = driver.spawn();
        let mut driver = started.map_err(|_| format!("no driver for {} is here", self.fs))?;
        while !self.is_mounted() {
            if driver.try_wait().unwrap().is_some_and(|ended| !ended.success()) {
                return Err(format!("{} cannot be mounted here (no /dev/fuse?)", self.fs));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.driver = Some(driver);
        self.mounted = true;
        Ok(())
    }

    fn is_mounted(&self) -> bool {
        let outside = std::fs::metadata(self.point.parent().unwrap()).unwrap().dev();
        std::fs::metadata(&self.point).is_ok_and(|inside| inside.dev() != outside)
    }

    /// Unmounts and mounts again, so that nothing is answered from memory.
    pub(crate) fn remount(&mut self) {
        self.unmount();
        self.mount();
    }

    /// Takes it away from its point, which is an empty folder then.
    pub(crate) fn unmount(&mut self) {
        let unmounted = self.wait_until_unmounted(Duration::from_secs(10));
        assert_eq!(unmounted, Ok(()), "cannot unmount");
        self.mounted = false;
        // A FUSE driver writes until it ends.
        if let Some(mut driver) = self.driver.take() {
            driver.wait().unwrap();
        }
    }

    /// A program that another test is just starting holds a copy of every open file until it runs.
    fn wait_until_unmounted(&self, most: Duration) -> rustix::io::Result<()> {
        let until = Instant::now() + most;
        loop {
            match unmount(&self.point, UnmountFlags::empty()) {
                Err(Errno::BUSY) if Instant::now() < until => {}
                other => return other,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> &Path {
        &self.point
    }

    /// The image file.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }
}

impl Drop for LoopDrive {
    fn drop(&mut self) {
        // Detached while it is in use, its driver would write to the image later, when that may be another drive's.
        if self.mounted && self.wait_until_unmounted(Duration::from_secs(2)).is_err() {
            let _gone = unmount(&self.point, UnmountFlags::DETACH);
        }
        if let Some(mut driver) = self.driver.take() {
            let _ended = driver.wait();
        }
        if let Some(node) = &self.node {
            let _status = Command::new("losetup").arg("-d").arg(node).status();
        }
    }
}
