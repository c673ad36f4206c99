//! Sources that are gone, empty, half gone, mounted in odd places, or change while they are read: what is
//! backed up must not be taken as deleted, and nothing may be skipped in silence.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use bkm_agent::backup::options::Monitor;

use crate::support::edits::delete;
use crate::support::files::write;
use crate::support::world::{World, counts, said, words};

// ---- what changes while it is read

/// Does something to the source once the plan is made, before anything is copied.
struct AfterPlan<F: Fn() + Sync>(F);

impl<F: Fn() + Sync> Monitor for AfterPlan<F> {
    fn planned(&self, _files: u64, _bytes: u64) {
        (self.0)();
    }
    fn copied(&self, _files: u64, _bytes: u64) {}
    fn phase(&self, _phase: &str) {}
}

#[test]
fn what_vanishes_between_the_scan_and_the_copy_is_no_problem_and_gone_after_the_next_run() {
    let (_folder, mut world) = World::fresh();
    write(world.source.join("stays"), "content");
    write(world.source.join("changed"), "content");
    world.back_up();
    write(world.source.join("changed"), "other content, then gone");
    for path in ["new", "folder/a", "folder/sub/b"] {
        write(world.source.join(path), "new, then gone");
    }
    let source = world.source.clone();
    let vanish = AfterPlan(|| {
        for path in ["new", "changed", "folder"] {
            delete(&source.join(path));
        }
    });
    let report = world.run_as(|_, options| options.monitor = &vanish).unwrap();
    assert_eq!((counts(&report), said(&report.problems)), ([0; 5], Vec::new()));
    assert_eq!(fs::read_to_string(world.mirror().join("changed")).unwrap(), "content");
    world.check_stage_empty();
    let report = world.run(None).unwrap();
    assert_eq!((report.deleted, said(&report.problems)), (1, Vec::new()));
    world.check_mirror();
}

#[test]
fn folders_that_come_and_go_while_the_source_is_read_are_no_problem() {
    let (folder, world) = World::fresh();
    write(world.source.join("stays"), "content");
    let outside = folder.path().join("outside");
    for number in 0..3 {
        for file in 0..40 {
            write(outside.join(format!("{number}/sub{}/{file}", file % 4)), file.to_string());
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Whole folders are moved in and out, so that no file changes while it is read.
        scope.spawn(|| {
            for round in 0_u64.. {
                let aside = outside.join((round % 3).to_string());
                let inside = world.source.join(format!("come-{}", round % 7));
                rustix::fs::rename(&aside, &inside).unwrap();
                std::thread::yield_now();
                rustix::fs::rename(&inside, &aside).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let runs: Vec<_> = (0..25).map(|_| world.run(None)).collect();
        done.store(true, Ordering::Relaxed);
        for run in runs {
            match run {
                Ok(report) => assert_eq!(said(&report.problems), [""; 0]),
                Err(error) => panic!("{}", words(&error)),
            }
        }
    });
    let report = world.run(None).unwrap();
    assert_eq!(said(&report.problems), [""; 0]);
    world.check_mirror();
    world.check_stage_empty();
    assert_eq!(fs::read_dir(world.mirror()).unwrap().count(), 1);
}

/// Writes to a file of the source the first time that something of it was copied.
struct WhileCopied {
    path: PathBuf,
    content: Vec<u8>,
    done: AtomicBool,
}

impl Monitor for WhileCopied {
    fn planned(&self, _files: u64, _bytes: u64) {}
    fn copied(&self, _files: u64, bytes: u64) {
        if bytes > 0 && !self.done.swap(true, Ordering::Relaxed) {
            fs::write(&self.path, &self.content).unwrap();
        }
    }
    fn phase(&self, _phase: &str) {}
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    let (_folder, mut world) = World::fresh();
    let path = world.source.join("file");
    // Longer and shorter than what was read first.
    for length in [5 << 20, 1 << 20] {
        fs::write(&path, vec![1; 3 << 20]).unwrap();
        let monitor = WhileCopied {
            path: path.clone(),
            content: vec![2; length],
            done: AtomicBool::new(false),
        };
        let report = world.run_as(|_, options| options.monitor = &monitor).unwrap();
        assert!(monitor.done.into_inner());
        assert_eq!(said(&report.problems), [""; 0]);
        assert_eq!(fs::read(world.mirror().join("file")).unwrap(), vec![2; length]);
        world.check_run(&report);
    }
}
