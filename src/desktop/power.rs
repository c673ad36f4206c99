//! Whether the computer runs on battery, as the kernel tells it.
//!
//! It reads `/sys/class/power_supply` alone.

use std::fs;
use std::path::Path;

/// Whether a battery of the computer itself is being emptied, and no mains is there. Of batteries in mice
/// and headsets nothing depends.
pub fn on_battery() -> bool {
    on_battery_in(Path::new("/sys/class/power_supply"))
}

fn on_battery_in(folder: &Path) -> bool {
    let Ok(supplies) = fs::read_dir(folder) else {
        return false;
    };
    let mut discharging = false;
    for supply in supplies.flatten() {
        let read = |name: &str| {
            let text = fs::read_to_string(supply.path().join(name)).unwrap_or_default();
            text.trim().to_owned()
        };
        match read("type").as_str() {
            "Mains" | "USB" if read("online") == "1" => return false,
            "Battery" if read("scope") != "Device" => {
                discharging |= read("status") == "Discharging";
            }
            _ => {}
        }
    }
    discharging
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_computers_own_battery_counts_and_only_without_mains() {
        let dir = tempfile::tempdir().unwrap();
        let set = |supply: &str, name: &str, value: &str| {
            fs::create_dir_all(dir.path().join(supply)).unwrap();
            fs::write(dir.path().join(supply).join(name), format!("{value}\n")).unwrap();
        };
        assert!(!on_battery_in(&dir.path().join("none")));
        assert!(!on_battery_in(dir.path()), "a desktop computer has none");
        set("mouse", "type", "Battery");
        set("mouse", "scope", "Device");
        set("mouse", "status", "Discharging");
        assert!(!on_battery_in(dir.path()));
        set("BAT0", "type", "Battery");
        set("BAT0", "status", "Discharging");
        assert!(on_battery_in(dir.path()));
        set("AC", "type", "Mains");
        set("AC", "online", "0");
        assert!(on_battery_in(dir.path()));
        set("AC", "online", "1");
        assert!(!on_battery_in(dir.path()));
        set("AC", "online", "0");
        set("BAT0", "status", "Full");
        assert!(!on_battery_in(dir.path()));
    }
}
