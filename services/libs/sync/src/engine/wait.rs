//! What the engine waits for between two runs: that somebody asks, or that it is time by itself.

use super::history::WRITE_AGAIN;
use super::{Engine, Reason, Request, again};
use crate::run::Trigger;
use crate::upstream::Upstream;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A retry whose time moves by more than this is told again.
const NEWS: SignedDuration = SignedDuration::from_mins(1);

/// What there was to take.
enum Taken {
    /// A run, and what cancels it.
    Run(Request, CancellationToken),
    /// What a site begins by itself, which waits for the end of a window.
    Held(Alarm),
    Nothing,
}

/// When the engine runs without being asked.
#[derive(Clone, Copy)]
struct Alarm {
    trigger: Trigger,
    /// After which delay; none: never.
    delay: Option<Duration>,
    /// The end of the delay.
    at: Instant,
    /// The same as clocks show it.
    time: Option<Timestamp>,
}

impl Alarm {
    fn after(delay: Option<Duration>, trigger: Trigger, now: Timestamp) -> Self {
        Self {
            trigger,
            delay,
            at: Instant::now() + delay.unwrap_or_default(),
            time: delay.and_then(|delay| now.checked_add(delay).ok()),
        }
    }

    /// Waits for it.
    async fn ring(&self) {
        match self.delay {
            Some(_) => tokio::time::sleep_until(self.at).await,
            None => std::future::pending().await,
        }
    }

    /// The delay and the time, where it is a retry.
    fn as_retry(&self) -> Option<(Duration, Timestamp)> {
        match self.trigger {
            Trigger::Retry => self.delay.zip(self.time),
            Trigger::Manual | Trigger::Schedule | Trigger::Parent | Trigger::Poll => None,
        }
    }
}

impl<U: Upstream> Engine<U> {
    /// Takes what was asked for, and lets a cancel from now on mean this run.
    async fn take(&self) -> Taken {
        let (joined, given_up, taken) = {
            let mut pending = self.shared.pending();
            let given_up = std::mem::take(&mut pending.given_up);
            let patient = pending.next.filter(|next| !next.urgent);
            let held = patient.and_then(|next| self.held(next.trigger));
            let (joined, taken) = match (held, pending.next) {
                (Some(alarm), _) => (Vec::new(), Taken::Held(alarm)),
                (None, None) => (Vec::new(), Taken::Nothing),
                (None, Some(mut request)) => {
                    request.run = request.run.or_else(|| Some(self.ambient.new_id()));
                    let cancel = CancellationToken::new();
                    *self.shared.cancel() = cancel.clone();
                    pending.next = None;
                    pending.taken = request.run;
                    let joined = std::mem::take(&mut pending.joined);
                    (joined, Taken::Run(request, cancel))
                }
            };
            (joined, given_up, taken)
        };
        self.tell_given_up(given_up).await;
        if let Taken::Run(request, _) = &taken
            && let Some(run) = request.run
        {
            self.tell_joined(joined, run).await;
        }
        taken
    }

    /// Until when a run waits that a site begins by itself for this reason; none where it may begin now.
    fn held(&self, trigger: Trigger) -> Option<Alarm> {
        if !trigger.is_by_itself() {
            return None;
        }
        let now = self.ambient.now();
        let delay = self.until_open(now);
        (!delay.is_zero()).then(|| Alarm::after(Some(delay), trigger, now))
    }

    /// How long after `at` it is until runs may start by themselves.
    fn until_open(&self, at: Timestamp) -> Duration {
        let opens = self.shared.policy.borrow().opens(at);
        Duration::try_from(opens.duration_since(at)).unwrap_or_default()
    }

