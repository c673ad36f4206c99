//! Hooks with the real program: what they are told, what becomes of a run when they fail, and that
//! none of them can hold it up.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bkm_agent::job::hooks::calls;
use bkm_agent::job::hooks::event::At;
use serde_json::{Value, json};

use crate::support::hooks::{home_with, input, set_hooks, shell, variable};

#[test]
fn hooks_are_told_of_the_run_in_the_environment_and_on_standard_input() {
    let odd = "two words; $(touch got/evil) \"'*";
    let record = json!(["/bin/sh", "record.sh", odd, ""]);
    let home = home_with(&json!({ "before": record, "after": record, "failed": record }));
    let mut run = home.command(&["run", "--profile", "docs", "--json"]);
    // As if it were itself started by a hook.
    let output = run.env("BKM_LABEL", "OTHER").env("MINE", "kept").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();

    let repository = home.at("there/backup").display().to_string();
    for event in ["before", "after"] {
        assert_eq!(home.read(&format!("got/{event}.arguments")), format!("{odd}\n\n"));
        let told = |name| variable(&home, event, name);
        assert_eq!(told("BKM_EVENT").as_deref(), Some(event));
        assert_eq!(told("BKM_PROFILE").as_deref(), Some("docs"));
        assert_eq!(told("BKM_SOURCE"), Some(home.at("work").display().to_string()));
        assert_eq!(told("BKM_REPOSITORY").as_ref(), Some(&repository));
        assert_eq!(told("PWD"), Some(home.folder().display().to_string()));
        assert_eq!(told("MINE").as_deref(), Some("kept"));
        for absent in ["BKM_DEVICE", "BKM_LABEL", "BKM_UUID", "BKM_MOUNT_POINT", "BKM_ERROR"] {
            assert_eq!(told(absent), None, "{event} {absent}");
        }
        let input = input(&home, event);
        assert_eq!(input["event"], event);
        assert_eq!(input["profile"], "docs");
        assert_eq!(input["repository"], repository);
        assert_eq!(input["device"], Value::Null);
        assert_eq!(input["error"], Value::Null);
    }
    assert_eq!(variable(&home, "before", "BKM_NEW"), None);
    assert_eq!(input(&home, "before")["report"], Value::Null);
    assert_eq!(input(&home, "after")["report"], report);
    for (name, value) in [
        ("BKM_NEW", "3"),
        ("BKM_CHANGED", "0"),
        ("BKM_TOUCHED", "0"),
        ("BKM_MOVED", "0"),
        ("BKM_DELETED", "0"),
        ("BKM_UNCHANGED", "0"),
        ("BKM_BYTES_COPIED", "11"),
        ("BKM_PROBLEMS", "0"),
        ("BKM_NOTES", "0"),
        ("BKM_INCREMENT", report["increment"].as_str().unwrap()),
    ] {
        assert_eq!(variable(&home, "after", name).as_deref(), Some(value), "{name}");
    }
    let seconds: f64 = variable(&home, "after", "BKM_DURATION_S").unwrap().parse().unwrap();
    assert!((seconds - report["duration_s"].as_f64().unwrap()).abs() < 0.001);
    assert!(!home.at("got/failed.input").exists());
    assert!(!home.at("got/evil").exists());
}

#[test]
fn a_before_that_fails_stops_the_run_and_failed_is_told_why() {
    let home = home_with(&json!({}));
    let failed = json!(["/bin/sh", "record.sh"]);
    for (before, why) in [
        (
            shell("echo first; echo 'the database\x1b[2J is busy' >&2; exit 3"),
            r"/bin/sh ended with exit code 3, having said: the database\u{1b}[2J is busy",
        ),
        (shell("kill -9 $$"), "/bin/sh ended with signal 9"),
        (
            json!(["/none/program"]),
            "/none/program cannot be run: No such file or directory (os error 2)",
        ),
        (json!(["~/record.sh"]), "~/record.sh cannot be run: Permission denied (os error 13)"),
        (shell("echo waiting; sleep 1000"), "/bin/sh was ended after 1 s, having said: waiting"),
    ] {
        set_hooks(&home, &json!({ "before": before, "failed": failed, "timeout": "1s" }));
        let output = home.bkm(&["run"]);
        let words = format!("the hook \"before\" of the profile \"docs\": {why}");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!("bkm-agent: docs: {words}\n")
        );
        assert!(!home.at("there/backup").exists());
        assert_eq!(variable(&home, "failed", "BKM_ERROR").as_ref(), Some(&words));
        assert_eq!(input(&home, "failed")["error"], words);
        std::fs::remove_file(home.at("got/failed.input")).unwrap();
    }
    let status = home.json(&["status", "--json"]);
    assert!(status[0]["state"].as_str().unwrap().starts_with("failed: the hook \"before\""));
}

