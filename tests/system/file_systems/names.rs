//! Names that a drive refuses or takes for one another are stored under others, readable ones, and come
//! back as they were.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use bkm_agent::fs::probe::Names;
use bkm_agent::history::timeline;
use bkm_agent::repository::names::fold;

use crate::support::bench::Bench;
use crate::support::loop_drive::LoopDrive;
use crate::support::needs::skipped;
use crate::support::snapshot::Snapshot;
use crate::support::world::World;
use crate::support::{self, profile};

/// Names that Windows and its file systems refuse, change or keep for themselves.
fn refused() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "what?",
        "10:30",
        "a*b",
        "\"quoted\"",
        "a<b",
        "a>b",
        "a|b",
        "a\\b",
        "dot.",
        "dots...",
        "space ",
        "spaces  ",
        "dot and space. ",
        "aux",
        "aux.txt",
        "CON",
        "con.tar.gz",
        "LPT1",
        "NUL.",
        "com9 .txt",
        "tab\there",
        "line\nbreak",
        "\u{1}",
        "bell\u{7}.txt",
        "escape\u{1b}[31m",
        "del\u{7f}",
        "LONGFI~1.TXT",
        "LONGFI~2.TXT",
        "A~1",
        ":",
        "?",
        "???.???",
        " ",
        " leading",
        "...",
        ".. ",
        "what_~1.html",
        "\u{fffd}",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.extend(
        [&b"caf\xe9.txt"[..], b"\xff", b"\xff.", b"a\xff\xfe", b"caf\xe8.txt"].map(<[u8]>::to_vec),
    );
    names
}

/// Names that all drives but FAT with its code page take.
fn plain() -> Vec<Vec<u8>> {
    let long = ["я".repeat(127), "x".repeat(255), format!("{}.txt", "y".repeat(251))];
    let plain = [
        "longfilename.txt",
        "LongFileName2.txt",
        "Übung (1).doc",
        "файл",
        ".hidden",
        "..two",
        "e\u{301}",
        "\u{e9}",
        "日本語.txt",
        "😀",
        "a~b",
        "console",
        "auxiliary.txt",
        "%3A",
        "a;b,c=d+e[f]",
        "$&'!@#^`{}",
        " x",
    ];
    plain.iter().map(|n| (*n).to_owned()).chain(long).map(String::into_bytes).collect()
}

fn path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn in_folder(folder: &[u8], name: &[u8]) -> Vec<u8> {
    [folder, b"/", name].concat()
}

/// Every name in the mirror can be read by a person on any computer.
fn check_readable(bench: &Bench) {
    for name in Snapshot::of(&bench.at("mirror")).0.keys() {
        let name = std::str::from_utf8(name).unwrap();
        for part in name.split('/') {
            assert!(!part.chars().any(|c| c < ' ' || ":?*\"<>|\\\u{7f}".contains(c)), "{part:?}");
            assert!(!part.ends_with(['.', ' ']), "{part:?}");
            assert!(part.encode_utf16().count() <= 255, "{part:?}");
        }
    }
}

#[test]
fn names_that_exfat_refuses_are_stored_readably_and_come_back() {
    let Some(mut bench) = Bench::on("exfat", profile::all_tracked()) else { return };
    let (refused, plain) = (refused(), plain());
    for name in refused.iter().chain(&plain) {
        bench.write(path(name), name);
        // As a folder, too, with the worst of names below it.
        bench.write(path(&in_folder(b"folders", name)).join("in it: \\"), name);
    }
    // `back_up` compares all names and bytes of a restore with the source, and a second run with the first.
    let first = bench.increment();
    check_readable(&bench);
    for name in &plain {
        assert_eq!(bench.place(name).as_bytes(), name, "stays as it is");
    }
    for name in &refused {
        let stored = bench.entry(&first, name).unwrap().stored_as.map(|to| to.as_path().to_owned());
        let is_refused =
            *name != b" leading" && *name != b"what_~1.html" && *name != "\u{fffd}".as_bytes();
        assert_eq!(stored.is_some(), is_refused, "{}: {stored:?}", name.escape_ascii());
    }
    assert!(bench.place("10:30").starts_with("10_30~"), "{}", bench.place("10:30"));
    let alias = bench.place("LONGFI~1.TXT");
    assert_eq!(Path::new(&alias).extension(), Some(OsStr::new("TXT")), "{alias}");

    // Changes and deletions of such files and folders.
    for (at, name) in refused.iter().chain(&plain).enumerate() {
        if at.is_multiple_of(2) {
            bench.write(path(name), [name, &b" changed"[..]].concat());
        } else {
            bench.delete(path(name));
        }
        if at.is_multiple_of(3) {
            bench.delete(path(&in_folder(b"folders", name)));
        }
    }
    bench.back_up();
    check_readable(&bench);
    for (at, name) in refused.iter().chain(&plain).enumerate() {
        if !at.is_multiple_of(2) {
            bench.write(path(name), [name, &b" is back"[..]].concat());
        }
    }
    bench.back_up();
    bench.world.check_points();
}

