//! A home with a history, to be searched.

use std::fs;

use serde_json::json;

use super::home::Home;

/// A home with three runs: `a.txt` changes and moves, `sub/b.txt` is deleted, `notes.md` is only mirrored.
pub(crate) fn home_with_history() -> Home {
    let home = Home::new();
    history_of(&home, "~/there/backup");
    home
}

pub(crate) fn history_of(home: &Home, dist: &str) {
    let profile = json!({ "src": "~/work", "dist": dist,
        "track_files": ["*.txt:rec", "*.pdf:rec"], "include_files": ["*.md:rec"] });
    home.profile("docs", &profile);
    home.write("work/a.txt", "one");
    home.write("work/sub/b.txt", "two");
    home.write("work/sub/c.pdf", &"three".repeat(500));
    home.write("work/sub/notes.md", "mirrored");
    home.done(&["run"]);
    home.write("work/a.txt", "changed");
    fs::remove_file(home.at("work/sub/b.txt")).unwrap();
    home.done(&["run"]);
    fs::rename(home.at("work/a.txt"), home.at("work/z.txt")).unwrap();
    home.done(&["run"]);
}

/// Every version's file is where `--full-paths` says, in both ways of keeping versions.
pub(crate) fn full_paths_lead_to_the_versions(home: &Home) {
    let found = home.json(&["search", "--json", "--full-paths"]);
    let mut seen = 0;
    for result in found["results"].as_array().unwrap() {
        let path = result["full_path"].as_str().unwrap();
        let content = fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let hash = blake3::hash(&content).to_hex().to_string();
        assert_eq!(result["blake3"], hash, "{path}");
        seen += 1;
    }
    assert!(seen >= 7, "{found}");
    for version in home.json(&["versions", "z.txt", "--json"]).as_array().unwrap() {
        let content = fs::read(version["full_path"].as_str().unwrap()).unwrap();
        assert_eq!(version["blake3"], blake3::hash(&content).to_hex().to_string());
    }
}
