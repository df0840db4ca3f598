//! The downstream end of MS-WSUSSS: synchronizes from Microsoft Update or from a WSUS server.
//!
//! The client opens a session when it needs one and renews it by itself. Single calls are methods;
//! [`Client::fetch`] gets any number of update documents in parallel batches.

mod account;
mod credentials;
mod error;
mod exchange;
mod fetch;
mod proxy;
mod retry;
mod session;
mod transport;

pub use account::{AccountRefusal, SignInTrouble};
pub use credentials::Credentials;
pub use error::Error;
pub use exchange::{Answer, Exchange, ExchangeError, Trouble};
pub use fetch::{Fetched, MAX_REFUSED_IN_A_ROW, Refusal};
pub use proxy::trouble::ProxyTrouble;
pub use proxy::{Proxy, ProxyRefusal};
pub use retry::{Backoff, MAX_ATTEMPTS};
pub use transport::MAX_RESPONSE_BYTES;

use crate::fault::ErrorCode;
use crate::message::{
    ConfigData, Cookie, DecryptionData, Deployments, DownloadFiles, GetConfigData, GetDeployments,
    GetRevisionIdList, GetUpdateData, Operation, Request, Response, RevisionFilter, RevisionList,
    UpdateData,
};
use catalog::RevisionId;
use jiff::Timestamp;
use retry::Retries;
use session::Session;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use transport::Transport;
use uuid::Uuid;

/// The protocol version that the client announces: that of Windows Server 2016 and later.
pub const PROTOCOL_VERSION: &str = "1.20";

/// Revisions in one request where the server does not say how many it takes.
pub const DEFAULT_BATCH: u32 = 100;

/// Settings of a client.
#[derive(Clone)]
pub struct ClientSettings {
    /// Address of the upstream server: scheme, host and port, such as `http://wsus.example:8530`.
    pub url: String,
    /// Fully qualified domain name of this server, as it introduces itself.
    pub account_name: String,
    /// GUID under which the upstream server knows this server. Keep it for the life of the site.
    pub account_guid: Uuid,
    /// Certificates, in PEM, to trust besides those of the system.
    pub ca_file_pem: Option<Vec<u8>>,
    /// Account to sign in with at the upstream server, which then has to be an https one; none: as anybody.
    pub account: Option<Credentials>,
    /// Proxy to reach the upstream server through; none: straight. The environment is not asked.
    pub proxy: Option<Proxy>,
    /// How long the server may be silent, before and within an answer;
    /// [`ClientSettings::TIMEOUT`] as a rule.
    pub timeout: Duration,
    /// Most `GetUpdateData` requests at the same time: 4 for Microsoft Update, 1 or 2 for a WSUS server.
    pub parallel_requests: usize,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl ClientSettings {
    /// Three minutes: a busy server takes that long for a list of revisions.
    pub const TIMEOUT: Duration = Duration::from_secs(180);
}

/// What a client can do without.
#[derive(Clone, Default)]
pub struct ClientOptions {
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// Another network in place of the machine's, which has its own ways and trust: proxy and CA file are not
    /// used.
    pub exchange: Option<Arc<dyn Exchange>>,
}

/// A client of one upstream server. Cloning gives another handle on the same session.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    session: Session,
    retries: Retries,
    parallel_requests: usize,
    /// `MaxNumberOfUpdatesPerRequest` as last heard; 0 while it is not known.
    max_updates: AtomicU32,
}

type Result<T> = std::result::Result<T, Error>;

impl Client {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// An address, a CA file or a proxy that cannot be used.
    pub fn new(settings: ClientSettings) -> Result<Self> {
        Self::with_options(settings, ClientOptions::default())
    }

    /// A client with options.
    ///
    /// # Errors
    /// An address, CA file or proxy that cannot be used.
    pub fn with_options(settings: ClientSettings, options: ClientOptions) -> Result<Self> {
        let transport = Transport::new(&settings, &options)?;
        let retries = Retries::new(options.backoff, settings.account_guid);
        let parallel_requests = settings.parallel_requests.max(1);
        Ok(Self {
            inner: Arc::new(Inner {
                transport,
                session: Session::new(settings),
                retries,
                parallel_requests,
                max_updates: AtomicU32::new(0),
            }),
        })
    }

    /// `GetConfigData`: limits, flags, and the languages that changed since `anchor`.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::ServerChanged`] means that all anchors are void. So for every call.
    pub async fn config_data(&self, anchor: Option<&str>) -> Result<ConfigData> {
        let response = self
            .call(Operation::GetConfigData, |cookie| {
                Request::GetConfigData(GetConfigData {
                    cookie: Some(cookie),
                    config_anchor: anchor.map(str::to_owned),
                })
            })
            .await?;
        let Response::ConfigData(config) = response else {
            return Err(self.unexpected(&response));
        };
        let max = match config.max_updates_per_request {
            0 => DEFAULT_BATCH,
            max => max,
        };
        self.inner.max_updates.store(max, Ordering::Relaxed);
        Ok(config)
    }

