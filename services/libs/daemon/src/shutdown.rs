//! How a process ends: the first signal drains, a second one or the deadline stops.

use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A wish of the system or of a person that the process should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// The service manager.
    Terminate,
}

/// How the process ended; becomes its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything came to its end: 0.
    Drained,
    /// A task that the process cannot do without broke: 1. The service manager starts it again.
    Failed,
    /// Tasks were still busy at the deadline and were dropped: 3. Nothing that was committed is lost.
    DeadlinePassed,
    /// A second signal came: 130 or 143, as a shell expects.
    Forced(Signal),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Failed => 1,
            Self::DeadlinePassed => 3,
            Self::Forced(Signal::Interrupt) => 130,
            Self::Forced(Signal::Terminate) => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The signals of the operating system. Installed first thing, so that none is missed or kills.
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over from their defaults. Needs a tokio runtime.
    pub fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// Who owns all tasks of a process and tells them when to end. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tracker: TaskTracker,
    failed: Arc<AtomicBool>,
}

impl Shutdown {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Is cancelled when draining begins: finish what is under way, begin nothing new.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The tracker of all tasks, for libraries that spawn their own.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Starts a task that the process cannot do without. If it panics, that is logged and the whole
    /// process drains with [`Exit::Failed`] instead of living on without it.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let running = self.tracker.spawn(task);
        let shutdown = self.clone();
        self.tracker.spawn(async move {
            if let Err(error) = running.await {
                tracing::error!(task = name, %error, "a task broke, the process ends");
                shutdown.fail();
            }
        });
    }

    /// Begins draining without a signal, as when a person asked for it.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Begins draining because something broke that the process cannot do without.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.token.cancel();
    }

    /// Waits for a signal or a request, then until all tasks have ended, for at most `drain`.
    pub async fn wait(self, mut signals: Signals, drain: Duration) -> Exit {
        self.wait_for(async || signals.next().await, drain).await
    }

    async fn wait_for(self, mut next: impl AsyncFnMut() -> Signal, drain: Duration) -> Exit {
        tokio::select! {
            signal = next() => tracing::info!(?signal, "draining"),
            () = self.token.cancelled() => tracing::info!("draining"),
        }
        crate::service_manager::stopping();
        self.token.cancel();
        self.tracker.close();
        tokio::select! {
            biased;
            () = self.tracker.wait() => {
                if self.failed.load(Ordering::SeqCst) { Exit::Failed } else { Exit::Drained }
            }
            signal = next() => Exit::Forced(signal),
            () = tokio::time::sleep(drain) => {
                tracing::warn!(tasks = self.tracker.len(), "tasks were still busy at the deadline");
                Exit::DeadlinePassed
            }
        }
    }
}

#[cfg(test)]
mod tests;
