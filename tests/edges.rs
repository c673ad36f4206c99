//! Places where a backup program goes wrong: one test for each, named after what must not happen.

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod support;

use std::fs;
use std::path::Path;

use support::edits::{mtime, set_mtime};
use support::profile;
use support::world::World;

/// A world in a scratch folder; everything is tracked.
fn world() -> (tempfile::TempDir, World) {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    let world = World::new(&source, &drive, profile::all_tracked());
    (folder, world)
}

fn write(world: &World, path: &str, content: impl AsRef<[u8]>) {
    let path = world.source.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn rename(world: &World, from: &str, to: &str) {
    rustix::fs::rename(world.source.join(from), world.source.join(to)).unwrap();
}

/// Writes other content of the same length and sets the time back, as encrypted containers do.
fn write_in_secret(path: &Path, content: &[u8]) {
    let time = mtime(path);
    fs::write(path, content).unwrap();
    set_mtime(path, time);
}

#[test]
fn a_file_that_was_changed_with_its_time_set_back_and_renamed_is_copied() {
    let (_folder, mut world) = world();
    write(&world, "container", "before");
    world.back_up();
    write_in_secret(&world.source.join("container"), b"behind");
    rename(&world, "container", "renamed");
    world.back_up();
    assert_eq!(fs::read(world.mirror().join("renamed")).unwrap(), b"behind");
    world.check_points();
}

#[test]
fn files_of_a_renamed_folder_are_moved_without_being_read() {
    let (_folder, mut world) = world();
    write(&world, "old/a", "one");
    write(&world, "old/b", "two");
    set_mtime(&world.source.join("old/a"), (1_700_000_000, 5));
    set_mtime(&world.source.join("old/b"), (1_700_000_000, 6));
    world.back_up();
    rename(&world, "old", "new");
    let report = world.back_up();
    assert_eq!((report.moved, report.new, report.bytes_copied), (2, 0, 0));
}

#[test]
fn a_file_that_changes_its_hard_links_for_others_is_restored_with_the_right_ones() {
    let (_folder, mut world) = world();
    let link = |from: &str, to: &str| {
        fs::hard_link(world.source.join(from), world.source.join(to)).unwrap();
    };
    write(&world, "c", "the same in all of them");
    link("c", "f");
    link("c", "x");
    world.back_up();
    // f leaves the group of c and x, with the same content and time, and gets a link of its own.
    let (path, time) = (world.source.join("f"), mtime(&world.source.join("f")));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "the same in all of them").unwrap();
    set_mtime(&path, time);
    fs::hard_link(&path, world.source.join("d")).unwrap();
    world.back_up();
    world.check_points();
}
