//! `verify` says what is not as it was backed up, heals it, and stops when it is told to.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::damage::flip;
use crate::support::home::Home;

#[test]
fn the_command_says_what_was_verified_and_remembers_it() {
    let home = Home::with_docs();
    assert_eq!(home.bkm(&["verify"]).status.code(), Some(1), "there is no backup yet");
    home.done(&["run"]);
    let text = home.done(&["verify", "--quick"]);
    assert!(text.starts_with("verified: 6 versions, 22 B by presence and size, in "), "{text}");
    assert!(home.json(&["status", "--json"])[0]["last_verified"].is_null(), "quick does not count");
    let text = home.done(&["verify"]);
    assert!(text.starts_with("verified: 6 versions, 11 B read, in "), "{text}");
    let status = home.json(&["status", "--json"]);
    assert!(status[0]["last_verified"].is_string(), "{status}");
    let object = home.json(&["verify", "--json"]);
    assert_eq!(object["versions"], 6);
    assert_eq!(object["findings"], serde_json::json!([]));
}

#[test]
fn the_command_names_each_finding_and_what_helps() {
    let home = Home::with_docs();
    let increment = home.json(&["run", "--json"])["increment"].as_str().unwrap().to_owned();
    flip(&home.at("there/backup/mirror/a.txt"));
    let output = home.bkm(&["verify", "--repo", "there/backup"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let first = format!(
        "damaged    a.txt in mirror (mirror/a.txt): its content is not what was backed up; the same file in {increment}"
    );
    assert_eq!(text.lines().next(), Some(first.as_str()));
    assert!(text.contains("2 findings in 6 versions"), "{text}");
    let hint = String::from_utf8(output.stderr).unwrap();
    assert!(hint.contains("verify --heal"), "{hint}");
    assert!(home.json(&["status", "--json"])[0]["last_verified"].is_null());
    let output = home.bkm(&["verify", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["findings"][0]["damage"], "damaged");
    assert_eq!(object["findings"][0]["shared_with"], serde_json::json!([increment]));
}

#[test]
fn while_a_run_works_the_command_says_who_holds_the_lock() {
    let home = Home::with_docs();
    home.done(&["run"]);
    let lock = fs::OpenOptions::new().write(true).open(home.at("there/backup/.bkm/lock")).unwrap();
    lock.lock().unwrap();
    let output = home.bkm(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("another run works on this repository: process "), "{text}");
}

#[test]
fn ctrl_c_stops_the_command() {
    let home = Home::with_docs();
    // Holes: long to hash, nothing to copy.
    let large = fs::File::create(home.at("work/large")).unwrap();
    large.set_len(1 << 30).unwrap();
    home.done(&["run"]);
    let mut child = home.command(&["verify"]).stderr(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // It listens to signals once this thread is there.
    let tasks = format!("/proc/{}/task", child.id());
    let listens = || {
        let mut tasks = fs::read_dir(&tasks).unwrap();
        tasks.any(|task| {
            let name = fs::read_to_string(task.unwrap().path().join("comm"));
            name.is_ok_and(|name| name.trim() == "bkm-reader-0")
        })
    };
    while !listens() {
        std::thread::sleep(Duration::from_millis(1));
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
}

#[test]
fn the_command_heals_with_the_profile_and_says_what_it_cannot() {
    let home = Home::with_docs();
    home.done(&["run"]);
    flip(&home.at("there/backup/mirror/a.txt"));
    fs::remove_dir_all(home.at("there/backup/mirror/sub")).unwrap();
    let output = home.bkm(&["verify", "--heal", "--repo", "there/backup"]);
    assert_eq!(output.status.code(), Some(3), "without the source a.txt is nowhere: {output:?}");
    let hint = String::from_utf8(output.stderr).unwrap();
    assert!(hint.contains("no other sound copy"), "{hint}");
    assert_eq!(home.read("there/backup/mirror/sub/b.txt"), "two", "the increment has it");
    let text = home.done(&["verify", "--heal"]);
    assert!(text.contains("healed: 2 findings\nverified: 6 versions"), "{text}");
    assert_eq!(home.read("there/backup/mirror/a.txt"), "one");
    home.done(&["verify"]);
    assert!(home.json(&["status", "--json"])[0]["last_verified"].is_string());
}
