//! Runs a recording of a plug-in through the state machine, without any drive.
//!
//! Mounting succeeds and no backup is made; what this computer knows (profiles, last runs) comes from the
//! caller. It touches nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::agent::attach_log::Record;
use crate::agent::controller::Attaches;
use crate::agent::event::{Action, AttachId, Input, MountOutcome, RunOutcome, Timer, World};
use crate::agent::state::State;
use crate::config::profile::Profile;
use crate::drive::device::Device;
use crate::drive::monitor::Action as Happened;
use crate::job::drive::Unopened;
use crate::pairing::wanted::Wanted;

/// What this computer knows beside the recording.
pub struct Known<'a> {
    /// The valid profiles.
    pub profiles: &'a [Profile],
    /// Whether a profile is for a device.
    pub wanted: &'a dyn Fn(&Profile, &Device) -> Option<Wanted>,
    /// When the last complete run of a profile on a drive was.
    pub last_complete: &'a dyn Fn(&str, &Device) -> Option<Timestamp>,
}

/// What would become of each attach of the recording, in the order in which they were seen.
pub fn replay(events: &[(Happened, Device)], known: &Known<'_>) -> Vec<Record> {
    let mut replay = Replay { attaches: Attaches::default(), known, records: BTreeMap::new() };
    for (action, device) in events {
        replay.give(Input::Device(*action, Box::new(device.clone())));
    }
    replay.records.into_values().collect()
}

struct Replay<'a> {
    attaches: Attaches,
    known: &'a Known<'a>,
    records: BTreeMap<AttachId, Record>,
}

impl Replay<'_> {
    fn give(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let world = World {
                profiles: self.known.profiles,
                now: Timestamp::now(),
                wanted: self.known.wanted,
                last_complete: self.known.last_complete,
                is_mounted: &|_| false,
                on_battery: &|| false,
                mount_wait: Duration::ZERO,
            };
            for action in self.attaches.handle(input, &world) {
                inputs.extend(self.carry_out(action));
            }
        }
    }

    /// What the action leads to.
    fn carry_out(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::State(id, device, profile, state) => {
                let record = self.records.entry(id);
                let record = record.or_insert_with(|| Record::new(id, &device, false));
                record.describe(&device);
                record.add(profile.as_deref(), &state);
                None
            }
            Action::Unlock(id, ..) => {
                let why = "a recording does not tell what is inside".to_owned();
                Some(Input::Unlocked(id, Err(Unopened::No(why))))
            }
            Action::Mount { attach, .. } => {
                self.say(attach, None, &State::Mounted("taken for granted".to_owned()));
                Some(Input::Mounted(attach, MountOutcome::Open))
            }
            Action::Run(id, profile) => {
                let text = "a backup would begin now".to_owned();
                self.say(id, Some(&profile), &State::Planned(text));
                Some(Input::RunEnded(id, RunOutcome::Over))
            }
            Action::Release { attach, .. } => Some(Input::Released(attach)),
            // The desktop takes no time here; others are longer than any recording.
            Action::SetTimer(id, Timer::Mount, _) => Some(Input::Timer(id, Timer::Mount)),
            Action::SetTimer(..) | Action::Cancel(_) | Action::Forget(_) => None,
        }
    }

    fn say(&mut self, id: AttachId, profile: Option<&str>, state: &State) {
        if let Some(record) = self.records.get_mut(&id) {
            record.add(profile, state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::test_profile;
    use crate::drive::capture;
    use crate::model::drive_match::DriveMatch;
    use crate::pairing::wanted::Tie;

    #[test]
    fn recordings_say_what_would_happen() {
        for (file, label, ways) in [
            (
                "ext4.txt",
                "BACKUP_EXT4",
                "seen matched paired due waiting for it to be mounted mounted planned unplugged",
            ),
            (
                "bare.txt",
                "BAREFAT",
                "seen matched paired due waiting for it to be mounted mounted planned unplugged",
            ),
            ("luks.txt", "BKPLUKS", "seen matched due locked unplugged"),
            ("vfat.txt", "OTHER", "seen no profile is for it"),
        ] {
            let drive = DriveMatch { label: Some(label.to_owned()), ..DriveMatch::default() };
            let profiles = [test_profile::drive("docs", drive.clone())];
            let wanted = |_: &Profile, device: &Device| {
                let by = device.matches(&drive).then(|| "its label".to_owned())?;
                Some(Wanted { by, tie: Tie::First })
            };
            let known = Known { profiles: &profiles, wanted: &wanted, last_complete: &|_, _| None };
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(folder.join("tests/udev-captures").join(file));
            let records = replay(&capture::parse(&text.unwrap()).unwrap(), &known);
            let record = records.iter().rfind(|record| record.matters()).unwrap();
            let states: Vec<&str> = record.steps.iter().map(|step| &*step.state).collect();
            assert_eq!(states.join(" "), ways, "{file}");
        }
    }
}
