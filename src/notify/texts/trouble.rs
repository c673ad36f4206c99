//! What keeps a backup from starting until the user does something: all of it is urgent.

use crate::notify::texts::text::Text;
use crate::text::language::Language;

/// The drive looks like the paired one but is not. `why` and `what_to_do` are sentences without their
/// full stop.
pub fn refused(
    language: Language,
    profile: &str,
    drive: &str,
    why: &str,
    what_to_do: &str,
) -> Text {
    let values = [("profile", profile), ("drive", drive), ("why", why)];
    let why = language.say("refused.body", &values);
    // A line of its own: it ends with a command, and a full stop would be copied with it.
    let body = format!("{why}\n{}", crate::text::sanitize::line(what_to_do));
    urgent(language.say("refused.summary", &[]), body)
}

/// The drive could not be used for a backup at all.
pub fn not_usable(language: Language, profiles: &[String], drive: &str, why: &str) -> Text {
    let values = [("profile", &*profiles.join(", ")), ("drive", drive), ("why", why)];
    urgent(language.say("ended.failed", &[]), language.say("not_usable.body", &values))
}

/// The drive's files belong to root; `command` gives them to the user.
pub fn root_owned(language: Language, drive: &str, command: &str) -> Text {
    let what = language.say("root_owned.body", &[("drive", drive)]);
    // A line of its own, so that it can be marked and copied.
    let body = format!("{what}\n{}", crate::text::sanitize::line(command));
    urgent(language.say("root_owned.summary", &[]), body)
}

/// The profile in `file` has an error. `kept`: what the file held before stays in use; else the profile
/// is not used.
pub fn profile_broken(language: Language, file: &str, reason: &str, kept: bool) -> Text {
    let error = language.say("profile_broken.body", &[("file", file), ("reason", reason)]);
    let effect = if kept { "profile_broken.kept" } else { "profile_broken.left_out" };
    let body = format!("{error}\n{}", language.say(effect, &[]));
    urgent(language.say("profile_broken.summary", &[]), body)
}

fn urgent(summary: String, body: String) -> Text {
    Text { summary, body, urgent: true, ..Text::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Language::{English, Russian};

    #[test]
    fn a_look_alike_is_refused_loudly_and_offers_no_way_around() {
        let why = "P has an older mark: it is a copy of the paired drive";
        let what_to_do = "If it is yours: bkm-agent pair /dev/sdb1";
        let text = refused(English, "docs", "P\n", why, what_to_do);
        assert_eq!(text.summary, "Drive refused");
        assert_eq!(
            text.body,
            "docs → P\\u{a}: P has an older mark: it is a copy of the paired drive.\n\
             If it is yours: bkm-agent pair /dev/sdb1"
        );
        assert!(text.urgent && text.actions.is_empty());
        let text = refused(Russian, "docs", "P", "A", "B");
        assert_eq!(text.summary, "Накопитель отклонён");
        assert_eq!(text.body, "docs → P: A.\nB");
        assert!(text.urgent && text.actions.is_empty());
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let profiles = ["docs".to_owned(), "music".to_owned()];
        let text = not_usable(English, &profiles, "P", "it is \x1bread-only");
        assert_eq!(text.summary, "Backup failed");
        assert_eq!(text.body, "docs, music → P: it is \\u{1b}read-only");
        assert!(text.urgent);
        let text = not_usable(Russian, &profiles, "P", "read-only");
        assert_eq!(text.summary, "Резервное копирование не удалось");
    }

    #[test]
    fn a_root_owned_drive_names_the_command() {
        let text = root_owned(English, "P", "sudo chown anna: '/media/anna/P'");
        assert_eq!(
            text.body,
            "P belongs to root. This makes it yours:\nsudo chown anna: '/media/anna/P'"
        );
        assert!(text.urgent);
        let text = root_owned(Russian, "P", "sudo chown anna:\n/media/anna/P");
        assert!(text.body.ends_with(":\nsudo chown anna:\\u{a}/media/anna/P"), "{}", text.body);
    }

    #[test]
    fn a_broken_profile_names_its_file_and_line() {
        let text = profile_broken(English, "docs.json", "line 3: unknown field `scr`", true);
        assert_eq!(text.summary, "A profile has an error");
        assert_eq!(
            text.body,
            "docs.json: line 3: unknown field `scr`\nUntil it is mended, the profile goes on as it was before."
        );
        assert!(
            profile_broken(English, "a", "b", false).body.ends_with("the profile does not run.")
        );
        let text = profile_broken(Russian, "a", "b", true);
        assert_eq!(text.summary, "Ошибка в профиле");
        assert!(text.body.ends_with("До исправления действует прежний профиль."));
    }
}
