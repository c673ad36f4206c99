//! The task behind `Notifications`: which notification shows what, and when it
//! is updated.
//!
//! Passing texts are shown at most once a second for each notification; of those that come faster
//! the last one waits for its turn and the others are dropped. It never drops another text. It talks to the
//! service through `service` and hears of the user through `action_listener`.

use std::collections::HashMap;
use std::time::Duration;

use notify_rust::NotificationHandle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::notify::action_listener::Heard;
use crate::notify::service::{DEFAULT, Service, name};
use crate::notify::texts::text::{Act, Text};
use crate::text::language::Language;

/// How often a passing text is shown: more often nobody reads it.
const PACE: Duration = Duration::from_secs(1);

/// How soon a passing text is tried after the service did not answer: every attempt asks the bus to
/// start one.
const PACE_WITHOUT_SERVICE: Duration = Duration::from_secs(30);

/// What [`serve`] is told.
#[derive(Debug)]
pub(super) enum Order {
    Show(u64, Text),
    Forget(u64),
    Flush(oneshot::Sender<()>),
}

/// One notification.
#[derive(Default)]
struct Slot {
    /// Owns the connection that the notification belongs to; none if it could not be shown.
    handle: Option<NotificationHandle>,
    /// The number that it had before the service gave it the one it has. A click can still be on its way.
    former_id: Option<u32>,
    /// What the text that is shown offers.
    offered: Vec<Act>,
    /// Whether the user closed it.
    dismissed: bool,
    /// When the next passing text can be shown.
    next: Option<Instant>,
    /// The passing text that waits for that.
    waiting: Option<Text>,
}

impl Slot {
    fn has_id(&self, id: u32) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.id() == id) || self.former_id == Some(id)
    }
}

/// Carries out `orders` until nobody can give any; tells `choose` what the user chooses.
pub(super) async fn serve(
    mut orders: mpsc::UnboundedReceiver<Order>,
    choose: mpsc::UnboundedSender<(u64, Act)>,
    language: Language,
) {
    let mut board = Board { slots: HashMap::new(), service: Service::new(language) };
    loop {
        let due = board.due();
        tokio::select! {
            biased;
            heard = board.service.hear() => {
                if let Some(chosen) = board.take(&heard) {
                    let _nobody = choose.send(chosen);
                }
            }
            order = orders.recv() => match order {
                Some(Order::Show(key, mut text)) => {
                    if choose.is_closed() {
                        // A button that does nothing is not offered.
                        text.actions.clear();
                    }
                    board.order(key, text).await;
                }
                Some(Order::Forget(key)) => board.forget(key),
                Some(Order::Flush(done)) => {
                    board.show_waiting(None).await;
                    let _nobody = done.send(());
                }
                None => return,
            },
            () = until(due) => board.show_waiting(Some(Instant::now())).await,
        }
    }
}

/// Waits for `when`, or for ever: then there is no timer.
async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

struct Board {
    slots: HashMap<u64, Slot>,
    service: Service,
}

impl Board {
    /// When the first text that waits is to be shown.
    fn due(&self) -> Option<Instant> {
        self.slots.values().filter(|slot| slot.waiting.is_some()).filter_map(|slot| slot.next).min()
    }

    async fn order(&mut self, key: u64, text: Text) {
        let slot = self.slots.entry(key).or_default();
        if text.passing {
            if slot.dismissed {
                return;
            }
            if slot.next.is_some_and(|next| next > Instant::now()) {
                slot.waiting = Some(text);
                return;
            }
        }
        self.show(key, text).await;
    }

    /// Shows the texts whose time has come by `now`; all that wait if there is no time to lose.
    async fn show_waiting(&mut self, now: Option<Instant>) {
        let has_come = |next: Option<Instant>| now.is_none_or(|now| next.is_none_or(|n| n <= now));
        let ready: Vec<(u64, Text)> = self
            .slots
            .iter_mut()
            .filter(|(_, slot)| has_come(slot.next))
            .filter_map(|(key, slot)| Some((*key, slot.waiting.take()?)))
            .collect();
        for (key, text) in ready {
            self.show(key, text).await;
        }
    }

    async fn show(&mut self, key: u64, text: Text) {
        let slot = self.slots.entry(key).or_default();
        let old = slot.handle.take();
        let old_id = old.as_ref().map(NotificationHandle::id);
        slot.handle = self.service.show(old, &text).await;
        let pace = if slot.handle.is_some() { PACE } else { PACE_WITHOUT_SERVICE };
        // From now on, not from the order: a slow service is not given one text after the other.
        slot.next = Some(Instant::now() + pace);
        slot.former_id = old_id;
        slot.offered = text.actions;
        slot.dismissed = false;
        slot.waiting = None;
    }

    fn forget(&mut self, key: u64) {
        self.slots.remove(&key);
        // Those about profiles are never forgotten, and have no buttons.
        if self.slots.values().all(|slot| slot.offered.is_empty()) {
            self.service.rest();
        }
    }

    /// What came from the service: an action of ours, or a notification that the user closed.
    fn take(&mut self, heard: &Heard) -> Option<(u64, Act)> {
        let (Heard::Chosen(id, _) | Heard::Dismissed(id)) = heard;
        let (key, slot) = self.slots.iter_mut().find(|(_, slot)| slot.has_id(*id))?;
        match heard {
            Heard::Dismissed(_) => {
                slot.dismissed = true;
                slot.waiting = None;
                None
            }
            Heard::Chosen(_, chosen) => {
                let is_it = |act: &Act| {
                    name(*act) == chosen || chosen == DEFAULT && *act == Act::OpenFolder
                };
                slot.offered.iter().find(|act| is_it(act)).map(|act| (*key, *act))
            }
        }
    }
}
