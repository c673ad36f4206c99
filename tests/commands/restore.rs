//! Getting things back with the real program: where to, what becomes of what exists, going on after a kill,
//! scripts for other computers, and what differs between backups.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::files::mode;
use crate::support::home::{Home, paths, tree};
use crate::support::process;
use crate::support::restoring::{
    differences, hostile_names, run_script, scripts_restore, set_time, shells, two_backups,
};
use crate::support::snapshot::Snapshot;

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
    // Some of its folders are closed.
    process::run(Command::new("chmod").args(["-R", "u+rwX"]).arg(home.at("whole")));
    fs::remove_dir_all(home.at("whole")).unwrap();
    let mut kills = 0;
    for round in 1..=12u32 {
        let mut command = home.command(&args);
        let mut child = process::Running(command.stdout(Stdio::null()).spawn().unwrap());
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
    process::run(Command::new("touch").arg("-r").arg(from).arg(to));
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
fn restore_brings_back_a_file_a_folder_a_mask_or_everything() {
    let home = Home::with_docs();
    let old = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(home.at("work/a.txt"), old).unwrap();
    let then = std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    File::options().write(true).open(home.at("work/a.txt")).unwrap().set_modified(then).unwrap();
    std::os::unix::fs::symlink("a.txt", home.at("work/link")).unwrap();
    home.done(&["run"]);

    shown!(home.shown(&["restore", "a.txt", "--to", "out/file"]), @r"
    exit 0
    restored 1 file (3 B) to out/file
    ");
    assert_eq!(home.read("out/file/a.txt"), "one");
    let meta = std::fs::metadata(home.at("out/file/a.txt")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
    assert_eq!(meta.modified().unwrap(), then);
    assert_eq!(paths(&home, "out/file"), ["a.txt"]);

    home.done(&["restore", "sub", "--to", "out/folder"]);
    assert_eq!(paths(&home, "out/folder"), ["sub", "sub/b.txt", "sub/c.pdf"]);
    home.done(&["restore", "--mask", "*.pdf", "--to", "out/mask"]);
    assert_eq!(paths(&home, "out/mask"), ["sub", "sub/c.pdf"]);
    home.done(&["restore", "--mask", "sub/*.txt", "--to", "out/path-mask"]);
    assert_eq!(paths(&home, "out/path-mask"), ["sub", "sub/b.txt"]);
    shown!(home.shown(&["restore", "--to", "out/all"]), @r"
    exit 0
    restored 4 files (11 B) and 1 folder to out/all
    ");
    assert_eq!(paths(&home, "out/all"), ["a.txt", "link", "sub", "sub/b.txt", "sub/c.pdf"]);
    assert_eq!(std::fs::read_link(home.at("out/all/link")).unwrap(), std::path::Path::new("a.txt"));
    let absolute = home.at("work/sub/b.txt");
    home.done(&["restore", absolute.to_str().unwrap(), "--to", "out/absolute"]);
    assert_eq!(home.read("out/absolute/sub/b.txt"), "two");
    shown!(home.shown(&["restore", "--to", "out/json", "--json"]), @r#"
    exit 0
    {"restored":4,"bytes":11,"folders":1,"already_there":0,"left":0,"beside":{},"others":0,"problems":[]}
    "#);
}

#[test]
fn restore_goes_back_to_an_increment_or_a_time() {
    let home = Home::with_docs();
    let first = home.json(&["run", "--json"])["increment"].as_str().unwrap().to_owned();
    let started = home.json(&["list", "--json"])[0]["timestamp"].as_str().unwrap().to_owned();
    // Times have seconds: the second run is to begin in another one.
    let begun: jiff::Timestamp = started.parse().unwrap();
    process::wait_for("the next second", || {
        (jiff::Timestamp::now().as_second() > begun.as_second()).then_some(())
    });
    home.write("work/a.txt", "one and a half");
    std::fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    let second = home.json(&["run", "--json"])["increment"].as_str().unwrap().to_owned();
    assert_ne!(first, second);

    home.done(&["restore", "--at", &first, "--to", "by-name"]);
    assert_eq!(home.read("by-name/a.txt"), "one");
    assert_eq!(home.read("by-name/sub/b.txt"), "two");
    home.done(&["restore", "--at", &second, "--to", "second"]);
    assert_eq!(home.read("second/a.txt"), "one and a half");
    assert_eq!(paths(&home, "second"), ["a.txt", "sub", "sub/c.pdf"]);
    home.done(&["restore", "a.txt", "--at", &started, "--to", "by-time"]);
    assert_eq!(home.read("by-time/a.txt"), "one");
    home.done(&["restore", "--to", "now"]);
    assert_eq!(home.read("now/a.txt"), "one and a half");

    shown!(home.shown(&["restore", "--at", "2001-02-03", "--to", "x"]), @r"
    exit 1
    --- stderr
    bkm-agent: nothing was backed up yet at 2001-02-03; the first backup is backup_[TIME]
    ");
    shown!(home.shown(&["restore", "--at", "yesterday", "--to", "x"]), @r"
    exit 1
    --- stderr
    bkm-agent: 'yesterday' is neither an increment (backup_YYYYMMDD_HHMMSS, see `bkm-agent list`) nor a time (2026-11-23, '2026-11-23 09:15' or [TIME])
    ");
    shown!(home.shown(&["restore", "--at", "backup_20010203_040506", "--to", "x"]), @r"
    exit 1
    --- stderr
    bkm-agent: there is no increment backup_[TIME] (see `bkm-agent list`)
    ");
    assert!(!home.at("x").exists(), "nothing is made for nothing");
}

#[test]
fn restore_never_overwrites_unasked_and_says_what_it_cannot_find() {
    let home = Home::with_docs();
    home.done(&["run"]);
    home.write("out/a.txt", "newer work");
    shown!(home.shown(&["restore", "--to", "out"]), @r"
    exit 3
    restored 2 files (8 B) and 1 folder to out
      1 problem:
        a.txt: exists already and is not the same; --overwrite replaces it, --keep-both puts this one beside it
    ");
    assert_eq!(home.read("out/a.txt"), "newer work");
    assert_eq!(home.read("out/sub/b.txt"), "two");
    shown!(home.shown(&["restore", "a.txt", "--to", "out", "--overwrite"]), @r"
    exit 0
    restored 1 file (3 B) to out
    ");
    assert_eq!(home.read("out/a.txt"), "one");

    shown!(home.shown(&["restore", "a.tx", "--to", "none"]), @r"
    exit 1
    --- stderr
    bkm-agent: the backup has nothing at 'a.tx'
    ");
    shown!(home.shown(&["restore", "--mask", "*.jpg", "--to", "none"]), @r"
    exit 1
    --- stderr
    bkm-agent: nothing in the backup matches
    ");
    shown!(home.shown(&["restore", "--mask", "{a", "--to", "none"]), @r"
    exit 2
    --- stderr
    bkm-agent: the mask '{a' is not a pattern: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
    ");
    shown!(home.shown(&["restore", "/etc/passwd", "--to", "none"]), @r"
    exit 2
    --- stderr
    bkm-agent: /etc/passwd is not a path below the source; write it as `bkm-agent list --detailed` shows it
    ");
    shown!(home.shown(&["restore", "../x", "--to", "none"]), @r"
    exit 2
    --- stderr
    bkm-agent: ../x is not a path below the source; write it as `bkm-agent list --detailed` shows it
    ");
    shown!(home.shown(&["restore", "a.txt"]), @r"
    exit 2
    --- stderr
    bkm-agent: this restores to the original place, and nobody can be asked: say --yes, look first with --dry-run, or name another place with --to DIR
    ");
    assert!(!home.at("none").exists(), "nothing is made for nothing");
}
