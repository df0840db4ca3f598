//! Requests: what a downstream server sends.

use super::envelope::{Body, Envelope, begin_request, finish, operation_element};
use super::{
    AuthorizationCookie, Cookie, DecodeError, DownloadFiles, DriverQuery, GetAuthorizationCookie,
    GetConfigData, GetCookie, GetDeployments, GetRelatedRevisions, GetRevisionIdList,
    GetUpdateData, IdAndDelta, LanguageAndDelta, MAX_LIST_ENTRIES, MAX_REVISIONS, Operation,
    RevisionFilter, SoapVersion,
};
use crate::xml::{XmlReader, XmlWriter};
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use uuid::Uuid;

/// A request of any operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Where the authorization service is.
    GetAuthConfig,
    /// Asks for authorization.
    GetAuthorizationCookie(GetAuthorizationCookie),
    /// Opens or renews a session.
    GetCookie(GetCookie),
    /// Limits and languages.
    GetConfigData(GetConfigData),
    /// Which revisions there are.
    GetRevisionIdList(GetRevisionIdList),
    /// Update documents.
    GetUpdateData(GetUpdateData),
    /// Keys of encrypted files.
    GetUpdateDecryptionData(GetUpdateData),
    /// Approvals, for replicas.
    GetDeployments(GetDeployments),
    /// Asks the server to fetch content files.
    DownloadFiles(DownloadFiles),
    /// Not used by anybody.
    GetRelatedRevisionsForUpdates(GetRelatedRevisions),
    /// Which drivers there are.
    GetDriverIdList(DriverQuery),
    /// Driver sets.
    GetDriverSetData(DriverQuery),
    /// Whether the service works.
    Ping {
        /// How much to check; has no meaning here.
        level: i32,
    },
}

type Result<T> = std::result::Result<T, DecodeError>;

