//! Tells receivers of alerts, from the queue that is written with them: at least once, in order, and again and
//! again for a day where a receiver does not take it.

use super::event::{Event, What};
use super::webhook::Webhooks;
use super::{Alerts, mail};
use crate::secrets::Secret;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use journal::StatusId;
use secrecy::SecretString;
use settings::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::deliveries::DeliveryRow;
use tokio_util::sync::CancellationToken;
use trust::seal::Sealer;
use uuid::Uuid;

/// How long a receiver may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a whole attempt may take: more than one connection may be needed.
const DEADLINE: Duration = Duration::from_secs(90);
/// The queue is looked at this often, however little happens: somebody may set the clock.
const LOOK: Duration = Duration::from_secs(60);
/// A look that found a failing database is repeated after this time.
const AGAIN: Duration = Duration::from_secs(30);

/// What a receiver is called in the queue: web addresses by themselves, after this word.
const WEBHOOK: &str = "webhook ";
/// All who get mail together.
const MAIL: &str = "mail";

/// Who is told, as the queue calls them.
pub(super) fn receivers(settings: &Settings) -> Vec<String> {
    let notifications = &settings.notifications;
    let webhooks = notifications.webhooks.iter();
    let mut all: Vec<String> = webhooks.map(|url| format!("{WEBHOOK}{url}")).collect();
    if notifications.mail.is_on() {
        all.push(MAIL.to_owned());
    }
    all
}

/// A receiver for people. What follows the host of a web address may give access, and is left out.
pub(super) fn shown(receiver: &str) -> String {
    let Some(url) = receiver.strip_prefix(WEBHOOK) else {
        return receiver.to_owned();
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let server = rest.split(['/', '?']).next().unwrap_or_default();
    format!("{WEBHOOK}{scheme}://{server}")
}

/// What came of a test at one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The receiver.
    pub receiver: String,
    /// What it answered, or why it could not be told.
    pub answer: Result<String, String>,
    /// How long it took.
    pub took: Duration,
}

/// How often, and for how long, a receiver is tried.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Wait after the first attempt that came to nothing; it doubles with each.
    pub first_wait: Duration,
    /// Longest wait.
    pub longest_wait: Duration,
    /// How long something is tried.
    pub tried_for: SignedDuration,
}

impl Default for Pace {
    /// After 15 seconds at most, then more and more seldom, and once an hour for the rest of a day.
    fn default() -> Self {
        Self {
            first_wait: Duration::from_secs(15),
            longest_wait: Duration::from_secs(60 * 60),
            tried_for: SignedDuration::from_hours(24),
        }
    }
}

/// Tells receivers.
#[derive(Clone)]
pub struct Notifier {
    alerts: Alerts,
    sealer: Arc<Sealer>,
    webhooks: Arc<Webhooks>,
    pace: Pace,
}

/// What becomes of an attempt.
enum Outcome {
    Taken,
    Again(Timestamp),
    GivenUp(String),
}

impl Notifier {
    /// Tells of these alerts, with the secrets that `sealer` opens.
    pub fn new(alerts: Alerts, sealer: Arc<Sealer>, pace: Pace) -> Self {
        Self {
            alerts,
            sealer,
            webhooks: Arc::default(),
            pace,
        }
    }

