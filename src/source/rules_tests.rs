//! The table of rules, row by row.

use super::*;

const EVERYTHING: [&str; 0] = [];

/// Rules from `field: patterns` lines, as in a profile.
fn rules(fields: &[(&str, &[&str])], priority: DirectoryPriority) -> Rules {
    let list = |name: &str| -> Vec<String> {
        fields
            .iter()
            .filter(|(field, _)| *field == name)
            .flat_map(|(_, patterns)| patterns.iter().map(|&text| text.to_owned()))
            .collect()
    };
    Rules::new(&RawRules {
        include_dirs: list("include_dirs"),
        track_dirs: list("track_dirs"),
        include_files: list("include_files"),
        track_files: list("track_files"),
        exclude_dirs: list("exclude_dirs"),
        exclude_files: list("exclude_files"),
        directory_priority: priority,
    })
    .unwrap()
}

/// Walks down to a file the way a scan does: `t`racked, `m`irrored or `-`.
fn decide(rules: &Rules, hits: &Hits, path: &[u8]) -> char {
    let mut decider = Decider::new(rules, hits);
    let mut scope = rules.root();
    for (at, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
        match decider.folder(scope, &path[..at]) {
            Some(below) => scope = below,
            None => return '-',
        }
    }
    match decider.file(scope, path) {
        Some(Category::Tracked) => 't',
        Some(Category::Mirrored) => 'm',
        None => '-',
    }
}

fn check(fields: &[(&str, &[&str])], expected: &[(&str, char)]) {
    let rules = rules(fields, DirectoryPriority::Track);
    for (path, category) in expected {
        let decided = decide(&rules, &rules.hits(), path.as_bytes());
        assert_eq!(decided, *category, "{fields:?}: {path}");
    }
}

#[test]
fn without_include_and_track_everything_is_tracked() {
    check(&[], &[("a", 't'), (".hidden/a/b", 't')]);
    check(&[("include_dirs", &EVERYTHING)], &[("a", 't')]);
    check(&[("exclude_files", &["*.log"])], &[("a", 't'), ("x/a.log", '-')]);
}

#[test]
fn folders_are_recursive_and_tracked_wins() {
    let fields: &[(&str, &[&str])] = &[
        ("include_dirs", &["Projects", "Notes", "*/src", "**/any"]),
        ("track_dirs", &["Projects"]),
    ];
    check(
        fields,
        &[
            ("Projects/a/b", 't'),
            ("Notes/a", 'm'),
            ("Notes.txt", '-'),
            ("other", '-'),
            ("x/Notes/a", '-'),
            ("x/src/deep/a", 'm'),
            ("x/y/src/a", '-'),
            ("x/y/any/a", 'm'),
            ("any/a", 'm'),
        ],
    );
    let included = rules(fields, DirectoryPriority::Include);
    assert_eq!(decide(&included, &included.hits(), b"Projects/a"), 'm');
    check(
        &[("include_dirs", &["."]), ("track_dirs", &["a/b"])],
        &[("x", 'm'), ("a/x", 'm'), ("a/b/x", 't')],
    );
    check(&[("include_dirs", &["./a/"]), ("track_dirs", &["b/**"])], &[("a/x", 'm'), ("b/x", 't')]);
}

#[test]
fn files_are_anchored_unless_any_depth_is_asked_for() {
    check(
        &[("include_files", &["todo.txt", "*.pdf", "docs/*.txt"])],
        &[
            ("todo.txt", 'm'),
            ("a/todo.txt", '-'),
            ("a.pdf", 'm'),
            ("a/a.pdf", '-'),
            ("docs/a.txt", 'm'),
            ("docs/b/a.txt", '-'),
        ],
    );
    check(
        &[("include_files", &["*.pdf:rec", "a"]), ("track_files", &["**/x.txt", "a"])],
        &[("a.pdf", 'm'), ("b/c/a.pdf", 'm'), ("x.txt", 't'), ("b/c/x.txt", 't'), ("a", 't')],
    );
}

#[test]
fn a_file_rule_does_not_take_history_from_a_tracked_folder() {
    check(
        &[
            ("track_dirs", &["a"]),
            ("include_files", &["a/x", "a/y.log"]),
            ("exclude_files", &["*.log"]),
        ],
        // Where the folder's rule does not apply, the file rule alone counts.
        &[("a/x", 't'), ("a/y.log", 'm'), ("a/z.log", '-')],
    );
}

#[test]
fn excluded_folders_by_name_or_anchored() {
    check(
        &[("exclude_dirs", &["Cache", "a/tmp", "./top", "b/**/gen"])],
        &[
            ("Cache/x", '-'),
            ("a/Cache/b/x", '-'),
            ("Cache", 't'),
            ("a/tmp/x", '-'),
            ("b/a/tmp/x", 't'),
            ("top/x", '-'),
            ("a/top/x", 't'),
            ("b/gen/x", '-'),
            ("b/c/d/gen/x", '-'),
            ("c/gen/x", 't'),
        ],
    );
    check(
        &[("include_dirs", &["a/b"]), ("track_dirs", &["c"]), ("exclude_dirs", &["a", "c/d"])],
        &[("a/b/x", '-'), ("c/x", 't'), ("c/d/x", '-')],
    );
}

