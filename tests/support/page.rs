//! A backup whose page is looked at, on each kind of drive.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::browser::Browser;
use super::loop_drive::LoopDrive;
use super::needs::skipped_part;
use super::profile;
use super::snapshot::Snapshot;
use super::world::World;
use crate::support;

/// A source with its backup, and what it was at each point in time.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) states: Vec<Snapshot>,
    pub(crate) drive: Option<LoopDrive>,
    pub(crate) _folder: tempfile::TempDir,
}

/// Where a backup can lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Drive {
    Linking,
    Refusing,
    ExFat,
}

pub(crate) const DRIVES: [Drive; 3] = [Drive::Linking, Drive::Refusing, Drive::ExFat];

impl Scene {
    pub(crate) fn new(on: Drive) -> Option<Self> {
        let folder = support::scratch();
        let (source, place) = (folder.path().join("source"), folder.path().join("drive"));
        fs::create_dir(&source).unwrap();
        fs::create_dir(&place).unwrap();
        let drive = match on {
            Drive::Linking | Drive::Refusing => None,
            Drive::ExFat => match LoopDrive::new("exfat", 128) {
                Ok(drive) => Some(drive),
                Err(why) => {
                    skipped_part(format_args!("exFAT: {why}"));
                    return None;
                }
            },
        };
        let at = drive.as_ref().map_or(place.as_path(), LoopDrive::point);
        let mut world = World::new(&source, at, profile::all_tracked());
        if on == Drive::Refusing {
            world = world.without_links();
        }
        Some(Self { world, states: Vec::new(), drive, _folder: folder })
    }

    pub(crate) fn source(&self, path: impl AsRef<Path>) -> PathBuf {
        self.world.source.join(path)
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, content: &str) {
        self.world.write(path, content);
    }

    /// A run with all its checks; what the source was is remembered if it made an increment.
    pub(crate) fn back_up(&mut self) {
        let report = self.world.back_up();
        assert_eq!(report.warnings, [""; 0]);
        if report.increment.is_some() {
            self.states.push(Snapshot::of(&self.world.source));
        }
        if let Some(drive) = &mut self.drive {
            drive.remount();
        }
    }

    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.world.repository().join(path)
    }

    pub(crate) fn open_in(&self, browser: &Browser) {
        open(browser, &self.world.repository());
    }
}

pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file of the page with its content, inode and time.
pub(crate) fn state_of(scene: &Scene) -> Vec<(PathBuf, String, Value)> {
    use std::os::unix::fs::MetadataExt as _;

    let mut paths = vec![scene.at("browse.html")];
    paths.extend(names_in(&scene.at("browse")).iter().map(|name| scene.at("browse").join(name)));
    let state = |path: PathBuf| {
        let about = fs::metadata(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        (path, text, json!([about.ino(), about.mtime(), about.mtime_nsec(), about.mode()]))
    };
    paths.into_iter().map(state).collect()
}

pub(crate) const READY: &str = "performance.getEntriesByName('bkm-ready').length";

pub(crate) fn open(browser: &Browser, repository: &Path) {
    browser.open(&repository.join("browse.html"));
    browser.wait(READY);
}
