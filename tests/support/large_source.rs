//! A source whose backup takes long enough to do something in the middle of it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::agent::Agent;
use super::drive::Drive;
use super::process::{run, wait_for};

/// A file of `size` bytes of real content that takes next to no room: on btrfs, clones of one piece.
fn expensive_file(path: &Path, size: u64) {
    const PIECE: u64 = 16 << 20;
    let mut noise = blake3::Hasher::new().update(b"bkm").finalize_xof();
    let mut piece = vec![0; 1 << 20];
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    for at in (0..PIECE).step_by(1 << 20) {
        noise.fill(&mut piece);
        file.write_all_at(&piece, at).unwrap();
    }
    file.sync_all().unwrap();
    let mut len = PIECE;
    while len < size {
        let step = usize::try_from(len.min(size - len)).unwrap();
        let (mut from, mut to) = (0, len);
        let cloned =
            rustix::fs::copy_file_range(&file, Some(&mut from), &file, Some(&mut to), step);
        len += cloned.unwrap() as u64;
    }
    // What is a hole would be skipped.
    let meta = file.metadata().unwrap();
    assert!(meta.len() == size && meta.blocks() * 512 >= size, "{meta:?}");
}

const LARGE: u64 = 50 << 30;
/// Small enough for a test to copy it whole.
const SHRUNK: u64 = 150 << 20;

/// A source with a small and a large file, and a drive with room for both.
pub(crate) struct LargeSource {
    pub(crate) folder: PathBuf,
    file: PathBuf,
    pub(crate) drive: Drive,
    _disk: Drive,
}

impl LargeSource {
    /// Makes both, and the profile `docs` for the drive, labelled `label`, in `dir`.
    pub(crate) fn new(dir: &Path, label: &str) -> Self {
        let mut disk = Drive::btrfs(dir, "SOURCEDISK");
        disk.attach();
        let folder = dir.join("disk");
        disk.mount(&folder);
        fs::write(folder.join("a.txt"), "small").unwrap();
        let file = folder.join("large.bin");
        expensive_file(&file, LARGE);
        Agent::own_profile(
            dir,
            "docs",
            &json!({ "drive": { "label": label }, "src": folder, "dist": "B" }),
        );
        let drive = Drive::ext4_of(dir, label, LARGE + (8 << 30));
        Self { folder, file, drive, _disk: disk }
    }

    /// Plugs the drive in and waits until the large file is being copied.
    pub(crate) fn plug_in(&mut self, agent: &Agent) -> PathBuf {
        let node = self.drive.attach();
        agent.wait_logged(&["running"]);
        let before = self.drive.written();
        wait_for("the file to be on its way", || {
            (self.drive.written() > before + (200 << 20)).then_some(())
        });
        node
    }

    /// Makes the large file one that can be copied whole in a moment.
    pub(crate) fn shrink(&self) {
        let file = File::options().write(true).open(&self.file).unwrap();
        file.set_len(SHRUNK).unwrap();
    }

    /// The drive holds both files as they are.
    pub(crate) fn check_backup(&mut self, point: &Path) {
        let node = self.drive.node.clone().unwrap();
        self.drive.mount(point);
        for name in ["a.txt", "large.bin"] {
            let mut cmp = Command::new("cmp");
            cmp.arg(self.folder.join(name));
            run(cmp.arg(point.join("B/mirror").join(name)));
        }
        let staged = fs::read_dir(point.join("B/.bkm/stage")).map_or(0, Iterator::count);
        assert_eq!(staged, 0, "nothing is left of what was under way");
        self.drive.unmount();
        run(Command::new("e2fsck").args(["-f", "-n"]).arg(node));
    }
}
