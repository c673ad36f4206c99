//! The session's services: logind's stand-in of python-dbusmock, and GNOME's keyring itself.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bkm_agent::desktop::login::{Login, Told};
use bkm_agent::desktop::secrets::{self, Passphrase, SecretError};

use crate::support::needs::{self, skipped};
use crate::support::process;
use crate::support::services::{self, Bus};

const LOGIND: &str = "org.freedesktop.login1";

const MANAGER: &str = "/org/freedesktop/login1";

const SECRETS: &str = "org.freedesktop.secrets";

#[test]
fn logind_delays_sleep_and_tells_of_it_and_of_sessions() {
    if !services::is_second_run() {
        if let Some(why) = services::missing() {
            return skipped(&why);
        }
        let dir = tempfile::tempdir().unwrap();
        let mut bus = Bus::start(dir.path());
        bus.again(None, dir.path(), Path::new("absent"));
        bus.serve(LOGIND, &mut services::mock("logind"));
        let mut add = mocked(MANAGER, "AddSession");
        process::run(
            bus.on(add
                .args(["string:c1", "string:seat0", "uint32:500"])
                .args(["string:anna", "boolean:true"])),
        );
        return bus.again(None, dir.path(), Path::new("present"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut login = Login::start().await;
        if services::drive() == Path::new("absent") {
            assert!(login.inhibit("a test").await.is_none(), "nobody is there to delay it");
            return;
        }
        let inhibitors = || {
            let mut list =
                dbus_send(LOGIND, MANAGER, "org.freedesktop.login1.Manager.ListInhibitors");
            process::run(&mut list)
        };
        let inhibitor = login.inhibit("a test").await.unwrap();
        let listed = inhibitors();
        for word in ["\"sleep\"", "\"bkm-agent\"", "\"a test\"", "\"delay\""] {
            assert!(listed.contains(word), "{listed}");
        }
        drop(inhibitor);
        process::wait_for("logind to see it let go", || {
            (!inhibitors().contains("bkm-agent")).then_some(())
        });

        let emit = |start: &str| {
            let signal = "EmitSignal('org.freedesktop.login1.Manager', 'PrepareForSleep', 'b', [";
            stand_in(MANAGER, &format!("{signal}{start}]"));
        };
        // What the manager itself says of its properties is no change of a session.
        update(MANAGER, "org.freedesktop.login1.Manager", "IdleHint");
        emit("True");
        assert_eq!(next(&mut login).await, Told::Sleep(true));
        emit("False");
        assert_eq!(next(&mut login).await, Told::Sleep(false));
        update("/org/freedesktop/login1/session/c1", "org.freedesktop.login1.Session", "Active");
        assert_eq!(next(&mut login).await, Told::SessionChanged);
    });
}

async fn next(login: &mut Login) -> Told {
    tokio::time::timeout(Duration::from_secs(30), login.next()).await.unwrap().unwrap()
}

/// A method of the stand-in itself, called on the bus of this process.
fn mocked(object: &str, method: &str) -> Command {
    dbus_send(LOGIND, object, &format!("org.freedesktop.DBus.Mock.{method}"))
}

fn dbus_send(service: &str, object: &str, method: &str) -> Command {
    let mut command = Command::new("dbus-send");
    command.args(["--system", "--print-reply", &format!("--dest={service}"), object, method]);
    command
}

/// Has the stand-in tell that a property, a truth value, changed.
fn update(object: &str, interface: &str, property: &str) {
    stand_in(object, &format!("UpdateProperties('{interface}', {{'{property}': False}}"));
}

/// Calls a method of the stand-in with arguments that `dbus-send` cannot write; `call` is Python without
/// its last bracket.
fn stand_in(object: &str, call: &str) {
    let script = format!(
        "import dbus\n\
         it = dbus.SystemBus().get_object('{LOGIND}', '{object}')\n\
         it.{call}, dbus_interface='org.freedesktop.DBus.Mock')"
    );
    process::run(Command::new("/usr/bin/python3").args(["-c", &script]));
}

#[test]
fn a_passphrase_is_kept_in_the_keyring_and_none_is_had_from_a_locked_one() {
    const UUID: &str = "11111111-2222-4333-8444-555555555506";
    if !services::is_second_run() {
        let missing = services::missing().or_else(|| {
            needs::find_tool("gnome-keyring-daemon").is_none().then(|| "needs gnome-keyring".into())
        });
        if let Some(why) = missing {
            return skipped(&why);
        }
        let dir = tempfile::tempdir().unwrap();
        let bus = Bus::start(dir.path());
        bus.again(None, dir.path(), Path::new("absent"));
        let mut keyring = Command::new("gnome-keyring-daemon");
        keyring.args(["--foreground", "--components=secrets", "--unlock"]);
        keyring.env("HOME", dir.path()).env("XDG_RUNTIME_DIR", dir.path());
        keyring.env_remove("XDG_DATA_HOME").stdin(Stdio::piped());
        let keyring = bus.on(&mut keyring).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut keyring = process::Running(keyring.unwrap());
        // The password of the keyring ends with the input.
        keyring.0.stdin.take().unwrap().write_all(b"password").unwrap();
        bus.wait_for_name(SECRETS);
        return bus.again(None, dir.path(), Path::new("present"));
    }
    if services::drive() == Path::new("absent") {
        let error = secrets::lookup(UUID).unwrap_err();
        return assert!(matches!(error, SecretError::Unavailable(_)), "{error}");
    }
    assert_eq!(secrets::lookup(UUID).unwrap(), None);
    // Bytes that are no text as well.
    let passphrase = Passphrase::new(b"correct horse\xff".to_vec());
    secrets::store(UUID, "The drive VAULT", &passphrase).unwrap();
    assert_eq!(secrets::lookup(UUID).unwrap(), Some(passphrase.clone()));
    assert_eq!(secrets::lookup("another").unwrap(), None);
    let changed = Passphrase::new(b"changed".to_vec());
    secrets::store(UUID, "The drive VAULT", &changed).unwrap();
    assert_eq!(secrets::lookup(UUID).unwrap(), Some(changed));
    assert!(!format!("{passphrase:?}").contains("horse"));

    let mut lock = Command::new("dbus-send");
    lock.args(["--session", "--print-reply", "--dest=org.freedesktop.secrets"]);
    lock.args(["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock"]);
    process::run(lock.arg("array:objpath:/org/freedesktop/secrets/collection/login"));
    let error = secrets::lookup(UUID).unwrap_err();
    assert!(matches!(error, SecretError::Locked), "{error}");
}
