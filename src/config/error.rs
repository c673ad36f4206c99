//! Why a profile cannot be used, worded for the person who wrote it.
//!
//! Every error names the file and, where there is one, the line and the field.

use std::io;
use std::path::PathBuf;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or folder cannot be read.
    #[error("{}: cannot be read", file.display())]
    Read {
        /// The file or folder.
        file: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file as a whole is not a profile.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The text is not JSON, or not an object.
    #[error("{}:{line}: {reason}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A field that no profile has.
    #[error("{}:{line}: unknown field {field:?}; {}", file.display(), instead(nearest.as_deref(), known))]
    UnknownField {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The field, with the object it stands in: `drive.labl`.
        field: String,
        /// The field that was probably meant.
        nearest: Option<String>,
        /// All fields that can stand there.
        known: Vec<&'static str>,
    },
    /// A field that is given twice.
    #[error("{}:{line}: {field:?} is given twice, first in line {first}", file.display())]
    Duplicate {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The field.
        field: String,
        /// Where it stands first.
        first: usize,
    },
    /// A field whose value cannot be used.
    #[error("{}:{line}: {field:?} {reason}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The field.
        field: String,
        /// What is wrong, to be read after the field's name.
        reason: String,
    },
    /// There is no profile of this name.
    #[error("no profile {name:?}; {}", instead_of_profile(nearest.as_deref(), dirs))]
    NotFound {
        /// The name that was looked for.
        name: String,
        /// A profile with a similar name.
        nearest: Option<String>,
        /// Where was looked.
        dirs: Vec<PathBuf>,
    },
}

impl ConfigError {
    /// The file that is wrong, or the folder that cannot be read.
    pub fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::Read { file, .. }
            | Self::File { file, .. }
            | Self::Json { file, .. }
            | Self::UnknownField { file, .. }
            | Self::Duplicate { file, .. }
            | Self::Value { file, .. } => Some(file),
            Self::NotFound { .. } => None,
        }
    }
}

fn instead(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        None => format!("the fields are {}", known.join(", ")),
    }
}

fn instead_of_profile(nearest: Option<&str>, dirs: &[PathBuf]) -> String {
    if let Some(nearest) = nearest {
        return format!("did you mean {nearest:?}?");
    }
    let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    format!("profiles are looked for in {}", dirs.join(" and "))
}

/// The one of `known` that `text` was probably meant to be.
pub(super) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A third of the letters wrong is still a slip; beyond that it is another word.
    let limit = (text.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|known| (distance(text, known), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// How many letters have to be put in, taken out or changed to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, &above) in b.iter().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(x != *y));
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let known = ["src", "dist", "exclude_dirs", "exclude_files"];
        assert_eq!(nearest("exlude_dirs", known), Some("exclude_dirs"));
        assert_eq!(nearest("dest", known), Some("dist"));
        assert_eq!(nearest("colour", known), None);
    }
}
