//! How a backup ended, and whether the drive can be pulled: after the runs of a plug-in, and after the
//! user ejected it.

use crate::backup::report::RunReport;
use crate::model::problem::Problem;
use crate::notify::figures;
use crate::notify::texts::text::{Act, Text};
use crate::text::language::Language;

/// How many problems, or programs, are named; the rest is counted.
const NAMED: usize = 3;

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
    /// The drive could not be used; that has a notification of its own.
    Unusable(Trouble),
}

/// Why a drive that was mounted could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is not the profile's.
    Refused {
        /// Why, in words.
        why: String,
        /// What the user can do, in sentences.
        what_to_do: String,
    },
    /// This user may not write to it.
    RootOwned {
        /// Why, in words.
        why: String,
        /// What mends it.
        command: String,
    },
}

/// One run, for [`ended`].
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The profile's name.
    pub profile: &'a str,
    /// How it ended.
    pub ended: &'a Ended,
    /// The problems of the complete run before it on this drive: they are no news.
    pub known: &'a [Problem],
}

impl<'a> Run<'a> {
    fn problems(&self) -> impl Iterator<Item = &'a Problem> + use<'a> {
        match self.ended {
            Ended::Complete(report) => report.problems.as_slice(),
            _ => &[],
        }
        .iter()
    }

    /// Those of its problems that the run before did not have.
    fn new_problems(&self) -> impl Iterator<Item = &'a Problem> + use<'a> {
        let known = self.known;
        self.problems().filter(move |problem| !known.contains(problem))
    }
}

