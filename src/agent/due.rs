//! Whether a profile is due: pure arithmetic on times.
//!
//! Clocks jump: a last run that lies in the future counts as long ago.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::profile::Profile;

/// How long the profile's `min_interval` still forbids a run; `None` if a run is due.
pub fn not_before(profile: &Profile, last: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    remaining(profile.min_interval?, last?, now)
}

/// How long until the profile's `every` asks for the next run; `None` without `every`.
pub fn every_after(profile: &Profile, last: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let every = profile.every?;
    let left = last.and_then(|last| remaining(every, last, now)).unwrap_or_default();
    // Not before `min_interval` allows it, else the timer would fire in vain.
    Some(left.max(not_before(profile, last, now).unwrap_or_default()))
}

/// What is left of `interval` since `last`.
fn remaining(interval: Duration, last: Timestamp, now: Timestamp) -> Option<Duration> {
    let since = Duration::try_from(now.duration_since(last)).ok()?;
    interval.checked_sub(since).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn what_is_left_of_an_interval() {
        let hour = Duration::from_hours(1);
        let left = |last, now| remaining(hour, at(last), at(now)).map(|d| d.as_secs());
        assert_eq!(left(0, 600), Some(3000));
        assert_eq!(left(0, 3600), None);
        assert_eq!(left(0, 9999), None);
        assert_eq!(left(600, 0), None, "a clock that was set back");
    }
}
