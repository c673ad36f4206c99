//! A hostile drive: links, mounts, devices and endless files in the place of what the program put there.
//! What every command must keep to is in `support::attack`.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};

use crate::support::attack::{
    Attacked, DAMAGED, Expected, HARMLESS, NO_CATALOG, OLD_VERSION, ONE_PROBLEM, folders, words,
};
use crate::support::needs::{skipped, skipped_part};

/// `path` as one that leads up from the folder `from`, both below the home.
fn relative(from: &Path, path: &Path, home: &Path) -> PathBuf {
    let ups = from.strip_prefix(home).unwrap().components().map(|_| "..");
    ups.collect::<PathBuf>().join(path.strip_prefix(home).unwrap())
}

#[test]
fn symbolic_links_in_the_place_of_folders_lead_nowhere() {
    for number in 0..folders(&Attacked::new()).len() {
        for kind in ["absolute", "relative", "to the very folder, moved away"] {
            let mut attacked = Attacked::new();
            attacked.know_increments();
            let (folder, expected) = folders(&attacked).swap_remove(number);
            let path = attacked.repository().join(&folder);
            // `join` of nothing ends in a slash, which would follow the link.
            let path = PathBuf::from(path.to_str().unwrap().trim_end_matches('/'));
            let (home, mut target) = (attacked.home.folder().to_owned(), attacked.outside());
            if kind.starts_with("to the very") {
                target = target.join("moved");
                fs::rename(&path, &target).unwrap();
            } else {
                fs::remove_dir_all(&path).unwrap();
            }
            if kind == "relative" {
                target = relative(path.parent().unwrap(), &target, &home);
            }
            symlink(&target, &path).unwrap();
            attacked.remember_outside();
            attacked.expect(&format!("{folder:?} as a link, {kind}"), &expected);
        }
    }
}

#[test]
fn a_folder_above_the_repository_that_becomes_a_link_leads_nowhere() {
    let mut attacked = Attacked::new();
    attacked.know_increments();
    let (there, moved) = (attacked.home.at("there"), attacked.outside().join("moved"));
    fs::rename(&there, &moved).unwrap();
    symlink(&moved, &there).unwrap();
    attacked.remember_outside();
    attacked.expect("the folder above", &Expected { says: "leads to", ..DAMAGED });
}

/// What can stand in the place of a file.
const KINDS: [&str; 9] = [
    "fifo",
    "socket",
    "folder",
    "null",
    "zero",
    "loop device",
    "link",
    "link to zero",
    "hard link",
];

/// Puts something of that kind at `path`; `false` if that cannot be done here.
fn put(kind: &str, path: &Path, outside: &Path) -> bool {
    let node = |file_type, major, minor| {
        let dev = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(CWD, path, file_type, Mode::from_raw_mode(0o666), dev).is_ok()
    };
    match kind {
        "fifo" => node(FileType::Fifo, 0, 0),
        "socket" => UnixListener::bind(path).is_ok(),
        "folder" => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("in it"), "x").is_ok()
        }
        "null" => node(FileType::CharacterDevice, 1, 3),
        "zero" => node(FileType::CharacterDevice, 1, 5),
        "loop device" => node(FileType::BlockDevice, 7, 0),
        "link" => symlink(outside.join("a.txt"), path).is_ok(),
        "link to zero" => symlink("/dev/zero", path).is_ok(),
        _ => fs::hard_link(outside.join("a.txt"), path).is_ok(),
    }
}

#[test]
fn nothing_but_a_regular_file_is_opened_in_the_place_of_a_file() {
    let readable = Expected { list: &[0], restore: &[0], restore_at: &[0], ..DAMAGED };
    for kind in KINDS {
        for file in ["index", "stamp", "lock", "format.json", "catalog", "mirror", "track"] {
            let mut attacked = Attacked::new();
            attacked.know_increments();
            let first = attacked.increments()[0].clone();
            let (path, expected) = match file {
                "catalog" => (format!("{first}/{first}.json"), NO_CATALOG),
                "mirror" => ("mirror/a.txt".to_owned(), ONE_PROBLEM),
                "track" => (format!("{first}/track/a.txt"), OLD_VERSION),
                "lock" => (".bkm/lock".to_owned(), Expected { ..readable }),
                // A stamp of other bytes is a torn one; it is not written through its other name.
                "stamp" if kind == "hard link" => {
                    (".bkm/stamp".to_owned(), Expected { ..readable })
                }
                other => (format!(".bkm/{other}"), DAMAGED),
            };
            let path = attacked.repository().join(path);
            fs::remove_file(&path).unwrap();
            if !put(kind, &path, &attacked.outside()) {
                skipped_part(format_args!("{kind} cannot be made here"));
                continue;
            }
            attacked.remember_outside();
            attacked.expect(&format!("{file} as {kind}"), &expected);
        }
    }
}