impl Request {
    /// Which operation is asked for.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::GetAuthConfig => Operation::GetAuthConfig,
            Self::GetAuthorizationCookie(_) => Operation::GetAuthorizationCookie,
            Self::GetCookie(_) => Operation::GetCookie,
            Self::GetConfigData(_) => Operation::GetConfigData,
            Self::GetRevisionIdList(_) => Operation::GetRevisionIdList,
            Self::GetUpdateData(_) => Operation::GetUpdateData,
            Self::GetUpdateDecryptionData(_) => Operation::GetUpdateDecryptionData,
            Self::GetDeployments(_) => Operation::GetDeployments,
            Self::DownloadFiles(_) => Operation::DownloadFiles,
            Self::GetRelatedRevisionsForUpdates(_) => Operation::GetRelatedRevisionsForUpdates,
            Self::GetDriverIdList(_) => Operation::GetDriverIdList,
            Self::GetDriverSetData(_) => Operation::GetDriverSetData,
            Self::Ping { .. } => Operation::Ping,
        }
    }

    /// The request as a whole envelope.
    pub fn encode(&self, version: SoapVersion) -> String {
        const CAPACITY: usize = 2048;
        let mut writer = begin_request(version, CAPACITY);
        operation_element(&mut writer, self.operation(), "", |w| self.write(w));
        finish(writer)
    }

    fn write(&self, w: &mut XmlWriter) {
        match self {
            Self::GetAuthConfig => {}
            Self::GetAuthorizationCookie(request) => {
                w.text("accountName", &request.account_name);
                w.text("accountGuid", &request.account_guid);
            }
            Self::GetCookie(request) => {
                w.element("authCookies", |w| {
                    for cookie in &request.auth_cookies {
                        w.element("AuthorizationCookie", |w| {
                            w.text("PlugInId", &cookie.plug_in_id);
                            w.base64("CookieData", &cookie.cookie_data);
                        });
                    }
                });
                write_cookie(w, "oldCookie", request.old_cookie.as_ref());
                w.optional_text("protocolVersion", request.protocol_version.as_deref());
            }
            Self::GetConfigData(request) => {
                write_cookie(w, "cookie", request.cookie.as_ref());
                w.optional_text("configAnchor", request.config_anchor.as_deref());
            }
            Self::GetRevisionIdList(request) => {
                write_cookie(w, "cookie", request.cookie.as_ref());
                if let Some(filter) = &request.filter {
                    w.element("filter", |w| write_filter(w, filter));
                }
            }
            Self::GetUpdateData(request) | Self::GetUpdateDecryptionData(request) => {
                write_cookie(w, "cookie", request.cookie.as_ref());
                w.element("updateIds", |w| {
                    for &id in &request.update_ids {
                        write_identity(w, "UpdateIdentity", id);
                    }
                });
            }
            Self::GetDeployments(request) => {
                write_cookie(w, "cookie", request.cookie.as_ref());
                w.optional_text("deploymentAnchor", request.deployment_anchor.as_deref());
                w.optional_text("syncAnchor", request.sync_anchor.as_deref());
            }
            Self::DownloadFiles(request) => {
                write_cookie(w, "cookie", request.cookie.as_ref());
                w.element("fileDigestList", |w| {
                    for digest in &request.file_digests {
                        w.base64("base64Binary", digest);
                    }
                });
            }
            Self::GetRelatedRevisionsForUpdates(request) => {
                write_cookie(w, "cookie", request.cookie.as_ref());
                w.element("updateIDs", |w| {
                    for id in &request.update_ids {
                        w.guid("guid", id.0);
                    }
                });
            }
            Self::GetDriverIdList(request) => {
                write_cookie(w, "cookie", request.cookie.as_ref());
                w.element("filter", |_| {});
            }
            Self::GetDriverSetData(request) => {
                write_cookie(w, "cookie", request.cookie.as_ref());
                w.element("driverSets", |_| {});
            }
            Self::Ping { level } => w.value("pingLevel", level),
        }
    }

    /// Decodes an envelope. A fault is not a request.
    pub fn decode(input: &[u8]) -> Result<(SoapVersion, Self)> {
        let Envelope {
            version,
            body,
            mut reader,
        } = Envelope::open(input)?;
        let name = match body {
            Body::Fault(_) => b"Fault".to_vec(),
            Body::Element(name) => name,
        };
        let Some(operation) = Operation::from_name(&name) else {
            return Err(DecodeError::Unexpected {
                found: String::from_utf8_lossy(&name).into_owned(),
                expected: "an operation of the server synchronization services".into(),
            });
        };
        let request = Self::read(operation, &mut reader)?;
        Ok((version, request))
    }

    fn read(operation: Operation, r: &mut XmlReader<'_>) -> Result<Self> {
        Ok(match operation {
            Operation::GetAuthConfig => {
                r.skip()?;
                Self::GetAuthConfig
            }
            Operation::GetAuthorizationCookie => {
                let mut request = GetAuthorizationCookie::default();
                while let Some(element) = r.child()? {
                    match element.name() {
                        b"accountName" => request.account_name = r.text()?,
                        b"accountGuid" => request.account_guid = r.text()?,
                        _ => r.skip()?,
                    }
                }
                Self::GetAuthorizationCookie(request)
            }
            Operation::GetCookie => Self::GetCookie(read_get_cookie(r)?),
            Operation::GetConfigData => {
                let mut request = GetConfigData::default();
                while let Some(element) = r.child()? {
                    match element.name() {
                        b"cookie" => request.cookie = read_cookie(r)?,
                        b"configAnchor" => request.config_anchor = Some(r.text()?),
                        _ => r.skip()?,
                    }
                }
                Self::GetConfigData(request)
            }
            Operation::GetRevisionIdList => {
                let mut request = GetRevisionIdList::default();
                while let Some(element) = r.child()? {
                    match element.name() {
                        b"cookie" => request.cookie = read_cookie(r)?,
                        b"filter" if element.nil => r.skip()?,
                        b"filter" => request.filter = Some(read_filter(r)?),
                        _ => r.skip()?,
                    }
                }
                Self::GetRevisionIdList(request)
            }
            Operation::GetUpdateData => Self::GetUpdateData(read_get_update_data(r)?),
            Operation::GetUpdateDecryptionData => {
                Self::GetUpdateDecryptionData(read_get_update_data(r)?)
            }
            Operation::GetDeployments => {
                let mut request = GetDeployments::default();
                while let Some(element) = r.child()? {
                    match element.name() {
                        b"cookie" => request.cookie = read_cookie(r)?,
                        b"deploymentAnchor" => request.deployment_anchor = Some(r.text()?),
                        b"syncAnchor" => request.sync_anchor = Some(r.text()?),
                        _ => r.skip()?,
                    }
                }
                Self::GetDeployments(request)
            }
            Operation::DownloadFiles => {
                let mut request = DownloadFiles::default();
                while let Some(element) = r.child()? {
                    match element.name() {
                        b"cookie" => request.cookie = read_cookie(r)?,
                        b"fileDigestList" => {
                            request.file_digests =
                                r.list("base64Binary", MAX_LIST_ENTRIES, XmlReader::base64)?;
                        }
                        _ => r.skip()?,
                    }
                }
                Self::DownloadFiles(request)
            }
            Operation::GetRelatedRevisionsForUpdates => {
                let mut request = GetRelatedRevisions::default();
                while let Some(element) = r.child()? {
                    match element.name() {
                        b"cookie" => request.cookie = read_cookie(r)?,
                        b"updateIDs" => {
                            request.update_ids = r.list("guid", MAX_REVISIONS, read_update_id)?;
                        }
                        _ => r.skip()?,
                    }
                }
                Self::GetRelatedRevisionsForUpdates(request)
            }
            Operation::GetDriverIdList => Self::GetDriverIdList(read_driver_query(r)?),
            Operation::GetDriverSetData => Self::GetDriverSetData(read_driver_query(r)?),
            Operation::Ping => {
                let mut level = 0;
                while let Some(element) = r.child()? {
                    match element.name() {
                        b"pingLevel" => level = r.int()?,
                        _ => r.skip()?,
                    }
                }
                Self::Ping { level }
            }
        })
    }
}

