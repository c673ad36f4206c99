//! The code holds to the floors that `docs/architecture.md` names: which folder of `src/` may import which.
//!
//! With `BKM_LAYERS=print` the table's last column is printed as the code has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A module or an item by its path: `["repository", "index", "contents", "Index"]`.
type Name = Vec<String>;

/// One file of `src/`.
struct File {
    path: PathBuf,
    /// Without comments and without what only tests have.
    code: String,
    /// What it imports, or names by a path that begins with `crate`.
    imports: BTreeSet<Name>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_for_tests(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy();
    stem.ends_with("_tests") || ["fixtures", "fuzzing", "test_profile"].contains(&&*stem)
}

/// All files but those that only tests and fuzzing use, by the name of their module.
fn files() -> BTreeMap<Name, File> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_for_tests(&path) {
                let code = production_code(&fs::read_to_string(&path).unwrap());
                let imports = imports(&code);
                found.insert(module(&path), File { path, code, imports });
            }
        }
    }
    found
}

fn module(path: &Path) -> Name {
    let below = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut name: Name = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if name.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        name.pop();
    }
    name
}

/// The text without comments, and without modules and statements that only tests have.
fn production_code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(") && (line.contains("test") || line.contains("fuzzing")) {
            // Formatted code: what begins at the first column ends there, too.
            for line in lines.by_ref() {
                let ends = line.starts_with('}') || (line.ends_with(';') && !line.starts_with(' '));
                if ends {
                    break;
                }
            }
            continue;
        }
        code.push_str(line);
        code.push('\n');
    }
    code
}

/// What is named by a path that begins with `crate`, in `use` statements and elsewhere.
fn imports(code: &str) -> BTreeSet<Name> {
    let mut found = BTreeSet::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        let before = rest.get(..at).unwrap();
        let whole_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        rest = rest.get(at + "crate::".len()..).unwrap();
        if whole_word {
            tree(rest, &Vec::new(), &mut found);
        }
    }
    found
}

/// Reads what follows `crate::`, and returns what follows that.
fn tree<'t>(text: &'t str, prefix: &Name, found: &mut BTreeSet<Name>) -> &'t str {
    let mut name = prefix.clone();
    let mut text = text.trim_start();
    loop {
        if let Some(mut inner) = text.strip_prefix('{') {
            while !inner.trim_start().starts_with('}') {
                inner = tree(inner, &name, found).trim_start();
                inner = inner.strip_prefix(',').unwrap_or(inner);
            }
            return inner.trim_start().get(1..).unwrap();
        }
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (word, after) = text.split_at(end);
        assert!(!word.is_empty(), "no name begins with: {text:.40}");
        if word != "self" {
            name.push(word.to_owned());
        }
        match after.strip_prefix("::") {
            Some(next) if !next.starts_with('<') => text = next,
            _ => {
                found.insert(name);
                let alias = after.strip_prefix(" as ").map(str::trim_start);
                return alias.map_or(after, |a| {
                    a.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                });
            }
        }
    }
}

/// The module that defines what has this name: the longest that is a file.
fn defined_in<'n>(name: &'n Name, files: &BTreeMap<Name, File>) -> Option<&'n [String]> {
    (1..=name.len()).rev().filter_map(|n| name.get(..n)).find(|part| files.contains_key(*part))
}

/// For each module the modules that it imports.
fn graph(files: &BTreeMap<Name, File>) -> BTreeMap<&Name, BTreeSet<&[String]>> {
    let arrows = |(name, file): (&'_ Name, &'_ File)| -> BTreeSet<Name> {
        let to = file.imports.iter().filter_map(|import| defined_in(import, files));
        to.filter(|to| *to != name.as_slice()).map(<[String]>::to_vec).collect()
    };
    let all: BTreeMap<&Name, BTreeSet<Name>> =
        files.iter().map(|(name, file)| (name, arrows((name, file)))).collect();
    let own = |to: Name| files.get_key_value(&to).map(|(name, _)| name.as_slice());
    all.into_iter().map(|(name, to)| (name, to.into_iter().filter_map(own).collect())).collect()
}

/// For each folder of `src/` the folders that its files import.
fn folders(files: &BTreeMap<Name, File>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, to) in graph(files) {
        let Some(folder) = name.first().filter(|_| name.len() > 1) else { continue };
        let row = found.entry(folder.clone()).or_default();
        row.extend(to.iter().filter_map(|to| to.first()).filter(|to| *to != folder).cloned());
    }
    found
}