#[test]
fn an_after_that_fails_is_a_warning_in_the_report() {
    let home = home_with(&json!({ "after": shell("echo no mail; exit 1") }));
    let report = home.json(&["run", "--json"]);
    let warning = "the hook \"after\" of the profile \"docs\": /bin/sh ended with exit code 1, having said: no mail";
    assert_eq!(report["warnings"], json!([warning]));
    assert_eq!(home.json(&["status", "--json"])[0]["last_run"]["warnings"], json!([warning]));

    // A run that fails by itself, and whose hook does, too.
    set_hooks(&home, &json!({ "failed": ["/bin/false"] }));
    std::fs::rename(home.at("work"), home.at("moved")).unwrap();
    let output = home.bkm(&["run"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(words.lines().count(), 2, "{words}");
    assert!(words.contains(
        "the hook \"failed\" of the profile \"docs\": /bin/false ended with exit code 1"
    ));
    assert!(words.contains("bkm-agent: docs: "), "the run's own error is told as well: {words}");
}

#[test]
fn a_dry_run_and_other_commands_run_no_hooks() {
    let record = json!(["/bin/sh", "record.sh"]);
    let home = home_with(&json!({ "before": record, "after": record, "failed": record }));
    home.done(&["run", "--dry-run"]);
    home.done(&["check"]);
    assert_eq!(std::fs::read_dir(home.at("got")).unwrap().count(), 0);
}

#[test]
fn a_report_larger_than_a_pipe_is_whole_and_need_not_be_read() {
    let home = home_with(&json!({ "after": ["/bin/true"] }));
    let folder = home.at("work").join("x".repeat(200));
    std::fs::create_dir(&folder).unwrap();
    for n in 0..1000 {
        let fifo = folder.join(format!("fifo {n}"));
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
    let report = home.json(&["run", "--json"]);
    assert_eq!(report["warnings"], json!([]));

    set_hooks(&home, &json!({ "after": ["/bin/sh", "record.sh"] }));
    home.done(&["run"]);
    let length = std::fs::metadata(home.at("got/after.input")).unwrap().len();
    assert!(length > 200_000, "{length}");
    assert_eq!(input(&home, "after")["report"]["notes"].as_array().unwrap().len(), 1000);
    assert_eq!(variable(&home, "after", "BKM_NOTES").as_deref(), Some("1000"));
}

#[test]
fn hooks_of_a_profile_that_others_can_write_are_not_run() {
    let record = json!(["/bin/sh", "record.sh"]);
    let home = home_with(&json!({ "before": record, "failed": record }));
    let file = home.at("config/bkm-agent/profiles/docs.json");
    std::fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
    let output = home.bkm(&["run"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(
        words.contains("others could have written it") && words.contains("docs.json"),
        "{words}"
    );
    assert_eq!(std::fs::read_dir(home.at("got")).unwrap().count(), 0);
    assert!(!home.at("there/backup").exists());
    // Without hooks it is nobody's business.
    set_hooks(&home, &json!({}));
    std::fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
    home.done(&["run"]);
}

/// What was logged while a test called a hook itself.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn output_is_logged_line_by_line_and_a_flood_of_it_is_cut() {
    let flood = "echo one; echo 'two\x1b[2J' >&2; head -c 20000000 /dev/zero | tr '\\0' 'y'; echo; \
                 yes | head -n 1000000; echo last";
    let home = home_with(&json!({ "before": shell(flood) }));
    let profile =
        bkm_agent::config::load::load_file(&home.at("config/bkm-agent/profiles/docs.json"))
            .unwrap();
    let at = At { device: None, mount_point: None, repository: Path::new("/r") };
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        calls::before(&profile, &at, &AtomicBool::new(false)).unwrap();
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    // That it runs, 200 lines, and what was left out.
    assert_eq!(lines.len(), 202);
    assert!(lines[1].contains("one") && lines[1].contains("docs") && lines[1].contains("before"));
    assert!(lines[2].contains(r"two\u{1b}[2J"), "{}", lines[2]);
    assert!(lines[201].contains("bytes more"), "{}", lines[201]);
    assert!(log.len() < 100_000, "{}", log.len());
}
