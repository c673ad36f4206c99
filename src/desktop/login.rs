//! logind: sleep that is announced and can be delayed, and sessions that become active.
//!
//! One connection to the system bus for as long as the agent runs; nothing is asked for in between, so it
//! wakes nobody. Without logind the agent works as on a computer that never sleeps.

use std::time::Duration;

use futures_lite::StreamExt as _;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream, OwnedFd};

/// How long logind may take: the event loop waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the bus may take when the agent starts, which does nothing else until then.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// What logind tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The computer is about to sleep, or woke up.
    Sleep(bool),
    /// A session became active or inactive.
    SessionChanged,
}

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Manager {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;
    #[zbus(signal)]
    fn prepare_for_sleep(&self, start: bool) -> zbus::Result<()>;
}

/// A connection to logind.
#[derive(Debug)]
pub struct Login {
    bus: Option<Connection>,
    told: UnboundedReceiver<Told>,
    /// Keeps `told` open where there is no bus.
    _tell: UnboundedSender<Told>,
}

/// Delays sleep for as long as it lives; logind waits some seconds (`InhibitDelayMaxSec`, 5 by default).
#[derive(Debug)]
pub struct Inhibitor {
    _handle: OwnedFd,
}

impl Login {
    /// Begins to listen. To be called within a tokio runtime.
    pub async fn start() -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let bus = match tokio::time::timeout(START_PATIENCE, listen(tell.clone())).await {
            Ok(Ok(bus)) => Some(bus),
            Ok(Err(error)) => {
                tracing::debug!("no logind: {error}");
                None
            }
            Err(_) => {
                tracing::warn!("the system bus does not answer: sleep is not noticed");
                None
            }
        };
        Self { bus, told, _tell: tell }
    }

    /// Waits for the next word of it.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// Delays sleep until what it returns is dropped; `None` where there is no logind, or it refuses.
    pub async fn inhibit(&self, why: &str) -> Option<Inhibitor> {
        let manager = ManagerProxy::new(self.bus.as_ref()?).await.ok()?;
        let asked = manager.inhibit("sleep", "bkm-agent", why, "delay");
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(handle)) => Some(Inhibitor { _handle: handle }),
            Ok(Err(error)) => {
                tracing::debug!("sleep cannot be delayed: {error}");
                None
            }
            Err(_) => None,
        }
    }
}

async fn listen(tell: UnboundedSender<Told>) -> zbus::Result<Connection> {
    let bus = Connection::system().await?;
    let manager = ManagerProxy::new(&bus).await?;
    let mut sleeps = manager.receive_prepare_for_sleep().await?;
    let mut sessions = changes(&bus, "org.freedesktop.login1.Session").await?;
    // Which session is in front is the seat's.
    let mut seats = changes(&bus, "org.freedesktop.login1.Seat").await?;
    drop(tokio::spawn(async move {
        loop {
            let told = tokio::select! {
                Some(sleep) = sleeps.next() => match sleep.args() {
                    Ok(args) => Told::Sleep(args.start),
                    Err(_) => continue,
                },
                Some(_) = sessions.next() => Told::SessionChanged,
                Some(_) = seats.next() => Told::SessionChanged,
                else => return,
            };
            if tell.send(told).is_err() {
                return;
            }
        }
    }));
    Ok(bus)
}

/// Changes of properties of this interface's objects. Of no other: logind's own change with every inhibitor
/// that anybody takes.
async fn changes(bus: &Connection, interface: &str) -> zbus::Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.login1")
        .interface("org.freedesktop.DBus.Properties")
        .member("PropertiesChanged")
        .arg(0, interface)
        .build()?;
    MessageStream::for_match_rule(rule, bus, None).await
}