#[test]
fn a_hard_link_to_a_sound_record_is_not_written_through() {
    for file in ["index", "stamp", "lock"] {
        let mut attacked = Attacked::new();
        let path = attacked.repository().join(".bkm").join(file);
        fs::hard_link(&path, attacked.outside().join(file)).unwrap();
        let expected = Expected { list: &[0], restore: &[0], restore_at: &[0], ..DAMAGED };
        // The attack's own link changed the times outside; nothing may from now on.
        attacked.remember_outside();
        attacked.expect(&format!("{file} with a second name outside"), &expected);
    }
}

#[test]
fn an_endless_file_is_not_read_to_its_end() {
    const TERA: u64 = 1 << 40;
    for emptied in [false, true] {
        for file in ["index", "stamp", "lock", "format.json", "catalog", "mirror", "track"] {
            let mut attacked = Attacked::new();
            let first = attacked.increments()[0].clone();
            let (path, expected) = match file {
                "catalog" => (format!("{first}/{first}.json"), NO_CATALOG),
                // The increment's copy is the same file, unless the mirror's was replaced.
                "mirror" => {
                    ("mirror/a.txt".to_owned(), Expected { restore: &[0, 3], ..ONE_PROBLEM })
                }
                "track" => (format!("{first}/track/a.txt"), OLD_VERSION),
                // Zeros behind an index are a torn tail, and what lies behind a stamp is not read; an
                // empty one is a torn one.
                "index" if !emptied => (".bkm/index".to_owned(), HARMLESS),
                "stamp" | "lock" => (format!(".bkm/{file}"), HARMLESS),
                other => (format!(".bkm/{other}"), DAMAGED),
            };
            let path = attacked.repository().join(path);
            if emptied {
                fs::remove_file(&path).unwrap();
                fs::File::create(&path).unwrap();
            }
            let endless = fs::OpenOptions::new().write(true).open(&path).unwrap();
            if endless.set_len(TERA).is_err() {
                return skipped("no file of 1 TiB can be made here");
            }
            attacked.expect(&format!("{file} of 1 TiB, emptied: {emptied}"), &expected);
        }
    }
}

#[test]
fn odd_things_in_the_staging_area_are_told_or_cleared() {
    let mut attacked = Attacked::new();
    let stage = attacked.repository().join(".bkm/stage");
    for kind in KINDS.into_iter().filter(|kind| *kind != "folder") {
        if !put(kind, &stage.join(kind), &attacked.outside()) {
            skipped_part(format_args!("{kind} cannot be made here"));
        }
    }
    // A second name that goes away changes the file's times.
    attacked.outside_may_lose_a_link(|attacked| {
        let output = attacked.home.bkm(&["run"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    });
    assert_eq!(fs::read_dir(&stage).unwrap().count(), 0);
    fs::create_dir_all(stage.join("folder/in it")).unwrap();
    attacked.expect("a folder in the staging area", &HARMLESS);
    assert!(attacked.repository().join(".bkm/unchecked-1/folder/in it").is_dir());
    fs::remove_dir_all(&stage).unwrap();
    attacked.expect("no staging area", &HARMLESS);
}

#[test]
fn names_with_escape_sequences_are_shown_without_them() {
    let mut attacked = Attacked::new();
    attacked.know_increments();
    let evil = "evil \x1b]0;owned\x07 \u{9b}31m \u{202e}txt.exe\n.txt";
    attacked.home.write(&format!("work/{evil}"), "content");
    attacked.home.write(&format!("work/{evil}.d/{evil}"), "content");
    assert_eq!(attacked.command(&["run"]).status.code(), Some(0));
    // Damaged, changed and vanished files are all named.
    let mirror = attacked.repository().join("mirror").join(evil);
    let last = attacked.increments().pop().unwrap();
    let track = attacked.repository().join(&last).join("track").join(evil);
    for copy in [&mirror, &track] {
        fs::remove_file(copy).unwrap();
        fs::write(copy, "by somebody else").unwrap();
    }
    attacked.home.write(&format!("work/{evil}"), "content, changed");
    for args in [
        &["list", "--detailed"][..],
        &["list", "--detailed", "--json"],
        &["restore", "--to", "now"],
        &["restore", "--to", "now", "--json"],
        &["restore", "--to", "now", "--at", "evil \x1b[2J"],
        &["restore", "--to", "now", "nothing \x1b[2J here"],
        &["run", "--dry-run"],
        &["run"],
        &["run", "--json"],
    ] {
        let output = attacked.command(args);
        assert!(words(&output).contains("evil") || args.contains(&"nothing \x1b[2J here"));
    }
}
