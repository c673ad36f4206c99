//! Drives without hard links: where versions lie, that none lies there twice and none is copied on the
//! drive, and that all of them come back. Each is checked on a plain folder and on exFAT.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bkm_agent::backup::error::RunError;
use bkm_agent::backup::options::Monitor;
use bkm_agent::repository::catalog::document::EntryCategory;
use bkm_agent::source::rules::RawRules;

use super::bench::Bench;
use super::edits::set_mtime;
use super::profile;

/// Makes the bench that a test is on; `None` with the reason printed where it cannot be had.
pub(crate) type Place = fn(RawRules) -> Option<Bench>;

/// Everything is tracked but what lies below the folders `mirrored`.
pub(crate) fn tracked_but(mirrored: &[&str]) -> RawRules {
    let list = |rules: &[&str]| rules.iter().map(|&r| r.to_owned()).collect();
    RawRules {
        track_dirs: list(&["t"]),
        track_files: list(&["*"]),
        include_dirs: list(mirrored),
        ..Default::default()
    }
}

/// Tells a run to stop when it has copied so many bytes.
pub(crate) struct StopAfter<'a> {
    pub(crate) bytes: u64,
    pub(crate) copied: AtomicU64,
    pub(crate) stop: &'a AtomicBool,
}

impl Monitor for StopAfter<'_> {
    fn planned(&self, _files: u64, _bytes: u64) {}
    fn copied(&self, _files: u64, bytes: u64) {
        let copied = self.copied.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.stop.store(copied >= self.bytes, Ordering::SeqCst);
    }
    fn phase(&self, _phase: &str) {}
}

pub(crate) const LARGE: usize = 40 << 20;

pub(crate) fn write_large(bench: &Bench) {
    let bytes: Vec<u8> = (0..LARGE).map(|n| u8::try_from((n >> 12) % 251).unwrap()).collect();
    bench.write("large", bytes);
}

/// The part of a large file in the folder `of` of `.bkm`: its path and length.
pub(crate) fn part(bench: &Bench, of: &str) -> Option<(std::path::PathBuf, u64)> {
    let found = fs::read_dir(bench.at(".bkm").join(of)).ok()?;
    let mut parts = found
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("part-"));
    parts.next().map(|path| (path.clone(), fs::metadata(path).unwrap().len()))
}

pub(crate) fn a_version_lies_in_the_mirror_until_another_takes_its_place_and_then_where_it_was_brought(
    place: Place,
) {
    let Some(mut bench) = place(profile::all_tracked()) else { return };
    let bench = &mut bench;
    bench.write("changes", "one");
    bench.write("vanishes", "this will vanish");
    bench.write("sub/stays", "stays");
    let first = bench.increment();
    assert!(bench.is_displacing());
    assert_eq!(bench.contents().len(), 3, "{:?}", bench.contents());
    assert_eq!(bench.read("mirror/changes").unwrap(), "one");
    assert_eq!(fs::read_dir(bench.at(format!("{first}/track"))).unwrap().count(), 0);
    let brought = bench.entry(&first, "changes").unwrap();
    assert_eq!((brought.category, brought.content_in), (EntryCategory::Tracked, None));
    let old = bench.is_plain().then(|| bench.inode("mirror/changes"));

    bench.write("changes", "two, and longer");
    let report = bench.back_up();
    assert_eq!(report.bytes_copied, 15, "only what is new is copied");
    let second = report.increment.unwrap();
    assert_eq!(bench.read(format!("{first}/track/changes")).unwrap(), "one");
    assert_eq!(bench.read("mirror/changes").unwrap(), "two, and longer");
    assert_eq!(bench.read(format!("{second}/track/changes")), None);
    if let Some(old) = old {
        assert_eq!(bench.inode(format!("{first}/track/changes")), old, "moved, not copied");
    }

    bench.delete("vanishes");
    bench.delete("changes");
    let report = bench.back_up();
    assert_eq!(report.bytes_copied, 0);
    let third = report.increment.unwrap();
    for (path, content, brought_in) in
        [("vanishes", "this will vanish", &first), ("changes", "two, and longer", &second)]
    {
        let gone = bench.entry(&third, path).unwrap();
        assert_eq!(gone.category, EntryCategory::Deleted);
        assert_eq!(gone.content_in.as_deref(), Some(brought_in.as_str()));
        assert_eq!(bench.read(format!("{brought_in}/track/{path}")).unwrap(), content);
        assert_eq!(bench.read(format!("mirror/{path}")), None);
        assert_eq!(bench.read(format!("{third}/deleted/{path}")), None);
    }
    bench.world.check_points();
}

