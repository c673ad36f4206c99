//! Repositories that the Python backup-manager made are taken over; and its reader can read ours.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::adopting::{FIRST, SECOND, THIRD, python, three_runs, write};
use crate::support::home::{Home, tree};
use crate::support::{process, python_tool};

/// What the tool made: its increments and its JSON files, with what tells that they were not touched (but for
/// the number of links).
fn theirs(home: &Home) -> Vec<String> {
    let repository = home.at("there/backup");
    let mut lines: Vec<String> = [FIRST, SECOND, THIRD]
        .iter()
        .filter(|name| repository.join(name).is_dir())
        .flat_map(|name| walkdir::WalkDir::new(repository.join(name)).sort_by_file_name())
        .map(|entry| describe(entry.unwrap().path()))
        .collect();
    for entry in fs::read_dir(&repository).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            lines.push(describe(&path));
        }
    }
    lines
}

fn describe(path: &Path) -> String {
    let meta = fs::symlink_metadata(path).unwrap();
    let content = if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let (ino, mode, time) = (meta.ino(), meta.mode(), (meta.mtime(), meta.mtime_nsec()));
    format!("{} {ino} {mode:o} {time:?} {content:?}", path.display())
}

fn inodes(home: &Home) -> BTreeMap<String, u64> {
    let mirror = home.at("there/backup/mirror");
    let files = walkdir::WalkDir::new(&mirror).into_iter().map(Result::unwrap);
    files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(&mirror).unwrap();
            (path.display().to_string(), fs::metadata(entry.path()).unwrap().ino())
        })
        .collect()
}

#[track_caller]
fn run(home: &Home) -> Value {
    let report = home.json(&["run", "--json"]);
    assert_eq!(report["problems"], json!([]), "{report}");
    report
}

