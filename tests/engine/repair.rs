//! `repair` rebuilds lost and broken records from the tree on the drive: the next run copies nothing that
//! is unchanged, and every version that is on the drive can be restored.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bkm_agent::fs::faults::Faults;
use bkm_agent::integrity::repair::repairer::{Repaired, Tools};
use bkm_agent::integrity::repair::run::repair;
use bkm_agent::integrity::verify::finding::Damage;
use bkm_agent::repository::versioning::Keeping;
use bkm_agent::source::rules::RawRules;
use proptest::prelude::*;

use crate::support::cases::each_case;
use crate::support::edits::{Edit, Editor, any_edit, keep};
use crate::support::needs::skipped_part;
use crate::support::world::{World, words};
use crate::support::{self, profile};

/// A source with tracked files below `t` and mirrored ones below `m`, backed up three times.
struct Scene {
    world: World,
    links: bool,
    increments: Vec<String>,
    folder: tempfile::TempDir,
}

fn scene(links: bool) -> Scene {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    let list = |rules: &[&str]| rules.iter().map(|&r| r.to_owned()).collect();
    let rules =
        RawRules { track_dirs: list(&["t"]), include_dirs: list(&["m"]), ..RawRules::default() };
    let mut world = World::new(&source, &drive, rules);
    if !links {
        world = world.without_links();
    }
    let mut increments = Vec::new();
    for path in ["t/a", "t/same", "t/sub/b", "t/gone", "t/touched", "t/moves", "m/x", "m/y/z"] {
        world.write(path, format!("{path} as it was at first"));
    }
    fs::create_dir(source.join("t/empty")).unwrap();
    symlink("a", source.join("t/link")).unwrap();
    symlink("x", source.join("m/link")).unwrap();
    fs::hard_link(source.join("t/same"), source.join("t/twin")).unwrap();
    increments.extend(world.back_up().increment);
    world.write("t/a", "the second a");
    world.write("m/x", "the second x");
    world.write("t/later", "came later");
    fs::remove_file(source.join("t/gone")).unwrap();
    let only_mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(source.join("t/touched"), only_mode).unwrap();
    increments.extend(world.back_up().increment);
    world.write("t/a", "the third a, of another length");
    rustix::fs::rename(source.join("t/moves"), source.join("t/sub/moved")).unwrap();
    increments.extend(world.back_up().increment);
    assert_eq!(increments.len(), 3);
    Scene { world, links, increments, folder }
}

fn each_way(test: impl Fn(Scene)) {
    for links in [true, false] {
        println!("links: {links}");
        test(scene(links));
    }
}

impl Scene {
    fn at(&self, place: &str) -> PathBuf {
        let mut place = place.to_owned();
        for (number, name) in ["FIRST", "SECOND", "THIRD"].iter().zip(&self.increments) {
            place = place.replace(number, name);
        }
        self.world.repository().join(place)
    }

