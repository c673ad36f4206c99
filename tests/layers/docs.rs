//! What the documents promise points at tests that exist, and what they name is there.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_test_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for document in ["docs/durability.md", "docs/threat-model.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for (file, test) in text.split('`').filter_map(|code| code.split_once(".rs::")) {
            let file = format!("{file}.rs");
            let code = fs::read_to_string(root.join(&file))
                .unwrap_or_else(|e| panic!("{document} names {file}: {e}"));
            assert!(code.contains(&format!("fn {test}(")), "{document} names {file}::{test}");
            named += 1;
        }
    }
    assert!(named > 60, "only {named} tests are named");
}

#[test]
fn every_source_file_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests", "benches", "examples", "fuzz/fuzz_targets"];
    let files: Vec<PathBuf> = files.iter().flat_map(|top| below(&root.join(top))).collect();
    let mut named = 0;
    for (document, text) in documents(root) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let is_source = |name: &&str| Path::new(name).extension().is_some_and(|ext| ext == "rs");
        for name in text.split(|c| !is_part(c)).filter(is_source) {
            // A kind of files (`*_tests.rs`), or an address.
            if name.starts_with(['_', '/', '.']) {
                continue;
            }
            let exists = files.iter().any(|file| file.ends_with(name));
            assert!(exists, "{document} names {name}");
            named += 1;
        }
    }
    assert!(named > 100, "only {named} files are named");
}

#[test]
fn every_module_and_type_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    let mut named = 0;
    for (document, text) in documents(root) {
        for path in text.split('`').filter(|code| code.contains("::")) {
            let words: Vec<&str> = path.split("::").collect();
            if !words.iter().all(|word| is_word(word)) {
                continue;
            }
            let file = (1..=words.len()).rev().find_map(|n| {
                let module = root.join("src").join(words[..n].join("/"));
                [module.with_extension("rs"), module.join("mod.rs")]
                    .into_iter()
                    .find_map(|file| Some((fs::read_to_string(file).ok()?, n)))
            });
            let (code, n) = file.unwrap_or_else(|| panic!("{document} names {path}"));
            let kinds = ["struct", "enum", "trait", "fn", "mod", "type"];
            let is_there =
                |word: &&str| kinds.iter().any(|kind| code.contains(&format!("{kind} {word}")));
            assert!(words[n..].iter().all(is_there), "{document} names {path}");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} modules are named");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut followed = 0;
    for (document, text) in documents(root) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let folder = root.join(&document).parent().unwrap().to_owned();
            let target = if file.is_empty() { root.join(&document) } else { folder.join(file) };
            assert!(target.exists(), "{document} links to {link}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let there = text.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(there.into_iter().any(|it| it == heading), "{document} links to {link}");
            }
            followed += 1;
        }
    }
    assert!(followed > 60, "only {followed} links were followed");
}

/// The documents for whoever reads today's code, and their texts. Changes may name what is gone.
fn documents(root: &Path) -> Vec<(String, String)> {
    let mut documents = below(&root.join("docs"));
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    documents.retain(|path| path.extension().is_some_and(|ext| ext == "md") && path.exists());
    let named = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
    documents.iter().map(|path| (named(path), fs::read_to_string(path).unwrap())).collect()
}

/// All files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// What a heading is called in a link, as web pages of repositories have it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|c| c.is_alphanumeric() || "_- ".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
