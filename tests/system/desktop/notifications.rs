//! Notifications on a real message bus: what reaches the service, how often, and which clicks come back.
//!
//! The library finds the bus by the environment, which a test cannot change for itself: each test starts
//! itself once more, with the bus in its environment, and what it does there is its second half.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bkm_agent::notify::notifications::Notifications;
use bkm_agent::notify::texts::ended::{self, Ended, Removal, Run};
use bkm_agent::notify::texts::progress::{self, Progress};
use bkm_agent::notify::texts::text::{Act, Text};
use bkm_agent::notify::texts::{trouble, waiting};
use bkm_agent::text::language::Language;
use tokio::sync::mpsc::UnboundedReceiver;
use zbus::Variant;

use crate::support::desktop::{Bus, Desktop, Service, Shown};
use crate::support::needs::skipped;
use crate::support::{self, process};

const SERVICE: &str = "org.freedesktop.Notifications";

const OBJECT: &str = "/org/freedesktop/Notifications";

const BUTTONS: &str = r#"{"capabilities": "body body-markup actions"}"#;

const PLAIN: &str = r#"{"capabilities": "body"}"#;

/// Set in the second half: the folder of the test.
const FOLDER: &str = "BKM_NOTIFICATIONS_TEST";

/// Runs `scenario`, the calling test, with a bus of its own as the session bus.
fn on_a_bus(scenario: impl AsyncFnOnce(Stage)) {
    if let Ok(folder) = std::env::var(FOLDER) {
        let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap();
        let stage = Stage { address, folder: folder.into() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(scenario(stage));
        return;
    }
    if let Some(why) = Desktop::missing() {
        return skipped(&why);
    }
    let bus = Bus::start();
    let folder = tempfile::tempdir().unwrap();
    let output = process::run(
        Command::new(std::env::current_exe().unwrap())
            .args([&support::this_test(), "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .env("DBUS_SESSION_BUS_ADDRESS", &bus.address),
    );
    assert!(output.contains("1 passed"), "{output}");
}

struct Stage {
    address: String,
    folder: PathBuf,
}

impl Stage {
    /// A notification service; `parameters` says what it can do.
    fn service(&self, parameters: &str) -> Service {
        static STARTED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Service::start(&self.address, &self.folder.join(format!("{n}.log")), parameters)
    }
}

/// Everything that was handed over has reached the service, or was given up.
async fn settled(notifications: &Notifications) {
    let start = Instant::now();
    notifications.flush(process::PATIENCE).await;
    assert!(start.elapsed() < process::PATIENCE, "it hangs");
}

/// The only text that was shown since `before` others.
fn only(service: &Service, before: usize) -> Shown {
    let mut shown = service.shown();
    assert_eq!(shown.len(), before + 1, "{shown:#?}");
    shown.pop().unwrap()
}

/// What the user of the mock does: a signal of the service to everybody, or to `destination` alone.
async fn signal(member: &str, id: u32, what: Variant<'_>, destination: Option<&str>) {
    let connection = zbus::Connection::session().await.unwrap();
    let signature = if member == "ActionInvoked" { "us" } else { "uu" };
    let mut details = std::collections::HashMap::new();
    if let Some(destination) = destination {
        details.insert("destination", Variant::from(destination));
    }
    connection
        .call_method(
            Some(SERVICE),
            OBJECT,
            Some("org.freedesktop.DBus.Mock"),
            "EmitSignalDetailed",
            &(SERVICE, member, signature, vec![Variant::from(id), what], details),
        )
        .await
        .unwrap();
}

async fn click(id: u32, action: &str) {
    signal("ActionInvoked", id, Variant::from(action), None).await;
}

/// The next choice that was heard.
async fn chosen(choices: &mut UnboundedReceiver<(u64, Act)>) -> (u64, Act) {
    tokio::time::timeout(process::PATIENCE, choices.recv()).await.unwrap().unwrap()
}

fn started() -> Text {
    progress::started(Language::English, "docs", "PHOTOS")
}

fn copying(files: u64) -> Text {
    let how_far = Progress::Copying { bytes: files, of_bytes: 100, files, of_files: 100 };
    progress::progress(Language::English, "docs", "PHOTOS", &how_far)
}

fn finished(removal: Removal) -> Text {
    let ended = Ended::Complete(Box::default());
    let run = Run { profile: "docs", ended: &ended, known: &[] };
    ended::ended(Language::English, "<PHOTOS>", &[run], removal)
}

#[test]
fn one_notification_shows_a_whole_run_with_hints_and_buttons() {
    on_a_bus(async |stage| {
        let service = stage.service(BUTTONS);
        let (notifications, _choices) = Notifications::start(Language::English);
        notifications.show(7, started());
        settled(&notifications).await;
        let Shown { replaces, line, .. } = only(&service, 0);
        assert_eq!(replaces, 0);
        assert!(line.contains(r#""Backup started" "docs → PHOTOS. Please"#), "{line}");
        assert!(line.contains(r#"["stop", "Stop"]"#) && line.contains(r#""urgency": 1"#), "{line}");
        assert!(!line.contains(r#""value""#), "{line}");

        notifications.show(7, copying(47));
        settled(&notifications).await;
        let Shown { replaces, line, .. } = only(&service, 1);
        assert_eq!(replaces, 1);
        assert!(line.contains(r#""Backing up: 47 %""#), "{line}");
        assert!(line.contains(r#""value": 47"#) && line.contains(r#""urgency": 0"#), "{line}");
        assert!(line.contains(r#"["stop", "Stop"]"#), "{line}");

        notifications.show(7, finished(Removal::EjectFirst));
        settled(&notifications).await;
        let Shown { replaces, line, .. } = only(&service, 2);
        assert_eq!(replaces, 1);
        let buttons =
            r#"["default", "Open folder", "open-folder", "Open folder", "eject", "Eject"]"#;
        assert!(line.contains(buttons) && line.contains(r#""urgency": 1"#), "{line}");
        assert!(!line.contains(r#""value""#) && line.contains("&lt;PHOTOS&gt;"), "{line}");

        let refused = trouble::refused(Language::English, "docs", "PHOTOS", "Why.", "What to do.");
        notifications.show(8, refused);
        settled(&notifications).await;
        let Shown { replaces, line, .. } = only(&service, 3);
        assert_eq!(replaces, 0, "another key is another notification");
        assert!(line.contains("[]") && line.contains(r#""urgency": 2"#), "{line}");
    });
}

#[test]
fn buttons_are_offered_only_where_they_work() {
    on_a_bus(async |stage| {
        let service = stage.service(PLAIN);
        let (notifications, choices) = Notifications::start(Language::English);
        notifications.show(1, finished(Removal::EjectFirst));
        settled(&notifications).await;
        let line = only(&service, 0).line;
        assert!(line.contains(" [] ") && line.contains("<PHOTOS>"), "no markup either: {line}");

        drop(service);
        let service = stage.service(BUTTONS);
        notifications.forget(1);
        let (russian, unread) = Notifications::start(Language::Russian);
        russian.show(1, started());
        settled(&russian).await;
        let line = only(&service, 0).line;
        assert!(line.contains(r#"["stop", "Остановить"]"#), "{line}");

        drop(unread);
        russian.show(1, started());
        settled(&russian).await;
        let line = only(&service, 1).line;
        assert!(line.contains(" [] "), "nobody would hear it: {line}");

        notifications.show(2, started());
        settled(&notifications).await;
        let line = only(&service, 2).line;
        assert!(line.contains(r#"["stop", "Stop"]"#), "the new service can do more: {line}");
        drop(choices);
    });
}

#[test]
fn progress_is_shown_once_a_second_and_its_last_text_always() {
    on_a_bus(async |stage| {
        let service = stage.service(BUTTONS);
        let (notifications, _choices) = Notifications::start(Language::English);
        let start = Instant::now();
        notifications.show(1, started());
        let mut files = 0;
        while start.elapsed() < Duration::from_millis(2500) {
            files += 1;
            notifications.show(1, copying(files.min(98)));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(files > 20, "as often as one likes");
        notifications.show(1, copying(99));
        // Nothing else is handed over: the last one is shown by itself.
        let last = |service: &Service| service.shown().pop().unwrap().line;
        while !last(&service).contains("Backing up: 99 %") {
            assert!(start.elapsed() < process::PATIENCE, "{}", last(&service));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let shown = service.shown();
        let seconds = start.elapsed().as_secs();
        assert!(shown.len() >= 3, "{shown:#?}");
        assert!(shown.len() as u64 <= 2 + seconds, "{seconds} s: {shown:#?}");
        assert!(shown[1..].iter().all(|shown| shown.replaces == 1), "{shown:#?}");

        // A text that waits gives way to one that matters, which does not wait.
        let before = shown.len();
        notifications.show(1, copying(100));
        notifications.show(1, finished(Removal::Safe));
        settled(&notifications).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(only(&service, before).line.contains("Backup finished"));
    });
}

#[test]
fn a_click_is_heard_however_quick_it_is() {
    // A service whose user is faster than its own answer.
    const QUICK: &str = "
self.clicks = getattr(self, 'clicks', 0) + 1
ret = self.clicks
self.EmitSignal('', 'ActionInvoked', 'us', [ret, 'stop'])
";
    on_a_bus(async |stage| {
        let _service = stage.service(BUTTONS);
        let connection = zbus::Connection::session().await.unwrap();
        connection
            .call_method(
                Some(SERVICE),
                OBJECT,
                Some("org.freedesktop.DBus.Mock"),
                "AddMethod",
                &(SERVICE, "Notify", "susssasa{sv}i", "u", QUICK),
            )
            .await
            .unwrap();
        let (notifications, mut choices) = Notifications::start(Language::English);
        for key in 100..120 {
            notifications.show(key, started());
            assert_eq!(chosen(&mut choices).await, (key, Act::Stop));
        }
        // Also in an update, for which this service gives a new number.
        for _ in 0..20 {
            notifications.show(100, started());
            assert_eq!(chosen(&mut choices).await, (100, Act::Stop));
        }
    });
}

#[test]
fn only_what_was_offered_is_heard_also_where_a_service_tells_one_connection_alone() {
    on_a_bus(async |stage| {
        let _service = stage.service(BUTTONS);
        let (notifications, mut choices) = Notifications::start(Language::English);
        notifications.show(11, started());
        notifications.show(22, finished(Removal::EjectFirst));
        settled(&notifications).await;
        // GNOME tells only the connection that showed the notification; here it is any other.
        let other = zbus::Connection::session().await.unwrap();
        let destination = other.unique_name().unwrap().as_str();
        let eject = Variant::from("eject");
        signal("ActionInvoked", 2, eject, Some(destination)).await;
        assert_eq!(chosen(&mut choices).await, (22, Act::Eject));
        click(2, "default").await;
        assert_eq!(chosen(&mut choices).await, (22, Act::OpenFolder));

        // None of these is ours, or was offered.
        click(3, "stop").await;
        click(1, "eject").await;
        click(1, "default").await;
        click(2, "stop").await;
        click(2, "run-now").await;
        click(2, "trust").await;
        notifications.forget(22);
        settled(&notifications).await;
        click(2, "eject").await;
        // What is heard next is what comes after them.
        click(1, "stop").await;
        assert_eq!(chosen(&mut choices).await, (11, Act::Stop));
        assert!(choices.try_recv().is_err());
    });
}

#[test]
fn progress_does_not_come_back_once_the_user_closed_it() {
    on_a_bus(async |stage| {
        const EXPIRED: u32 = 1;
        const BY_USER: u32 = 2;
        let service = stage.service(BUTTONS);
        let (notifications, mut choices) = Notifications::start(Language::English);
        notifications.show(11, copying(1));
        notifications.show(22, copying(1));
        settled(&notifications).await;
        signal("NotificationClosed", 1, EXPIRED.into(), None).await;
        signal("NotificationClosed", 2, BY_USER.into(), None).await;
        // Signals come in their order: once this click is heard, so is what came before it.
        click(1, "stop").await;
        assert_eq!(chosen(&mut choices).await, (11, Act::Stop));

        notifications.show(22, copying(2));
        notifications.show(11, copying(50));
        settled(&notifications).await;
        let line = only(&service, 2).line;
        assert!(line.contains("Backing up: 50 %"), "the other one goes on: {line}");
        notifications.show(22, finished(Removal::Safe));
        settled(&notifications).await;
        assert!(only(&service, 3).line.contains("Backup finished"));
    });
}

#[test]
fn a_service_that_goes_and_comes_back_is_used_again() {
    on_a_bus(async |stage| {
        let service = stage.service(PLAIN);
        let (notifications, mut choices) = Notifications::start(Language::English);
        notifications.show(1, started());
        settled(&notifications).await;
        assert_eq!(service.shown().len(), 1);
        drop(service);
        for _ in 0..3 {
            notifications.show(1, started());
            settled(&notifications).await;
        }

        let service = stage.service(BUTTONS);
        notifications.show(1, started());
        settled(&notifications).await;
        let Shown { replaces, line, .. } = only(&service, 0);
        assert_eq!(replaces, 0, "its numbers are not the old one's");
        assert!(line.contains(r#"["stop", "Stop"]"#), "it can do more than the old one: {line}");
        click(1, "stop").await;
        assert_eq!(chosen(&mut choices).await, (1, Act::Stop));

        // It is restarted between two texts.
        drop(service);
        let service = stage.service(BUTTONS);
        notifications.show(1, finished(Removal::EjectFirst));
        settled(&notifications).await;
        assert!(only(&service, 0).line.contains("Backup finished"));
        click(1, "eject").await;
        assert_eq!(chosen(&mut choices).await, (1, Act::Eject));
    });
}

/// The connections of this process.
fn sockets() -> usize {
    let handles = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = handles.filter_map(|handle| std::fs::read_link(handle.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Waits until there are as many as `wanted` again: what is let go of is closed a moment later.
async fn only_sockets(wanted: usize) {
    let start = Instant::now();
    while sockets() != wanted {
        assert!(start.elapsed() < process::PATIENCE, "{} sockets, not {wanted}", sockets());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn what_is_forgotten_leaves_no_connection() {
    on_a_bus(async |stage| {
        let _service = stage.service(BUTTONS);
        let (notifications, _choices) = Notifications::start(Language::English);
        // The runtime of the library's blocking calls has one, which is made once.
        let _made = tokio::task::spawn_blocking(|| zbus::block_on(async {})).await;
        let before = sockets();
        // One text alone, and more of them.
        for texts in 1..=3 {
            for _ in 0..texts {
                notifications.show(1, started());
            }
            settled(&notifications).await;
            assert!(sockets() > before, "a notification has a connection");
            notifications.forget(1);
            settled(&notifications).await;
            only_sockets(before).await;
        }
        // One that stays and has no buttons keeps its own connection, and nothing that listens.
        notifications.show(2, waiting::overdue(Language::English, "docs", None));
        notifications.show(1, started());
        settled(&notifications).await;
        notifications.forget(1);
        settled(&notifications).await;
        only_sockets(before + 1).await;
    });
}

#[test]
fn without_a_service_nothing_waits() {
    on_a_bus(async |_stage| {
        let (notifications, mut choices) = Notifications::start(Language::English);
        let start = Instant::now();
        notifications.show(1, started());
        for percent in 0..100 {
            notifications.show(1, copying(percent));
        }
        notifications.show(1, finished(Removal::EjectFirst));
        notifications.forget(1);
        settled(&notifications).await;
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(choices.try_recv().is_err());
        drop(notifications);
        assert!(choices.recv().await.is_none(), "the task has ended");
    });
}

#[test]
fn a_bus_that_goes_away_takes_nothing_with_it() {
    on_a_bus(async |stage| {
        let service = stage.service(BUTTONS);
        let (notifications, _choices) = Notifications::start(Language::English);
        notifications.show(1, started());
        settled(&notifications).await;
        assert_eq!(service.shown().len(), 1);
        let connection = zbus::Connection::session().await.unwrap();
        let bus = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        let name = zbus::names::BusName::try_from("org.freedesktop.DBus").unwrap();
        let pid = bus.get_connection_unix_process_id(name).await.unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        for _ in 0..3 {
            notifications.show(1, finished(Removal::EjectFirst));
            settled(&notifications).await;
        }
    });
}
