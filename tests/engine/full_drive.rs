//! A drive that is full for one operation alone. Drives that stay full are in the tests of file systems.

use std::fs;
use std::sync::Arc;

use bkm_agent::backup::error::RunError;
use bkm_agent::fs::faults::Faults;

use crate::support::edits::delete;
use crate::support::world::{World, words};
use crate::support::{self, profile};

/// Tmpfs will do: any single operation finds the drive full, also those that need no room on a real one.
#[test]
fn an_operation_that_finds_the_drive_full_for_once_costs_nothing() {
    for links in [true, false] {
        let begin = || {
            let folder = support::scratch();
            let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
            fs::create_dir(&source).unwrap();
            fs::create_dir(&drive).unwrap();
            let world = World::new(&source, &drive, profile::all_mirrored()).one_worker();
            let mut world = if links { world } else { world.without_links() };
            for path in ["a", "b/changed", "gone/file", "to-move"] {
                world.write(path, path);
            }
            world.back_up();
            world.set_rules(profile::all_tracked());
            world.write("b/changed", "other content");
            world.write("new/file", "new");
            delete(&world.source.join("gone"));
            rustix::fs::rename(world.source.join("to-move"), world.source.join("moved")).unwrap();
            (folder, world)
        };
        let small = |faults: Faults| {
            let faults = faults.with_batches_of(3);
            Arc::new(if links { faults } else { faults.without_links() })
        };
        let counted = small(Faults::none());
        let (_folder, world) = begin();
        world.run(Some(Arc::clone(&counted))).unwrap();
        for k in 1..=counted.count() {
            println!("operation {k} of {}, links {links}", counted.count());
            let (_folder, mut world) = begin();
            let ran = world.run(Some(small(Faults::fail_at(k, rustix::io::Errno::NOSPC))));
            assert!(matches!(ran, Ok(_) | Err(RunError::FilledUp { .. })), "{ran:?}");
            let report = match ran {
                Ok(report) => report,
                Err(_) => world.run(None).unwrap_or_else(|e| panic!("{}", words(&e))),
            };
            assert_eq!(report.problems, []);
            world.check_run(&report);
            world.check_points();
        }
    }
}
