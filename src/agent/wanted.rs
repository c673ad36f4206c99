//! Whether a profile is for a drive, as far as this computer knows without looking at the drive.
//!
//! Called by `session` for the state machine, and by `why`.

use super::event::{Tie, Wanted, drive_of};
use crate::config::Profile;
use crate::drive::device::Device;

/// By what the profile's drive is recognised, and how the two are tied; `None` if it is not for it.
pub fn wanted(profile: &Profile, device: &Device) -> Option<Wanted> {
    let drive = drive_of(profile)?;
    device.matches(drive).then(|| Wanted { by: drive.to_string(), tie: Tie::First })
}
