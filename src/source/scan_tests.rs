//! Scans of real trees, and the proof that leaving folders unopened changes nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use rustix::fs::{CWD, Mode, OFlags};

use super::*;
use crate::model::entry::Kind;
use crate::source::rules::{DirectoryPriority, RawRules};
use crate::source::walk::PORTION;

static GO: AtomicBool = AtomicBool::new(false);

const OPTIONS: ScanOptions<'static> =
    ScanOptions { one_file_system: true, skip: &[], stop: &GO, known: None };

fn touch(root: &Path, path: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

fn everything() -> Rules {
    Rules::new(&RawRules::default()).unwrap()
}

fn scan_with(root: &Path, rules: &Rules, options: &ScanOptions<'_>) -> Scan {
    scan(&Source::open(root).unwrap(), rules, options).unwrap()
}

/// `path` of a file, `path/` of a folder, each with `t` or `m` before it.
fn listed(scan: &Scan) -> Vec<String> {
    scan.entries
        .iter()
        .map(|entry| {
            let category = match entry.category {
                Category::Tracked => 't',
                Category::Mirrored => 'm',
            };
            let slash = if entry.stat.kind == Kind::Folder { "/" } else { "" };
            format!("{category} {}{slash}", entry.path.to_key())
        })
        .collect()
}

fn said(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}", problem.path, problem.reason)).collect()
}

#[test]
fn the_sample_of_the_python_tool() {
    let dir = tempfile::tempdir().unwrap();
    for path in [
        "Projects/a/main.rs",
        "Projects/Temp/x",
        "Projects/build.log",
        "Notes/n.md",
        "todo.txt",
        "readme.md",
        "other.txt",
        "Elsewhere/todo.txt",
    ] {
        touch(dir.path(), path);
    }
    let text = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
    let rules = Rules::new(&RawRules {
        include_dirs: text(&["Projects", "Notes"]),
        track_dirs: text(&["Projects"]),
        include_files: text(&["todo.txt", "readme.md"]),
        track_files: text(&["todo.txt"]),
        exclude_dirs: text(&["Temp", "Cache"]),
        exclude_files: text(&["*.log", "*.tmp"]),
        ..RawRules::default()
    })
    .unwrap();
    let scan = scan_with(dir.path(), &rules, &OPTIONS);
    assert_eq!(
        listed(&scan),
        [
            "m Notes/",
            "m Notes/n.md",
            "t Projects/",
            "t Projects/a/",
            "t Projects/a/main.rs",
            "m readme.md",
            "t todo.txt",
        ]
    );
    assert_eq!(scan.unmatched, ["exclude_dirs \"Cache\"", "exclude_files \"*.tmp\""]);
    assert_eq!(said(&scan.problems), [""; 0]);
}

#[test]
fn folders_above_a_selection_are_listed_with_its_category() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["a/b/keep", "a/m/x", "a-b", "c/d/e", "skip/x"] {
        touch(dir.path(), path);
    }
    fs::create_dir_all(dir.path().join("a/m/empty")).unwrap();
    let rules = Rules::new(&RawRules {
        include_dirs: vec!["a/m".into()],
        track_files: vec!["a/b/keep".into(), "a-b".into(), "c/d/none".into()],
        ..RawRules::default()
    })
    .unwrap();
    let scan = scan_with(dir.path(), &rules, &OPTIONS);
    assert_eq!(
        listed(&scan),
        ["t a/", "t a-b", "t a/b/", "t a/b/keep", "m a/m/", "m a/m/empty/", "m a/m/x",]
    );
    assert_eq!(scan.unmatched, ["track_files \"c/d/none\""]);
}

#[test]
fn links_are_listed_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), "real/x");
    symlink("real", dir.path().join("to-folder")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    symlink("..", dir.path().join("real/up")).unwrap();
    let source = Source::open(dir.path()).unwrap();
    let scan = scan(&source, &everything(), &OPTIONS).unwrap();
    assert_eq!(listed(&scan), ["t dangling", "t real/", "t real/up", "t real/x", "t to-folder"]);
    let dangling = &scan.entries[0];
    assert_eq!(dangling.stat.kind, Kind::Link);
    assert_eq!(source.read_link(&dangling.path).unwrap(), b"nowhere");
    assert_eq!(source.stat(&dangling.path).unwrap(), dangling.stat);
    let through = RelPath::new(b"to-folder/x").unwrap();
    assert!(source.open_file(&through).is_err());
    assert!(source.stat(&through).is_err());
}

