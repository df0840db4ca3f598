//! Reading answers.

use super::super::request::{read_auth_cookie, read_cookie, read_identity, read_update_id};
use super::super::{
    AuthConfig, AuthPlugIn, AuthorizationCookie, ConfigData, DecodeError, DecryptionData,
    Deployment, Deployments, FileKey, FileUrl, Language, MAX_LIST_ENTRIES, MAX_REVISIONS,
    Operation, Pong, RevisionKeys, RevisionList, ServerSyncUpdate, TargetGroup, UnreadableUpdate,
    UpdateData,
};
use super::Response;
use crate::blob;
use crate::xml::XmlReader;
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use uuid::Uuid;

type Result<T> = std::result::Result<T, DecodeError>;

/// Most characters that the compressed documents of one answer may unpack to together. It bounds what
/// a hostile server can make of an answer of [`crate::client::MAX_RESPONSE_BYTES`].
const MAX_UNPACKED_CHARS: usize = 256 << 20;

/// Most updates in one answer.
const MAX_UPDATES: usize = 100_000;

/// Reads the content of the response element of `operation`.
pub(super) fn read(operation: Operation, r: &mut XmlReader<'_>) -> Result<Response> {
    if operation == Operation::DownloadFiles {
        r.skip()?;
        return Ok(Response::DownloadFiles);
    }
    let result = format!("{operation}Result");
    let inside = r.enclosing();
    while let Some(element) = r.child()? {
        if element.name() == result.as_bytes() {
            return read_result(operation, r);
        }
        r.skip()?;
    }
    Err(r.missing_in(inside, "the element that ends in Result"))
}

fn read_result(operation: Operation, r: &mut XmlReader<'_>) -> Result<Response> {
    Ok(match operation {
        Operation::GetAuthConfig => Response::AuthConfig(auth_config(r)?),
        Operation::GetAuthorizationCookie => Response::AuthorizationCookie(auth_cookie(r)?),
        Operation::GetCookie => {
            let inside = r.enclosing();
            match read_cookie(r)? {
                Some(cookie) => Response::Cookie(cookie),
                None => return Err(r.missing_in(inside, "EncryptedData")),
            }
        }
        Operation::GetConfigData => Response::ConfigData(config_data(r)?),
        Operation::GetRevisionIdList => Response::RevisionList(revision_list(r)?),
        Operation::GetUpdateData => Response::UpdateData(update_data(r)?),
        Operation::GetUpdateDecryptionData => Response::DecryptionData(decryption_data(r)?),
        Operation::GetDeployments => Response::Deployments(deployments(r)?),
        Operation::DownloadFiles => Response::DownloadFiles,
        Operation::GetRelatedRevisionsForUpdates => {
            Response::RelatedRevisions(r.list("UpdateIdentity", MAX_REVISIONS, read_identity)?)
        }
        Operation::GetDriverIdList => {
            let mut anchor = String::new();
            while let Some(element) = r.child()? {
                match element.name() {
                    b"Anchor" => anchor = r.text()?,
                    _ => r.skip()?,
                }
            }
            Response::DriverIdList(anchor)
        }
        Operation::GetDriverSetData => {
            r.skip()?;
            Response::DriverSetData
        }
        Operation::Ping => Response::Pong(pong(r)?),
    })
}

fn auth_config(r: &mut XmlReader<'_>) -> Result<AuthConfig> {
    const MOST_PLUG_INS: usize = 100;
    let mut config = AuthConfig {
        last_change: Timestamp::UNIX_EPOCH,
        plug_ins: vec![],
    };
    while let Some(element) = r.child()? {
        match element.name() {
            b"LastChange" => config.last_change = r.date_time()?,
            b"AuthInfo" => {
                config.plug_ins = r.list("AuthPlugInInfo", MOST_PLUG_INS, |r| {
                    let mut plug_in = AuthPlugIn::default();
                    while let Some(element) = r.child()? {
                        match element.name() {
                            b"PlugInID" => plug_in.plug_in_id = r.text()?,
                            b"ServiceUrl" => plug_in.service_url = r.text()?,
                            b"Parameter" => plug_in.parameter = r.text()?,
                            _ => r.skip()?,
                        }
                    }
                    Ok(plug_in)
                })?;
            }
            _ => r.skip()?,
        }
    }
    Ok(config)
}

fn auth_cookie(r: &mut XmlReader<'_>) -> Result<AuthorizationCookie> {
    let inside = r.enclosing();
    let cookie = read_auth_cookie(r)?;
    if cookie.cookie_data.is_empty() {
        return Err(r.missing_in(inside, "CookieData"));
    }
    Ok(cookie)
}

