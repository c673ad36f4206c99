//! Two backups of a home, and what restores and scripts make of them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use super::home::Home;
use super::needs::{self, skipped_part};
use super::process;
use super::snapshot::Snapshot;

/// A home whose backup has two increments; the names of both.
pub(crate) fn two_backups(home: &Home) -> [String; 2] {
    let run = || home.json(&["run", "--json"])["increment"].as_str().unwrap().to_owned();
    set_time(&home.at("work/a.txt"), 1_795_425_300);
    let first = run();
    home.write("work/a.txt", "one, later");
    fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    home.write("work/new.txt", "new");
    [first, run()]
}

pub(crate) fn set_time(path: &Path, seconds: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// How two trees differ, in all but inodes.
pub(crate) fn differences(one: &Path, other: &Path) -> String {
    Snapshot::of(one).differences(&Snapshot::of(other), false)
}

/// The shells that are here.
pub(crate) fn shells() -> Vec<Vec<PathBuf>> {
    let shells = [("dash", None), ("busybox", Some("sh")), ("bash", None)];
    let found = shells.into_iter().filter_map(|(name, applet)| {
        let Some(shell) = needs::find_tool(name) else {
            skipped_part(format_args!("{name} is missing"));
            return None;
        };
        let mut words = vec![shell];
        words.extend(applet.map(PathBuf::from));
        Some(words)
    });
    found.collect()
}

pub(crate) fn run_script(
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
pub(crate) fn hostile_names(source: &Path) {
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
pub(crate) fn differs_for_a_shell(source: &Path, to: &Path) -> String {
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
pub(crate) fn scripts_restore(home: &Home) {
    let [first, _] = two_backups(home);
    home.done(&["restore", "--at", &first, "--to", "then"]);
    home.done(&["restore", "--script", "then.sh", "--at", &first, "--to", "nowhere"]);
    home.done(&["restore", "--script", "now.sh", "--to", "nowhere"]);
    if let Some(shellcheck) = needs::find_tool("shellcheck") {
        process::run(
            Command::new(shellcheck)
                .args(["-s", "sh", "-e", "SC1111,SC1112,SC2016,SC2088,SC1003"])
                .arg(home.at("then.sh")),
        );
    } else {
        skipped_part("shellcheck is missing");
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