#[track_caller]
fn restored(home: &Home, at: &str, exit: i32) -> BTreeMap<String, String> {
    let to = home.at("restored");
    let _none = fs::remove_dir_all(&to);
    let output = home.bkm(&["restore", "--to", "restored", "--at", at]);
    assert_eq!(output.status.code(), Some(exit), "{output:?}");
    let files = walkdir::WalkDir::new(&to).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| {
            let path = entry.path().strip_prefix(&to).unwrap().display().to_string();
            (path, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_repository_of_either_layout_is_taken_over_without_copying_and_without_touching_it() {
    if !python_tool::is_here() {
        return;
    }
    for options in [
        &[][..],
        &["--beside"],
        &["--inside"],
        &["--old", "paths"],
        &["--old", "objects"],
        &["--old", "map", "--beside", "--inside"],
    ] {
        let home = three_runs(options);
        let (before, places) = (theirs(&home), inodes(&home));
        let untouched = tree(&home.at("there"));
        let plan = home.done(&["run", "--dry-run"]);
        assert!(plan.contains("to be taken over: a repository of the Python"), "{plan}");
        assert!(
            plan.contains("0 new, 0 changed, 0 touched, 0 moved, 0 deleted, 3 unchanged"),
            "{plan}"
        );
        assert_eq!(tree(&home.at("there")), untouched, "a dry run wrote something");

        let report = run(&home);
        let adopted = report["adopted"].as_str().unwrap();
        assert!(adopted.contains("3 files in its mirror, 3 increments"), "{adopted}");
        assert_eq!(report["bytes_copied"], 0, "{options:?}: {report}");
        assert_eq!(report["unchanged"], 3, "{options:?}: {report}");
        assert_eq!(theirs(&home), before, "{options:?}");
        assert_eq!(inodes(&home), places, "{options:?}");
        let mode = fs::metadata(home.at("there/backup")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "it is closed to others");

        let again = run(&home);
        assert_eq!((&again["increment"], &again["adopted"]), (&Value::Null, &Value::Null));
        let listed = home.json(&["list", "--json"]);
        let names: Vec<_> = listed.as_array().unwrap().iter().map(|i| &i["name"]).collect();
        assert_eq!(names[..3], [FIRST, SECOND, THIRD]);
        assert_eq!(names.len(), 4);
        assert_eq!(listed[0]["timestamp"], "2025-01-01T10:00:00+00:00");

        // Every tracked file is proven as of the first run of ours.
        let last = names[3].as_str().unwrap();
        let now = texts(&[("a.txt", "one, changed"), ("sub/b.txt", "two"), ("c.txt", "four")]);
        assert_eq!(restored(&home, last, 0), now);
        assert_eq!(theirs(&home), before);
    }
}

#[test]
fn what_the_tool_overwrote_is_said_and_what_it_may_have_is_proven_by_verify() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&[]);
    let report = run(&home);
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains(&format!("{FIRST}: the Python backup-manager overwrote 1 version")),
        "{warnings}"
    );
    assert!(
        report["adopted"].as_str().unwrap().contains("5 versions in them are unproven"),
        "{report}"
    );
    let before = theirs(&home);
    let list = home.done(&["list", "--detailed"]);
    assert!(list.contains("2 unproven until verified, 1 overwritten"), "{list}");
    assert!(list.contains("a.txt (overwritten by a later version)"), "{list}");
    assert!(list.contains("sub/b.txt (unproven)"), "{list}");

    let first = texts(&[("sub/b.txt", "two"), ("sub/gone.txt", "three")]);
    assert_eq!(restored(&home, FIRST, 3), first, "the overwritten one is a problem");
    let shown = home.shown(&["restore", "--to", "again", "--at", FIRST]);
    assert!(shown.contains("a.txt: is lost: the Python backup-manager overwrote it"), "{shown}");
    assert!(shown.contains("2 of them unproven"), "{shown}");
    let second = [("a.txt", "one, changed"), ("c.txt", "four")];
    let mut all = first;
    all.extend(texts(&second));
    assert_eq!(restored(&home, SECOND, 0), all);
    all.remove("sub/gone.txt");
    assert_eq!(restored(&home, THIRD, 0), all);

    let verified = home.done(&["verify"]);
    assert!(
        verified.contains("5 versions of the Python backup-manager are proven from now on"),
        "{verified}"
    );
    assert!(
        verified.contains(&format!("{FIRST}: the Python backup-manager overwrote 1 version")),
        "{verified}"
    );
    assert!(!verified.contains("in no record"), "{verified}");
    assert_eq!(theirs(&home), before);
    let list = home.done(&["list", "--detailed"]);
    assert!(!list.contains("unproven"), "{list}");
    assert_eq!(home.json(&["verify", "--json"])["proven"], 0);

    // From then on a flipped bit is found.
    let victim = home.at("there/backup").join(FIRST).join("track/sub/gone.txt");
    let time = fs::metadata(&victim).unwrap().modified().unwrap();
    fs::write(&victim, "thrEe").unwrap();
    File::options().write(true).open(&victim).unwrap().set_modified(time).unwrap();
    let found = home.bkm(&["verify"]);
    assert_eq!(found.status.code(), Some(3));
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(found.contains(&format!("sub/gone.txt in {FIRST}")), "{found}");
}

#[test]
fn runs_after_the_takeover_leave_old_versions_alone() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&[]);
    write(&home, "a.txt", "ours", 9);
    fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    write(&home, "new.txt", "new", 9);
    let before = theirs(&home);
    let report = run(&home);
    let counts =
        ["new", "changed", "deleted", "unchanged"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1], "{report}");
    write(&home, "a.txt", "ours again", 10);
    run(&home);
    assert_eq!(theirs(&home), before);
    home.done(&["verify"]);
    let last = home.json(&["list", "--json"])[4]["name"].as_str().unwrap().to_owned();
    let now = texts(&[("a.txt", "ours again"), ("c.txt", "four"), ("new.txt", "new")]);
    assert_eq!(restored(&home, &last, 0), now);
    let then = texts(&[("a.txt", "one, changed"), ("sub/b.txt", "two"), ("c.txt", "four")]);
    assert_eq!(restored(&home, THIRD, 0), then);
    // The tool's reader lists theirs and ours together, in their order.
    let listed = python_tool::read(&home.at("there/backup"), &["list"]);
    let names: Vec<&str> = listed.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(names[..3], [FIRST, SECOND, THIRD]);
    assert_eq!((names.len(), names[4]), (5, last.as_str()));
}

