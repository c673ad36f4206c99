//! The words of the notifications: pure functions from what happened to what is shown.
//!
//! Names come from drives and files and pass through `sanitize`; they are not escaped for markup
//! here, since only the notification service knows whether it reads markup.

use crate::backup::RunReport;
use crate::human;
use crate::problem::Problem;
use crate::sanitize;

/// How many problems are named; the rest is counted.
const NAMED_PROBLEMS: usize = 3;

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The headline.
    pub summary: String,
    /// The lines below it.
    pub body: String,
    /// Whether the user has to do something about it.
    pub urgent: bool,
}

/// Whether the drive can be pulled now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is synced and unmounted.
    Safe,
    /// It is still mounted.
    EjectFirst,
    /// It is unmounted, but could not be synced.
    Doubtful,
    /// It is gone already.
    Gone,
}

/// How one run on a drive ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// Complete, with or without problems.
    Complete(Box<RunReport>),
    /// Told to stop; what is kept, in words.
    Stopped(String),
    /// Failed; why, in words.
    Failed(String),
    /// The drive was refused.
    Refused {
        /// Why, in words.
        why: String,
        /// What the user can do.
        what_to_do: String,
    },
}

/// A run of `profile` on the drive called `drive` began.
pub fn started(profile: &str, drive: &str) -> Text {
    Text {
        summary: "Backup started".to_owned(),
        body: format!("{}. Please leave the drive plugged in.", pair(profile, drive)),
        urgent: false,
    }
}

/// All runs of one plug-in are over: `runs` in their order, never empty.
pub fn ended(drive: &str, runs: &[(String, Ended)], removal: Removal) -> Text {
    let failed =
        runs.iter().any(|(_, run)| matches!(run, Ended::Failed(_) | Ended::Refused { .. }));
    let stopped = runs.iter().any(|(_, run)| matches!(run, Ended::Stopped(_)));
    let problems = runs
        .iter()
        .map(|(_, run)| match run {
            Ended::Complete(report) => report.problems.len(),
            _ => 0,
        })
        .sum::<usize>();
    let summary = if failed {
        "Backup failed".to_owned()
    } else if stopped && removal == Removal::Gone {
        "Backup stopped: the drive was removed".to_owned()
    } else if stopped {
        "Backup stopped".to_owned()
    } else if problems > 0 {
        let many = human::count(problems as u64, "problem", "problems");
        format!("Backup finished with {many}")
    } else {
        "Backup finished".to_owned()
    };
    let mut lines: Vec<String> = runs
        .iter()
        .map(|(profile, run)| format!("{}: {}", pair(profile, drive), outcome(run)))
        .collect();
    let all: Vec<&Problem> = runs
        .iter()
        .filter_map(|(_, run)| match run {
            Ended::Complete(report) => Some(&report.problems),
            _ => None,
        })
        .flatten()
        .collect();
    for problem in all.iter().take(NAMED_PROBLEMS) {
        lines.push(format!("{}: {}", problem.path, sanitize::line(&problem.reason)));
    }
    if all.len() > NAMED_PROBLEMS {
        lines.push(format!("… and {} more", all.len() - NAMED_PROBLEMS));
    }
    lines.push(
        match removal {
            Removal::Safe => "Safe to remove.",
            Removal::EjectFirst => "Eject the drive before you pull it.",
            Removal::Doubtful => {
                "The drive reported write errors: check it before you rely on this backup."
            }
            Removal::Gone if stopped || failed => {
                "Plug it in again: the backup goes on where it stopped."
            }
            Removal::Gone => "The drive was removed.",
        }
        .to_owned(),
    );
    Text {
        summary,
        body: lines.join("\n"),
        urgent: failed || removal == Removal::Doubtful || removal == Removal::Gone && stopped,
    }
}

/// The drive could not be used for a backup at all.
pub fn not_usable(profiles: &[String], drive: &str, why: &str) -> Text {
    Text {
        summary: "Backup failed".to_owned(),
        body: format!("{}: {}", pair(&profiles.join(", "), drive), sanitize::line(why)),
        urgent: true,
    }
}

fn pair(profile: &str, drive: &str) -> String {
    format!("{} → {}", sanitize::line(profile), sanitize::line(drive))
}