    fn repair(&self) -> Repaired {
        self.repair_with(Faults::none()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn repair_with(&self, faults: Faults) -> Result<Repaired, String> {
        self.counted(Arc::new(faults))
    }

    fn counted(&self, faults: Arc<Faults>) -> Result<Repaired, String> {
        let tree = self.world.tree().with_faults(faults);
        let stop = AtomicBool::new(false);
        let tools = Tools { stop: &stop, planned: &|_| {}, told: &|_| {} };
        repair(&tree, &tools).map_err(|e| words(&e))
    }

    /// With the drive's way of refusing links.
    fn faults(&self, faults: Faults) -> Faults {
        if self.links { faults } else { faults.without_links() }
    }

    /// A repair that recovers everything, and all that holds after it.
    fn check_whole(&mut self) {
        let repaired = self.repair_with(self.faults(Faults::none())).unwrap();
        assert_eq!(repaired.problems, [""; 0]);
        assert_ne!(repaired.done, [""; 0]);
        self.world.check_verified();
        self.world.check_points();
        self.check_next_run();
        self.world.check_points();
        let again = self.repair_with(self.faults(Faults::none())).unwrap();
        assert_eq!((again.done, again.problems), (vec![], vec![]), "it is in line now");
    }

    /// The next run copies nothing and finds nothing new; so does the one after it.
    fn check_next_run(&mut self) {
        let report = self.world.run(None).unwrap_or_else(|e| panic!("{}", words(&e)));
        assert_eq!(report.problems, []);
        assert_eq!(report.bytes_copied, 0, "{report:?}");
        assert_eq!((report.new, report.changed, report.deleted), (0, 0, 0), "{report:?}");
        self.world.check_run(&report);
        let again = self.world.run(None).unwrap();
        assert_eq!((again.bytes_copied, again.increment), (0, None));
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_in_line_is_left_alone() {
    each_way(|scene| {
        let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
        assert_eq!((repaired.done, repaired.problems), (vec![], vec![]));
        assert!(!scene.at(".bkm/before-repair-1").exists());
    });
}

#[test]
fn a_lost_bkm_folder_is_rebuilt_and_nothing_is_copied_again() {
    each_way(|mut scene| {
        fs::remove_dir_all(scene.at(".bkm")).unwrap();
        let refused = words(&scene.world.run(None).unwrap_err());
        assert!(refused.contains("bkm-agent repair"), "{refused}");
        let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
        assert_eq!(repaired.problems, [""; 0]);
        let kept = if scene.links { Keeping::Hardlink } else { Keeping::Displace };
        assert_eq!(scene.world.keeping(), kept);
        scene.world.check_verified();
        scene.world.check_points();
        // A mirrored link is nowhere on a drive without links.
        if scene.links {
            scene.check_next_run();
        } else {
            let report = scene.world.run(None).unwrap();
            assert_eq!((report.bytes_copied, report.new), (0, 1), "{report:?}");
            scene.world.check_run(&report);
        }
        scene.world.check_points();
    });
}

#[test]
fn an_increment_that_the_index_does_not_list_is_listed_again() {
    each_way(|mut scene| {
        // The index of before the third run, as from an image of the drive.
        let mut earlier = scene.world.source.clone();
        earlier.set_file_name("earlier");
        fs::create_dir(&earlier).unwrap();
        for record in ["index", "stamp"] {
            fs::copy(scene.at(".bkm").join(record), earlier.join(record)).unwrap();
        }
        scene.world.write("t/a", "the fourth a");
        scene.world.write("m/x", "the third x");
        scene.world.write("m/new", "new");
        scene.world.back_up();
        for record in ["index", "stamp"] {
            fs::copy(earlier.join(record), scene.at(".bkm").join(record)).unwrap();
        }
        let findings = scene.world.verify(true).findings;
        assert!(findings.iter().any(|finding| finding.damage == Damage::Unlisted));
        let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
        assert_eq!(repaired.problems, [""; 0]);
        scene.world.check_verified();
        scene.world.check_points();
        scene.check_next_run();
    });
}

#[test]
fn a_garbled_or_missing_format_is_found_anew() {
    each_way(|mut scene| {
        fs::write(scene.at(".bkm/format.json"), "{ garbage").unwrap();
        let refused = words(&scene.world.run(None).unwrap_err());
        assert!(refused.contains("bkm-agent repair"), "{refused}");
        scene.check_whole();
        assert_eq!(fs::read(scene.at(".bkm/before-repair-1/format.json")).unwrap(), b"{ garbage");
        fs::remove_file(scene.at(".bkm/format.json")).unwrap();
        scene.check_whole();
        assert!(!scene.at(".bkm/before-repair-1").exists(), "only the last one is kept");
    });
}

#[test]
fn an_index_that_is_cut_off_or_garbled_anywhere_is_rebuilt() {
    for links in [true, false] {
        let whole = fs::metadata(scene(links).at(".bkm/index")).unwrap().len();
        let length = usize::try_from(whole).unwrap();
        for at in (0..length).step_by(length / 12) {
            for cut in [true, false] {
                println!("links: {links}, cut: {cut}, at {at}");
                let mut scene = scene(links);
                let index = scene.at(".bkm/index");
                if cut {
                    let bytes = fs::read(&index).unwrap();
                    fs::write(&index, &bytes[..at.min(bytes.len() - 1)]).unwrap();
                } else {
                    flip(
                        &index,
                        at.min(usize::try_from(fs::metadata(&index).unwrap().len()).unwrap() - 1),
                    );
                }
                let refused = words(&scene.world.run(None).unwrap_err());
                assert!(refused.contains("bkm-agent repair"), "{refused}");
                let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
                assert_eq!(repaired.problems, [""; 0]);
                scene.world.check_verified();
                scene.world.check_points();
                let report = scene.world.run(None).unwrap();
                assert_eq!((report.bytes_copied, &*report.problems), (0, &[][..]), "{report:?}");
                assert_eq!((report.changed, report.deleted), (0, 0), "{report:?}");
                scene.world.check_run(&report);
                scene.world.check_points();
            }
        }
    }
}

#[test]
fn a_lost_catalog_is_made_again_from_the_files() {
    for lost in [vec!["FIRST"], vec!["SECOND"], vec!["THIRD"], vec!["FIRST", "SECOND", "THIRD"]] {
        for garbled in [true, false] {
            each_way(|mut scene| {
                println!("{lost:?}, garbled: {garbled}");
                for name in &lost {
                    let catalog = scene.at(&format!("{name}/{name}.json"));
                    if garbled {
                        fs::write(&catalog, "{ \"backup_name\": ").unwrap();
                    } else {
                        fs::remove_file(&catalog).unwrap();
                    }
                }
                let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
                assert_eq!(repaired.problems.len(), lost.len(), "{repaired:?}");
                scene.world.check_verified();
                scene.world.relearn();
                // Without links nothing on the drive tells what was deleted.
                scene.world.check_contents(!scene.links);
                let report = scene.world.run(None).unwrap();
                assert_eq!((report.bytes_copied, &*report.problems), (0, &[][..]), "{report:?}");
                scene.world.check_run(&report);
                scene.world.check_contents(!scene.links);
            });
        }
    }
}

#[test]
fn with_all_records_lost_the_mirror_is_current_and_versions_stay() {
    each_way(|mut scene| {
        fs::remove_dir_all(scene.at(".bkm")).unwrap();
        for name in ["FIRST", "SECOND", "THIRD"] {
            fs::remove_file(scene.at(&format!("{name}/{name}.json"))).unwrap();
        }
        let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
        assert_eq!(repaired.problems.len(), 3, "{repaired:?}");
        scene.world.check_verified();
        scene.world.relearn();
        if scene.links {
            scene.world.check_contents(false);
        }
        let report = scene.world.run(None).unwrap();
        assert_eq!((report.bytes_copied, &*report.problems), (0, &[][..]), "{report:?}");
        let index = scene.world.index();
        assert!(index.increments().len() >= 3);
        assert_eq!(fs::read(scene.at("FIRST/track/t/a")).unwrap(), b"t/a as it was at first");
        scene.world.check_mirror();
        scene.world.check_verified();
    });
}

#[test]
fn an_edited_file_of_the_mirror_is_named_and_replaced_by_the_next_run() {
    each_way(|mut scene| {
        // Saved as editors do: a new file under the old name.
        fs::remove_file(scene.at("mirror/t/same")).unwrap();
        fs::write(scene.at("mirror/t/same"), "edited on the drive").unwrap();
        fs::remove_file(scene.at("mirror/m/x")).unwrap();
        fs::write(scene.at("mirror/m/x"), "edited on the drive as well").unwrap();
        let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
        assert_eq!(repaired.problems.len(), 2, "{repaired:?}");
        assert!(repaired.problems[0].contains("mirror/m/x: is not what was backed up"));
        let report = scene.world.run(None).unwrap();
        assert_eq!(report.problems, []);
        assert_eq!(report.changed, 2, "{report:?}");
        scene.world.check_mirror();
        if scene.links {
            scene.world.check_run(&report);
            scene.world.check_points();
        }
    });
}

#[test]
fn an_edit_that_reached_the_increments_is_said() {
    let scene = scene(true);
    let time = fs::metadata(scene.at("mirror/t/later")).unwrap().modified().unwrap();
    fs::write(scene.at("mirror/t/later"), "edited in place, longer").unwrap();
    let repaired = scene.repair();
    assert_eq!(repaired.problems.len(), 1, "{repaired:?}");
    assert!(repaired.problems[0].contains("`bkm-agent verify` names them"), "{repaired:?}");
    let report = scene.world.run(None).unwrap();
    assert_eq!((report.changed, report.problems), (1, vec![]));
    let findings = scene.world.verify(false).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].damage, Damage::Damaged);
    assert!(time.elapsed().is_ok());
}

#[test]
fn a_file_that_the_mirror_lost_is_there_again() {
    each_way(|mut scene| {
        for place in ["t/same", "t/touched", "t/sub/moved", "m/y/z"] {
            fs::remove_file(scene.at("mirror").join(place)).unwrap();
        }
        fs::remove_dir(scene.at("mirror/m/y")).unwrap();
        let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
        let lost = if scene.links { 1 } else { 4 };
        assert_eq!(repaired.problems.len(), lost, "{repaired:?}");
        let report = scene.world.run(None).unwrap();
        assert_eq!(report.problems, []);
        scene.world.check_mirror();
        if scene.links {
            let only_z = "m/y/z as it was at first".len() as u64;
            assert_eq!(report.bytes_copied, only_z, "the increments have the others");
            scene.world.check_run(&report);
            scene.world.check_points();
        }
    });
}

#[test]
fn a_copy_of_the_repository_on_another_drive_is_taken_over_whole() {
    for (command, links) in [
        (&["cp", "-a"][..], true),
        (&["cp", "-r", "--preserve=mode,timestamps,ownership"], true),
        (&["cp", "-r"], true),
        (&["rsync", "-a"], true),
        (&["cp", "-a"], false),
        (&["cp", "-r"], false),
    ] {
        if command[0] == "rsync" && Command::new("rsync").arg("--version").output().is_err() {
            skipped_part("rsync -a: there is no rsync");
            continue;
        }
        println!("{command:?}, links: {links}");
        let scene = scene(links);
        let drive = scene.folder.path().join("other");
        fs::create_dir(&drive).unwrap();
        let from = scene.world.repository();
        let done = Command::new(command[0]).args(&command[1..]).arg(&from).arg(&drive).status();
        assert!(done.unwrap().success());
        let mut copy = Scene {
            world: scene.world.copied_to(&drive),
            links,
            increments: scene.increments.clone(),
            folder: support::scratch(),
        };
        let repaired = copy.repair_with(copy.faults(Faults::none())).unwrap();
        assert_eq!(repaired.problems, [""; 0]);
        copy.world.check_verified();
        copy.world.check_points();
        copy.world.relearn();
        copy.check_next_run();
        copy.world.check_points();
        // And it goes on as ever.
        copy.world.write("t/a", "the fourth a");
        fs::remove_file(copy.world.source.join("t/same")).unwrap();
        fs::remove_file(copy.world.source.join("t/touched")).unwrap();
        copy.world.back_up();
        copy.world.check_points();
    }
}

#[test]
fn a_repository_that_was_copied_to_a_drive_without_links_goes_on_there() {
    let scene = scene(true);
    let drive = scene.folder.path().join("other");
    fs::create_dir(&drive).unwrap();
    let copied = Command::new("cp").arg("-r").arg(scene.world.repository()).arg(&drive).status();
    assert!(copied.unwrap().success());
    // The new drive's driver is another one, and such drives have no symbolic links.
    let format = drive.join("repository/.bkm/format.json");
    let text = fs::read_to_string(&format).unwrap();
    let number = text.split("\"file_system\": ").nth(1).unwrap().split(',').next().unwrap();
    fs::write(&format, text.replace(number, "20492")).unwrap();
    for link in ["mirror/t/link", "mirror/m/link", "FIRST/track/t/link"] {
        let link = link.replace("FIRST", &scene.increments[0]);
        fs::remove_file(drive.join("repository").join(link)).unwrap();
    }
    let mut copy = Scene {
        world: scene.world.copied_to(&drive).without_links(),
        links: false,
        increments: scene.increments.clone(),
        folder: support::scratch(),
    };
    copy.world.was_linked = true;
    let refused = words(&copy.world.run(None).unwrap_err());
    assert!(refused.contains("bkm-agent repair"), "{refused}");
    let repaired = copy.repair_with(copy.faults(Faults::none())).unwrap();
    assert_eq!(repaired.problems, [""; 0]);
    assert_eq!(copy.world.keeping(), Keeping::Displace);
    copy.world.check_points();
    copy.check_next_run();
    copy.world.write("t/a", "the fourth a");
    copy.world.write("t/later", "changed there");
    fs::remove_file(copy.world.source.join("t/same")).unwrap();
    fs::remove_file(copy.world.source.join("t/touched")).unwrap();
    copy.world.back_up();
    copy.world.check_points();
}

#[test]
fn a_repair_that_is_cut_off_anywhere_is_done_again() {
    for links in [true, false] {
        let damage = || {
            let scene = scene(links);
            flip(&scene.at(".bkm/index"), 20);
            // Without links nothing but these two tells which version is the second one's.
            if links {
                fs::remove_file(scene.at("SECOND/SECOND.json")).unwrap();
            }
            fs::write(scene.at(".bkm/format.json"), "").unwrap();
            scene
        };
        let first = damage();
        let faults = Arc::new(first.faults(Faults::none()));
        first.counted(Arc::clone(&faults)).unwrap();
        let operations = faults.count();
        assert!(operations > 20, "{operations} operations");
        for k in 0..operations {
            println!("links: {links}, cut off after {k}");
            let mut scene = damage();
            // A folder whose time is right already is an operation less.
            let _cut_off = scene.repair_with(scene.faults(Faults::stop_after(k)));
            scene.repair_with(scene.faults(Faults::none())).unwrap();
            scene.world.check_verified();
            scene.world.relearn();
            scene.world.check_contents(!links);
            let report = scene.world.run(None).unwrap_or_else(|e| panic!("{}", words(&e)));
            assert_eq!((report.bytes_copied, &*report.problems), (0, &[][..]), "{report:?}");
            scene.world.check_run(&report);
        }
    }
}

#[test]
fn a_run_that_was_cut_off_and_lost_its_index_is_sorted_out() {
    each_way(|first| {
        let links = first.links;
        for lost in [true, false] {
            for k in (3..90).step_by(3) {
                println!("links: {links}, lost: {lost}, cut off after {k}");
                let mut scene = scene(links);
                let source = scene.world.source.clone();
                scene.world.write("t/a", "the fourth a");
                scene.world.write("t/new", "new");
                scene.world.write("m/x", "the third x");
                fs::remove_file(source.join("t/sub/b")).unwrap();
                fs::remove_file(source.join("m/y/z")).unwrap();
                let faults = scene.faults(Faults::stop_after(k)).with_batches_of(2);
                if scene.world.run(Some(Arc::new(faults))).is_ok() {
                    break;
                }
                if lost {
                    fs::remove_file(scene.at(".bkm/index")).unwrap();
                }
                scene.repair_with(scene.faults(Faults::none())).unwrap();
                let report = scene.world.run(None).unwrap_or_else(|e| panic!("{}", words(&e)));
                assert_eq!(report.problems, []);
                scene.world.check_run(&report);
                scene.world.check_points();
            }
        }
    });
}

/// How the records of a backup with any history are lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Everything,
    Index(f64),
    Format,
    Copied,
}

fn any_loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        Just(Loss::Everything),
        (0.0..1.0).prop_map(Loss::Index),
        Just(Loss::Format),
        Just(Loss::Copied),
    ]
}

