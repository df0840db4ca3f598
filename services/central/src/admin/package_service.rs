//! Packages: uploading, importing and exporting them, and fetching single updates.

use super::{Admin, internal};
use crate::ingest::UpdateWanted;
use crate::package::manifest::FilesKind;
use crate::package::origin::Allowed;
use crate::package::{Error, ExportWanted, Exported, Order, Piece, Report, Since};
use ::admin::reading::Answers;
use catalog::Problem;
use std::sync::Arc;
use std::time::Duration;
use sync::upstream::with_causes;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use trust::Role;
use wire::v1::export_package_response::Message as ExportMessage;
use wire::v1::import_package_response::Message as ImportMessage;
use wire::v1::package_service_server::PackageService;
use wire::v1::{
    ExportPackageRequest, ExportPackageResponse, ExportReport, ImportPackageRequest,
    ImportPackageResponse, ImportReport, ImportUpdatesRequest, ImportUpdatesResponse,
    ImportedUpdate, OfferPackageRequest, OfferPackageResponse, PackageFormat, PackageProgress,
    UploadPackageRequest, UploadPackageResponse,
};

/// Bytes of one message of an upload, at most.
const MOST_DATA: usize = 1 << 20;
/// Answers that wait for whoever is slow to take them.
const WAITING: usize = 8;
/// How long it is waited for whoever is slow to take why an export failed.
const MOST_WAIT: Duration = Duration::from_secs(60);
/// Updates of one call, at most.
const MOST_UPDATES: usize = 50;
/// Longest name of a package.
const MOST_NAME: usize = 200;

/// The one place that knows both worlds.
fn told(error: Error) -> Status {
    if let Error::Store(error) = error {
        return internal(error);
    }
    let text = with_causes(&error);
    match error {
        Error::NotOffered => Status::not_found(text),
        Error::Busy | Error::Cancelled | Error::Restless | Error::NotTaken => Status::aborted(text),
        Error::Io(_) => {
            tracing::error!(error = %text, "the spool of packages failed");
            Status::internal(
                "the spool of packages in the data directory failed; its log says more",
            )
        }
        Error::Gap { .. } | Error::Different => Status::aborted(text),
        // The catalog in the package was taken in.
        Error::Files { .. } => Status::internal(text),
        Error::NoRoom { .. }
        | Error::NoRoomForFiles { .. }
        | Error::TooManyFiles { .. }
        | Error::TooLarge { .. } => Status::resource_exhausted(text),
        Error::Store(_)
        | Error::NotAPackage
        | Error::Gzip
        | Error::UnknownVersion(_)
        | Error::Truncated
        | Error::Altered(_)
        | Error::Wsusutil(_)
        | Error::Revision { .. }
        | Error::Trick(_)
        | Error::Unsigned
        | Error::UnknownKey { .. }
        | Error::OtherKeyNamed { .. }
        | Error::OtherHierarchy { .. }
        | Error::Own
        | Error::WrongOrder { .. }
        | Error::Older { .. }
        | Error::OtherEpoch { .. }
        | Error::OtherHistory { .. }
        | Error::RowsLost
        | Error::BelowFloor { .. }
        | Error::Beyond { .. }
        | Error::NoLast
        | Error::Nothing
        | Error::OnlyOwnFormat(_)
        | Error::File { .. }
        | Error::Run(_) => Status::failed_precondition(text),
    }
}

fn invalid(why: impl Into<String>) -> Status {
    Status::invalid_argument(why)
}

fn digest(bytes: &[u8]) -> Result<[u8; 32], Status> {
    bytes
        .try_into()
        .map_err(|_| invalid("a package is named by the 32 bytes of its BLAKE3"))
}

