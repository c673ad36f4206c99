//! Drives without hard links that lost or may have lost a version: what is said of it, and what later points
//! in time bring back.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bkm_agent::fs::faults::Faults;
use bkm_agent::history::timeline;
use bkm_agent::model::relpath::RelPath;
use bkm_agent::repository::handle::Repository;
use bkm_agent::repository::layout;
use rustix::io::Errno;

use crate::support::world::World;

/// On a drive without hard links, with two files backed up.
fn world() -> (tempfile::TempDir, World) {
    let (folder, world) = World::fresh();
    let mut world = world.one_worker().without_links();
    world.write("stays", "stays");
    world.write("file", "one");
    world.back_up();
    (folder, world)
}

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

fn version_in_an_increment(world: &World) -> PathBuf {
    let first = world.index().increments()[0].name.clone();
    world.repository().join(layout::track(&first, &path("file")))
}

#[test]
fn what_vanished_and_was_lost_while_it_was_removed_is_not_in_later_points() {
    let mut lost = 0;
    for k in 0..60 {
        let (_folder, world) = self::world();
        fs::remove_file(world.source.join("file")).unwrap();
        if world.run(Some(Arc::new(Faults::stop_after(k).without_links()))).is_ok() {
            break;
        }
        let version = version_in_an_increment(&world);
        if !version.exists() || !world.index().is_torn() {
            continue;
        }
        // What the drive had of it went with the plug.
        fs::remove_file(version).unwrap();
        let report = world.run(None).unwrap();
        if report.problems.is_empty() {
            continue;
        }
        lost += 1;
        assert_eq!(report.problems[0].path, path("file"));
        fs::write(world.source.join("more"), "more").unwrap();
        let report = world.run(None).unwrap();
        assert_eq!(report.problems, []);
        let sequence = world.index().increments().last().unwrap().sequence;
        let then = timeline::at(&world.tree(), &world.index(), sequence).unwrap();
        let paths: Vec<_> = then.keys().map(ToString::to_string).collect();
        assert_eq!(paths, ["more", "stays"], "cut off after {k} operations");
    }
    assert!(lost > 0, "no cut lost anything");
}

#[test]
fn a_version_that_somebody_took_from_the_mirror_is_named_when_it_is_replaced() {
    let (_folder, world) = world();
    fs::remove_file(world.mirror().join("file")).unwrap();
    fs::write(world.source.join("file"), "other").unwrap();
    let report = world.run(None).unwrap();
    let named = report.notes.iter().find(|note| note.path == path("file"));
    assert!(named.is_some_and(|note| note.reason.contains("lost")), "{:?}", report.notes);
}

#[test]
fn after_an_error_of_the_drive_nothing_counts_as_durable() {
    let index = |world: &World| {
        let tree = world.tree();
        Repository::read_index(&tree).unwrap().0
    };
    for k in 1.. {
        let (_folder, mut world) = world();
        for n in 0..6 {
            fs::write(world.source.join(format!("new{n}")), format!("{n}")).unwrap();
        }
        let faults = Faults::fail_at(k, Errno::IO).with_batches_of(2).without_links();
        if world.run(Some(Arc::new(faults))).is_ok() {
            assert!(k > 30, "only {k} operations");
            break;
        }
        let begun = index(&world).is_unclosed();
        assert!(
            !begun || index(&world).is_torn(),
            "operation {k} failed, and all counts as durable"
        );
        world.back_up();
    }
}

#[test]
fn what_somebody_put_into_the_mirror_outlives_a_torn_batch_and_the_check_after_it() {
    let mut torn = 0;
    for k in 0..80 {
        let (_folder, world) = self::world();
        let theirs = world.mirror().join("new/theirs");
        fs::create_dir(theirs.parent().unwrap()).unwrap();
        fs::write(&theirs, "not ours").unwrap();
        fs::create_dir(world.source.join("new")).unwrap();
        fs::write(world.source.join("new/ours"), "ours").unwrap();
        if world.run(Some(Arc::new(Faults::stop_after(k).without_links()))).is_ok() {
            break;
        }
        torn += u32::from(world.index().is_torn());
        world.run_checked(None, true).unwrap();
        let aside = (1..9).map(|n| world.repository().join(layout::unchecked(n)));
        let aside = aside.flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
        let mut places =
            aside.map(|entry| entry.unwrap().path().join("theirs")).chain([theirs.clone()]);
        assert!(places.any(|place| fs::read(place).is_ok_and(|found| found == b"not ours")), "{k}");
        assert_eq!(fs::read(world.mirror().join("new/ours")).unwrap(), b"ours");
    }
    assert!(torn > 5, "only {torn} runs were torn");
}