    /// `GetRevisionIdList`: which revisions there are. Not paged: the whole list comes at once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn revision_list(&self, filter: &RevisionFilter) -> Result<RevisionList> {
        let response = self
            .call(Operation::GetRevisionIdList, |cookie| {
                Request::GetRevisionIdList(GetRevisionIdList {
                    cookie: Some(cookie),
                    filter: Some(filter.clone()),
                })
            })
            .await?;
        let Response::RevisionList(list) = response else {
            return Err(self.unexpected(&response));
        };
        Ok(list)
    }

    /// One `GetUpdateData`. The answer may be short, and one id that the server does not know fails the
    /// whole call: [`Client::fetch`] copes with both.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_data(&self, ids: &[RevisionId]) -> Result<UpdateData> {
        let response = self
            .call(Operation::GetUpdateData, |cookie| {
                Request::GetUpdateData(GetUpdateData {
                    cookie: Some(cookie),
                    update_ids: ids.to_vec(),
                })
            })
            .await?;
        let Response::UpdateData(data) = response else {
            return Err(self.unexpected(&response));
        };
        Ok(data)
    }

    /// One `GetUpdateDecryptionData`: the keys of encrypted files of these revisions.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn decryption_data(&self, ids: &[RevisionId]) -> Result<DecryptionData> {
        let response = self
            .call(Operation::GetUpdateDecryptionData, |cookie| {
                Request::GetUpdateDecryptionData(GetUpdateData {
                    cookie: Some(cookie),
                    update_ids: ids.to_vec(),
                })
            })
            .await?;
        let Response::DecryptionData(data) = response else {
            return Err(self.unexpected(&response));
        };
        Ok(data)
    }

    /// `GetDeployments`: the approvals of the upstream server, for a replica.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn deployments(
        &self,
        deployment_anchor: Option<&str>,
        sync_anchor: &str,
    ) -> Result<Deployments> {
        let response = self
            .call(Operation::GetDeployments, |cookie| {
                Request::GetDeployments(GetDeployments {
                    cookie: Some(cookie),
                    deployment_anchor: deployment_anchor.map(str::to_owned),
                    sync_anchor: Some(sync_anchor.to_owned()),
                })
            })
            .await?;
        let Response::Deployments(list) = response else {
            return Err(self.unexpected(&response));
        };
        Ok(list)
    }

    /// `DownloadFiles`: asks the upstream server to fetch these files, by SHA-1.
    ///
    /// # Errors
    /// See [`Error`]; a fault `FileDigestsMissing` names digests that the server does not know.
    pub async fn download_files(&self, digests: &[[u8; 20]]) -> Result<()> {
        let response = self
            .call(Operation::DownloadFiles, |cookie| {
                Request::DownloadFiles(DownloadFiles {
                    cookie: Some(cookie),
                    file_digests: digests.iter().map(|digest| digest.to_vec()).collect(),
                })
            })
            .await?;
        let Response::DownloadFiles = response else {
            return Err(self.unexpected(&response));
        };
        Ok(())
    }

    /// Most revisions to ask for at once; asks the server where it is not known yet.
    async fn batch_size(&self) -> Result<usize> {
        let mut max = self.inner.max_updates.load(Ordering::Relaxed);
        if max == 0 {
            self.config_data(None).await?;
            max = self.inner.max_updates.load(Ordering::Relaxed);
        }
        Ok(usize::try_from(max.max(1)).unwrap_or(usize::MAX))
    }

    /// One call within the session: a session that the server no longer accepts is opened again once, and
    /// what may pass is tried again after a pause.
    async fn call(
        &self,
        operation: Operation,
        request: impl Fn(Cookie) -> Request + Send + Sync,
    ) -> Result<Response> {
        let mut session_reopened = false;
        let mut attempt = 0;
        loop {
            let error = match self.attempt(&request).await {
                Ok(response) => return Ok(response),
                Err((error, generation)) => {
                    let code = error.fault_code();
                    if matches!(
                        code,
                        Some(ErrorCode::InvalidCookie | ErrorCode::InvalidAuthorizationCookie)
                    ) && !session_reopened
                    {
                        tracing::debug!(%operation, "the upstream server does not accept the session any more");
                        self.inner.session.drop_generation(generation).await;
                        session_reopened = true;
                        continue;
                    }
                    if code == Some(&ErrorCode::ServerChanged) {
                        self.inner.session.drop_generation(generation).await;
                        return Err(Error::ServerChanged {
                            url: self.inner.transport.root().to_owned(),
                        });
                    }
                    error
                }
            };
            attempt += 1;
            if !error.is_transient() || attempt >= MAX_ATTEMPTS {
                return Err(error);
            }
            let pause = self.inner.retries.pause(attempt);
            tracing::debug!(%operation, %error, attempt, ?pause, "will be tried again");
            tokio::time::sleep(pause).await;
        }
    }

    /// One attempt; an error comes with the generation of the session that was used.
    async fn attempt(
        &self,
        request: &(impl Fn(Cookie) -> Request + Send + Sync),
    ) -> std::result::Result<Response, (Error, u64)> {
        let inner = &self.inner;
        let opened = inner.session.cookie(&inner.transport).await;
        let (cookie, generation) = opened?;
        inner
            .transport
            .exchange(request(cookie))
            .await
            .map_err(|error| (error, generation))
    }

    fn unexpected(&self, response: &Response) -> Error {
        Error::Unexpected {
            url: self.inner.transport.root().to_owned(),
            operation: response.operation(),
        }
    }
}
