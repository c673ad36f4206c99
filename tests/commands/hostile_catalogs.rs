//! A hostile drive: catalogs that lie. What every command must keep to is
//! in `support::attack`.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::attack::{Attacked, words};
use crate::support::files::mode;

/// The catalog of the first increment.
fn catalog(attacked: &Attacked) -> PathBuf {
    let first = attacked.increments()[0].clone();
    attacked.repository().join(&first).join(format!("{first}.json"))
}

/// What came of the commands that read catalogs: exit code and words of `list`, `list --detailed`,
/// `list --json` and `restore --at`. What was restored is in `then`.
fn read_catalogs(attacked: &mut Attacked) -> Vec<(i32, String)> {
    let first = attacked.increments()[0].clone();
    let commands = [
        &["list"][..],
        &["list", "--detailed"],
        &["list", "--detailed", "--json"],
        &["restore", "--overwrite", "--to", "then", "--at", &first],
    ];
    let ended = commands.map(|args| {
        let output = attacked.command(args);
        (output.status.code().unwrap(), words(&output))
    });
    ended.into()
}

/// A change of the catalog's JSON.
type Lie = Box<dyn Fn(&mut Value)>;

fn set(pointer: &'static str, value: Value) -> Lie {
    Box::new(move |catalog| {
        let (object, field) = pointer.rsplit_once('/').unwrap();
        catalog.pointer_mut(object).unwrap()[field] = value.clone();
    })
}

/// The entry of `a.txt` under another key as well.
fn key(key: &'static str) -> Lie {
    Box::new(move |catalog| {
        let entry = catalog["file_catalog"]["a.txt"].clone();
        catalog["file_catalog"][key] = entry;
    })
}

/// Each lie is told to the commands with a fresh copy of the true catalog.
fn tell(lies: Vec<(&str, Lie)>, check: impl Fn(&str, &Attacked, Vec<(i32, String)>)) {
    let mut attacked = Attacked::new();
    let file = catalog(&attacked);
    let truth = fs::read(&file).unwrap();
    for (what, lie) in lies {
        let mut catalog = serde_json::from_slice(&truth).unwrap();
        lie(&mut catalog);
        fs::write(&file, catalog.to_string()).unwrap();
        let ended = read_catalogs(&mut attacked);
        check(what, &attacked, ended);
    }
}

#[test]
fn a_catalog_that_names_what_cannot_be_is_damaged() {
    let lies = vec![
        ("..", key("..")),
        ("up", key("../../outside/a.txt")),
        ("within", key("sub/../../../outside/a.txt")),
        ("absolute", key("/etc/passwd")),
        ("empty", key("")),
        ("dot", key("./a.txt")),
        ("double slash", key("sub//b.txt")),
        ("NUL", key("a\0b")),
        ("escaped up", key("/\\xe9/../../x")),
        ("escaped NUL", key("/\\xe9\\x00")),
        ("two spellings", key("/a.txt")),
        ("removed up", set("/removed_folders", json!(["../.."]))),
        ("ended up", set("/ended", json!(["/etc"]))),
        (
            "folder up",
            set("/folders", json!({ "../x": { "mode": 0, "uid": 0, "gid": 0, "mtime_ns": 0 } })),
        ),
        ("problem up", set("/problems", json!([{ "path": "../x", "reason": "" }]))),
        ("moved from up", set("/file_catalog/a.txt/moved_from", json!("../x"))),
        ("another name", set("/backup_name", json!("backup_20000101_000000"))),
        ("a name that leads up", set("/backup_name", json!("../../outside"))),
        ("no status", set("/status", json!("perhaps"))),
        ("negative size", set("/file_catalog/a.txt/size", json!(-1))),
        ("huge size", set("/file_catalog/a.txt/size", json!(1e300))),
        ("hash of nothing", set("/file_catalog/a.txt/blake3", json!(""))),
        ("hash of a text", set("/file_catalog/a.txt/blake3", json!("no hash"))),
        ("link target of a text", set("/file_catalog/a.txt/link_target_bytes", json!("zz"))),
        ("huge time", set("/backup_timestamp", json!("9".repeat(1 << 20)))),
        ("huge text for a number", set("/sequence", json!("\u{9b}A".repeat(1 << 20)))),
        ("sequence of a lie", set("/sequence", json!(1e30))),
        ("a list", Box::new(|catalog| *catalog = json!([]))),
        ("a text", Box::new(|catalog| *catalog = json!("backup"))),
    ];
    tell(lies, |what, attacked, ended| {
        for (code, said) in ended {
            assert_eq!(code, 1, "{what}: {said}");
            assert!(said.contains("bkm-agent repair"), "{what}: {said}");
            assert!(said.len() < 2000, "{what}: {} bytes", said.len());
        }
        assert!(!attacked.home.at("then").exists(), "{what}");
    });
}

