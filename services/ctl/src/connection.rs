//! The connection to the site that a verb asks: which site, with which token, over which TLS.

mod problem;
mod target;

pub use problem::explain;
pub use target::{Chosen, Environment, Error, Layer, Target, TokenSource, choose};

use link::dial::TcpConnector;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use wire::v1::access_service_client::AccessServiceClient;
use wire::v1::alert_service_client::AlertServiceClient;
use wire::v1::approval_service_client::ApprovalServiceClient;
use wire::v1::catalog_service_client::CatalogServiceClient;
use wire::v1::cleanup_service_client::CleanupServiceClient;
use wire::v1::content_service_client::ContentServiceClient;
use wire::v1::downstream_service_client::DownstreamServiceClient;
use wire::v1::hierarchy_service_client::HierarchyServiceClient;
use wire::v1::journal_service_client::JournalServiceClient;
use wire::v1::notification_service_client::NotificationServiceClient;
use wire::v1::package_service_client::PackageServiceClient;
use wire::v1::person_service_client::PersonServiceClient;
use wire::v1::run_service_client::RunServiceClient;
use wire::v1::settings_service_client::SettingsServiceClient;
use wire::v1::sync_service_client::SyncServiceClient;

/// How long a question may take until its answer begins.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer that is taken, in bytes: an update's document may have 50 MB.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Which site is asked, and how the answer is shown.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub struct ConnectionArgs {
    /// Print JSON for scripts instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Address of the site to ask, for example https://cas.example.org:8540 [env: HEADWATER_SERVER]
    #[arg(long, value_name = "URL", global = true)]
    pub server: Option<String>,
    /// Access token. Anyone on this machine can read it in the process list: prefer --token-file or
    /// the variable [env: HEADWATER_TOKEN]
    #[arg(
        long,
        value_name = "TOKEN",
        global = true,
        conflicts_with = "token_file"
    )]
    pub token: Option<String>,
    /// File that holds the access token [env: HEADWATER_TOKEN_FILE]
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// Data directory of the site on this machine: its admin credential is used where no
    /// server and token are given [env: HEADWATER_DATA_DIR]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Settings file: server, token-file, token and data-dir are read from it; a site's own
    /// file will do [env: HEADWATER_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Finds the site to ask: flags before environment variables before the settings file before the
    /// default data directory.
    ///
    /// # Errors
    /// When no server or token is found, or a file that is needed cannot be used.
    pub fn target(&self, environment: &Environment) -> Result<Target, Error> {
        let mut layers = vec![Layer::of_flags(self), Layer::of_environment(environment)];
        let config = self.config.as_ref().or(environment.config.as_ref());
        if let Some(path) = config {
            layers.push(Layer::of_file(path)?);
        }
        Target::load(choose(layers), &daemon::paths::default_data_dir())
    }

    /// Connects to the site to ask.
    ///
    /// # Errors
    /// When there is none, or it cannot be reached.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        Client::connect(&self.target(&Environment::of_process())?).await
    }
}

/// Puts the access token into every question.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The transport below the services: a channel on which each question carries the token.
pub type Transport = InterceptedService<Channel, Bearer>;

/// A connection to the admin API of one site. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    /// The address, for messages to people.
    pub server: String,
}

impl Client {
    /// Connects over TLS, trusting the authority that the token names and no other.
    ///
    /// # Errors
    /// When the site cannot be reached or is not the one that the token is for.
    pub async fn connect(target: &Target) -> anyhow::Result<Self> {
        let time = trust::tls::time_provider(crate::now);
        let server_trust = trust::tls::ServerTrust::Pin {
            pin: target.token.authority_pin,
            expected: Some(target.token.site),
        };
        let tls = Arc::new(trust::tls::client_config(None, server_trust, time)?);
        let channel = link::dial::channel(&target.server, tls, Arc::new(TcpConnector)).await?;
        Self::over(channel, &target.server, &target.word())
    }

    /// A client over a channel that is there already.
    ///
    /// # Errors
    /// When the token cannot be sent.
    pub fn over(channel: Channel, server: &str, token: &str) -> anyhow::Result<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| anyhow::anyhow!("the access token holds characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Self {
            transport: InterceptedService::new(channel, Bearer(value)),
            server: server.to_owned(),
        })
    }

    /// Starting, cancelling and following synchronization.
    pub fn sync(&self) -> SyncServiceClient<Transport> {
        SyncServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// What synchronizations did at every site.
    pub fn runs(&self) -> RunServiceClient<Transport> {
        RunServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// The sites.
    pub fn hierarchy(&self) -> HierarchyServiceClient<Transport> {
        HierarchyServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// The verified catalog.
    pub fn catalog(&self) -> CatalogServiceClient<Transport> {
        CatalogServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// What is wrong.
    pub fn alerts(&self) -> AlertServiceClient<Transport> {
        AlertServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Who is told of it.
    pub fn notifications(&self) -> NotificationServiceClient<Transport> {
        NotificationServiceClient::new(self.transport.clone())
    }

    /// What is decided about updates.
    pub fn approvals(&self) -> ApprovalServiceClient<Transport> {
        ApprovalServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// The settings.
    pub fn settings(&self) -> SettingsServiceClient<Transport> {
        SettingsServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Access tokens.
    pub fn access(&self) -> AccessServiceClient<Transport> {
        AccessServiceClient::new(self.transport.clone())
    }

    /// The WSUS servers that synchronize from the site.
    pub fn downstream(&self) -> DownstreamServiceClient<Transport> {
        DownstreamServiceClient::new(self.transport.clone())
    }

    /// Client certificates of people.
    pub fn people(&self) -> PersonServiceClient<Transport> {
        PersonServiceClient::new(self.transport.clone())
    }

    /// The clean-up.
    pub fn cleanup(&self) -> CleanupServiceClient<Transport> {
        CleanupServiceClient::new(self.transport.clone())
    }

    /// The update files of the site.
    pub fn content(&self) -> ContentServiceClient<Transport> {
        ContentServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Packages.
    pub fn packages(&self) -> PackageServiceClient<Transport> {
        PackageServiceClient::new(self.transport.clone())
    }

    /// Log and status messages.
    pub fn journal(&self) -> JournalServiceClient<Transport> {
        JournalServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_ANSWER)
    }
}

/// A question with the deadline that every question has.
pub fn question<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER_TIMEOUT);
    request
}
