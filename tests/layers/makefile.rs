//! What the Makefile asks of `scripts/deps.sh` exists: a target is not found broken on the day when it is needed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The names that stand at the beginnings of lines before `end`.
fn names_before<'t>(text: &'t str, indent: &str, end: &str) -> BTreeSet<&'t str> {
    let name = |line: &'t str| line.strip_prefix(indent)?.split_once(end).map(|(name, _)| name);
    let plain = |name: &&str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'_')
    };
    text.lines().filter_map(name).filter(plain).collect()
}

/// The groups that `scripts/deps.sh` takes.
fn groups(script: &str) -> BTreeSet<&str> {
    let (_, cases) = script.split_once("case $group in").unwrap();
    let (cases, _) = cases.split_once("esac").unwrap();
    names_before(cases, "    ", ")")
}

#[test]
fn every_target_asks_for_groups_that_there_are() {
    let (makefile, script) = (read("Makefile"), read("scripts/deps.sh"));
    let groups = groups(&script);
    let targets = names_before(&makefile, "", ":");
    assert!(targets.len() > 10 && targets.contains("bench-writers"), "{targets:?}");
    let mut asked = BTreeSet::new();
    for target in targets {
        let dry = Command::new("make")
            .args(["-n", target])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(dry.status.success(), "make -n {target}: {}", String::from_utf8_lossy(&dry.stderr));
        for line in String::from_utf8(dry.stdout).unwrap().lines() {
            let Some((_, words)) = line.split_once("scripts/deps.sh") else { continue };
            for group in words.split_whitespace().take_while(|word| *word != "||") {
                assert!(groups.contains(group), "make {target} asks for the group {group}");
                asked.insert(group.to_owned());
            }
        }
    }
    for group in groups {
        assert!(asked.contains(group), "no target asks for the group {group}");
    }
}

#[test]
fn every_group_of_the_script_can_be_asked_for() {
    let script = read("scripts/deps.sh");
    let helpers = ["need", "have", "tool", "install_packages", "install_tools"];
    let (_, cases) = script.split_once("case $group in").unwrap();
    for function in names_before(&script, "", "() {") {
        let called = cases.lines().any(|line| {
            let line = line.trim();
            line == function || line.ends_with(&format!(") {function} ;;"))
        });
        assert!(called || helpers.contains(&function), "no case calls {function}");
    }
}
