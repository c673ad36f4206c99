//! A drive for tests: an image with a file system, attached as a loop device.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::run;

/// An image that can be attached and detached; detached at the end.
pub(crate) struct Drive {
    image: PathBuf,
    pub(crate) node: Option<PathBuf>,
    mounted_at: Option<PathBuf>,
}

impl Drive {
    /// Makes an ext4 image in `folder`, labelled `label`; not attached yet.
    pub(crate) fn ext4(folder: &Path, label: &str) -> Self {
        Self::made_by(Command::new("mkfs.ext4").args(["-q", "-F", "-L", label]), folder)
    }

    /// The same with btrfs.
    pub(crate) fn btrfs(folder: &Path, label: &str) -> Self {
        Self::made_by(Command::new("mkfs.btrfs").args(["-q", "-L", label]), folder)
    }

    fn made_by(mkfs: &mut Command, folder: &Path) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let image = folder.join(format!("{}.img", MADE.fetch_add(1, Ordering::Relaxed)));
        // The smallest that mkfs.btrfs takes is 109 MiB; what is not written takes no space.
        File::create(&image).unwrap().set_len(128 << 20).unwrap();
        run(mkfs.arg(&image));
        Self { image, node: None, mounted_at: None }
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
        self.detach();
    }
}