#[test]
fn special_files_are_noted_where_the_rules_select_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    for path in ["fifo", "out/fifo"] {
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, dir.path().join(path), fifo, Mode::RUSR, 0).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let rules =
        Rules::new(&RawRules { exclude_dirs: vec!["out".into()], ..RawRules::default() }).unwrap();
    let scan = scan_with(dir.path(), &rules, &OPTIONS);
    assert!(scan.entries.is_empty() && scan.problems.is_empty());
    assert_eq!(
        said(&scan.notes),
        [
            "fifo: a FIFO; only files, links and folders are backed up",
            "socket: a socket; only files, links and folders are backed up",
        ]
    );
    let source = Source::open(dir.path()).unwrap();
    let fifo = RelPath::new(b"fifo").unwrap();
    let handle = source.open_file(&fifo).unwrap();
    let error = source.stat_fd(&handle).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[test]
fn names_that_are_not_utf8_are_names() {
    let dir = tempfile::tempdir().unwrap();
    let name = OsString::from_vec(b"caf\xe9".to_vec());
    fs::create_dir(dir.path().join(&name)).unwrap();
    fs::write(dir.path().join(&name).join("x"), "").unwrap();
    let scan = scan_with(dir.path(), &everything(), &OPTIONS);
    assert_eq!(scan.entries[1].path.as_bytes(), b"caf\xe9/x");
}

#[test]
fn the_repository_in_the_source_is_left_out_with_a_word() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), "a");
    touch(dir.path(), "Backups/mirror/a");
    let meta = fs::metadata(dir.path().join("Backups")).unwrap();
    let skip = [(meta.dev(), meta.ino())];
    let options = ScanOptions { skip: &skip, ..OPTIONS };
    let scan = scan_with(dir.path(), &everything(), &options);
    assert_eq!(listed(&scan), ["t a"]);
    assert_eq!(said(&scan.notes), ["Backups: the backup itself lies here; left out"]);
    assert!(scan.unknown.is_empty());
}

#[test]
fn deep_trees_and_paths_beyond_one_system_call() {
    let dir = tempfile::tempdir().unwrap();
    let name = "n".repeat(20);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
    for _ in 0..1200 {
        rustix::fs::mkdirat(&at, &*name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &*name, flags, Mode::empty()).unwrap();
    }
    let file = rustix::fs::openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
    drop((file, at));
    let source = Source::open(dir.path()).unwrap();
    let scan = scan(&source, &everything(), &OPTIONS).unwrap();
    assert_eq!(scan.entries.len(), 1201);
    let file = scan.entries.last().unwrap();
    assert_eq!(file.path.as_bytes().len(), 1200 * 21 + 1);
    assert!(source.open_file(&file.path).is_ok());
    assert_eq!(source.stat(&file.path).unwrap(), file.stat);
    assert!(source.xattrs(&file.path).unwrap().is_empty());
    assert_eq!(said(&scan.problems), [""; 0]);
}

#[test]
fn large_folders_are_listed_whole() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..3 * PORTION + 7 {
        fs::write(dir.path().join(format!("{number:05}")), "").unwrap();
    }
    fs::create_dir(dir.path().join("zz")).unwrap();
    let scan = scan_with(dir.path(), &everything(), &OPTIONS);
    assert_eq!(scan.entries.len(), 3 * PORTION + 8);
    assert!(scan.entries.is_sorted_by(|a, b| a.path < b.path));
}