fn config_data(r: &mut XmlReader<'_>) -> Result<ConfigData> {
    let mut config = ConfigData::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"CatalogOnlySync" => config.catalog_only_sync = r.boolean()?,
            b"LazySync" => config.lazy_sync = r.boolean()?,
            b"ServerHostsPsfFiles" => config.server_hosts_psf_files = r.boolean()?,
            b"MaxNumberOfUpdatesPerRequest" => config.max_updates_per_request = r.count()?,
            b"MaxNumberOfDriverSetsPerRequest" => {
                config.max_driver_sets_per_request = r.count()?;
            }
            b"MaxNumberOfComputerIdsInRequest" => {
                config.max_computer_ids_per_request = r.count()?;
            }
            b"MaxNumberOfPnpHardwareIdsInRequest" => {
                config.max_pnp_hardware_ids_per_request = r.count()?;
            }
            b"MaxUpdatesPerRequestInGetUpdateDecryptionData" => {
                config.max_updates_per_decryption_request = r.count()?;
            }
            b"NewConfigAnchor" => config.new_config_anchor = r.text()?,
            b"ProtocolVersion" => config.protocol_version = Some(r.text()?),
            b"LanguageUpdateList" => {
                config.languages = r.list("ServerSyncLanguageData", MAX_LIST_ENTRIES, language)?;
            }
            _ => r.skip()?,
        }
    }
    Ok(config)
}

fn language(r: &mut XmlReader<'_>) -> Result<Language> {
    let mut language = Language::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"LanguageID" => language.id = r.int()?,
            b"ShortLanguage" => language.short_name = r.text()?,
            b"LongLanguage" => language.long_name = r.text()?,
            b"Enabled" => language.enabled = r.boolean()?,
            _ => r.skip()?,
        }
    }
    Ok(language)
}

fn revision_list(r: &mut XmlReader<'_>) -> Result<RevisionList> {
    let mut list = RevisionList::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"Anchor" => list.anchor = r.text()?,
            b"NewRevisions" => {
                list.revisions = r.list("UpdateIdentity", MAX_REVISIONS, read_identity)?;
            }
            _ => r.skip()?,
        }
    }
    Ok(list)
}

fn update_data(r: &mut XmlReader<'_>) -> Result<UpdateData> {
    let mut data = UpdateData::default();
    let mut budget = MAX_UNPACKED_CHARS;
    while let Some(element) = r.child()? {
        match element.name() {
            b"updates" => {
                let items = r.list("ServerSyncUpdateData", MAX_UPDATES, |r| {
                    update(r, &mut budget)
                })?;
                data.updates.reserve(items.len());
                for item in items {
                    match item {
                        Ok(update) => data.updates.push(update),
                        Err(unreadable) => data.unreadable.push(unreadable),
                    }
                }
            }
            b"fileUrls" => {
                data.file_urls = r.list("ServerSyncUrlData", MAX_LIST_ENTRIES, file_url)?;
            }
            _ => r.skip()?,
        }
    }
    Ok(data)
}

/// One update; the inner error is one whose document cannot be read, which leaves the others good.
fn update(
    r: &mut XmlReader<'_>,
    budget: &mut usize,
) -> Result<std::result::Result<ServerSyncUpdate, UnreadableUpdate>> {
    let mut id: Option<RevisionId> = None;
    let mut document = None;
    let mut digests = Ok(vec![]);
    let inside = r.enclosing();
    while let Some(element) = r.child()? {
        match element.name() {
            b"Id" => id = Some(read_identity(r)?),
            b"XmlUpdateBlob" if !element.nil => document = Some(Ok(r.text()?)),
            b"XmlUpdateBlobCompressed" if !element.nil => {
                let unpacked = unpack(&r.base64()?, budget);
                document = Some(unpacked);
            }
            b"FileDigestList" => {
                let listed = r.list("base64Binary", MAX_LIST_ENTRIES, XmlReader::base64)?;
                digests = listed
                    .iter()
                    .map(|digest| <[u8; 20]>::try_from(digest.as_slice()))
                    .collect::<std::result::Result<Vec<_>, _>>()
                    .map_err(|_| "a file digest is not a SHA-1".to_owned());
            }
            _ => r.skip()?,
        }
    }
    let id = id.ok_or_else(|| r.missing_in(inside, "Id"))?;
    let document = document.unwrap_or_else(|| Err("the answer has no document for it".into()));
    Ok(match (document, digests) {
        (Ok(document), Ok(file_digests)) => Ok(ServerSyncUpdate {
            id,
            document,
            file_digests,
        }),
        (Err(reason), _) | (_, Err(reason)) => Err(UnreadableUpdate { id, reason }),
    })
}

fn unpack(cabinet: &[u8], budget: &mut usize) -> std::result::Result<String, String> {
    let limit = blob::MAX_DOCUMENT_CHARS.min(*budget);
    let document = blob::decode(cabinet, limit).map_err(|error| error.to_string())?;
    *budget = budget.saturating_sub(document.len());
    Ok(document)
}

fn file_url(r: &mut XmlReader<'_>) -> Result<FileUrl> {
    let mut url = FileUrl::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"FileDigest" => url.digest = r.base64()?,
            b"MUUrl" => url.mu_url = non_empty(r.text()?),
            b"UssUrl" => url.uss_url = non_empty(r.text()?),
            _ => r.skip()?,
        }
    }
    Ok(url)
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn decryption_data(r: &mut XmlReader<'_>) -> Result<DecryptionData> {
    let mut data = DecryptionData::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"UpdateFileDecryptionData" => {
                data.revisions = r.list(
                    "ServerSyncUpdateFileDecryption",
                    MAX_LIST_ENTRIES,
                    revision_keys,
                )?;
            }
            _ => r.skip()?,
        }
    }
    Ok(data)
}

