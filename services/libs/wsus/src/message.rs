//! The messages of MS-WSUSSS as plain values: what a downstream server asks and what an upstream server
//! answers. [`Request`] and [`Response`] encode and decode whole SOAP envelopes.
//!
//! Encoding writes elements in the order of the WSDL, because Microsoft Update ignores an element that is
//! out of order. Decoding goes by local name in any order, because real servers use other orders.

mod envelope;
mod request;
mod response;

pub use envelope::{Operation, SoapVersion};
pub use request::Request;
pub use response::Response;

pub(crate) use envelope::{begin_response, finish};
pub(crate) use response::{
    PLAIN_BLOB_BYTES, begin_update_data, end_update_data, write_update_item,
};

use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use uuid::Uuid;

pub use crate::xml::DecodeError;

/// Most revisions that one list may hold, in a request or an answer.
pub const MAX_REVISIONS: usize = 4_000_000;

/// Most entries of any other list in a message (categories, languages, digests, URLs, deployments).
pub const MAX_LIST_ENTRIES: usize = 1_000_000;

/// A session cookie (MS-WSUSSS 2.2.2.2.1): opaque to the downstream server, which echoes it in every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// When the upstream server stops accepting the cookie.
    pub expiration: Timestamp,
    /// The server's own sealed bytes.
    pub encrypted_data: Vec<u8>,
}

/// What the authorization service hands out, to be exchanged for a [`Cookie`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorizationCookie {
    /// Always `DssTargeting` (`PlugInId`).
    pub plug_in_id: String,
    /// The server's own sealed bytes.
    pub cookie_data: Vec<u8>,
}

/// One authorization plug-in of a server (`AuthPlugInInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthPlugIn {
    /// Always `DssTargeting` (`PlugInID`, with a capital D here).
    pub plug_in_id: String,
    /// Path of the authorization service, relative to the root of the server.
    pub service_url: String,
    /// Forbidden by the specification, sent empty by real servers.
    pub parameter: String,
}

/// Answer to `GetAuthConfig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// When the authorization settings last changed. Not used for anything.
    pub last_change: Timestamp,
    /// The plug-ins; clients take the first.
    pub plug_ins: Vec<AuthPlugIn>,
}

/// Parameters of `GetAuthorizationCookie`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetAuthorizationCookie {
    /// The fully qualified domain name of the downstream server.
    pub account_name: String,
    /// The GUID, as text, under which the upstream server knows this downstream server.
    pub account_guid: String,
}

/// Parameters of `GetCookie`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetCookie {
    /// Exactly one in a valid request.
    pub auth_cookies: Vec<AuthorizationCookie>,
    /// The cookie that is being renewed.
    pub old_cookie: Option<Cookie>,
    /// Protocol version of the downstream server, `1.y`.
    pub protocol_version: Option<String>,
}

/// Parameters of `GetConfigData`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetConfigData {
    /// The session; absent in an invalid request.
    pub cookie: Option<Cookie>,
    /// The anchor of the last answer, absent the first time.
    pub config_anchor: Option<String>,
}

/// Parameters of `GetRevisionIdList`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetRevisionIdList {
    /// The session; absent in an invalid request.
    pub cookie: Option<Cookie>,
    /// What is asked for; absent in an invalid request.
    pub filter: Option<RevisionFilter>,
}

/// Parameters of `GetUpdateData` and of `GetUpdateDecryptionData`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetUpdateData {
    /// The session; absent in an invalid request.
    pub cookie: Option<Cookie>,
    /// The revisions asked for.
    pub update_ids: Vec<RevisionId>,
}

/// Parameters of `GetDeployments`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetDeployments {
    /// The session; absent in an invalid request.
    pub cookie: Option<Cookie>,
    /// The deployment anchor of the last answer, absent the first time.
    pub deployment_anchor: Option<String>,
    /// The anchor of the last `GetRevisionIdList`.
    pub sync_anchor: Option<String>,
}