#[test]
fn what_cannot_be_read_is_a_problem_and_unknown() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), "closed/x");
    touch(dir.path(), "out/closed/x");
    touch(dir.path(), "open");
    for path in ["closed", "out/closed"] {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let result = as_another_user(|| {
        let rules = Rules::new(&RawRules {
            track_dirs: vec![".".into()],
            exclude_dirs: vec!["out".into()],
            track_files: vec!["**/nothing".into()],
            ..RawRules::default()
        });
        let source = Source::open(dir.path()).unwrap();
        // Threads that begin here have no more than this one has.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| scan(&source, &rules.unwrap(), &OPTIONS).unwrap())
    });
    for path in ["closed", "out/closed"] {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let Some(scan) = result else {
        println!("skipped: capabilities cannot be given up here");
        return;
    };
    assert_eq!(listed(&scan), ["t closed/", "t open"]);
    assert_eq!(said(&scan.problems), ["closed: cannot be read: permission denied"]);
    assert_eq!(said(&scan.notes), ["out/closed: cannot be read: permission denied"]);
    let unknown: Vec<_> = scan.unknown.iter().map(RelPath::to_key).collect();
    assert_eq!(unknown, ["closed", "out/closed"]);
}

/// Runs `work` where permissions count: as it is, or for root in a thread without the capabilities
/// that pass them by (threads started from it have none either).
fn as_another_user<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|threads| {
        threads
            .spawn(|| {
                if rustix::process::geteuid().is_root() {
                    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
                    let mut sets = capabilities(None).ok()?;
                    let passing = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
                    sets.effective.remove(passing);
                    set_capabilities(None, sets).ok()?;
                }
                Some(work())
            })
            .join()
            .unwrap()
    })
}

#[test]
fn a_stop_ends_the_scan() {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(true);
    let options = ScanOptions { stop: &stop, ..OPTIONS };
    let result = scan(&Source::open(dir.path()).unwrap(), &everything(), &options);
    assert!(matches!(result, Err(ScanError::Stopped)));
}

#[test]
fn a_mount_in_the_source_is_noted_and_not_entered() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), "a");
    let at = dir.path().join("mounted");
    fs::create_dir(&at).unwrap();
    if let Err(error) = mount("none", &at, "tmpfs", MountFlags::NOSUID, None) {
        println!("skipped: needs the right to mount ({error})");
        return;
    }
    fs::write(at.join("x"), "").unwrap();
    let same = scan_with(dir.path(), &everything(), &OPTIONS);
    let options = ScanOptions { one_file_system: false, ..OPTIONS };
    let all = scan_with(dir.path(), &everything(), &options);
    unmount(&at, UnmountFlags::DETACH).unwrap();
    assert_eq!(listed(&same), ["t a"]);
    assert_eq!(
        said(&same.notes),
        ["mounted: another file system is mounted here; not entered (one_file_system)"]
    );
    assert_eq!(same.unknown, [RelPath::new(b"mounted").unwrap()]);
    assert_eq!(listed(&all), ["t a", "t mounted/", "t mounted/x"]);
    assert!(all.notes.is_empty());
}

#[test]
fn attributes_worth_keeping_are_read() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), "f");
    symlink("f", dir.path().join("link")).unwrap();
    let file = dir.path().join("f");
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(&file, name, value, rustix::fs::XattrFlags::empty())
    };
    if let Err(error) = set("user.b", b"2").and_then(|()| set("user.a", b"")) {
        println!("skipped: no extended attributes here ({error})");
        return;
    }
    let source = Source::open(dir.path()).unwrap();
    let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
    let expected = [(b"user.a".to_vec(), Vec::new()), (b"user.b".to_vec(), b"2".to_vec())];
    assert_eq!(source.xattrs(&path("f")).unwrap(), expected);
    let handle = source.open_file(&path("f")).unwrap();
    assert_eq!(source.xattrs_fd(&handle).unwrap(), expected);
    assert!(source.xattrs(&path("link")).unwrap().is_empty());
    assert_eq!(source.stat_fd(&handle).unwrap(), source.stat(&path("f")).unwrap());
}

#[test]
fn a_source_that_is_not_there_says_so() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path(), "file");
    let missing = Source::open(&dir.path().join("none")).unwrap_err();
    assert!(matches!(missing, crate::source::open::SourceError::Missing(_)));
    let file = Source::open(&dir.path().join("file")).unwrap_err();
    assert!(matches!(file, crate::source::open::SourceError::NotAFolder(_)));
}

