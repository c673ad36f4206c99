//! The fields of a profile that later versions act on: their shape is checked now, and the user is told
//! that they have no effect yet.
//!
//! A field that gains its effect moves from here to `profile`. Called by `profile`.

use super::error::ConfigError;
use super::profile::duration;
use super::raw::RawLater;

/// Checks what this version does not act on, and says so for each.
pub(super) fn check(raw: &RawLater<'_>) -> Result<Vec<String>, ConfigError> {
    let mut warnings = Vec::new();
    let mut warn = |given: bool, text: &str| {
        if given {
            warnings.push(text.to_owned());
        }
    };
    if let Some(given) = &raw.keep_within {
        duration(given)?;
    }
    let prunes = !raw.keep.is_empty() || raw.keep_within.is_some();
    warn(
        prunes && raw.retention.is_some(),
        "\"retention\" is not acted on yet: every increment is kept",
    );
    if let Some(given) = &raw.remind_after {
        duration(given)?;
    }
    warn(raw.remind_after.is_some(), "\"remind_after\" is not acted on yet: no reminder is given");
    let pairing = raw.pairing.as_ref().map(|given| given.value.as_str());
    if let Some(given) = &raw.pairing
        && !matches!(pairing, Some("first-use" | "required" | "off"))
    {
        return Err(given.place.error("must be \"first-use\", \"required\" or \"off\""));
    }
    warn(
        pairing.is_some_and(|pairing| pairing != "off"),
        "\"pairing\" is not acted on yet: any drive that matches \"drive\" is used",
    );
    let on_battery = raw.on_battery.as_ref().map(|given| given.value.as_str());
    if let Some(given) = &raw.on_battery
        && !matches!(on_battery, Some("run" | "ask" | "skip"))
    {
        return Err(given.place.error("must be \"run\", \"ask\" or \"skip\""));
    }
    warn(
        on_battery.is_some_and(|wish| wish != "run"),
        "\"on_battery\" is not acted on yet: runs start on battery as well",
    );
    if let (Some(place), None) = (&raw.unlock, &raw.keyfile) {
        return Err(place.error("must name a \"keyfile\""));
    }
    warn(
        raw.unlock.is_some(),
        "\"unlock\" is not acted on yet: an encrypted drive is to be unlocked by hand",
    );
    for given in &raw.commands {
        if given.value.first().is_none_or(String::is_empty) {
            return Err(given.place.error(
                "must be a program and its arguments, such as [\"/usr/bin/logger\", \"done\"]",
            ));
        }
    }
    warn(
        raw.hooks.is_some() && !raw.commands.is_empty(),
        "\"hooks\" are not acted on yet: no program is run",
    );
    Ok(warnings)
}
