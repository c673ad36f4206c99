//! Real ends: the process is killed at any instant.
//!
//! `BKM_KILLS` raises the number; half of the kills are on drives without hard links.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::real_ends::{
    Committed, Run, SERIES, Tally, change, run_after, time_of_a_run, to_copy, wait_until_it_works,
};
use crate::support::snapshot::Snapshot;
use crate::support::world::World;
use crate::support::{self, profile};

fn folders(place: &Path) -> (PathBuf, PathBuf) {
    let (source, drive) = (place.join("source"), place.join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    (source, drive)
}

fn check_kills(links: bool) {
    let kills = support::number("BKM_KILLS", 120) / 2;
    let mut tally = Tally::default();
    for first in (0..kills).step_by(SERIES as usize) {
        let place = support::scratch();
        let (source, drive) = folders(place.path());
        let mut world = World::new(&source, &drive, profile::all_tracked());
        if !links {
            world = world.without_links();
        }
        change(&source, first + 1000);
        world.back_up();
        change(&source, first + 1001);
        let usual = time_of_a_run(&source, &drive, links);
        assert_eq!(to_copy(&world), 0, "the child's run was not complete");
        world.learn_all();
        for round in first..kills.min(first + SERIES) {
            let before = Snapshot::of(&world.mirror());
            change(&source, round);
            let (total, index) = (to_copy(&world), Committed::before(&world));
            let mut run = Run::start(&source, &drive, links);
            if round.is_multiple_of(4) {
                let usual = u64::try_from(usual.as_micros()).unwrap();
                std::thread::sleep(Duration::from_micros(support::spread(
                    &round.to_le_bytes(),
                    usual,
                )));
            } else {
                let records = world.repository().join(".bkm");
                wait_until_it_works(&mut run, &records, round, usual / 3);
            }
            drop(run);
            world.check_cut_off(&before);
            let committed = index.since(&world, links);
            run_after(&mut world, total, committed, &mut tally);
        }
        world.check_points();
    }
    tally.print(if links { "runs killed" } else { "runs killed on a drive without hard links" });
}

#[test]
fn a_run_that_is_killed_at_any_instant_loses_nothing() {
    check_kills(true);
}

#[test]
fn a_run_that_is_killed_on_a_drive_without_hard_links_loses_nothing() {
    check_kills(false);
}