fn outcome(run: &Ended) -> String {
    match run {
        Ended::Complete(report) => {
            let files = report.new + report.changed;
            let time = human::duration(report.duration_s);
            if files + report.touched + report.moved + report.deleted == 0 {
                return format!("nothing has changed, checked in {time}.");
            }
            let mut parts = vec![format!(
                "{}, {}",
                human::count(files, "file", "files"),
                human::size(report.bytes_copied)
            )];
            for (n, what) in [(report.moved, "moved"), (report.deleted, "deleted")] {
                if n > 0 {
                    parts.push(format!("{n} {what}"));
                }
            }
            format!("{} in {time}.", parts.join(", "))
        }
        Ended::Stopped(kept) => format!("stopped; {}.", sanitize::line(kept)),
        Ended::Failed(why) => sanitize::line(why),
        Ended::Refused { why, what_to_do } => sanitize::line(&format!("{why}. {what_to_do}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relpath::RelPath;

    fn report() -> RunReport {
        RunReport {
            new: 10,
            changed: 2,
            bytes_copied: 3_400_000,
            duration_s: 5.2,
            ..RunReport::default()
        }
    }

    fn complete(report: RunReport) -> (String, Ended) {
        ("documents".to_owned(), Ended::Complete(Box::new(report)))
    }

    #[test]
    fn finished_says_whether_the_drive_can_be_pulled() {
        let text = ended("PHOTOS", &[complete(report())], Removal::Safe);
        assert_eq!(text.summary, "Backup finished");
        assert_eq!(text.body, "documents → PHOTOS: 12 files, 3.4 MB in 5 s.\nSafe to remove.");
        assert!(!text.urgent);
        let text = ended("PHOTOS", &[complete(report())], Removal::EjectFirst);
        assert!(text.body.ends_with("Eject the drive before you pull it."));
        assert!(!text.body.contains("Safe"));
    }

    #[test]
    fn nothing_changed_is_said_so() {
        let text = ended("P", &[complete(RunReport::default())], Removal::Safe);
        assert!(text.body.starts_with("documents → P: nothing has changed"));
    }

    #[test]
    fn three_problems_are_named_and_the_rest_counted() {
        let problem = |n: u8| {
            Problem::new(RelPath::new(format!("f{n}\n<b>").as_bytes()).unwrap(), "unreadable")
        };
        let report = RunReport { problems: (0..5).map(problem).collect(), ..report() };
        let text = ended("P", &[complete(report)], Removal::Safe);
        assert_eq!(text.summary, "Backup finished with 5 problems");
        assert!(text.body.contains("f0\\u{a}<b>: unreadable"));
        assert!(text.body.contains("f2") && !text.body.contains("f3"));
        assert!(text.body.contains("… and 2 more"));
    }

    #[test]
    fn one_failure_among_several_runs_is_the_headline() {
        let failed = ("music".to_owned(), Ended::Failed("no space".to_owned()));
        let text = ended("P", &[complete(report()), failed], Removal::Safe);
        assert_eq!(text.summary, "Backup failed");
        assert!(text.urgent && text.body.contains("music → P: no space"));
        assert!(text.body.contains("12 files"));
    }

    #[test]
    fn a_run_that_is_refused_asks_with_figures_and_the_command() {
        let error = crate::backup::RunError::MassChange {
            which: "--profile docs".to_owned(),
            path: "/home/anna/a\x1bb".into(),
            tracked: 3000,
            deleted: 1500,
            changed: 700,
            limits: crate::config::MassChange::default(),
        };
        let run = ("docs".to_owned(), Ended::Failed(crate::in_words::in_words(&error)));
        let text = ended("P", &[run], Removal::Safe);
        assert!(text.urgent);
        assert_eq!(
            text.body,
            "docs → P: 2200 of the 3000 tracked files in the backup vanished from the source \
             /home/anna/a\\u{1b}b (1500) or have other content (700): more than 50 % and more than \
             1000 files. This is what ransomware, a disk that is not mounted or a wiped folder look \
             like, so the backup stays as it is. Look at the source; if it is as you want it: \
             bkm-agent run --profile docs --accept-mass-change\nSafe to remove."
        );
    }

    #[test]
    fn a_pulled_drive_is_told_as_such() {
        let stopped = ("d".to_owned(), Ended::Stopped("3 files are kept".to_owned()));
        let text = ended("P", &[stopped], Removal::Gone);
        assert_eq!(text.summary, "Backup stopped: the drive was removed");
        assert!(text.body.contains("stopped; 3 files are kept."));
        assert!(!text.body.contains("Safe"));
    }

    #[test]
    fn labels_cannot_drive_the_text() {
        let text = started("docs", "A\x1b[2J\u{202e}B");
        assert_eq!(text.body, "docs → A\\u{1b}[2J\\u{202e}B. Please leave the drive plugged in.");
    }
}