#[test]
fn names_that_differ_by_case_alone_are_files_of_their_own() {
    let Some(mut bench) = Bench::on("exfat", profile::all_tracked()) else { return };
    let paths = [
        "readme", "README", "ReadMe", "Ärger", "ärger", "Дом", "дом", "ΣΑΣ", "σας", "σασ",
        "straße", "STRASSE", "dir/file", "Dir/file", "DIR/FILE", "DIR/file", "Ö/ö", "ö/Ö", "ö/ö",
        "ǆ", "ǅ", "Ǆ", "K", "k", "\u{212a}", "ı", "I", "i", "İ", "ſ", "s", "S",
    ];
    for path in paths {
        bench.write(path, format!("content of {path}"));
    }
    bench.back_up();
    check_readable(&bench);
    for path in ["README", "ärger", "DIR/FILE", "ö/Ö", "\u{212a}"] {
        bench.write(path, format!("other content of {path}"));
    }
    for path in ["readme", "Ärger", "dir", "Ö"] {
        bench.delete(path);
    }
    bench.back_up();
    for path in ["Readme", "ÄRGER", "dir/FILE", "Dir/File"] {
        bench.write(path, format!("new content of {path}"));
    }
    bench.back_up();
    bench.world.check_points();
}

#[test]
fn a_file_and_a_folder_that_differ_by_case_alone_are_kept_beside_one_another() {
    let Some(mut bench) = Bench::on("exfat", profile::all_tracked()) else { return };
    bench.write("name", "a file");
    bench.write("Name/inside", "a folder");
    std::os::unix::fs::symlink("x", bench.source("NAME")).unwrap();
    bench.back_up();
    bench.delete("name");
    bench.delete("NAME");
    bench.write("NAME/inside", "a second folder");
    bench.back_up();
    bench.delete("Name");
    bench.write("Name", "now a file");
    bench.back_up();
    bench.world.check_points();
}

#[test]
fn escaped_names_in_the_source_collide_with_nothing() {
    let Some(mut bench) = Bench::on("exfat", profile::all_tracked()) else { return };
    bench.write("what?", "escaped");
    bench.back_up();
    let stored = bench.place("what?");
    // Somebody copies a file out of the backup into the source; case may differ.
    bench.write(&stored, "by its stored name");
    bench.write(stored.to_uppercase(), "by its stored name in capitals");
    bench.back_up();
    assert_eq!(bench.place("what?"), stored, "a path keeps its place");
    assert_eq!(bench.read(format!("mirror/{stored}")).unwrap(), "escaped");
    bench.delete("what?");
    bench.back_up();
    bench.write("what?", "is back");
    bench.write("what*", "another");
    bench.back_up();
    bench.world.check_points();
}

#[test]
fn long_names_fit_also_when_they_are_escaped() {
    let Some(mut bench) = Bench::on("exfat", profile::all_tracked()) else { return };
    for name in [
        format!("{}?", "x".repeat(254)),
        format!("?{}.jpeg", "x".repeat(249)),
        format!("{}:", "я".repeat(127)),
        format!("{}.", "日".repeat(84)),
        format!("{}.{}", "x".repeat(100), "e?".repeat(77)),
        format!("X{}", "y".repeat(254)),
        format!("x{}", "Y".repeat(254)),
    ] {
        assert!(name.len() <= 255);
        bench.write(&name, &name);
        bench.write(Path::new("f").join(&name).join(&name), &name);
    }
    bench.back_up();
    check_readable(&bench);
    bench.delete("f");
    bench.back_up();
    bench.world.check_points();
}

