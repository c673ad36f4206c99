//! Which profiles an attach is for, and whether each is due: pure, on the values of [`World`].
//!
//! It queues profiles and says why it does or does not; it starts nothing.

use std::time::Duration;

use crate::agent::attach::{Attach, Phase, state};
use crate::agent::due;
use crate::agent::event::{Action, Timer, World};
use crate::agent::state::State;
use crate::config::profile::OnBattery;
use crate::pairing::wanted::Tie;

/// How often a drive that waits for mains power looks whether it is there; nothing else wakes the agent
/// then, and only while such a drive is plugged in.
const MAINS_AGAIN: Duration = Duration::from_mins(1);

/// Considers every profile that is for the drive and was not considered since the attach.
pub(super) fn match_profiles(attach: &mut Attach, world: &World<'_>, out: &mut Vec<Action>) {
    for profile in world.profiles {
        if attach.considered.contains(&profile.name) {
            continue;
        }
        let Some(wanted) = (world.wanted)(profile, &attach.device) else {
            continue;
        };
        attach.considered.push(profile.name.clone());
        let mut say = |what| out.push(state(attach, Some(profile.name.clone()), what));
        say(State::Matched(wanted.by));
        match wanted.tie {
            Tie::Off => say(State::Paired("not asked for (\"pairing\": \"off\")".to_owned())),
            Tie::Known(since) => say(State::Paired(since)),
            // What is in a locked volume is not known yet.
            _ if attach.device.is_luks() => {}
            Tie::First => {
                say(State::Paired("this will be the profile's drive from now on".to_owned()));
            }
            Tie::Unknown => {
                say(State::Paired("not known here; the mark on the drive decides".to_owned()));
            }
            Tie::Missing => {
                say(State::Refused {
                    why: "it is not paired with the profile, which takes only paired drives"
                        .to_owned(),
                    remedy: "bkm-agent pair {device} --profile {profile}".to_owned(),
                });
                continue;
            }
        }
        consider(attach, &profile.name, false, world, out);
    }
}

/// Queues a profile if it is due; else waits for its `every`, or for mains power. `again`: it was told
/// already that it waits for that.
pub(super) fn consider(
    attach: &mut Attach,
    name: &str,
    again: bool,
    world: &World<'_>,
    out: &mut Vec<Action>,
) {
    let Some(profile) = world.profile(name) else {
        return;
    };
    // The profile may have been changed since the drive was plugged in.
    if (world.wanted)(profile, &attach.device).is_none() {
        return;
    }
    let busy = matches!(&attach.phase, Phase::Running(running) if running == name);
    if busy || attach.queue.iter().any(|queued| queued == name) {
        return;
    }
    let mut say = |what| {
        if !again {
            out.push(state(attach, Some(name.to_owned()), what));
        }
    };
    let last = (world.last_complete)(name, &attach.device);
    if let Some(wait) = due::not_before(profile, last, world.now) {
        let when = crate::text::human::duration(wait.as_secs_f64());
        say(State::NotDue(format!("next backup in {when} at the earliest")));
        if let Some(after) = due::every_after(profile, last, world.now) {
            out.push(Action::SetTimer(attach.id, Timer::Every(name.to_owned()), after));
        }
        return;
    }
    if profile.on_battery != OnBattery::Run && (world.on_battery)() {
        say(State::OnBattery { asks: profile.on_battery == OnBattery::Ask });
        if attach.await_mains.is_empty() {
            out.push(Action::SetTimer(attach.id, Timer::Mains, MAINS_AGAIN));
        }
        attach.await_mains.push(name.to_owned());
        return;
    }
    let why = if again { "the computer is on mains again" } else { "" };
    out.push(state(attach, Some(name.to_owned()), State::Due(why.to_owned())));
    attach.queue.push_back(name.to_owned());
}