#[test]
fn their_increments_can_be_removed_like_ours() {
    if !python_tool::is_here() {
        return;
    }
    for options in [&[][..], &["--old", "paths"]] {
        let home = three_runs(options);
        run(&home);
        write(&home, "a.txt", "ours", 9);
        let last = run(&home)["increment"].as_str().unwrap().to_owned();
        let before = restored(&home, &last, 0);
        let third = restored(&home, THIRD, 0);
        home.profile(
            "docs",
            &json!({ "src": "~/work", "dist": "~/there/backup", "retention": { "keep_last": 3 } }),
        );
        home.done(&["prune"]);
        let repository = home.at("there/backup");
        assert!(!repository.join(FIRST).exists() && !repository.join(SECOND).exists());
        assert!(!repository.join(".bkm/adopted").join(format!("{FIRST}.json")).exists());
        assert_eq!(restored(&home, THIRD, 0), third);
        assert_eq!(restored(&home, &last, 0), before);
        let verified = home.done(&["verify"]);
        assert!(!verified.contains("in no record"), "{verified}");
        assert!(!home.done(&["list"]).contains("unproven"));
    }
}

#[test]
fn a_mirror_file_that_is_the_sources_own_gets_an_inode_of_its_own() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&["--live", "--old", "paths"]);
    // The tool linked it and did not see it changed since.
    let source = |path: &str| fs::metadata(home.at("work").join(path)).unwrap().ino();
    assert_eq!(inodes(&home)["sub/b.txt"], source("sub/b.txt"));
    // Gone from the rules and moved in the source: the mirror's name leads to the source's file all the same.
    fs::rename(home.at("work/c.txt"), home.at("work/moved.txt")).unwrap();
    let before = theirs(&home);
    let report = run(&home);
    assert!(report["warnings"].to_string().contains("share their file"), "{report}");
    assert_eq!(theirs(&home), before);
    for (path, ino) in inodes(&home) {
        assert_ne!(ino, source(&path), "{path}");
    }
    let deleted = walkdir::WalkDir::new(home.at("there/backup")).into_iter().map(Result::unwrap);
    let deleted: Vec<_> = deleted.filter(|e| e.path().ends_with("deleted/c.txt")).collect();
    assert_eq!(deleted.len(), 1);
    assert_ne!(fs::metadata(deleted[0].path()).unwrap().ino(), source("moved.txt"));
    // A change of the source in place reaches nothing of ours.
    fs::write(home.at("work/sub/b.txt"), "TWO").unwrap();
    assert_eq!(home.read("there/backup/mirror/sub/b.txt"), "two");
    assert_eq!(
        home.read(&format!("there/backup/{FIRST}/track/sub/b.txt")),
        "TWO",
        "theirs cannot be helped"
    );
}

#[test]
fn content_that_differs_under_the_same_size_and_time_is_copied_afresh() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&[]);
    // A copy that was cut off, say.
    let mirror = home.at("there/backup/mirror/c.txt");
    let time = fs::metadata(&mirror).unwrap().modified().unwrap();
    fs::write(&mirror, "fo\0\0").unwrap();
    File::options().write(true).open(&mirror).unwrap().set_modified(time).unwrap();
    let report = run(&home);
    assert_eq!((&report["changed"], &report["bytes_copied"]), (&json!(1), &json!(4)));
    assert_eq!(home.read("there/backup/mirror/c.txt"), "four");
}

#[test]
fn what_only_the_rules_take_out_of_the_mirror_is_told_one_run_before() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&[]);
    write(&home, "deep/Cache/x.bin", "cached", 3);
    write(&home, "deep/y.txt", "y", 3);
    python(&home, "backup_20250104_100000", &[]);
    home.profile(
        "docs",
        &json!({ "src": "~/work", "dist": "~/there/backup", "exclude_dirs": ["Cache"], "exclude_files": ["c.txt"] }),
    );
    let plan = home.json(&["run", "--dry-run", "--json"]);
    let report = run(&home);
    for report in [&plan, &report] {
        let notes = report["notes"].to_string();
        assert!(notes.contains("deep/Cache") && notes.contains("c.txt"), "{report}");
        assert!(
            report["warnings"].to_string().contains("takes them out of the mirror"),
            "{report}"
        );
        assert_eq!(report["deleted"], 0, "{report}");
    }
    assert!(home.at("there/backup/mirror/deep/Cache/x.bin").exists());
    assert!(home.at("there/backup/mirror/c.txt").exists());
    let next = run(&home);
    assert_eq!(next["deleted"], 2, "{next}");
    assert!(next["notes"].to_string().contains("leaves the mirror"), "{next}");
    assert!(!home.at("there/backup/mirror/deep/Cache/x.bin").exists());
    let increment = next["increment"].as_str().unwrap();
    assert_eq!(home.read(&format!("there/backup/{increment}/deleted/c.txt")), "four");
    assert_eq!(run(&home)["deleted"], 0);
    home.done(&["verify"]);
}

