//! `search` over two drives of one profile.

use std::fs;

use serde_json::json;

use crate::support::drive::Drive;
use crate::support::home::Home;
use crate::support::udevd;

#[test]
fn two_drives_of_one_profile_one_of_them_away() {
    let Some(_turn) = udevd::turn(&[]) else { return };
    let home = Home::new();
    home.profile(
        "docs",
        &json!({ "drive": { "label": "TURNS" }, "src": "~/work", "dist": "B/docs" }),
    );
    home.write("work/a.txt", "one");
    let mut first = Drive::ext4(home.folder(), "TURNS");
    first.attach();
    home.done(&["run"]);
    home.write("work/a.txt", "second");
    home.done(&["run"]);
    first.detach();
    home.write("work/a.txt", "the third");
    let folder = home.at("other");
    fs::create_dir(&folder).unwrap();
    let mut second = Drive::ext4(&folder, "TURNS");
    let node = second.attach();
    home.done(&["pair", node.to_str().unwrap(), "--profile", "docs"]);
    home.done(&["run"]);
    let found = home.json(&["versions", "a.txt", "--json"]);
    let mut rows: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|v| {
            (
                v["here"].as_bool().unwrap(),
                v["size"].as_u64().unwrap(),
                v["current"].as_bool().unwrap(),
            )
        })
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [(false, 3, false), (false, 6, true), (true, 9, true)]);
    let uuids: Vec<_> = found.as_array().unwrap().iter().map(|v| v["drive_uuid"].clone()).collect();
    assert!(
        uuids.contains(&first.uuid().into()) && uuids.contains(&second.uuid().into()),
        "{found}"
    );
    assert!(found[0]["last_seen"].is_string(), "{found}");
    let shown = home.done(&["search"]);
    assert!(shown.contains("docs on TURNS, last seen 20"), "{shown}");
    assert!(shown.contains("docs → "), "{shown}");
    second.detach();
    let away = home.json(&["search", "--json"]);
    assert_eq!(away["total"], 3);
    assert!(away["repositories"].as_array().unwrap().iter().all(|r| r["here"] == false), "{away}");
}