fn revision_keys(r: &mut XmlReader<'_>) -> Result<RevisionKeys> {
    let (mut id, mut keys) = (None, vec![]);
    let inside = r.enclosing();
    while let Some(element) = r.child()? {
        match element.name() {
            b"UpdateId" => id = Some(read_identity(r)?),
            b"FileDecryptionData" => {
                keys = r.list("ServerSyncFileDecryption", MAX_LIST_ENTRIES, |r| {
                    let mut file = FileKey::default();
                    while let Some(element) = r.child()? {
                        match element.name() {
                            b"FileDigest" => file.digest = r.base64()?,
                            b"DecryptionKey" if !element.nil => file.key = Some(r.base64()?),
                            _ => r.skip()?,
                        }
                    }
                    Ok(file)
                })?;
            }
            _ => r.skip()?,
        }
    }
    let id = id.ok_or_else(|| r.missing_in(inside, "UpdateId"))?;
    Ok(RevisionKeys { id, keys })
}

fn deployments(r: &mut XmlReader<'_>) -> Result<Deployments> {
    let mut list = Deployments::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"Anchor" => list.anchor = r.text()?,
            b"Groups" => {
                list.groups = r.list("ServerSyncTargetGroup", MAX_LIST_ENTRIES, group)?;
            }
            b"Deployments" => {
                list.deployments = r.list("ServerSyncDeployment", MAX_REVISIONS, deployment)?;
            }
            b"DeadDeployments" => {
                list.dead_deployments = r.list("guid", MAX_REVISIONS, XmlReader::guid)?;
            }
            b"HiddenUpdates" => {
                list.hidden_updates = r.list("guid", MAX_REVISIONS, read_update_id)?;
            }
            b"AcceptedEulas" => {
                list.accepted_eulas = r.list("guid", MAX_REVISIONS, XmlReader::guid)?;
            }
            _ => r.skip()?,
        }
    }
    Ok(list)
}

fn group(r: &mut XmlReader<'_>) -> Result<TargetGroup> {
    let mut group = TargetGroup::default();
    while let Some(element) = r.child()? {
        match element.name() {
            b"TargetGroupID" => group.id = r.guid()?,
            b"ParentGroupId" if !element.nil => group.parent_id = r.guid()?,
            b"Name" => group.name = r.text()?,
            b"IsBuiltin" => group.is_builtin = r.boolean()?,
            _ => r.skip()?,
        }
    }
    Ok(group)
}

fn deployment(r: &mut XmlReader<'_>) -> Result<Deployment> {
    let (mut update_id, mut revision) = (None, None);
    let mut deployment = Deployment {
        revision: RevisionId::new(UpdateId(Uuid::nil()), 0),
        action: 0,
        admin_name: String::new(),
        deadline: None,
        is_assigned: false,
        go_live_time: None,
        deployment_guid: Uuid::nil(),
        target_group_id: Uuid::nil(),
        download_priority: 0,
    };
    let inside = r.enclosing();
    while let Some(element) = r.child()? {
        match element.name() {
            b"UpdateId" => update_id = Some(read_update_id(r)?),
            b"RevisionNumber" => revision = Some(r.count()?),
            b"Action" => deployment.action = r.int()?,
            b"AdminName" => deployment.admin_name = r.text()?,
            b"Deadline" => deployment.deadline = before_never(r.date_time()?),
            b"IsAssigned" => deployment.is_assigned = r.boolean()?,
            b"GoLiveTime" => deployment.go_live_time = before_never(r.date_time()?),
            b"DeploymentGuid" => deployment.deployment_guid = r.guid()?,
            b"TargetGroupId" => deployment.target_group_id = r.guid()?,
            b"DownloadPriority" => {
                deployment.download_priority = u8::try_from(r.count()?).unwrap_or(u8::MAX);
            }
            _ => r.skip()?,
        }
    }
    let update_id = update_id.ok_or_else(|| r.missing_in(inside, "UpdateId"))?;
    deployment.revision = RevisionId::new(update_id, revision.unwrap_or(0));
    Ok(deployment)
}

/// `None` for the year 9999 of "never".
fn before_never(time: Timestamp) -> Option<Timestamp> {
    (time != Timestamp::MAX).then_some(time)
}

fn pong(r: &mut XmlReader<'_>) -> Result<Pong> {
    let mut pong = Pong {
        success: false,
        services_time: Timestamp::UNIX_EPOCH,
        services_name: String::new(),
        is_https: false,
    };
    while let Some(element) = r.child()? {
        match element.name() {
            b"SuccessFlag" => pong.success = r.boolean()?,
            b"ServicesTime" => pong.services_time = r.date_time()?,
            b"ServicesName" => pong.services_name = r.text()?,
            b"IsHttps" => pong.is_https = r.boolean()?,
            _ => r.skip()?,
        }
    }
    Ok(pong)
}
