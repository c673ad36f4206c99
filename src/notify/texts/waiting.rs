//! What the user may want to know or do before a backup starts: none of it is an error.

use std::time::Duration;

use crate::notify::figures;
use crate::notify::texts::text::{Act, Text};
use crate::text::language::Language;

/// The drive was paired by its first use.
pub fn first_use(language: Language, profile: &str, drive: &str) -> Text {
    Text {
        summary: language.say("first_use.summary", &[]),
        body: language.say("first_use.body", &[("profile", profile), ("drive", drive)]),
        ..Text::default()
    }
}

/// The computer runs on battery and the profile wants to be asked.
pub fn ask_battery(language: Language, profile: &str, drive: &str) -> Text {
    Text {
        summary: language.say("battery.summary", &[]),
        body: language.say("battery.body", &[("profile", profile), ("drive", drive)]),
        actions: vec![Act::RunNow],
        ..Text::default()
    }
}

/// The backup has become old: the last complete one was `since` ago, or never.
pub fn overdue(language: Language, profile: &str, since: Option<Duration>) -> Text {
    const DAY: u64 = 24 * 3600;
    let body = match since {
        None => language.say("overdue.never", &[("profile", profile)]),
        Some(since) => {
            let time = match since.as_secs() / DAY {
                0 => figures::duration(language, since.as_secs_f64()),
                days => language.count("count.days", days, &[]),
            };
            language.say("overdue.body", &[("profile", profile), ("time", &time)])
        }
    };
    Text { summary: language.say("overdue.summary", &[]), body, ..Text::default() }
}

/// The drive is encrypted and waits for its passphrase.
pub fn waiting_unlock(language: Language, drive: &str) -> Text {
    Text {
        summary: language.say("unlock.summary", &[]),
        body: language.say("unlock.body", &[("drive", drive)]),
        ..Text::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Language::{English, Russian};

    #[test]
    fn first_use_says_what_it_means() {
        let text = first_use(English, "docs", "P\x1b");
        assert_eq!(text.summary, "The drive is paired");
        assert_eq!(
            text.body,
            "From now on docs goes to P\\u{1b} only, and to drives added with: bkm-agent pair"
        );
        assert!(text.actions.is_empty() && !text.urgent);
        let text = first_use(Russian, "docs", "P");
        assert_eq!(text.summary, "Накопитель привязан");
        assert!(text.body.contains("bkm-agent pair") && text.body.contains("docs"));
    }

    #[test]
    fn on_battery_the_user_decides() {
        let text = ask_battery(English, "docs", "P");
        assert_eq!(text.actions, [Act::RunNow]);
        assert_eq!(text.body, "docs → P. To start it all the same: bkm-agent run --profile docs");
        let text = ask_battery(Russian, "docs", "P");
        assert_eq!(text.summary, "Копирование не начато: питание от батареи");
        assert!(text.body.contains("bkm-agent run --profile docs"));
    }

    #[test]
    fn an_old_backup_says_how_old_it_is() {
        let days = |n: u64| Some(Duration::from_hours(24 * n + 5));
        let text = overdue(English, "docs", days(15));
        assert_eq!(text.summary, "The backup is overdue");
        assert_eq!(
            text.body,
            "The last complete backup of docs was 15 days ago. Please plug in its drive."
        );
        assert!(overdue(English, "docs", days(1)).body.contains("was 1 day ago"));
        assert!(overdue(English, "docs", days(0)).body.contains("was 5 h ago"));
        assert!(overdue(English, "docs", None).body.contains("no complete backup of docs yet"));
        assert!(overdue(Russian, "docs", days(21)).body.contains("сделана 21 день назад"));
        assert!(overdue(Russian, "docs", days(22)).body.contains("сделана 22 дня назад"));
        assert!(overdue(Russian, "docs", days(0)).body.contains("сделана 5 ч назад"));
        assert!(overdue(Russian, "docs", None).body.contains("копии docs ещё нет"));
    }

    #[test]
    fn a_locked_drive_waits_for_its_passphrase() {
        let text = waiting_unlock(English, "SECRET");
        assert_eq!(text.body, "Unlock SECRET, then the backup starts.");
        let text = waiting_unlock(Russian, "SECRET");
        assert_eq!(text.body, "Разблокируйте SECRET, и копирование начнётся.");
    }
}