#[test]
fn excluded_files_by_name_or_path() {
    check(
        &[("exclude_files", &["*.log", "a/*.tmp", "./top.txt"])],
        &[
            ("x.log", '-'),
            ("a/b/x.log", '-'),
            ("a/x.tmp", '-'),
            ("a/b/x.tmp", 't'),
            ("top.txt", '-'),
            ("a/top.txt", 't'),
        ],
    );
}

#[test]
fn an_explicit_file_wins_over_both_excludes() {
    check(
        &[
            ("track_dirs", &["."]),
            ("include_files", &["Cache/deep/keep.txt"]),
            ("track_files", &["*.kdbx:rec", "keep.log"]),
            ("exclude_dirs", &["Cache", "Other"]),
            ("exclude_files", &["*.log"]),
        ],
        &[
            ("Cache/deep/keep.txt", 'm'),
            ("Cache/deep/lose.txt", '-'),
            ("Cache/lose.txt", '-'),
            ("Other/a/b/pass.kdbx", 't'),
            ("Other/a/b/x", '-'),
            ("keep.log", 't'),
            ("a/keep.log", '-'),
        ],
    );
}

#[test]
fn an_excluded_folder_is_entered_only_where_a_file_rule_reaches() {
    let rules = rules(
        &[
            ("include_files", &["Cache/deep/keep.txt"]),
            ("track_dirs", &["."]),
            ("exclude_dirs", &["Cache"]),
        ],
        DirectoryPriority::Track,
    );
    let hits = rules.hits();
    let mut decider = Decider::new(&rules, &hits);
    let cache = decider.folder(rules.root(), b"Cache").unwrap();
    assert!(cache.is_excluded());
    assert!(decider.folder(cache, b"Cache/deep").is_some());
    assert!(decider.folder(cache, b"Cache/other").is_none());
    assert!(decider.folder(rules.root(), b"a/Cache").is_none());
}

#[test]
fn folders_that_no_rule_reaches_are_not_entered() {
    let rules =
        rules(&[("include_dirs", &["a/b*"]), ("track_files", &["c/x"])], DirectoryPriority::Track);
    let hits = rules.hits();
    let mut decider = Decider::new(&rules, &hits);
    let root = rules.root();
    let a = decider.folder(root, b"a").unwrap();
    assert_eq!(rules.category(a), None);
    assert!(decider.folder(a, b"a/x").is_none());
    assert!(decider.folder(a, b"a/bc").is_some());
    assert!(decider.folder(root, b"c").is_some());
    assert!(decider.folder(root, b"d").is_none());
}

#[test]
fn names_are_bytes() {
    let rules = rules(&[("exclude_files", &["*.log", "?"])], DirectoryPriority::Track);
    let hits = rules.hits();
    assert_eq!(decide(&rules, &hits, b"caf\xe9/x\xff.log"), '-');
    assert_eq!(decide(&rules, &hits, b"\xff"), '-');
    assert_eq!(decide(&rules, &hits, "é".as_bytes()), 't');
}

#[test]
fn rules_that_match_nothing_are_told_as_written() {
    let rules = rules(
        &[
            ("include_dirs", &[".", "Notes/", "a"]),
            ("track_dirs", &["a"]),
            ("exclude_files", &["*.log", "*.tmp"]),
        ],
        DirectoryPriority::Track,
    );
    let hits = rules.hits();
    decide(&rules, &hits, b"a/x.tmp");
    assert_eq!(rules.unmatched(&hits), ["include_dirs \"Notes/\"", "exclude_files \"*.log\""]);
}

#[test]
fn the_fingerprint_tells_meaning_not_spelling() {
    let of = |fields: &[(&str, &[&str])]| rules(fields, DirectoryPriority::Track).fingerprint();
    let first = of(&[("include_dirs", &["a", "b"])]);
    assert_eq!(first, of(&[("include_dirs", &["./b/", "a", "a"])]));
    for other in [
        of(&[]),
        of(&[("include_dirs", &["a"])]),
        of(&[("include_dirs", &["ab"])]),
        of(&[("track_dirs", &["a", "b"])]),
        rules(&[("include_dirs", &["a", "b"])], DirectoryPriority::Include).fingerprint(),
    ] {
        assert_ne!(first, other);
    }
    assert_ne!(of(&[("exclude_dirs", &["a"])]), of(&[("exclude_dirs", &["./a"])]));
}

#[test]
fn the_error_names_field_and_pattern() {
    let raw = RawRules { exclude_files: vec!["fine".into(), "[a".into()], ..RawRules::default() };
    assert_eq!(
        Rules::new(&raw).unwrap_err().to_string(),
        "exclude_files \"[a\": unclosed character class; missing ']'"
    );
}
