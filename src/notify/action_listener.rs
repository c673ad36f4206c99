//! Hears what the user does with notifications: which action was chosen, which one was closed.
//!
//! Not with notify-rust's own waiting: it asks for the signals only after the notification is on the
//! screen, so that a quick answer is lost, has to be broken off for every update, adds two match rules
//! to the connection each time until the bus refuses more, and panics when the bus goes away.
//!
//! Nor can another connection simply subscribe: most services tell everybody, but GNOME tells only the
//! connection that showed the notification, which notify-rust keeps to itself. So this is a connection
//! that the bus shows these two signals of the notification service to, whoever they are for
//! (`BecomeMonitor`, which a session bus allows its own user), before anything is shown. It is open
//! only while notifications are. It sees the answers to other programs' notifications too, and must
//! not keep them; it can send nothing.

use std::future::poll_fn;
use std::pin::Pin;

use zbus::export::futures_core::Stream as _;
use zbus::message::{Message, Type};
use zbus::{Connection, MatchRule, MessageStream};

/// The service's name on the bus, and its interface.
pub(super) const SERVICE: &str = "org.freedesktop.Notifications";

/// Signals of the service.
const CHOSEN: &str = "ActionInvoked";

const CLOSED: &str = "NotificationClosed";

/// The reason of `NotificationClosed` that means: by the user.
const BY_USER: u32 = 2;

/// What was heard, with the number of the notification. It can be another program's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The action of this name was chosen.
    Chosen(u32, String),
    /// The user closed it.
    Dismissed(u32),
}

/// A connection that listens.
pub(super) struct Ear {
    messages: MessageStream,
}

impl Ear {
    /// Listens from the moment it returns.
    pub(super) async fn open() -> zbus::Result<Self> {
        let connection = Connection::session().await?;
        let rule = |member: &'static str| {
            let signal = MatchRule::builder().msg_type(Type::Signal);
            signal.sender(SERVICE).interface(SERVICE).member(member).build()
        };
        let rules = [rule(CHOSEN)?, rule(CLOSED)?];
        let messages = MessageStream::from(&connection);
        let bus = zbus::fdo::MonitoringProxy::new(&connection).await?;
        bus.become_monitor(&rules, 0).await?;
        Ok(Self { messages })
    }

    /// The next thing that the user did; nothing if the bus is gone. Nothing is lost if it is dropped.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        loop {
            let message = poll_fn(|cx| Pin::new(&mut self.messages).poll_next(cx)).await?.ok()?;
            if let Some(heard) = read(&message) {
                return Some(heard);
            }
        }
    }
}

fn read(message: &Message) -> Option<Heard> {
    let header = message.header();
    if header.message_type() != Type::Signal || header.interface()?.as_str() != SERVICE {
        return None;
    }
    let member = header.member()?.as_str();
    if member == CHOSEN {
        let (id, action) = message.body().deserialize().ok()?;
        return Some(Heard::Chosen(id, action));
    }
    if member == CLOSED {
        let (id, reason): (u32, u32) = message.body().deserialize().ok()?;
        return (reason == BY_USER).then_some(Heard::Dismissed(id));
    }
    None
}