/// All runs of one plug-in are over: `runs` in their order, never empty.
pub fn ended(language: Language, drive: &str, runs: &[Run<'_>], removal: Removal) -> Text {
    let failed = runs.iter().any(|run| matches!(run.ended, Ended::Failed(_) | Ended::Unusable(_)));
    let stopped = runs.iter().any(|run| matches!(run.ended, Ended::Stopped(_)));
    let news: Vec<&Problem> = runs.iter().flat_map(Run::new_problems).collect();
    let known = runs.iter().flat_map(Run::problems).count() - news.len();
    // What fails on a drive that is gone fails since it is gone.
    let summary = if (failed || stopped) && removal == Removal::Gone {
        language.say("ended.removed", &[])
    } else if failed {
        language.say("ended.failed", &[])
    } else if stopped {
        language.say("ended.stopped", &[])
    } else {
        match (news.len() as u64, known) {
            (0, _) => language.say("ended.complete", &[]),
            (n, 0) => language.count("ended.problems", n, &[]),
            (n, _) => language.count("ended.new_problems", n, &[]),
        }
    };
    let mut lines: Vec<String> = runs
        .iter()
        .map(|run| {
            let outcome = outcome(language, run.ended);
            let values = [("profile", run.profile), ("drive", drive), ("outcome", &outcome)];
            language.say("ended.line", &values)
        })
        .collect();
    for problem in news.iter().take(NAMED) {
        let values = [("path", &*problem.path.to_string()), ("reason", &problem.reason)];
        lines.push(language.say("problem.one", &values));
    }
    if news.len() > NAMED {
        lines.push(language.say("problem.more", &[("n", &(news.len() - NAMED).to_string())]));
    }
    if known > 0 {
        lines.push(language.count("problem.known", known as u64, &[]));
    }
    let last = match removal {
        Removal::Safe => "removal.safe",
        Removal::EjectFirst => "removal.eject_first",
        Removal::Doubtful => "removal.doubtful",
        Removal::Gone if stopped || failed => "removal.plug_in_again",
        Removal::Gone => "removal.gone",
    };
    lines.push(language.say(last, &[]));
    Text {
        summary,
        body: lines.join("\n"),
        urgent: failed || removal == Removal::Doubtful || removal == Removal::Gone && stopped,
        actions: match removal {
            Removal::EjectFirst => vec![Act::OpenFolder, Act::Eject],
            // What is not mounted has no folder to open.
            Removal::Safe | Removal::Doubtful | Removal::Gone => Vec::new(),
        },
        ..Text::default()
    }
}

fn outcome(language: Language, run: &Ended) -> String {
    match run {
        Ended::Complete(report) => {
            let files = report.new + report.changed;
            let time = figures::duration(language, report.duration_s);
            if files + report.touched + report.moved + report.deleted == 0 {
                return language.say("outcome.unchanged", &[("time", &time)]);
            }
            let mut what = vec![
                language.count("count.files", files, &[]),
                figures::size(language, report.bytes_copied),
            ];
            if report.moved > 0 {
                what.push(language.count("outcome.moved", report.moved, &[]));
            }
            if report.deleted > 0 {
                what.push(language.count("outcome.deleted", report.deleted, &[]));
            }
            let values = [("what", what.join(", ")), ("time", time)];
            language.say("outcome.changed", &values.each_ref().map(|(k, v)| (*k, v.as_str())))
        }
        Ended::Stopped(kept) => language.say("outcome.stopped", &[("kept", kept)]),
        Ended::Failed(why)
        | Ended::Unusable(Trouble::Refused { why, .. } | Trouble::RootOwned { why, .. }) => {
            why.clone()
        }
    }
}

/// The drive called `drive` was ejected at the user's wish, or could not be. What keeps it mounted, if
/// that is known, is said by [`busy`] instead.
pub fn ejected(language: Language, drive: &str, removal: Removal) -> Text {
    let (summary, body) = match removal {
        Removal::Safe => ("ejected.safe", None),
        Removal::EjectFirst => ("ejected.not", Some("ejected.not.body")),
        Removal::Doubtful => ("ejected.doubtful", Some("ejected.doubtful.body")),
        Removal::Gone => ("ejected.gone", None),
    };
    Text {
        summary: language.say(summary, &[]),
        body: body.map_or_else(
            || crate::text::sanitize::line(drive),
            |body| language.say(body, &[("drive", drive)]),
        ),
        urgent: removal == Removal::Doubtful,
        actions: if removal == Removal::EjectFirst { vec![Act::Eject] } else { Vec::new() },
        ..Text::default()
    }
}

/// The drive could not be ejected because programs have files on it open; `holders` are their names.
pub fn busy(language: Language, drive: &str, holders: &[String]) -> Text {
    let mut programs: Vec<String> = holders.iter().take(NAMED).cloned().collect();
    if holders.len() > NAMED {
        let more = (holders.len() - NAMED).to_string();
        programs.push(language.say("busy.more", &[("n", &more)]));
    }
    let body = if programs.is_empty() {
        language.say("busy.unknown", &[("drive", drive)])
    } else {
        language.say("busy.body", &[("drive", drive), ("programs", &programs.join(", "))])
    };
    Text {
        summary: language.say("busy.summary", &[]),
        body,
        actions: vec![Act::Eject],
        ..Text::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::relpath::RelPath;

    use Language::{English, Russian};

    fn report() -> RunReport {
        RunReport {
            new: 10,
            changed: 2,
            bytes_copied: 3_400_000,
            duration_s: 5.2,
            ..RunReport::default()
        }
    }

    fn complete(report: RunReport) -> Ended {
        Ended::Complete(Box::new(report))
    }

    /// One run of `documents` on the drive `P`, without known problems.
    fn one(language: Language, run: &Ended, removal: Removal) -> Text {
        ended(language, "P", &[Run { profile: "documents", ended: run, known: &[] }], removal)
    }

    fn problem(n: u8) -> Problem {
        Problem::new(RelPath::new(format!("f{n}\n<b>").as_bytes()).unwrap(), "unreadable")
    }

    fn with_problems(n: u8) -> Ended {
        complete(RunReport { problems: (0..n).map(problem).collect(), ..report() })
    }

    #[test]
    fn finished_says_whether_the_drive_can_be_pulled() {
        let text = one(English, &complete(report()), Removal::Safe);
        assert_eq!(text.summary, "Backup finished");
        assert_eq!(text.body, "documents → P: 12 files, 3.4 MB in 5 s.\nSafe to remove.");
        assert!(!text.urgent && text.actions.is_empty());
        let text = one(English, &complete(report()), Removal::EjectFirst);
        assert!(text.body.ends_with("Eject the drive before you pull it."));
        assert!(!text.body.contains("Safe"));
        assert_eq!(text.actions, [Act::OpenFolder, Act::Eject]);
        let text = one(Russian, &complete(report()), Removal::Safe);
        assert_eq!(text.summary, "Резервное копирование завершено");
        assert_eq!(
            text.body,
            "documents → P: 12 файлов, 3,4 МБ. Время: 5 с.\nНакопитель можно отключать."
        );
        let text = one(Russian, &complete(report()), Removal::EjectFirst);
        assert!(text.body.ends_with("Прежде чем отключать накопитель, извлеките его."));
        let text = one(English, &complete(report()), Removal::Doubtful);
        assert!(text.urgent && text.body.contains("write errors"));
        let text = one(Russian, &complete(report()), Removal::Gone);
        assert!(text.body.ends_with("Накопитель отключён."));
    }

    #[test]
    fn what_moved_and_went_is_counted() {
        let moved = complete(RunReport { moved: 2, deleted: 1, new: 1, changed: 0, ..report() });
        let text = one(English, &moved, Removal::Safe);
        assert!(text.body.starts_with("documents → P: 1 file, 3.4 MB, 2 moved, 1 deleted in 5 s."));
        let text = one(Russian, &moved, Removal::Safe);
        assert!(
            text.body.starts_with(
                "documents → P: 1 файл, 3,4 МБ, перемещено: 2, удалено: 1. Время: 5 с."
            )
        );
    }

    #[test]
    fn nothing_changed_is_said_so() {
        let same = complete(RunReport { duration_s: 2.0, ..RunReport::default() });
        let text = one(English, &same, Removal::Safe);
        assert!(text.body.starts_with("documents → P: nothing has changed, checked in 2 s."));
        let text = one(Russian, &same, Removal::Safe);
        assert!(text.body.starts_with("documents → P: изменений нет, проверка заняла 2 с."));
    }

    #[test]
    fn three_problems_are_named_and_the_rest_counted() {
        let text = one(English, &with_problems(5), Removal::Safe);
        assert_eq!(text.summary, "Backup finished with 5 problems");
        assert!(text.body.contains("\n• f0\\u{a}<b>: unreadable\n"), "{}", text.body);
        assert!(text.body.contains("f2") && !text.body.contains("f3"));
        assert!(text.body.contains("… and 2 more"));
        let text = one(Russian, &with_problems(5), Removal::Safe);
        assert_eq!(text.summary, "Резервное копирование завершено, но есть 5 проблем");
        assert!(text.body.contains("… и ещё 2"));
    }

    #[test]
    fn only_new_problems_are_news() {
        let run = with_problems(3);
        let all: Vec<Problem> = (0..3).map(problem).collect();
        let with = |language, known| {
            ended(language, "P", &[Run { profile: "d", ended: &run, known }], Removal::Safe)
        };
        let text = with(English, &all[..2]);
        assert_eq!(text.summary, "Backup finished with 1 new problem");
        assert!(text.body.contains("f2") && !text.body.contains("f1"), "{}", text.body);
        assert!(text.body.contains("\n2 problems as before.\nSafe to remove."), "{}", text.body);
        let text = with(English, &all);
        assert_eq!(text.summary, "Backup finished");
        assert!(text.body.contains("3 problems as before.") && !text.body.contains("f0"));
        let text = with(Russian, &all[..2]);
        assert_eq!(text.summary, "Резервное копирование завершено, но есть 1 новая проблема");
        assert!(text.body.contains("2 проблемы, как и раньше."));
        // The same file with another problem is news.
        let mut other = problem(0);
        other.reason = "too large".to_owned();
        assert_eq!(with(English, &[other]).summary, "Backup finished with 3 problems");
    }

    #[test]
    fn one_failure_among_several_runs_is_the_headline() {
        let (good, bad) = (complete(report()), Ended::Failed("no space".to_owned()));
        let runs = [
            Run { profile: "documents", ended: &good, known: &[] },
            Run { profile: "music", ended: &bad, known: &[] },
        ];
        let text = ended(English, "P", &runs, Removal::Safe);
        assert_eq!(text.summary, "Backup failed");
        assert!(text.urgent && text.body.contains("music → P: no space"));
        assert!(text.body.contains("12 files"));
        let text = ended(Russian, "P", &runs, Removal::Safe);
        assert_eq!(text.summary, "Резервное копирование не удалось");
    }

    #[test]
    fn a_run_that_is_refused_asks_with_figures_and_the_command() {
        let error = crate::backup::error::RunError::MassChange {
            which: "--profile docs".to_owned(),
            path: "/home/anna/a\x1bb".into(),
            tracked: 3000,
            deleted: 1500,
            changed: 700,
            limits: crate::config::profile::MassChange::default(),
        };
        let run = Ended::Failed(crate::text::error_chain::in_words(&error));
        let text = one(English, &run, Removal::Safe);
        assert!(text.urgent);
        assert_eq!(
            text.body,
            "documents → P: 2200 of the 3000 tracked files in the backup vanished from the source \
             /home/anna/a\\u{1b}b (1500) or have other content (700): more than 50 % and more than \
             1000 files. This is what ransomware, a disk that is not mounted or a wiped folder look \
             like, so the backup stays as it is. Look at the source; if it is as you want it: \
             bkm-agent run --profile docs --accept-mass-change\nSafe to remove."
        );
    }

    #[test]
    fn a_pulled_drive_is_told_as_such() {
        let stopped = Ended::Stopped("3 files are kept".to_owned());
        let text = one(English, &stopped, Removal::Gone);
        assert_eq!(text.summary, "Backup stopped: the drive was removed");
        assert!(text.body.contains("stopped; 3 files are kept."));
        assert!(text.body.ends_with("Plug it in again: the backup goes on where it stopped."));
        assert!(text.urgent && !text.body.contains("Safe") && text.actions.is_empty());
        let text = one(Russian, &stopped, Removal::Gone);
        assert_eq!(text.summary, "Резервное копирование прервано: накопитель отключён");
        assert_eq!(one(English, &stopped, Removal::Safe).summary, "Backup stopped");
    }

    #[test]
    fn an_ejected_drive_can_be_pulled_or_says_why_not() {
        let text = ejected(English, "P\n", Removal::Safe);
        assert_eq!((text.summary.as_str(), text.body.as_str()), ("Safe to remove", "P\\u{a}"));
        assert!(text.actions.is_empty() && !text.urgent);
        let text = ejected(English, "P", Removal::EjectFirst);
        assert_eq!(text.body, "P is still mounted. Please do not pull it yet.");
        assert_eq!(text.actions, [Act::Eject]);
        assert!(ejected(English, "P", Removal::Doubtful).urgent);
        assert_eq!(ejected(English, "P", Removal::Gone).summary, "The drive was removed");
        assert_eq!(ejected(Russian, "P", Removal::Safe).summary, "Накопитель можно отключать");
        let text = ejected(Russian, "P", Removal::EjectFirst);
        assert_eq!(text.body, "P ещё подключён к системе. Пожалуйста, пока не отключайте его.");
    }

    #[test]
    fn what_holds_a_drive_is_named() {
        let names = ["gimp", "v\x1bim", "bash", "less", "cat"].map(str::to_owned);
        let text = busy(English, "P", &names);
        assert_eq!(
            text.body,
            "P cannot be ejected. Close what uses it and try again: gimp, v\\u{1b}im, bash, 2 more."
        );
        assert_eq!(text.actions, [Act::Eject]);
        assert!(busy(English, "P", &[]).body.contains("a program uses it"));
        let text = busy(Russian, "P", &names[..1]);
        assert_eq!(text.summary, "Накопитель занят");
        assert!(text.body.ends_with("попробуйте снова: gimp."), "{}", text.body);
    }
}