pub(crate) fn no_content_lies_on_the_drive_twice_whatever_happens_to_it(place: Place) {
    let Some(mut bench) = place(profile::all_tracked()) else { return };
    let bench = &mut bench;
    let mut versions = BTreeSet::new();
    for round in 0..6_u32 {
        for file in 0..5_u32 {
            if (round + file).is_multiple_of(3) || round == 0 {
                let content = format!("{file} in round {round} {}", "x".repeat(999));
                bench.write(format!("d/{file}"), &content);
                versions.insert(content);
            }
        }
        // Records alone change here.
        let mode = fs::Permissions::from_mode(0o600 + round);
        fs::set_permissions(bench.source("d/4"), mode).unwrap();
        set_mtime(&bench.source("d/3"), (1_700_000_000 + i64::from(round), 7));
        bench.back_up();
    }
    let on_drive = bench.contents();
    let contents: BTreeSet<_> = on_drive.iter().map(|path| bench.read(path).unwrap()).collect();
    assert_eq!(contents, versions);
    assert_eq!(on_drive.len(), versions.len(), "{on_drive:?}");
    bench.world.check_points();
}

pub(crate) fn a_file_that_stops_being_tracked_keeps_the_version_that_an_increment_relies_on(
    place: Place,
) {
    let Some(mut bench) = place(tracked_but(&["m"])) else { return };
    let bench = &mut bench;
    bench.write("t/keep", "so that the rules match");
    bench.write("m/keep", "so that the rules match");
    bench.write("f", "tracked");
    let first = bench.increment();
    // From now on only mirrored.
    let mirrored = RawRules {
        track_dirs: vec!["t".to_owned()],
        include_dirs: vec!["m".to_owned()],
        include_files: vec!["f".to_owned()],
        ..Default::default()
    };
    bench.world.set_rules(mirrored);
    let report = bench.back_up();
    assert_eq!((report.bytes_copied, report.unchanged), (0, 3));
    assert_eq!(bench.read("mirror/f").unwrap(), "tracked");
    bench.write("f", "mirrored only");
    bench.back_up();
    assert_eq!(bench.read(format!("{first}/track/f")).unwrap(), "tracked");
    assert_eq!(bench.read("mirror/f").unwrap(), "mirrored only");
    bench.delete("f");
    bench.back_up();
    assert_eq!(bench.read("mirror/f"), None);
    let left: Vec<_> = bench.contents();
    assert_eq!(left.len(), 3, "nothing keeps what was only mirrored: {left:?}");
    bench.world.check_points();
}

pub(crate) fn a_file_that_starts_being_tracked_gets_an_entry_without_being_copied(place: Place) {
    let Some(mut bench) = place(tracked_but(&["m"])) else { return };
    let bench = &mut bench;
    bench.write("t/keep", "so that the rules match");
    bench.write("m/f", "was mirrored");
    bench.write("m/gone", "was mirrored as well");
    bench.back_up();
    let inode = bench.is_plain().then(|| bench.inode("mirror/m/f"));
    let mut rules = tracked_but(&[]);
    rules.track_dirs.push("m".to_owned());
    bench.world.set_rules(rules);
    let report = bench.back_up();
    assert_eq!(report.bytes_copied, 0);
    let second = report.increment.unwrap();
    assert_eq!(bench.entry(&second, "m/f").unwrap().category, EntryCategory::Tracked);
    assert_eq!(bench.read(format!("{second}/track/m/f")), None, "it lies in the mirror");
    bench.write("m/f", "changed");
    bench.delete("m/gone");
    bench.back_up();
    assert_eq!(bench.read(format!("{second}/track/m/f")).unwrap(), "was mirrored");
    assert_eq!(bench.read(format!("{second}/track/m/gone")).unwrap(), "was mirrored as well");
    if let Some(inode) = inode {
        assert_eq!(bench.inode(format!("{second}/track/m/f")), inode);
    }
    bench.world.check_points();
}

pub(crate) fn names_that_change_their_case_alone_and_kinds_that_change_lose_nothing(place: Place) {
    let Some(mut bench) = place(tracked_but(&["m", "M", "Turn2"])) else { return };
    let bench = &mut bench;
    for path in ["Readme", "t/Folder/a", "t/Folder/Sub/b", "m/Folder/c", "m/File", "Turn/x"] {
        bench.write(path, path);
    }
    bench.back_up();
    bench.rename("Readme", "README");
    bench.rename("t/Folder", "t/FOLDER");
    bench.rename("m/Folder", "m/folder");
    bench.rename("m/File", "m/FILE");
    bench.back_up();
    bench.rename("t/FOLDER/Sub", "t/FOLDER/sub");
    bench.rename("t/FOLDER/a", "t/FOLDER/A");
    bench.write("t/FOLDER/A", "with other content");
    bench.back_up();
    // A folder becomes a file of another case, and the other way round.
    bench.delete("t/FOLDER");
    bench.write("t/folder", "a file now");
    bench.delete("m/FILE");
    bench.write("m/file/inside", "a folder now");
    bench.delete("README");
    bench.write("readme/deep/er", "a folder now");
    bench.back_up();
    bench.delete("t/folder");
    bench.write("t/Folder/a", "a folder again");
    bench.delete("readme");
    bench.write("Readme", "a file again");
    bench.delete("m/file");
    symlink("x", bench.source("m/File")).unwrap();
    bench.back_up();
    // Same case, and a link between.
    bench.delete("Readme");
    symlink("t", bench.source("Readme")).unwrap();
    bench.back_up();
    bench.delete("Readme");
    bench.write("Readme/file", "a folder");
    bench.rename("m", "M");
    bench.back_up();
    bench.world.check_points();
}

