//! The page that is on the drive, as a person sees it who has nothing but a browser: every state of the
//! source, every version, and nothing that a name could do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use bkm_agent::model::relpath::RelPath;
use bkm_agent::prune::removal::Wish;
use bkm_agent::repository::catalog::document::{Catalog, CatalogEntry, EntryCategory};
use bkm_agent::repository::page::{data, refresh};
use bkm_agent::repository::versioning::Keeping;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::support;
use crate::support::browser::Browser;
use crate::support::edits::{self, Editor, any_edit, keep};
use crate::support::page::{DRIVES, Drive, Scene, names_in, open};

/// The names that the top of the tree shows.
const TOP: &str = "return [...document.querySelectorAll('#tree > ul > li')].map(
    (row) => row.querySelector('.name').textContent);";

/// Opens every folder of the tree, and gives the addresses of all that can be opened.
const LINKS: &str = "
    for (let closed; (closed = document.querySelector('#tree details:not([open])'));) {
        closed.open = true;
        closed.dispatchEvent(new Event('toggle'));
    }
    return [...document.querySelectorAll('#tree a')].map((a) => a.href);";

/// What the page's model says of a point in time: for each file its path and address.
fn files_at(browser: &Browser, point: usize) -> Vec<(Vec<u8>, String)> {
    let script = format!(
        "const {{ history }} = bkm;
         history.tally({point});
         return history.nodes.filter((n) => n.isFile && n.state.more?.link === undefined).map(
             (n) => [n.path.split('/').map(encoded).join('/'), history.addresses(n, n.state)[0]]);"
    );
    let files = browser.eval(&script);
    let files = files.as_array().unwrap().iter();
    files.map(|f| (unescaped(f[0].as_str().unwrap()), f[1].as_str().unwrap().to_owned())).collect()
}

