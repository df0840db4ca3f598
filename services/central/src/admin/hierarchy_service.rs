//! The sites of the hierarchy: listing, inviting, removing.

use super::Admin;
use secrecy::ExposeSecret as _;
use std::time::Duration;
use tonic::{Request, Response, Status};
use trust::Role;
use wire::convert;
use wire::v1::hierarchy_service_server::HierarchyService;
use wire::v1::{
    CreateJoinTokenRequest, CreateJoinTokenResponse, ListSitesRequest, ListSitesResponse,
    RemoveSiteRequest, RemoveSiteResponse,
};

/// How long a join token can be used unless told otherwise.
const TOKEN_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

#[tonic::async_trait]
impl HierarchyService for Admin {
    async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        Ok(Response::new(ListSitesResponse {
            sites: self.site.reports.all(),
            hierarchy: self.site.hierarchy.0.as_bytes().to_vec(),
        }))
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        self.authorize(&request, Role::Administrator).await?;
        let request = request.into_inner();
        let site = convert::site_code("site_code", &request.site_code)?;
        let kind = convert::site_kind("site_kind", &request.site_kind)?;
        let parent = convert::optional_site_code("parent", &request.parent)?;
        let validity = match request.valid_seconds {
            0 => TOKEN_VALIDITY,
            seconds => Duration::from_secs(seconds),
        };
        let token = self.admission.invite(site, kind, parent, validity).await?;
        Ok(Response::new(CreateJoinTokenResponse {
            token: token.encode().expose_secret().to_owned(),
            expires: Some(convert::from_timestamp(token.expires)),
        }))
    }

    async fn remove_site(
        &self,
        request: Request<RemoveSiteRequest>,
    ) -> Result<Response<RemoveSiteResponse>, Status> {
        let caller = self.authorize(&request, Role::Administrator).await?;
        let site = convert::site_code("site_code", &request.get_ref().site_code)?;
        for removed in self.admission.remove(site, &caller.name).await? {
            self.children.tell_removed(removed);
            self.site.reports.remove(removed);
        }
        Ok(Response::new(RemoveSiteResponse {}))
    }
}
