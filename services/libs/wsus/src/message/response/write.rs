//! Writing answers.

use super::super::envelope::{begin_operation, end_operation, operation_element};
use super::super::request::{write_cookie_content, write_identity};
use super::super::{
    AuthConfig, ConfigData, DecryptionData, Deployments, FileUrl, Operation, SoapVersion,
};
use super::Response;
use crate::blob;
use crate::xml::{XmlWriter, push_base64, push_escaped};
use catalog::RevisionId;
use jiff::Timestamp;

/// Documents of at most this many bytes in UTF-16 are written as text, larger ones as cabinets.
pub(crate) const PLAIN_BLOB_BYTES: usize = 5_120;

/// "Never", as Windows writes it.
const NO_DEADLINE: &str = "9999-12-31T23:59:59.9999999";

pub(super) fn write(response: &Response, w: &mut XmlWriter) {
    let operation = response.operation();
    if matches!(response, Response::DownloadFiles) {
        operation_element(w, operation, "Response", |_| {});
        return;
    }
    let result = format!("{operation}Result");
    operation_element(w, operation, "Response", |w| {
        w.element(&result, |w| match response {
            Response::AuthConfig(config) => auth_config(w, config),
            Response::AuthorizationCookie(cookie) => {
                w.text("PlugInId", &cookie.plug_in_id);
                w.base64("CookieData", &cookie.cookie_data);
            }
            Response::Cookie(cookie) => write_cookie_content(w, cookie),
            Response::ConfigData(config) => config_data(w, config),
            Response::RevisionList(list) => {
                w.text("Anchor", &list.anchor);
                w.element("NewRevisions", |w| identities(w, &list.revisions));
            }
            Response::UpdateData(data) => {
                w.element("updates", |w| {
                    for update in &data.updates {
                        write_update_item(w, update.id, &update.document, &update.file_digests);
                    }
                });
                w.element("fileUrls", |w| file_urls(w, &data.file_urls));
            }
            Response::DecryptionData(data) => decryption_data(w, data),
            Response::Deployments(list) => deployments(w, list),
            Response::DownloadFiles => {}
            Response::RelatedRevisions(revisions) => identities(w, revisions),
            Response::DriverIdList(anchor) => {
                w.text("Anchor", anchor);
                for list in ["NewRevisions", "NewDriverSets", "RemovedDriverSets"] {
                    w.element(list, |_| {});
                }
            }
            Response::DriverSetData => w.element("DriverSets", |_| {}),
            Response::Pong(pong) => {
                w.value("SuccessFlag", pong.success);
                w.date_time("ServicesTime", pong.services_time);
                w.text("ServicesName", &pong.services_name);
                w.value("IsHttps", pong.is_https);
                w.date_time("ConfigFileLastModifiedTime", Timestamp::UNIX_EPOCH);
                w.date_time("ConfigFileNextExpirationTime", Timestamp::UNIX_EPOCH);
                w.value("ConfigFileExpirationModuloInMinutes", 0);
            }
        });
    });
}

fn identities(w: &mut XmlWriter, revisions: &[RevisionId]) {
    for &id in revisions {
        write_identity(w, "UpdateIdentity", id);
    }
}

fn auth_config(w: &mut XmlWriter, config: &AuthConfig) {
    w.date_time("LastChange", config.last_change);
    w.element("AuthInfo", |w| {
        for plug_in in &config.plug_ins {
            w.element("AuthPlugInInfo", |w| {
                w.text("PlugInID", &plug_in.plug_in_id);
                w.text("ServiceUrl", &plug_in.service_url);
                w.text("Parameter", &plug_in.parameter);
            });
        }
    });
}

fn config_data(w: &mut XmlWriter, config: &ConfigData) {
    w.value("CatalogOnlySync", config.catalog_only_sync);
    w.value("LazySync", config.lazy_sync);
    w.value("ServerHostsPsfFiles", config.server_hosts_psf_files);
    w.value(
        "MaxNumberOfComputerIdsInRequest",
        config.max_computer_ids_per_request,
    );
    w.value(
        "MaxNumberOfDriverSetsPerRequest",
        config.max_driver_sets_per_request,
    );
    w.value(
        "MaxNumberOfPnpHardwareIdsInRequest",
        config.max_pnp_hardware_ids_per_request,
    );
    w.value(
        "MaxNumberOfUpdatesPerRequest",
        config.max_updates_per_request,
    );
    w.text("NewConfigAnchor", &config.new_config_anchor);
    w.optional_text("ProtocolVersion", config.protocol_version.as_deref());
    w.element("LanguageUpdateList", |w| {
        for language in &config.languages {
            w.open("ServerSyncLanguageData");
            w.value("LanguageID", language.id);
            w.text("ShortLanguage", &language.short_name);
            w.text("LongLanguage", &language.long_name);
            w.value("Enabled", language.enabled);
            w.close("ServerSyncLanguageData");
        }
    });
    w.value(
        "MaxUpdatesPerRequestInGetUpdateDecryptionData",
        config.max_updates_per_decryption_request,
    );
}

