//! The operations: checks a request, asks the source, writes the answer.

use super::answer::{AnswerPart, UpdateAnswer, answer_bytes};
use super::cookie::{Claims, Kind, Refused, Sealer};
use super::http::{Caller, DSS_AUTH_PATH, method};
use super::memory::{Held, Memory};
use super::{
    DeploymentAnchors, DownstreamServer, ServerIdentity, ServerSettings, Session, Source,
    SourceError, StoredUpdate,
};
use crate::anchor::Anchor;
use crate::fault::{ErrorCode, Fault};
use crate::message::{
    AuthConfig, AuthPlugIn, AuthorizationCookie, Cookie, GetAuthorizationCookie, GetCookie,
    GetUpdateData, Operation, Pong, Request, Response, RevisionFilter, SoapVersion,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::RevisionId;
use catalog::document::ProtocolVersion;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Name of the only authorization plug-in.
const PLUG_IN: &str = "DssTargeting";

/// How long an authorization can be exchanged for sessions.
const AUTHORIZATION_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How many updates are read from the source at a time.
const READ_AT_ONCE: usize = 16;

/// Bytes that all answers together may have in memory, and what is read for them, unless a request brings another
/// measure. The largest document that is known takes all of it while it is encoded.
pub const ANSWER_BYTES: usize = 256 << 20;

/// How long an answer waits for memory.
const MEMORY_TIME: Duration = Duration::from_secs(60);

/// Documents together longer than this are encoded on a thread where that may take time.
const ENCODE_ASIDE_BYTES: usize = match cfg!(feature = "simulation") {
    true => 1 << 30,
    false => 1 << 20,
};

/// Most digests in one `DownloadFiles`.
const MAX_DOWNLOAD_DIGESTS: usize = 100;

/// Reports that are held at a time while they are read.
const REPORTS_AT_ONCE: usize = 4;

/// The version that an authorization is sealed with: none was announced yet.
const NOT_ANNOUNCED: ProtocolVersion = ProtocolVersion { major: 0, minor: 0 };

/// The services over a source, apart from HTTP. Cloning gives another handle on the same.
pub struct Service<S> {
    source: Arc<S>,
    settings: ServerSettings,
    sealer: Sealer,
    /// Places for reports that are being read.
    pub(super) reports: Arc<Semaphore>,
    memory: Memory,
}

impl<S> Clone for Service<S> {
    fn clone(&self) -> Self {
        Self {
            source: Arc::clone(&self.source),
            settings: self.settings.clone(),
            sealer: self.sealer.clone(),
            reports: Arc::clone(&self.reports),
            memory: self.memory.clone(),
        }
    }
}

impl<S: Source> Service<S> {
    /// The services over `source`.
    pub fn new(source: Arc<S>, settings: ServerSettings) -> Self {
        let sealer = Sealer::new(settings.cookie_key);
        Self {
            source,
            settings,
            sealer,
            reports: Arc::new(Semaphore::new(REPORTS_AT_ONCE)),
            memory: Memory::new(ANSWER_BYTES),
        }
    }

    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// The memory of answers.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn new_id(&self) -> Uuid {
        (self.settings.new_id)()
    }

    pub(super) fn identity(&self) -> ServerIdentity {
        self.source.identity()
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }

    /// The answer to one request as a whole envelope, with the memory that it has; or the fault.
    pub(super) async fn answer(
        &self,
        version: SoapVersion,
        request: Request,
        caller: &Caller,
    ) -> Result<(String, Held), Fault> {
        let operation = request.operation();
        let answer = if let Request::GetUpdateData(request) = request {
            self.update_data(version, request, &caller.memory).await
        } else {
            self.other(version, request, caller).await
        };
        answer.map_err(|mut fault| {
            fault.method = method(operation);
            fault
        })
    }

    async fn other(
        &self,
        version: SoapVersion,
        request: Request,
        caller: &Caller,
    ) -> Result<(String, Held), Fault> {
        let response = self.small(request, caller).await?;
        let bytes = answer_bytes(&response);
        let held = room(&caller.memory, bytes * PACKING).await?;
        let text = response.encode(version);
        held.shrink(text.len() * PACKING);
        Ok((text, held))
    }

    /// Every operation but `GetUpdateData`.
    async fn small(&self, request: Request, caller: &Caller) -> Result<Response, Fault> {
        let (address, now) = (caller.address, self.now());
        match request {
            Request::GetAuthConfig => Ok(Response::AuthConfig(AuthConfig {
                last_change: Timestamp::UNIX_EPOCH,
                plug_ins: vec![AuthPlugIn {
                    plug_in_id: PLUG_IN.into(),
                    service_url: DSS_AUTH_PATH.into(),
                    parameter: String::new(),
                }],
            })),
            Request::GetAuthorizationCookie(request) => {
                self.authorize(&request, address, now).await
            }
            Request::GetCookie(request) => self.open_session(&request, now),
            Request::GetConfigData(request) => {
                self.check(request.cookie.as_ref(), now)?;
                let anchor = request.config_anchor.as_deref().filter(|a| !a.is_empty());
                let config = self.source.config(anchor, now).await;
                let mut config = config.map_err(|e| fault_of(e, Operation::GetConfigData))?;
                config.max_updates_per_request = self.settings.max_updates_per_request;
                config.max_updates_per_decryption_request = self.settings.max_updates_per_request;
                Ok(Response::ConfigData(config))
            }
            Request::GetRevisionIdList(request) => {
                let session = self.check(request.cookie.as_ref(), now)?;
                let filter = checked_filter(request.filter)?;
                let list = self.source.revisions(&session, &filter, now).await;
                list.map(Response::RevisionList)
                    .map_err(|e| fault_of(e, Operation::GetRevisionIdList))
            }
            Request::GetUpdateDecryptionData(request) => {
                self.check(request.cookie.as_ref(), now)?;
                self.check_number(&request.update_ids)?;
                let data = self.source.decryption_data(&request.update_ids).await;
                data.map(Response::DecryptionData)
                    .map_err(|e| fault_of(e, Operation::GetUpdateDecryptionData))
            }
            Request::GetDeployments(request) => {
                let session = self.check(request.cookie.as_ref(), now)?;
                let anchors = DeploymentAnchors {
                    deployments: checked_anchor(
                        request.deployment_anchor.as_deref(),
                        "deploymentAnchor",
                    )?,
                    revisions: checked_anchor(request.sync_anchor.as_deref(), "syncAnchor")?,
                };
                let list = self.source.deployments(&session, &anchors, now).await;
                list.map(Response::Deployments)
                    .map_err(|e| fault_of(e, Operation::GetDeployments))
            }
            Request::DownloadFiles(request) => {
                self.check(request.cookie.as_ref(), now)?;
                if !(1..=MAX_DOWNLOAD_DIGESTS).contains(&request.file_digests.len()) {
                    return Err(invalid("fileDigestList"));
                }
                let done = self.source.download_files(address, &request.file_digests);
                let done = done.await;
                done.map(|()| Response::DownloadFiles)
                    .map_err(|e| fault_of(e, Operation::DownloadFiles))
            }
            Request::GetRelatedRevisionsForUpdates(request) => {
                self.check(request.cookie.as_ref(), now)?;
                Ok(Response::RelatedRevisions(vec![]))
            }
            Request::GetDriverIdList(request) => {
                self.check(request.cookie.as_ref(), now)?;
                Ok(Response::DriverIdList(Anchor::new(0, now).to_string()))
            }
            Request::GetDriverSetData(request) => {
                self.check(request.cookie.as_ref(), now)?;
                Ok(Response::DriverSetData)
            }
            Request::Ping { .. } => Ok(Response::Pong(Pong {
                success: true,
                services_time: now,
                services_name: "ServerSyncWebService".into(),
                is_https: caller.is_https,
            })),
            Request::GetUpdateData(_) => Err(Fault::new(ErrorCode::InternalServerError, "")),
        }
    }

    async fn authorize(
        &self,
        request: &GetAuthorizationCookie,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Response, Fault> {
        // One known client exchanges the two parameters.
        let (name, guid) = match Uuid::try_parse(request.account_guid.trim()) {
            Ok(guid) => (request.account_name.trim(), guid),
            Err(_) => match Uuid::try_parse(request.account_name.trim()) {
                Ok(guid) => (request.account_guid.trim(), guid),
                Err(_) => return Err(invalid("accountGuid")),
            },
        };
        if !is_host_name(name) {
            return Err(invalid("machineName"));
        }
        let server = DownstreamServer {
            account_name: name.to_owned(),
            account_guid: guid,
            address,
        };
        let admitted = self.source.admit(&server, now).await;
        admitted.map_err(|e| fault_of(e, Operation::GetAuthorizationCookie))?;
        let cookie_data = self.seal(
            Kind::Authorization,
            Session {
                account: guid,
                protocol: NOT_ANNOUNCED,
            },
            later(now, AUTHORIZATION_LIFETIME),
        );
        Ok(Response::AuthorizationCookie(AuthorizationCookie {
            plug_in_id: PLUG_IN.into(),
            cookie_data,
        }))
    }

    fn open_session(&self, request: &GetCookie, now: Timestamp) -> Result<Response, Fault> {
        let [authorization] = request.auth_cookies.as_slice() else {
            return Err(invalid("authCookies"));
        };
        let announced = request.protocol_version.as_deref().unwrap_or_default();
        let protocol = protocol_version(announced).ok_or_else(|| invalid("protocolVersion"))?;
        if protocol.major != 1 {
            return Err(Fault::new(ErrorCode::IncompatibleProtocolVersion, ""));
        }
        let sealed = &authorization.cookie_data;
        let claims = self.sealer.open(Kind::Authorization, sealed, now);
        let server = self.identity().server_id;
        let claims = match claims {
            Ok(claims) if claims.server == server => claims,
            Ok(_) | Err(Refused::Invalid | Refused::Expired) => {
                return Err(Fault::new(ErrorCode::InvalidAuthorizationCookie, ""));
            }
        };
        let old = request.old_cookie.as_ref();
        let old = old.map(|c| self.sealer.open(Kind::Session, &c.encrypted_data, now));
        if matches!(old, Some(Ok(old)) if old.server != server) {
            return Err(Fault::new(ErrorCode::ServerChanged, ""));
        }
        let expiration = later(now, self.settings.cookie_lifetime).min(claims.expires);
        Ok(Response::Cookie(Cookie {
            expiration,
            encrypted_data: self.seal(
                Kind::Session,
                Session {
                    account: claims.account,
                    protocol,
                },
                expiration,
            ),
        }))
    }

    fn seal(&self, kind: Kind, session: Session, expires: Timestamp) -> Vec<u8> {
        let server = self.identity().server_id;
        let claims = Claims {
            account: session.account,
            server,
            expires,
            protocol: session.protocol,
        };
        self.sealer.seal(kind, &claims)
    }

    /// The session of a request.
    fn check(&self, cookie: Option<&Cookie>, now: Timestamp) -> Result<Session, Fault> {
        let invalid = || Fault::new(ErrorCode::InvalidCookie, "");
        let sealed = &cookie.ok_or_else(invalid)?.encrypted_data;
        match self.sealer.open(Kind::Session, sealed, now) {
            Ok(claims) if claims.server == self.identity().server_id => Ok(Session {
                account: claims.account,
                protocol: claims.protocol,
            }),
            Ok(_) => Err(Fault::new(ErrorCode::ServerChanged, "")),
            Err(Refused::Invalid | Refused::Expired) => Err(invalid()),
        }
    }

    fn check_number(&self, ids: &[RevisionId]) -> Result<(), Fault> {
        let most = usize::try_from(self.settings.max_updates_per_request).unwrap_or(usize::MAX);
        if ids.is_empty() || ids.len() > most {
            return Err(invalid("updateIds"));
        }
        Ok(())
    }

    async fn update_data(
        &self,
        version: SoapVersion,
        request: GetUpdateData,
        memory: &Memory,
    ) -> Result<(String, Held), Fault> {
        self.check(request.cookie.as_ref(), self.now())?;
        self.check_number(&request.update_ids)?;
        let ids = request.update_ids.as_slice();
        let part = AnswerPart::of(ids, &self.source.document_bytes(ids));
        let held = room(memory, part.bytes).await?;
        let mut answer = UpdateAnswer::default();
        let mut read: HashMap<RevisionId, StoredUpdate> = HashMap::new();
        for ids in ids[..part.updates].chunks(READ_AT_ONCE) {
            let mut named = HashSet::new();
            let is_new = |id: &RevisionId| !read.contains_key(id) && named.insert(*id);
            let new: Vec<RevisionId> = ids.iter().copied().filter(is_new).collect();
            let found = self.source.updates(&new).await;
            let found = found.map_err(|e| fault_of(e, Operation::GetUpdateData))?;
            let found = new.into_iter().zip(found);
            read.extend(found.filter_map(|(id, update)| Some((id, update?))));
            for id in ids {
                let Some(update) = read.get(id) else {
                    tracing::debug!(%id, "asked for a revision that is not here");
                    return Err(Fault::new(ErrorCode::InternalServerError, ""));
                };
                answer.add(*id, update.clone());
            }
            if answer.is_full() {
                break;
            }
        }
        drop(read);
        let text = if answer.document_bytes <= ENCODE_ASIDE_BYTES {
            answer.encode(version)
        } else {
            let encoded = tokio::task::spawn_blocking(move || answer.encode(version)).await;
            encoded.map_err(|_| Fault::new(ErrorCode::InternalServerError, ""))?
        };
        held.shrink(text.len() * PACKING);
        Ok((text, held))
    }
}

/// As often as once an answer may be in memory while it is packed.
const PACKING: usize = 2;

/// The memory for so many bytes.
async fn room(memory: &Memory, bytes: usize) -> Result<Held, Fault> {
    let held = tokio::time::timeout(MEMORY_TIME, memory.take(bytes)).await;
    held.map_err(|_| Fault::new(ErrorCode::ServerBusy, ""))
}

fn checked_filter(filter: Option<RevisionFilter>) -> Result<RevisionFilter, Fault> {
    let mut filter = filter.ok_or_else(|| invalid("filter"))?;
    // An empty anchor is no anchor: clients that have none yet may send the element all the same.
    filter.anchor = filter.anchor.filter(|anchor| !anchor.is_empty());
    if let Some(anchor) = &filter.anchor {
        anchor.parse::<Anchor>().map_err(|_| invalid("filter"))?;
    }
    Ok(filter)
}

/// An anchor that a request may hold; an empty one is none.
fn checked_anchor(text: Option<&str>, parameter: &str) -> Result<Option<Anchor>, Fault> {
    let text = text.filter(|text| !text.is_empty());
    let anchor = text.map(str::parse::<Anchor>).transpose();
    anchor.map_err(|_| invalid(parameter))
}

fn invalid(parameter: &str) -> Fault {
    Fault::new(ErrorCode::InvalidParameters, parameter)
}

pub(super) fn fault_of(error: SourceError, operation: impl Display) -> Fault {
    match error {
        SourceError::InvalidParameter(name) => invalid(name),
        SourceError::ServerChanged => Fault::new(ErrorCode::ServerChanged, ""),
        SourceError::Busy => Fault::new(ErrorCode::ServerBusy, ""),
        SourceError::NotAdmitted => {
            let mut fault = invalid("accountName");
            fault.reason = error.to_string();
            fault
        }
        SourceError::UnknownParent => {
            let mut fault = Fault::new(ErrorCode::InternalServerError, "");
            fault.reason = error.to_string();
            fault
        }
        SourceError::FileDigestsMissing(digests) => {
            let digests: Vec<String> = digests.iter().map(|d| STANDARD.encode(d)).collect();
            Fault::new(ErrorCode::FileDigestsMissing, digests.join("|"))
        }
        SourceError::Failed(reason) => {
            tracing::error!(%operation, reason, "the catalog could not be read for a downstream server");
            Fault::new(ErrorCode::InternalServerError, "")
        }
    }
}

/// The version `x.y`; more numbers may follow.
fn protocol_version(version: &str) -> Option<ProtocolVersion> {
    let (major, minor) = version.trim().split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(major) || !minor.split('.').all(is_number) {
        return None;
    }
    Some(ProtocolVersion {
        major: major.parse().ok()?,
        minor: minor.split('.').next()?.parse().ok()?,
    })
}

/// Whether `name` can be the name of a host.
fn is_host_name(name: &str) -> bool {
    const LONGEST: usize = 255;
    (1..=LONGEST).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers() {
        let version = |major, minor| Some(ProtocolVersion { major, minor });
        assert_eq!(protocol_version("1.20"), version(1, 20));
        assert_eq!(protocol_version(" 1.7 "), version(1, 7));
        assert_eq!(protocol_version("2.0.1"), version(2, 0));
        for text in ["", "1", "1.", ".1", "a.b", "1.x", "1,2", "1.99999999999"] {
            assert_eq!(protocol_version(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_name_has_no_other_characters() {
        assert!(is_host_name("wsus-1.example.org"));
        assert!(is_host_name("6f1c2f6e-3f0b-4d3a-9b1e-0d2f6a1c5e12"));
        for name in ["", "a b", "a/b", "<a>", "a:80"] {
            assert!(!is_host_name(name), "{name}");
        }
    }
}