/// The bytes that an address stands for.
fn unescaped(address: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = address.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[test]
fn each_state_is_shown_and_each_version_leads_to_its_file() {
    let Some(browser) = Browser::start("en-GB") else { return };
    for on in DRIVES {
        let Some(mut scene) = Scene::new(on) else { continue };
        scene.write("notes.txt", "one");
        scene.write("letters/dear.txt", "dear");
        scene.write("letters/old/older.txt", "older");
        scene.back_up();
        scene.write("notes.txt", "two, and longer");
        fs::remove_file(scene.source("letters/dear.txt")).unwrap();
        symlink("notes.txt", scene.source("link")).unwrap();
        scene.back_up();
        scene.write("new.txt", "new");
        scene.back_up();

        scene.open_in(&browser);
        assert_eq!(browser.texts(TOP), ["letters", "link", "new.txt", "notes.txt"], "{on:?}");
        browser.eval("document.getElementById('earlier').click();");
        assert_eq!(browser.texts(TOP), ["letters", "link", "notes.txt"], "{on:?}");
        // By the keyboard as well.
        browser.type_into("#when", "\u{e012}");
        assert_eq!(browser.texts(TOP), ["letters", "notes.txt"], "{on:?}");
        let links = browser.texts(LINKS);
        assert_eq!(links.len(), 3, "{on:?}: {links:?}");
        let contents: Vec<String> = links
            .iter()
            .map(|link| {
                browser.go(link);
                browser.text("return document.body.textContent;")
            })
            .collect();
        assert_eq!(contents, ["older", "dear", "one"], "{on:?}");

        // A search finds what is gone, with every version.
        scene.open_in(&browser);
        browser.type_into("#query", "DEAR");
        browser.wait("document.querySelectorAll('#found .hit').length === 1");
        let gone =
            browser.texts("return [...document.querySelectorAll('#found a')].map((a) => a.href);");
        assert_eq!(gone.len(), 1, "{on:?}: {gone:?}");
        browser.go(&gone[0]);
        assert_eq!(browser.text("return document.body.textContent;"), "dear", "{on:?}");
        scene.open_in(&browser);
        browser.type_into("#query", "n?t*.txt");
        browser.wait("document.querySelectorAll('#found .hit').length === 1");
        let versions =
            browser.texts("return [...document.querySelectorAll('#found a')].map((a) => a.href);");
        assert_eq!(versions.len(), 2, "{on:?}: {versions:?}");
        for (version, content) in versions.iter().zip(["two, and longer", "one"]) {
            browser.go(version);
            assert_eq!(browser.text("return document.body.textContent;"), content, "{on:?}");
        }
        assert_eq!(browser.console(), [""; 0], "{on:?}");
    }
}

#[test]
fn whatever_happens_to_a_source_each_address_leads_to_what_it_was() {
    let Some(browser) = Browser::start("en-US") else { return };
    for on in DRIVES {
        let Some(mut scene) = Scene::new(on) else { continue };
        let mut runner = TestRunner::new(proptest::test_runner::Config::default());
        keep(&scene.world.source, "f1");
        let mut editor = Editor::new(&scene.world.source);
        for round in 0..support::number("BKM_BROWSE_ROUNDS", 12) {
            let count = if round == 0 { 60 } else { 12 };
            for _ in 0..count {
                editor.edit(&any_edit().new_tree(&mut runner).unwrap().current());
            }
            keep(&scene.world.source, "f1");
            scene.back_up();
        }
        scene.open_in(&browser);
        check_addresses(&browser, &scene, on);

        // Increments that are removed leave the page, and what others need of them is found where it went.
        let index = scene.world.index();
        let increments = index.increments();
        let going: BTreeSet<u64> =
            increments.iter().rev().skip(1).step_by(2).map(|i| i.sequence).collect();
        let mut stays = increments.iter().map(|i| !going.contains(&i.sequence));
        scene.world.prune(&Wish::Increments(&going), None).unwrap();
        scene.states.retain(|_| stays.next().unwrap());
        if let Some(drive) = &mut scene.drive {
            drive.remount();
        }
        scene.open_in(&browser);
        check_addresses(&browser, &scene, on);
        let left = increments.len() - going.len();
        let scripts = names_in(&scene.at("browse"));
        let scripts = scripts.iter().filter(|name| name.contains('-')).count();
        assert_eq!((scripts, scene.states.len()), (left, left), "{on:?}");
        assert_eq!(browser.console(), [""; 0], "{on:?}");
    }
}

/// Each file of each state is found at the address that the page has for it.
fn check_addresses(browser: &Browser, scene: &Scene, on: Drive) {
    for (point, state) in scene.states.iter().enumerate() {
        let shown: BTreeMap<Vec<u8>, String> = files_at(browser, point).into_iter().collect();
        let files: Vec<_> = state.0.iter().filter(|(_, node)| node.kind == "file").collect();
        assert_eq!(
            shown.keys().collect::<Vec<_>>(),
            files.iter().map(|(path, _)| *path).collect::<Vec<_>>(),
            "{on:?}, point {point}"
        );
        for (path, node) in files {
            let at = scene.at(path_of(&unescaped(&shown[path])));
            let content =
                fs::read(&at).unwrap_or_else(|e| panic!("{on:?}, {point}: {}: {e}", at.display()));
            assert_eq!(
                Some(blake3::hash(&content)),
                node.hash,
                "{on:?}, {point}: {}",
                at.display()
            );
        }
    }
}

/// Names that try to be something else.
const HOSTILE: [&[u8]; 15] = [
    b"</script><script>alert(1)<",
    b"\"><img src=x onerror=alert(2)>",
    b"'><svg onload=alert(3)>",
    b"javascript:alert(4)",
    b"&lt;b&gt;&amp;",
    "line\u{2028}and\u{2029}end".as_bytes(),
    "gpj.\u{202e}exe".as_bytes(),
    b"two\nlines\r\ttab \x1b[31m",
    b"__proto__",
    b"constructor",
    b"100% %2e%2e #1?q=a&b;c+d",
    b"back\\slash and ..",
    b"caf\xe9 not UTF-8 \xff%<b>",
    "emoji \u{1f600} \u{e0041}".as_bytes(),
    b"*[]{}$`${alert(5)}`",
];

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let Some(browser) = Browser::start("en-US") else { return };
    for on in [Drive::Linking, Drive::Refusing] {
        let Some(mut scene) = Scene::new(on) else { continue };
        for (number, name) in HOSTILE.iter().enumerate() {
            let name = path_of(name);
            scene.write(
                Path::new("files").join(name).with_added_extension("txt"),
                &number.to_string(),
            );
            scene
                .write(Path::new("folders").join(name).join("inside.txt"), &format!("in {number}"));
            symlink(name, scene.source(Path::new("files").join(name).with_added_extension("link")))
                .unwrap();
        }
        scene.back_up();
        for name in HOSTILE {
            let name = path_of(name);
            scene.write(Path::new("files").join(name).with_added_extension("txt"), "changed");
        }
        scene.back_up();
        scene.open_in(&browser);
        let links = browser.texts(LINKS);
        assert_eq!(links.len(), 2 * HOSTILE.len(), "{links:?}");
        let base = support::browser::address(&scene.world.repository());
        for link in &links {
            assert!(
                link.starts_with(&format!("{base}/mirror/"))
                    || link.starts_with(&format!("{base}/backup_")),
                "{link}"
            );
            browser.go(link);
            let content = browser.text("return document.body.textContent;");
            assert!(content == "changed" || content.starts_with("in "), "{link}: {content}");
        }
        scene.open_in(&browser);
        for query in ["a", "e", "<", "\"", "x"] {
            browser.eval("document.getElementById('query').value = '';");
            browser.type_into("#query", query);
            browser.wait("!document.getElementById('found').hidden && document.querySelectorAll('#found .hit').length");
        }
        let shown = browser.texts("return bkm.history.nodes.map((n) => shown(n.name));");
        for text in [
            "gpj.\\u{202e}exe.txt",
            "caf\u{fffd} not UTF-8 \u{fffd}%<b>.txt",
            "line\\u{2028}and\\u{2029}end.txt",
        ] {
            assert!(shown.iter().any(|name| name == text), "{text} in {shown:?}");
        }
        // Nothing was made of a name but text.
        let elements = browser.eval("return document.querySelectorAll('img, b, script:not([src]), iframe, [onload], [onerror]').length;");
        assert_eq!(elements, json!(0));
        assert_eq!(browser.console(), [""; 0], "{on:?}");
    }
}

