//! The plug is pulled, or the drive fails, at every single operation of a run: nothing old is lost, and
//! the next run puts everything right.
//!
//! One worker and small batches, so that operation k is the same each time; on a drive that takes hard
//! links and on one that does not. `BKM_FAULTS_STEP` sweeps every n-th operation only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use bkm_agent::fs::faults::Faults;
use bkm_agent::repository::index::record::{Content, Record};
use bkm_agent::repository::versioning::Keeping;
use rustix::io::Errno;

use crate::support;
use crate::support::scene::{first_state, rules, second_state};
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, words};

/// Most paths in a batch: small ones, and everything in one.
const BATCHES: [usize; 2] = [9, 4096];

/// What a sweep is done with.
#[derive(Debug, Clone, Copy)]
struct How {
    /// Whether the drive takes hard links.
    links: bool,
    /// Most paths in a batch.
    batch: usize,
}

impl How {
    /// These faults in batches of this size, on such a drive.
    fn with(self, faults: Faults) -> Arc<Faults> {
        let faults = faults.with_batches_of(self.batch);
        Arc::new(if self.links { faults } else { faults.without_links() })
    }
}

struct Scene {
    world: World,
    /// The mirror after the first run.
    before: Snapshot,
    _folder: tempfile::TempDir,
}

fn empty_world(how: How) -> (tempfile::TempDir, World) {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    let world = World::new(&source, &drive, rules(false)).one_worker();
    (folder, if how.links { world } else { world.without_links() })
}

/// A first run that went well, and a source with every kind of change since.
fn scene(how: How) -> Scene {
    let (folder, mut world) = empty_world(how);
    first_state(&world.source);
    let report = world.run(None).unwrap();
    world.check_run(&report);
    let before = Snapshot::of(&world.mirror());
    second_state(&world.source);
    world.set_rules(rules(true));
    Scene { world, before, _folder: folder }
}

/// What a run without faults does with this scene: its operations and the bytes it copies.
fn measure(scene: &Scene, how: How) -> (u64, u64) {
    let faults = how.with(Faults::none());
    let report = scene.world.run(Some(Arc::clone(&faults))).unwrap();
    (faults.count(), report.bytes_copied)
}

/// Bytes of content that the mirror has now and had nowhere before.
fn bytes_published(scene: &Scene) -> u64 {
    if !scene.world.mirror().is_dir() {
        return 0;
    }
    let known: BTreeSet<_> =
        scene.before.0.values().filter_map(|n| n.hash.map(|h| h.to_hex())).collect();
    if scene.world.keeping() == Keeping::Displace {
        // What was in flight is taken back; the index has what counts.
        let new = |record: &Record| match &record.content {
            Content::File { hash, size, .. } => {
                let known = known.contains(&blake3::Hash::from_bytes(*hash).to_hex());
                if known { 0 } else { *size }
            }
            _ => 0,
        };
        return scene.world.index().records().values().map(new).sum();
    }
    let now = Snapshot::of(&scene.world.mirror());
    let new = now.0.values().filter(|n| n.hash.is_some_and(|h| !known.contains(&h.to_hex())));
    let by_inode: BTreeMap<u64, u64> = new.map(|n| (n.ino, n.size)).collect();
    by_inode.values().sum()
}

/// After a run that was cut off: the drive is sound, and the next run puts everything right.
/// `checked`: its file system was checked before that.
fn check_repaired(scene: &mut Scene, total: u64, checked: bool) {
    scene.world.check_cut_off(&scene.before);
    let published = bytes_published(scene);
    let stage = scene.world.repository().join(".bkm/stage");
    let staged = stage.is_dir() && fs::read_dir(stage).unwrap().next().is_some();
    let report = scene
        .world
        .run_checked(None, checked)
        .unwrap_or_else(|e| panic!("the next run failed: {}", words(&e)));
    let aside = fs::read_dir(scene.world.repository().join(".bkm")).unwrap();
    let aside = aside
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("unchecked"))
        .count();
    let displace = scene.world.keeping() == Keeping::Displace;
    assert!(aside == 0 || (displace && !checked), "{aside} folders are set aside");
    assert_eq!(
        report.warnings.iter().any(|w| w.contains("fsck")),
        aside > 0,
        "{:?}",
        report.warnings
    );
    assert_eq!(report.problems, [], "problems of the next run");
    let had_repository = !scene.before.0.is_empty();
    assert!(report.recovered || !had_repository || !staged, "it does not tell that it recovered");
    assert!(
        published + report.bytes_copied <= total,
        "{published} bytes were published, and {} of {total} copied again",
        report.bytes_copied
    );
    scene.world.check_run(&report);
    scene.world.check_points();
    let readme = fs::read_to_string(scene.world.repository().join("README.txt")).unwrap();
    assert!(readme.contains("mirror/"), "README.txt is not whole: {readme:?}");
    for folder in fs::read_dir(scene.world.repository()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        let ours = ["mirror", ".bkm", "README.txt", "browse.html", "browse"];
        let known = ours.contains(&&*name) || name.starts_with("backup_");
        assert!(known, "{name} is left in the repository");
    }
}