/// Loses the records of a backup after some runs, and repairs it.
fn lose_and_repair(links: bool, rules: &[RawRules], history: &[Vec<Edit>], loss: Loss) {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    let mut world = World::new(&source, &drive, rules[0].clone());
    if !links {
        world = world.without_links();
    }
    let mut editor = Editor::new(&source);
    for (edits, rules) in history.iter().zip(rules.iter().cycle()) {
        for edit in edits {
            editor.edit(edit);
        }
        keep(&source, "f1");
        world.set_rules(rules.clone());
        world.back_up();
    }
    let bkm = world.repository().join(".bkm");
    match loss {
        Loss::Everything => fs::remove_dir_all(&bkm).unwrap(),
        Loss::Index(at) => {
            let index = bkm.join("index");
            let bytes = fs::read(&index).unwrap();
            let at = at * bytes.len() as f64;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in it")]
            fs::write(&index, &bytes[..at as usize]).unwrap();
        }
        Loss::Format => fs::remove_file(bkm.join("format.json")).unwrap(),
        Loss::Copied => {
            let other = folder.path().join("other");
            fs::create_dir(&other).unwrap();
            let mut copy = Command::new("cp");
            let copied = copy.arg("-r").arg("--preserve=mode,timestamps,ownership");
            assert!(copied.arg(world.repository()).arg(&other).status().unwrap().success());
            world = world.copied_to(&other);
        }
    }
    let mut scene = Scene { world, links, increments: Vec::new(), folder };
    let repaired = scene.repair_with(scene.faults(Faults::none())).unwrap();
    assert_eq!(repaired.problems, [""; 0]);
    scene.world.check_verified();
    scene.world.check_points();
    let report = scene.world.run(None).unwrap_or_else(|e| panic!("{}", words(&e)));
    assert_eq!(report.problems, []);
    assert_eq!(report.bytes_copied, 0, "{report:?}\n{repaired:?}");
    scene.world.check_run(&report);
    scene.world.back_up();
    scene.world.check_points();
}

fn check_histories(links: bool, rules: &[RawRules]) {
    let edits = |most| proptest::collection::vec(any_edit(), 0..most);
    let history = proptest::collection::vec(edits(25), 1..5);
    each_case(40, 150, (history, any_loss()), |(history, loss)| {
        lose_and_repair(links, rules, &history, loss);
    });
}

#[test]
fn whatever_was_backed_up_lost_records_are_rebuilt() {
    check_histories(true, &[profile::mixed()]);
    check_histories(true, &[profile::all_tracked(), profile::all_mirrored(), profile::mixed()]);
}

#[test]
fn whatever_was_backed_up_without_links_lost_records_are_rebuilt() {
    check_histories(false, &[profile::mixed()]);
    check_histories(false, &[profile::all_tracked(), profile::all_mirrored(), profile::mixed()]);
}
