//! Shows one of the notifications as the agent shows it, with figures made up: to look at the texts on
//! a desktop, and for the pictures in `docs/images` (`scripts/screenshots.sh`).
//!
//! The language is that of the locale: `LANG=ru_RU.UTF-8 cargo run --example notifications finished`.

use std::process::ExitCode;
use std::time::Duration;

use bkm_agent::backup::report::RunReport;
use bkm_agent::model::problem::Problem;
use bkm_agent::model::relpath::RelPath;
use bkm_agent::notify::notifications::Notifications;
use bkm_agent::notify::texts::ended::{self, Ended, Removal, Run};
use bkm_agent::notify::texts::progress::{self, Progress};
use bkm_agent::notify::texts::text::Text;
use bkm_agent::notify::texts::trouble;
use bkm_agent::text::language::Language;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some(text) = sample(&name, Language::from_env()) else {
        return ExitCode::from(2);
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    runtime.block_on(async {
        // Held to the end: buttons are shown only where somebody would hear of them.
        let (notifications, _choices) = Notifications::start(Language::from_env());
        notifications.show(0, text);
        notifications.flush(Duration::from_secs(10)).await;
    });
    ExitCode::SUCCESS
}

fn sample(name: &str, language: Language) -> Option<Text> {
    let (profile, drive) = match language {
        Language::English => ("documents", "PHOTOS"),
        Language::Russian => ("документы", "ФОТО"),
    };
    let report = RunReport {
        new: 212,
        changed: 5,
        moved: 3,
        bytes_copied: 840_000_000,
        duration_s: 74.0,
        ..RunReport::default()
    };
    let finished = |problems: Vec<Problem>, removal| {
        let ended = Ended::Complete(Box::new(RunReport { problems, ..report.clone() }));
        ended::ended(language, drive, &[Run { profile, ended: &ended, known: &[] }], removal)
    };
    Some(match name {
        "started" => progress::started(language, profile, drive),
        "progress" => {
            let how_far = Progress::Copying {
                bytes: 395_000_000,
                of_bytes: 840_000_000,
                files: 98,
                of_files: 217,
            };
            progress::progress(language, profile, drive, &how_far)
        }
        "finished" => finished(Vec::new(), Removal::Safe),
        "eject-first" => finished(Vec::new(), Removal::EjectFirst),
        "problems" => {
            let problem = |path: &str, reason| {
                RelPath::new(path.as_bytes()).ok().map(|path| Problem::new(path, reason))
            };
            let problems = [
                problem("Letters/private.odt", "cannot be read: Permission denied"),
                problem("Videos/holiday.mkv", "is larger than the 4 GB that the drive can hold"),
            ];
            finished(problems.into_iter().flatten().collect(), Removal::Safe)
        }
        "refused" => trouble::refused(
            language,
            profile,
            drive,
            "PHOTOS lacks the mark that it was paired by: its backup was deleted, or it is another drive that looks the same",
            "If it is yours and is to be used: bkm-agent pair /dev/sdb1 --profile documents",
        ),
        _ => return None,
    })
}