    /// Sends what waits until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut changes = self.alerts.watch();
        let mut settings = self.alerts.settings.clone();
        loop {
            changes.mark_unchanged();
            settings.mark_unchanged();
            let sent = tokio::select! {
                sent = self.send() => sent,
                () = stop.cancelled() => return,
            };
            let wait = match sent {
                Ok(None) => LOOK,
                Ok(Some(next)) => {
                    let left = next.duration_since(self.alerts.ambient.now());
                    Duration::try_from(left).unwrap_or_default().min(LOOK)
                }
                Err(error) => {
                    tracing::error!(%error, "the notifications that wait cannot be read or written");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = changes.changed() => if changed.is_err() { return },
                changed = settings.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }

    /// Sends what is due. When there is more to do at the latest.
    async fn send(&self) -> Result<Option<Timestamp>, store::Error> {
        let Alerts { store, ambient, .. } = &self.alerts;
        let waiting = store.read().await?.next_deliveries().await?;
        if waiting.is_empty() {
            return Ok(None);
        }
        let settings = Arc::clone(&self.alerts.settings.borrow());
        let known = receivers(&settings);
        let (known, gone): (Vec<DeliveryRow>, _) = waiting
            .into_iter()
            .partition(|row| known.contains(&row.receiver));
        let now = ambient.now();
        let (due, later): (Vec<DeliveryRow>, Vec<_>) =
            known.into_iter().partition(|row| row.next_attempt <= now);
        let attempts = due.iter().map(|row| async {
            let id = id_of(&row.body);
            let answer = self.tell(&settings, &row.receiver, (id, &row.body));
            self.outcome(row, answer.await)
        });
        let outcomes = join_all(attempts).await;
        let mut next = later.iter().map(|row| row.next_attempt).min();
        let mut given_up: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let mut tx = store.begin().await?;
        for row in &gone {
            tx.remove_delivery(row.sequence).await?;
        }
        for (row, outcome) in due.iter().zip(outcomes) {
            match outcome {
                Outcome::Taken => tx.remove_delivery(row.sequence).await?,
                Outcome::Again(time) => {
                    tx.postpone_delivery(row.sequence, time).await?;
                    next = Some(next.map_or(time, |next| next.min(time)));
                    continue;
                }
                Outcome::GivenUp(why) => {
                    tx.remove_delivery(row.sequence).await?;
                    // What is as old behind it has nothing to wait for either: one message tells of all.
                    let old = now.checked_sub(self.pace.tried_for).unwrap_or(now);
                    let behind = tx.remove_deliveries(&row.receiver, old).await?;
                    let told = given_up.entry(shown(&row.receiver));
                    told.or_insert((0, why)).0 += 1 + behind;
                }
            }
            // There may be one behind it.
            next = Some(now);
        }
        if !gone.is_empty() {
            next = Some(now);
        }
        let messages = given_up.into_iter().map(|(receiver, (count, why))| {
            let inserts = vec![receiver, count.to_string(), why];
            (StatusId::NotificationGivenUp, inserts)
        });
        let journal = &self.alerts.journal;
        let recorded = journal.record_within(&mut tx, messages.collect()).await?;
        tx.commit().await?;
        journal.tell(recorded);
        Ok(next)
    }

    fn outcome(&self, row: &DeliveryRow, answer: Result<String, String>) -> Outcome {
        let Err(why) = answer else {
            return Outcome::Taken;
        };
        let receiver = shown(&row.receiver);
        tracing::warn!(
            receiver,
            why,
            attempt = row.attempts + 1,
            "a notification was not taken"
        );
        let ambient = &self.alerts.ambient;
        let now = ambient.now();
        let doubled = self
            .pace
            .first_wait
            .saturating_mul(1 << row.attempts.min(16));
        let wait = ambient.jitter(doubled.min(self.pace.longest_wait));
        let again = SignedDuration::try_from(wait)
            .ok()
            .and_then(|wait| now.checked_add(wait).ok())
            .unwrap_or(now);
        match again.duration_since(row.created) > self.pace.tried_for {
            true => Outcome::GivenUp(why),
            false => Outcome::Again(again),
        }
    }

    /// Sends a test to every receiver, and says what came of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn test(&self, who: &str) -> Result<Vec<Tested>, store::Error> {
        let Alerts {
            ambient, journal, ..
        } = &self.alerts;
        let settings = Arc::clone(&self.alerts.settings.borrow());
        let id = ambient.new_id();
        let event = Event {
            id,
            what: What::Test,
            time: ambient.now(),
            hierarchy: self.alerts.hierarchy,
            top: journal.site(),
            alert: None,
        };
        let body = event.to_json();
        let receivers = receivers(&settings);
        let attempts = receivers.iter().map(|receiver| async {
            let begun = ambient.now();
            let answer = self.tell(&settings, receiver, (id, &body)).await;
            let took = ambient.now().duration_since(begun);
            Tested {
                receiver: match receiver.as_str() {
                    MAIL => {
                        let host = settings.notifications.mail.host.as_deref();
                        format!("mail by {}", host.unwrap_or_default())
                    }
                    receiver => shown(receiver),
                },
                answer,
                took: Duration::try_from(took).unwrap_or_default(),
            }
        });
        let tested = join_all(attempts).await;
        let taken = tested.iter().filter(|tested| tested.answer.is_ok()).count();
        let inserts = vec![who.to_owned(), tested.len().to_string(), taken.to_string()];
        journal
            .record(StatusId::NotificationsTested, None, inserts)
            .await;
        Ok(tested)
    }

    /// Tells a receiver, within [`DEADLINE`].
    async fn tell(
        &self,
        settings: &Settings,
        receiver: &str,
        notification: (Uuid, &str),
    ) -> Result<String, String> {
        let now = self.alerts.ambient.now();
        let telling = async {
            if let Some(url) = receiver.strip_prefix(WEBHOOK) {
                let secret = self.secret(Secret::NotificationSecret, settings).await?;
                return self.webhooks.send(url, &secret, notification, now).await;
            }
            let mail = &settings.notifications.mail;
            let password = match mail.user {
                Some(_) => Some(self.secret(Secret::MailPassword, settings).await?),
                None => None,
            };
            mail::send(mail, password.as_ref(), notification, now).await
        };
        tokio::time::timeout(DEADLINE, telling)
            .await
            .unwrap_or_else(|_| Err("no answer came in time".to_owned()))
    }

    async fn secret(&self, secret: Secret, settings: &Settings) -> Result<SecretString, String> {
        let held = async {
            let mut read = self.alerts.store.read().await?;
            read.secret(secret.name()).await
        };
        let sealed = held
            .await
            .map_err(|error: store::Error| error.to_string())?;
        let opened = secret.place(settings).zip(sealed);
        let opened = opened.and_then(|(place, sealed)| self.sealer.open(&place, &sealed).ok());
        opened.ok_or_else(|| secret.missing().to_owned())
    }
}

/// The identifier that stands in a document.
fn id_of(body: &str) -> Uuid {
    let document: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let id = document["id"].as_str().and_then(|id| id.parse().ok());
    id.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_web_address_is_shown_nowhere() {
        let path = "webhook https://hooks.example.org:8443/services/hunter2?key=hunter3";
        assert_eq!(shown(path), "webhook https://hooks.example.org:8443");
        assert_eq!(
            shown("webhook http://127.0.0.1?x"),
            "webhook http://127.0.0.1"
        );
        assert_eq!(shown("mail"), "mail");
    }
}