#[test]
fn a_catalog_that_lies_about_content_restores_nothing_under_its_name() {
    let size = |size: u64| set("/file_catalog/a.txt/size", json!(size));
    let lies = vec![
        ("too small", size(1)),
        ("too large", size(1 << 20)),
        ("a tera", size(1 << 40)),
        ("the largest", size(u64::MAX)),
        ("another hash", set("/file_catalog/a.txt/blake3", json!("00".repeat(32)))),
        ("a link of 1 MB", set("/file_catalog/a.txt/link_target", json!("x".repeat(1 << 20)))),
        ("a link with NUL", set("/file_catalog/a.txt/link_target", json!("a\0b"))),
        ("a link to nothing", set("/file_catalog/a.txt/link_target", json!(""))),
    ];
    tell(lies, |what, attacked, ended| {
        let [.., (code, said)] = ended.as_slice() else { panic!("four commands") };
        assert_eq!(*code, 3, "{what}: {said}");
        assert!(said.contains("a.txt"), "{what}: {said}");
        assert!(!what.starts_with("too") || said.contains("damaged"), "{what}: {said}");
        let restored = attacked.home.at("then");
        let names = fs::read_dir(&restored).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["sub"], "{what}");
    });
}

#[test]
fn odd_attributes_and_unknown_fields_do_no_harm() {
    let entry = |field: &'static str, value: Value| {
        let lie: Lie = Box::new(move |catalog| {
            catalog["file_catalog"]["a.txt"][field] = value.clone();
            catalog["folders"]["sub"][field] = value.clone();
        });
        lie
    };
    let lies = vec![
        ("first time", entry("mtime_ns", json!(i64::MIN))),
        ("last time", entry("mtime_ns", json!(i64::MAX))),
        ("all bits", entry("mode", json!(u32::MAX))),
        ("no bits", entry("mode", json!(0))),
        ("nobody at all", entry("uid", json!(u32::MAX))),
        ("no group at all", entry("gid", json!(u32::MAX))),
        ("a time as text", entry("mtime_iso", json!("\x1b]0;x\x07\u{9b}é".repeat(9999)))),
        ("an attribute", entry("xattrs", json!({ "user.\x1b[2J": "00", "../x": "00", "a": "zz" }))),
        (
            "a long attribute",
            entry("xattrs", json!({ (format!("user.{}", "x".repeat(9999))): "00" })),
        ),
        ("its own earlier self", entry("content_in", json!("../../outside"))),
        ("a path", entry("backup_path", json!("../../../outside/a.txt"))),
        ("bytes of a path", entry("path_bytes", json!("2e2e2f78"))),
        ("a control sequence", key("evil \x1b]0;x\x07 \u{9b}2J \u{202e}")),
        (
            "links",
            set("/problems", json!([{ "path": "x\x1b[2J", "reason": "\x1b[2J".repeat(9999) }])),
        ),
        ("unknown", set("/unknown", json!({ "a": [1, { "b": "\u{0}" }] }))),
    ];
    tell(lies, |what, attacked, ended| {
        for (code, said) in &ended {
            assert!([0, 3].contains(code), "{what}: {said}");
        }
        // A user cannot read what has no bits.
        mode(&attacked.home.at("then/a.txt"), 0o600);
        let restored = attacked.home.read("then/a.txt");
        assert_eq!(restored, "one", "{what}");
    });
}

