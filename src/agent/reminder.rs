//! When to remind the user that a backup has become old: pure arithmetic on times.
//!
//! One reminder for each time that a profile's last complete run, on whichever drive, becomes older than
//! its `remind_after`; silence otherwise.

use std::time::Duration;

use jiff::Timestamp;

/// What to do about a profile now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reminder {
    /// Look again after this time.
    Later(Duration),
    /// Remind now; the backup is this old.
    Now(Duration),
    /// It was reminded already.
    Silent,
}

/// `since`: the last complete run, or when the profile was made; `reminded`: of which such time the user
/// was reminded last. A time in the future counts as now: clocks jump.
pub fn reminder(
    remind_after: Duration,
    since: Timestamp,
    reminded: Option<Timestamp>,
    now: Timestamp,
) -> Reminder {
    let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    match remind_after.checked_sub(age) {
        Some(left) if !left.is_zero() => Reminder::Later(left),
        _ if reminded == Some(since) => Reminder::Silent,
        _ => Reminder::Now(age),
    }
}

/// Whether a backup that was complete at `last` is older than `remind_after`.
pub fn is_overdue(remind_after: Duration, last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| {
        Duration::try_from(now.duration_since(last)).is_ok_and(|age| age >= remind_after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reminder_for_each_backup_that_becomes_old() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let after = Duration::from_secs(100);
        assert_eq!(reminder(after, at(0), None, at(40)), Reminder::Later(Duration::from_mins(1)));
        assert_eq!(reminder(after, at(0), None, at(130)), Reminder::Now(Duration::from_secs(130)));
        assert_eq!(reminder(after, at(0), Some(at(0)), at(130)), Reminder::Silent);
        // A backup was made since, and has become old in turn.
        assert_eq!(
            reminder(after, at(200), Some(at(0)), at(300)),
            Reminder::Now(Duration::from_secs(100))
        );
        assert_eq!(
            reminder(after, at(50), None, at(0)),
            Reminder::Later(after),
            "a clock set back"
        );
        assert!(is_overdue(after, None, at(0)));
        assert!(is_overdue(after, Some(at(0)), at(100)));
        assert!(!is_overdue(after, Some(at(0)), at(99)));
        assert!(!is_overdue(after, Some(at(50)), at(0)));
    }
}
