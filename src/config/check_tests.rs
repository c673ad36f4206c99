//! What profiles mean, and the exact words for what is wrong with them.

use super::*;

fn here() -> Surroundings {
    Surroundings {
        home: Some("/home/ann".into()),
        user: "ann".to_owned(),
        host: "desk:1".to_owned(),
    }
}

fn load(text: &str) -> Profile {
    check(Path::new("/x/p.json"), "p".to_owned(), text, &here()).unwrap()
}

fn error(text: &str) -> String {
    check(Path::new("/x/p.json"), "p".to_owned(), text, &here()).unwrap_err().to_string()
}

/// The message for a profile that is fine but for these fields in line 2.
fn error_in(fields: &str) -> String {
    error(&format!("{{ \"src\": \"/s\", \"dist\": \"/d\",\n{fields} }}"))
}

#[test]
fn a_file_of_the_python_tool_is_a_profile() {
    let profile = load(
        r#"{ "src": "~/Documents", "dist": "~/Backups", "include_dirs": ["Projects","Notes"],
        "track_dirs":["Projects"], "include_files":["todo.txt","readme.md"],
        "track_files":["todo.txt"], "exclude_dirs":["Temp","Cache"],
        "exclude_files":["*.log","*.tmp"], "max_workers":8, "preserved_dirs": ["a"],
        "directory_priority": "track" }"#,
    );
    assert_eq!(profile.source, Path::new("/home/ann/Documents"));
    assert_eq!(profile.dist, Dist::Folder("/home/ann/Backups".into()));
    assert_eq!(profile.max_workers, Some(8));
    assert!(profile.one_file_system && profile.private && profile.browse);
    assert_eq!(profile.after, After::AsFound);
}

#[test]
fn with_a_drive_dist_is_a_folder_on_it() {
    let profile = load(r#"{ "$schema": "x", "src": "~", "drive": { "label": "PHOTOS" } }"#);
    assert_eq!(profile.source, Path::new("/home/ann"));
    let Dist::Drive { drive, path, given: false } = profile.dist else {
        panic!("a drive was given");
    };
    assert_eq!(drive.label.as_deref(), Some("PHOTOS"));
    assert_eq!(path, Path::new("Backups/ann@desk_1/p"));

    let profile = load(
        r#"{ "src": "/s", "dst": "./My/Backup/", "drive": { "uuid": "1", "serial": "2" },
        "min_interval": "90m", "every": "2w", "after": "keep", "private": false,
        "browse": false, "one_file_system": false }"#,
    );
    assert!(matches!(&profile.dist, Dist::Drive { path, .. } if path == Path::new("My/Backup")));
    assert_eq!(profile.min_interval, Some(Duration::from_mins(90)));
    assert_eq!(profile.every, Some(Duration::from_hours(14 * 24)));
    assert_eq!(profile.after, After::Keep);
    assert!(!profile.private && !profile.one_file_system && !profile.browse);
}

#[test]
fn what_the_agent_is_to_do_is_read() {
    let profile = load(
        r#"{ "src": "/s", "drive": { "label": "A" }, "after": "power-off", "remind_after": "14d",
        "pairing": "required", "on_battery": "ask", "unlock": { "keyfile": "~/k" },
        "hooks": { "before": ["a"], "after": ["b", "c"], "failed": ["d"], "timeout": "30s" } }"#,
    );
    assert_eq!(profile.after, After::PowerOff);
    assert_eq!(profile.remind_after, Some(Duration::from_hours(14 * 24)));
    assert_eq!((profile.pairing, profile.on_battery), (Pairing::Required, OnBattery::Ask));
    assert_eq!(profile.keyfile.as_deref(), Some(Path::new("/home/ann/k")));
    assert_eq!(profile.hooks.before, ["a"]);
    assert_eq!(profile.hooks.after, ["b", "c"]);
    assert_eq!(profile.hooks.failed, ["d"]);
    assert_eq!(profile.hooks.timeout, Duration::from_secs(30));
    let usual = load(r#"{ "src": "/s", "drive": { "label": "A" } }"#);
    assert_eq!((usual.pairing, usual.on_battery), (Pairing::FirstUse, OnBattery::Run));
    assert_eq!((usual.keyfile, usual.remind_after, usual.hooks), (None, None, Hooks::default()));
}