/// Runs `test` with each k, on all processors: no point knows of another. Says at which it failed.
fn sweep(what: &str, how: How, points: impl Iterator<Item = u64>, test: impl Fn(u64) + Sync) {
    let points: Vec<u64> = points.collect();
    support::on_all_processors(&points, |k| {
        if let Err(why) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(*k))) {
            println!("{what}: failed at operation {k}, {how:?}");
            std::panic::resume_unwind(why);
        }
    });
    println!("{what}: {} points swept, {how:?}", points.len());
}

/// With small batches and large ones, with and without links.
fn each_way(test: impl Fn(How)) {
    for links in [true, false] {
        for batch in BATCHES {
            test(How { links, batch });
        }
    }
}

fn step() -> usize {
    support::number("BKM_FAULTS_STEP", 1) as usize
}

#[test]
fn a_plug_pulled_after_any_operation_costs_nothing_old_and_is_repaired() {
    each_way(|how| {
        let (operations, total) = measure(&scene(how), how);
        assert!(operations >= 150, "only {operations} operations");
        sweep("stop", how, (0..operations).step_by(step()), |k| {
            let mut scene = scene(how);
            scene.world.run(Some(how.with(Faults::stop_after(k)))).unwrap_err();
            check_repaired(&mut scene, total, k % 4 < 2);
        });
    });
}

#[test]
fn any_single_operation_that_fails_is_repaired_by_the_next_run() {
    each_way(|how| {
        let (operations, total) = measure(&scene(how), how);
        let errors = [Errno::IO, Errno::NOSPC, Errno::ROFS];
        sweep("fail", how, (1..=operations).step_by(step()), |k| {
            let mut scene = scene(how);
            let error = errors[usize::try_from(k).unwrap() % errors.len()];
            let failed = scene.world.run(Some(how.with(Faults::fail_at(k, error))));
            match failed {
                Err(error) => {
                    let text = words(&error);
                    assert!(text.contains("os error"), "the error does not say why: {text}");
                    check_repaired(&mut scene, total, k % 4 < 2);
                }
                // The reserve makes room for what ends a run.
                Ok(report) => {
                    assert_eq!(error, Errno::NOSPC, "a failed operation went unnoticed");
                    scene.world.check_run(&report);
                    scene.world.check_points();
                }
            }
        });
    });
}

#[test]
fn a_first_run_that_is_cut_off_anywhere_is_done_again() {
    let begin = |how| {
        let (folder, world) = empty_world(how);
        first_state(&world.source);
        Scene { world, before: Snapshot::default(), _folder: folder }
    };
    each_way(|how| {
        let (operations, total) = measure(&begin(how), how);
        sweep("first run", how, (0..operations).step_by(step()), |k| {
            let mut scene = begin(how);
            scene.world.run(Some(how.with(Faults::stop_after(k)))).unwrap_err();
            check_repaired(&mut scene, total, k % 4 < 2);
        });
    });
}

#[test]
fn a_recovery_that_is_cut_off_as_well_is_repaired() {
    each_way(|how| {
        let (operations, total) = measure(&scene(how), how);
        let cuts: Vec<u64> = (20..operations).step_by(23).collect();
        let second = (0..70).step_by(10 * step());
        let points = cuts.into_iter().flat_map(|k| second.clone().map(move |j| k * 1000 + j));
        sweep("recovery", how, points, |both| {
            let mut scene = scene(how);
            let cut = |k| Some(how.with(Faults::stop_after(k)));
            scene.world.run(cut(both / 1000)).unwrap_err();
            match scene.world.run_checked(cut(both % 1000), both % 4 < 2) {
                Err(_) => check_repaired(&mut scene, total, both % 4 < 2),
                Ok(report) => scene.world.check_run(&report),
            }
        });
    });
}
