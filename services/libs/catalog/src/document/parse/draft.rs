//! What was read of a document so far, and how it becomes an [`Update`].

use crate::document::value::Place;
use crate::document::{
    Behavior, Bundled, CategoryFlags, CategoryType, DetectoidType, Error, EulaFile, File, Handler,
    LocalizedProperties, MsrcSeverity, Prerequisite, ProtocolVersion, PublicationState,
    SecuredFragment, Update, UpdateType,
};
use crate::{RevisionId, UpdateId};
use jiff::Timestamp;
use uuid::Uuid;

/// What was read of a document so far.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) id: Option<RevisionId>,
    pub(super) properties: Option<Properties>,
    pub(super) category: Option<(CategoryType, CategoryFlags)>,
    pub(super) titles: Vec<LocalizedProperties>,
    pub(super) eula_files: Vec<EulaFile>,
    pub(super) prerequisites: Vec<Prerequisite>,
    pub(super) bundled: Vec<Bundled>,
    pub(super) superseded: Vec<UpdateId>,
    pub(super) files: Vec<File>,
}

impl Draft {
    pub(super) fn finish(self) -> Result<Update, Error> {
        let missing = |element| Error::MissingElement { element };
        let id = self.id.ok_or_else(|| missing("UpdateIdentity"))?;
        let properties = self.properties.ok_or_else(|| missing("Properties"))?;
        let kind = Place::new("Properties", "UpdateType").required(properties.kind)?;
        let update_type = match (kind, &self.category) {
            (Kind::Software, _) => UpdateType::Software,
            (Kind::Driver, _) => UpdateType::Driver,
            (Kind::Detectoid, _) => UpdateType::Detectoid,
            (Kind::Category, Some((category_type, _))) => UpdateType::Category(*category_type),
            (Kind::Category, None) => return Err(missing("CategoryInformation")),
        };
        let creation_date =
            Place::new("Properties", "CreationDate").required(properties.creation_date)?;
        Ok(Update {
            id,
            update_type,
            category: match update_type {
                UpdateType::Category(_) => self.category.map(|(_, flags)| flags),
                UpdateType::Software | UpdateType::Driver | UpdateType::Detectoid => None,
            },
            publication_state: properties.publication_state,
            creation_date,
            publisher_id: properties.publisher_id,
            default_language: properties.default_language.unwrap_or_else(|| "en".into()),
            explicitly_deployable: properties.explicitly_deployable,
            auto_select: properties.auto_select,
            msrc_severity: properties.msrc_severity,
            max_download_size: properties.max_download_size,
            min_download_size: properties.min_download_size,
            compatible_protocol_version: properties.compatible_protocol_version,
            eula_id: properties.eula_id,
            is_beta: properties.is_beta,
            per_user: properties.per_user,
            is_mandatory: properties.is_mandatory,
            is_locally_published: properties.is_locally_published,
            os_upgrade: properties.os_upgrade,
            legacy_name: properties.legacy_name,
            detectoid_type: properties.detectoid_type,
            kb_article_ids: properties.kb_article_ids,
            security_bulletin_ids: properties.security_bulletin_ids,
            cve_ids: properties.cve_ids,
            more_info_urls: properties.more_info_urls,
            support_url: properties.support_url,
            languages: properties.languages,
            installation_behavior: properties.installation,
            uninstallation_behavior: properties.uninstallation,
            secured_fragments: properties.secured_fragments,
            titles: self.titles,
            eula_files: self.eula_files,
            prerequisites: self.prerequisites,
            bundled: self.bundled,
            superseded: self.superseded,
            files: self.files,
            handler: properties.handler,
        })
    }
}

/// `UpdateType`, before it is known what kind of category a category is.
#[derive(Clone, Copy)]
pub(in crate::document) enum Kind {
    Software,
    Driver,
    Category,
    Detectoid,
}

/// What `Properties` says.
#[derive(Default)]
pub(super) struct Properties {
    pub(super) kind: Option<Kind>,
    pub(super) publication_state: PublicationState,
    pub(super) creation_date: Option<Timestamp>,
    pub(super) publisher_id: Option<Uuid>,
    pub(super) default_language: Option<String>,
    pub(super) explicitly_deployable: bool,
    pub(super) auto_select: bool,
    pub(super) msrc_severity: Option<MsrcSeverity>,
    pub(super) max_download_size: Option<u64>,
    pub(super) min_download_size: Option<u64>,
    pub(super) compatible_protocol_version: Option<ProtocolVersion>,
    pub(super) eula_id: Option<Uuid>,
    pub(super) is_beta: bool,
    pub(super) per_user: bool,
    pub(super) is_mandatory: bool,
    pub(super) is_locally_published: bool,
    pub(super) os_upgrade: Option<String>,
    pub(super) legacy_name: Option<String>,
    pub(super) detectoid_type: Option<DetectoidType>,
    pub(super) handler: Option<Handler>,
    pub(super) kb_article_ids: Vec<String>,
    pub(super) security_bulletin_ids: Vec<String>,
    pub(super) cve_ids: Vec<String>,
    pub(super) more_info_urls: Vec<String>,
    pub(super) support_url: Option<String>,
    pub(super) languages: Vec<String>,
    pub(super) installation: Option<Behavior>,
    pub(super) uninstallation: Option<Behavior>,
    pub(super) secured_fragments: Vec<SecuredFragment>,
}

impl Properties {
    pub(super) fn attribute(&mut self, key: &[u8], value: &str) -> Result<(), Error> {
        let at = |attribute| Place::new("Properties", attribute);
        match key {
            b"UpdateType" => self.kind = Some(at("UpdateType").kind(value)?),
            b"PublicationState" => {
                self.publication_state = at("PublicationState").publication_state(value)?;
            }
            b"CreationDate" => self.creation_date = Some(at("CreationDate").time(value)?),
            b"PublisherID" => self.publisher_id = Some(at("PublisherID").guid(value)?),
            b"DefaultPropertiesLanguage" => self.default_language = Some(value.to_owned()),
            b"ExplicitlyDeployable" => {
                self.explicitly_deployable = at("ExplicitlyDeployable").boolean(value)?;
            }
            b"AutoSelectOnWebSites" => {
                self.auto_select = at("AutoSelectOnWebSites").boolean(value)?;
            }
            b"MsrcSeverity" => self.msrc_severity = at("MsrcSeverity").severity(value),
            b"MaxDownloadSize" => {
                self.max_download_size = Some(at("MaxDownloadSize").bytes(value)?);
            }
            b"MinDownloadSize" => {
                self.min_download_size = Some(at("MinDownloadSize").bytes(value)?);
            }
            b"CompatibleProtocolVersion" => {
                self.compatible_protocol_version =
                    Some(at("CompatibleProtocolVersion").protocol_version(value)?);
            }
            b"EulaID" => self.eula_id = Some(at("EulaID").guid(value)?),
            b"IsBeta" => self.is_beta = at("IsBeta").boolean(value)?,
            b"PerUser" => self.per_user = at("PerUser").boolean(value)?,
            b"IsMandatory" => self.is_mandatory = at("IsMandatory").boolean(value)?,
            b"IsLocallyPublished" => {
                self.is_locally_published = at("IsLocallyPublished").boolean(value)?;
            }
            b"OSUpgrade" => self.os_upgrade = Some(value.to_owned()),
            b"LegacyName" => self.legacy_name = Some(value.to_owned()),
            b"DetectoidType" => self.detectoid_type = Some(at("DetectoidType").detectoid(value)),
            b"Handler" => self.handler = Some(at("Handler").handler(value)),
            _ => {}
        }
        Ok(())
    }
}
