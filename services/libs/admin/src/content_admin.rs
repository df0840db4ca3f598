//! The update files of this site: what is here, what is to come, and looking after it. Served alike at every site,
//! each for itself.

mod keeping;
mod list;

pub use keeping::{CleaningUp, planner};

use crate::reading::{Answers, Caller, Reading, internal};
use catalog::language::Wanted;
use content::cleanup::{self, CleanError};
use content::import::{self, ImportError};
use content::plan::Planner;
use content::verify::{self, VerifyError};
use content::{import::Progress as Imported, verify::Progress as Verified};
use futures::future::{self, BoxFuture};
use futures::{FutureExt as _, stream};
use settings::document::{Cleanup, Content};
use std::path::PathBuf;
use std::time::Duration;
use store::content::ContentSum;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};
use trust::Role;
use wire::v1::content_service_server::ContentService;
use wire::v1::{
    CleanContentRequest, CleanContentResponse, ContentCount, GetContentUsageRequest,
    GetContentUsageResponse, ImportContentRequest, ImportContentResponse, ListContentRequest,
    ListContentResponse, RetryContentRequest, RetryContentResponse, VerifyContentRequest,
    VerifyContentResponse,
};

/// Progress is told this often at most.
const TOLD_EVERY: Duration = Duration::from_millis(250);
/// Answers that wait for a slow reader.
const WAITING: usize = 8;
/// Longest directory name that is taken.
const MOST_PATH: usize = 4096;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct ContentAdmin {
    /// The reading part of the admin API.
    pub reading: Reading,
    /// The content of this site.
    pub content: content::Content,
    /// Which files are needed.
    pub planner: Planner,
    /// The tasks of the process: what is under way is waited for at its end.
    pub tasks: TaskTracker,
}

fn count(sum: ContentSum) -> ContentCount {
    ContentCount {
        files: sum.files,
        bytes: sum.bytes,
    }
}

fn failed(error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "a call about update files could not be served");
    Status::internal(sync::upstream::with_causes(error))
}

/// Tells progress now and then, and to its end.
struct Teller<T> {
    to: mpsc::Sender<Result<T, Status>>,
    due: Instant,
}

impl<T: Send + 'static> Teller<T> {
    /// Tells it if it is time to; whether somebody listens still.
    fn tell(&mut self, always: bool, make: impl FnOnce() -> T) -> BoxFuture<'static, bool> {
        let to = self.to.clone();
        if !always && Instant::now() < self.due {
            return future::ready(!to.is_closed()).boxed();
        }
        self.due = Instant::now() + TOLD_EVERY;
        let told = make();
        async move { to.send(Ok(told)).await.is_ok() }.boxed()
    }
}

impl ContentAdmin {
    /// Work whose progress is an answer after the other. It ends with the call, with the access token that was shown, or
    /// with the site: after the file that it is at.
    fn answers<T: Send + 'static, F>(
        &self,
        caller: Caller,
        work: impl FnOnce(Teller<T>) -> F,
    ) -> Result<Response<Answers<T>>, Status>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (to, from) = mpsc::channel(WAITING);
        let answers = stream::unfold(from, |mut from| async move {
            let answer = from.recv().await?;
            Some((answer, from))
        });
        // Before anything is begun: there may be no place for it.
        let answers = self.reading.listen(caller, answers)?;
        let teller = Teller {
            to,
            due: Instant::now(),
        };
        let (work, stop) = (work(teller), self.reading.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Response::new(answers))
    }

    /// What is chosen for this site.
    fn chosen(&self) -> (Content, Cleanup, String) {
        let settings = self.reading.settings.borrow();
        settings.as_deref().map_or_else(
            || {
                // Nobody changed any settings: the defaults hold.
                let all = Wanted::All.to_string();
                (Content::default(), Cleanup::default(), all)
            },
            |rolled_out| {
                let site = self.reading.site.code.site();
                let parent = self.reading.parent().map(catalog::PointId::site);
                (
                    rolled_out.content(site, parent),
                    rolled_out.settings.cleanup.clone(),
                    rolled_out.update_files(site, parent).to_string(),
                )
            },
        )
    }
}

fn verified(progress: &Verified, done: bool) -> VerifyContentResponse {
    VerifyContentResponse {
        files: progress.files,
        bytes: progress.bytes,
        total_files: progress.total_files,
        total_bytes: progress.total_bytes,
        damaged: progress.damaged,
        missing: progress.missing,
        found: progress.found.clone(),
        done,
    }
}

fn imported(progress: &Imported, done: bool) -> ImportContentResponse {
    ImportContentResponse {
        files: progress.files,
        bytes: progress.bytes,
        taken: Some(count(progress.taken)),
        held: progress.held,
        unneeded: progress.unneeded,
        unknown: progress.unknown,
        problems: progress.problems.clone(),
        done,
    }
}

#[tonic::async_trait]
impl ContentService for ContentAdmin {
    type VerifyContentStream = Answers<VerifyContentResponse>;
    type ImportContentStream = Answers<ImportContentResponse>;