#[test]
fn a_file_below_a_restored_link_is_not_written_through_it() {
    let lie: Lie = Box::new(|catalog| {
        let entry = catalog["file_catalog"]["a.txt"].clone();
        catalog["file_catalog"]["a.txt"]["link_target"] = json!("../outside");
        catalog["file_catalog"]["a.txt/new"] = entry.clone();
        catalog["file_catalog"]["a.txt/sub/b.txt"] = entry;
        catalog["folders"]["a.txt/made"] = catalog["folders"]["sub"].clone();
    });
    tell(vec![("below a link", lie)], |_, attacked, ended| {
        let (code, said) = &ended[3];
        assert_eq!(*code, 3, "{said}");
        let names = fs::read_dir(attacked.outside()).unwrap().count();
        assert_eq!(names, 2, "nothing was made there");
    });
}

#[test]
fn deeply_nested_json_is_damaged_or_skipped() {
    const LEVELS: usize = 100_000;
    let mut attacked = Attacked::new();
    let file = catalog(&attacked);
    let truth = fs::read_to_string(&file).unwrap();
    let (open, close) = ("[".repeat(LEVELS), "]".repeat(LEVELS));
    let objects = format!("{}0{}", "{\"a\":".repeat(LEVELS), "}".repeat(LEVELS));
    for nested in [format!("{open}{close}"), objects, open] {
        for (text, skipped) in [
            (nested.clone(), false),
            (truth.replacen('{', &format!("{{\"unknown\":{nested},"), 1), true),
            (
                truth.replacen(
                    "\"file_catalog\":{",
                    &format!("\"file_catalog\":{{\"x\":{nested},"),
                    1,
                ),
                false,
            ),
            (truth.replacen("\"folders\":{", &format!("\"folders\":{nested},\"x\":{{"), 1), false),
        ] {
            fs::write(&file, text).unwrap();
            for (code, said) in read_catalogs(&mut attacked) {
                assert!(code == 1 || (skipped && code == 0), "{said}");
                assert!(code == 0 || said.contains("bkm-agent repair"), "{said}");
            }
        }
        // The same where it says what the repository is.
        let format = attacked.repository().join(".bkm/format.json");
        let sound = fs::read(&format).unwrap();
        fs::write(&format, &nested).unwrap();
        for args in [&["list"][..], &["run"]] {
            let output = attacked.command(args);
            assert_eq!(output.status.code(), Some(1));
            assert!(words(&output).contains("bkm-agent repair"));
        }
        fs::write(&format, sound).unwrap();
    }
}

#[test]
fn a_catalog_of_ten_million_files_is_refused_where_the_memory_is_small() {
    const BLOCK: usize = 1_000_000;
    let mut attacked = Attacked::new();
    let file = catalog(&attacked);
    let truth = fs::read_to_string(&file).unwrap();
    let (head, tail) = truth.split_once("\"file_catalog\":{").unwrap();
    // The same million keys again and again: what counts is what they would take.
    let mut block = String::new();
    for n in 0..BLOCK {
        let nothing = "\"size\":0,\"mtime\":0,\"category\":\"deleted\",\"backup_path\":\"\"";
        write!(block, "\"{n}\":{{{nothing}}},").unwrap();
    }
    let mut out = BufWriter::new(fs::File::create(&file).unwrap());
    write!(out, "{head}\"file_catalog\":{{").unwrap();
    for _ in 0..10 {
        out.write_all(block.as_bytes()).unwrap();
    }
    out.write_all(tail.as_bytes()).unwrap();
    drop(out);
    for (code, said) in read_catalogs(&mut attacked) {
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("memory"), "{said}");
    }
    // So are ten million attributes of one file, and ten million folders that vanished.
    for (field, unit) in [("xattrs\":{", "\"a\":\"\","), ("removed_folders\":[", "\"a\",")] {
        let many = unit.repeat(10 * BLOCK);
        let text = match field {
            "xattrs\":{" => {
                truth.replacen("\"size\"", &format!("\"{field}{many}\"b\":\"\"}},\"size\""), 1)
            }
            _ => truth.replacen("\"removed_folders\":[", &format!("\"{field}{many}\"b\""), 1),
        };
        assert!(text.len() > many.len() && text.contains(&many[..20]), "{field}");
        fs::write(&file, text).unwrap();
        let output = attacked.command(&["list"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains("memory"), "{}", words(&output));
    }
}
