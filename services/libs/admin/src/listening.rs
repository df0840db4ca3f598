//! Streams that go on for as long as somebody listens: a bounded number of them, and none for longer than the access
//! token is good with which it was asked for.

use crate::reading::{Answers, Caller, Reading};
use daemon::Places;
use daemon::places::Full;
use futures::{Stream, StreamExt as _};
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;

/// Streams that a site serves to people and scripts at a time.
pub const MAX_STREAMS: usize = 2_000;
/// Streams of those that one person, that is one access token, may hold.
pub const MAX_STREAMS_OF_ONE: usize = 64;
/// How often the access token of somebody who listens is looked at again. One that is revoked at this process, or that
/// ends, is noticed at once; this is for what another process over the same database did.
const LOOK: Duration = Duration::from_secs(30);

/// Who listens at a site. Cheap to clone.
#[derive(Clone)]
pub struct Listeners {
    places: Places,
    /// Grows whenever an access token is revoked here.
    revoked: watch::Sender<u64>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            places: Places::new(MAX_STREAMS, MAX_STREAMS_OF_ONE),
            revoked: watch::Sender::default(),
        }
    }
}

impl Listeners {
    /// Has every stream look at once whether its access token is still good.
    pub(crate) fn look_again(&self) {
        self.revoked.send_modify(|times| *times += 1);
    }
}

impl Reading {
    /// The answers, for as long as the caller's access token is good and the site does not stop.
    ///
    /// # Errors
    /// When too many streams are held already, by the caller or by all.
    pub(crate) fn listen<T: Send + 'static>(
        &self,
        caller: Caller,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Result<Answers<T>, Status> {
        let here = self.site.code;
        let place = self.listeners.places.take(&caller.name);
        let place = place.map_err(|full| {
            Status::resource_exhausted(match full {
                Full::All(most) => format!(
                    "{here} serves {most} streams already, and no more at a time: close some, or ask another site"
                ),
                Full::OfOne(most) => format!(
                    "{} holds {most} streams at {here} already, and may hold no more at a time: close some, or take \
                     an access token of its own for each script",
                    caller.what()
                ),
            })
        })?;
        let (reading, stop) = (self.clone(), self.stop.clone());
        let over = async move {
            tokio::select! {
                why = reading.refused_from_now_on(&caller) => Some(why),
                () = stop.cancelled() => None,
            }
        };
        let held = (Box::pin(answers), Box::pin(over), place);
        let answers = futures::stream::unfold(Some(held), |held| async {
            let mut held = held?;
            tokio::select! {
                biased;
                why = &mut held.1 => why.map(|why| (Err(why), None)),
                answer = held.0.next() => answer.map(|answer| (answer, Some(held))),
            }
        });
        Ok(Box::pin(answers))
    }

    /// Waits until the caller would be refused; in which words.
    async fn refused_from_now_on(&self, caller: &Caller) -> Status {
        let mut revoked = self.listeners.revoked.subscribe();
        loop {
            if let Err(why) = self.look_at(caller).await {
                return why;
            }
            let left = caller.expires.map(|end| {
                let left = end.duration_since(self.site.ambient.now());
                Duration::try_from(left).unwrap_or_default()
            });
            tokio::select! {
                () = tokio::time::sleep(left.map_or(LOOK, |left| left.min(LOOK))) => {}
                // The other end is held here.
                _ = revoked.changed() => {}
            }
        }
    }
}
