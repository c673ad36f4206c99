//! Which increments the profile's retention keeps, and why. Pure.
//!
//! It decides, and removes nothing. The newest complete increment stays whatever the rules say, and so does
//! what is no point in time as long as the complete one after it stays.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::{Timestamp, ZonedDateTime};

use crate::config::profile::Retention;
use crate::repository::index::increment::Increment;
use crate::repository::status::Status;

/// What becomes of one increment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Its sequence.
    pub sequence: u64,
    /// Which rules keep it, in words; empty: it goes.
    pub kept_by: Vec<String>,
}

impl Fate {
    /// Whether it goes.
    pub fn goes(&self) -> bool {
        self.kept_by.is_empty()
    }
}

/// A rule that keeps the last increment of each of so many hours, days, …
struct Period {
    word: &'static str,
    left: u64,
    /// What tells one period from the next, and is shown.
    of: fn(DateTime) -> String,
    /// The one that was kept last.
    last: Option<String>,
}

/// What becomes of each of `increments` (oldest first) at the time `now`.
pub fn fates(increments: &[Increment], rules: &Retention, now: Timestamp) -> Vec<Fate> {
    let mut periods = periods(rules);
    let mut last_left = rules.last;
    let time = |increment: &Increment| increment.timestamp.parse::<Timestamp>().ok();
    let is_future = |increment: &Increment| time(increment).is_some_and(|time| time > now);
    let counts = |i: &&Increment| i.status == Status::Complete && !is_future(i);
    let newest_time = increments.iter().filter(counts).filter_map(time).max();
    let mut newest = true;
    let mut fates: Vec<Fate> = Vec::with_capacity(increments.len());
    // Newest first: of each period the last one is kept.
    for increment in increments.iter().rev() {
        let mut kept_by = Vec::new();
        if rules.is_off() {
            kept_by.push("no retention is set".to_owned());
        }
        if is_future(increment) {
            kept_by.push("dated in the future".to_owned());
        } else if increment.status == Status::Interrupted {
            // Its versions are part of what the next complete run made whole.
            match fates.last() {
                Some(next) if next.goes() => {}
                Some(_) => kept_by.push("interrupted, goes with the next one".to_owned()),
                None => kept_by.push("newest".to_owned()),
            }
        } else {
            if std::mem::take(&mut newest) {
                kept_by.push("newest".to_owned());
            }
            if last_left > 0 {
                last_left -= 1;
                kept_by.push(format!("last {}", rules.last));
            }
            if let (Some(within), Some(newest), Some(time)) =
                (rules.within, newest_time, time(increment))
                && is_within(newest, time, within)
            {
                kept_by.push(format!("within {}", in_words(within)));
            }
            match local(increment) {
                Some(local) => {
                    kept_by.extend(periods.iter_mut().filter_map(|period| period.keep(local)));
                }
                None => kept_by.push("its time cannot be read".to_owned()),
            }
        }
        fates.push(Fate { sequence: increment.sequence, kept_by });
    }
    fates.reverse();
    fates
}

fn periods(rules: &Retention) -> [Period; 5] {
    let period = |word, left, of| Period { word, left, of, last: None };
    [
        period("hourly", rules.hourly, |t| t.strftime("%Y-%m-%d %H:00").to_string()),
        period("daily", rules.daily, |t| t.strftime("%Y-%m-%d").to_string()),
        period("weekly", rules.weekly, |t| t.strftime("%G-W%V").to_string()),
        period("monthly", rules.monthly, |t| t.strftime("%Y-%m").to_string()),
        period("yearly", rules.yearly, |t| t.strftime("%Y").to_string()),
    ]
}

impl Period {
    /// Why it keeps an increment of this local time, if it does.
    fn keep(&mut self, local: DateTime) -> Option<String> {
        let period = (self.of)(local);
        if self.left == 0 || self.last.as_ref() == Some(&period) {
            return None;
        }
        self.left -= 1;
        let why = format!("{} {period}", self.word);
        self.last = Some(period);
        Some(why)
    }
}

/// The time on the clock where the run started: days are those of the user then.
fn local(increment: &Increment) -> Option<DateTime> {
    let text = increment.timestamp.as_str();
    if let Ok(zoned) = text.parse::<ZonedDateTime>() {
        return Some(zoned.datetime());
    }
    // With an offset and no zone: the digits before it are the clock's.
    text.parse::<Timestamp>().ok()?;
    text.get(..19)?.parse().ok()
}

