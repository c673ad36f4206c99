//! Every attribute comes back, and nothing strange in a source stops a run or is taken as deleted.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says why it was skipped, and plays the person at the files"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;
#[allow(dead_code, reason = "each test binary uses its part of it")]
mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bkm_agent::fs::faults::Faults;
use bkm_agent::history::timeline;
use bkm_agent::restore::options::How;
use common::home::Home;
use rustix::fs::XattrFlags;
use support::edits::set_mtime;
use support::profile;
use support::snapshot::Snapshot;
use support::world::World;

fn world() -> (tempfile::TempDir, World) {
    let folder = support::scratch();
    let (source, drive) = (folder.path().join("source"), folder.path().join("drive"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&drive).unwrap();
    let world = World::new(&source, &drive, profile::all_tracked());
    (folder, world)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn modes_owners_times_and_links_come_back() {
    let (_folder, mut world) = world();
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
    let (_folder, mut world) = world();
    let (file, folder) = (world.source.join("file"), world.source.join("folder"));
    fs::write(&file, "content").unwrap();
    fs::create_dir(&folder).unwrap();
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, XattrFlags::empty()).is_ok()
    };
    if !set(&file, "user.comment", b"\0any\xffbytes") || !set(&folder, "user.empty", b"") {
        return println!("skipped: no extended attributes here");
    }
    for (path, acl) in [(&file, "u:1234:rw,g:77:r"), (&folder, "d:u:1234:rwx,u:55:x")] {
        if Command::new("setfacl").args(["-m", acl]).arg(path).status().is_err() {
            println!("without ACLs: setfacl is missing");
        }
    }
    // cap_net_raw, as `setcap` writes it.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    if is_root() {
        std::os::unix::fs::chown(&file, Some(1234), Some(5678)).unwrap();
    }
    if is_root() && !set(&file, "security.capability", capability) {
        println!("without capabilities: not here");
    }
    world.back_up();
    world.check_points();
}

