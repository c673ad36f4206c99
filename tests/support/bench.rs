//! A backup to a drive without hard links: exFAT through FUSE on an image, or a plain folder that refuses
//! them where the drive's names do not matter.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bkm_agent::backup::report::RunReport;
use bkm_agent::model::relpath::RelPath;
use bkm_agent::repository::catalog::document::CatalogEntry;
use bkm_agent::repository::catalog::file::read_catalog;
use bkm_agent::repository::versioning::Keeping;
use bkm_agent::source::rules::RawRules;

use super::edits::delete;
use super::loop_drive::LoopDrive;
use super::needs::skipped;
use super::world::World;

/// A world with the drive that it is on.
pub(crate) struct Bench {
    pub(crate) world: World,
    drive: Option<LoopDrive>,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// On a plain folder that refuses links.
    pub(crate) fn plain(rules: RawRules) -> Self {
        let (folder, source) = Self::folder();
        let drive = folder.path().join("drive");
        fs::create_dir(&drive).unwrap();
        let world = World::new(&source, &drive, rules).without_links();
        Self { world, drive: None, _folder: folder }
    }

    /// On a drive with the file system `fs`; `None` with the reason printed where it cannot be had.
    pub(crate) fn on(fs: &str, rules: RawRules) -> Option<Self> {
        let drive = match LoopDrive::new(fs, 128) {
            Ok(drive) => drive,
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        let (folder, source) = Self::folder();
        let world = World::new(&source, drive.point(), rules);
        Some(Self { world, drive: Some(drive), _folder: folder })
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = super::scratch();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        (folder, source)
    }

    /// A run that must succeed with all its checks, and the drive taken out and put in again. Returns the
    /// report.
    #[track_caller]
    pub(crate) fn back_up(&mut self) -> RunReport {
        let report = self.world.back_up();
        self.remount();
        report
    }

    pub(crate) fn remount(&mut self) {
        if let Some(drive) = &mut self.drive {
            drive.remount();
        }
    }

    /// The same; returns the name of the increment that it made.
    #[track_caller]
    pub(crate) fn increment(&mut self) -> String {
        self.back_up().increment.unwrap()
    }

    pub(crate) fn source(&self, path: impl AsRef<Path>) -> PathBuf {
        self.world.source.join(path)
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        self.world.write(path, content);
    }

    pub(crate) fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        self.world.rename(from, to);
    }

    pub(crate) fn delete(&self, path: impl AsRef<Path>) {
        delete(&self.source(path));
    }

    /// A path in the repository.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.world.repository().join(path)
    }

    /// What a file of the repository holds; `None` if it is not there.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.at(path)).ok()
    }

    /// Whether the drive is a folder of this computer, where inodes mean something.
    pub(crate) fn is_plain(&self) -> bool {
        self.drive.is_none()
    }

    pub(crate) fn inode(&self, path: impl AsRef<Path>) -> u64 {
        fs::metadata(self.at(path)).unwrap().ino()
    }

    /// What an increment's catalog says of a path.
    pub(crate) fn entry(&self, increment: &str, path: impl AsRef<[u8]>) -> Option<CatalogEntry> {
        let path = RelPath::new(path.as_ref()).unwrap();
        read_catalog(&self.world.tree(), increment).unwrap().file_catalog.get(&path).cloned()
    }

    /// Where a path lies in the mirror.
    pub(crate) fn place(&self, path: impl AsRef<[u8]>) -> String {
        let path = RelPath::new(path.as_ref()).unwrap();
        self.world.index().place(&path).as_path().to_str().unwrap().to_owned()
    }

    /// Every file of mirror and increments but the catalogs: what holds content.
    pub(crate) fn contents(&self) -> Vec<PathBuf> {
        let files = walkdir::WalkDir::new(self.world.repository()).into_iter();
        let files = files.filter_map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(self.world.repository()).unwrap();
            let depth_1 = path.components().count() < 2;
            let ours = path.starts_with(".bkm") || path.starts_with("browse") || depth_1;
            let catalog = path.extension().is_some_and(|e| e == "json")
                && path.to_string_lossy().starts_with("backup_")
                && path.components().count() == 2;
            (entry.file_type().is_file() && !ours && !catalog).then(|| path.to_owned())
        });
        files.collect()
    }

    pub(crate) fn is_displacing(&self) -> bool {
        self.world.keeping() == Keeping::Displace
    }
}
