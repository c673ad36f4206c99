//! `search`, `versions` and `list` over all backups that are known: with the drive here and in the cupboard, in both
//! ways of keeping versions, and with what this computer keeps damaged.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::history::{full_paths_lead_to_the_versions, home_with_history};
use crate::support::home::{Home, tree};
use crate::support::needs::{self, skipped, skipped_part};
use crate::support::{self, process};

fn results(found: &Value) -> Vec<(String, String)> {
    let results = found["results"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    results.map(|result| (text(&result["path"]), text(&result["category"]))).collect()
}

/// What this computer keeps of the profile.
fn kept(home: &Home) -> PathBuf {
    let folder = home.at("state/bkm-agent/catalogs/docs");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.pop().unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, mostly snapshots")]
fn the_past_is_told_with_the_drive_here_and_away() {
    let home = home_with_history();
    let meta = fs::metadata(kept(&home)).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let folder = fs::metadata(kept(&home).parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    shown_undated!(home.shown(&["search"]), @r"
    exit 0
    backup_[TIME]  [TIME]
      ./
        +       3 B  [TIME]  a.txt
      sub/
        +       3 B  [TIME]  b.txt
        +    2.5 kB  [TIME]  c.pdf
    backup_[TIME]  [TIME]
      ./
        +       7 B  [TIME]  a.txt
      sub/
        -       3 B  [TIME]  b.txt
    backup_[TIME]  [TIME]
      ./
        -       7 B  [TIME]  a.txt
        =       7 B  [TIME]  z.txt (was a.txt)
    mirror  as of the last backup, files without history
      sub/
                8 B  [TIME]  notes.md
    8 versions, 2.5 kB
    ");
    shown_undated!(home.shown(&["search", "--mask", "b", "*.pdf", "--full-paths"]), @r"
    exit 0
    backup_[TIME]  [TIME]
      sub/
        +       3 B  [TIME]  b.txt
            /home/anna/there/backup/backup_[TIME]/track/sub/b.txt
        +    2.5 kB  [TIME]  c.pdf
            /home/anna/there/backup/backup_[TIME]/track/sub/c.pdf
    backup_[TIME]  [TIME]
      sub/
        -       3 B  [TIME]  b.txt
            /home/anna/there/backup/backup_[TIME]/deleted/sub/b.txt
    3 versions, 2.5 kB
    ");
    shown_undated!(home.shown(&["versions", "z.txt"]), @r"
    exit 0
    docs → /home/anna/there/backup
      [TIME]  new            3 B  d33fb48ab5ad  backup_[TIME]/track/a.txt  as a.txt
      [TIME]  changed        7 B  6a9f75eec646  backup_[TIME]/track/a.txt  as a.txt
      [TIME]  moved          7 B  6a9f75eec646  backup_[TIME]/track/z.txt  (current)
    ");
    let absolute = home.at("work/z.txt");
    let absolute = absolute.to_str().unwrap();
    assert_eq!(home.done(&["versions", absolute]), home.done(&["versions", "./z.txt"]));
    shown_undated!(home.shown(&["versions", "sub/notes.md"]), @r"
    exit 0
    docs → /home/anna/there/backup
      mirror               mirrored       8 B  a23eddbb1c1a  mirror/sub/notes.md  (current)
    ");
    let here = home.json(&["search", "--json"]);
    let list = home.json(&["list", "--json", "--detailed"]);
    let versions = home.json(&["versions", "z.txt", "--json"]);

    fs::rename(home.at("there/backup"), home.at("cupboard")).unwrap();
    shown_undated!(home.shown(&["list"]), @r"
    exit 0
    docs on /home/anna/there/backup, last seen [TIME] (from what this computer keeps)
    backup_[TIME]  [TIME]  3 new or changed (2.5 kB), 0 deleted
    backup_[TIME]  [TIME]  1 new or changed (7 B), 1 deleted
    backup_[TIME]  [TIME]  0 new or changed (0 B), 1 moved or touched, 1 deleted
    ");
    shown_undated!(home.shown(&["search", "--deleted"]), @r"
    exit 0
    docs on /home/anna/there/backup, last seen [TIME] (from what this computer keeps)
    backup_[TIME]  [TIME]
      sub/
        -       3 B  [TIME]  b.txt
    backup_[TIME]  [TIME]
      ./
        -       7 B  [TIME]  a.txt
    2 versions, 10 B
    ");
    shown_undated!(home.shown(&["versions", "z.txt"]), @r"
    exit 0
    docs on /home/anna/there/backup, last seen [TIME] (from what this computer keeps)
      [TIME]  new            3 B  d33fb48ab5ad  backup_[TIME]/track/a.txt  as a.txt
      [TIME]  changed        7 B  6a9f75eec646  backup_[TIME]/track/a.txt  as a.txt
      [TIME]  moved          7 B  6a9f75eec646  backup_[TIME]/track/z.txt  (current)
    ");
    shown_undated!(home.shown(&["search", "--mask", "notes"]), @r"
    exit 0
    Nothing matches in 1 backup; files without history are only found while their drive is here.
    ");
    // The same but for what says that it is away, and what only the drive knows.
    let blank = |mut value: Value| {
        let rows = if value.is_array() { &mut value } else { &mut value["results"] };
        for row in rows.as_array_mut().unwrap() {
            assert!(row.as_object_mut().unwrap().remove("here").unwrap().is_boolean());
        }
        value
    };
    let away = home.json(&["search", "--json"]);
    assert_eq!(away["repositories"][0]["here"], false);
    assert_eq!(away["total"], 7);
    assert_eq!(here["total"], 8);
    assert_eq!(results(&here).last().unwrap(), &("sub/notes.md".to_owned(), "mirrored".to_owned()));
    let mut without_mirror = blank(here);
    without_mirror["results"].as_array_mut().unwrap().pop();
    assert_eq!(blank(away)["results"], without_mirror["results"]);
    assert_eq!(blank(home.json(&["list", "--json", "--detailed"])), blank(list));
    assert_eq!(blank(home.json(&["versions", "z.txt", "--json"])), blank(versions));
    // A folder that was named is read as it is, and nothing of it is kept.
    let before = tree(&home.at("state"));
    let repo = home.json(&["search", "--json", "--repo", "cupboard"]);
    assert_eq!(repo["total"], 8);
    assert_eq!(home.json(&["list", "--json", "--repo", "cupboard"]).as_array().unwrap().len(), 3);
    assert_eq!(
        home.json(&["versions", "z.txt", "--json", "--repo", "cupboard"])[2]["event"],
        "moved"
    );
    assert_eq!(tree(&home.at("state")), before);
}

#[test]
fn filters_hold_together_and_bad_ones_are_refused() {
    let home = home_with_history();
    let paths = |args: &[&str]| {
        let args = [&["search", "--json"], args].concat();
        let mut paths: Vec<_> = results(&home.json(&args)).into_iter().map(|r| r.0).collect();
        paths.dedup();
        paths
    };
    assert_eq!(paths(&["--mask", "*.txt", "--size", ">3"]), ["a.txt", "z.txt"]);
    assert_eq!(paths(&["--size", "2K-3K"]), ["sub/c.pdf"]);
    assert_eq!(paths(&["--size", ">1", "--size", "<5", "--deleted"]), ["sub/b.txt"]);
    assert_eq!(paths(&["--path", "sub", "--mask", "*.txt", "*.md"]), ["sub/b.txt", "sub/notes.md"]);
    assert_eq!(paths(&["--path", "s*"]), ["sub/b.txt", "sub/c.pdf", "sub/b.txt", "sub/notes.md"]);
    let inside = home.at("work/sub");
    assert_eq!(paths(&["--path", inside.to_str().unwrap(), "--mask", "c"]), ["sub/c.pdf"]);
    assert_eq!(paths(&["--last-backups", "1"]), ["a.txt", "z.txt"]);
    assert_eq!(paths(&["--time", "<2020-01-01"]), [""; 0]);
    assert_eq!(paths(&["--time", ">2020-01-01", "--mask", "z"]), ["z.txt"]);
    for (wrong, says) in [
        (["--size", "10X"], "--size '10X' is no size"),
        (["--size", "5K-1K"], "its end comes before its beginning"),
        (["--time", "yesterday"], "--time 'yesterday' is no time"),
        (["--mask", "[a"], "'[a' is not a pattern"),
        (["--path", "/etc"], "/etc is not a path below the source"),
        (["--path", "/etc/*"], "is not a path below the source"),
        (["--last-backups", "0"], "invalid value '0'"),
        (["--last-backups", "many"], "invalid value 'many'"),
    ] {
        let output = home.bkm(&["search", wrong[0], wrong[1]]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {told}");
        assert!(told.contains(says), "{wrong:?}: {told}");
        assert!(output.stdout.is_empty(), "{wrong:?}");
    }
    shown_undated!(home.shown(&["search", "--mask", "nothing"]), @r"
    exit 0
    Nothing matches in 1 backup.
    ");
    shown_undated!(home.shown(&["versions", "sub"]), @r"
    exit 1
    --- stderr
    bkm-agent: sub is a folder; `bkm-agent search --path sub` shows what is in it
    ");
    shown_undated!(home.shown(&["versions", "nothing.txt"]), @r"
    exit 1
    --- stderr
    bkm-agent: no backup that is known has anything at 'nothing.txt'
    ");
    shown_undated!(home.shown(&["versions", "."]), @r"
    exit 2
    --- stderr
    bkm-agent: that is the whole source; name a file in it
    ");
}

#[test]
fn full_paths_lead_to_the_versions_where_names_are_links() {
    full_paths_lead_to_the_versions(&home_with_history());
}

#[test]
fn what_is_kept_is_made_anew_when_it_is_damaged() {
    let home = home_with_history();
    let file = kept(&home);
    let sound = fs::read(&file).unwrap();
    let found = home.done(&["search", "--json"]);
    let list = home.done(&["list"]);
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("garbage", vec![0xa5; 5000]),
        ("cut off", sound[..sound.len() - 10].to_vec()),
        ("of another version", [b"BKMCTL9\n", &sound[8..]].concat()),
        ("with a tail", [&sound[..], &[0; 100]].concat()),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(home.done(&["search", "--json"]), found, "{what}");
        if what != "with a tail" {
            assert_eq!(fs::read(&file).unwrap(), sound, "{what}");
        }
    }
    // Damage inside an increment: the drive knows better.
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&file, &damaged).unwrap();
    assert_eq!(home.done(&["search", "--json"]), found);
    assert_eq!(home.done(&["list"]), list);
    assert_eq!(fs::read(&file).unwrap(), sound);
    // Without the drive it is said, and not believed.
    fs::write(&file, &damaged).unwrap();
    fs::rename(home.at("there/backup"), home.at("cupboard")).unwrap();
    let output = home.bkm(&["search", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("is damaged; it is read again when"), "{told}");
    let some: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(some["total"].as_u64().unwrap() < 7, "{some}");
    fs::rename(home.at("cupboard"), home.at("there/backup")).unwrap();
    home.done(&["run"]);
    assert_eq!(fs::read(&file).unwrap(), sound, "a run brings it back");
    // Something else in its place.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let again = home.json(&["search", "--json"]);
    // The run was the last time that it was seen.
    assert_eq!(results(&again), results(&serde_json::from_str(&found).unwrap()));
    home.done(&["run"]);
}

#[test]
fn a_repository_that_was_made_anew_or_repaired_is_not_answered_from_old_catalogs() {
    let home = home_with_history();
    // Nobody makes two repositories in one second; where that happened, they would pass for one.
    let names = home.json(&["list", "--json"]);
    let last = names[2]["name"].as_str().unwrap().to_owned();
    process::wait_for("another second", || {
        let now = jiff::Timestamp::now().strftime("backup_%Y%m%d_%H%M%S").to_string();
        (now > last).then_some(())
    });
    fs::remove_dir_all(home.at("there/backup")).unwrap();
    home.write("work/new.txt", "new");
    home.done(&["run"]);
    let paths: Vec<_> =
        results(&home.json(&["search", "--json"])).into_iter().map(|r| r.0).collect();
    assert_eq!(paths, ["new.txt", "z.txt", "sub/c.pdf", "sub/notes.md"]);
    let catalog = home.json(&["list", "--json"])[0]["name"].as_str().unwrap().to_owned();
    fs::write(home.at(&format!("there/backup/{catalog}/{catalog}.json")), "{").unwrap();
    home.bkm(&["repair", "--json"]);
    let direct = home.json(&["list", "--json", "--repo", "there/backup"]);
    assert_eq!(home.json(&["list", "--json"])[0]["new_or_changed"], direct[0]["new_or_changed"]);
}

#[test]
fn hostile_names_reach_no_terminal_and_colours_only_one() {
    let home = Home::new();
    home.profile("docs", &json!({ "src": "~/work", "dist": "~/there/backup" }));
    home.write("work/evil\u{1b}[2J\n\u{202e}name.txt", "x");
    home.write("work/dir\u{1b}]0;title\u{7}/a.txt", "y");
    home.done(&["run"]);
    for args in [
        &["search", "--full-paths"][..],
        &["search", "--json"],
        &["versions", "evil\u{1b}[2J\n\u{202e}name.txt"],
        &["versions", "nothing\u{1b}[2J"],
        &["list", "--detailed"],
    ] {
        let output = home.bkm(args);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{args:?}: {text}");
    }
    let Some(script) = needs::find_tool("script") else {
        return skipped_part("colours on a terminal: script is missing");
    };
    let on_terminal = |variables: &[(&str, &str)]| {
        let mut command = Command::new(&script);
        home.surround(&mut command);
        let program = format!("{} search", support::program().display());
        command.env("TERM", "xterm").envs(variables.iter().copied());
        let output = command.args(["-qec", &program, "/dev/null"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let coloured = on_terminal(&[]);
    assert!(coloured.contains("\u{1b}[1mbackup_"), "{coloured:?}");
    assert!(!coloured.contains("\u{1b}[2J") && !coloured.contains("\u{1b}]0"), "{coloured:?}");
    for plain in [on_terminal(&[("NO_COLOR", "1")]), on_terminal(&[("TERM", "dumb")])] {
        assert!(!plain.contains('\u{1b}') && plain.contains("backup_"), "{plain:?}");
    }
}

#[test]
fn all_profiles_are_searched_and_those_that_are_gone_as_well() {
    let home = home_with_history();
    home.write("photos/sea.jpg", "sea");
    home.profile("photos", &json!({ "src": "~/photos", "dist": "~/there/photos" }));
    home.done(&["run", "--profile", "photos"]);
    shown_undated!(home.shown(&["search", "--mask", "sea", "z.txt"]), @r"
    exit 0
    docs → /home/anna/there/backup
    backup_[TIME]  [TIME]
      ./
        =       7 B  [TIME]  z.txt (was a.txt)
    photos → /home/anna/there/photos
    backup_[TIME]  [TIME]
      ./
        +       3 B  [TIME]  sea.jpg
    2 versions, 10 B
    ");
    shown_undated!(home.shown(&["list"]), @r"
    exit 0
    docs → /home/anna/there/backup
    backup_[TIME]  [TIME]  3 new or changed (2.5 kB), 0 deleted
    backup_[TIME]  [TIME]  1 new or changed (7 B), 1 deleted
    backup_[TIME]  [TIME]  0 new or changed (0 B), 1 moved or touched, 1 deleted
    photos → /home/anna/there/photos
    backup_[TIME]  [TIME]  1 new or changed (3 B), 0 deleted
    ");
    assert_eq!(home.json(&["search", "--json", "--profile", "photos"])["total"], 1);
    let rows = home.json(&["list", "--json"]);
    let of: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["profile"]).collect();
    assert_eq!(of, ["docs", "docs", "docs", "photos"]);
    let absolute = home.at("photos/sea.jpg");
    shown_undated!(home.shown(&["versions", absolute.to_str().unwrap()]), @r"
    exit 0
    photos → /home/anna/there/photos
      [TIME]  new            3 B  432f3c3ae9bd  backup_[TIME]/track/sea.jpg  (current)
    ");
    fs::remove_file(home.at("config/bkm-agent/profiles/photos.json")).unwrap();
    shown_undated!(home.shown(&["search", "--mask", "sea"]), @r"
    exit 0
    photos on /home/anna/there/photos, last seen [TIME] (from what this computer keeps)
    backup_[TIME]  [TIME]
      ./
        +       3 B  [TIME]  sea.jpg
    1 version, 3 B
    ");
}

#[test]
fn a_run_reads_no_catalog_of_before() {
    let Some(strace) = needs::find_tool("strace") else {
        return skipped("needs strace");
    };
    let home = home_with_history();
    // Of which increments the catalogs are opened.
    let opened = || -> Option<BTreeSet<String>> {
        let mut command = Command::new(&strace);
        home.surround(&mut command);
        command.args(["-f", "-qq", "-e", "trace=openat,openat2"]);
        let output = command.arg(support::program()).arg("run").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            skipped(format_args!("strace cannot trace here: {text}"));
            return None;
        }
        assert!(text.contains(".bkm/index"), "{text}");
        let catalogs = text.lines().filter(|line| line.contains(".json"));
        let name = |line: &str| line.find("backup_").map(|at| line[at..at + 22].to_owned());
        Some(catalogs.filter_map(name).collect())
    };
    let Some(without_changes) = opened() else { return };
    assert_eq!(without_changes, BTreeSet::new());
    home.write("work/new.txt", "new");
    let opened = opened().unwrap();
    let list = home.json(&["list", "--json"]);
    assert_eq!(list.as_array().unwrap().len(), 4);
    assert_eq!(opened, BTreeSet::new(), "not even its own, which it has in memory");
}