#[test]
fn files_without_versions_stay_so_and_those_that_lose_theirs_are_counted() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&[]);
    write(&home, "pics/p.jpg", "picture", 1);
    python(&home, "backup_20250104_100000", &["--mirrored", "pics"]);
    home.profile(
        "docs",
        &json!({ "src": "~/work", "dist": "~/there/backup", "track_files": ["a.txt", "c.txt"],
            "include_dirs": ["pics", "sub"], "max_workers": 2 }),
    );
    let report = run(&home);
    assert!(report["warnings"].to_string().contains("1 file whose versions"), "{report}");
    assert_eq!(report["bytes_copied"], 0);
    let last = home.json(&["list", "--json"])[4]["name"].as_str().unwrap().to_owned();
    let tracked = texts(&[("a.txt", "one, changed"), ("c.txt", "four")]);
    assert_eq!(restored(&home, &last, 0), tracked);
    assert_eq!(home.read("there/backup/mirror/pics/p.jpg"), "picture");
}

#[test]
fn before_it_is_taken_over_no_other_command_works_on_it() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&[]);
    let before = tree(&home.at("there"));
    for args in [&["list"][..], &["verify"], &["repair"], &["restore", "--to", "x"]] {
        let output = home.bkm(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("made by the Python backup-manager"), "{args:?}: {said}");
    }
    let check = home.done(&["check"]);
    assert!(
        check.contains("made by the Python backup-manager; the next run takes it over"),
        "{check}"
    );
    assert_eq!(tree(&home.at("there")), before);
    run(&home);
    assert!(!home.done(&["check"]).contains("Python"));
}

#[test]
fn a_strangers_folder_and_another_sources_backup_are_left_alone() {
    if !python_tool::is_here() {
        return;
    }
    // Folders of that name, and nothing that says who made them.
    let home = Home::with_docs();
    home.write("there/backup/mirror/x", "x");
    home.write("there/backup/notes.json", "{}");
    home.write(&format!("there/backup/{FIRST}/{FIRST}.json"), r#"{"files": {"x": 1}}"#);
    let before = tree(&home.at("there"));
    assert_eq!(home.bkm(&["run"]).status.code(), Some(1));
    assert_eq!(tree(&home.at("there")), before);
    // The backup of another source.
    let home = three_runs(&[]);
    fs::remove_dir_all(home.at("work")).unwrap();
    home.write("work/other.txt", "x");
    let before = tree(&home.at("there"));
    let said = home.shown(&["run"]);
    assert!(said.contains("Is it the backup of another source?"), "{said}");
    assert_eq!(tree(&home.at("there")), before);
    // One of ours without its format.json is damaged, not theirs.
    let home = Home::with_docs();
    run(&home);
    fs::remove_file(home.at("there/backup/.bkm/format.json")).unwrap();
    let said = home.shown(&["run"]);
    assert!(said.contains("repair") && !said.contains("Python"), "{said}");
}

#[test]
fn repair_rebuilds_what_was_lost_after_a_takeover_and_leaves_theirs_alone() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&[]);
    run(&home);
    write(&home, "a.txt", "ours", 9);
    run(&home);
    let before = theirs(&home);
    fs::remove_file(home.at("there/backup/.bkm/index")).unwrap();
    home.bkm(&["repair"]);
    assert_eq!(theirs(&home), before);
    assert_eq!(run(&home)["bytes_copied"], 0);
    home.done(&["verify"]);
    // All of our records.
    fs::remove_dir_all(home.at("there/backup/.bkm")).unwrap();
    home.bkm(&["repair"]);
    assert_eq!(theirs(&home), before);
    assert_eq!(run(&home)["bytes_copied"], 0);
    home.done(&["verify"]);
}

