//! The page on the drive: what is written when. What it shows is checked with a browser, in the tests of the system.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::edits;
use crate::support::page::{Drive, Scene, names_in, state_of};

#[test]
fn the_page_is_kept_in_line_and_written_only_where_something_is_new() {
    let page = ["history.js", "list.js", "page.css", "page.js", "words.js"];
    let with = |scripts: &[&str]| {
        let mut names: Vec<String> = scripts.iter().chain(&page).map(|&n| n.to_owned()).collect();
        names.sort();
        names
    };
    for on in [Drive::Linking, Drive::Refusing] {
        let mut scene = Scene::new(on).unwrap();
        scene.write("a", "one");
        scene.back_up();
        assert_eq!(names_in(&scene.at("browse")), with(&["1-0.js"]), "{on:?}");
        let first = state_of(&scene);
        for (path, _, about) in &first {
            assert_eq!(about[3], json!(0o100_644), "{}", path.display());
        }
        // `back_up` runs twice: the second run, without changes, writes nothing.
        scene.world.run(None).unwrap();
        assert_eq!(state_of(&scene), first, "{on:?}");

        scene.write("a", "two, longer");
        scene.back_up();
        let second = state_of(&scene);
        let same = first.iter().filter(|file| second.contains(file)).count();
        assert_eq!(
            (second.len(), same),
            (first.len() + 1, first.len() - 1),
            "{on:?}: only the list is another"
        );

        // What is gone comes again, what is stale goes, what is somebody else's stays.
        fs::remove_file(scene.at("browse/1-0.js")).unwrap();
        fs::remove_file(scene.at("browse/page.js")).unwrap();
        fs::write(scene.at("browse/page.css"), "of an older version").unwrap();
        fs::write(scene.at("browse/9-0.js"), "stale").unwrap();
        fs::write(scene.at("browse/2-7.js"), "stale").unwrap();
        fs::write(scene.at("browse/mine.txt"), "mine").unwrap();
        scene.write("a", "three, longer still");
        scene.back_up();
        let mut wanted = with(&["1-0.js", "2-0.js", "3-0.js", "mine.txt"]);
        assert_eq!(names_in(&scene.at("browse")), wanted, "{on:?}");
        let texts = |state: Vec<(PathBuf, String, Value)>| -> BTreeMap<PathBuf, String> {
            state.into_iter().map(|(path, text, _)| (path, text)).collect()
        };
        let (before, now) = (texts(second), texts(state_of(&scene)));
        assert!(
            before
                .iter()
                .all(|(path, text)| path.ends_with("list.js") || now.get(path) == Some(text))
        );

        // All of it may go; without it the next run makes it, also one without changes.
        edits::delete(&scene.at("browse"));
        fs::remove_file(scene.at("browse.html")).unwrap();
        let report = scene.world.run(None).unwrap();
        assert_eq!((report.increment, report.warnings), (None, Vec::new()));
        wanted.retain(|name| name != "mine.txt");
        assert_eq!(names_in(&scene.at("browse")), wanted, "{on:?}");
        assert!(texts(state_of(&scene)).iter().all(|(path, text)| now.get(path) == Some(text)));
        scene.back_up();

        // Turned off, it goes; what is somebody else's stays here, too.
        fs::write(scene.at("browse/mine.txt"), "mine").unwrap();
        let off = |scene: &Scene| scene.world.run_as(|profile, _| profile.browse = false).unwrap();
        off(&scene);
        assert!(!scene.at("browse.html").exists(), "{on:?}");
        assert_eq!(names_in(&scene.at("browse")), ["mine.txt"], "{on:?}");
        scene.write("b", "without a page");
        assert!(off(&scene).increment.is_some());
        assert!(!scene.at("browse.html").exists(), "{on:?}");
        fs::remove_file(scene.at("browse/mine.txt")).unwrap();
    }
}

#[test]
fn what_stands_in_the_way_of_the_page_costs_the_page_alone() {
    for (what, at) in
        [("folder", "browse.html"), ("link", "browse"), ("file", "browse"), ("link", "browse.html")]
    {
        let mut scene = Scene::new(Drive::Linking).unwrap();
        scene.write("a", "one");
        let off = |scene: &Scene| scene.world.run_as(|profile, _| profile.browse = false).unwrap();
        off(&scene);
        let elsewhere = scene.source("../elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        match what {
            "folder" => fs::create_dir(scene.at(at)).unwrap(),
            "link" => symlink(&elsewhere, scene.at(at)).unwrap(),
            _ => fs::write(scene.at(at), "mine").unwrap(),
        }
        scene.write("b", "two");
        let report = scene.world.run(None).unwrap();
        assert!(report.increment.is_some(), "{what} at {at}");
        assert_eq!(names_in(&elsewhere), [""; 0], "{what} at {at}");
        if (what, at) != ("link", "browse.html") {
            let told = report.warnings.iter().any(|w| w.contains("browse.html is not up to date"));
            assert!(told, "{what} at {at}: {:?}", report.warnings);
        }
        scene.world.check_run(&report);
        assert_eq!(names_in(&scene.at(".bkm/stage")), [""; 0], "{what} at {at}");
    }
}
