//! Every attribute comes back, and nothing strange in a source stops a run or is taken as deleted.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bkm_agent::fs::faults::Faults;
use bkm_agent::history::timeline;
use bkm_agent::restore::options::How;
use rustix::fs::XattrFlags;

use crate::support;
use crate::support::child::ChildRun;
use crate::support::edits::set_mtime;
use crate::support::fault::fault_as_user;
use crate::support::files::mode;
use crate::support::needs::{is_root, skipped, skipped_part};
use crate::support::snapshot::Snapshot;
use crate::support::world::World;

#[test]
fn modes_owners_times_and_links_come_back() {
    let (_folder, mut world) = World::fresh();
    let root = world.source.clone();
    fs::create_dir_all(root.join("shared/empty")).unwrap();
    for (name, bits) in [("locked", 0o400), ("open", 0o666), ("none", 0o000), ("runs", 0o755)] {
        fs::write(root.join(name), name).unwrap();
        mode(&root.join(name), if is_root() { bits } else { bits | 0o600 });
        set_mtime(&root.join(name), (1_234_567_890, 123_456_789));
    }
    symlink("no/such/thing", root.join("dangling")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    set_mtime(&root.join("dangling"), (-5, 999_999_999));
    fs::hard_link(root.join("open"), root.join("shared/twin")).unwrap();
    if is_root() {
        std::os::unix::fs::lchown(root.join("absolute"), Some(1234), Some(5678)).unwrap();
        std::os::unix::fs::lchown(root.join("shared"), Some(1234), Some(5678)).unwrap();
        std::os::unix::fs::lchown(root.join("runs"), Some(1234), Some(5678)).unwrap();
    }
    mode(&root.join("shared/empty"), 0o2750);
    mode(&root.join("shared"), 0o1777);
    set_mtime(&root.join("shared/empty"), (1_000_000_000, 1));
    set_mtime(&root.join("shared"), (1_000_000_000, 2));
    world.back_up();
    world.check_points();
}

#[test]
fn extended_attributes_acls_and_capabilities_come_back() {
    let (_folder, mut world) = World::fresh();
    let (file, folder) = (world.source.join("file"), world.source.join("folder"));
    fs::write(&file, "content").unwrap();
    fs::create_dir(&folder).unwrap();
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, XattrFlags::empty()).is_ok()
    };
    if !set(&file, "user.comment", b"\0any\xffbytes") || !set(&folder, "user.empty", b"") {
        return skipped("no extended attributes here");
    }
    for (path, acl) in [(&file, "u:1234:rw,g:77:r"), (&folder, "d:u:1234:rwx,u:55:x")] {
        if Command::new("setfacl").args(["-m", acl]).arg(path).status().is_err() {
            skipped_part("ACLs: setfacl is missing");
        }
    }
    // cap_net_raw, as `setcap` writes it.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    if is_root() {
        std::os::unix::fs::chown(&file, Some(1234), Some(5678)).unwrap();
    }
    if is_root() && !set(&file, "security.capability", capability) {
        skipped_part("capabilities: not here");
    }
    world.back_up();
    world.check_points();
}

#[test]
fn attributes_of_a_read_only_file_come_back() {
    fault_as_user("a staged file gets its mode before its attributes", || {
        let (_folder, mut world) = World::fresh();
        let file = world.source.join("read-only");
        fs::write(&file, "content").unwrap();
        if rustix::fs::setxattr(&file, "user.comment", b"any", XattrFlags::empty()).is_err() {
            return skipped("no extended attributes here");
        }
        mode(&file, 0o444);
        world.back_up();
        world.check_points();
    });
}

