//! One pattern of a profile: its text, checked and brought into the one form that globset compiles.
//!
//! It owns the limits that keep a hostile or mistaken pattern from costing memory or stack, and it
//! must hand nothing to globset that it has not checked.

use globset::{Glob, GlobBuilder};

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 4096;

/// How deep braces may be nested: globset's parser recurses, and a deep enough pattern ends the
/// process.
const MAX_BRACES: usize = 16;

/// How many folders of a pattern are looked at one by one to decide whether to enter a folder; below
/// that every folder is entered. A bound on memory, as each gets a glob of its own.
const MAX_GATES: usize = 16;

/// Which of the profile's fields a rule stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleField {
    /// Folders that are mirrored.
    IncludeDirs,
    /// Folders that are tracked.
    TrackDirs,
    /// Files that are mirrored.
    IncludeFiles,
    /// Files that are tracked.
    TrackFiles,
    /// Folders that are left out.
    ExcludeDirs,
    /// Files that are left out.
    ExcludeFiles,
}

impl RuleField {
    /// The field's name in the profile.
    pub fn name(self) -> &'static str {
        match self {
            Self::IncludeDirs => "include_dirs",
            Self::TrackDirs => "track_dirs",
            Self::IncludeFiles => "include_files",
            Self::TrackFiles => "track_files",
            Self::ExcludeDirs => "exclude_dirs",
            Self::ExcludeFiles => "exclude_files",
        }
    }

    pub(super) fn takes_folders(self) -> bool {
        matches!(self, Self::IncludeDirs | Self::TrackDirs | Self::ExcludeDirs)
    }

    pub(super) fn excludes(self) -> bool {
        matches!(self, Self::ExcludeDirs | Self::ExcludeFiles)
    }
}

/// A pattern, ready to compile.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The source itself (`.`): only rules that take folders can say it.
    Root,
    /// A glob on the path below the source.
    Glob(String),
}

/// Checks the pattern `text` of `field`; the error is the reason, for the person who wrote it.
pub(super) fn parse(field: RuleField, text: &str) -> Result<Pattern, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("longer than {MAX_BYTES} bytes"));
    }
    if brace_depth(text) > MAX_BRACES {
        return Err(format!("braces nested more than {MAX_BRACES} deep"));
    }
    if text.starts_with('/') {
        let hint = text.trim_start_matches('/');
        return Err(format!(
            "patterns are relative to the source; write \"./{hint}\" for what lies directly in it"
        ));
    }
    if text.starts_with("~/") {
        return Err("patterns are relative to the source; \"~\" is not expanded here".to_owned());
    }
    let (text, any_depth) = match text.strip_suffix(":rec") {
        Some(text) => (text, true),
        None => (text, false),
    };
    // Looked at before "./" goes away: "./Cache" is how to say "only the one in the source itself".
    let has_slash = text.trim_end_matches('/').contains('/');
    let mut parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err("\"..\" leads outside the source".to_owned());
    }
    // A folder rule takes everything below its folder anyway, so "a/**" says the same as "a".
    while field.takes_folders() && parts.last() == Some(&"**") {
        parts.pop();
    }
    if parts.is_empty() {
        return match field {
            _ if text.is_empty() => Err("empty".to_owned()),
            RuleField::IncludeDirs | RuleField::TrackDirs => Ok(Pattern::Root),
            RuleField::ExcludeDirs => Err("would leave out the whole source".to_owned()),
            _ => Err("a folder, where file patterns are wanted".to_owned()),
        };
    }
    let mut glob = parts.join("/");
    let by_name = field.excludes() && !has_slash;
    if (any_depth || by_name) && parts.first() != Some(&"**") {
        glob.insert_str(0, "**/");
    }
    Ok(Pattern::Glob(glob))
}

/// The deepest nesting of braces. Escapes and classes are not looked at: this only errs towards
/// refusing.
fn brace_depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Parses one glob the one way all are parsed: `*` and `?` stay within a name. `?` is one byte, not
/// one letter, since names are bytes.
pub(super) fn compile(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(true).build()
}

