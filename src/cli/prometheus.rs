//! `status --prometheus`: what is remembered, in the text format 0.0.4 of Prometheus. The names of the
//! metrics are documented in `docs/monitoring.md` and are kept.
//!
//! A reader drops the whole file for one series that is there twice, so none is.

use std::collections::HashSet;
use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use crate::backup::report::RunReport;
use crate::state::memory::Memory;

/// All metrics of all profiles and drives.
pub(super) fn text(all: &[Memory]) -> String {
    let mut all: Vec<(&Memory, String)> =
        all.iter().map(|memory| (memory, labels(memory))).collect();
    // Of two drives that look the same the one that was seen last.
    all.sort_by_key(|(memory, _)| std::cmp::Reverse(seconds(memory.last_seen.as_deref())));
    let mut known = HashSet::new();
    all.retain(|(_, labels)| known.insert(labels.clone()));
    all.sort_by(|(_, a), (_, b)| a.cmp(b));

    let mut text = String::new();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    metric(&mut text, "bkm_info", "The version of bkm-agent.", [(version, 1)]);

    let mut time = |name: &str, help: &str, of: fn(&Memory) -> Option<&str>| {
        let series =
            all.iter().filter_map(|(memory, labels)| Some((labels.clone(), seconds(of(memory))?)));
        metric(&mut text, name, help, series);
    };
    time("bkm_last_success_timestamp_seconds", "When the last complete backup ended.", |memory| {
        memory.last_complete.as_deref()
    });
    time(
        "bkm_last_seen_timestamp_seconds",
        "When the drive was last plugged in or used.",
        |memory| memory.last_seen.as_deref(),
    );
    time("bkm_last_verified_timestamp_seconds", "When the backup was last verified.", |memory| {
        memory.last_verified.as_deref()
    });

    let runs: Vec<(&RunReport, &String)> = all
        .iter()
        .filter_map(|(memory, labels)| Some((memory.last_run.as_ref()?, labels)))
        .collect();
    let figures = |of: fn(&RunReport) -> u64| {
        runs.iter().map(move |(run, labels)| ((*labels).clone(), of(run))).collect::<Vec<_>>()
    };
    let durations = runs.iter().map(|(run, labels)| ((*labels).clone(), run.duration_s));
    let name = "bkm_last_run_duration_seconds";
    metric(&mut text, name, "How long the last complete backup took.", durations);
    let name = "bkm_last_run_bytes_copied";
    let help = "Bytes of content that the last complete backup copied.";
    metric(&mut text, name, help, figures(|run| run.bytes_copied));
    let name = "bkm_last_run_problems";
    let help = "Files that the last complete backup could not back up.";
    metric(&mut text, name, help, figures(|run| run.problems.len() as u64));
    let files = runs.iter().flat_map(|(run, labels)| {
        let kinds = [
            ("new", run.new),
            ("changed", run.changed),
            ("touched", run.touched),
            ("moved", run.moved),
            ("deleted", run.deleted),
            ("unchanged", run.unchanged),
        ];
        kinds.map(|(kind, files)| (format!("{labels},kind=\"{kind}\""), files))
    });
    metric(&mut text, "bkm_last_run_files", "Files of the last complete backup, by kind.", files);
    text
}

/// One metric with all its series (labels and value); nothing if there are none.
fn metric<V: Display>(
    text: &mut String,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (String, V)>,
) {
    let mut series = series.into_iter().peekable();
    if series.peek().is_none() {
        return;
    }
    // Writing to a text cannot fail.
    let _done = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in series {
        let _done = writeln!(text, "{name}{{{labels}}} {value}");
    }
}

/// What tells this profile and drive from others. `drive` is named as `status` names it: by its label,
/// else its UUID, else its node (the folder, where the profile has no drive).
fn labels(memory: &Memory) -> String {
    let drive = &memory.drive;
    let name = drive.label.as_ref().or(drive.uuid.as_ref()).unwrap_or(&drive.node);
    format!(
        "profile=\"{}\",drive=\"{}\",uuid=\"{}\"",
        escaped(&memory.profile),
        escaped(name),
        escaped(drive.uuid.as_deref().unwrap_or_default())
    )
}

