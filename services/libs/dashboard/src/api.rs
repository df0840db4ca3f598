//! The admin API, as one person may use it.

use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};
use tonic::{Request, Status};
use wire::v1::access_service_client::AccessServiceClient;
use wire::v1::alert_service_client::AlertServiceClient;
use wire::v1::approval_service_client::ApprovalServiceClient;
use wire::v1::catalog_service_client::CatalogServiceClient;
use wire::v1::downstream_service_client::DownstreamServiceClient;
use wire::v1::hierarchy_service_client::HierarchyServiceClient;
use wire::v1::journal_service_client::JournalServiceClient;
use wire::v1::run_service_client::RunServiceClient;
use wire::v1::settings_service_client::SettingsServiceClient;
use wire::v1::sync_service_client::SyncServiceClient;

/// Largest answer that is taken from a service of this process, in bytes: the reports of thousands of sites.
const MAX_ANSWER: usize = 64 << 20;
/// How long a question may take. Previews of settings ask the upstream.
const PATIENCE: Duration = Duration::from_secs(120);

/// Puts the access token to every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Calls = InterceptedService<Routes, Bearer>;

/// The services, called with the access token of a person.
#[derive(Clone)]
pub struct Api(Calls);

impl Api {
    /// The services of this process for the holder of an access token.
    ///
    /// # Errors
    /// When the word cannot be an access token.
    pub fn new(routes: Routes, token: &SecretString) -> Result<Self, Status> {
        let word = format!("Bearer {}", token.expose_secret());
        let mut value: MetadataValue<Ascii> = word
            .parse()
            .map_err(|_| Status::unauthenticated("this is not an access token"))?;
        value.set_sensitive(true);
        Ok(Self(InterceptedService::new(routes, Bearer(value))))
    }

    pub fn access(&self) -> AccessServiceClient<Calls> {
        AccessServiceClient::new(self.0.clone())
    }

    pub fn sync(&self) -> SyncServiceClient<Calls> {
        SyncServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn hierarchy(&self) -> HierarchyServiceClient<Calls> {
        HierarchyServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn runs(&self) -> RunServiceClient<Calls> {
        RunServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn downstream(&self) -> DownstreamServiceClient<Calls> {
        DownstreamServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn alerts(&self) -> AlertServiceClient<Calls> {
        AlertServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn catalog(&self) -> CatalogServiceClient<Calls> {
        CatalogServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn approval(&self) -> ApprovalServiceClient<Calls> {
        ApprovalServiceClient::new(self.0.clone())
    }

    pub fn settings(&self) -> SettingsServiceClient<Calls> {
        SettingsServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub fn journal(&self) -> JournalServiceClient<Calls> {
        JournalServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER)
    }
}

/// A question with a deadline.
pub fn question<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}