/// What is selected, found without scopes and without leaving folders unopened: every pattern is
/// held against the path and each folder above it, one by one.
fn naive(raw: &RawRules, files: &[String]) -> BTreeMap<String, Category> {
    let mut selected = BTreeMap::new();
    for file in files {
        let above: Vec<&str> = file.match_indices('/').map(|(at, _)| &file[..at]).collect();
        let folder = |patterns: &[String]| {
            patterns.iter().any(|p| p == "." || above.iter().any(|folder| matches(p, folder)))
        };
        let excluded_by_name = |patterns: &[String], paths: &[&str]| {
            patterns.iter().any(|p| {
                paths.iter().any(|path| {
                    let name = path.rsplit('/').next().unwrap();
                    matches(p, if p.contains('/') { path } else { name })
                })
            })
        };
        let by_file = if raw.track_files.iter().any(|p| matches(p, file)) {
            Some(Category::Tracked)
        } else if raw.include_files.iter().any(|p| matches(p, file)) {
            Some(Category::Mirrored)
        } else {
            None
        };
        let (tracked, included) = (folder(&raw.track_dirs), folder(&raw.include_dirs));
        let mut by_folder =
            if tracked && !(included && raw.directory_priority == DirectoryPriority::Include) {
                Some(Category::Tracked)
            } else if tracked || included {
                Some(Category::Mirrored)
            } else {
                None
            };
        if [&raw.include_dirs, &raw.track_dirs, &raw.include_files, &raw.track_files]
            .iter()
            .all(|list| list.is_empty())
        {
            by_folder = Some(Category::Tracked);
        }
        if excluded_by_name(&raw.exclude_dirs, &above)
            || excluded_by_name(&raw.exclude_files, &[file])
        {
            by_folder = None;
        }
        if let Some(category) = by_file.max(by_folder) {
            selected.insert(file.clone(), category);
        }
    }
    selected
}

fn matches(pattern: &str, path: &str) -> bool {
    let pattern = match pattern.strip_suffix(":rec") {
        Some(pattern) => format!("**/{pattern}"),
        None => pattern.to_owned(),
    };
    globset::GlobBuilder::new(&pattern)
        .literal_separator(true)
        .build()
        .unwrap()
        .compile_matcher()
        .is_match(path)
}

fn patterns(with_root: bool) -> impl Strategy<Value = Vec<String>> {
    let part =
        prop_oneof!["[ab]", "[ab]{2}", Just("*".into()), Just("a*".into()), Just("?".into())];
    let path = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let pattern = prop_oneof![
        5 => path.clone(),
        1 => path.clone().prop_map(|path| format!("**/{path}")),
        1 => path.clone().prop_map(|path| format!("a/**/{path}")),
        1 => path.clone().prop_map(|path| format!("{{a,b/a}}/{path}")),
        1 => Just(if with_root { "." } else { "b" }.to_owned()),
    ];
    proptest::collection::vec(pattern, 0..3)
}

fn any_rules() -> impl Strategy<Value = RawRules> {
    let any_depth = |list: Vec<String>| -> Vec<String> {
        list.into_iter().map(|p| if p.ends_with("aa") { p + ":rec" } else { p }).collect()
    };
    (
        patterns(true),
        patterns(true),
        patterns(false).prop_map(any_depth),
        patterns(false).prop_map(any_depth),
        patterns(false),
        patterns(false),
        any::<bool>(),
    )
        .prop_map(|lists| RawRules {
            include_dirs: lists.0,
            track_dirs: lists.1,
            include_files: lists.2,
            track_files: lists.3,
            exclude_dirs: lists.4,
            exclude_files: lists.5,
            directory_priority: if lists.6 {
                DirectoryPriority::Include
            } else {
                DirectoryPriority::Track
            },
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_scan_selects_what_a_plain_walk_selects(
        paths in proptest::collection::btree_set("[ab]{1,2}(/[ab]{1,2}){0,3}", 1..12),
        raw in any_rules(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for path in &paths {
            // What is a folder for one path cannot be a file for another.
            if !paths.iter().any(|other| other.starts_with(&format!("{path}/"))) {
                touch(dir.path(), path);
                files.push(path.clone());
            }
        }
        let rules = Rules::new(&raw).unwrap();
        let scan = scan_with(dir.path(), &rules, &OPTIONS);
        let found: BTreeMap<String, Category> = scan
            .entries
            .iter()
            .filter(|entry| entry.stat.kind == Kind::File)
            .map(|entry| (entry.path.to_key(), entry.category))
            .collect();
        prop_assert_eq!(&found, &naive(&raw, &files));
        // Every folder above something found is there, with its category or a higher one.
        for (path, category) in &found {
            for folder in RelPath::new(path.as_bytes()).unwrap().ancestors() {
                let entry = scan.entries.iter().find(|entry| entry.path == folder);
                prop_assert!(entry.is_some_and(|entry| entry.category >= *category));
            }
        }
    }
}