#[test]
fn names_of_a_source_that_are_too_long_for_the_drive_come_back() {
    // 255 characters of 2 bytes: no Linux file system has such names, exFAT and NTFS do.
    let from = match LoopDrive::new("exfat", 64) {
        Ok(from) => from,
        Err(why) => return skipped(&why),
    };
    let source = from.point().join("source");
    let long = ["я".repeat(255), "я".repeat(251) + ".odt", "Я".repeat(254) + "1"];
    for name in &long {
        fs::create_dir_all(source.join("folder").join(name)).unwrap();
        fs::write(source.join(name), name).unwrap();
        fs::write(source.join("folder").join(name).join(name), name).unwrap();
    }
    let drive = support::scratch();
    let ext4 = LoopDrive::new("ext4", 64);
    let drive = ext4.as_ref().map_or(drive.path(), LoopDrive::point);
    let world = World::new(&source, drive, profile::all_tracked());
    let report = world.run(None).unwrap();
    assert_eq!((report.new, report.problems), (6, Vec::new()));
    let again = world.run(None).unwrap();
    assert_eq!((again.unchanged, again.bytes_copied, again.increment), (6, 0, None));
    fs::write(source.join(&long[0]), "changed").unwrap();
    fs::remove_file(source.join(&long[1])).unwrap();
    let report = world.run(None).unwrap();
    assert_eq!((report.changed, report.deleted, report.problems.len()), (1, 1, 0));
    let content = |of: &Path| -> BTreeMap<Vec<u8>, Option<blake3::Hash>> {
        Snapshot::of(of).0.into_iter().map(|(path, node)| (path, node.hash)).collect()
    };
    let to = from.point().join("restored");
    fs::create_dir(&to).unwrap();
    world.restore_with_problems(&timeline::now(&world.index()), &to);
    assert_eq!(content(&to), content(&source));
    let then = timeline::at(&world.tree(), &world.index(), 1).unwrap();
    let to = from.point().join("then");
    fs::create_dir(&to).unwrap();
    world.restore_with_problems(&then, &to);
    assert_eq!(fs::read_to_string(to.join(&long[0])).unwrap(), long[0]);
    assert_eq!(fs::read_to_string(to.join(&long[1])).unwrap(), long[1]);
    // A destination that cannot have them says so, file by file.
    let elsewhere = support::scratch();
    let problems = world.restore_with_problems(&timeline::now(&world.index()), elsewhere.path());
    assert!(!problems.is_empty());
}

#[test]
fn ntfs_takes_all_names_that_are_text() {
    let Some(mut bench) = Bench::on("ntfs", profile::all_tracked()) else { return };
    for name in refused().iter().chain(&plain()) {
        bench.write(path(name), name);
    }
    bench.write("lower", "one");
    bench.write("LOWER", "two");
    bench.back_up();
    assert!(!bench.is_displacing(), "NTFS has hard links");
    assert_eq!(bench.place("10:30"), "10:30");
    assert!(bench.place(b"caf\xe9.txt").starts_with("caf_~"));
    for name in refused() {
        bench.write(path(&name), "changed");
    }
    bench.back_up();
    bench.delete(path(b"\xff"));
    bench.back_up();
    bench.world.check_points();
}

/// The table by which an exFAT volume takes letters for one another: 65,536 UTF-16 units.
fn upcase_table(image: &File) -> Vec<u16> {
    let read = |at: u64, len: usize| {
        let mut bytes = vec![0; len];
        image.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    let boot = read(0, 512);
    let number = |bytes: &[u8], at: usize| {
        u64::from(u32::from_le_bytes(*bytes[at..].first_chunk::<4>().unwrap()))
    };
    let sector = 1_u64 << boot[108];
    let cluster = sector << boot[109];
    let at = |number_of: u64| number(&boot, 88) * sector + (number_of - 2) * cluster;
    let root = read(at(number(&boot, 96)), 4096);
    let entry = root.chunks(32).find(|entry| entry[0] == 0x82).unwrap();
    let size = usize::try_from(number(entry, 24)).unwrap();
    let bytes = read(at(number(entry, 20)), size);
    let mut units = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut table = Vec::new();
    while let Some(unit) = units.next() {
        // So many that are their own capitals.
        if unit == 0xffff && table.len() < 0xffff {
            let many = units.next().unwrap();
            table.extend(
                (0..many).map(|n| u16::try_from(table.len()).unwrap() + n).collect::<Vec<_>>(),
            );
        } else {
            table.push(unit);
        }
    }
    table
}

#[test]
fn all_letters_that_exfat_takes_for_one_another_are_taken_so_here() {
    let folder = support::scratch();
    let image = folder.path().join("image");
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    match Command::new("mkfs.exfat").arg(&image).output() {
        Ok(made) => assert!(made.status.success()),
        Err(_) => return skipped("mkfs.exfat is missing"),
    }
    let table = upcase_table(&File::open(&image).unwrap());
    assert_eq!(table[usize::from(b'a')], u16::from(b'A'), "the table was read wrongly");
    let mut folded: HashMap<u16, (char, Vec<u8>)> = HashMap::new();
    let (mut pairs, mut missed) = (0, Vec::new());
    for (at, upper) in table.iter().enumerate() {
        let Some(letter) = u32::try_from(at).ok().and_then(char::from_u32) else { continue };
        let ours = fold(Names::Portable, letter.to_string().as_bytes());
        match folded.get(upper) {
            Some((other, theirs)) => {
                pairs += 1;
                if *theirs != ours {
                    missed.push(format!(
                        "{letter} (U+{at:04X}) and {other} (U+{:04X})",
                        *other as u32
                    ));
                }
            }
            None => {
                folded.insert(*upper, (letter, ours));
            }
        }
    }
    assert!(pairs > 500, "{pairs}");
    assert!(missed.is_empty(), "{} of {pairs}: {missed:?}", missed.len());
    println!("{pairs} pairs of letters compared");
}