#[test]
fn set_id_bits_come_back_only_where_that_is_asked_for() {
    let (_folder, world) = world();
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
fn the_command_gives_set_id_bits_back_where_it_is_asked_to() {
    let home = Home::with_docs();
    mode(&home.at("work/a.txt"), 0o4755);
    home.done(&["run"]);
    insta::assert_snapshot!(home.shown(&["restore", "a.txt", "--to", "plain"]), @r"
    exit 3
    restored 1 file (3 B) to plain
      1 problem:
        a.txt: its set-id bits were not restored: a backup is not trusted with them; --keep-set-id brings them back
    ");
    assert_eq!(fs::metadata(home.at("plain/a.txt")).unwrap().mode() & 0o7777, 0o755);
    home.done(&["restore", "a.txt", "--to", "kept", "--keep-set-id"]);
    assert_eq!(fs::metadata(home.at("kept/a.txt")).unwrap().mode() & 0o7777, 0o4755);
}

#[test]
fn a_user_restores_for_themselves_and_other_owners_and_set_id_bits_are_named() {
    if !is_root() {
        return println!("skipped: only root can give files to others");
    }
    let home = Home::with_docs();
    std::os::unix::fs::symlink("a.txt", home.at("work/link")).unwrap();
    let Some(user) = home.user() else { return };
    let give = |path: &str, uid, gid| {
        std::os::unix::fs::lchown(home.at("work").join(path), uid, gid).unwrap();
    };
    give("a.txt", Some(1234), None);
    give("sub/b.txt", None, Some(5678));
    give("sub", Some(1234), Some(5678));
    give("link", Some(1234), Some(5678));
    mode(&home.at("work/a.txt"), 0o6755);
    assert!(user.shown(&["run"]).starts_with("exit 0\n"));
    insta::assert_snapshot!(user.shown(&["restore", "--to", "out", "--keep-set-id"]), @r"
    exit 3
    restored 4 files (11 B) and 1 folder to out
      4 files and folders of other owners or groups are yours now: only root can give them back
      1 problem:
        a.txt: its set-id bits were not restored: they were for another owner or group, or the destination does not take them
    ");
    let restored = fs::metadata(home.at("out/a.txt")).unwrap();
    assert_eq!(restored.mode() & 0o7777, 0o2755, "set-user-ID would be that of another user");
    assert_eq!(home.read("out/sub/b.txt"), "two");
}

#[test]
fn what_is_restored_does_not_take_acls_from_the_folder_it_is_put_into() {
    let (_folder, world) = world();
    fs::create_dir(world.source.join("folder")).unwrap();
    for name in ["private", "folder/private"] {
        fs::write(world.source.join(name), "mine").unwrap();
        mode(&world.source.join(name), 0o640);
    }
    world.run(None).unwrap();
    let to = support::scratch();
    let acl = ["-m", "d:u:1234:rwx,d:g:5678:rwx"];
    if !Command::new("setfacl").args(acl).arg(to.path()).status().is_ok_and(|s| s.success()) {
        return println!("skipped: no ACLs here");
    }
    world.restore(&timeline::now(&world.index()), to.path());
    let differences = Snapshot::of(&world.source).differences(&Snapshot::of(to.path()), false);
    assert_eq!(differences, "");
}

#[test]
fn holes_are_kept_on_the_drive_and_by_a_restore() {
    let (_folder, mut world) = world();
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
    let (_folder, world) = world();
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
            println!("without devices: they cannot be made here");
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
    let (_folder, mut world) = world();
    let bytes: Vec<u8> =
        (0..40 << 20).map(|n: u32| n.to_le_bytes()[1] ^ n.to_le_bytes()[2]).collect();
    fs::write(world.source.join("large"), &bytes).unwrap();
    let world_one = world.at(world.repository().parent().unwrap()).one_worker();
    let whole = Arc::new(Faults::none());
    {
        let (_other, fresh) = self::world();
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
    if !is_root() {
        return println!("skipped: only root can run a part of this as another user");
    }
    let place = support::scratch();
    mode(place.path(), 0o755);
    let (source, drive) = (place.path().join("source"), place.path().join("drive"));
    for folder in [&source, &drive] {
        fs::create_dir(folder).unwrap();
        std::os::unix::fs::chown(folder, Some(65534), Some(65534)).unwrap();
    }
    let file = source.join("large");
    File::create(&file).unwrap().set_len(33 << 20).unwrap();
    mode(&file, 0o444);
    std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
    fs::write(source.join("small"), "small").unwrap();
    rustix::fs::rename(&file, place.path().join("later")).unwrap();
    assert!(as_nobody(&source, &drive, None), "the first run failed");
    rustix::fs::rename(place.path().join("later"), &file).unwrap();
    for k in 1..12 {
        if as_nobody(&source, &drive, Some(k)) {
            break;
        }
    }
    assert!(as_nobody(&source, &drive, None), "the run after all the cut ones failed");
    assert_eq!(fs::metadata(drive.join("repository/mirror/large")).unwrap().len(), 33 << 20);
}

/// A run by a user who is not root, cut off after `k` operations; whether it went well.
fn as_nobody(source: &Path, drive: &Path, k: Option<u64>) -> bool {
    use std::os::unix::process::CommandExt as _;
    let exe = std::env::current_exe().unwrap();
    let here = source.parent().unwrap().join("tests");
    if !here.exists() {
        fs::write(&here, fs::read(exe).unwrap()).unwrap();
        mode(&here, 0o755);
    }
    let mut child = Command::new(here);
    child.args(["--exact", "child", "--test-threads", "1"]);
    child.env("BKM_TEST_CHILD_SOURCE", source).env("BKM_TEST_CHILD_DRIVE", drive);
    if let Some(k) = k {
        child.env("BKM_TEST_CHILD_STOP", k.to_string());
    }
    child.uid(65534).gid(65534).current_dir("/").output().unwrap().status.success()
}

/// Not a test by itself: what another test starts as another user.
#[test]
fn child() {
    let var = |name| std::env::var_os(name);
    if let (Some(source), Some(drive)) = (var("BKM_TEST_CHILD_SOURCE"), var("BKM_TEST_CHILD_DRIVE"))
    {
        let world = World::new(Path::new(&source), Path::new(&drive), profile::all_tracked());
        let stop = var("BKM_TEST_CHILD_STOP").map(|k| k.to_str().unwrap().parse().unwrap());
        let run = world.one_worker().run(stop.map(|k| Arc::new(Faults::stop_after(k))));
        run.unwrap();
    }
}

#[test]
fn a_file_that_never_settles_is_kept_with_a_problem() {
    let (_folder, world) = world();
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
