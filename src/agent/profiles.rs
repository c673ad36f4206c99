//! The profiles as the agent uses them: read anew when their files change, the last good one of each kept.
//!
//! It reads profile files and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::load;
use crate::config::profile::{Profile, drive_of};

/// The profiles in use, and what is wrong with the files of the others.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    /// Those with a drive.
    list: Vec<Profile>,
    /// What is wrong, by file.
    broken: BTreeMap<PathBuf, String>,
}

/// A profile file that cannot be used, told once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The file or folder.
    pub(super) file: PathBuf,
    /// Why, in words.
    pub(super) why: String,
    /// Whether the profile that it held before stays in use.
    pub(super) kept: bool,
}

impl Profiles {
    /// Those in use.
    pub(super) fn list(&self) -> &[Profile] {
        &self.list
    }

    /// Reads all anew; returns what is newly wrong.
    pub(super) fn load(&mut self, dirs: &[PathBuf]) -> Vec<Broken> {
        let before = std::mem::take(&mut self.list);
        let known = std::mem::take(&mut self.broken);
        let mut news = Vec::new();
        for profile in load::load_all(dirs) {
            match profile {
                Ok(profile) if drive_of(&profile).is_none() => tracing::info!(
                    profile = profile.name,
                    "has no drive: only `bkm-agent run` runs it"
                ),
                Ok(profile) => self.list.push(profile),
                Err(error) => {
                    let why = crate::text::error_chain::in_words(&error);
                    let file = error.file().map(PathBuf::from).unwrap_or_default();
                    let good = before.iter().find(|profile| profile.file == file);
                    self.list.extend(good.cloned());
                    if known.get(&file) != Some(&why) {
                        let kept = good.is_some();
                        let then = if kept { "the last good one stays in use" } else { "left out" };
                        tracing::error!("a profile is broken ({then}): {why}");
                        news.push(Broken { file: file.clone(), why: why.clone(), kept });
                    }
                    self.broken.insert(file, why);
                }
            }
        }
        if self.list.is_empty() {
            let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            tracing::warn!("no valid profile with a drive in {}: nothing to do", dirs.join(" or "));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_profile_is_told_once_and_the_last_good_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().to_owned()];
        let file = dir.path().join("docs.json");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let mut profiles = Profiles::default();
        write(r#"{ "drive": { "label": "A" }, "src": "/s" }"#);
        assert_eq!(profiles.load(&dirs), []);
        write(r#"{ "drive": { "label": "A" }, "sr"#);
        let news = profiles.load(&dirs);
        assert!(news.len() == 1 && news[0].kept && news[0].file == file, "{news:?}");
        assert_eq!(profiles.list().len(), 1);
        assert_eq!(profiles.load(&dirs), [], "told once");
        assert_eq!(profiles.list().len(), 1, "kept as long as it is broken");
        write(r#"{ "drive": { "label": "B" }, "src": "/s" }"#);
        assert_eq!(profiles.load(&dirs), []);
        assert_eq!(drive_of(&profiles.list()[0]).unwrap().label.as_deref(), Some("B"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(profiles.load(&dirs), []);
        assert!(profiles.list().is_empty(), "one that was taken away is not kept");
    }
}
