//! `repair` says what it did.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::support::home::Home;

#[test]
fn the_command_repairs_and_says_what_it_did() {
    let home = Home::with_docs();
    home.done(&["run"]);
    assert_eq!(
        home.done(&["repair"]),
        "nothing to repair: the records are in line with the drive\n"
    );
    fs::remove_file(home.at("there/backup/.bkm/index")).unwrap();
    fs::remove_file(home.at("there/backup/.bkm/format.json")).unwrap();
    for command in [&["list"][..], &["verify"], &["run", "--dry-run"]] {
        let output = home.bkm(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("bkm-agent repair"), "{command:?}: {text}");
    }
    let output = home.bkm(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    let text = home.done(&["repair"]);
    assert!(text.contains("the index was rebuilt, with 4 paths\n"), "{text}");
    let report = home.json(&["run", "--json"]);
    assert_eq!((&report["bytes_copied"], &report["unchanged"]), (&0.into(), &3.into()));
    home.done(&["verify"]);
    // A file that is nowhere.
    fs::remove_dir_all(home.at("there/backup/mirror/sub")).unwrap();
    let increment = home.json(&["list", "--json"])[0]["name"].as_str().unwrap().to_owned();
    fs::remove_dir_all(home.at("there/backup").join(&increment)).unwrap();
    let output = home.bkm(&["repair", "--json", "--repo", "there/backup"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = object["problems"].to_string();
    assert!(text.contains("the increment is gone") && text.contains("sub/b.txt"), "{text}");
    let report = home.json(&["run", "--json"]);
    assert_eq!(report["problems"], serde_json::json!([]));
    home.done(&["verify"]);
    fs::create_dir(home.at("work/mirror")).unwrap();
    assert_eq!(home.bkm(&["repair", "--repo", "work"]).status.code(), Some(1), "no repository");
    assert!(!home.at("work/.bkm").exists(), "it is left alone");
    assert!(fs::metadata(home.at("there/backup/mirror/sub/b.txt")).unwrap().nlink() > 1);
}