#[test]
fn retention_is_what_its_rules_say() {
    let profile = load(
        r#"{ "src": "/s", "dist": "/d",
        "retention": { "keep_last": 10, "keep_within": "30d", "keep_hourly": 1, "keep_daily": 14,
            "keep_weekly": 8, "keep_monthly": 24, "keep_yearly": 5 } }"#,
    );
    let all = Retention {
        last: 10,
        within: Some(Duration::from_hours(30 * 24)),
        hourly: 1,
        daily: 14,
        weekly: 8,
        monthly: 24,
        yearly: 5,
    };
    assert_eq!(profile.retention, all);
    for off in
        [r#"{ "src": "/s", "dist": "/d", "retention": {} }"#, r#"{ "src": "/s", "dist": "/d" }"#]
    {
        assert!(load(off).retention.is_off());
    }
}

#[test]
fn how_much_may_change_at_once_is_half_and_a_thousand_where_it_is_not_given() {
    let limits =
        |given: &str| load(&format!(r#"{{ "src": "/s", "dist": "/d"{given} }}"#)).mass_change;
    assert_eq!(limits(""), MassChange { percent: 50, files: 1000 });
    assert_eq!(limits(r#", "mass_change": {}"#), MassChange::default());
    let percent = limits(r#", "mass_change": { "percent": 100 }"#);
    assert_eq!(percent, MassChange { percent: 100, files: 1000 });
    let files = limits(r#", "mass_change": { "percent": 1, "files": 0 }"#);
    assert_eq!(files, MassChange { percent: 1, files: 0 });
}

#[test]
fn errors_name_line_and_field() {
    for (fields, message) in [
        (r#""exlude_dirs": []"#, r#"unknown field "exlude_dirs"; did you mean "exclude_dirs"?"#),
        (
            r#""drive": { "labl": "A" }"#,
            r#"unknown field "drive.labl"; did you mean "drive.label"?"#,
        ),
        (
            r#""drive": { "colour": "red" }"#,
            r#"unknown field "drive.colour"; the fields are uuid, label, partuuid, partlabel, serial"#,
        ),
        (r#""src": "/t""#, r#""src" is given twice, first in line 1"#),
        (r#""include_dirs": "a""#, r#""include_dirs" must be a list of texts, such as ["a", "b"]"#),
        (
            r#""include_dirs": ["a", 1]"#,
            r#""include_dirs" must be a list of texts, such as ["a", "b"]"#,
        ),
        (r#""private": "no""#, r#""private" must be true or false"#),
        (r#""max_workers": -1"#, r#""max_workers" must be a whole number, 0 or more"#),
        (r#""max_workers": 0"#, r#""max_workers" must be from 1 to 64"#),
        (r#""max_workers": 65"#, r#""max_workers" must be from 1 to 64"#),
        (
            r#""every": "1 day""#,
            r#""every" must be a whole number and a unit, such as "90s", "30m", "6h", "1d" or "2w""#,
        ),
        (r#""every": "0s""#, r#""every" must be longer than nothing"#),
        (r#""min_interval": 6"#, r#""min_interval" must be a text in quotes"#),
        (r#""after": "eject""#, r#""after" must be "as-found", "unmount", "power-off" or "keep""#),
        (r#""directory_priority": "both""#, r#""directory_priority" must be "track" or "include""#),
        (r#""dst": "/e""#, r#""dst" is another name for "dist"; only one of them can be given"#),
        (
            r#""drive": {}"#,
            r#""drive" must say which drive, by one or more of "uuid", "label", "partuuid", "partlabel", "serial""#,
        ),
        (r#""drive": { "label": "" }"#, r#""drive.label" must not be empty"#),
        (r#""drive": "PHOTOS""#, r#""drive" must be an object in braces, { … }"#),
        (
            r#""track_files": ["../a"]"#,
            r#""track_files" holds the pattern "../a", which cannot be used: ".." leads outside the source"#,
        ),
        (
            r#""retention": { "keep_last": "10" }"#,
            r#""retention.keep_last" must be a whole number, 0 or more"#,
        ),
        (
            r#""hooks": { "before": [] }"#,
            r#""hooks.before" must be a program and its arguments, such as ["/usr/bin/logger", "done"]"#,
        ),
        (r#""hooks": { "timeout": "0s" }"#, r#""hooks.timeout" must be longer than nothing"#),
        (r#""unlock": {}"#, r#""unlock" must name a "keyfile""#),
        (r#""on_battery": "no""#, r#""on_battery" must be "run", "ask" or "skip""#),
        (r#""mass_change": { "percent": 0 }"#, r#""mass_change.percent" must be from 1 to 100"#),
        (r#""mass_change": { "percent": 101 }"#, r#""mass_change.percent" must be from 1 to 100"#),
        (r#""pairing": "on""#, r#""pairing" must be "first-use", "required" or "off""#),
    ] {
        assert_eq!(error_in(fields), format!("/x/p.json:2: {message}"));
    }
}

#[test]
fn the_line_is_that_of_the_value() {
    assert_eq!(
        error("{\n  \"src\": \"/s\",\n  \"exlude_dirs\": [],\n \"dist\": \"/d\" }"),
        "/x/p.json:3: unknown field \"exlude_dirs\"; did you mean \"exclude_dirs\"?"
    );
    assert_eq!(
        error("{\n  \"include_dirs\": [\n    \"a\",\n    5\n  ] }"),
        "/x/p.json:4: \"include_dirs\" must be a list of texts, such as [\"a\", \"b\"]"
    );
    assert_eq!(
        error("{ \"src\": \"/s\",\n  \"dist\": \"/d\",\n}"),
        "/x/p.json:3: not valid JSON: trailing comma (column 1)"
    );
    assert_eq!(error("[]"), "/x/p.json:1: a profile is one JSON object in braces, { … }");
}

#[test]
fn places_must_be_plain() {
    for (text, message) in [
        (r#"{ "dist": "/d" }"#, r#": "src" is missing: the folder to back up"#),
        (
            r#"{ "src": "/s" }"#,
            r#": "dist" is missing: the folder to back up to; or name a drive, as in "drive": { "label": "PHOTOS" }"#,
        ),
        (
            r#"{ "src": "Documents", "dist": "/d" }"#,
            r#":1: "src" must be an absolute path, or start with "~/""#,
        ),
        (r#"{ "src": "~bob/x", "dist": "/d" }"#, r#":1: "src" can use "~" only for your own home"#),
        (
            r#"{ "src": "/s", "dist": "d" }"#,
            r#":1: "dist" must be an absolute path, or start with "~/""#,
        ),
        (r#"{ "src": "/s", "dist": "/d/../e" }"#, r#":1: "dist" must not contain "..""#),
        (r#"{ "src": "/s", "dist": "/s/" }"#, r#":1: "dist" is the same folder as "src""#),
        (r#"{ "src": "/s", "dist": "/" }"#, r#":1: "dist" must name a folder of its own"#),
        (
            r#"{ "src": "/s", "dist": "/mnt/b", "drive": { "label": "A" } }"#,
            r#":1: "dist" must be relative: with "drive" it is a folder on the drive, wherever that is mounted"#,
        ),
        (
            r#"{ "src": "/s", "dist": "a/../..", "drive": { "label": "A" } }"#,
            r#":1: "dist" must not contain "..""#,
        ),
        (
            r#"{ "src": "/s", "dist": ".", "drive": { "label": "A" } }"#,
            r#":1: "dist" must name a folder on the drive, not the drive itself"#,
        ),
    ] {
        assert_eq!(error(text), format!("/x/p.json{message}"));
    }
}

#[test]
fn the_schema_has_the_fields_that_the_parser_knows() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../config/profile.schema.json")).unwrap();
    assert_same_fields(&schema, "");
    for object in ["drive", "retention", "unlock", "hooks", "mass_change"] {
        assert_same_fields(&schema["properties"][object], object);
    }
}

/// Gives a field that no object has, to be told those that it could have.
fn assert_same_fields(schema: &serde_json::Value, object: &str) {
    let text = if object.is_empty() {
        r#"{ "?": 0 }"#.to_owned()
    } else {
        format!(r#"{{ "{object}": {{ "?": 0 }} }}"#)
    };
    let error = check(Path::new("p"), "p".to_owned(), &text, &here()).unwrap_err();
    let ConfigError::UnknownField { mut known, .. } = error else {
        panic!("{error}");
    };
    known.sort_unstable();
    let properties = schema["properties"].as_object().unwrap();
    let mut described: Vec<&str> = properties.keys().map(String::as_str).collect();
    described.sort_unstable();
    assert_eq!(known, described, "in {object:?}");
    assert_eq!(schema["additionalProperties"], false, "in {object:?}");
    for (name, property) in properties {
        let text = property["description"].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{object}.{name} is not described");
    }
}

#[test]
fn the_samples_are_profiles() {
    for text in
        [include_str!("../../config/usb-stick.json"), include_str!("../../config/folder.json")]
    {
        load(text);
    }
    let shipped = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap();
    for file in shipped.map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            matches!(name, "usb-stick.json" | "folder.json" | "profile.schema.json" | "README.md"),
            "{name} is not tested"
        );
    }
}