/// `value` as it stands between quotes. Line breaks have an escape in the format, other control
/// characters have none; `sanitize` takes care of all of them.
fn escaped(value: &str) -> String {
    crate::text::sanitize::line(value).replace('\\', r"\\").replace('"', "\\\"")
}

/// Seconds since 1970; `None` for a time that is not known, or not one.
fn seconds(time: Option<&str>) -> Option<i64> {
    Some(time?.parse::<Timestamp>().ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::state::memory::Drive;

    fn memory(label: Option<&str>, uuid: Option<&str>, seen: &str) -> Memory {
        Memory {
            profile: "docs".to_owned(),
            drive: Drive {
                label: label.map(str::to_owned),
                uuid: uuid.map(str::to_owned),
                serial: None,
                node: "/dev/sdb1".to_owned(),
            },
            last_seen: Some(seen.to_owned()),
            ..Memory::default()
        }
    }

    fn complete(mut memory: Memory) -> Memory {
        memory.last_complete = Some("2026-11-23T09:15:00+01:00".to_owned());
        memory.last_run = Some(RunReport {
            new: 3,
            unchanged: 4,
            bytes_copied: 1_500_000,
            duration_s: 1.25,
            ..RunReport::default()
        });
        memory
    }

    const HOSTILE: &str = "A\"} 1\nevil{x=\"\\\x1b[2J\u{202e}";

    #[test]
    fn one_profile_on_one_drive() {
        let mut docs =
            complete(memory(Some("PHOTOS"), Some("B4C4-F001"), "2026-11-24T09:15:00+01:00"));
        docs.last_verified = Some("never".to_owned());
        let text = text(&[docs]).replace(env!("CARGO_PKG_VERSION"), "[VERSION]");
        insta::assert_snapshot!(text, @r#"
        # HELP bkm_info The version of bkm-agent.
        # TYPE bkm_info gauge
        bkm_info{version="[VERSION]"} 1
        # HELP bkm_last_success_timestamp_seconds When the last complete backup ended.
        # TYPE bkm_last_success_timestamp_seconds gauge
        bkm_last_success_timestamp_seconds{profile="docs",drive="PHOTOS",uuid="B4C4-F001"} 1795421700
        # HELP bkm_last_seen_timestamp_seconds When the drive was last plugged in or used.
        # TYPE bkm_last_seen_timestamp_seconds gauge
        bkm_last_seen_timestamp_seconds{profile="docs",drive="PHOTOS",uuid="B4C4-F001"} 1795508100
        # HELP bkm_last_run_duration_seconds How long the last complete backup took.
        # TYPE bkm_last_run_duration_seconds gauge
        bkm_last_run_duration_seconds{profile="docs",drive="PHOTOS",uuid="B4C4-F001"} 1.25
        # HELP bkm_last_run_bytes_copied Bytes of content that the last complete backup copied.
        # TYPE bkm_last_run_bytes_copied gauge
        bkm_last_run_bytes_copied{profile="docs",drive="PHOTOS",uuid="B4C4-F001"} 1500000
        # HELP bkm_last_run_problems Files that the last complete backup could not back up.
        # TYPE bkm_last_run_problems gauge
        bkm_last_run_problems{profile="docs",drive="PHOTOS",uuid="B4C4-F001"} 0
        # HELP bkm_last_run_files Files of the last complete backup, by kind.
        # TYPE bkm_last_run_files gauge
        bkm_last_run_files{profile="docs",drive="PHOTOS",uuid="B4C4-F001",kind="new"} 3
        bkm_last_run_files{profile="docs",drive="PHOTOS",uuid="B4C4-F001",kind="changed"} 0
        bkm_last_run_files{profile="docs",drive="PHOTOS",uuid="B4C4-F001",kind="touched"} 0
        bkm_last_run_files{profile="docs",drive="PHOTOS",uuid="B4C4-F001",kind="moved"} 0
        bkm_last_run_files{profile="docs",drive="PHOTOS",uuid="B4C4-F001",kind="deleted"} 0
        bkm_last_run_files{profile="docs",drive="PHOTOS",uuid="B4C4-F001",kind="unchanged"} 4
        "#);
    }

    #[test]
    fn a_label_cannot_make_series_of_its_own_or_steer_a_terminal() {
        let text = text(&[memory(Some(HOSTILE), None, "2026-11-24T09:15:00+01:00")]);
        let line = text.lines().find(|line| line.starts_with("bkm_last_seen")).unwrap();
        let shown = r#"bkm_last_seen_timestamp_seconds{profile="docs",drive="A\"} 1\\u{a}evil{x=\"\\\\u{1b}[2J\\u{202e}",uuid=""} 1795508100"#;
        assert_eq!(line, shown);
        assert_eq!(text.lines().count(), 6, "{text}");
    }

    #[test]
    fn of_drives_that_look_the_same_the_last_one_counts() {
        let old = memory(None, None, "2026-11-20T00:00:00Z");
        let new = memory(None, None, "2026-11-21T00:00:00Z");
        let other = memory(None, Some("1"), "2026-11-19T00:00:00Z");
        let text = text(&[old, new, other]);
        let seen: Vec<_> = text.lines().filter(|line| line.starts_with("bkm_last_seen")).collect();
        assert_eq!(
            seen,
            [
                r#"bkm_last_seen_timestamp_seconds{profile="docs",drive="/dev/sdb1",uuid=""} 1795219200"#,
                r#"bkm_last_seen_timestamp_seconds{profile="docs",drive="1",uuid="1"} 1795046400"#,
            ]
        );
    }

    #[test]
    fn prometheus_own_parser_reads_it() {
        let parser = "import json, sys\n\
            from prometheus_client.parser import text_string_to_metric_families as parse\n\
            families = list(parse(sys.stdin.read()))\n\
            assert all(family.type == 'gauge' and family.documentation for family in families)\n\
            samples = [[s.name, s.labels, s.value] for f in families for s in f.samples]\n\
            json.dump([[family.name for family in families], samples], sys.stdout)";
        let python = |code: &str| {
            let mut python = Command::new("/usr/bin/python3");
            python.args(["-c", code]).stdin(Stdio::piped()).stdout(Stdio::piped());
            python.stderr(Stdio::null()).spawn()
        };
        let there = python("import prometheus_client").and_then(|mut python| python.wait());
        if !there.is_ok_and(|status| status.success()) {
            println!("skipped: needs python3-prometheus-client");
            return;
        }
        let all = [
            complete(memory(Some(HOSTILE), Some("B4C4-F001"), "2026-11-24T09:15:00+01:00")),
            complete(memory(Some("PHOTOS"), Some("1"), "2026-11-24T09:15:00+01:00")),
            memory(None, None, "2026-11-24T09:15:00+01:00"),
        ];
        let mut child = python(parser).unwrap();
        child.stdin.take().unwrap().write_all(text(&all).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&all));
        let (families, samples): (Vec<String>, Vec<(String, serde_json::Value, f64)>) =
            serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(families.len(), families.iter().collect::<HashSet<_>>().len());
        assert_eq!(samples.len(), 1 + 3 + 2 + 2 * (3 + 6));
        let value = |name: &str, labels: &serde_json::Value| {
            let mut found = samples.iter().filter(|(n, l, _)| n == name && l == labels);
            let value = found.next().unwrap_or_else(|| panic!("{name} {labels}: {samples:?}")).2;
            assert!(found.next().is_none(), "{name} {labels}");
            value
        };
        let drive = crate::text::sanitize::line(HOSTILE);
        let hostile = serde_json::json!({ "profile": "docs", "drive": drive, "uuid": "B4C4-F001" });
        assert!((value("bkm_last_run_duration_seconds", &hostile) - 1.25).abs() < 1e-9);
        assert!(
            (value("bkm_last_success_timestamp_seconds", &hostile) - 1_795_421_700.0).abs() < 1.0
        );
        let none = serde_json::json!({ "profile": "docs", "drive": "/dev/sdb1", "uuid": "" });
        value("bkm_last_seen_timestamp_seconds", &none);
    }
}