fn is_within(newest: Timestamp, time: Timestamp, within: Duration) -> bool {
    newest.duration_since(time).unsigned_abs() <= within || time > newest
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(7 * 86_400, "w"), (86_400, "d"), (3600, "h"), (60, "m")];
    for (unit, letter) in units {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{}{letter}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn increment(sequence: u64, timestamp: &str, status: Status) -> Increment {
        let name = format!("backup_{sequence}");
        Increment { sequence, name, timestamp: timestamp.to_owned(), status, folder_time_s: 0 }
    }

    fn complete(times: &[&str]) -> Vec<Increment> {
        let numbered = times.iter().zip(1..);
        numbered.map(|(time, n)| increment(n, time, Status::Complete)).collect()
    }

    fn kept(increments: &[Increment], rules: &Retention) -> Vec<u64> {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let fates = fates(increments, rules, now);
        fates.iter().filter(|fate| !fate.goes()).map(|fate| fate.sequence).collect()
    }

    #[test]
    fn without_rules_all_stay() {
        let all = complete(&["2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]);
        assert_eq!(kept(&all, &Retention::default()), [1, 2]);
    }

    #[test]
    fn each_rule_keeps_what_it_says() {
        let all = complete(&[
            "2024-03-01T10:00:00+01:00",
            "2025-12-31T23:30:00+01:00",
            "2026-11-20T08:00:00+01:00",
            "2026-11-21T08:00:00+01:00",
            "2026-11-21T08:40:00+01:00",
            "2026-11-22T23:59:00+01:00",
            "2026-11-23T00:10:00+01:00",
            "2026-11-23T00:50:00+01:00",
        ]);
        let rules = Retention::default();
        assert_eq!(kept(&all, &Retention { last: 3, ..rules }), [6, 7, 8]);
        assert_eq!(kept(&all, &Retention { hourly: 3, ..rules }), [5, 6, 8]);
        assert_eq!(kept(&all, &Retention { daily: 3, ..rules }), [5, 6, 8]);
        // 2026-11-23 is a Monday.
        assert_eq!(kept(&all, &Retention { weekly: 2, ..rules }), [6, 8]);
        assert_eq!(kept(&all, &Retention { monthly: 2, ..rules }), [2, 8]);
        assert_eq!(kept(&all, &Retention { yearly: 9, ..rules }), [1, 2, 8]);
        let within = Some(Duration::from_hours(24));
        assert_eq!(kept(&all, &Retention { within, ..rules }), [6, 7, 8]);
        assert_eq!(kept(&all, &Retention { yearly: 2, last: 2, ..rules }), [2, 7, 8]);
    }

    #[test]
    fn days_are_those_on_the_clock_of_then() {
        // Half past midnight in Berlin is the day before in London.
        let all = complete(&["2026-11-21T00:30:00+01:00", "2026-11-21T23:30:00+01:00"]);
        assert_eq!(kept(&all, &Retention { daily: 5, ..Retention::default() }), [2]);
    }

    #[test]
    fn what_is_dated_in_the_future_is_kept_and_not_counted() {
        let all = complete(&[
            "2026-11-20T08:00:00Z",
            "2031-01-01T00:00:00Z",
            "2026-11-21T08:00:00Z",
            "2026-11-22T08:00:00Z",
        ]);
        assert_eq!(kept(&all, &Retention { last: 1, ..Retention::default() }), [2, 4]);
        let within = Some(Duration::from_hours(30));
        assert_eq!(kept(&all, &Retention { within, ..Retention::default() }), [2, 3, 4]);
    }

    #[test]
    fn an_interrupted_one_stays_and_goes_with_the_complete_one_after_it() {
        let rules = Retention { last: 1, ..Retention::default() };
        let mut all = complete(&[
            "2026-11-19T08:00:00Z",
            "2026-11-20T08:00:00Z",
            "2026-11-21T08:00:00Z",
            "2026-11-22T08:00:00Z",
        ]);
        all[0].status = Status::Interrupted;
        all[2].status = Status::Interrupted;
        assert_eq!(kept(&all, &rules), [3, 4]);
        all[3].status = Status::Interrupted;
        assert_eq!(kept(&all, &rules), [1, 2, 3, 4], "the newest complete one is kept");
    }

    proptest! {
        /// Whatever the clocks said and the rules are: the newest complete one stays, more rules keep more,
        /// and what was pruned once is not pruned further.
        #[test]
        fn more_rules_keep_more(
            hours in proptest::collection::vec((0i64..200_000, 0u8..5), 1..40),
            last in 0u64..5, daily in 0u64..6, weekly in 0u64..6, yearly in 0u64..3,
        ) {
            let all: Vec<Increment> = hours.iter().zip(1..).map(|((hours, status), n)| {
                let time = Timestamp::from_second(1_200_000_000 + hours * 3600).unwrap();
                let status = if *status == 0 { Status::Interrupted } else { Status::Complete };
                increment(n, &time.to_string(), status)
            }).collect();
            let few = Retention { last, daily, ..Retention::default() };
            let more = Retention { weekly, yearly, ..few };
            let (of_few, of_more) = (kept(&all, &few), kept(&all, &more));
            if !few.is_off() {
                prop_assert!(of_few.iter().all(|n| of_more.contains(n)));
            }
            let newest = all.iter().rev().find(|i| i.status == Status::Complete);
            prop_assert!(newest.is_none_or(|i| of_few.contains(&i.sequence)));
            let left: Vec<Increment> =
                all.iter().filter(|i| of_more.contains(&i.sequence)).cloned().collect();
            prop_assert_eq!(kept(&left, &more), of_more);
        }
    }
}
