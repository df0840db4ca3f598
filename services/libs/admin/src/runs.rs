//! What the runs of this site came to across all sites: lists, one run with every site's part in it, and a run as it
//! happens.

mod shown;
mod watch;

use crate::reading::{Answers, Reading, internal};
use catalog::PointId;
use jiff::Timestamp;
use journal::run_part::COMPLETED;
use shown::{Shown, live_of, parts_of};
use std::collections::{BTreeMap, HashSet};
use store::runs::RunRow;
use tonic::{Request, Response, Status};
use trust::Role;
use uuid::Uuid;
use wire::convert;
use wire::v1::run_service_server::RunService;
use wire::v1::{
    GetRunRequest, GetRunResponse, ListRunsRequest, ListRunsResponse, WatchRunRequest,
    WatchRunResponse,
};

/// Runs in one answer, unless told otherwise, and at most.
const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;

/// A place in the list of runs: behind this one.
fn place(token: &str) -> Result<Option<(Timestamp, Uuid)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let place = token.split_once('-').and_then(|(time, run)| {
        let time = Timestamp::from_millisecond(time.parse().ok()?).ok()?;
        Some((time, run.parse().ok()?))
    });
    match place {
        Some(place) => Ok(Some(place)),
        None => Err(Status::invalid_argument(
            "the page token is not one of ours",
        )),
    }
}

fn token(run: &RunRow) -> String {
    format!("{}-{}", run.started.as_millisecond(), run.id.simple())
}

impl Reading {
    /// A run as it is now, with every site's part in it; none where there is no such run.
    async fn run(&self, id: Uuid) -> Result<Option<Shown>, Status> {
        let found = async {
            let mut read = self.site.store.read().await?;
            Ok((read.run(id).await?, read.site_runs(id).await?))
        };
        let (row, rows) = found.await.map_err(internal)?;
        let Some(row) = row.or_else(|| self.begins(id)) else {
            return Ok(None);
        };
        let parts = parts_of(id, rows, &live_of(&self.site.reports.all(), id));
        Ok(Some(Shown::new(row, parts, &self.site.engine.state())))
    }

    /// A run that is not written down yet.
    fn begins(&self, id: Uuid) -> Option<RunRow> {
        let engine = &self.site.engine;
        let held = engine.state().run.filter(|run| run.id == id);
        if held.is_none() && !engine.is_to_begin(id) {
            return None;
        }
        let started = held.map_or_else(|| self.site.ambient.now(), |run| run.started);
        Some(shown::requested(id, started))
    }

    async fn list(
        &self,
        before: Option<(Timestamp, Uuid)>,
        most: u32,
    ) -> Result<ListRunsResponse, Status> {
        let listed = async {
            let mut read = self.site.store.read().await?;
            let rows = read.runs_before(before, most.saturating_add(1)).await?;
            let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
            let tallies = read.site_run_tallies(&ids, COMPLETED).await?;
            Ok((rows, tallies))
        };
        let (mut rows, tallies) = listed.await.map_err(internal)?;
        let whole = usize::try_from(most).unwrap_or(usize::MAX);
        let further = rows.len() > whole;
        rows.truncate(whole);
        let next_page_token = match rows.last() {
            Some(last) if further => token(last),
            Some(_) | None => String::new(),
        };
        let reports = self.site.reports.all();
        let reported = reports.iter().filter_map(|report| report.run.as_ref());
        let reported: HashSet<&[u8]> = reported.map(|run| run.id.as_slice()).collect();
        let engine = self.site.engine.state();
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id;
            // What a site does now, or did last, is more than was written down of it.
            let close = row.target.is_some() || reported.contains(id.as_bytes().as_slice());
            if close {
                let parts = async { self.site.store.read().await?.site_runs(id).await };
                let parts = parts_of(id, parts.await.map_err(internal)?, &live_of(&reports, id));
                runs.push(Shown::new(row, parts, &engine).run());
            } else {
                let tally = tallies.get(&id).copied().unwrap_or_default();
                let mut run = Shown::new(row, BTreeMap::new(), &engine).run();
                run.sites = u32::try_from(tally.sites).unwrap_or(u32::MAX);
                run.completed = u32::try_from(tally.completed).unwrap_or(u32::MAX);
                runs.push(run);
            }
        }
        Ok(ListRunsResponse {
            runs,
            next_page_token,
            parts: Vec::new(),
        })
    }

    /// Leaves the runs that a site took part in, each with its part.
    async fn of_site(
        &self,
        mut listed: ListRunsResponse,
        site: PointId,
    ) -> Result<ListRunsResponse, Status> {
        let ids = listed.runs.iter();
        let ids: Vec<Uuid> = ids
            .filter_map(|run| Uuid::from_slice(&run.id).ok())
            .collect();
        let found = async {
            let mut read = self.site.store.read().await?;
            read.site_runs_of(site, &ids).await
        };
        let mut rows = found.await.map_err(internal)?;
        let report: Vec<_> = self.site.reports.get(site).into_iter().collect();
        let mut parts = Vec::new();
        listed.runs.retain(|run| {
            let id = Uuid::from_slice(&run.id).unwrap_or_default();
            let of_run = parts_of(
                id,
                rows.remove(&id).into_iter().collect(),
                &live_of(&report, id),
            );
            let part = of_run.values().next().map(shown::site_run);
            let took_part = part.is_some();
            parts.extend(part);
            took_part
        });
        listed.parts = parts;
        Ok(listed)
    }

    fn no_such_run(&self, id: Uuid) -> Status {
        let here: PointId = self.site.code;
        Status::not_found(format!(
            "{here} knows of no run {id}: it may be forgotten, or one of another site"
        ))
    }
}

#[tonic::async_trait]
impl RunService for Reading {
    type WatchRunStream = Answers<WatchRunResponse>;

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let request = request.into_inner();
        let most = match request.page_size {
            0 => DEFAULT_PAGE,
            size => size.min(MAX_PAGE),
        };
        let site = convert::optional_site_code("site_code", &request.site_code)?;
        let listed = self.list(place(&request.page_token)?, most).await?;
        Ok(Response::new(match site {
            Some(site) => self.of_site(listed, site).await?,
            None => listed,
        }))
    }

    async fn get_run(
        &self,
        request: Request<GetRunRequest>,
    ) -> Result<Response<GetRunResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let id = convert::uuid("id", &request.get_ref().id)?;
        let shown = self.run(id).await?;
        let shown = shown.ok_or_else(|| self.no_such_run(id))?;
        Ok(Response::new(GetRunResponse {
            run: Some(shown.run()),
            sites: shown.sites(),
        }))
    }

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let caller = self.authorize(&request, Role::Viewer).await?;
        let id = convert::uuid("id", &request.get_ref().id)?;
        if self.run(id).await?.is_none() {
            return Err(self.no_such_run(id));
        }
        let changes = watch::changes(self.clone(), id);
        Ok(Response::new(self.listen(caller, changes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_behind_the_last_run_of_the_one_before() {
        let run = shown::requested(
            Uuid::from_u128(7),
            Timestamp::from_millisecond(1_234).unwrap(),
        );
        assert_eq!(place(&token(&run)).unwrap(), Some((run.started, run.id)));
        assert_eq!(place("").unwrap(), None);
        for bad in ["7", "x-y", "1-", "99999999999999999999-1"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