#[test]
fn set_id_bits_come_back_only_where_that_is_asked_for() {
    let (_folder, world) = World::fresh();
    // cap_net_raw, as `setcap` writes it.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut with_capability = false;
    for (name, bits) in [("user", 0o4755), ("group", 0o2750), ("both", 0o7711), ("sticky", 0o1644)]
    {
        let file = world.source.join(name);
        fs::write(&file, "content").unwrap();
        if is_root() {
            std::os::unix::fs::chown(&file, Some(1234), Some(5678)).unwrap();
        }
        mode(&file, bits);
        let (name, flags) = ("security.capability", XattrFlags::empty());
        with_capability |= rustix::fs::setxattr(&file, name, capability, flags).is_ok();
    }
    assert_eq!(world.run(None).unwrap().new, 4);
    let bits = |folder: &Path, name: &str| fs::metadata(folder.join(name)).unwrap().mode() & 0o7777;
    let all = |folder: &Path| ["both", "group", "sticky", "user"].map(|name| bits(folder, name));
    assert_eq!(all(&world.mirror()), [0o711, 0o750, 0o644, 0o755], "never on the drive");

    let versions = timeline::now(&world.index());
    let plain = support::scratch();
    let problems = world.restore_with_problems(&versions, plain.path());
    assert_eq!(all(plain.path()), [0o1711, 0o750, 0o1644, 0o755]);
    let named: Vec<_> = problems.iter().map(|p| p.path.to_key()).collect();
    assert_eq!(named, ["both", "group", "user"]);
    for problem in &problems {
        assert!(problem.reason.contains("set-id bits were not restored"), "{}", problem.reason);
        assert!(problem.reason.contains("--keep-set-id"), "{}", problem.reason);
    }

    let kept = support::scratch();
    let how = How { keep_set_id: true, ..How::default() };
    assert_eq!(world.restore_as(how, &versions, kept.path()), []);
    // Owners, times and capabilities as well: a change of owner would take both away.
    let differences = Snapshot::of(&world.source).differences(&Snapshot::of(kept.path()), false);
    assert_eq!(differences, "", "with capabilities: {with_capability}");
    assert_eq!(all(kept.path()), [0o7711, 0o2750, 0o1644, 0o4755]);
}

#[test]
fn what_is_restored_does_not_take_acls_from_the_folder_it_is_put_into() {
    let (_folder, world) = World::fresh();
    fs::create_dir(world.source.join("folder")).unwrap();
    for name in ["private", "folder/private"] {
        fs::write(world.source.join(name), "mine").unwrap();
        mode(&world.source.join(name), 0o640);
    }
    world.run(None).unwrap();
    let to = support::scratch();
    let acl = ["-m", "d:u:1234:rwx,d:g:5678:rwx"];
    if !Command::new("setfacl").args(acl).arg(to.path()).status().is_ok_and(|s| s.success()) {
        return skipped("no ACLs here");
    }
    world.restore(&timeline::now(&world.index()), to.path());
    let differences = Snapshot::of(&world.source).differences(&Snapshot::of(to.path()), false);
    assert_eq!(differences, "");
}

#[test]
fn holes_are_kept_on_the_drive_and_by_a_restore() {
    let (_folder, mut world) = World::fresh();
    let file = File::create(world.source.join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(b"in the middle", 20 << 20).unwrap();
    world.back_up();
    let small = |path: &Path| fs::metadata(path).unwrap().blocks() * 512 < 4 << 20;
    assert!(small(&world.mirror().join("sparse")), "no hole on the drive");
    let to = support::scratch();
    world.restore(&timeline::now(&world.index()), to.path());
    assert!(small(&to.path().join("sparse")), "no hole after a restore");
}

#[test]
fn what_is_no_file_link_or_folder_is_noted_and_never_opened() {
    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    let (_folder, world) = World::fresh();
    fs::write(world.source.join("file"), "content").unwrap();
    let mut special = vec!["fifo", "socket"];
    assert!(Command::new("mkfifo").arg(world.source.join("fifo")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(world.source.join("socket")).unwrap();
    // As /dev/null.
    for (name, kind) in [("block", "b"), ("character", "c")] {
        let made =
            Command::new("mknod").arg(world.source.join(name)).args([kind, "1", "3"]).output();
        if made.is_ok_and(|made| made.status.success()) {
            special.push(name);
        } else {
            skipped_part("devices: they cannot be made here");
        }
    }
    special.sort_unstable();
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, &world.source, WatchFlags::OPEN).unwrap();
    // The second one looks at what it knows.
    let reports = [world.run(None).unwrap(), world.run(None).unwrap()];
    let mut buffer = [std::mem::MaybeUninit::uninit(); 8192];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let mut opened = std::collections::BTreeSet::new();
    while let Ok(event) = events.next() {
        assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW));
        opened.extend(event.file_name().map(|name| name.to_str().unwrap().to_owned()));
    }
    assert_eq!(opened.into_iter().collect::<Vec<_>>(), ["file"]);
    for report in reports {
        assert_eq!(report.problems, []);
        let notes: Vec<_> = report.notes.iter().map(|n| n.path.to_key()).collect();
        assert_eq!(notes, special);
    }
    assert_eq!(fs::read_dir(world.mirror()).unwrap().count(), 1);
}