    async fn get_content_usage(
        &self,
        request: Request<GetContentUsageRequest>,
    ) -> Result<Response<GetContentUsageResponse>, Status> {
        self.reading.authorize(&request, Role::Viewer).await?;
        let (content, cleanup, languages) = self.chosen();
        let before = cleanup::days_before(self.reading.site.ambient.now(), cleanup.content_days);
        let looked = async {
            let mut read = self.reading.site.store.read().await?;
            let totals = read.content_totals().await?;
            let (removable, _) = read.count_unneeded_content(before).await?;
            let terms = read.missing_licence_terms().await?;
            Ok((totals, removable, terms.files))
        };
        let (totals, removable, missing_licence_terms) = looked.await.map_err(internal)?;
        let window = content.window();
        let time = |time: jiff::civil::Time| time.to_string();
        Ok(Response::new(GetContentUsageResponse {
            present: Some(count(totals.present)),
            wanted: Some(ContentCount {
                files: totals.files_to_go(),
                bytes: totals.bytes_to_go(),
            }),
            quarantined: Some(count(totals.quarantined)),
            unneeded: Some(count(totals.unneeded)),
            removable: cleanup.unneeded_content.then(|| count(removable)),
            failing: totals.failing,
            missing_licence_terms,
            place: self.content.files().place(),
            download: content.download.word().to_owned(),
            express: content.express,
            languages,
            parallel_downloads: content.parallel_downloads.into(),
            maximum_transfer_rate: content.maximum_transfer_rate,
            window_from: window.map(|(from, _)| time(from)).unwrap_or_default(),
            window_to: window.map(|(_, to)| time(to)).unwrap_or_default(),
        }))
    }

    async fn list_content(
        &self,
        request: Request<ListContentRequest>,
    ) -> Result<Response<ListContentResponse>, Status> {
        self.reading.authorize(&request, Role::Viewer).await?;
        let listed = list::list(&self.reading.site.store, request.get_ref()).await?;
        Ok(Response::new(listed))
    }

    async fn verify_content(
        &self,
        request: Request<VerifyContentRequest>,
    ) -> Result<Response<Self::VerifyContentStream>, Status> {
        let caller = self.reading.authorize(&request, Role::Operator).await?;
        let site = self.reading.site.clone();
        let content = self.content.clone();
        self.answers(caller, move |mut teller| async move {
            let told = verify::verify(&site.store, &content, |progress| {
                let always = !progress.found.is_empty();
                teller.tell(always, || verified(progress, false))
            });
            let last = match told.await {
                Ok(progress) => Ok(verified(&progress, true)),
                Err(VerifyError::Store(error)) => Err(internal(error)),
                Err(error @ VerifyError::Files { .. }) => Err(failed(&error)),
            };
            drop(teller.to.send(last).await);
        })
    }

    async fn import_content(
        &self,
        request: Request<ImportContentRequest>,
    ) -> Result<Response<Self::ImportContentStream>, Status> {
        // It reads files of the machine with the rights of the service.
        let caller = self
            .reading
            .authorize(&request, Role::Administrator)
            .await?;
        let request = request.into_inner();
        if request.directory.len() > MOST_PATH {
            return Err(Status::invalid_argument("the directory's name is too long"));
        }
        tracing::info!(
            who = caller.name,
            directory = request.directory,
            "files are taken in"
        );
        let content = self.content.clone();
        self.answers(caller, move |mut teller| async move {
            let directory = PathBuf::from(request.directory);
            let told = import::import(&content, &directory, request.dry_run, |progress| {
                teller.tell(false, || imported(progress, false))
            });
            let last = match told.await {
                Ok(progress) => Ok(imported(&progress, true)),
                Err(ImportError::Store(error)) => Err(internal(error)),
                Err(error @ ImportError::Directory(_)) => {
                    Err(Status::invalid_argument(error.to_string()))
                }
            };
            drop(teller.to.send(last).await);
        })
    }

    async fn retry_content(
        &self,
        request: Request<RetryContentRequest>,
    ) -> Result<Response<RetryContentResponse>, Status> {
        self.reading.authorize(&request, Role::Operator).await?;
        let now = self.reading.site.ambient.now();
        let retry = async {
            let mut tx = self.reading.site.store.begin().await?;
            let files = tx.retry_content(now).await?;
            tx.commit().await?;
            Ok(files)
        };
        let files = retry.await.map_err(internal)?;
        self.content.try_now();
        Ok(Response::new(RetryContentResponse { files }))
    }

    async fn clean_content(
        &self,
        request: Request<CleanContentRequest>,
    ) -> Result<Response<CleanContentResponse>, Status> {
        self.reading.authorize(&request, Role::Operator).await?;
        let (_, rule, _) = self.chosen();
        let dry_run = request.get_ref().dry_run;
        let site = &self.reading.site;
        let cleaned = cleanup::clean(
            &site.store,
            &self.content,
            &site.ambient,
            rule.content_days,
            dry_run,
        );
        let outcome = cleaned.await.map_err(|error| match error {
            CleanError::Store(error) => internal(error),
            CleanError::Files { .. } => failed(&error),
        })?;
        Ok(Response::new(CleanContentResponse {
            enabled: rule.unneeded_content,
            removed: Some(count(outcome.removed)),
            kept: Some(count(outcome.kept)),
            busy: outcome.busy,
        }))
    }
}
