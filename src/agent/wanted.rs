//! Whether a profile is for a drive, as far as this computer knows without looking at the drive.

use super::event::{Tie, Wanted, drive_of};
use crate::config::{Pairing, Profile};
use crate::drive::device::Device;
use crate::pairing::{self, How, Paired, Pairings};

/// By what the profile's drive is recognised, and how the two are tied; `None` if it is not for it. What
/// this computer remembers and cannot read counts as nothing here: the run then refuses the drive.
pub fn wanted(profile: &Profile, device: &Device, pairings: &Pairings) -> Option<Wanted> {
    tie(profile, device, &pairings.of(&profile.name).unwrap_or_default())
}

fn tie(profile: &Profile, device: &Device, known: &[Paired]) -> Option<Wanted> {
    let how = pairing::matches(profile, device, known)?;
    let paired = pairing::known_drive(device, known);
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
