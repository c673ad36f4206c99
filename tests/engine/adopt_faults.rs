//! The plug is pulled, or the drive fails, at every operation of a run that takes over a repository of the Python
//! tool: it is not begun, or finished by the next run, and the tool's increments are as they were.
//!
//! `BKM_FAULTS_STEP` sweeps every n-th operation only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bkm_agent::fs::faults::Faults;
use bkm_agent::repository::format;
use bkm_agent::repository::versioning::Keeping;
use rustix::io::Errno;

use crate::support::world::{World, words};
use crate::support::{self, python_tool};

const NAMES: [&str; 3] =
    ["backup_20250101_100000", "backup_20250102_100000", "backup_20250103_100000"];

/// A source and a repository of three runs; with changes since then. `live`: the tool linked the source's own
/// files.
fn made(live: bool) -> tempfile::TempDir {
    let folder = support::scratch();
    let at = |path: &str| folder.path().join(path);
    let write = |path: &str, content: &str| {
        let path = at("source").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    fs::create_dir_all(at("drive")).unwrap();
    let run = |name| {
        let options: &[&str] = if live { &["--live", "--old", "objects"] } else { &[] };
        python_tool::run(
            &at("source"),
            &at("drive").join(support::profile::REPOSITORY),
            name,
            options,
        );
    };
    for path in ["a", "b", "d/c", "d/e", "d/f/g"] {
        write(path, path);
    }
    run(NAMES[0]);
    write("a", "changed");
    write("new", "new");
    run(NAMES[1]);
    fs::remove_file(at("source/b")).unwrap();
    run(NAMES[2]);
    write("d/c", "changed since");
    write("h", "new since");
    fs::remove_file(at("source/d/e")).unwrap();
    folder
}

/// A copy with the same hard links.
fn copy(of: &Path) -> (tempfile::TempDir, World) {
    let folder = support::scratch();
    let copied =
        Command::new("cp").arg("-a").arg(of.join(".")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    let world = World::new(&source, &drive, support::profile::all_tracked()).one_worker();
    (folder, world)
}

/// The tool's own files, with their inodes.
fn theirs(world: &World) -> BTreeMap<String, (u64, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt as _;
    let repository = world.repository();
    let folders = NAMES.iter().map(|name| repository.join(name));
    let all = folders.flat_map(walkdir::WalkDir::new).map(Result::unwrap);
    all.filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let (path, ino) = (entry.path(), entry.metadata().unwrap().ino());
            (path.display().to_string(), (ino, fs::read(path).unwrap()))
        })
        .collect()
}

/// Every file of the mirror is wholly as before or as the source is.
fn check_mirror(world: &World, before: &BTreeMap<String, Vec<u8>>) {
    for (path, content) in files(&world.mirror()) {
        let source = fs::read(world.source.join(&path)).ok();
        let known = before.get(&path) == Some(&content) || source.as_ref() == Some(&content);
        assert!(known, "{path} in the mirror is neither old nor new");
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    all.filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(folder).unwrap().display().to_string();
            (path, fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn check(world: &World, cut: impl FnOnce(), before: &BTreeMap<String, Vec<u8>>) {
    let old = theirs(world);
    cut();
    assert_eq!(theirs(world), old, "the tool's increments were touched");
    check_mirror(world, before);
    let report = world.run(None).unwrap_or_else(|e| panic!("the next run failed: {}", words(&e)));
    assert_eq!(report.problems, []);
    assert_eq!(theirs(world), old, "the tool's increments were touched by the next run");
    assert_eq!(files(&world.mirror()), files(&world.source));
    let verified = world.verify(false);
    assert_eq!(verified.findings, []);
    let again = world.run(None).unwrap();
    assert_eq!((again.increment, again.bytes_copied), (None, 0));
    let listed: Vec<String> = world.index().increments().iter().map(|i| i.name.clone()).collect();
    assert_eq!(listed[..3], NAMES);
}

#[test]
fn a_takeover_that_is_cut_off_anywhere_is_finished_by_the_next_run() {
    if !python_tool::is_here() {
        return;
    }
    let step = support::number("BKM_FAULTS_STEP", 1) as usize;
    for live in [false, true] {
        let template = made(live);
        let (_folder, world) = copy(template.path());
        let mut before = files(&world.mirror());
        before.remove("mirror.json");
        let faults = Arc::new(Faults::none());
        world.run(Some(Arc::clone(&faults))).unwrap();
        let operations = faults.count();
        assert!(operations >= 60, "only {operations} operations");
        let errors = [Errno::IO, Errno::ROFS];
        for k in (0..operations).step_by(step) {
            println!("live {live}, operation {k} of {operations}");
            let (_folder, world) = copy(template.path());
            let stop = || drop(world.run(Some(Arc::new(Faults::stop_after(k)))).unwrap_err());
            check(&world, stop, &before);
            let (_folder, world) = copy(template.path());
            let error = errors[usize::try_from(k).unwrap() % errors.len()];
            let fail =
                || drop(world.run(Some(Arc::new(Faults::fail_at(k + 1, error)))).unwrap_err());
            check(&world, fail, &before);
        }
    }
}

#[test]
fn a_drive_without_hard_links_is_refused_and_left_as_it_is() {
    if !python_tool::is_here() {
        return;
    }
    let template = made(false);
    let (_folder, world) = copy(template.path());
    let world = world.without_links();
    let (old, mirror) = (theirs(&world), files(&world.mirror()));
    let error = words(&world.run(None).unwrap_err());
    assert!(error.contains("cannot be taken over: its drive has no hard links"), "{error}");
    assert_eq!((theirs(&world), files(&world.mirror())), (old, mirror));
    assert!(!world.repository().join(".bkm/format.json").exists());
}

#[test]
fn the_tools_reader_lists_and_searches_a_repository_without_hard_links() {
    if !python_tool::is_here() {
        return;
    }
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir_all(source.join("d")).unwrap();
    fs::create_dir(&drive).unwrap();
    fs::write(source.join("a.txt"), "one").unwrap();
    fs::write(source.join("d/b.txt"), "two").unwrap();
    std::os::unix::fs::symlink("a.txt", source.join("link")).unwrap();
    let mut world = World::new(&source, &drive, support::profile::all_tracked()).without_links();
    world.back_up();
    assert_eq!(format::read(&world.tree()).unwrap().unwrap().keeps_versions, Keeping::Displace);
    fs::write(source.join("a.txt"), "one, changed").unwrap();
    fs::remove_file(source.join("d/b.txt")).unwrap();
    world.back_up();
    let listed = python_tool::read(&world.repository(), &["list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("backup_")).count(), 2, "{listed}");
    for line in
        ["  tracked 3 a.txt", "  tracked 12 a.txt", "  deleted 3 d/b.txt", "  tracked 5 link"]
    {
        assert!(lines.contains(&line), "{listed}");
    }
    let found = python_tool::read(&world.repository(), &["search", "*.txt"]);
    assert_eq!(found.lines().count(), 4, "{found}");
}
