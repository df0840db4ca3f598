//! Where the catalog comes from: the settings in force, with what the process decides itself, and the client
//! that speaks to it.

use super::{ACCOUNT, ANCHORS, FILES_FROM, NEW_SOURCE, ORIGIN, SOURCE, WsusUpstream, failed};
use crate::secrets::Secret;
use content::source::{FileServer, OrderError};
use secrecy::{ExposeSecret as _, SecretString};
use settings::Settings;
use settings::document::SynchronizeAction;
use std::sync::{Arc, PoisonError};
use sync::Failure;
use sync::upstream::with_causes;
use uuid::Uuid;
use wsus::client::{Client, ClientOptions, ClientSettings, Credentials, Proxy};
use wsus::message::ConfigData;

/// Microsoft Update for servers (WSUS-PROTOCOL section 1).
pub const MICROSOFT_UPDATE: &str = "https://sws.update.microsoft.com";
/// Where to, and how.
pub(super) struct Target {
    pub(super) url: String,
    ca_pem: Option<Vec<u8>>,
    parallel: usize,
    account: Option<Credentials>,
    proxy: Option<Proxy>,
}

/// A client, and what it was made of.
pub(super) struct Made {
    fingerprint: blake3::Hash,
    client: Client,
}

impl Target {
    /// Equal for targets that one client serves. Says nothing about the password.
    fn fingerprint(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(self.url.as_bytes());
        part(self.ca_pem.as_deref().unwrap_or_default());
        part(&self.parallel.to_le_bytes());
        part(format!("{:?} {:?}", self.account, self.proxy).as_bytes());
        let of_proxy = self
            .proxy
            .as_ref()
            .and_then(|proxy| proxy.credentials.as_ref());
        for credentials in [self.account.as_ref(), of_proxy].into_iter().flatten() {
            part(credentials.password.expose_secret().as_bytes());
        }
        hasher.finalize()
    }
}

/// What a source is remembered as.
fn known_as(url: &str) -> String {
    url.trim_end_matches('/').to_lowercase()
}

/// The proxy that settings describe, with the password of its user.
pub(crate) fn proxy_of(
    settings: &settings::document::Proxy,
    password: SecretString,
) -> Option<Proxy> {
    let credentials = settings.user.as_ref().map(|user| Credentials {
        user: user.clone(),
        domain: settings.domain.clone(),
        password,
    });
    Some(Proxy {
        host: settings.host.clone()?,
        port: settings.port,
        credentials,
        allow_basic_authentication: settings.allow_basic_authentication,
    })
}

impl WsusUpstream {
    /// URL of the source; none for a disconnected site.
    pub(super) fn url(&self, settings: &Settings) -> Option<String> {
        if let Some(source) = &self.source {
            return Some(source.url.clone());
        }
        match settings.source.action {
            SynchronizeAction::MicrosoftUpdate => Some(MICROSOFT_UPDATE.to_owned()),
            SynchronizeAction::UpstreamServer => settings.source.url.clone(),
            SynchronizeAction::DoNotSynchronize => None,
        }
    }

    /// Certificates to trust at the source besides those of the system.
    fn ca_pem(&self, settings: &Settings) -> Option<Vec<u8>> {
        match &self.source {
            Some(source) => source.ca_file_pem.clone(),
            None => {
                let pem = settings.source.ca_pem.as_ref();
                pem.map(|pem| pem.clone().into_bytes())
            }
        }
    }

    /// Notes whether the source hosts files (`CatalogOnlySync`, WSUS-PROTOCOL 3.6). `UssUrl`, which some servers send with
    /// documents, means nothing: where a source hosts a file follows from its own address.
    pub(super) async fn note_file_host(&self, config: &ConfigData) -> Result<(), store::Error> {
        let mut tx = self.store.begin().await?;
        let source = tx.state(SOURCE).await?;
        let host = source.filter(|_| !config.catalog_only_sync);
        if tx.state(FILES_FROM).await? == host {
            return Ok(());
        }
        match host {
            Some(host) => tx.put_state(FILES_FROM, host).await?,
            None => tx.remove_state(FILES_FROM).await?,
        }
        tx.commit().await?;
        self.files_way.notify_one();
        Ok(())
    }

    /// The source, where it is known to host files.
    pub(crate) async fn file_host(
        &self,
        settings: &Settings,
    ) -> Result<Option<FileServer>, store::Error> {
        let Some(url) = self.url(settings) else {
            return Ok(None);
        };
        let host = self.store.read().await?.state(FILES_FROM).await?;
        let hosts = host.as_deref() == Some(known_as(&url).as_bytes());
        Ok(hosts.then(|| FileServer {
            ca_pem: self.ca_pem(settings),
            url,
        }))
    }

