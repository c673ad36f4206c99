//! Names that a drive refuses or takes for one another: whatever happens to a source that is full of them,
//! also when the plug is pulled in between, nothing is lost or mixed up.
//!
//! On exFAT through FUSE, the only file system here that takes upper and lower case for one.
//! `BKM_MODEL_CASES` raises the number of cases.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bkm_agent::config::profile::MassChange;
use bkm_agent::fs::faults::Faults;
use bkm_agent::history::timeline;
use bkm_agent::source::rules::RawRules;
use proptest::prelude::*;

use crate::support::cases::each_case;
use crate::support::edits::{Edit, Editor, NASTY, any_edit, delete, keep};
use crate::support::files::write;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::skipped;
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, words};
use crate::support::{self, profile};

/// Edits before a run, and after how many operations a first try of it, with batches of how many paths, is
/// cut off.
type Step = (Vec<Edit>, Option<(u64, usize)>);

fn any_history(runs: usize) -> impl Strategy<Value = Vec<Step>> {
    let first = prop::collection::vec(any_edit(), 15..45);
    let later = prop::collection::vec(any_edit(), 0..10);
    let cut = || prop::option::of((0_u64..200, prop::sample::select(vec![5_usize, 4096])));
    let later = prop::collection::vec((later, cut()), runs);
    (first, cut(), later).prop_map(|(first, cut, mut later)| {
        later.insert(0, (first, cut));
        later
    })
}

fn play(folder: &Path, drive: &Path, rules: &[RawRules], history: &[Step]) {
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    let mut world = World::new(&source, drive, rules[0].clone()).one_worker();
    let mut editor = Editor::with_names(&source, &NASTY);
    for ((edits, cut), rules) in history.iter().zip(rules.iter().cycle()) {
        for edit in edits {
            editor.edit(edit);
        }
        // A link would not be on the drive, and a source without files is refused.
        if source.join("f1").is_symlink() {
            delete(&source.join("f1"));
        }
        keep(&source, "f1");
        world.set_rules(rules.clone());
        if let Some((cut, batch)) = cut {
            let faults = Faults::stop_after(*cut).with_batches_of(*batch);
            let _cut_off = world.run(Some(Arc::new(faults)));
            world.check_old();
        }
        world.back_up();
    }
    world.check_points();
}

fn check(cases: u32, rules: &[RawRules]) {
    let drive = match LoopDrive::new("exfat", 256) {
        Ok(drive) => drive,
        Err(why) => return skipped(&why),
    };
    each_case(cases, 100, any_history(5), |history| {
        let place = support::scratch();
        let on_drive = tempfile::tempdir_in(drive.point()).unwrap();
        play(place.path(), on_drive.path(), rules, &history);
    });
}

#[test]
fn names_that_exfat_confuses_keep_every_version() {
    check(12, &[profile::all_tracked()]);
}

#[test]
fn names_that_exfat_confuses_keep_what_rules_that_change_leave() {
    check(8, &[profile::all_tracked(), profile::mixed(), profile::all_mirrored()]);
}

/// A source of one folder with `files`, backed up on an exFAT drive.
fn exfat(files: &[(&str, &str)]) -> Option<(tempfile::TempDir, LoopDrive, World)> {
    backed_up_on("exfat", files)
}

fn backed_up_on(fs: &str, files: &[(&str, &str)]) -> Option<(tempfile::TempDir, LoopDrive, World)> {
    let drive = match LoopDrive::new(fs, 64) {
        Ok(drive) => drive,
        Err(why) => {
            skipped(&why);
            return None;
        }
    };
    let folder = support::scratch();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    for (path, content) in files {
        write(source.join(path), content);
    }
    let mut world = World::new(&source, drive.point(), profile::all_tracked()).one_worker();
    world.back_up();
    Some((folder, drive, world))
}