#[test]
fn a_large_file_goes_on_where_it_was_cut_off() {
    let (_folder, mut world) = World::fresh();
    let bytes: Vec<u8> =
        (0..40 << 20).map(|n: u32| n.to_le_bytes()[1] ^ n.to_le_bytes()[2]).collect();
    fs::write(world.source.join("large"), &bytes).unwrap();
    let world_one = world.at(world.repository().parent().unwrap()).one_worker();
    let whole = Arc::new(Faults::none());
    {
        let (_other, fresh) = World::fresh();
        fs::write(fresh.source.join("large"), &bytes).unwrap();
        fresh.one_worker().run(Some(Arc::clone(&whole))).unwrap();
    }
    world_one.run(Some(Arc::new(Faults::stop_after(whole.count() - 25)))).unwrap_err();
    let rest = Arc::new(Faults::none());
    let report = world_one.run(Some(Arc::clone(&rest))).unwrap();
    assert!(report.recovered);
    // One write of 1 MiB is one operation; some 20 of 40 are on the drive already.
    assert!(rest.count() + 15 < whole.count(), "{} of {}", rest.count(), whole.count());
    world.check_run(&report);
    world.check_points();
}

#[test]
fn a_read_only_large_file_whose_copy_was_whole_but_not_published_goes_on() {
    let place = support::scratch();
    mode(place.path(), 0o755);
    let (source, drive) = (place.path().join("source"), place.path().join("drive"));
    for folder in [&source, &drive] {
        fs::create_dir(folder).unwrap();
        give_to_user(folder);
    }
    let file = source.join("large");
    File::create(&file).unwrap().set_len(33 << 20).unwrap();
    mode(&file, 0o444);
    give_to_user(&file);
    fs::write(source.join("small"), "small").unwrap();
    rustix::fs::rename(&file, place.path().join("later")).unwrap();
    assert!(as_user(&source, &drive, None), "the first run failed");
    rustix::fs::rename(place.path().join("later"), &file).unwrap();
    for k in 1..12 {
        if as_user(&source, &drive, Some(k)) {
            break;
        }
    }
    assert!(as_user(&source, &drive, None), "the run after all the cut ones failed");
    assert_eq!(fs::metadata(drive.join("repository/mirror/large")).unwrap().len(), 33 << 20);
}

/// Somebody who is not root.
const NOBODY: u32 = 65534;

/// Gives a file to the user that makes the runs: nobody, where this is root.
fn give_to_user(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A run by a user who is not root, cut off after `k` operations; whether it went well.
fn as_user(source: &Path, drive: &Path, k: Option<u64>) -> bool {
    use std::os::unix::process::CommandExt as _;
    // The test program may lie where that user cannot go.
    let here = source.parent().unwrap().join("tests");
    if !here.exists() {
        fs::write(&here, fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        mode(&here, 0o755);
    }
    let mut run = ChildRun::new(source, drive, true);
    run.one_worker = true;
    run.stop_after = k;
    let mut run = run.command(&here);
    if is_root() {
        run.uid(NOBODY).gid(NOBODY);
    }
    let output = run.current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("running 1 test"), "the run was not begun: {said}");
    output.status.success()
}

#[test]
fn a_file_that_never_settles_is_kept_with_a_problem() {
    let (_folder, world) = World::fresh();
    let path = world.source.join("log");
    fs::write(&path, vec![0; 8 << 20]).unwrap();
    let (started, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            for n in 0_u64.. {
                file.write_all_at(&n.to_le_bytes(), n % 1000 * 8).unwrap();
                started.store(true, Ordering::Relaxed);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        while !started.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let report = world.run(None);
        stop.store(true, Ordering::Relaxed);
        report.unwrap()
    });
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert_eq!(report.problems[0].path.to_key(), "log");
    let again = world.run(None).unwrap();
    assert_eq!(again.problems, []);
    let mirror = Snapshot::of(&world.mirror());
    assert_eq!(mirror.0[&b"log"[..]].hash, Snapshot::of(&world.source).0[&b"log"[..]].hash);
}
