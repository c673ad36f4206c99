//! Sources with mounts in them: what is not mounted now is not taken as deleted, and what is mounted over a
//! source is not backed up.

use std::fs;
use std::path::{Path, PathBuf};

use bkm_agent::backup::error::RunError;
use bkm_agent::config::profile::MassChange;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use crate::support::files::write;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::skipped;
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, counts, said, words};
use crate::support::{self, profile};

// ---- mounts

/// Something mounted at a path until this is dropped; `None` with the reason printed.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        Self::made(at, mount("none", at, "tmpfs", MountFlags::NOSUID, None))
    }

    fn bind(from: &Path, at: &Path) -> Option<Self> {
        Self::made(at, mount_bind(from, at))
    }

    fn made(at: &Path, mounted: rustix::io::Result<()>) -> Option<Self> {
        match mounted {
            Ok(()) => Some(Self(at.to_owned())),
            Err(why) => {
                skipped(format_args!("needs the right to mount ({why})"));
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_source_on_a_disk_of_its_own_that_is_not_mounted_deletes_nothing() {
    let mut disk = match LoopDrive::new("ext4", 16) {
        Ok(disk) => disk,
        Err(why) => return skipped(&why),
    };
    let folder = support::scratch();
    let mut world = World::new(disk.point(), folder.path(), profile::all_tracked());
    for number in 0..20 {
        write(world.source.join(format!("d/{number}")), number.to_string());
    }
    world.back_up();
    let before = Snapshot::of(&world.repository());
    disk.unmount();
    let error = world.run(None).unwrap_err();
    assert!(matches!(error, RunError::EmptySource { held: 20, .. }), "{}", words(&error));
    // What lies below the mount point is another thing than what was mounted there.
    write(world.source.join("left-below"), "written while nothing was mounted");
    let limits = MassChange { percent: 50, files: 10 };
    let error = world.run_as(|profile, _| profile.mass_change = limits).unwrap_err();
    assert!(matches!(error, RunError::MassChange { deleted: 20, .. }), "{}", words(&error));
    assert_eq!(before.differences(&Snapshot::of(&world.repository()), true), "");
    disk.mount();
    let report = world.run(None).unwrap();
    assert_eq!((counts(&report), report.unchanged), ([0; 5], 20));
    world.check_points();
}

#[test]
fn a_mount_over_a_folder_of_the_source_is_noted_and_what_was_backed_up_there_stays() {
    let (folder, mut world) = World::fresh();
    let at = world.source.join("disk");
    write(at.join("sub/file"), "below the mount");
    write(world.source.join("other"), "other");
    world.back_up();
    let elsewhere = folder.path().join("elsewhere");
    write(elsewhere.join("strange"), "on the mount");
    // Of another file system, and of the same one.
    for bind in [false, true] {
        let mounted = if bind { Mount::bind(&elsewhere, &at) } else { Mount::tmpfs(&at) };
        let Some(mounted) = mounted else { return };
        let report = world.run(None).unwrap();
        assert_eq!(report.problems, []);
        assert_eq!(
            said(&report.notes),
            ["disk: another file system is mounted here; not entered (one_file_system)"]
        );
        assert_eq!((counts(&report), report.unchanged), ([0; 5], 2));
        assert!(world.mirror().join("disk/sub/file").exists());
        assert!(!world.mirror().join("disk/strange").exists());
        drop(mounted);
    }
    let report = world.back_up();
    assert_eq!((counts(&report), report.notes), ([0; 5], Vec::new()));
}

#[test]
fn a_source_that_holds_the_drive_does_not_back_the_drive_up() {
    let folder = support::scratch();
    let source = folder.path().join("source");
    let stick = source.join("media/stick");
    write(source.join("file"), "content");
    let Some(_mounted) = Mount::tmpfs(&stick) else { return };
    write(stick.join("on-the-stick"), "content");
    let world = World::new(&source, &stick, profile::all_tracked());
    for _ in 0..3 {
        let report = world.run(None).unwrap();
        assert_eq!(report.problems, []);
        let note =
            "media/stick: another file system is mounted here; not entered (one_file_system)";
        assert_eq!(said(&report.notes), [note]);
    }
    assert!(!world.mirror().join("media/stick").exists());
    assert!(world.mirror().join("file").exists());

    // Where mounts are entered, all of the drive but the repository is.
    let enter = || world.run_as(|profile, _| profile.one_file_system = false).unwrap();
    for _ in 0..2 {
        let note = "media/stick/repository: the backup itself lies here; left out";
        assert_eq!(said(&enter().notes), [note]);
    }
    let report = enter();
    assert_eq!((counts(&report), report.problems), ([0; 5], Vec::new()));
    assert!(world.mirror().join("media/stick/on-the-stick").exists());
    assert!(!world.mirror().join("media/stick/repository").exists());
}