#[test]
fn the_page_speaks_the_readers_language_and_has_his_colours() {
    let mut scene = Scene::new(Drive::Linking).unwrap();
    for number in 0..5 {
        scene.write(format!("{number}.txt"), "text");
    }
    scene.back_up();
    for (language, code, files, hint) in [
        ("ru-RU", "ru", "5 файлов", "Найти файлы по имени"),
        ("de-DE", "en", "5 files", "Find files by name"),
    ] {
        let Some(browser) = Browser::start(language) else { return };
        scene.open_in(&browser);
        assert_eq!(browser.text("return document.documentElement.lang;"), code);
        let summary = browser.text("return document.getElementById('summary').textContent;");
        assert!(summary.starts_with(files), "{summary}");
        assert_eq!(browser.text("return document.getElementById('query').placeholder;"), hint);
        let ground = "return getComputedStyle(document.body).backgroundColor;";
        browser.look((1280, 800), false);
        let light = browser.text(ground);
        browser.look((390, 844), true);
        assert_ne!(light, browser.text(ground));
        // Nothing hangs over the edge of a phone.
        let over = browser.eval(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth;",
        );
        assert_eq!(over, json!(0));
        assert_eq!(browser.console(), [""; 0]);
    }
}

#[test]
fn without_its_data_the_page_says_where_the_files_are() {
    let Some(browser) = Browser::start("en-US") else { return };
    let mut scene = Scene::new(Drive::Linking).unwrap();
    scene.write("a", "one");
    scene.back_up();
    scene.write("a", "two, longer");
    scene.back_up();
    fs::remove_file(scene.at("browse/1-0.js")).unwrap();
    scene.open_in(&browser);
    let summary = browser.text("return document.getElementById('summary').textContent;");
    assert!(summary.contains("What 1 backup brought cannot be shown"), "{summary}");
    edits::delete(&scene.at("browse"));
    // Without its scripts the page is what it is; with them and no list it says so.
    scene.write("a", "three, and longer still");
    scene.back_up();
    fs::remove_file(scene.at("browse/list.js")).unwrap();
    browser.open(&scene.at("browse.html"));
    browser.wait(
        "document.getElementById('summary').textContent.includes('your files are in mirror')",
    );
}

/// A history that is written by the program's own code without a file behind it.
fn synthetic(folder: &Path, files: u64, runs: u64) {
    let begin = jiff::civil::date(2025, 11, 25).at(18, 30, 0, 0);
    fs::create_dir(folder.join("browse")).unwrap();
    for run in 1..=runs {
        let time = begin.checked_add(jiff::Span::new().days(i64::try_from(run).unwrap())).unwrap();
        let changed: Vec<u64> = if run == 1 {
            (0..files).collect()
        } else {
            // Some three hundred a day, now here and now there.
            (0..300).map(|n| (run * 7919 + n * 331) % files).collect()
        };
        let catalog = catalog_of(
            run,
            time,
            changed.into_iter().map(|n| (scale_path(n), 1000 + n * 37 + run)),
        );
        let text = data::run(&catalog, Keeping::Hardlink).unwrap();
        fs::write(folder.join(format!("browse/{run}-0.js")), text).unwrap();
    }
    let list = data::list(Keeping::Hardlink, (1..=runs).map(|run| (run, 0))).unwrap();
    fs::write(folder.join("browse/list.js"), list).unwrap();
    for (path, text) in refresh::PAGE {
        fs::write(folder.join(path), text).unwrap();
    }
}