/// A writer that stands inside the list `updates` of an answer to `GetUpdateData`.
pub(crate) fn begin_update_data(version: SoapVersion, capacity: usize) -> XmlWriter {
    let mut writer = super::begin_response(version, capacity);
    begin_operation(&mut writer, Operation::GetUpdateData, "Response");
    writer.raw("<GetUpdateDataResult><updates>");
    writer
}

/// Closes what [`begin_update_data`] opened.
pub(crate) fn end_update_data(mut writer: XmlWriter, urls: &[&FileUrl]) -> String {
    writer.raw("</updates>");
    writer.element("fileUrls", |w| file_urls(w, urls.iter().copied()));
    writer.raw("</GetUpdateDataResult>");
    end_operation(&mut writer, Operation::GetUpdateData, "Response");
    super::finish(writer)
}

/// One `ServerSyncUpdateData`, with the document as text or as a cabinet, whichever its size asks for.
pub(crate) fn write_update_item(
    w: &mut XmlWriter,
    id: RevisionId,
    document: &str,
    digests: &[[u8; 20]],
) {
    w.open("ServerSyncUpdateData");
    write_identity(w, "Id", id);
    let plain = blob::utf16_bytes_at_most(document, PLAIN_BLOB_BYTES);
    if plain {
        w.open("XmlUpdateBlob");
        push_escaped(w.buffer(), document);
        w.close("XmlUpdateBlob");
    }
    if !digests.is_empty() {
        w.open("FileDigestList");
        for digest in digests {
            w.base64("base64Binary", digest);
        }
        w.close("FileDigestList");
    }
    if !plain {
        w.open("XmlUpdateBlobCompressed");
        push_base64(w.buffer(), &blob::encode_lzx_stored(document));
        w.close("XmlUpdateBlobCompressed");
    }
    w.close("ServerSyncUpdateData");
}

fn file_urls<'a>(w: &mut XmlWriter, urls: impl IntoIterator<Item = &'a FileUrl>) {
    for url in urls {
        w.open("ServerSyncUrlData");
        w.base64("FileDigest", &url.digest);
        w.optional_text("MUUrl", url.mu_url.as_deref());
        w.optional_text("UssUrl", url.uss_url.as_deref());
        w.close("ServerSyncUrlData");
    }
}

fn decryption_data(w: &mut XmlWriter, data: &DecryptionData) {
    w.element("UpdateFileDecryptionData", |w| {
        for revision in &data.revisions {
            w.open("ServerSyncUpdateFileDecryption");
            write_identity(w, "UpdateId", revision.id);
            w.element("FileDecryptionData", |w| {
                for file in &revision.keys {
                    w.open("ServerSyncFileDecryption");
                    w.base64("FileDigest", &file.digest);
                    if let Some(key) = &file.key {
                        w.base64("DecryptionKey", key);
                    }
                    w.close("ServerSyncFileDecryption");
                }
            });
            w.close("ServerSyncUpdateFileDecryption");
        }
    });
}

fn deployments(w: &mut XmlWriter, list: &Deployments) {
    w.text("Anchor", &list.anchor);
    w.element("Groups", |w| {
        for group in &list.groups {
            w.open("ServerSyncTargetGroup");
            w.guid("TargetGroupID", group.id);
            w.guid("ParentGroupId", group.parent_id);
            w.text("Name", &group.name);
            w.value("IsBuiltin", group.is_builtin);
            w.close("ServerSyncTargetGroup");
        }
    });
    w.element("Deployments", |w| {
        for deployment in &list.deployments {
            w.open("ServerSyncDeployment");
            w.guid("UpdateId", deployment.revision.update_id.0);
            w.value("RevisionNumber", deployment.revision.revision);
            w.value("Action", deployment.action);
            w.text("AdminName", &deployment.admin_name);
            time_or_never(w, "Deadline", deployment.deadline);
            w.value("IsAssigned", deployment.is_assigned);
            time_or_never(w, "GoLiveTime", deployment.go_live_time);
            w.guid("DeploymentGuid", deployment.deployment_guid);
            w.guid("TargetGroupId", deployment.target_group_id);
            w.value("DownloadPriority", deployment.download_priority);
            w.close("ServerSyncDeployment");
        }
    });
    let guids = |w: &mut XmlWriter, name: &str, guids: &mut dyn Iterator<Item = uuid::Uuid>| {
        w.element(name, |w| guids.for_each(|guid| w.guid("guid", guid)));
    };
    guids(
        w,
        "DeadDeployments",
        &mut list.dead_deployments.iter().copied(),
    );
    guids(
        w,
        "HiddenUpdates",
        &mut list.hidden_updates.iter().map(|id| id.0),
    );
    guids(w, "AcceptedEulas", &mut list.accepted_eulas.iter().copied());
}

fn time_or_never(w: &mut XmlWriter, name: &str, time: Option<Timestamp>) {
    match time {
        Some(time) => w.date_time(name, time),
        None => w.text(name, NO_DEADLINE),
    }
}
