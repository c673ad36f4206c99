//! Figures as people read them: sizes, durations, counts. For texts only; nothing parses them.

/// `bytes` in decimal units with two to three digits, as file managers show them: `3.4 MB`, `250 kB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut shown = "kB";
    for unit in UNITS {
        shown = unit;
        // 999.5 would be shown as "1000": such a value belongs to the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
    }
    if value < 9.95 { format!("{value:.1} {shown}") } else { format!("{value:.0} {shown}") }
}

/// `seconds` in the two largest units that matter: `0.4 s`, `5 s`, `2 min 3 s`, `1 h 5 min`.
pub fn duration(seconds: f64) -> String {
    if seconds.is_nan() || seconds < 0.05 {
        return "0 s".to_owned();
    }
    if seconds < 0.95 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative here, and the cast holds a value that is too large at the largest u64"
    )]
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes, rest) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// `n` with the word for it: `1 file`, `2 files`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_and_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (3_400_000, "3.4 MB"),
            (12_345_678, "12 MB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn durations_name_what_matters() {
        for (seconds, shown) in [
            (-1.0, "0 s"),
            (0.0, "0 s"),
            (0.42, "0.4 s"),
            (0.97, "1 s"),
            (5.2, "5 s"),
            (59.7, "1 min"),
            (123.0, "2 min 3 s"),
            (3900.0, "1 h 5 min"),
            (7200.0, "2 h"),
            (f64::NAN, "0 s"),
        ] {
            assert_eq!(duration(seconds), shown, "{seconds}");
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(count(0, "file", "files"), "0 files");
    }
}