fn order(request: ImportPackageRequest) -> Result<Order, Status> {
    let key = match request.key.as_str() {
        "" => None,
        key => Some(
            key.parse()
                .map_err(|error: trust::package::KeyError| invalid(error.to_string()))?,
        ),
    };
    if request.name.len() > MOST_NAME {
        return Err(invalid(format!("the name has more than {MOST_NAME} bytes")));
    }
    Ok(Order {
        digest: digest(&request.digest)?,
        name: Problem::new(request.name).to_string(),
        allowed: Allowed {
            trust: request.trust,
            key,
            rehome: request.rehome,
        },
        approvals: request.approvals,
        settings: request.settings,
        without_content: request.without_content,
        dry_run: request.dry_run,
    })
}

fn reported(report: Report) -> ImportReport {
    let taken = report.taken;
    ImportReport {
        format: report.format.to_owned(),
        origin: report.origin,
        revisions: report.revisions,
        added: taken.added,
        revised: taken.revised,
        expired: taken.expired,
        held: taken.held,
        refused: taken.refused,
        removed: taken.removed,
        approvals: taken.approvals,
        settings_version: report.settings_version,
        dry_run: report.dry_run,
        run: report
            .run
            .map(|run| run.as_bytes().to_vec())
            .unwrap_or_default(),
        position: taken.position,
        full: report.full,
        base: report.range.0,
        through: report.range.1,
        key: report.key,
        remarks: report.remarks,
        files: report.files.files,
        file_bytes: report.files.bytes,
        files_taken: report.files.taken,
        file_bytes_taken: report.files.taken_bytes,
        files_held: report.files.held,
        files_refused: report.files.refused,
    }
}

fn progress(step: &str, done: u64, total: u64) -> PackageProgress {
    PackageProgress {
        step: step.to_owned(),
        done,
        total,
    }
}

fn exported(report: Exported) -> ExportReport {
    ExportReport {
        revisions: report.revisions,
        removals: report.removals,
        approvals: report.approvals,
        settings: report.settings,
        bytes: report.bytes,
        base: report.base,
        position: report.position,
        key: report.key,
        files: report.files.map_or(0, |carried| carried.files),
        file_bytes: report.files.map_or(0, |carried| carried.bytes),
        files_absent: report.absent,
    }
}

fn export_wanted(request: ExportPackageRequest) -> Result<ExportWanted, Status> {
    let wsusutil = match request.format() {
        PackageFormat::Wsusutil => true,
        PackageFormat::Headwater => false,
        PackageFormat::Unspecified => return Err(invalid("name the format of the package")),
    };
    let since = match (request.since, request.since_last) {
        (Some(_), true) => {
            return Err(invalid(
                "a package begins after a position or after the last one",
            ));
        }
        (Some(position), false) => Since::Position(position),
        (None, true) => Since::Last,
        (None, false) => Since::Beginning,
    };
    Ok(ExportWanted {
        wsusutil,
        since,
        approvals: request.approvals,
        settings: request.settings,
        files: match (request.content, request.licence_terms) {
            (true, _) => Some(FilesKind::Content),
            (false, true) => Some(FilesKind::LicenceTerms),
            (false, false) => None,
        },
        dry_run: request.dry_run,
    })
}

fn wanted(texts: &[String]) -> Result<Vec<UpdateWanted>, Status> {
    if texts.is_empty() || texts.len() > MOST_UPDATES {
        return Err(invalid(format!("name one update to {MOST_UPDATES}")));
    }
    let one = |text: &String| {
        let bad = || {
            let shown = Problem::new(text);
            invalid(format!("{shown} is neither GUID nor GUID.REVISION"))
        };
        let (id, revision) = match text.trim().split_once('.') {
            Some((id, revision)) => (id, Some(revision.parse().map_err(|_| bad())?)),
            None => (text.trim(), None),
        };
        let id = id.parse().map_err(|_| bad())?;
        Ok(UpdateWanted { id, revision })
    };
    texts.iter().map(one).collect()
}

#[tonic::async_trait]
impl PackageService for Admin {
    type ImportPackageStream = Answers<ImportPackageResponse>;
    type ExportPackageStream = Answers<ExportPackageResponse>;

