//! What the server needs from a catalog.

use super::reporting::ServerReport;
use crate::anchor::Anchor;
use crate::message::{
    ConfigData, DecryptionData, Deployments, FileUrl, RevisionFilter, RevisionKeys, RevisionList,
};
use catalog::RevisionId;
use catalog::document::ProtocolVersion;
use jiff::Timestamp;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// A catalog that can be served to downstream servers.
///
/// The server has checked a request before it calls: the cookie is valid, an anchor has the right form,
/// and the number of ids is between 1 and [`super::ServerSettings::max_updates_per_request`].
pub trait Source: Send + Sync + 'static {
    /// Who the upstream server is. It is sealed into cookies: a downstream server that comes back with a
    /// cookie of another identity is told `ServerChanged` and synchronizes again from the start.
    fn identity(&self) -> ServerIdentity;

    /// Flags, anchor and languages; the languages that changed after `anchor`, all where there is none.
    /// The server itself fills in the limits that it enforces.
    fn config(
        &self,
        anchor: Option<&str>,
        now: Timestamp,
    ) -> impl Future<Output = Result<ConfigData, SourceError>> + Send;

    /// The revisions that `filter` selects for the downstream server of `session`, with the anchor that stands
    /// for this answer. [`crate::selection`] implements the filter and [`crate::anchor::Anchor`] the anchor.
    fn revisions(
        &self,
        session: &Session,
        filter: &RevisionFilter,
        now: Timestamp,
    ) -> impl Future<Output = Result<RevisionList, SourceError>> + Send;

    /// Bytes of the documents of `ids`, in their order; 0 for one that the catalog does not hold. Where a source
    /// knows that without reading them, no more of them are read than fit into an answer, and an answer waits until
    /// there is memory for it.
    fn document_bytes(&self, ids: &[RevisionId]) -> Vec<usize> {
        vec![0; ids.len()]
    }

    /// The revisions `ids`, each named once, in their order; `None` for one that the catalog does not hold.
    fn updates(
        &self,
        ids: &[RevisionId],
    ) -> impl Future<Output = Result<Vec<Option<StoredUpdate>>, SourceError>> + Send;

    /// Keys of encrypted files. Unless a source knows better, no file has one.
    fn decryption_data(
        &self,
        ids: &[RevisionId],
    ) -> impl Future<Output = Result<DecryptionData, SourceError>> + Send {
        let revisions = ids.iter().map(|&id| RevisionKeys { id, keys: vec![] });
        let answer = DecryptionData {
            revisions: revisions.collect(),
        };
        async move { Ok(answer) }
    }

    /// Approvals for replicas, added or removed since the deployment anchor; none that refers to what came after
    /// the anchor of the last list of revisions. Unless a source knows better, the two built-in groups and
    /// nothing else.
    fn deployments(
        &self,
        _session: &Session,
        _anchors: &DeploymentAnchors,
        now: Timestamp,
    ) -> impl Future<Output = Result<Deployments, SourceError>> + Send {
        async move { Ok(super::builtin_deployments(now)) }
    }

    /// A downstream server that calls from `client` asks that these files be fetched. Unless a source knows better,
    /// the wish is accepted and nothing follows from it.
    fn download_files(
        &self,
        _client: Option<IpAddr>,
        _digests: &[Vec<u8>],
    ) -> impl Future<Output = Result<(), SourceError>> + Send {
        async { Ok(()) }
    }

    /// A downstream server asks for authorization. For a table of downstream servers, and a list of those that
    /// are wanted; nothing is proven about the name or the GUID. Unless a source knows better, everybody may.
    fn admit(
        &self,
        _server: &DownstreamServer,
        _now: Timestamp,
    ) -> impl Future<Output = Result<(), SourceError>> + Send {
        async { Ok(()) }
    }

    /// Downstream servers report about themselves and those below them, parents before their children. There
    /// is no authorization for this (WSUS-PROTOCOL 2.5). Unless a source knows better, it is not kept.
    fn rolled_up(
        &self,
        _reporter: Option<IpAddr>,
        _servers: &[ServerReport],
        _now: Timestamp,
    ) -> impl Future<Output = Result<(), SourceError>> + Send {
        async { Ok(()) }
    }
}

/// Who an upstream server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    /// GUID of the catalog: it changes when anchors handed out before mean nothing any more.
    pub server_id: Uuid,
}

/// What a downstream server says about itself when it asks for authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownstreamServer {
    /// Its fully qualified domain name, as it claims.
    pub account_name: String,
    /// Its GUID, as it claims.
    pub account_guid: Uuid,
    /// Where the request comes from, as far as is known.
    pub address: Option<IpAddr>,
}

/// A downstream server that holds a valid cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The GUID that it authenticated with.
    pub account: Uuid,
    /// The protocol version that it announced.
    pub protocol: ProtocolVersion,
}

impl Session {
    /// The session of a server that speaks the newest version.
    pub const fn newest(account: Uuid) -> Self {
        let protocol = ProtocolVersion {
            major: 1,
            minor: 20,
        };
        Self { account, protocol }
    }
}

/// What a replica says it has when it asks for approvals; anchors of the form of [`crate::anchor::Anchor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeploymentAnchors {
    /// The deployment anchor of the last answer.
    pub deployments: Option<Anchor>,
    /// The anchor of the last list of revisions.
    pub revisions: Option<Anchor>,
}

/// A revision as a source hands it to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUpdate {
    /// The update document, served byte for byte.
    pub document: Arc<str>,
    /// SHA-1 of each content file.
    pub file_digests: Vec<[u8; 20]>,
    /// Download addresses of its files, by SHA-1 and, where known, by SHA-256 too.
    pub file_urls: Vec<FileUrl>,
}

/// Why a source could not answer. The downstream server learns the fault code and no more; what is
/// in `Failed` goes to the log.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A parameter is wrong; its name, such as `filter`.
    #[error("parameter {0} is not valid")]
    InvalidParameter(&'static str),
    /// Anchors handed out earlier mean nothing any more.
    #[error("the catalog was replaced, so anchors start again")]
    ServerChanged,
    /// Files asked for are not known; their digests.
    #[error("files are not known here")]
    FileDigestsMissing(Vec<Vec<u8>>),
    /// Not now; ask again later.
    #[error("the server is busy")]
    Busy,
    /// This downstream server is none of those that may synchronize from here.
    #[error("this server is not on the list of those that may synchronize from here")]
    NotAdmitted,
    /// A report is about a server below one that is not known.
    #[error("the parent of a reported server is not known")]
    UnknownParent,
    /// Anything else.
    #[error("the catalog could not be read: {0}")]
    Failed(String),
}
