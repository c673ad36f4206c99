//! The languages that texts for people are in, and which of them the user reads.
//!
//! It knows no text itself.

/// A language that the program writes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// For everybody whose language is not here.
    #[default]
    English,
    /// By locales that begin with `ru`.
    Russian,
}

impl Language {
    /// The language of the process's locale: the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is
    /// set decides.
    pub fn from_env() -> Self {
        Self::of_locale(|name| std::env::var(name).ok())
    }

    fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| {
            // POSIX: one that is empty counts as not set.
            variable(name).filter(|value| !value.is_empty())
        });
        match set {
            Some(locale) if locale.starts_with("ru") => Self::Russian,
            _ => Self::English,
        }
    }

    /// Its code, as locales and `messages.json` have it.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
        }
    }

    /// The plural form for `n`, by the rules of Unicode's CLDR for whole numbers.
    pub(crate) fn form(self, n: u64) -> &'static str {
        match self {
            Self::English if n == 1 => "one",
            Self::English => "other",
            Self::Russian => match (n % 10, n % 100) {
                (1, last) if last != 11 => "one",
                (2..=4, last) if !(12..=14).contains(&last) => "few",
                _ => "many",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        for (all, messages, lang, language) in [
            ("", "", "", Language::English),
            ("", "", "ru_RU.UTF-8", Language::Russian),
            ("", "", "ru", Language::Russian),
            ("", "C", "ru_RU.UTF-8", Language::English),
            ("ru_UA.UTF-8", "C", "C", Language::Russian),
            ("", "ru_RU", "de_DE.UTF-8", Language::Russian),
            ("de_DE", "", "ru_RU", Language::English),
        ] {
            let of = |name: &str| {
                let value = match name {
                    "LC_ALL" => all,
                    "LC_MESSAGES" => messages,
                    _ => lang,
                };
                Some(value.to_owned())
            };
            assert_eq!(Language::of_locale(of), language, "{all} {messages} {lang}");
        }
        assert_eq!(Language::of_locale(|_| None), Language::English);
    }
}
