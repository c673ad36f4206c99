//! `README.txt` in the repository, and the shorter one beside it: how to get files back by hand.
//!
//! In English, and behind that in the user's language if it is another one. Written once: whoever edits a
//! text owns it, so one that is there is never replaced.

use std::path::Path;

use crate::fs::attributes::Attributes;
use crate::fs::tree::handle::Tree;
use crate::repository::error::RepositoryError;
use crate::repository::layout;
use crate::repository::versioning::Keeping;
use crate::text::language::Language;

/// Stands between the languages.
const RULE: &str = "\n\n----------------------------------------\n\n\n";

/// Writes the repository's `README.txt`, unless one is there.
pub(super) fn write(tree: &Tree, keeping: Keeping) -> Result<(), RepositoryError> {
    place(tree, &in_languages(Language::from_env(), |language| text(language, keeping)))
}

/// Writes a short `README.txt` beside the repository's folder `name`, unless one is there.
pub fn write_beside(parent: &Tree, name: &str) -> Result<(), RepositoryError> {
    let text = |language| match language {
        Language::English => include_str!("readme/en-beside.txt"),
        Language::Russian => include_str!("readme/ru-beside.txt"),
    };
    place(parent, &in_languages(Language::from_env(), |l| text(l).replace("{name}", name)))
}

fn text(language: Language, keeping: Keeping) -> String {
    let (text, linked, displaced) = match language {
        Language::English => (
            include_str!("readme/en.txt"),
            include_str!("readme/en-linked.txt"),
            include_str!("readme/en-displaced.txt"),
        ),
        Language::Russian => (
            include_str!("readme/ru.txt"),
            include_str!("readme/ru-linked.txt"),
            include_str!("readme/ru-displaced.txt"),
        ),
    };
    let versions = match keeping {
        Keeping::Hardlink => linked,
        Keeping::Displace => displaced,
    };
    text.replace("{versions}", versions)
}

/// English comes first: who finds the drive may not read the owner's language.
fn in_languages(user: Language, text: impl Fn(Language) -> String) -> String {
    match user {
        Language::English => text(user),
        Language::Russian => [&text(Language::English), RULE, &text(user)].concat(),
    }
}

fn place(tree: &Tree, text: &str) -> Result<(), RepositoryError> {
    let path = Path::new(layout::README);
    if tree.stat(path)?.is_some() {
        return Ok(());
    }
    // It gets its name when it is whole: one that is there is never looked at again.
    let part = Path::new(layout::README_PART);
    tree.remove_file(part)?;
    let mut file = tree.create_file(part, 0o600)?;
    file.write_all(text.as_bytes())?;
    file.set_attributes(&Attributes {
        mode: 0o644,
        owner: None,
        mtime_ns: crate::text::clock::now_ns(),
    })?;
    Ok(tree.rename_new(part, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_explains_each_way_of_keeping_versions() {
        for language in [Language::English, Language::Russian] {
            let [linked, displaced] = [Keeping::Hardlink, Keeping::Displace].map(|keeping| {
                let text = text(language, keeping);
                for said in ["mirror/", "track/", "browse.html", "cp -a", "Windows", "macOS"] {
                    assert!(text.contains(said), "{said}, {language:?}, {keeping:?}");
                }
                assert!(!text.contains('{'), "{text}");
                assert!(text.lines().all(|line| line.chars().count() <= 106), "{text}");
                text
            });
            assert!(linked.contains("deleted/") && !displaced.contains("deleted/"));
            assert!(displaced.contains("content_in") && !linked.contains("content_in"));
        }
    }

    #[test]
    fn english_comes_first_and_once() {
        let texts = |user| in_languages(user, |language| language.code().to_owned());
        assert_eq!(texts(Language::English), "en");
        assert_eq!(texts(Language::Russian), format!("en{RULE}ru"));
    }
}
