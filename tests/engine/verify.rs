//! `verify` finds what is not as it was backed up, and says how many versions it hits.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bkm_agent::fs::faults::Faults;
use bkm_agent::integrity::heal::{self, HealError};
use bkm_agent::integrity::verify::finding::Verified;
use bkm_agent::repository::handle::Repository;
use bkm_agent::source::open::Source;

use crate::support;
use crate::support::damage::flip;
use crate::support::profile::all_tracked;
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, words};

/// A source and a drive with two increments: `a` and `sub/b` in the first, another `a` in the second,
/// and `gone` deleted there.
struct Scene {
    world: World,
    first: String,
    second: String,
    links: bool,
    _folder: tempfile::TempDir,
}

fn scene(links: bool) -> Scene {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::create_dir(&drive).unwrap();
    let mut world = World::new(&source, &drive, all_tracked());
    if !links {
        world = world.without_links();
    }
    fs::write(source.join("a"), "the first a").unwrap();
    fs::write(source.join("sub/b"), "b").unwrap();
    fs::write(source.join("gone"), "soon gone").unwrap();
    symlink("a", source.join("link")).unwrap();
    let first = world.back_up().increment.unwrap();
    fs::write(source.join("a"), "the second a").unwrap();
    fs::remove_file(source.join("gone")).unwrap();
    let second = world.back_up().increment.unwrap();
    Scene { world, first, second, links, _folder: folder }
}

impl Scene {
    fn at(&self, place: &str) -> PathBuf {
        let place = place.replace("FIRST", &self.first).replace("SECOND", &self.second);
        self.world.repository().join(place)
    }

    /// What is found, one line each, with the increments' names blanked.
    fn found(&self, quick: bool) -> Vec<String> {
        self.lines(&self.world.verify(quick))
    }

    fn lines(&self, verified: &Verified) -> Vec<String> {
        let name = |increment: &str| {
            increment.replace(&self.first, "FIRST").replace(&self.second, "SECOND")
        };
        let lines = verified.findings.iter().map(|f| {
            let path = f.path.as_ref().map_or(String::new(), |path| format!(" {path}"));
            let shared: Vec<_> = f.shared_with.iter().map(|s| name(s)).collect();
            let place = name(&f.place.to_string_lossy());
            format!("{:?}{path} at {place} shared with {shared:?}", f.damage)
        });
        lines.collect()
    }
}

#[test]
fn a_sound_backup_is_verified_and_counted() {
    for links in [true, false] {
        let scene = scene(links);
        for quick in [false, true] {
            let verified = scene.world.verify(quick);
            assert_eq!(scene.lines(&verified), [""; 0]);
            assert_eq!(verified.notes, [""; 0]);
            // Current: a, sub/b, link. First: a, sub/b, gone, link. Second: a, and gone once more.
            let links_that_live_in_records = if links { 0 } else { 2 };
            assert_eq!(verified.versions, 9 - links_that_live_in_records, "links: {links}");
        }
        // Each file once: "the first a", "the second a", "b", "soon gone".
        assert_eq!(scene.world.verify(false).bytes, 11 + 12 + 1 + 9, "links: {links}");
    }
}

#[test]
fn a_flipped_byte_is_found_and_all_versions_that_share_it_are_named() {
    let scene = scene(true);
    flip(&scene.at("mirror/a"));
    assert_eq!(scene.found(true), [""; 0], "a quick look cannot see it");
    assert_eq!(
        scene.found(false),
        [
            r#"Damaged a at mirror/a shared with ["SECOND"]"#,
            r#"Damaged a at SECOND/track/a shared with ["mirror"]"#,
        ]
    );
}

#[test]
fn without_links_a_flipped_byte_in_the_mirror_hits_the_increment_that_brought_it() {
    let scene = scene(false);
    flip(&scene.at("mirror/sub/b"));
    flip(&scene.at("FIRST/track/gone"));
    assert_eq!(
        scene.found(false),
        [
            r#"Damaged sub/b at mirror/sub/b shared with ["FIRST"]"#,
            r#"Damaged gone at FIRST/track/gone shared with ["SECOND"]"#,
            r#"Damaged sub/b at mirror/sub/b shared with ["mirror"]"#,
            r#"Damaged gone at FIRST/track/gone shared with ["FIRST"]"#,
        ]
    );
}

