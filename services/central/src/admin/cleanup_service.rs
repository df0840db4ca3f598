//! Starting the clean-up, and what the last one did.

use super::{Admin, internal};
use crate::cleanup::Report;
use tonic::{Request, Response, Status};
use trust::Role;
use wire::convert::from_timestamp;
use wire::v1::cleanup_service_server::CleanupService;
use wire::v1::{
    CleanupReport, CleanupTask, GetCleanupReportRequest, GetCleanupReportResponse,
    RunCleanupRequest, RunCleanupResponse,
};

fn encoded(report: Report) -> CleanupReport {
    let tasks = report.entries.iter().map(|entry| CleanupTask {
        name: entry.task.name().to_owned(),
        enabled: entry.enabled,
        looked_at: entry.looked_at,
        done: entry.done,
        left: entry.left,
        milliseconds: entry.milliseconds,
    });
    CleanupReport {
        tasks: tasks.collect(),
        who: report.who,
        started: Some(from_timestamp(report.started)),
        finished: Some(from_timestamp(report.finished)),
        dry_run: report.dry_run,
        failure: report.failure,
    }
}

#[tonic::async_trait]
impl CleanupService for Admin {
    async fn run_cleanup(
        &self,
        request: Request<RunCleanupRequest>,
    ) -> Result<Response<RunCleanupResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let dry_run = request.get_ref().dry_run;
        let cleaner = self.cleaner.clone();
        // To its end, also where the caller does not wait: it is in the journal then.
        let clean = async move { Ok(cleaner.clean(&caller.name, dry_run).await) };
        let report = self.admission.to_the_end(clean).await?;
        Ok(Response::new(RunCleanupResponse {
            report: Some(encoded(report)),
        }))
    }

    async fn get_cleanup_report(
        &self,
        request: Request<GetCleanupReportRequest>,
    ) -> Result<Response<GetCleanupReportResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let report = self.cleaner.last().await.map_err(internal)?;
        Ok(Response::new(GetCleanupReportResponse {
            report: report.map(encoded),
        }))
    }
}
