//! The profile that a drive is to be paired with: one that is there, or a new one for a folder.
//!
//! It writes nothing; the new profile's text is written once the drive is paired.

use std::path::{Path, PathBuf};

use crate::cli::error::{CliError, Exit};
use crate::cli::target::{is_for, named_profiles};
use crate::config::error::ConfigError;
use crate::config::load;
use crate::config::profile::{Profile, drive_of};
use crate::drive::device::Device;
use crate::host::dirs;
use crate::text::sanitize::line;

/// The profile that is meant; with the text of its file, if that is to be made.
pub(super) fn profile_for(
    name: Option<&str>,
    src: Option<&Path>,
    device: &Device,
) -> Result<(Profile, Option<String>), CliError> {
    let source = src.map(source_at).transpose()?;
    if let Some(name) = name {
        return match (load::find(&dirs::profile_dirs(), name), source) {
            (Ok(profile), Some(source)) if profile.source != source => {
                Err(CliError::usage(format!(
                    "the profile {} is there and backs up {}; leave --src out, or give another name",
                    line(name),
                    line(&profile.source.to_string_lossy())
                )))
            }
            (Ok(profile), _) => Ok((profile, None)),
            (Err(ConfigError::NotFound { .. }), Some(source)) => made(name, &source, device),
            (Err(error), _) => Err(CliError::new(&error, Exit::Usage)),
        };
    }
    let (profiles, _) = match named_profiles(None, None) {
        Ok(found) => found,
        // Said already; a new one can be made all the same.
        Err(_) if source.is_some() => (Vec::new(), Exit::Done),
        Err(error) => return Err(error),
    };
    let names = |profiles: &[Profile]| {
        profiles.iter().map(|profile| line(&profile.name)).collect::<Vec<_>>().join(", ")
    };
    let mut fitting = profiles.clone();
    fitting.retain(|profile| match &source {
        Some(source) => profile.source == *source && drive_of(profile).is_some(),
        None => is_for(profile, device).is_some(),
    });
    match (<[Profile; 1]>::try_from(fitting), source) {
        (Ok([profile]), _) => Ok((profile, None)),
        (Err(several), _) if !several.is_empty() => Err(CliError::usage(format!(
            "which profile? Name one with --profile: {}",
            names(&several)
        ))),
        (Err(_), Some(source)) => made(&name_for(&source), &source, device),
        (Err(_), None) => {
            let node = device.node.display();
            let mut message = format!(
                "what is to be backed up to {}? Name a folder: bkm-agent pair {node} --src ~/Documents",
                device.name()
            );
            if !profiles.is_empty() {
                message.push_str("; or a profile with --profile: ");
                message.push_str(&names(&profiles));
            }
            Err(CliError::usage(message))
        }
    }
}

/// The folder that is to be backed up, without symbolic links in its path.
fn source_at(src: &Path) -> Result<PathBuf, CliError> {
    let at = match (src.strip_prefix("~"), dirs::home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => src.to_owned(),
    };
    let wrong = |why: &str| CliError::usage(format!("{}: {why}", line(&at.to_string_lossy())));
    let source = std::fs::canonicalize(&at).map_err(|e| wrong(&e.to_string()))?;
    if source.is_dir() { Ok(source) } else { Err(wrong("not a folder")) }
}

/// A profile's name for a folder: `~/My Documents` is `my-documents`.
fn name_for(source: &Path) -> String {
    let name = source.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '.') { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "backup".to_owned() } else { name.to_owned() }
}

/// A profile that is not there yet, with its text. The drive is named by its UUID alone: by its label a
/// drive of the same name would be looked at as well, and a paired drive is known whatever its label.
fn made(name: &str, source: &Path, device: &Device) -> Result<(Profile, Option<String>), CliError> {
    let dirs = dirs::profile_dirs();
    let file = dirs.first().cloned().unwrap_or_default().join(format!("{name}.json"));
    if file.exists() || load::find(&dirs, name).is_ok() {
        return Err(CliError::usage(format!(
            "a profile {} is there already, for something else; give the new one another name with --profile",
            line(name)
        )));
    }
    let at_home = dirs::home().and_then(|home| source.strip_prefix(home).ok().map(Path::to_owned));
    let src = match &at_home {
        Some(rest) if !rest.as_os_str().is_empty() => Path::new("~").join(rest),
        _ => source.to_owned(),
    };
    let Some(src) = src.to_str() else {
        return Err(CliError::usage("a folder whose name is not UTF-8 cannot stand in a profile"));
    };
    let profile = serde_json::json!({ "drive": { "uuid": device.uuid }, "src": src });
    if device.uuid.is_none() {
        return Err(CliError::failed(format!(
            "the file system of {} has no number of its own (UUID), so it cannot be paired",
            device.name()
        )));
    }
    let text = format!("{profile:#}\n");
    match load::load_text(&file, name, &text) {
        Ok(profile) => Ok((profile, Some(text))),
        Err(error) => Err(CliError::new(&error, Exit::Usage)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_called_after_its_folder() {
        for (folder, name) in [
            ("/home/anna/Documents", "documents"),
            ("/home/anna/My Documents", "my-documents"),
            ("/home/anna/.config", "config"),
            ("/home/anna/Фото", "фото"),
            ("/", "backup"),
        ] {
            assert_eq!(name_for(Path::new(folder)), name);
        }
    }
}