#[test]
fn what_is_missing_cut_off_or_of_another_kind_is_found_by_a_quick_look() {
    let scene = scene(true);
    fs::remove_file(scene.at("mirror/sub/b")).unwrap();
    fs::write(scene.at("FIRST/track/a"), "short").unwrap();
    fs::remove_file(scene.at("FIRST/track/gone")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.at("FIRST/track/gone"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::remove_file(scene.at("mirror/link")).unwrap();
    symlink("/etc/passwd", scene.at("mirror/link")).unwrap();
    for quick in [true, false] {
        assert_eq!(
            scene.found(quick),
            [
                r"Damaged link at mirror/link shared with []",
                r"Missing sub/b at mirror/sub/b shared with []",
                r"Damaged a at FIRST/track/a shared with []",
                r"Damaged gone at FIRST/track/gone shared with []",
            ]
        );
    }
}

#[test]
fn lost_catalogs_and_increments_are_found() {
    for links in [true, false] {
        let scene = scene(links);
        let catalog = scene.at("FIRST/FIRST.json");
        let text = fs::read(&catalog).unwrap();
        fs::write(&catalog, &text[..text.len() / 2]).unwrap();
        fs::create_dir(scene.at("backup_20200101_000000")).unwrap();
        assert_eq!(
            scene.found(true),
            [
                "Damaged at FIRST/FIRST.json shared with []",
                "Unlisted at backup_20200101_000000 shared with []"
            ]
        );
        fs::remove_file(&catalog).unwrap();
        assert_eq!(scene.found(true)[0], "Missing at FIRST/FIRST.json shared with []");
        fs::rename(scene.at("FIRST"), scene.at("elsewhere")).unwrap();
        assert_eq!(scene.found(true)[0], "Missing at FIRST shared with []");
    }
}

#[test]
fn a_file_that_was_copied_over_is_not_the_one_of_the_record() {
    let scene = scene(true);
    let content = fs::read(scene.at("mirror/a")).unwrap();
    fs::remove_file(scene.at("mirror/a")).unwrap();
    fs::write(scene.at("mirror/a"), content).unwrap();
    assert_eq!(scene.found(false), [r"Replaced a at mirror/a shared with []"]);
}

#[test]
fn files_that_no_record_knows_are_noted() {
    for links in [true, false] {
        let scene = scene(links);
        fs::write(scene.at("mirror/sub/mine"), "mine").unwrap();
        fs::write(scene.at("FIRST/track/other"), "other").unwrap();
        let verified = scene.world.verify(false);
        assert_eq!(verified.findings, []);
        let expected = [
            "mirror/sub/mine: is in no record".to_owned(),
            format!("{}/track/other: is in no record", scene.first),
        ];
        assert_eq!(verified.notes, expected);
    }
}

#[test]
fn a_run_that_was_cut_off_is_no_damage() {
    for links in [true, false] {
        for k in (5..60).step_by(5) {
            let scene = scene(links);
            fs::write(scene.world.source.join("a"), "the third a").unwrap();
            fs::write(scene.world.source.join("new"), "new").unwrap();
            fs::remove_file(scene.world.source.join("sub/b")).unwrap();
            let faults = Faults::stop_after(k);
            let faults = if links { faults } else { faults.without_links() };
            let ended = scene.world.run(Some(Arc::new(faults)));
            let verified = scene.world.verify(false);
            assert_eq!(scene.lines(&verified), [""; 0], "links: {links}, cut off after {k}");
            assert_eq!(verified.damaged, []);
            if ended.is_ok() {
                break;
            }
        }
    }
}

/// Verifies and heals; says what is left, and how many operations on the drive it took.
fn heal(scene: &Scene, faults: Faults, with_source: bool) -> (Result<Vec<bool>, HealError>, u64) {
    let faults = if scene.links { faults } else { faults.without_links() };
    let faults = Arc::new(faults);
    let tree = scene.world.tree().with_faults(Arc::clone(&faults));
    let stop = AtomicBool::new(false);
    let damaged = scene.world.verify(false).damaged;
    let damaged: Vec<_> = damaged.into_iter().map(|(version, _)| version).collect();
    let source = Source::open(&scene.world.source).unwrap();
    let healed = Repository::open(&tree).map_err(HealError::from).and_then(|repository| {
        let source = with_source.then_some(&source);
        heal::heal(&mut repository.unwrap(), &damaged, source, &stop, &|_| {})
    });
    (healed, faults.count())
}

/// Everything on the drive but the records, and but what `damaged` names.
fn all_but(scene: &Scene, damaged: &[&str]) -> Snapshot {
    let damaged: Vec<_> =
        damaged.iter().map(|place| scene.at(place).into_os_string().into_encoded_bytes()).collect();
    let all = Snapshot::of(&scene.world.repository());
    let root = scene.world.repository().into_os_string().into_encoded_bytes();
    all.only(|path| {
        let whole = [&root, &b"/"[..], path].concat();
        // The page is made anew where something was in flight.
        let ours = path.starts_with(b".bkm") || path.starts_with(b"browse");
        !ours && !damaged.contains(&whole)
    })
}

/// What holds after a version was healed.
fn check_healed(scene: &mut Scene, others: &Snapshot, damaged: &[&str]) {
    assert_eq!(scene.found(false), [""; 0]);
    let changed = others.differences(&all_but(scene, damaged), true);
    // A folder's time is that of its last rename.
    let changed: Vec<_> = changed.lines().filter(|line| !line.contains("mtime was")).collect();
    assert_eq!(changed, [""; 0], "something else changed");
    let report = scene.world.run(None).unwrap();
    assert_eq!((report.bytes_copied, report.increment, report.problems), (0, None, vec![]));
    scene.world.check_points();
    scene.world.check_stage_empty();
}

#[test]
fn a_damaged_version_is_healed_from_the_source_without_touching_others() {
    for links in [true, false] {
        let mut scene = scene(links);
        flip(&scene.at("mirror/a"));
        fs::remove_file(scene.at("mirror/sub/b")).unwrap();
        let damaged = ["mirror/a", "SECOND/track/a", "mirror/sub/b"];
        let others = all_but(&scene, &damaged);
        let (healed, _) = heal(&scene, Faults::none(), true);
        assert_eq!(healed.unwrap(), [true, true], "links: {links}");
        if links {
            let ino = |place: &str| fs::metadata(scene.at(place)).unwrap().ino();
            assert_eq!(ino("mirror/a"), ino("SECOND/track/a"), "it is one file again");
        }
        check_healed(&mut scene, &others, &damaged);
    }
}

#[test]
fn a_damaged_version_is_healed_from_another_file_of_the_drive() {
    for links in [true, false] {
        let mut scene = scene(links);
        // The same content at another path.
        fs::write(scene.world.source.join("copy"), "the first a").unwrap();
        scene.world.back_up();
        flip(&scene.at("FIRST/track/a"));
        flip(&scene.at("mirror/sub/b"));
        let others = all_but(&scene, &["FIRST/track/a", "FIRST/track/sub/b", "mirror/sub/b"]);
        let (healed, _) = heal(&scene, Faults::none(), false);
        let mut healed = healed.unwrap();
        healed.sort_unstable();
        assert_eq!(healed, [false, true], "b is nowhere else");
        let left = scene.found(false);
        assert!(left.iter().all(|line| line.contains("sub/b")) && left.len() == 2, "{left:?}");
        // What only the source has is healed with it.
        assert_eq!(heal(&scene, Faults::none(), true).0.unwrap(), [true]);
        let damaged = ["FIRST/track/a", "FIRST/track/sub/b", "mirror/sub/b"];
        check_healed(&mut scene, &others, &damaged);
    }
}

#[test]
fn a_source_with_other_content_heals_nothing() {
    let scene = scene(true);
    flip(&scene.at("mirror/a"));
    fs::write(scene.world.source.join("a"), "the SECOND a").unwrap();
    assert_eq!(heal(&scene, Faults::none(), true).0.unwrap(), [false]);
    assert_eq!(scene.found(false).len(), 2);
    assert_ne!(fs::read(scene.at("mirror/a")).unwrap(), b"the SECOND a");
}

#[test]
fn healing_that_is_cut_off_at_any_operation_is_finished_or_done_again() {
    for links in [true, false] {
        let damage = || {
            let scene = scene(links);
            flip(&scene.at("mirror/a"));
            flip(&scene.at("mirror/sub/b"));
            fs::remove_file(scene.at("mirror/link")).ok();
            scene
        };
        let mut damaged =
            vec!["mirror/a", "SECOND/track/a", "mirror/sub/b", "FIRST/track/sub/b", "mirror/link"];
        if !links {
            damaged.retain(|place| place.starts_with("mirror"));
        }
        let (healed, operations) = heal(&damage(), Faults::none(), true);
        assert_eq!(healed.unwrap().len(), if links { 3 } else { 2 });
        assert!(operations > 20, "{operations} operations");
        for k in 0..operations {
            let mut scene = damage();
            let others = all_but(&scene, &damaged);
            heal(&scene, Faults::stop_after(k), true).0.unwrap_err();
            let report = scene.world.run(None).unwrap_or_else(|e| panic!("{k}: {}", words(&e)));
            assert_eq!((report.bytes_copied, report.increment), (0, None), "cut off after {k}");
            assert_eq!(report.problems, [], "cut off after {k}");
            for line in scene.found(false) {
                let known =
                    line.contains(" a at ") || line.contains("sub/b") || line.contains("link");
                assert!(known, "cut off after {k}: {line}");
            }
            heal(&scene, Faults::none(), true).0.unwrap();
            check_healed(&mut scene, &others, &damaged);
        }
    }
}