/// Globs on folders: one that matches none of them holds nothing, at any depth, that `glob` matches.
pub(super) fn gates(glob: &str) -> Vec<String> {
    let parts: Vec<&str> = glob.split('/').collect();
    let mut gates = Vec::new();
    let mut above = String::new();
    for (depth, part) in parts.iter().enumerate() {
        let is_last = depth + 1 == parts.len();
        // From a "**" on, or from a brace or class that reaches over the "/" (such a part does not
        // compile alone), nothing can be told from a folder's path: everything below is entered.
        let open_ended = part.contains("**") || depth >= MAX_GATES || compile(part).is_err();
        if open_ended {
            gates.push(format!("{above}**"));
            break;
        }
        if !is_last {
            gates.push(format!("{above}{part}"));
            above.push_str(part);
            above.push('/');
        }
    }
    gates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(field: RuleField, text: &str) -> String {
        match parse(field, text) {
            Ok(Pattern::Glob(glob)) => glob,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn brings_patterns_into_one_form() {
        use RuleField::{ExcludeDirs, ExcludeFiles, IncludeDirs, TrackFiles};
        for (field, text, expected) in [
            (IncludeDirs, "Projects", "Projects"),
            (IncludeDirs, "./Projects/", "Projects"),
            (IncludeDirs, "Projects/**", "Projects"),
            (IncludeDirs, "a//b/./c", "a/b/c"),
            (IncludeDirs, "Notes:rec", "**/Notes"),
            (TrackFiles, "*.pdf", "*.pdf"),
            (TrackFiles, "*.pdf:rec", "**/*.pdf"),
            (TrackFiles, "**/*.pdf:rec", "**/*.pdf"),
            (TrackFiles, "docs/**", "docs/**"),
            (ExcludeDirs, "Cache", "**/Cache"),
            (ExcludeDirs, "Cache/", "**/Cache"),
            (ExcludeDirs, "./Cache", "Cache"),
            (ExcludeDirs, "a/Cache", "a/Cache"),
            (ExcludeDirs, "node_modules/**", "node_modules"),
            (ExcludeDirs, "**/node_modules/**", "**/node_modules"),
            (ExcludeFiles, "*.log", "**/*.log"),
            (ExcludeFiles, "a/*.log", "a/*.log"),
        ] {
            assert_eq!(glob(field, text), expected, "{field:?} {text:?}");
        }
        assert_eq!(parse(IncludeDirs, "."), Ok(Pattern::Root));
        assert_eq!(parse(IncludeDirs, "**"), Ok(Pattern::Root));
    }

    #[test]
    fn refuses_what_cannot_be_meant() {
        use RuleField::{ExcludeDirs, IncludeDirs, IncludeFiles};
        for (field, text, reason) in [
            (IncludeDirs, "", "empty"),
            (IncludeFiles, ":rec", "empty"),
            (IncludeDirs, "a/../b", "\"..\" leads outside the source"),
            (ExcludeDirs, ".", "would leave out the whole source"),
            (IncludeFiles, ".", "a folder, where file patterns are wanted"),
            (
                ExcludeDirs,
                "/Cache",
                "patterns are relative to the source; write \"./Cache\" for what lies directly in it",
            ),
        ] {
            assert_eq!(parse(field, text), Err(reason.to_owned()), "{text:?}");
        }
        let deep = format!("{}{}", "{".repeat(20_000), "}".repeat(20_000));
        assert!(parse(IncludeFiles, &deep).is_err());
        let nested = format!("{}a{}", "{".repeat(17), "}".repeat(17));
        assert!(parse(IncludeFiles, &nested).is_err());
    }

    #[test]
    fn gates_cover_every_folder_that_can_hold_a_match() {
        for (glob, expected) in [
            ("*.pdf", vec![]),
            ("a/*.pdf", vec!["a"]),
            ("a/b*/c", vec!["a", "a/b*"]),
            ("**/x", vec!["**"]),
            ("a/**/x", vec!["a", "a/**"]),
            ("a/**", vec!["a", "a/**"]),
            ("a/{b/c,d}/e", vec!["a", "a/**"]),
            ("a/[/]/e", vec!["a", "a/**"]),
            ("{a,b}/c", vec!["{a,b}"]),
        ] {
            assert_eq!(gates(glob), expected, "{glob}");
        }
    }
}