    /// Asks the source to fetch files (`DownloadFiles`), if it is still this one.
    pub(crate) async fn order(&self, url: &str, files: &[[u8; 20]]) -> Result<(), OrderError> {
        let current = self.url(&self.settings.borrow());
        if current.as_deref() != Some(url) {
            let why = "the synchronization source is another one by now";
            return Err(OrderError::Later(why.to_owned()));
        }
        let client = self.client().await;
        let client = client.map_err(|failure| OrderError::Refused(failure.message))?;
        client.download_files(files).await.map_err(|error| {
            let why = with_causes(&error);
            let is_passing =
                error.is_transient() || matches!(error, wsus::client::Error::ServerChanged { .. });
            match error.missing_files() {
                Some(unknown) => OrderError::Unknown(unknown),
                None if is_passing => OrderError::Later(why),
                None => OrderError::Refused(why),
            }
        })
    }

    /// Whether there is a source.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.url(&self.settings.borrow()).is_none()
    }

    async fn target(&self, settings: &Settings) -> Result<Target, Failure> {
        let Some(url) = self.url(settings) else {
            return Err(Failure::message(
                ORIGIN,
                "this site has no synchronization source: set source.action (headwater settings set), or \
                 import a package",
            )
            .until_asked());
        };
        let parallel = match &self.source {
            Some(source) => source.parallel,
            None => settings.source.parallel_requests.into(),
        };
        let password = self.secret(Secret::ProxyPassword, settings).await?;
        let account = match &settings.source.user {
            // The account is the document's, and so has to be the server.
            Some(user) if self.source.is_none() => Some(Credentials {
                user: user.clone(),
                domain: settings.source.domain.clone(),
                password: self.secret(Secret::SourcePassword, settings).await?,
            }),
            Some(_) | None => None,
        };
        Ok(Target {
            url,
            ca_pem: self.ca_pem(settings),
            parallel,
            account,
            proxy: proxy_of(&settings.proxy, password),
        })
    }

    /// A secret; empty where the settings do not ask for it.
    pub(crate) async fn secret(
        &self,
        secret: Secret,
        settings: &Settings,
    ) -> Result<SecretString, Failure> {
        let Some(place) = secret.place(settings) else {
            return Ok(SecretString::default());
        };
        let sealed = self.store.read().await?.secret(secret.name()).await?;
        // One that was set for another place does not open.
        let opened = sealed.and_then(|sealed| self.sealer.open(&place, &sealed).ok());
        opened.ok_or_else(|| Failure::message(ORIGIN, secret.missing()).until_asked())
    }

    /// The client. Anchors that are not of this source are forgotten.
    pub(super) async fn prepare(&self, settings: &Settings) -> Result<Client, Failure> {
        let target = self.target(settings).await?;
        let client = self.client_for(&target).await?;
        let source = known_as(&target.url);
        let mut tx = self.store.begin().await?;
        let before = tx.state(SOURCE).await?;
        if before.as_deref() != Some(source.as_bytes()) {
            for anchor in ANCHORS {
                tx.remove_state(anchor).await?;
            }
            tx.put_state(SOURCE, source.as_bytes()).await?;
            if before.is_some() {
                tx.put_state(NEW_SOURCE, *b"1").await?;
            }
        }
        if tx.positions().epoch.is_nil() {
            tx.start_epoch(self.ambient.new_id()).await?;
        }
        tx.commit().await?;
        Ok(client)
    }

    /// A client of the source.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        let settings = Arc::clone(&self.settings.borrow());
        let target = self.target(&settings).await?;
        self.client_for(&target).await
    }

    async fn client_for(&self, target: &Target) -> Result<Client, Failure> {
        let fingerprint = target.fingerprint();
        // Holds one value that is replaced whole.
        let held = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = held()
            .as_ref()
            .filter(|made| made.fingerprint == fingerprint)
        {
            return Ok(made.client.clone());
        }
        let account_guid = self.account().await?;
        let ambient = self.ambient.clone();
        let settings = ClientSettings {
            url: target.url.clone(),
            account_name: format!("{}.headwater.invalid", self.site).to_lowercase(),
            account_guid,
            ca_file_pem: target.ca_pem.clone(),
            account: target.account.clone(),
            proxy: target.proxy.clone(),
            timeout: ClientSettings::TIMEOUT,
            parallel_requests: target.parallel,
            clock: Arc::new(move || ambient.now()),
        };
        let options = ClientOptions {
            exchange: self
                .source
                .as_ref()
                .and_then(|source| source.exchange.clone()),
            ..ClientOptions::default()
        };
        let client = Client::with_options(settings, options).map_err(|error| failed(&error))?;
        let made = Made {
            fingerprint,
            client: client.clone(),
        };
        *held() = Some(made);
        Ok(client)
    }

    /// The account under which this site asks: the same for ever.
    async fn account(&self) -> Result<Uuid, Failure> {
        let mut tx = self.store.begin().await?;
        let held = tx.state(ACCOUNT).await?;
        if let Some(account) = held.and_then(|id| Uuid::from_slice(&id).ok()) {
            return Ok(account);
        }
        let account = self.ambient.new_id();
        tx.put_state(ACCOUNT, *account.as_bytes()).await?;
        tx.commit().await?;
        Ok(account)
    }
}