#[test]
fn a_folder_whose_name_changes_its_case_is_backed_up() {
    let files = [("stays", "1"), ("Dir/one", "2"), ("Dir/Sub/two", "3")];
    let Some((_folder, _drive, mut world)) = exfat(&files) else { return };
    rustix::fs::rename(world.source.join("Dir"), world.source.join("dir")).unwrap();
    let report = world.back_up();
    assert_eq!((report.new, report.deleted), (2, 2));
    rustix::fs::rename(world.source.join("dir/Sub"), world.source.join("dir/sub")).unwrap();
    world.back_up();
    world.check_points();
}

#[test]
fn a_plug_pulled_while_names_change_their_case_loses_nothing() {
    for k in (0..).step_by(3) {
        let files = [("stays", "1"), ("Dir/one", "2"), ("Dir/Sub/two", "3"), ("File", "4")];
        let Some((_folder, mut drive, mut world)) = exfat(&files) else { return };
        rustix::fs::rename(world.source.join("Dir"), world.source.join("dir")).unwrap();
        rustix::fs::rename(world.source.join("File"), world.source.join("file")).unwrap();
        let cut = world.run(Some(Arc::new(Faults::stop_after(k))));
        if k % 2 == 0 {
            drive.remount();
        }
        world.back_up();
        world.check_points();
        if cut.is_ok() {
            break;
        }
    }
}

#[test]
fn a_folder_whose_name_changes_its_case_is_no_mass_change() {
    let files = [("stays", "1"), ("Dir/one", "2"), ("Dir/two", "3"), ("Dir/three", "4")];
    let Some((_folder, _drive, mut world)) = exfat(&files) else { return };
    rustix::fs::rename(world.source.join("Dir"), world.source.join("dir")).unwrap();
    let report = world.run_as(|profile, _| profile.mass_change = strict()).unwrap();
    world.check_run(&report);
}

/// The least that counts as a mass change.
fn strict() -> MassChange {
    MassChange { percent: 1, files: 1 }
}

#[test]
fn a_drive_without_a_journal_keeps_its_format_file_with_another_driver() {
    let Some((_folder, _drive, mut world)) = exfat(&[("a", "1"), ("A", "2")]) else { return };
    let file = world.repository().join(".bkm/format.json");
    let text = fs::read_to_string(&file).unwrap();
    let other: String = text
        .lines()
        .map(|line| if line.contains("file_system") { "\"file_system\": 1," } else { line })
        .collect();
    fs::write(&file, &other).unwrap();
    fs::write(world.source.join("b:"), "3").unwrap();
    world.back_up();
    assert_eq!(fs::read_to_string(&file).unwrap(), other, "it was replaced");
}

#[test]
fn a_drive_with_links_that_confuses_case_recovers_from_a_pulled_plug() {
    for k in 0.. {
        let mut drive = match LoopDrive::new("ntfs-nocase", 64) {
            Ok(drive) => drive,
            Err(why) => return skipped(&why),
        };
        let folder = support::scratch();
        let source = folder.path().join("source");
        for (path, content) in [("stays", "1"), ("Dir/one", "2"), ("Dir/two", "3"), ("File", "4")] {
            write(source.join(path), content);
        }
        let world = World::new(&source, drive.point(), profile::all_tracked()).one_worker();
        world.run(None).unwrap();
        rustix::fs::rename(source.join("Dir"), source.join("dir")).unwrap();
        rustix::fs::rename(source.join("File"), source.join("file")).unwrap();
        let cut = world.run(Some(Arc::new(Faults::stop_after(k))));
        drive.remount();
        for _ in 0..2 {
            let report = world.run(None).or_else(|e| {
                // For a second the kernel's side of FUSE may still see a folder that left under its name in
                // other case; the run says that something is missing, and the next one goes on.
                assert!(words(&e).contains("it is missing"), "cut at {k}: {}", words(&e));
                drive.remount();
                world.run(None)
            });
            let report = report.unwrap_or_else(|e| panic!("cut at {k}: {}", words(&e)));
            assert_eq!(report.problems, [], "cut at {k}");
        }
        let to = support::scratch();
        world.restore(&timeline::now(&world.index()), to.path());
        let differences = Snapshot::of(&source).differences(&Snapshot::of(to.path()), false);
        assert_eq!(differences, "", "cut at {k}");
        if cut.is_ok() {
            break;
        }
    }
}
