//! Getting things back with the real program: where to, what becomes of what exists, going on after a kill,
//! scripts for other computers, and what differs between backups.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says why it was skipped, and plays the person at the files"
)]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;
#[allow(dead_code, reason = "each test binary uses its part of it")]
mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use common::home::{Home, tree};
use serde_json::json;
use support::loop_drive::LoopDrive;
use support::snapshot::Snapshot;

/// A home whose backup has two increments; the names of both.
fn two_backups(home: &Home) -> [String; 2] {
    let run = || home.json(&["run", "--json"])["increment"].as_str().unwrap().to_owned();
    set_time(&home.at("work/a.txt"), 1_795_425_300);
    let first = run();
    home.write("work/a.txt", "one, later");
    fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    home.write("work/new.txt", "new");
    [first, run()]
}

fn set_time(path: &Path, seconds: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// How two trees differ, in all but inodes.
fn differences(one: &Path, other: &Path) -> String {
    Snapshot::of(one).differences(&Snapshot::of(other), false)
}

/// A repository on a drive without hard links; `None` with the reason printed.
fn without_links(home: &Home) -> Option<LoopDrive> {
    let image = home.at("image");
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    if Command::new("mkfs.exfat").arg(&image).output().is_err() {
        println!("skipped: mkfs.exfat is missing");
        return None;
    }
    let drive = LoopDrive::of_image(&image, &home.at("media"), "exfat");
    let drive = drive.map_err(|why| println!("skipped: {why}")).ok()?;
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/media/backup" }));
    Some(drive)
}

#[test]
fn the_original_place_gets_back_what_is_missing_and_keeps_what_is_there() {
    let home = Home::with_docs();
    let [first, _] = two_backups(&home);
    let before = tree(home.folder());
    let refused = home.shown(&["restore", "sub/b.txt", "--at", &first]);
    assert!(refused.starts_with("exit 2") && refused.contains("--yes"), "{refused}");
    assert_eq!(tree(home.folder()), before);

    insta::assert_snapshot!(home.shown(&["restore", "--at", &first, "--yes"]), @r"
    exit 3
    restored 1 file (3 B) to /home/anna/work
      1 file was there already
      1 problem:
        a.txt: exists already and is not the same; --overwrite replaces it, --keep-both puts this one beside it
    ");
    assert_eq!(
        (home.read("work/a.txt"), home.read("work/sub/b.txt")),
        ("one, later".into(), "two".into())
    );
    assert_eq!(home.read("work/new.txt"), "new");
    // Its disk may be away.
    fs::rename(home.at("work"), home.at("elsewhere")).unwrap();
    home.profile("docs", &json!({ "src": "~/gone/work", "dist": "~/there/backup" }));
    let absent = home.shown(&["restore", "--yes"]);
    assert!(absent.contains("is its disk mounted?"), "{absent}");
    assert!(!home.at("gone").exists());
}

#[test]
fn what_exists_is_left_replaced_or_kept_beside_as_asked() {
    let home = Home::with_docs();
    let [first, _] = two_backups(&home);
    let with = |mode: &[&str]| {
        let all = ["restore", "--at", &first, "--to", "out"];
        home.shown(&[&all[..], mode].concat())
    };
    home.write("out/a.txt", "mine");
    home.write("out/sub/b.txt", "two");
    insta::assert_snapshot!(with(&["--missing"]), @r"
    exit 0
    restored 1 file (5 B) to out
      2 existing files left as they are
    ");
    fs::remove_file(home.at("out/sub/c.pdf")).unwrap();
    insta::assert_snapshot!(with(&["--keep-both"]), @r"
    exit 0
    restored 2 files (8 B) to out
      1 file was there already
      a.txt is now beside the one that exists: a (2026-11-23 09.15).txt
    ");
    assert_eq!(home.read("out/a.txt"), "mine");
    assert_eq!(home.read("out/a (2026-11-23 09.15).txt"), "one");
    // Again comes to the same.
    let before = tree(&home.at("out"));
    assert!(with(&["--keep-both"]).contains("3 files were there already"));
    assert_eq!(tree(&home.at("out")), before);

    fs::set_permissions(home.at("out/sub/b.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let ino = fs::metadata(home.at("out/sub/b.txt")).unwrap().ino();
    let before = tree(&home.at("out"));
    insta::assert_snapshot!(with(&["--overwrite", "--dry-run"]), @r"
    exit 0
      replace       3 B  a.txt
      touch         3 B  sub/b.txt
      same          5 B  sub/c.pdf
    1 file (3 B) to restore to out; nothing was written (dry run)
      2 files were there already
    ");
    insta::assert_snapshot!(with(&["--keep-both", "--dry-run"]), @r"
    exit 0
      same          3 B  a.txt
      same          3 B  sub/b.txt
      same          5 B  sub/c.pdf
    0 files (0 B) to restore to out; nothing was written (dry run)
      3 files were there already
    ");
    assert_eq!(tree(&home.at("out")), before, "a dry run wrote something");
    insta::assert_snapshot!(with(&["--overwrite"]), @r"
    exit 0
    restored 1 file (3 B) and 1 folder to out
      2 files were there already
    ");
    assert_eq!(home.read("out/a.txt"), "one");
    let b = fs::metadata(home.at("out/sub/b.txt")).unwrap();
    assert_eq!((b.mode() & 0o777, b.ino()), (0o644, ino), "put right, not copied again");
    fs::remove_file(home.at("out/a (2026-11-23 09.15).txt")).unwrap();
    home.done(&["restore", "--at", &first, "--to", "fresh"]);
    assert_eq!(differences(&home.at("out"), &home.at("fresh")), "");
    // A dry run makes no folder.
    home.done(&["restore", "--to", "never", "--dry-run"]);
    assert!(!home.at("never").exists());
}

#[test]
fn what_turned_into_something_else_turns_back_but_nothing_of_the_users_is_removed() {
    let home = Home::with_docs();
    two_backups(&home);
    fs::create_dir_all(home.at("out/a.txt")).unwrap();
    home.write("out/new.txt/mine", "mine");
    home.write("out/sub", "a file now");
    let secret = home.at("secret");
    fs::create_dir(&secret).unwrap();
    insta::assert_snapshot!(home.shown(&["restore", "--to", "out"]), @r"
    exit 3
    restored 0 files (0 B) to out
      4 problems:
        a.txt: exists already and is not the same; --overwrite replaces it, --keep-both puts this one beside it
        new.txt: exists already and is not the same; --overwrite replaces it, --keep-both puts this one beside it
        sub: a file or link stands in the place of the folder sub
        sub/c.pdf: a file or link stands in the place of the folder sub
    ");
    insta::assert_snapshot!(home.shown(&["restore", "--to", "out", "--overwrite"]), @r"
    exit 3
    restored 2 files (15 B) and 1 folder to out
      1 problem:
        new.txt: a folder that is not empty stands in its place; move it away
    ");
    assert_eq!(
        (home.read("out/a.txt"), home.read("out/sub/c.pdf")),
        ("one, later".into(), "three".into())
    );
    assert_eq!(home.read("out/new.txt/mine"), "mine");
    // No link is gone through, neither on the way nor as the last part.
    fs::remove_dir_all(home.at("out")).unwrap();
    fs::create_dir(home.at("out")).unwrap();
    symlink(&secret, home.at("out/sub")).unwrap();
    for mode in ["--missing", "--keep-both"] {
        let output = home.bkm(&["restore", "--to", "out", mode]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert_eq!(fs::read_dir(&secret).unwrap().count(), 0);
    }
    home.done(&["restore", "--to", "out", "--overwrite"]);
    assert_eq!(fs::read_dir(&secret).unwrap().count(), 0);
    assert!(home.at("out/sub").is_dir() && !home.at("out/sub").is_symlink());
}

#[test]
fn the_backup_itself_is_no_destination() {
    let home = Home::with_docs();
    home.done(&["run"]);
    let before = tree(&home.at("there"));
    for to in ["there/backup", "there/backup/mirror", "there/backup/new/folder"] {
        let output = home.bkm(&["restore", "--to", to, "--overwrite"]);
        assert_eq!(output.status.code(), Some(2), "{to}: {output:?}");
    }
    let reads = tree(&home.at("there"));
    assert_eq!(reads, before);
    let output = home.bkm(&["restore", "--repo", "there/backup", "a.txt", "--yes"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// Many files, a large one, hard links, closed folders.
fn fill(source: &Path) {
    for n in 0..300 {
        let folder = source.join(format!("d{}/e{}", n % 7, n % 3));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{n}")), vec![u8::try_from(n % 251).unwrap(); n * 17])
            .unwrap();
        set_time(&folder.join(format!("f{n}")), 1_600_000_000 + n as u64);
    }
    fs::write(
        source.join("large"),
        (0..24 << 20).map(|n: u32| n.to_le_bytes()[1]).collect::<Vec<_>>(),
    )
    .unwrap();
    fs::hard_link(source.join("d1/e1/f1"), source.join("z-link")).unwrap();
    fs::hard_link(source.join("d1/e1/f1"), source.join("d2/link")).unwrap();
    symlink("nowhere", source.join("link")).unwrap();
    for (folder, mode) in [("d3/e0", 0o555), ("d4", 0o700), ("d5/e1", 0o2775)] {
        fs::set_permissions(source.join(folder), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Kills a restore again and again at any instant, until it is through; the result must be the source.
fn killed_and_gone_on_with(home: &Home, to: &str, mode: &[&str]) {
    let args = [&["restore", "--to", to][..], mode].concat();
    let begun = std::time::Instant::now();
    home.done(&[&["restore", "--to", "whole"][..], mode].concat());
    let whole = begun.elapsed();
    fs::remove_dir_all(home.at("whole")).unwrap();
    let mut kills = 0;
    for round in 1..=12u32 {
        let mut command = home.command(&args);
        let mut child = common::Running(command.stdout(Stdio::null()).spawn().unwrap());
        // Not for luck: each instant is as good as another.
        std::thread::sleep(whole * (2 + round % 4) / 20);
        if child.0.try_wait().unwrap().is_none() {
            kills += 1;
        }
    }
    println!("{kills} of 12 restores were killed");
    home.done(&args);
    assert_eq!(differences(&home.at("work"), &home.at(to)), "", "{mode:?}");
    let before = Snapshot::of(&home.at(to));
    let again = home.done(&args);
    assert!(again.starts_with("restored 0 files (0 B)"), "{again}");
    assert_eq!(before.differences(&Snapshot::of(&home.at(to)), true), "");
}

#[test]
fn a_restore_that_is_killed_goes_on_where_it_was() {
    let home = Home::with_docs();
    fill(&home.at("work"));
    home.done(&["run"]);
    for (number, mode) in [&[][..], &["--missing"], &["--overwrite"]].iter().enumerate() {
        killed_and_gone_on_with(&home, &format!("out{number}"), mode);
    }
}

#[test]
fn what_a_killed_restore_left_is_removed_and_nothing_else() {
    let home = Home::with_docs();
    home.done(&["run"]);
    let left = ".bkm-restore-0123456789abcdef0123456789abcdef";
    home.write(&format!("out/{left}"), "a part");
    home.write("out/.bkm-restore-mine", "mine");
    home.write(&format!("out/other/{left}"), "not where this one restores");
    // What somebody else could have written is not gone on with.
    let part = format!(".bkm-restore-{}", &blake3::hash(b"a.txt").to_hex()[..32]);
    home.write("outside", "not to be touched");
    fs::hard_link(home.at("outside"), home.at(&format!("out/{part}"))).unwrap();
    home.done(&["restore", "--to", "out"]);
    assert_eq!(home.read("outside"), "not to be touched");
    assert_eq!(home.read("out/a.txt"), "one");
    assert!(!home.at(&format!("out/{left}")).exists() && !home.at(&format!("out/{part}")).exists());
    assert!(home.at("out/.bkm-restore-mine").exists());
    assert!(home.at(&format!("out/other/{left}")).exists());
}

#[test]
fn a_user_goes_on_with_closed_folders_and_without_the_right_to_give_files_away() {
    let home = Home::with_docs();
    fs::set_permissions(home.at("work/sub"), fs::Permissions::from_mode(0o555)).unwrap();
    let Some(user) = home.user() else { return };
    assert!(user.shown(&["run"]).starts_with("exit 0\n"));
    assert!(user.shown(&["restore", "--to", "out"]).starts_with("exit 0\n"));
    let open =
        |mode| fs::set_permissions(home.at("out/sub"), fs::Permissions::from_mode(mode)).unwrap();
    open(0o755);
    fs::remove_file(home.at("out/sub/b.txt")).unwrap();
    open(0o555);
    filetime(&home.at("out/sub"), &home.at("work/sub"));
    let again = user.shown(&["restore", "--to", "out"]);
    assert!(again.starts_with("exit 0\nrestored 1 file (3 B)"), "{again}");
    assert_eq!(differences(&home.at("work"), &home.at("out")), "");
}

/// Gives `to` the time of `from`.
fn filetime(to: &Path, from: &Path) {
    common::run(Command::new("touch").arg("-r").arg(from).arg(to));
}

#[test]
fn owners_are_mapped_as_root() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: only root can give files to others");
    }
    let home = Home::with_docs();
    std::os::unix::fs::chown(home.at("work/a.txt"), Some(1234), Some(5678)).unwrap();
    fs::set_permissions(home.at("work/a.txt"), fs::Permissions::from_mode(0o4755)).unwrap();
    home.done(&["run"]);
    let args = [
        "restore",
        "a.txt",
        "--to",
        "out",
        "--map-owner",
        "1234:root",
        "--map-group",
        "5678:99",
        "--keep-set-id",
    ];
    let shown = home.shown(&args);
    assert!(shown.starts_with("exit 3"), "{shown}");
    let made = fs::metadata(home.at("out/a.txt")).unwrap();
    assert_eq!((made.uid(), made.gid()), (0, 99));
    assert_eq!(made.mode() & 0o7777, 0o755, "set-user-ID would be root's");
    for bad in ["1234", "nobody-knows:0", "1:2:3"] {
        let output = home.bkm(&["restore", "a.txt", "--to", "out", "--map-owner", bad]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

/// The shells that are here.
fn shells() -> Vec<Vec<PathBuf>> {
    let shells = [("dash", None), ("busybox", Some("sh")), ("bash", None)];
    let found = shells.into_iter().filter_map(|(name, applet)| {
        let Some(shell) = common::find_tool(name) else {
            println!("skipped: {name} is missing");
            return None;
        };
        let mut words = vec![shell];
        words.extend(applet.map(PathBuf::from));
        Some(words)
    });
    found.collect()
}

fn run_script(
    home: &Home,
    shell: &[PathBuf],
    script: &str,
    args: &[&str],
    overwrite: bool,
) -> (i32, String) {
    let mut command = Command::new(&shell[0]);
    home.surround(&mut command);
    command.args(&shell[1..]).arg(home.at(script)).args(args);
    if overwrite {
        command.env("OVERWRITE", "1");
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

/// Names that a shell could take for something else.
fn hostile_names(source: &Path) {
    let names: &[&[u8]] = &[
        b"-rf",
        b"a'b",
        b"a\"b",
        b"$(touch pwned)",
        b"`touch pwned`",
        b"new\nline",
        b"end\n",
        b" blank ",
        b"back\\slash",
        b"*",
        b"~",
        b"#",
        b"!x",
        b"caf\xe9",
        b"\x1b[2J",
        b"--",
        b"$HOME",
        b"a;b&c|d",
        "ö ÿ".as_bytes(),
    ];
    for name in names {
        let folder = source.join(OsStr::from_bytes(&[b"d", *name].concat()));
        fs::create_dir(&folder).unwrap();
        fs::write(source.join(OsStr::from_bytes(name)), [b"content of ", *name].concat()).unwrap();
        fs::write(folder.join(OsStr::from_bytes(name)), *name).unwrap();
        symlink(OsStr::from_bytes(name), source.join(OsStr::from_bytes(&[b"l", *name].concat())))
            .unwrap();
    }
    set_time(&source.join("-rf"), 1_600_000_000);
    fs::set_permissions(source.join("d*"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(source.join("*"), fs::Permissions::from_mode(0o400)).unwrap();
}

/// How a restored tree differs but for what a shell cannot restore: parts of a second, links' times.
fn differs_for_a_shell(source: &Path, to: &Path) -> String {
    let coarse = |folder: &Path| {
        let mut snapshot = Snapshot::of(folder);
        for node in snapshot.0.values_mut() {
            node.mtime_ns = if node.kind == "link" { 0 } else { node.mtime_ns / 1_000_000_000 };
        }
        snapshot
    };
    coarse(source).differences(&coarse(to), false)
}

/// Writes the script of both increments and runs it in every shell.
fn scripts_restore(home: &Home) {
    let [first, _] = two_backups(home);
    home.done(&["restore", "--at", &first, "--to", "then"]);
    home.done(&["restore", "--script", "then.sh", "--at", &first, "--to", "nowhere"]);
    home.done(&["restore", "--script", "now.sh", "--to", "nowhere"]);
    if let Some(shellcheck) = common::find_tool("shellcheck") {
        common::run(
            Command::new(shellcheck)
                .args(["-s", "sh", "-e", "SC1111,SC1112,SC2016,SC2088,SC1003"])
                .arg(home.at("then.sh")),
        );
    } else {
        println!("skipped: shellcheck is missing");
    }
    assert!(!shells().is_empty());
    for shell in shells() {
        let name = shell[0].file_name().unwrap().to_str().unwrap();
        let repository = home.json(&["run", "--json"])["repository"].as_str().unwrap().to_owned();
        for (script, truth) in [("then.sh", "then"), ("now.sh", "work")] {
            let to = format!("-{name}-{script}");
            let run = |args: &[&str], overwrite| run_script(home, &shell, script, args, overwrite);
            let (code, said) = run(&[&repository, &to], false);
            assert_eq!(code, 0, "{name}: {said}");
            assert_eq!(differs_for_a_shell(&home.at(truth), &home.at(&to)), "", "{name}");
            // Again; then over something else.
            let (code, said) = run(&[&repository, &to], false);
            assert!(code == 0 && said.starts_with("0 restored"), "{name}: {said}");
            fs::write(home.at(&to).join("a.txt"), "mine").unwrap();
            let (code, said) = run(&[&repository, &to], false);
            assert!(code == 3 && said.contains("a.txt: exists already"), "{name}: {said}");
            assert_eq!(home.read(&format!("{to}/a.txt")), "mine");
            assert_eq!(run(&[&repository, &to], true).0, 0);
            assert_eq!(differs_for_a_shell(&home.at(truth), &home.at(&to)), "", "{name}");
            // A folder that became a link leads nowhere.
            fs::create_dir_all(home.at("outside")).unwrap();
            fs::remove_dir_all(home.at(&to).join("sub")).unwrap();
            symlink(home.at("outside"), home.at(&to).join("sub")).unwrap();
            let (code, said) = run(&[&repository, &to], true);
            assert!(code == 3 && !said.contains('\x1b'), "{name}: {said:?}");
            assert_eq!(fs::read_dir(home.at("outside")).unwrap().count(), 0);
        }
        let (code, said) = run_script(home, &shell, "then.sh", &["work"], false);
        assert!(code == 1 && said.contains("is not the backup's folder"), "{name}: {said}");
    }
    assert!(!home.at("pwned").exists() && !home.at("work/pwned").exists());
    let exists = home.bkm(&["restore", "--script", "then.sh", "--to", "x"]);
    assert_eq!(exists.status.code(), Some(1), "a script is never overwritten");
}

#[test]
fn a_script_restores_the_same_in_any_shell() {
    let home = Home::with_docs();
    hostile_names(&home.at("work"));
    scripts_restore(&home);
    // Without arguments it goes by what it was written for; what is gone from the backup is named.
    fs::remove_file(home.at("there/backup/mirror/sub/c.pdf")).unwrap();
    let (code, said) = run_script(&home, &shells()[0], "now.sh", &[], false);
    assert!(code == 3 && said.contains("sub/c.pdf: it is missing"), "{said}");
    assert_eq!(home.read("nowhere/a.txt"), "one, later");
}

#[test]
fn without_hard_links_restores_and_scripts_find_a_version_where_it_lies() {
    let home = Home::with_docs();
    let Some(_drive) = without_links(&home) else { return };
    hostile_names(&home.at("work"));
    scripts_restore(&home);
    home.done(&["restore", "--to", "now"]);
    assert_eq!(differences(&home.at("work"), &home.at("now")), "");
    home.write("now/a.txt", "mine");
    home.done(&["restore", "--to", "now", "--overwrite"]);
    assert_eq!(differences(&home.at("work"), &home.at("now")), "");
}

#[test]
fn diff_shows_what_changed_between_backups_and_since() {
    let home = Home::with_docs();
    let [first, second] = two_backups(&home);
    let shown =
        |args: &[&str]| home.shown(args).replace(&first, "[FIRST]").replace(&second, "[SECOND]");
    insta::assert_snapshot!(shown(&["diff", &first, &second]), @r"
    exit 0
    [FIRST] → [SECOND] (tracked files)
      changed       10 B  a.txt (was 3 B)
      new            3 B  new.txt
      deleted        3 B  sub/b.txt
    1 new (3 B), 1 changed (10 B), 0 moved (0 B), 0 touched (0 B), 1 deleted (3 B)
    ");
    insta::assert_snapshot!(shown(&["diff", &second, &first, "--json"]), @r#"
    exit 0
    {"after":"[FIRST]","before":"[SECOND]","differences":[{"change":"changed","path":"a.txt","size":3,"size_before":10},{"change":"deleted","path":"new.txt","size":3},{"change":"new","path":"sub/b.txt","size":3}],"problems":[]}
    "#);
    insta::assert_snapshot!(shown(&["diff", &second]), @r"
    exit 0
    [SECOND] → /home/anna/work (tracked files)
    0 new (0 B), 0 changed (0 B), 0 moved (0 B), 0 touched (0 B), 0 deleted (0 B)
    ");
    home.write("work/later.txt", "later");
    fs::rename(home.at("work/sub/c.pdf"), home.at("work/moved.pdf")).unwrap();
    set_time(&home.at("work/new.txt"), 1_600_000_000);
    fs::remove_file(home.at("work/a.txt")).unwrap();
    insta::assert_snapshot!(shown(&["diff", &second]), @r"
    exit 0
    [SECOND] → /home/anna/work (tracked files)
      deleted       10 B  a.txt
      new            5 B  later.txt
      moved          5 B  moved.pdf (was sub/c.pdf)
      touched        3 B  new.txt
    1 new (5 B), 0 changed (0 B), 1 moved (5 B), 1 touched (3 B), 1 deleted (10 B)
    ");
    assert_eq!(home.bkm(&["diff", "last week"]).status.code(), Some(1));
    assert_eq!(home.bkm(&["diff", "--repo", "there/backup", &first]).status.code(), Some(2));
}

#[test]
fn the_drive_that_is_missing_is_named_and_a_run_is_waited_for() {
    let home = Home::with_docs();
    home.done(&["run"]);
    let lock = File::open(home.at("there/backup/.bkm/lock")).unwrap();
    lock.lock().unwrap();
    let busy = home.shown(&["restore", "--to", "out"]);
    assert!(busy.starts_with("exit 1") && busy.contains("holds its lock"), "{busy}");
    lock.unlock().unwrap();
    // Readers do not mind each other.
    lock.lock_shared().unwrap();
    home.done(&["restore", "--to", "out"]);
    // Two restores to one folder do.
    let destination = File::open(home.at("out")).unwrap();
    destination.lock().unwrap();
    let busy = home.shown(&["restore", "--to", "out"]);
    assert!(busy.starts_with("exit 1") && busy.contains("another restore to out"), "{busy}");
    home.profile("docs", &json!({ "src": "~/work", "drive": { "label": "NO-SUCH-DRIVE" } }));
    let absent = home.shown(&["restore", "--to", "out"]);
    assert!(absent.contains("NO-SUCH-DRIVE"), "{absent}");
}
