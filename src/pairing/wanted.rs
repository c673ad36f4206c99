//! Whether a profile is for a drive, as far as this computer knows without looking at the drive.

use crate::config::profile::{Pairing, Profile, drive_of};
use crate::drive::device::Device;
use crate::pairing::store::{Paired, Pairings};
use crate::pairing::verdict::{self, How};

/// That a profile is for a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// By what it was recognised, in words.
    pub by: String,
    /// How it is tied to the profile.
    pub tie: Tie,
}

/// How a drive is tied to a profile, as far as this computer knows without looking at the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tie {
    /// The profile does not pair.
    Off,
    /// It is paired; since when, in words.
    Known(String),
    /// The profile has no drive yet, and takes the first that matches.
    First,
    /// The profile has other drives: what is on this one decides.
    Unknown,
    /// The profile takes only paired drives, and this is none.
    Missing,
}

/// By what the profile's drive is recognised, and how the two are tied; `None` if it is not for it. What
/// this computer remembers and cannot read counts as nothing here: the run then refuses the drive.
pub fn wanted(profile: &Profile, device: &Device, pairings: &Pairings) -> Option<Wanted> {
    tie(profile, device, &pairings.of(&profile.name).unwrap_or_default())
}

fn tie(profile: &Profile, device: &Device, known: &[Paired]) -> Option<Wanted> {
    let how = verdict::matches(profile, device, known)?;
    let paired = verdict::known_drive(device, known);
    let tie = match (profile.pairing, paired) {
        (Pairing::Off, _) => Tie::Off,
        (_, Some(paired)) => Tie::Known(format!("since {}", paired.since)),
        (Pairing::Required, None) => Tie::Missing,
        (Pairing::FirstUse, None) if known.is_empty() => Tie::First,
        (Pairing::FirstUse, None) => Tie::Unknown,
    };
    let by = match how {
        How::Paired => "it is paired with the profile".to_owned(),
        How::Rule => drive_of(profile)?.to_string(),
    };
    Some(Wanted { by, tie })
}