/// The rows of the table: folder, what it does, what it may import.
fn table() -> Vec<(String, String, BTreeSet<String>)> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let (_, text) = text.split_once("<!-- layers:begin -->").unwrap();
    let (text, _) = text.split_once("<!-- layers:end -->").unwrap();
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let folder = cells.next().unwrap().trim_matches('`').to_owned();
        let does = cells.next().unwrap().to_owned();
        let may = cells.next().unwrap().split(',').map(str::trim);
        rows.push((folder, does, may.filter(|f| !f.is_empty()).map(str::to_owned).collect()));
    }
    rows
}

#[test]
fn a_folder_imports_only_the_folders_that_the_table_allows() {
    let files = files();
    let mut code = folders(&files);
    let rows = table();
    if std::env::var("BKM_LAYERS").is_ok_and(|v| v == "print") {
        for (folder, does, _) in &rows {
            let to: Vec<_> = code.get(folder).into_iter().flatten().cloned().collect();
            println!("| `{folder}` | {does} | {} |", to.join(", "));
        }
    }
    let mut below = BTreeSet::new();
    let mut wrong = String::new();
    for (folder, _, may) in rows {
        let has = code.remove(&folder).unwrap_or_default();
        for to in has.difference(&may) {
            let from = files.iter().filter(|(name, file)| {
                let is_there = |i: &&Name| i.first() == Some(to);
                name.first() == Some(&folder) && file.imports.iter().any(|i| is_there(&i))
            });
            for (_, file) in from {
                let path = file.path.display();
                writeln!(wrong, "{path} imports `{to}`, which the table does not allow").unwrap();
            }
        }
        for to in may.difference(&has) {
            writeln!(wrong, "`{folder}` does not import `{to}`: take it out of the table").unwrap();
        }
        for to in may.difference(&below) {
            writeln!(wrong, "`{to}` is not on a floor below `{folder}`").unwrap();
        }
        below.insert(folder);
    }
    for folder in code.keys() {
        writeln!(wrong, "`{folder}` is missing in the table").unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let files = files();
    let graph = graph(&files);
    // Takes away what imports nothing that is left, until nothing changes: what stays is in a circle or above one.
    let mut left: BTreeSet<&[String]> = graph.keys().map(|name| name.as_slice()).collect();
    loop {
        let free: Vec<_> = left
            .iter()
            .filter(|name| graph[&name.to_vec()].iter().all(|to| !left.contains(to)))
            .copied()
            .collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            left.remove(name);
        }
    }
    // The same from above: what nobody imports that is left.
    loop {
        let free: Vec<_> = left
            .iter()
            .filter(|name| !left.iter().any(|from| graph[&from.to_vec()].contains(*name)))
            .copied()
            .collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            left.remove(name);
        }
    }
    let names: Vec<_> = left.iter().map(|name| name.join("::")).collect();
    assert!(names.is_empty(), "in circles of imports, or between two: {names:#?}");
}

#[test]
fn a_file_imports_from_the_file_that_defines_a_thing() {
    let files = files();
    let mut wrong = String::new();
    for file in files.values() {
        let path = file.path.display();
        if file.path.ends_with("main.rs") {
            continue;
        }
        for import in &file.imports {
            let to = defined_in(import, &files);
            let folder = to.and_then(|to| files.get(to)).filter(|to| to.path.ends_with("mod.rs"));
            if to.is_none() || folder.is_some() {
                writeln!(
                    wrong,
                    "{path}: `crate::{}` is not where it is defined",
                    import.join("::")
                )
                .unwrap();
            }
        }
        for line in file.code.lines().map(str::trim_start) {
            let by_place =
                ["super::", "self::"].iter().any(|word| line.contains(&format!("use {word}")));
            if by_place || line.starts_with("pub use ") || line.starts_with("pub(crate) use ") {
                writeln!(wrong, "{path}: `{line}` hides from where a thing comes").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn mod_files_hold_declarations_only() {
    for file in files().values() {
        let is_list = file.path.ends_with("mod.rs") || file.path.ends_with("src/lib.rs");
        if !is_list {
            continue;
        }
        for line in file.code.lines().filter(|line| !line.trim().is_empty()) {
            let declares = line.starts_with("#[") || line.starts_with("#![") || {
                let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
                line.starts_with("mod ") && line.ends_with(';')
            };
            assert!(declares, "{}: {line}", file.path.display());
        }
        let text = fs::read_to_string(&file.path).unwrap();
        assert!(text.starts_with("//! "), "{}: no page of documentation", file.path.display());
    }
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let code =
        "use crate::a::{self, B, c::{D, E as F}};\nlet x = crate::g::h::<u8>(1); mycrate::i();";
    let found: Vec<_> = imports(code).into_iter().map(|name| name.join("::")).collect();
    assert_eq!(found, ["a", "a::B", "a::c::D", "a::c::E", "g::h"]);
}
