//! Desktop notifications: one per plug-in, updated as it goes on.
//!
//! A notification service that is missing, slow or broken never holds up or fails a run: everything
//! is handed to a task of its own, and the first failure is one line in the log. Called by `agent`.

pub mod texts;

use std::collections::HashMap;
use std::time::Duration;

use notify_rust::{Notification, NotificationHandle, Urgency};
use tokio::sync::{mpsc, oneshot};

pub use texts::Text;

/// How long one call to the service may take. A service that is started on demand takes a second.
const PATIENCE: Duration = Duration::from_secs(5);

enum Order {
    Show(u64, Text),
    Forget(u64),
    Flush(oneshot::Sender<()>),
}

/// Hands texts to the desktop's notification service.
#[derive(Debug, Clone)]
pub struct Notifications {
    orders: mpsc::UnboundedSender<Order>,
}

impl Notifications {
    /// Starts the task that talks to the service. To be called within a tokio runtime.
    pub fn start() -> Self {
        let (orders, waiting) = mpsc::unbounded_channel();
        drop(tokio::spawn(serve(waiting)));
        Self { orders }
    }

    /// Shows `text` as the notification `key`, in place of what it showed before.
    pub fn show(&self, key: u64, text: Text) {
        let _ended = self.orders.send(Order::Show(key, text));
    }

    /// Lets go of the notification `key`; it stays on the screen as long as the desktop likes.
    pub fn forget(&self, key: u64) {
        let _ended = self.orders.send(Order::Forget(key));
    }

    /// Waits until everything was shown, at most for `limit`.
    pub async fn flush(&self, limit: Duration) {
        let (done, wait) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).is_ok() {
            let _late = tokio::time::timeout(limit, wait).await;
        }
    }
}

async fn serve(mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut shown: HashMap<u64, NotificationHandle> = HashMap::new();
    let mut service = Service::default();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Show(key, text) => {
                // The handle owns the connection that the notification belongs to.
                if let Some(handle) = service.show(shown.remove(&key), &text).await {
                    shown.insert(key, handle);
                }
            }
            Order::Forget(key) => drop(shown.remove(&key)),
            Order::Flush(done) => {
                let _nobody = done.send(());
            }
        }
    }
}

/// What is known of the notification service.
#[derive(Default)]
struct Service {
    /// Whether it reads markup; asked once it answers.
    markup: Option<bool>,
    /// Whether its absence was logged; once is enough until it came back.
    missed: bool,
}

impl Service {
    async fn show(
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
                if !std::mem::replace(&mut self.missed, true) {
                    tracing::warn!("no notification service ({why}); backups go on without");
                }
                None
            }
        }
    }

    async fn try_show(
        &mut self,
        old: Option<NotificationHandle>,
        text: &Text,
    ) -> Result<NotificationHandle, String> {
        let markup = if let Some(known) = self.markup {
            known
        } else {
            let asked = in_time(blocking(notify_rust::get_capabilities)).await??;
            *self.markup.insert(asked.iter().any(|c| c == "body-markup"))
        };
        let body = if markup { escape(&text.body) } else { text.body.clone() };
        let urgency = if text.urgent { Urgency::Critical } else { Urgency::Normal };
        if let Some(mut handle) = old {
            let summary = text.summary.clone();
            let again = body.clone();
            // `update` builds a runtime of its own, which panics inside ours.
            let updated = in_time(blocking(move || {
                handle.summary(&summary).body(&again).urgency(urgency);
                handle.update().map(|()| handle)
            }))
            .await;
            if let Ok(Ok(handle)) = updated {
                return Ok(handle);
            }
        }
        let mut notification = Notification::new();
        notification
            .appname("bkm-agent")
            .icon("drive-removable-media")
            .summary(&text.summary)
            .body(&body)
            .urgency(urgency);
        in_time(async { notification.show_async().await.map_err(|e| e.to_string()) }).await?
    }
}

/// Runs a blocking call of the library on a thread where it may block.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> notify_rust::error::Result<T> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
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