    async fn offer_package(
        &self,
        request: Request<OfferPackageRequest>,
    ) -> Result<Response<OfferPackageResponse>, Status> {
        self.authorize(&request, Role::Administrator).await?;
        let request = request.into_inner();
        let digest = digest(&request.digest)?;
        let held = self.packages.offer(digest, request.size).await;
        let held = held.map_err(told)?;
        Ok(Response::new(OfferPackageResponse { held }))
    }

    async fn upload_package(
        &self,
        request: Request<Streaming<UploadPackageRequest>>,
    ) -> Result<Response<UploadPackageResponse>, Status> {
        self.authorize(&request, Role::Administrator).await?;
        let mut messages = request.into_inner();
        let mut of = None;
        let mut held = 0;
        while let Some(message) = messages.message().await? {
            let digest = match of {
                Some(digest) => digest,
                None => *of.insert(digest(&message.digest)?),
            };
            if message.data.len() > MOST_DATA {
                return Err(invalid(format!(
                    "a message has more than {MOST_DATA} bytes"
                )));
            }
            let appended = self.packages.append(digest, message.offset, message.data);
            held = appended.await.map_err(told)?;
        }
        Ok(Response::new(UploadPackageResponse { held }))
    }

    async fn import_package(
        &self,
        request: Request<ImportPackageRequest>,
    ) -> Result<Response<Self::ImportPackageStream>, Status> {
        let caller = self.authorize(&request, Role::Administrator).await?;
        let order = order(request.into_inner())?;
        let (answers, receiver) = mpsc::channel(WAITING);
        let packages = self.packages.clone();
        let steps = answers.clone();
        let told_of = move |step: &'static str, done, total| {
            let message = ImportMessage::Progress(progress(step, done, total));
            // Who is slow to look misses some of it.
            let _ = steps.try_send(Ok(ImportPackageResponse {
                message: Some(message),
            }));
        };
        // To its end, also where the caller does not wait: it is in the journal then.
        self.admission.beside(async move {
            let imported = packages
                .import(&caller.name, order, Arc::new(told_of))
                .await;
            let answer = imported.map_err(told).map(|report| ImportPackageResponse {
                message: Some(ImportMessage::Report(reported(report))),
            });
            // The caller may be gone.
            let _ = answers.send(answer).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn export_package(
        &self,
        request: Request<ExportPackageRequest>,
    ) -> Result<Response<Self::ExportPackageStream>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let wanted = export_wanted(request.into_inner())?;
        let (pieces, receiver) = mpsc::channel(WAITING);
        let packages = self.packages.clone();
        self.admission.beside(async move {
            if let Err(error) = packages.export(&caller.name, wanted, &pieces).await {
                // The caller may be gone, or take nothing.
                let _ = pieces.send_timeout(Err(error), MOST_WAIT).await;
            }
        });
        let answers = ReceiverStream::new(receiver).map(|piece| {
            let message = match piece.map_err(told)? {
                Piece::Progress(step, done, total) => {
                    ExportMessage::Progress(progress(step, done, total))
                }
                Piece::Data(data) => ExportMessage::Data(data),
                Piece::Done(report) => ExportMessage::Report(exported(report)),
            };
            Ok(ExportPackageResponse {
                message: Some(message),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn import_updates(
        &self,
        request: Request<ImportUpdatesRequest>,
    ) -> Result<Response<ImportUpdatesResponse>, Status> {
        self.authorize(&request, Role::Operator).await?;
        let texts = request.into_inner().updates;
        let wanted = wanted(&texts)?;
        let packages = self.packages.clone();
        let import = async move { packages.import_updates(wanted).await.map_err(told) };
        let (run, imported) = self.admission.to_the_end(import).await?;
        let updates = texts.into_iter().zip(imported.updates);
        let updates = updates.map(|(asked, found)| ImportedUpdate {
            asked,
            found: found
                .found
                .map_or_else(String::new, |(id, _)| id.to_string()),
            held: found.found.is_some_and(|(_, held)| held),
            why: found.why,
        });
        Ok(Response::new(ImportUpdatesResponse {
            run: run.as_bytes().to_vec(),
            updates: updates.collect(),
            received: imported.received,
            position: imported.position,
        }))
    }
}