#[test]
fn a_hostile_repository_leads_nowhere() {
    if !python_tool::is_here() {
        return;
    }
    let home = three_runs(&[]);
    home.write("secret", "secret");
    let repository = home.at("there/backup");
    let list = repository.join(FIRST).join(format!("{FIRST}.json"));
    let text = fs::read_to_string(&list).unwrap();
    let hostile =
        json!({ "size": 6, "mtime": 1.5, "category": "tracked", "backup_path": "../../../secret" });
    let mut document: Value = serde_json::from_str(&text).unwrap();
    for path in ["../../../secret", "/etc/passwd", "a/../../b", "plain", ""] {
        document["file_catalog"][path] = hostile.clone();
    }
    fs::write(&list, document.to_string()).unwrap();
    let fifo = |at: &Path| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
    };
    fifo(&repository.join("mirror/fifo"));
    fifo(&repository.join(SECOND).join("track/fifo"));
    fifo(&repository.join(SECOND).join("backup_fifo.json"));
    // A list that is no JSON, and one that is too deep.
    fs::write(repository.join(THIRD).join(format!("{THIRD}.json")), "[".repeat(100_000)).unwrap();
    std::os::unix::fs::symlink(home.at("secret"), repository.join(THIRD).join("track/out"))
        .unwrap();
    std::os::unix::fs::symlink(home.folder(), repository.join("mirror/home")).unwrap();
    let report = run(&home);
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains(&format!("{FIRST}: ")) && warnings.contains("are no paths"),
        "{warnings}"
    );
    assert!(warnings.contains(&format!("{THIRD}: has no list that can be read")), "{warnings}");
    assert!(warnings.contains("mirror/fifo"), "{warnings}");
    let restored = restored(&home, SECOND, 3);
    assert!(!restored.values().any(|content| content == "secret"), "{restored:?}");
    assert_eq!(home.read("secret"), "secret");

    // A mirror that is a link is not taken.
    let home = three_runs(&[]);
    let repository = home.at("there/backup");
    fs::rename(repository.join("mirror"), home.at("elsewhere")).unwrap();
    std::os::unix::fs::symlink(home.at("elsewhere"), repository.join("mirror")).unwrap();
    let before = tree(&home.at("there"));
    let said = home.shown(&["run"]);
    assert!(said.contains("its mirror is no folder"), "{said}");
    assert_eq!(tree(&home.at("there")), before);
    assert!(home.at("elsewhere/a.txt").exists());
}

#[test]
fn the_tools_reader_lists_and_searches_ours_and_its_script_restores() {
    if !python_tool::is_here() {
        return;
    }
    let home = Home::with_docs();
    run(&home);
    write(&home, "a.txt", "one, changed", 5);
    home.write("work/it's \"q\".txt", "quoted");
    std::os::unix::fs::symlink("a.txt", home.at("work/link")).unwrap();
    fs::create_dir(home.at("work/empty")).unwrap();
    run(&home);
    fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    run(&home);
    let repository = home.at("there/backup");
    let listed = python_tool::read(&repository, &["list"]);
    assert_eq!(listed.lines().filter(|line| !line.starts_with(' ')).count(), 3, "{listed}");
    assert!(
        listed.contains("  deleted 3 sub/b.txt\n") && listed.contains("  tracked 5 link\n"),
        "{listed}"
    );
    let found = python_tool::read(&repository, &["search", "a.*"]);
    assert_eq!(found.lines().count(), 2, "{found}");
    assert!(found.lines().all(|line| line.ends_with("True")), "{found}");
    let script = python_tool::read(&repository, &["script", home.at("back").to_str().unwrap()]);
    let mut sh = std::process::Command::new("sh");
    process::run(sh.arg("-c").arg(&script));
    for path in ["a.txt", "sub/c.pdf", "it's \"q\".txt"] {
        assert_eq!(home.read(&format!("back/{path}")), home.read(&format!("work/{path}")));
    }
    assert!(!home.at("back/sub/b.txt").exists());
}