/// Parameters of `DownloadFiles`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DownloadFiles {
    /// The session; absent in an invalid request.
    pub cookie: Option<Cookie>,
    /// Digests of the files that the upstream server shall fetch.
    pub file_digests: Vec<Vec<u8>>,
}

/// Parameters of `GetRelatedRevisionsForUpdates`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetRelatedRevisions {
    /// The session; absent in an invalid request.
    pub cookie: Option<Cookie>,
    /// The updates asked about.
    pub update_ids: Vec<UpdateId>,
}

/// What is looked at of the parameters of `GetDriverIdList` and `GetDriverSetData`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriverQuery {
    /// The session; absent in an invalid request.
    pub cookie: Option<Cookie>,
}

/// One language of `GetConfigData` (`ServerSyncLanguageData`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Language {
    /// Windows language id (LCID); 0 is the entry `all`.
    pub id: i32,
    /// Short name, such as `zh-tw`.
    pub short_name: String,
    /// English name.
    pub long_name: String,
    /// Whether the server synchronizes this language.
    pub enabled: bool,
}

/// Answer to `GetConfigData` (`ServerSyncConfigData`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigData {
    /// True where the server keeps no content files: they come from Microsoft Update.
    pub catalog_only_sync: bool,
    /// True where the server fetches content only after approval.
    pub lazy_sync: bool,
    /// True where the server keeps express files too.
    pub server_hosts_psf_files: bool,
    /// Most revisions in one `GetUpdateData`; 0 where the server does not say.
    pub max_updates_per_request: u32,
    /// Most driver sets in one `GetDriverSetData`; 0 where the server offers none.
    pub max_driver_sets_per_request: u32,
    /// Most computer ids in one `GetDriverIdList`; 0 where the server offers none.
    pub max_computer_ids_per_request: u32,
    /// Most hardware ids in one `GetDriverIdList`; 0 where the server offers none.
    pub max_pnp_hardware_ids_per_request: u32,
    /// Most revisions in one `GetUpdateDecryptionData`; 0 where the server offers none.
    pub max_updates_per_decryption_request: u32,
    /// Anchor to send next time. Opaque.
    pub new_config_anchor: String,
    /// Protocol version of the server, such as `1.20`; WSUS 2.0 sends none.
    pub protocol_version: Option<String>,
    /// Languages that changed since the anchor sent, all where none was sent.
    pub languages: Vec<Language>,
}

/// A category or classification of a filter (`IdAndDelta`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdAndDelta {
    /// The category or classification.
    pub id: UpdateId,
    /// True: only what changed after the anchor. False: everything of this id, whatever the anchor.
    pub delta: bool,
}

/// A language of a filter (`LanguageAndDelta`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanguageAndDelta {
    /// Windows language id (LCID).
    pub id: i32,
    /// True: only what changed after the anchor.
    pub delta: bool,
}

/// What `GetRevisionIdList` asks for (`ServerSyncFilter`). [`crate::selection`] has its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevisionFilter {
    /// The anchor of an earlier answer. Absent: from the beginning.
    pub anchor: Option<String>,
    /// True: categories, classifications and detectoids. False: updates.
    pub get_config: bool,
    /// Categories an update must be in one of. An empty list is not an absent one: no update is in any of it.
    pub categories: Option<Vec<IdAndDelta>>,
    /// Classifications an update must have one of, in the same way.
    pub classifications: Option<Vec<IdAndDelta>>,
    /// Languages; the specification does not say how they select, so best left empty.
    pub languages: Vec<LanguageAndDelta>,
}

/// Answer to `GetRevisionIdList`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevisionList {
    /// Anchor to send next time. Opaque.
    pub anchor: String,
    /// The revisions, prerequisites and bundled revisions first where the server is well-behaved.
    pub revisions: Vec<RevisionId>,
}