    /// Waits for a reason to run. A retry asks for what `last` asked for; one that is cancelled counts as
    /// done with, and `failures` is then 0.
    pub(super) async fn wait(
        &self,
        failures: &mut u32,
        last: Request,
        stop: &CancellationToken,
    ) -> Reason {
        let give_up = CancellationToken::new();
        {
            let _pending = self.shared.pending();
            *self.shared.cancel() = give_up.clone();
        }
        let mut policy = self.shared.policy.subscribe();
        let began = Instant::now();
        let mut told = None;
        let mut alarm = self.alarm(*failures, began);
        loop {
            let held = match self.take().await {
                Taken::Run(request, cancel) => return Reason::Request(request, cancel),
                Taken::Held(held) => Some(held),
                Taken::Nothing => None,
            };
            let retry = alarm.as_retry();
            let retry = retry.or_else(|| held.and_then(|held| held.as_retry()));
            self.show_retry(retry, (*failures).max(1), &mut told).await;
            let held = held.unwrap_or(Alarm {
                delay: None,
                ..alarm
            });
            tokio::select! {
                () = stop.cancelled() => return Reason::Stop,
                () = self.shared.wake.notified() => {}
                // What is held is looked at again at the top of the loop.
                () = held.ring() => {}
                () = tokio::time::sleep(WRITE_AGAIN), if self.history.is_behind() => {
                    self.history.write_again().await;
                }
                () = give_up.cancelled(), if *failures > 0 => {
                    *failures = 0;
                    alarm = self.alarm(0, began);
                }
                Ok(()) = policy.changed() => {
                    if *failures > 0 {
                        alarm = self.alarm(*failures, began);
                    }
                }
                () = alarm.ring() => {
                    if self.held(alarm.trigger).is_some() {
                        // The clock was set meanwhile.
                        alarm = self.alarm(*failures, began);
                        continue;
                    }
                    let again = match alarm.trigger {
                        Trigger::Retry => Request {
                            run: again(self.upstream.as_ref(), last.run),
                            at: None,
                            trigger: alarm.trigger,
                            ..last
                        },
                        Trigger::Manual
                        | Trigger::Schedule
                        | Trigger::Parent
                        | Trigger::Poll => Request::new(alarm.trigger),
                    };
                    // What comes of it is taken at the top of the loop.
                    let _ = self.handle().request(again);
                }
            }
        }
    }

    /// When the engine, which waits since it `began` to, runs without being asked.
    fn alarm(&self, failures: u32, began: Instant) -> Alarm {
        let now = self.ambient.now();
        if failures == 0 {
            let poll = self.settings.poll.map(|poll| self.ambient.jitter(poll));
            return Alarm::after(poll, Trigger::Poll, now);
        }
        let mut policy = self.shared.policy.borrow().clone();
        policy.retry_first = self.settings.retry_first.unwrap_or(policy.retry_first);
        policy.retry_most = self.settings.retry_most.unwrap_or(policy.retry_most);
        let delay = self.ambient.jitter(policy.retry_delay(failures));
        let delay = delay.saturating_sub(began.elapsed());
        let closed = now
            .checked_add(delay)
            .map_or(Duration::ZERO, |at| self.until_open(at));
        Alarm::after(Some(delay + closed), Trigger::Retry, now)
    }

    /// Shows when the next retry is, and tells it where nobody was told yet, or another time.
    async fn show_retry(
        &self,
        retry: Option<(Duration, Timestamp)>,
        failures: u32,
        told: &mut Option<Timestamp>,
    ) {
        let Some((delay, time)) = retry else {
            if told.take().is_some() {
                self.show_next_attempt(None);
            }
            return;
        };
        self.show_next_attempt(Some(time));
        let is_news = |told: Timestamp| time.duration_since(told).abs() > NEWS;
        if told.is_none_or(is_news) {
            *told = Some(time);
            self.tell_retry(delay, failures).await;
        }
    }

    fn show_next_attempt(&self, next: Option<Timestamp>) {
        self.shared.state.send_if_modified(|state| {
            let changed = state.next_attempt != next;
            state.next_attempt = next;
            changed
        });
    }
}
