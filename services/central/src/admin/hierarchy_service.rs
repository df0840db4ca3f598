//! The sites of the hierarchy: listing, inviting, removing.

use super::{Admin, internal};
use crate::admission::Removed;
use catalog::PointId;
use journal::StatusId;
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use trust::Role;
use wire::convert;
use wire::v1::hierarchy_service_server::HierarchyService;
use wire::v1::{
    CreateJoinTokenRequest, CreateJoinTokenResponse, GetSourceRequest, GetSourceResponse,
    ListSitesRequest, ListSitesResponse, RemoveSiteRequest, RemoveSiteResponse,
    SwitchSourceRequest, SwitchSourceResponse, VerifySiteRequest, VerifySiteResponse,
};

/// How long a join token can be used unless told otherwise.
const TOKEN_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

impl Admin {
    /// Removes a site and all below it. In this order: no report of theirs is taken any more, what was
    /// taken is forgotten, and then what may have been kept of it.
    async fn remove(
        &self,
        site: PointId,
        (new_source, force): (Option<PointId>, bool),
        by: &str,
    ) -> Result<Removed, Status> {
        if let Some(new_source) = new_source.filter(|new_source| new_source.is_beside(site)) {
            self.sources.may_take_children_in(new_source)?;
            if !force {
                self.sources.is_there(new_source)?;
            }
        }
        let removed = self.admission.remove(site, new_source, by).await?;
        if let Some(switched) = &removed.switched {
            self.sources.tell(switched);
        }
        for code in &removed.sites {
            self.children.tell_removed(*code);
            self.site.reports.remove(*code);
        }
        let forgotten = async {
            let mut tx = self.site.store.begin().await?;
            for code in &removed.sites {
                tx.remove_site_report(*code).await?;
            }
            tx.commit().await
        };
        forgotten.await.map_err(internal)?;
        Ok(removed)
    }
}

#[tonic::async_trait]
impl HierarchyService for Admin {
    async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        self.reading.list_sites(request).await
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        let caller = self.authorize(&request, Role::Administrator).await?;
        let request = request.into_inner();
        let site = convert::site_code("site_code", &request.site_code)?;
        let kind = match request.site_kind.as_str() {
            "" => None,
            kind => Some(convert::site_kind("site_kind", kind)?),
        };
        let parent = convert::optional_site_code("parent", &request.parent)?;
        let validity = match request.valid_seconds {
            0 => TOKEN_VALIDITY,
            seconds => Duration::from_secs(seconds),
        };
        let admission = Arc::clone(&self.admission);
        let invite = async move {
            admission
                .invite(site, kind, parent, validity, &caller.name)
                .await
        };
        let token = self.admission.to_the_end(invite).await?;
        Ok(Response::new(CreateJoinTokenResponse {
            token: token.encode().expose_secret().to_owned(),
            expires: Some(convert::from_timestamp(token.expires)),
        }))
    }

    async fn verify_site(
        &self,
        request: Request<VerifySiteRequest>,
    ) -> Result<Response<VerifySiteResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let site = convert::site_code("site_code", &request.get_ref().site_code)?;
        let run = self.site.ambient.new_id();
        self.site.verify(&self.children, site, run)?;
        let inserts = vec![caller.name, site.to_string()];
        self.site
            .journal
            .record(StatusId::VerifyRequested, None, inserts)
            .await;
        Ok(Response::new(VerifySiteResponse {
            run: run.as_bytes().to_vec(),
        }))
    }

    async fn remove_site(
        &self,
        request: Request<RemoveSiteRequest>,
    ) -> Result<Response<RemoveSiteResponse>, Status> {
        let caller = self.authorize(&request, Role::Administrator).await?;
        let request = request.get_ref();
        let site = convert::site_code("site_code", &request.site_code)?;
        let new_source = convert::optional_site_code("new_source", &request.new_source)?;
        let new_source = (new_source, request.force);
        let admin = self.clone();
        let remove = async move { admin.remove(site, new_source, &caller.name).await };
        let removed = self.admission.to_the_end(remove).await?;
        Ok(Response::new(RemoveSiteResponse {
            site_codes: removed.sites.iter().map(PointId::to_string).collect(),
            join_tokens: removed.join_tokens,
            disabled: removed.disabled,
        }))
    }

    async fn get_source(
        &self,
        request: Request<GetSourceRequest>,
    ) -> Result<Response<GetSourceResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let site = convert::site_code("site_code", &request.get_ref().site_code)?;
        let points = self.sources.points(site.site())?;
        Ok(Response::new(GetSourceResponse {
            points: points.iter().map(PointId::to_string).collect(),
        }))
    }

    async fn switch_source(
        &self,
        request: Request<SwitchSourceRequest>,
    ) -> Result<Response<SwitchSourceResponse>, Status> {
        let caller = self.authorize(&request, Role::Administrator).await?;
        let request = request.get_ref();
        let site = convert::site_code("site_code", &request.site_code)?;
        let source = convert::site_code("source", &request.source)?;
        if !source.is_beside(site) {
            return Err(Status::invalid_argument(format!(
                "{source} is not a software update point of site {}: \"headwater site source {}\" shows which \
                 there are",
                site.site(),
                site.site()
            )));
        }
        if !request.force {
            self.sources.is_there(source)?;
        }
        let sources = self.sources.clone();
        let switch = async move { sources.switch(source, &format!("by {}", caller.name)).await };
        let before = self.admission.to_the_end(switch).await?;
        Ok(Response::new(SwitchSourceResponse {
            before: before.map_or_else(String::new, |before| before.to_string()),
        }))
    }
}
