//! The words of notifications in each language, from `messages.json`, which a translator can edit.
//!
//! Every message has a key and, for each language, a text or one text for each plural form. `{name}`
//! in a text is replaced by a value. Values come from drives, files and errors, so each passes through
//! `sanitize`: nothing here may make two lines of one value, or panic.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::text::language::Language;
use crate::text::sanitize;

/// One message in one language.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    /// By plural form: `one`, `other`; in Russian `one`, `few`, `many`.
    Forms(HashMap<String, String>),
}

/// Messages by key, then by the language's code.
type Catalogue = HashMap<String, HashMap<String, Message>>;

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| serde_json::from_str(include_str!("messages.json")).unwrap_or_default());

impl Language {
    /// The message `key` with `values` in place of their names. Without a translation it is English;
    /// a message that does not exist is its key, which a test rules out.
    pub(super) fn say(self, key: &str, values: &[(&str, &str)]) -> String {
        self.fill(key, 0, values)
    }

    /// The same in the plural form for `n`, which the message calls `{n}`.
    pub(super) fn count(self, key: &str, n: u64, values: &[(&str, &str)]) -> String {
        let shown = n.to_string();
        let mut all = vec![("n", shown.as_str())];
        all.extend_from_slice(values);
        self.fill(key, n, &all)
    }

    fn fill(self, key: &str, n: u64, values: &[(&str, &str)]) -> String {
        let template = self.template(key, n).or_else(|| Self::English.template(key, n));
        fill(template.unwrap_or(key), values)
    }

    fn template(self, key: &str, n: u64) -> Option<&'static str> {
        match CATALOGUE.get(key)?.get(self.code())? {
            Message::Text(text) => Some(text),
            Message::Forms(forms) => forms.get(self.form(n)).map(String::as_str),
        }
    }
}

/// `template` with its placeholders replaced, in one pass: a value that looks like a placeholder stays
/// as it is.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let value = after.split_once('}').and_then(|(name, behind)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, behind))
        });
        if let Some((value, behind)) = value {
            filled.push_str(&sanitize::line(value));
            rest = behind;
        } else {
            filled.push('{');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const LANGUAGES: [Language; 2] = [Language::English, Language::Russian];

    /// The files that look up messages.
    const SOURCES: [&str; 7] = [
        include_str!("figures.rs"),
        include_str!("service.rs"),
        include_str!("texts/progress.rs"),
        include_str!("texts/text.rs"),
        include_str!("texts/ended.rs"),
        include_str!("texts/trouble.rs"),
        include_str!("texts/waiting.rs"),
    ];

    /// The text literals in `source` that look like keys: `word.word`.
    fn keys_in(source: &str) -> impl Iterator<Item = &str> {
        let code = source.split("#[cfg(test)]").next().unwrap();
        code.split('"').skip(1).step_by(2).filter(|text| {
            text.contains('.')
                && text.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '.' | '_'))
        })
    }

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).map(|part| part.split_once('}').unwrap().0).collect()
    }

    #[test]
    fn every_key_that_the_code_uses_is_there_and_every_message_is_used() {
        let used: BTreeSet<&str> = SOURCES
            .into_iter()
            .flat_map(keys_in)
            // Units are looked up by the words of `human`.
            .filter(|key| !key.starts_with("unit."))
            .collect();
        let there: BTreeSet<&str> =
            CATALOGUE.keys().map(String::as_str).filter(|key| !key.starts_with("unit.")).collect();
        assert!(used.len() > 40, "the catalogue is read, and so are the sources: {used:?}");
        assert_eq!(used, there);
    }

    #[test]
    fn every_message_has_both_languages_all_forms_and_the_same_placeholders() {
        for (key, languages) in &*CATALOGUE {
            let mut seen = BTreeMap::new();
            for language in LANGUAGES {
                let message = languages.get(language.code());
                let forms: Vec<&str> = match message {
                    None => panic!("{key} is not in {language:?}"),
                    Some(Message::Text(text)) => vec![text],
                    Some(Message::Forms(forms)) => {
                        let wanted: BTreeSet<&str> = (0..100).map(|n| language.form(n)).collect();
                        let there: BTreeSet<&str> = forms.keys().map(String::as_str).collect();
                        assert_eq!(there, wanted, "{key} in {language:?}");
                        forms.values().map(String::as_str).collect()
                    }
                };
                for text in forms {
                    assert!(!text.trim().is_empty(), "{key} in {language:?}");
                    assert!(!text.contains('\n'), "{key} in {language:?} is one line");
                    seen.insert(text, placeholders(text));
                }
            }
            let first = seen.values().next().unwrap();
            assert!(seen.values().all(|names| names == first), "{key}: {seen:?}");
            assert_eq!(languages.len(), LANGUAGES.len(), "{key}");
        }
    }

    #[test]
    fn counts_take_their_plural_form() {
        let say = |language: Language, n| language.count("count.files", n, &[]);
        assert_eq!(say(Language::English, 1), "1 file");
        assert_eq!(say(Language::English, 0), "0 files");
        for (n, word) in [
            (0, "файлов"),
            (1, "файл"),
            (2, "файла"),
            (5, "файлов"),
            (11, "файлов"),
            (12, "файлов"),
            (14, "файлов"),
            (21, "файл"),
            (22, "файла"),
            (111, "файлов"),
            (1_000_001, "файл"),
        ] {
            assert_eq!(say(Language::Russian, n), format!("{n} {word}"));
        }
    }

    #[test]
    fn a_message_that_does_not_exist_is_its_key() {
        assert_eq!(Language::Russian.say("no.such", &[("x", "y")]), "no.such");
    }

    proptest! {
        #[test]
        fn any_template_and_value_are_filled(template in "[{}a-c ]{0,12}", value in any::<String>()) {
            let filled = fill(&template, &[("a", &value), ("", "{a}")]);
            prop_assert!(!filled.contains('\n'));
            if !template.contains("{a}") && !template.contains("{}") {
                prop_assert_eq!(filled, template);
            }
        }
    }

    #[test]
    fn a_value_is_no_template() {
        assert_eq!(fill("{a} and {b}", &[("a", "{b}"), ("b", "\n")]), "{b} and \\u{a}");
    }
}