fn write_cookie(w: &mut XmlWriter, name: &str, cookie: Option<&Cookie>) {
    if let Some(cookie) = cookie {
        w.element(name, |w| write_cookie_content(w, cookie));
    }
}

pub(super) fn write_cookie_content(w: &mut XmlWriter, cookie: &Cookie) {
    w.date_time("Expiration", cookie.expiration);
    w.base64("EncryptedData", &cookie.encrypted_data);
}

pub(super) fn write_identity(w: &mut XmlWriter, name: &str, id: RevisionId) {
    w.open(name);
    w.guid("UpdateID", id.update_id.0);
    w.value("RevisionNumber", id.revision);
    w.close(name);
}

fn write_filter(w: &mut XmlWriter, filter: &RevisionFilter) {
    w.optional_text("Anchor", filter.anchor.as_deref());
    w.value("GetConfig", filter.get_config);
    w.value("Get63LanguageOnly", false);
    write_ids(w, "Categories", filter.categories.as_deref());
    write_ids(w, "Classifications", filter.classifications.as_deref());
    if !filter.languages.is_empty() {
        w.element("Languages", |w| {
            for language in &filter.languages {
                w.open("LanguageAndDelta");
                w.value("Id", language.id);
                w.value("Delta", language.delta);
                w.close("LanguageAndDelta");
            }
        });
    }
}

/// The catalog has no driver sets, so only who asks is looked at.
fn read_driver_query(r: &mut XmlReader<'_>) -> Result<DriverQuery> {
    let mut query = DriverQuery::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"cookie" => query.cookie = read_cookie(r)?,
            _ => r.skip()?,
        }
    }
    Ok(query)
}

fn write_ids(w: &mut XmlWriter, name: &str, ids: Option<&[IdAndDelta]>) {
    let Some(ids) = ids else { return };
    w.element(name, |w| {
        for entry in ids {
            w.open("IdAndDelta");
            w.guid("Id", entry.id.0);
            w.value("Delta", entry.delta);
            w.close("IdAndDelta");
        }
    });
}

fn read_get_cookie(r: &mut XmlReader<'_>) -> Result<GetCookie> {
    const MOST_COOKIES: usize = 16;
    let mut request = GetCookie::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"authCookies" => {
                request.auth_cookies =
                    r.list("AuthorizationCookie", MOST_COOKIES, read_auth_cookie)?;
            }
            b"oldCookie" => request.old_cookie = read_cookie(r)?,
            b"protocolVersion" => request.protocol_version = Some(r.text()?),
            _ => r.skip()?,
        }
    }
    Ok(request)
}