fn scale_path(n: u64) -> String {
    format!("Year {}/Album {:03}/IMG_{n:06}.jpg", 2000 + n % 25, n / 25 % 80)
}

fn catalog_of(
    sequence: u64,
    time: jiff::civil::DateTime,
    files: impl Iterator<Item = (String, u64)>,
) -> Catalog {
    let name = format!("backup_{}", time.strftime("%Y%m%d_%H%M%S"));
    let seconds = time.to_zoned_datetime(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
    let entry = |(path, size): (String, u64)| {
        let entry: CatalogEntry = serde_json::from_value(json!({
            "size": size, "mtime": seconds, "mtime_iso": "", "mtime_date": "", "category": "tracked",
            "backup_path": format!("track/{path}"),
        }))
        .unwrap();
        assert_eq!(entry.category, EntryCategory::Tracked);
        (RelPath::new(path.as_bytes()).unwrap(), entry)
    };
    Catalog {
        version: "1.0".to_owned(),
        backup_type: "incremental".to_owned(),
        backup_name: name,
        backup_timestamp: format!("{}+01:00", time.strftime("%Y-%m-%dT%H:%M:%S")),
        sequence,
        status: bkm_agent::repository::status::Status::Complete,
        file_catalog: files.map(entry).collect(),
        folders: BTreeMap::new(),
        removed_folders: Vec::new(),
        ended: Vec::new(),
        gone: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
        summary: bkm_agent::repository::catalog::document::Summary::default(),
        statistics: bkm_agent::repository::catalog::document::Statistics::default(),
    }
}

#[test]
fn a_hundred_thousand_files_and_a_year_of_backups_are_shown_at_once() {
    let Some(browser) = Browser::start("en-US") else { return };
    let folder = tempfile::tempdir().unwrap();
    synthetic(folder.path(), 100_000, 365);
    let mut times = Vec::new();
    for _ in 0..3 {
        open(&browser, folder.path());
        let time = |script: &str| browser.eval(script).as_f64().unwrap();
        let paint =
            time("return performance.getEntriesByName('first-contentful-paint')[0].startTime;");
        let ready = time("return performance.getEntriesByName('bkm-ready')[0].startTime;");
        let step = time(
            "const begun = performance.now();
             document.getElementById('earlier').click();
             return performance.now() - begun;",
        );
        let search = time(
            "const begun = performance.now(); bkm.history.search('img_0999', 200); return performance.now() - begun;",
        );
        println!(
            "first paint {paint:.0} ms, tree {ready:.0} ms, one backup back {step:.0} ms, search {search:.0} ms"
        );
        times.push((paint, ready));
    }
    let best = |of: fn(&(f64, f64)) -> f64| times.iter().map(of).fold(f64::MAX, f64::min);
    // What is promised is 2 s to the first paint; a busy machine gets more for the tree.
    assert!(best(|t| t.0) < 2_000.0, "{times:?}");
    assert!(best(|t| t.1) < 15_000.0, "{times:?}");
    assert_eq!(
        browser.text("return document.getElementById('summary').textContent;").split(',').next(),
        Some("100")
    );
    assert_eq!(browser.texts(TOP).len(), 25);
    assert_eq!(browser.console(), [""; 0]);
}

/// A family's documents over some months, for the pictures.
fn pretty(folder: &Path) {
    let at = |day: i32, hour: i8| {
        let begin = jiff::civil::date(2026, 6, 1).at(hour, 12, 40, 0);
        begin.checked_add(jiff::Span::new().days(day)).unwrap()
    };
    let photos = |album: &str, from: u64, count: u64| -> Vec<(String, u64)> {
        (from..from + count)
            .map(|n| (format!("Photos/{album}/DSC_{n:04}.jpg"), 3_100_000 + n * 7919 % 2_400_000))
            .collect()
    };
    let mut runs: Vec<Vec<(String, u64)>> = Vec::new();
    let text = |path: &str, size: u64| (path.to_owned(), size);
    let mut first = photos("2025 Norway", 1, 214);
    first.extend(photos("2026 Garden", 300, 61));
    first.extend(
        [
            ("Letters/Landlord.odt", 18_200),
            ("Letters/School.odt", 14_900),
            ("Taxes/2024.pdf", 412_000),
            ("Taxes/2025.pdf", 398_000),
            ("Thesis/chapter 1.odt", 61_000),
            ("Thesis/chapter 2.odt", 22_000),
            ("Thesis/sources.bib", 9_400),
            ("Recipes/Щи.txt", 2_100),
            ("Recipes/Käsespätzle.txt", 1_700),
            ("Household budget.ods", 48_300),
            ("Passport scan.pdf", 1_240_000),
            ("To do.txt", 730),
        ]
        .map(|(path, size)| text(path, size)),
    );
    runs.push(first);
    for run in 1..90_u64 {
        let mut changed = vec![text("To do.txt", 730 + run * 11 % 400)];
        if run % 2 == 0 {
            changed.push(text("Thesis/chapter 2.odt", 22_000 + run * 710));
        }
        if run % 5 == 0 {
            changed.push(text("Household budget.ods", 48_300 + run * 130));
            changed.push(text("Thesis/chapter 1.odt", 61_000 + run * 90));
        }
        if run % 11 == 0 {
            changed.extend(photos("2026 Garden", 361 + run, 3 + run % 9 * 4));
        }
        if run == 40 {
            changed.extend(photos("2026 Lake", 1000, 132));
        }
        runs.push(changed);
    }
    fs::create_dir(folder.join("browse")).unwrap();
    for (run, files) in (1..).zip(&runs) {
        let hour = [8, 18, 21][usize::try_from(run).unwrap() % 3];
        let time = at(i32::try_from(run).unwrap() * 2 - 2, hour);
        let catalog = catalog_of(run, time, files.iter().cloned());
        let text = data::run(&catalog, Keeping::Hardlink).unwrap();
        fs::write(folder.join(format!("browse/{run}-0.js")), text).unwrap();
    }
    let list = data::list(Keeping::Hardlink, (1..=runs.len() as u64).map(|run| (run, 0))).unwrap();
    fs::write(folder.join("browse/list.js"), list).unwrap();
    for (path, text) in refresh::PAGE {
        fs::write(folder.join(path), text).unwrap();
    }
}

/// Takes the pictures of the page in `docs/images` anew: `make screenshots`.
#[test]
#[ignore = "it writes to docs/images"]
fn pictures() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("Documents");
    fs::create_dir(&folder).unwrap();
    pretty(&folder);
    let images = support::project_file("docs/images");
    let desk = (1280, 800);
    let phone = (390, 844);
    for (name, language, size, dark, act) in [
        ("light", "en-GB", desk, false, TREE),
        ("dark", "en-GB", desk, true, TREE),
        ("search", "en-GB", desk, false, SEARCH),
        ("ru", "ru-RU", desk, false, TREE),
        ("phone-light", "en-GB", phone, false, TREE),
        ("phone-dark", "en-GB", phone, true, SEARCH),
    ] {
        let Some(browser) = Browser::start(language) else { return };
        browser.look(size, dark);
        open(&browser, &folder);
        browser.eval(act);
        browser.wait(
            "!document.getElementById('query').value || document.querySelector('#found .hit')",
        );
        let file = images.join(format!("browse-{name}.png"));
        fs::write(file.with_extension("base64"), browser.picture()).unwrap();
        let small = format!(
            "base64 -d '{0}.base64' | convert png:- -strip +dither -colors 128 'PNG8:{0}.png' && rm '{0}.base64'",
            file.with_extension("").display()
        );
        let made = std::process::Command::new("sh").args(["-c", &small]).status().unwrap();
        assert!(made.success(), "{small}");
        println!("{}", file.display());
    }
}

const TREE: &str = "
    document.getElementById('earlier').click();
    for (const name of ['Thesis', 'Recipes']) {
        const row = [...document.querySelectorAll('#tree summary')].find((s) => s.querySelector('.name').textContent === name);
        row.click();
        row.parentElement.dispatchEvent(new Event('toggle'));
    }
    [...document.querySelectorAll('.versions')].find((b) => b.closest('li').querySelector('.name').textContent === 'chapter 1.odt').click();
    document.activeElement.blur();";

const SEARCH: &str = "
    const query = document.getElementById('query');
    query.value = 'budget';
    query.dispatchEvent(new Event('input'));";
