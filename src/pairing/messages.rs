//! What is said of a drive that is used or refused, to the person at the keyboard.
//!
//! One text for the notification and the command line. Labels and names from drives are made safe here.

use std::error::Error;
use std::path::Path;

use crate::config::profile::Profile;
use crate::drive::device::Device;
use crate::pairing::verdict::{Kind, Verdict};
use crate::text::error_chain::in_words;
use crate::text::human::count;
use crate::text::sanitize::line;

/// A drive that gets nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}. {what_to_do}")]
pub struct Refusal {
    /// The kind of reason.
    pub kind: Kind,
    /// The reason, for people; no full stop at its end.
    pub why: String,
    /// What they can do; whole sentences.
    pub what_to_do: String,
}

/// What the user should know of a drive that is used; `moved`: the profile names another place than before.
pub(super) fn note(
    verdict: &Verdict,
    profile: &Profile,
    device: &Device,
    moved: Option<(&Path, &Path)>,
) -> Option<String> {
    let (drive, name) = (device.name(), line(&profile.name));
    if let Some((before, now)) = moved {
        let [before, now] = [before, now].map(|path| line(&path.to_string_lossy()));
        return Some(format!("the profile now names {now} on {drive}, and no longer {before}"));
    }
    Some(match verdict {
        Verdict::Off | Verdict::Known | Verdict::Refused(_) => return None,
        Verdict::FirstUse => format!(
            "{drive} is now paired with the profile {name}: a drive that only looks like it gets nothing"
        ),
        Verdict::FirstUseOfOld => format!(
            "{drive} has a backup that was not paired yet; it is now paired with the profile {name}"
        ),
        Verdict::Ahead(more) => format!(
            "{drive} has {} that this computer does not remember (was its home restored?); it is used, since it has this computer's mark",
            count(*more, "backup", "backups")
        ),
        Verdict::Returned => format!(
            "{drive} has this computer's mark, which the computer did not remember (was its home restored, or a backup cut off?); it does now"
        ),
    })
}

/// Why the drive is refused, and what to do.
pub(super) fn refusal(kind: Kind, profile: &Profile, device: &Device) -> Refusal {
    let drive = device.name();
    let pair =
        format!("bkm-agent pair {} --profile {}", device.node.display(), line(&profile.name));
    let if_yours = format!("Nothing was written to it. If it is yours and is to be used: {pair}");
    let name = line(&profile.name);
    let (why, what_to_do) = match &kind {
        Kind::NoUuid => (
            format!(
                "the file system of {drive} has no number of its own (UUID), so nothing tells it from another"
            ),
            "To go by the profile's \"drive\" alone, write \"pairing\": \"off\" into the profile"
                .to_owned(),
        ),
        Kind::NotPaired => (
            format!("{drive} is not paired, and the profile {name} uses paired drives only"),
            format!("To pair it: {pair}"),
        ),
        Kind::LookAlike => (
            format!(
                "{drive} looks like a drive of the profile {name} and is none of those that are paired: another drive, or one that was formatted anew"
            ),
            if_yours,
        ),
        Kind::MarkGone => (
            format!(
                "{drive} lacks the mark that it was paired by: its backup was deleted, or it is another drive that looks the same"
            ),
            if_yours,
        ),
        Kind::Foreign(computer) => (
            format!("{drive} is paired with another computer, {}", line(computer)),
            format!("To take it over: {pair}"),
        ),
        Kind::Reinstalled(computer) => (
            format!(
                "{drive} was paired by {}, which is this computer's name, but not by this system, which was installed anew or lost what it remembered",
                line(computer)
            ),
            format!("To go on with the backup on it: {pair}"),
        ),
        Kind::Forged => (
            format!(
                "the mark on {drive} names this computer, which did not make it: it was tampered with, or damaged"
            ),
            if_yours,
        ),
        Kind::Damaged(reason) => (
            format!("the mark on {drive} cannot be read: {}", line(reason)),
            format!("Nothing was written to it. To give it a new mark: {pair}"),
        ),
        Kind::Copied => (
            format!(
                "the backup on {drive} was made on another drive and copied here, or its file system got another UUID"
            ),
            if_yours,
        ),
        Kind::OtherMark => (
            format!(
                "{drive} has an older mark than the one this computer gave it last: it is a copy of the paired drive"
            ),
            if_yours,
        ),
        Kind::Behind(lost) => {
            let lost = if *lost == 1 { "backup".to_owned() } else { count(*lost, "", "backups") };
            (
                format!(
                    "{drive} lacks the last {lost} that this computer made to it: it is a copy of the paired drive or was set back to an older state (or was pulled before all was written)"
                ),
                if_yours,
            )
        }
        Kind::Memory | Kind::Unreadable => (format!("{drive} cannot be looked at"), String::new()),
    };
    Refusal { kind, why, what_to_do }
}

/// Something that has to be known cannot be read.
pub(super) fn unreadable(device: &Device, kind: Kind, error: &dyn Error) -> Refusal {
    let drive = device.name();
    let what_to_do = if kind == Kind::Memory {
        format!(
            "Without that no drive can be told from a copy, so {drive} gets nothing. Bring the file back from a backup of your home; or remove it and pair the drive again: bkm-agent pair {}",
            device.node.display()
        )
    } else {
        format!("Nothing was written to {drive}")
    };
    Refusal { kind, why: in_words(error), what_to_do }
}
