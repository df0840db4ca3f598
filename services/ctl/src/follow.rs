//! Following a synchronization until every site that can be reached caught up.
//!
//! [`Tracker`] is the rule: reports and the time that went by go in, a verdict comes out. [`follow`]
//! is the loop that feeds it from the site that is asked.

mod part;
mod tracker;

pub use part::follow_part;

pub use tracker::{
    FAILURE_SETTLES, Goal, Progress, RECONNECT_GRACE, SiteOutcome, Tracker, Verdict,
};

use crate::connection::{Client, explain};
use hierarchy::Hierarchy;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::StreamExt;
use tonic::{Code, Streaming};
use wire::v1::{ListSitesRequest, StartSyncRequest, WatchSyncRequest, WatchSyncResponse};

/// How often the verdict is looked at while no report arrives.
const TICK: Duration = Duration::from_millis(250);
/// How often in a row a conversation that broke off is begun again before we give up.
const RESUMPTIONS: u32 = 15;
/// Pause before a conversation that broke off is begun again.
const RESUMPTION_PAUSE: Duration = Duration::from_secs(1);

/// A synchronization that was requested, and what there was before it.
pub struct Started {
    /// The run that serves the request, 16 bytes.
    pub run: Vec<u8>,
    /// Whether it waits for the run under way.
    pub queued: bool,
    /// The sites that are asked.
    pub asked: Vec<String>,
    /// The sites that are meant and not connected.
    pub not_connected: Vec<String>,
    /// The sites before the request.
    pub before: Hierarchy,
}

/// Requests a synchronization of the whole hierarchy.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn start(client: &Client, full: bool) -> anyhow::Result<Started> {
    let whole = StartSyncRequest {
        full,
        ..StartSyncRequest::default()
    };
    request(client, whole).await
}

/// Requests a synchronization of the sites that are meant.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn request(client: &Client, wanted: StartSyncRequest) -> anyhow::Result<Started> {
    let before = sites(client).await?;
    let request = crate::connection::question(wanted);
    let answer = client.sync().start_sync(request).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, "starting the synchronization"))?
        .into_inner();
    Ok(Started {
        run: answer.run,
        queued: answer.queued,
        asked: answer.asked,
        not_connected: answer.not_connected,
        before,
    })
}

/// The sites of the hierarchy as they are now.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn sites(client: &Client) -> anyhow::Result<Hierarchy> {
    let request = crate::connection::question(ListSitesRequest {});
    let answer = client.hierarchy().list_sites(request).await;
    let answer = answer.map_err(|status| explain(status, &client.server, "listing the sites"))?;
    Ok(Hierarchy::new(answer.into_inner().sites))
}

/// Reports as they come; a conversation that breaks off is begun again.
pub struct Watch {
    client: Client,
    stream: Option<Streaming<WatchSyncResponse>>,
    failures: u32,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the site that is asked refuses or does not answer.
    pub async fn open(client: &Client) -> anyhow::Result<Self> {
        let stream = Self::dial(client)
            .await
            .map_err(|status| explain(status, &client.server, "watching the sites"))?;
        Ok(Self {
            client: client.clone(),
            stream: Some(stream),
            failures: 0,
        })
    }

    async fn dial(client: &Client) -> Result<Streaming<WatchSyncResponse>, tonic::Status> {
        // No deadline: the stream lasts as long as somebody watches.
        let answer = client.sync().watch_sync(WatchSyncRequest {}).await?;
        Ok(answer.into_inner())
    }

    /// The sites as they are now, then at each change. May be dropped and called again.
    ///
    /// # Errors
    /// When the site stays away, or refuses.
    pub async fn next(&mut self) -> anyhow::Result<Hierarchy> {
        loop {
            let Some(stream) = &mut self.stream else {
                // A site that only closed the conversation is asked again at once.
                if self.failures > 1 {
                    tokio::time::sleep(RESUMPTION_PAUSE).await;
                }
                match Self::dial(&self.client).await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(status) => self.broke_off(status)?,
                }
                continue;
            };
            match stream.next().await {
                Some(Ok(response)) => {
                    self.failures = 0;
                    return Ok(Hierarchy::new(response.sites));
                }
                Some(Err(status)) => self.broke_off(status)?,
                None => self.broke_off(tonic::Status::unavailable(
                    "the site ended the conversation",
                ))?,
            }
        }
    }

    fn broke_off(&mut self, status: tonic::Status) -> anyhow::Result<()> {
        self.stream = None;
        self.failures += 1;
        let refused = matches!(
            status.code(),
            Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented
        );
        if refused || self.failures > RESUMPTIONS {
            return Err(explain(status, &self.client.server, "watching the sites"));
        }
        Ok(())
    }
}

/// Follows a synchronization to its end, or until `timeout` passed. `show` is called with what is
/// known, at every report and several times a second.
///
/// # Errors
/// When the site that is asked stays away, or what `show` writes cannot be written.
pub async fn follow(
    client: &Client,
    started: &Started,
    timeout: Option<Duration>,
    mut show: impl FnMut(&Hierarchy, &Progress) -> anyhow::Result<()>,
) -> anyhow::Result<(Hierarchy, Verdict)> {
    let mut tracker = Tracker::new(&started.run, started.queued, &started.before);
    let mut watch = Watch::open(client).await?;
    let mut hierarchy = started.before.clone();
    let begun = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = watch.next() => hierarchy = next?,
            _ = tick.tick() => {}
        }
        let elapsed = begun.elapsed();
        let progress = tracker.observe(&hierarchy, elapsed);
        show(&hierarchy, &progress)?;
        if let Some(verdict) = progress.verdict {
            return Ok((hierarchy, verdict));
        }
        if timeout.is_some_and(|timeout| elapsed >= timeout) {
            return Ok((hierarchy, Verdict::timed_out(progress.sites)));
        }
    }
}

#[cfg(test)]
mod tests;
