//! Sizes and durations in the units of the notification's language: `3,4 МБ`, `2 мин 3 с`.
//!
//! Rounding is that of `human`; only its words and decimal mark are exchanged.

use crate::text::human;
use crate::text::language::Language;

/// `bytes` as [`human::size`] rounds them.
pub(super) fn size(language: Language, bytes: u64) -> String {
    translate(language, &human::size(bytes))
}

/// `seconds` as [`human::duration`] rounds them.
pub(super) fn duration(language: Language, seconds: f64) -> String {
    translate(language, &human::duration(seconds))
}

fn translate(language: Language, figures: &str) -> String {
    let words = figures.split(' ').map(|word| {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            word.replace('.', &language.say("unit.decimal_mark", &[]))
        } else {
            language.say(&format!("unit.{word}"), &[])
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_is_as_on_the_command_line() {
        for exponent in 0..20 {
            let bytes = 10_u64.pow(exponent);
            assert_eq!(size(Language::English, bytes), human::size(bytes));
        }
        for seconds in [0.0, 0.4, 5.0, 123.0, 3900.0] {
            assert_eq!(duration(Language::English, seconds), human::duration(seconds));
        }
    }

    #[test]
    fn russian_has_its_own_units_and_comma() {
        for (bytes, shown) in [
            (999, "999 Б"),
            (1000, "1,0 кБ"),
            (3_400_000, "3,4 МБ"),
            (12_000_000_000, "12 ГБ"),
            (12_000_000_000_000, "12 ТБ"),
            (12_000_000_000_000_000, "12 ПБ"),
            (u64::MAX, "18 ЭБ"),
        ] {
            assert_eq!(size(Language::Russian, bytes), shown);
        }
        for (seconds, shown) in
            [(0.42, "0,4 с"), (5.2, "5 с"), (123.0, "2 мин 3 с"), (3900.0, "1 ч 5 мин")]
        {
            assert_eq!(duration(Language::Russian, seconds), shown);
        }
    }
}
