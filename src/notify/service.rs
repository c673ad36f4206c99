//! The notification service: what it can do, and handing it one text.
//!
//! notify-rust does the talking. Of its ways only these are used: `show_async` for a new notification,
//! and `update` of the handle that came back for every later text, which keeps one connection for each
//! notification and follows the number that the service gives. `update` enters a runtime of its own,
//! which panics inside ours, so it runs on a thread where it may block. What the service can do is not
//! asked by notify-rust: its connection for that lives on the runtime of `update`, which closes nothing
//! until somebody enters it again.

use std::time::Duration;

use notify_rust::{Hint, Notification, NotificationHandle, Urgency};
use zbus::Connection;

use crate::notify::action_listener::{Ear, Heard, SERVICE};
use crate::notify::texts::text::{Act, Text};
use crate::text::language::Language;

/// How long one call to the service may take. A service that is started on demand takes a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// What services call a click on the notification itself.
pub(super) const DEFAULT: &str = "default";

/// What `act` is called towards the service.
pub(super) fn name(act: Act) -> &'static str {
    match act {
        Act::OpenFolder => "open-folder",
        Act::Eject => "eject",
        Act::RunNow => "run-now",
        Act::Stop => "stop",
    }
}

fn label(language: Language, act: Act) -> String {
    let key = match act {
        Act::OpenFolder => "action.open_folder",
        Act::Eject => "action.eject",
        Act::RunNow => "action.run_now",
        Act::Stop => "action.stop",
    };
    language.say(key, &[])
}

/// What a service can do.
#[derive(Clone, Copy)]
struct Can {
    markup: bool,
    actions: bool,
}

/// The service, as far as it is known.
pub(super) struct Service {
    language: Language,
    /// Asked once it answers, and again after it did not.
    can: Option<Can>,
    /// Listens while there is a notification with actions.
    ear: Option<Ear>,
    /// Whether its absence was logged; once is enough until it came back.
    missed: bool,
}

impl Service {
    pub(super) fn new(language: Language) -> Self {
        Self { language, can: None, ear: None, missed: false }
    }

    /// Shows `text` in place of `old`. Without a service there is nothing to hold afterwards.
    pub(super) async fn show(
        &mut self,
        old: Option<NotificationHandle>,
        text: &Text,
    ) -> Option<NotificationHandle> {
        match self.try_show(old, text).await {
            Ok(handle) => {
                self.missed = false;
                Some(handle)
            }
            Err(why) => {
                self.can = None;
                if !std::mem::replace(&mut self.missed, true) {
                    tracing::warn!("no notification service ({why}); backups go on without");
                }
                None
            }
        }
    }

    /// What the user does with notifications; waits for ever while nothing listens.
    pub(super) async fn hear(&mut self) -> Heard {
        if let Some(ear) = &mut self.ear {
            if let Some(heard) = ear.next().await {
                return heard;
            }
            // The bus is gone. The next text with actions listens anew.
            self.ear = None;
        }
        std::future::pending().await
    }

    /// No notification with buttons is held any more: nothing is listened to, and the service may be
    /// another one when it is needed again.
    pub(super) fn rest(&mut self) {
        self.can = None;
        self.ear = None;
    }

    async fn try_show(
        &mut self,
        old: Option<NotificationHandle>,
        text: &Text,
    ) -> Result<NotificationHandle, String> {
        if let Some(mut handle) = old {
            *handle = self.notification(text).await?;
            let update = move || handle.update().map(|()| handle);
            let updated = in_time(tokio::task::spawn_blocking(update)).await;
            if let Ok(Ok(Ok(handle))) = updated {
                return Ok(handle);
            }
            // It was restarted, maybe as another one; a new notification tells.
            self.can = None;
        }
        let notification = self.notification(text).await?;
        in_time(async { notification.show_async().await.map_err(|e| e.to_string()) }).await?
    }

    async fn notification(&mut self, text: &Text) -> Result<Notification, String> {
        let can = self.can().await?;
        let mut notification = Notification::new();
        notification
            .appname("bkm-agent")
            .icon("drive-removable-media")
            .summary(&text.summary)
            .body(&if can.markup { escape(&text.body) } else { text.body.clone() })
            .urgency(match (text.urgent, text.passing) {
                (true, _) => Urgency::Critical,
                // GNOME pops up every update of another urgency anew.
                (false, true) => Urgency::Low,
                (false, false) => Urgency::Normal,
            });
        if let Some(percent) = text.progress {
            notification.hint(Hint::CustomInt("value".to_owned(), percent.into()));
        }
        if can.actions && !text.actions.is_empty() && self.listens().await {
            for act in &text.actions {
                let label = label(self.language, *act);
                if *act == Act::OpenFolder {
                    notification.action(DEFAULT, &label);
                }
                notification.action(name(*act), &label);
            }
        }
        Ok(notification)
    }

    async fn can(&mut self) -> Result<Can, String> {
        if let Some(known) = self.can {
            return Ok(known);
        }
        let asked = in_time(capabilities()).await?.map_err(|error| error.to_string())?;
        let has = |capability| asked.iter().any(|c| c == capability);
        Ok(*self.can.insert(Can { markup: has("body-markup"), actions: has("actions") }))
    }

    /// Whether clicks are heard; if not, no buttons are offered.
    async fn listens(&mut self) -> bool {
        if self.ear.is_none() {
            match in_time(Ear::open()).await {
                Ok(Ok(ear)) => self.ear = Some(ear),
                Ok(Err(error)) => tracing::debug!("notifications have no buttons: {error}"),
                Err(error) => tracing::debug!("notifications have no buttons: {error}"),
            }
        }
        self.ear.is_some()
    }
}

/// What the service can do, by the names of the notification standard.
async fn capabilities() -> zbus::Result<Vec<String>> {
    let bus = Connection::session().await?;
    let path = "/org/freedesktop/Notifications";
    let answer =
        bus.call_method(Some(SERVICE), path, Some(SERVICE), "GetCapabilities", &()).await?;
    answer.body().deserialize()
}

async fn in_time<T>(call: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, call).await.map_err(|_| "it does not answer".to_owned())
}

/// `text` for a service that reads markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_no_markup() {
        assert_eq!(super::escape("<b>R&D</b>"), "&lt;b&gt;R&amp;D&lt;/b&gt;");
    }
}