pub(super) fn read_auth_cookie(r: &mut XmlReader<'_>) -> Result<AuthorizationCookie> {
    let mut cookie = AuthorizationCookie::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"PlugInId" => cookie.plug_in_id = r.text()?,
            b"CookieData" => cookie.cookie_data = r.base64()?,
            _ => r.skip()?,
        }
    }
    Ok(cookie)
}

/// A cookie; `None` where it is marked nil or has nothing inside.
pub(super) fn read_cookie(r: &mut XmlReader<'_>) -> Result<Option<Cookie>> {
    let mut expiration: Option<Timestamp> = None;
    let mut encrypted_data = None;
    while let Some(element) = r.child()? {
        match element.name() {
            b"Expiration" => expiration = Some(r.date_time()?),
            b"EncryptedData" => encrypted_data = Some(r.base64()?),
            _ => r.skip()?,
        }
    }
    if expiration.is_none() && encrypted_data.is_none() {
        return Ok(None);
    }
    Ok(Some(Cookie {
        expiration: expiration.unwrap_or(Timestamp::MIN),
        encrypted_data: encrypted_data.unwrap_or_default(),
    }))
}

fn read_filter(r: &mut XmlReader<'_>) -> Result<RevisionFilter> {
    let mut filter = RevisionFilter::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"Anchor" if element.nil => r.skip()?,
            b"Anchor" => filter.anchor = Some(r.text()?),
            b"GetConfig" => filter.get_config = r.boolean()?,
            b"Categories" | b"Classifications" if element.nil => r.skip()?,
            b"Categories" => filter.categories = Some(read_ids(r)?),
            b"Classifications" => filter.classifications = Some(read_ids(r)?),
            b"Languages" => {
                filter.languages = r.list(
                    "LanguageAndDelta",
                    MAX_LIST_ENTRIES,
                    read_language_and_delta,
                )?;
            }
            _ => r.skip()?,
        }
    }
    Ok(filter)
}

fn read_ids(r: &mut XmlReader<'_>) -> Result<Vec<IdAndDelta>> {
    r.list("IdAndDelta", MAX_LIST_ENTRIES, read_id_and_delta)
}

fn read_id_and_delta(r: &mut XmlReader<'_>) -> Result<IdAndDelta> {
    let (mut id, mut delta) = (None, false);
    let inside = r.enclosing();
    while let Some(element) = r.child()? {
        match element.name() {
            b"Id" => id = Some(read_update_id(r)?),
            b"Delta" => delta = r.boolean()?,
            _ => r.skip()?,
        }
    }
    Ok(IdAndDelta {
        id: id.ok_or_else(|| r.missing_in(inside, "Id"))?,
        delta,
    })
}

fn read_language_and_delta(r: &mut XmlReader<'_>) -> Result<LanguageAndDelta> {
    let mut language = LanguageAndDelta {
        id: 0,
        delta: false,
    };
    while let Some(element) = r.child()? {
        match element.name() {
            b"Id" => language.id = r.int()?,
            b"Delta" => language.delta = r.boolean()?,
            _ => r.skip()?,
        }
    }
    Ok(language)
}

pub(super) fn read_update_id(r: &mut XmlReader<'_>) -> Result<UpdateId> {
    r.guid().map(UpdateId)
}

/// The content of an `UpdateIdentity`, whatever the element is called.
pub(super) fn read_identity(r: &mut XmlReader<'_>) -> Result<RevisionId> {
    let (mut id, mut revision): (Option<Uuid>, Option<u32>) = (None, None);
    let inside = r.enclosing();
    while let Some(element) = r.child()? {
        match element.name() {
            b"UpdateID" => id = Some(r.guid()?),
            b"RevisionNumber" => revision = Some(r.count()?),
            _ => r.skip()?,
        }
    }
    let id = id.ok_or_else(|| r.missing_in(inside, "UpdateID"))?;
    let revision = revision.ok_or_else(|| r.missing_in(inside, "RevisionNumber"))?;
    Ok(RevisionId::new(UpdateId(id), revision))
}

fn read_get_update_data(r: &mut XmlReader<'_>) -> Result<GetUpdateData> {
    let mut request = GetUpdateData::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"cookie" => request.cookie = read_cookie(r)?,
            b"updateIds" => {
                request.update_ids = r.list("UpdateIdentity", MAX_REVISIONS, read_identity)?;
            }
            _ => r.skip()?,
        }
    }
    Ok(request)
}
