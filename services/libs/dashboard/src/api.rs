//! The admin API, as one person may use it.

use crate::session::Credential;
use secrecy::ExposeSecret as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};
use tonic::{Request, Status};
use tower::Service;
use trust::PersonCertificate;
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
/// How long a question may take until its answer begins. A preview of settings asks the source, which is waited for less
/// long than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts what the person signed in with to every call.
#[derive(Clone)]
pub enum Presented {
    Token(MetadataValue<Ascii>),
    Certificate(PersonCertificate),
}

impl Interceptor for Presented {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        match self {
            Self::Token(word) => {
                let metadata = request.metadata_mut();
                metadata.insert("authorization", word.clone());
            }
            Self::Certificate(certificate) => {
                request.extensions_mut().insert(certificate.clone());
            }
        }
        Ok(request)
    }
}

/// Calls of this process have no wire on which a deadline travels: this one holds all the same.
#[derive(Clone)]
pub struct Bounded<S> {
    inner: S,
    patience: Duration,
}

impl<S, R> Service<R> for Bounded<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Error: Into<Problem>,
{
    type Response = S::Response;
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Problem>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let patience = self.patience;
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout(patience, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(Status::deadline_exceeded(format!(
                    "this site did not answer within {} seconds; nothing is known of what came of it",
                    patience.as_secs()
                ))
                .into()),
            }
        })
    }
}

type Problem = Box<dyn std::error::Error + Send + Sync>;
type Calls = InterceptedService<Bounded<Routes>, Presented>;

/// The services, called as a person.
#[derive(Clone)]
pub struct Api(Calls);

impl Api {
    /// The services of this process for who signed in with something.
    ///
    /// # Errors
    /// When the word cannot be an access token.
    pub fn new(routes: Routes, credential: &Credential) -> Result<Self, Status> {
        let presented = match credential {
            Credential::Certificate(certificate) => Presented::Certificate(certificate.clone()),
            Credential::Token(token) => {
                let word = format!("Bearer {}", token.expose_secret());
                let mut value: MetadataValue<Ascii> = word
                    .parse()
                    .map_err(|_| Status::unauthenticated("this is not an access token"))?;
                value.set_sensitive(true);
                Presented::Token(value)
            }
        };
        let bounded = Bounded {
            inner: routes,
            patience: PATIENCE,
        };
        Ok(Self(InterceptedService::new(bounded, presented)))
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

/// A question; its answer has to begin within the patience of [`Api`].
pub fn question<T>(message: T) -> Request<T> {
    Request::new(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_not_waited_for() {
        let silent = tower::service_fn(|()| std::future::pending::<Result<(), Infallible>>());
        let mut bounded = Bounded {
            inner: silent,
            patience: PATIENCE,
        };
        let problem = bounded.call(()).await.unwrap_err();
        let status = Status::try_from_error(problem).unwrap();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(status.message().contains("within 60 seconds"), "{status}");
    }
}
