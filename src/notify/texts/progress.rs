//! What is said while a backup runs.

use crate::notify::figures;
use crate::notify::texts::text::{Act, Text};
use crate::text::language::Language;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The source is looked through.
    Checking,
    /// Content is copied.
    Copying {
        /// Bytes copied so far.
        bytes: u64,
        /// Bytes to copy in all.
        of_bytes: u64,
        /// Files done so far.
        files: u64,
        /// Files to do in all.
        of_files: u64,
    },
    /// Everything is copied; the drive writes it down.
    Syncing,
}

/// A run of `profile` on the drive called `drive` began.
pub fn started(language: Language, profile: &str, drive: &str) -> Text {
    Text {
        summary: language.say("started.summary", &[]),
        body: language.say("started.body", &[("profile", profile), ("drive", drive)]),
        actions: vec![Act::Stop],
        ..Text::default()
    }
}

/// How far the run is that [`started`] told of.
pub fn progress(language: Language, profile: &str, drive: &str, how_far: &Progress) -> Text {
    let names = [("profile", profile), ("drive", drive)];
    let (summary, body, progress) = match *how_far {
        Progress::Checking => {
            (language.say("checking.summary", &[]), language.say("checking.body", &names), None)
        }
        Progress::Syncing => {
            (language.say("syncing.summary", &[]), language.say("syncing.body", &names), None)
        }
        Progress::Copying { bytes, of_bytes, files, of_files } => {
            let done = if of_bytes > 0 {
                percent(bytes, of_bytes)
            } else {
                // Links and folders have no bytes.
                percent(files, of_files)
            };
            let files = language.count("count.files_of", of_files, &[("done", &files.to_string())]);
            let (done_size, total) =
                (figures::size(language, bytes), figures::size(language, of_bytes));
            let values = [("done", &*done_size), ("total", &total), ("files", &files)];
            let which = language.say("copying.which", &names);
            let body = format!("{which}\n{}", language.say("copying.figures", &values));
            let summary = language.say("copying.summary", &[("percent", &done.to_string())]);
            (summary, body, Some(done))
        }
    };
    Text { summary, body, passing: true, progress, actions: vec![Act::Stop], ..Text::default() }
}

/// `done` of `total`, rounded down: 100 is said only when it is true.
fn percent(done: u64, total: u64) -> u8 {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    u8::try_from(percent.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Progress =
        Progress::Copying { bytes: 3_400_000, of_bytes: 7_100_000, files: 5, of_files: 21 };

    #[test]
    fn a_start_can_be_stopped_and_asks_for_patience() {
        let text = started(Language::English, "docs", "PHOTOS");
        assert_eq!(text.summary, "Backup started");
        assert_eq!(text.body, "docs → PHOTOS. Please leave the drive plugged in.");
        assert_eq!(text.actions, [Act::Stop]);
        assert!(!text.urgent && !text.passing && text.progress.is_none());
        let text = started(Language::Russian, "docs", "ФОТО");
        assert_eq!(text.summary, "Резервное копирование началось");
        assert_eq!(text.body, "docs → ФОТО. Пожалуйста, не отключайте накопитель.");
    }

    #[test]
    fn progress_has_its_percentage_in_figures_and_in_words() {
        let text = progress(Language::English, "docs", "P", &HALF);
        assert_eq!(text.summary, "Backing up: 47 %");
        assert_eq!(text.body, "docs → P\n3.4 MB of 7.1 MB, 5 of 21 files");
        assert_eq!((text.progress, text.passing), (Some(47), true));
        assert_eq!(text.actions, [Act::Stop]);
        let text = progress(Language::Russian, "docs", "P", &HALF);
        assert_eq!(text.summary, "Копирование: 47 %");
        assert_eq!(text.body, "docs → P\n3,4 МБ из 7,1 МБ, 5 из 21 файла");
        assert_eq!(text.progress, Some(47));
    }

    #[test]
    fn phases_without_figures_are_passing_too() {
        for (phase, english, russian) in [
            (Progress::Checking, "Looking for changes", "Поиск изменений"),
            (Progress::Syncing, "Almost done", "Почти готово"),
        ] {
            let text = progress(Language::English, "d", "P", &phase);
            assert_eq!(text.summary, english);
            assert!(text.passing && text.progress.is_none() && text.body.contains("plugged in"));
            let text = progress(Language::Russian, "d", "P", &phase);
            assert_eq!(text.summary, russian);
            assert!(text.body.contains("не отключайте накопитель"));
        }
    }

    #[test]
    fn percentages_stay_within_their_bounds() {
        for (done, total, shown) in
            [(0, 0, 0), (0, 5, 0), (999, 1000, 99), (5, 5, 100), (9, 5, 100), (u64::MAX, 1, 100)]
        {
            assert_eq!(percent(done, total), shown, "{done} of {total}");
        }
        // A run that only makes links has files alone.
        let links = Progress::Copying { bytes: 0, of_bytes: 0, files: 1, of_files: 4 };
        assert_eq!(progress(Language::English, "d", "P", &links).progress, Some(25));
    }

    #[test]
    fn labels_cannot_drive_the_text() {
        let text = started(Language::English, "docs", "A\x1b[2J\u{202e}B");
        assert_eq!(text.body, "docs → A\\u{1b}[2J\\u{202e}B. Please leave the drive plugged in.");
    }
}
