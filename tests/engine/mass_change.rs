//! Where too much of the source vanished or changed at once, the backup stays as it is until somebody
//! says that this is wanted (invariant 12).

use std::fs;
use std::sync::Arc;

use bkm_agent::backup::error::RunError;
use bkm_agent::config::profile::MassChange;
use bkm_agent::fs::faults::Faults;

use crate::support::files::write;
use crate::support::profile;
use crate::support::snapshot::Snapshot;
use crate::support::world::{World, counts, words};

#[test]
fn files_that_are_only_mirrored_are_no_mass_change() {
    let (_folder, mut world) = World::fresh();
    world.set_rules(profile::all_mirrored());
    for number in 0..9 {
        write(world.source.join(number.to_string()), "content");
    }
    world.back_up();
    for number in 1..9 {
        write(world.source.join(number.to_string()), "other content");
    }
    let limits = MassChange { percent: 1, files: 0 };
    let report = world.run_as(|profile, _| profile.mass_change = limits).unwrap();
    assert_eq!(counts(&report), [0, 8, 0, 0, 0]);
}

#[test]
fn by_default_half_of_the_files_and_more_than_a_thousand_are_refused() {
    let (_folder, world) = World::fresh();
    let path = |n: u32| world.source.join(format!("d{}/f{n}", n % 40));
    for n in 0..2001 {
        write(path(n), n.to_le_bytes());
    }
    world.run(None).unwrap();
    let before = Snapshot::of(&world.repository());
    for n in 0..1000 {
        fs::remove_file(path(n)).unwrap();
    }
    write(path(1000), "changed");
    let error = world.run(None).unwrap_err();
    let expected = RunError::MassChange {
        which: "--config test.json".to_owned(),
        path: world.source.clone(),
        tracked: 2001,
        deleted: 1000,
        changed: 1,
        limits: MassChange::default(),
    };
    assert_eq!(error.to_string(), expected.to_string());
    assert_eq!(before.differences(&Snapshot::of(&world.repository()), true), "");
    // One less is no more than half.
    write(path(0), 0_u32.to_le_bytes());
    let report = world.run(None).unwrap();
    assert_eq!((report.deleted, report.changed), (999, 1));
}

#[test]
fn a_refused_run_still_ends_what_an_interrupted_one_left() {
    let (_folder, world) = World::fresh();
    let world = world.one_worker();
    for name in ["a", "b", "c"] {
        write(world.source.join(name), name);
    }
    world.run(None).unwrap();
    write(world.source.join("d"), "interrupted");
    // Cut off when its batch is in the index and not all is in its place.
    let is_cut = |k| {
        world.run(Some(Arc::new(Faults::stop_after(k)))).is_err() && world.index().is_unclosed()
    };
    assert!((0..200).any(is_cut), "no run was cut off within its batch");
    for name in ["a", "b", "c", "d"] {
        write(world.source.join(name), "encrypted");
    }
    let limits = MassChange { percent: 50, files: 2 };
    let error = world.run_as(|profile, _| profile.mass_change = limits).unwrap_err();
    assert!(matches!(error, RunError::MassChange { .. }), "{}", words(&error));
    assert!(!world.index().is_unclosed());
    assert_eq!(fs::read_to_string(world.mirror().join("d")).unwrap(), "interrupted");
    assert_eq!(fs::read_to_string(world.mirror().join("a")).unwrap(), "a");
}
