//! Whether a drive is the one that it seems to be: pure, from what the profile asks for, what this computer
//! remembers, and what lies on the drive.
//!
//! Every cell of its table is a test.

use crate::config::profile::{Dist, Pairing, Profile};
use crate::drive::device::Device;
use crate::pairing::store::Paired;
use crate::pairing::uuid::same_uuid;

/// Why a drive is a profile's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is paired with it.
    Paired,
    /// It is as `drive` in the profile says.
    Rule,
}

/// Whether `device` is for `profile`, of which the drives `known` are paired. A paired drive is known by its
/// file system alone: `drive` in the profile only recognises those that are not paired yet.
pub fn matches(profile: &Profile, device: &Device, known: &[Paired]) -> Option<How> {
    let Dist::Drive { drive, .. } = &profile.dist else {
        return None;
    };
    if profile.pairing != Pairing::Off && known_drive(device, known).is_some() {
        return Some(How::Paired);
    }
    device.matches(drive).then_some(How::Rule)
}

/// Of `known`, the pairing of this drive; of a locked one, by the encrypted volume that it was in.
pub fn known_drive<'k>(device: &Device, known: &'k [Paired]) -> Option<&'k Paired> {
    if !device.is_luks() {
        return paired(known, device.uuid.as_deref());
    }
    let uuid = device.uuid.as_deref()?;
    known.iter().find(|paired| paired.container.as_deref().is_some_and(|own| same_uuid(own, uuid)))
}

/// Of `known`, the pairing of the drive with this UUID.
pub fn paired<'k>(known: &'k [Paired], uuid: Option<&str>) -> Option<&'k Paired> {
    let uuid = uuid?;
    known.iter().find(|paired| same_uuid(&paired.uuid, uuid))
}

/// What lies at the profile's place on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnDrive {
    /// No repository.
    Blank,
    /// A repository without a mark.
    Unmarked,
    /// A repository with a mark that this computer made.
    Ours {
        /// Which mark.
        id: [u8; 16],
        /// UUID of the file system that it was made for.
        bound_to: String,
    },
    /// With a mark of a computer of the same name as this one, and another secret.
    SameName(String),
    /// With a mark of another computer; its name, which is not trusted.
    Foreign(String),
    /// With a mark that names this computer and was not made with its secret.
    Forged,
    /// With something that is no mark; why.
    Damaged(String),
}

/// Whether a drive is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The profile does not pair.
    Off,
    /// The profile's first drive, and nothing on it yet.
    FirstUse,
    /// The profile's first drive, with a backup of the time before pairings, or of a first run that was cut
    /// off.
    FirstUseOfOld,
    /// Paired, and as it was left.
    Known,
    /// Paired, and so many finished runs are on it that this computer does not remember.
    Ahead(u64),
    /// It has this computer's mark, which the computer does not remember.
    Returned,
    /// It gets nothing.
    Refused(Kind),
}

/// Why a drive gets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing tells its file system from another.
    NoUuid,
    /// Not paired, where the profile asks for that.
    NotPaired,
    /// As `drive` in the profile says, and none of the paired ones.
    LookAlike,
    /// The file system of a paired drive, without its mark.
    MarkGone,
    /// Paired with another computer, of this name.
    Foreign(String),
    /// Paired with a computer called as this one is, which had another secret.
    Reinstalled(String),
    /// The mark names this computer, which did not make it.
    Forged,
    /// What is there is no mark; why.
    Damaged(String),
    /// The mark was made for another file system.
    Copied,
    /// An older mark of this computer than the one it remembers for the drive.
    OtherMark,
    /// It lacks so many of the runs that this computer finished on it.
    Behind(u64),
    /// What this computer remembers cannot be read.
    Memory,
    /// The drive cannot be read.
    Unreadable,
}

impl Kind {
    /// Whether it says nothing of the drive: another try may end otherwise.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Memory | Self::Unreadable)
    }

    /// Whether somebody may have put another drive in the place of a paired one.
    pub fn is_suspicious(&self) -> bool {
        match self {
            Self::LookAlike
            | Self::MarkGone
            | Self::Forged
            | Self::Copied
            | Self::OtherMark
            | Self::Behind(_) => true,
            Self::NoUuid
            | Self::NotPaired
            | Self::Foreign(_)
            | Self::Reinstalled(_)
            | Self::Damaged(_)
            | Self::Memory
            | Self::Unreadable => false,
        }
    }
}

/// Whether the drive with the file system `uuid` is used for a profile whose paired drives are `known`.
/// `runs` is how many finished runs the drive tells of.
pub(super) fn verdict(
    mode: Pairing,
    known: &[Paired],
    uuid: Option<&str>,
    on_drive: &OnDrive,
    runs: u64,
) -> Verdict {
    if mode == Pairing::Off {
        return Verdict::Off;
    }
    let Some(uuid) = uuid else {
        return Verdict::Refused(Kind::NoUuid);
    };
    let ours = paired(known, Some(uuid));
    Verdict::Refused(match on_drive {
        OnDrive::Foreign(name) => Kind::Foreign(name.clone()),
        OnDrive::SameName(name) => Kind::Reinstalled(name.clone()),
        OnDrive::Forged => Kind::Forged,
        OnDrive::Damaged(why) => Kind::Damaged(why.clone()),
        OnDrive::Ours { bound_to, .. } if !same_uuid(bound_to, uuid) => Kind::Copied,
        OnDrive::Ours { id, .. } => match ours {
            None => return Verdict::Returned,
            Some(known) if known.id != *id => Kind::OtherMark,
            Some(known) => match runs.checked_sub(known.runs) {
                None => Kind::Behind(known.runs.saturating_sub(runs)),
                // One ahead: the run was finished, and what ended it did not get to write it down here.
                Some(0 | 1) => return Verdict::Known,
                Some(more) => return Verdict::Ahead(more),
            },
        },
        OnDrive::Blank | OnDrive::Unmarked if ours.is_some() => Kind::MarkGone,
        OnDrive::Blank | OnDrive::Unmarked if !known.is_empty() => Kind::LookAlike,
        OnDrive::Blank | OnDrive::Unmarked if mode == Pairing::Required => Kind::NotPaired,
        OnDrive::Blank => return Verdict::FirstUse,
        OnDrive::Unmarked => return Verdict::FirstUseOfOld,
    })
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