/// One revision of an answer to `GetUpdateData`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSyncUpdate {
    /// Which revision.
    pub id: RevisionId,
    /// The update document as its publisher wrote it, not changed in any byte.
    pub document: String,
    /// SHA-1 of each content file of the revision.
    pub file_digests: Vec<[u8; 20]>,
}

/// Where a content file can be downloaded (`ServerSyncUrlData`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileUrl {
    /// Digest of the file, SHA-1 as a rule.
    pub digest: Vec<u8>,
    /// Address at Microsoft Update.
    pub mu_url: Option<String>,
    /// Address at the upstream server; unused by Windows.
    pub uss_url: Option<String>,
}

/// A revision that a server answered with in a form that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableUpdate {
    /// Which revision.
    pub id: RevisionId,
    /// What is wrong with it.
    pub reason: String,
}

/// Answer to `GetUpdateData`. It may hold fewer revisions than were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateData {
    /// The revisions.
    pub updates: Vec<ServerSyncUpdate>,
    /// Download addresses of all their files, by digest. A digest may occur more than once.
    pub file_urls: Vec<FileUrl>,
    /// Revisions whose document could not be read. The rest of the answer is good.
    pub unreadable: Vec<UnreadableUpdate>,
}

/// The key of one encrypted file (`ServerSyncFileDecryption`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileKey {
    /// Digest of the file.
    pub digest: Vec<u8>,
    /// The key; absent where the file is not encrypted.
    pub key: Option<Vec<u8>>,
}

/// The keys of one revision's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionKeys {
    /// Which revision.
    pub id: RevisionId,
    /// Its files.
    pub keys: Vec<FileKey>,
}

/// Answer to `GetUpdateDecryptionData`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecryptionData {
    /// One entry a revision.
    pub revisions: Vec<RevisionKeys>,
}

/// A computer group (`ServerSyncTargetGroup`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetGroup {
    /// Its GUID.
    pub id: Uuid,
    /// Its parent; all zeros at the root.
    pub parent_id: Uuid,
    /// Its name.
    pub name: String,
    /// Whether the server made it and not an administrator.
    pub is_builtin: bool,
}

/// An approval (`ServerSyncDeployment`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The revision approved.
    pub revision: RevisionId,
    /// 0 install, 1 uninstall, 2 scan only, 3 block.
    pub action: i32,
    /// Who approved it.
    pub admin_name: String,
    /// When it is enforced; absent where the server says year 9999.
    pub deadline: Option<Timestamp>,
    /// Kept for the Windows Update agent.
    pub is_assigned: bool,
    /// When it takes effect.
    pub go_live_time: Option<Timestamp>,
    /// The GUID of the approval.
    pub deployment_guid: Uuid,
    /// The computer group it is for.
    pub target_group_id: Uuid,
    /// 1 low to 3 high.
    pub download_priority: u8,
}

/// Answer to `GetDeployments`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deployments {
    /// Anchor to send next time. Opaque.
    pub anchor: String,
    /// All groups.
    pub groups: Vec<TargetGroup>,
    /// Approvals added since the anchor sent.
    pub deployments: Vec<Deployment>,
    /// GUIDs of approvals removed since the anchor sent.
    pub dead_deployments: Vec<Uuid>,
    /// All declined updates.
    pub hidden_updates: Vec<UpdateId>,
    /// All accepted licences.
    pub accepted_eulas: Vec<Uuid>,
}

/// The group of all computers, present at every server.
pub const ALL_COMPUTERS: Uuid = Uuid::from_u128(0xa0a08746_4dbe_4a37_9adf_9e7652c0b421);

/// The group of computers without another group, present at every server.
pub const UNASSIGNED_COMPUTERS: Uuid = Uuid::from_u128(0xb73ca6ed_5727_47f3_84de_015e03f6a88a);

/// Answer to `Ping`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// Whether the service works.
    pub success: bool,
    /// Time of the server.
    pub services_time: Timestamp,
    /// Name of the service.
    pub services_name: String,
    /// Whether the request came over HTTPS.
    pub is_https: bool,
}