pub(crate) fn names_swap_case_with_one_another(place: Place) {
    let Some(mut bench) = place(profile::all_tracked()) else { return };
    let bench = &mut bench;
    bench.write("a", "small");
    bench.write("A", "capital");
    bench.write("d/x", "in small");
    bench.write("D/x", "in capital");
    bench.write("D/X", "in capital");
    bench.back_up();
    for (one, two) in [("a", "A"), ("d", "D")] {
        bench.rename(one, "between");
        bench.rename(two, one);
        bench.rename("between", two);
    }
    bench.back_up();
    bench.delete("A");
    bench.delete("D");
    bench.back_up();
    bench.write("A", "back");
    bench.write("D/x/y", "a folder where a file was");
    bench.delete("a");
    bench.delete("d");
    bench.back_up();
    bench.world.check_points();
}

pub(crate) fn a_moved_file_is_a_deletion_and_a_new_copy(place: Place) {
    let Some(mut bench) = place(profile::all_tracked()) else { return };
    let bench = &mut bench;
    bench.write("from/file", "moves");
    bench.write("stays", "stays");
    let first = bench.increment();
    bench.rename("from", "to");
    let report = bench.back_up();
    assert_eq!((report.new, report.moved, report.deleted), (1, 0, 1));
    assert_eq!(report.bytes_copied, 5);
    assert_eq!(bench.read(format!("{first}/track/from/file")).unwrap(), "moves");
    assert_eq!(bench.read("mirror/to/file").unwrap(), "moves");
    bench.world.check_points();
}

pub(crate) fn hard_links_of_the_source_are_files_of_their_own_and_come_back_as_links(place: Place) {
    let Some(mut bench) = place(profile::all_tracked()) else { return };
    let bench = &mut bench;
    bench.write("one", "shared");
    fs::hard_link(bench.source("one"), bench.source("two")).unwrap();
    fs::create_dir(bench.source("sub")).unwrap();
    fs::hard_link(bench.source("one"), bench.source("sub/three")).unwrap();
    let report = bench.back_up();
    assert_eq!(report.new, 3);
    for path in ["one", "two", "sub/three"] {
        assert_eq!(bench.read(format!("mirror/{path}")).unwrap(), "shared");
        assert_eq!(fs::metadata(bench.at(format!("mirror/{path}"))).unwrap().nlink(), 1);
    }
    bench.delete("two");
    bench.write("two", "by itself now");
    fs::hard_link(bench.source("one"), bench.source("four")).unwrap();
    bench.back_up();
    bench.write("one", "changed through every name");
    bench.back_up();
    bench.world.check_points();
}

pub(crate) fn a_sparse_file_has_its_full_size_on_the_drive_and_comes_back(place: Place) {
    const SIZE: u64 = 3 << 20;
    let Some(mut bench) = place(profile::all_tracked()) else { return };
    let bench = &mut bench;
    let file = File::create(bench.source("sparse")).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(b"in the middle", SIZE / 2).unwrap();
    drop(file);
    bench.back_up();
    let on_drive = fs::metadata(bench.at("mirror/sparse")).unwrap();
    assert_eq!(on_drive.len(), SIZE);
    assert!(on_drive.blocks() * 512 >= SIZE, "{} blocks", on_drive.blocks());
    bench.world.check_points();
}

pub(crate) fn a_large_file_goes_on_where_a_stop_left_it(place: Place) {
    let Some(mut bench) = place(profile::all_tracked()) else { return };
    let bench = &mut bench;
    bench.write("small", "small");
    bench.back_up();
    write_large(bench);
    let stop = AtomicBool::new(false);
    let monitor = StopAfter { bytes: 9 << 20, copied: AtomicU64::new(0), stop: &stop };
    let stopped = bench.world.run_as(|_, options| {
        options.stop = &stop;
        options.monitor = &monitor;
    });
    assert!(matches!(stopped, Err(RunError::Stopped { .. })), "{stopped:?}");
    bench.remount();
    let (path, there) = part(bench, "stage").unwrap();
    assert!(there >= 9 << 20 && there < LARGE as u64, "{there}");
    let inode = fs::metadata(path).unwrap().ino();
    let report = bench.world.run(None).unwrap();
    assert_eq!((report.new, report.problems.len()), (1, 0));
    assert_eq!(report.warnings, Vec::<String>::new(), "nothing waits for a check");
    if bench.is_plain() {
        assert_eq!(bench.inode("mirror/large"), inode, "the part was not gone on with");
    }
    bench.world.check_run(&report);
}
