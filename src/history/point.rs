//! Which increment `--at` means. Pure.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::repository::index::increment::Increment;
use crate::repository::status::Status;

/// Why there is no such point.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// Neither an increment nor a time.
    #[error(
        "'{0}' is neither an increment (backup_YYYYMMDD_HHMMSS, see `bkm-agent list`) nor a time (2026-11-23, '2026-11-23 09:15' or 2026-11-23T09:15:00+01:00)"
    )]
    NotATime(String),
    /// No increment has this name.
    #[error("there is no increment {0} (see `bkm-agent list`)")]
    NoIncrement(String),
    /// Everything is later.
    #[error("nothing was backed up yet at {time}; the first backup is {first}")]
    TooEarly {
        /// What was asked for.
        time: String,
        /// The first complete increment.
        first: String,
    },
    /// No run was complete.
    #[error("no backup is complete yet")]
    Nothing,
}

/// The increment that `at` names: by its name, or the last complete one of a run that had started by
/// that time. A day, a minute or a second means its end; a time without offset is local (`zone`).
pub fn find<'i>(
    increments: &'i [Increment],
    at: &str,
    zone: &TimeZone,
) -> Result<&'i Increment, PointError> {
    if crate::repository::layout::is_increment_name(at) {
        let named = increments.iter().find(|i| i.name == at);
        return named.ok_or_else(|| PointError::NoIncrement(at.to_owned()));
    }
    let time = parse_time(at, zone).ok_or_else(|| PointError::NotATime(at.to_owned()))?;
    let mut complete = increments.iter().filter(|i| i.status == Status::Complete).peekable();
    let first = complete.peek().ok_or(PointError::Nothing)?.name.clone();
    let started_by =
        |i: &&Increment| i.timestamp.parse::<Timestamp>().is_ok_and(|started| started <= time);
    complete
        .filter(started_by)
        .max_by_key(|i| i.sequence)
        .ok_or_else(|| PointError::TooEarly { time: at.to_owned(), first })
}

fn parse_time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    span(text, zone).map(|(_, end)| end)
}

/// From when to when a time is that a person wrote: a day, a minute or a second is all of it. One without
/// offset is local (`zone`).
pub(super) fn span(text: &str, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let exact = |time: Timestamp| Some((time, time));
    if let Ok(time) = text.parse::<Timestamp>() {
        return exact(time);
    }
    if let Ok(time) = text.parse::<ZonedDateTime>() {
        return exact(time.timestamp());
    }
    let (begin, end) = match text.parse::<Date>() {
        // `parse` also takes the date of a full time; only a bare date means the whole day.
        Ok(date) if text.len() == 10 => (date.to_datetime(Time::MIN), date.to_datetime(Time::MAX)),
        // A minute or a second means its end as well.
        _ => {
            let time = text.parse::<DateTime>().ok()?;
            let rest = if text.len() == "2026-11-23 09:15".len() {
                59_999_999_999_i64
            } else {
                999_999_999
            };
            let whole = time.subsec_nanosecond() == 0;
            let end = jiff::Span::new().nanoseconds(rest);
            (time, if whole { time.saturating_add(end) } else { time })
        }
    };
    let instant = |civil: DateTime| Some(civil.to_zoned_datetime(zone.clone()).ok()?.timestamp());
    Some((instant(begin)?, instant(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn increment(sequence: u64, time: &str, status: Status) -> Increment {
        let civil: DateTime = time.parse().unwrap();
        Increment {
            sequence,
            name: crate::repository::layout::increment_name(civil),
            timestamp: format!("{time}Z"),
            status,
            folder_time_s: 0,
        }
    }

    fn sequence_at(at: &str) -> Result<u64, PointError> {
        let increments = [
            increment(1, "2026-11-21T10:00:20", Status::Complete),
            increment(2, "2026-11-22T10:00:00", Status::Interrupted),
            increment(3, "2026-11-23T10:00:00", Status::Complete),
            // The clock was set back.
            increment(4, "2026-11-22T12:00:00", Status::Complete),
        ];
        find(&increments, at, &TimeZone::UTC).map(|i| i.sequence)
    }

    #[test]
    fn a_time_means_the_last_complete_run_by_then() {
        assert_eq!(sequence_at("2026-11-21"), Ok(1));
        assert_eq!(sequence_at("2026-11-22T11:00:00Z"), Ok(1), "interrupted ones do not count");
        assert_eq!(sequence_at("2026-11-21 10:00"), Ok(1), "a minute means its end");
        assert_eq!(sequence_at("2026-11-23 09:59"), Ok(4));
        assert_eq!(sequence_at("2026-11-22 12:00"), Ok(4));
        assert_eq!(sequence_at("2027-01-01"), Ok(4), "order is by sequence, not by clock");
    }

    #[test]
    fn a_name_means_that_increment() {
        assert_eq!(sequence_at("backup_20261122_100000"), Ok(2));
        assert!(matches!(sequence_at("backup_20261122_100001"), Err(PointError::NoIncrement(_))));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(matches!(sequence_at("last week"), Err(PointError::NotATime(_))));
        assert_eq!(
            sequence_at("2026-11-20").unwrap_err().to_string(),
            "nothing was backed up yet at 2026-11-20; the first backup is backup_20261121_100020"
        );
    }
}
