//! Homes with hooks, and what the hooks were told.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::home::Home;

/// Records arguments, environment, folder and input below the name of the event.
pub(crate) const RECORD: &str = r#"
printf '%s\n' "$@" >"got/$BKM_EVENT.arguments"
env -0 >"got/$BKM_EVENT.environment"
cat >"got/$BKM_EVENT.input"
"#;

/// A home whose profile `docs` has these hooks.
pub(crate) fn home_with(hooks: &Value) -> Home {
    let home = Home::with_docs();
    set_hooks(&home, hooks);
    home.write("record.sh", RECORD);
    std::fs::create_dir(home.at("got")).unwrap();
    home
}

pub(crate) fn set_hooks(home: &Home, hooks: &Value) {
    set_profile(home, &json!({ "src": "~/work", "dist": "~/there/backup", "hooks": hooks }));
}

pub(crate) fn set_profile(home: &Home, profile: &Value) {
    home.profile("docs", profile);
    // Whatever the umask here is.
    let file = home.at("config/bkm-agent/profiles/docs.json");
    std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
}

pub(crate) fn shell(script: &str) -> Value {
    json!(["/bin/sh", "-c", script])
}

pub(crate) fn variable(home: &Home, event: &str, name: &str) -> Option<String> {
    let environment = home.read(&format!("got/{event}.environment"));
    let start = format!("{name}=");
    environment.split('\0').find_map(|pair| pair.strip_prefix(&start)).map(str::to_owned)
}

pub(crate) fn input(home: &Home, event: &str) -> Value {
    serde_json::from_str(&home.read(&format!("got/{event}.input"))).unwrap()
}
