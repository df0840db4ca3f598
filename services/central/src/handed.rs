//! What is handed to a top-level site to be taken in, beside its synchronization source: a package, or the names
//! of updates. It is done by the engine, as a run of its own, so that nothing else adds to the log meanwhile.

use crate::ingest::{ImportedUpdates, UpdateWanted, WsusUpstream};
use crate::package::{Error, Taken, Taking};
use std::sync::PoisonError;
use std::time::Duration;
use sync::{EngineHandle, Failure, Request, RunHandle, Source, Trigger};
use tokio::sync::oneshot;
use uuid::Uuid;

const ORIGIN: &str = "Import";
/// What may wait at a time.
const MOST_WAITING: usize = 16;
/// How often it is looked whether what waits will be done at all.
const LOOK: Duration = Duration::from_millis(500);
/// After so many looks in a row it will not be.
const MOST_LOOKS: u32 = 4;

/// What is to be taken in.
pub(crate) enum Work {
    /// A package that was found good.
    Package(Box<Taking>),
    /// Single updates.
    Updates(Vec<UpdateWanted>),
}

/// What came of it.
pub(crate) enum Outcome {
    Package(Taken),
    Updates(ImportedUpdates),
}

/// What waits to be taken in.
pub(crate) struct Job {
    run: Uuid,
    work: Work,
    done: oneshot::Sender<Result<Outcome, Error>>,
}

fn failed(error: &Error) -> Failure {
    let failure = if let Error::Run(failure) = error {
        failure.as_ref().clone()
    } else {
        Failure::new(ORIGIN, error)
    };
    // What was handed in has to be handed in again.
    failure.until_asked()
}

impl WsusUpstream {
    fn jobs(&self) -> std::sync::MutexGuard<'_, Vec<Job>> {
        // Each change is one insertion or removal.
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has something taken in as a run, and waits for its end: which run it was, and what came of it.
    pub(crate) async fn hand_in(
        &self,
        engine: &EngineHandle,
        work: Work,
    ) -> Result<(Uuid, Outcome), Error> {
        let source = match work {
            Work::Package(_) => Source::Package,
            Work::Updates(_) => Source::Updates,
        };
        let run = self.ambient.new_id();
        let (done, mut outcome) = oneshot::channel();
        {
            let mut jobs = self.jobs();
            if jobs.len() >= MOST_WAITING {
                return Err(Error::Busy);
            }
            jobs.push(Job { run, work, done });
        }
        let (run, _) = engine.request(Request {
            run: Some(run),
            source,
            ..Request::new(Trigger::Manual)
        });
        let mut looks = 0;
        loop {
            tokio::select! {
                outcome = &mut outcome => {
                    return match outcome {
                        Ok(outcome) => Ok((run, outcome?)),
                        Err(_) => Err(Error::Cancelled),
                    };
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            // A run that is about to begin is not seen for a moment.
            looks = match self.is_given_up(engine, run) {
                true => looks + 1,
                false => 0,
            };
            if looks == MOST_LOOKS {
                // It may have been taken right before: then its outcome comes.
                self.jobs().retain(|job| job.run != run);
            }
        }
    }

    /// Whether the run that was asked for will not be done, or ended without having looked.
    fn is_given_up(&self, engine: &EngineHandle, run: Uuid) -> bool {
        let waits = self.jobs().iter().any(|job| job.run == run);
        let state = engine.state();
        let ended = state
            .run
            .as_ref()
            .is_some_and(|last| last.id == run && last.state.finished().is_some());
        waits && (ended || (!engine.is_to_begin(run) && !state.running()))
    }

    /// Takes in what was handed to the site. The position reached, where the run is for nothing else.
    pub(crate) async fn take_in_what_was_handed(
        &self,
        run: &RunHandle,
    ) -> Result<Option<u64>, Failure> {
        let mut result = Ok(());
        loop {
            let next = {
                let mut jobs = self.jobs();
                (!jobs.is_empty()).then(|| jobs.remove(0))
            };
            let Some(Job { work, done, .. }) = next else {
                break;
            };
            let outcome = match work {
                Work::Package(taking) => taking.take_in(self, run).await.map(Outcome::Package),
                Work::Updates(wanted) => self
                    .import_updates(run, wanted)
                    .await
                    .map(Outcome::Updates)
                    .map_err(|failure| Error::Run(Box::new(failure))),
            };
            if let Err(error) = &outcome {
                let failure = failed(error);
                run.line(format!(
                    "What was handed in was not taken: {}",
                    failure.message
                ));
                result = Err(failure);
            }
            if matches!(outcome, Ok(Outcome::Updates(_))) {
                self.await_licence_terms(run).await;
            }
            // Whoever waited may be gone.
            let _ = done.send(outcome);
        }
        match run.source() {
            Source::Upstream => Ok(None),
            Source::Package | Source::Updates => {
                result.map(|()| Some(self.store.positions().verified))
            }
        }
    }
}
