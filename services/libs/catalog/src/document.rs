//! The update document: what Microsoft Update, a WSUS server or a package says about one revision.
//!
//! [`parse`] reads the XML in one pass and keeps what Headwater decides and shows by. The text itself is
//! stored and forwarded byte for byte, so nothing here ever writes a document: what is not in
//! [`Update`] is still in the text.

mod error;
mod parse;
mod part;
mod value;

#[cfg(test)]
mod tests;

pub use crate::codec::MAX_DOCUMENT_BYTES;
pub use error::Error;
pub use parse::{MAX_DEPTH, MAX_LIST, MAX_TEXT_BYTES, parse};
pub use part::{
    Behavior, Bundled, CategoryFlags, CategoryType, DetectoidType, EulaFile, File, Handler, Impact,
    LocalizedProperties, MsrcSeverity, PatchingType, Prerequisite, ProtocolVersion,
    PublicationState, RebootBehavior, SecuredFragment, UpdateType,
};

use crate::{RevisionId, UpdateId};
use jiff::Timestamp;
use uuid::Uuid;

/// What one update document says: an update, a driver, a category or a detectoid.
///
/// Texts are kept as published, with their white space; [`Update::title`] trims for display.
/// An attribute that the document leaves out has the value of its default in the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Which revision of which update this is (`UpdateIdentity`).
    pub id: RevisionId,
    /// What kind of update it is (`UpdateType`, and `CategoryType` of a category).
    pub update_type: UpdateType,
    /// What a category forbids and how it is shown; `None` for everything else.
    pub category: Option<CategoryFlags>,
    /// Whether the publisher still offers it.
    pub publication_state: PublicationState,
    /// When this revision was published. It is not the release date of the first revision.
    pub creation_date: Timestamp,
    /// The team that submitted it. Not the company category.
    pub publisher_id: Option<Uuid>,
    /// The language to fall back to (`DefaultPropertiesLanguage`).
    pub default_language: String,
    /// Whether an administrator approves it by itself: true for bundles and stand-alone updates.
    pub explicitly_deployable: bool,
    /// `AutoSelectOnWebSites`.
    pub auto_select: bool,
    /// The severity of the vulnerability that it closes; `None` where the document gives none,
    /// or one that is not among the four.
    pub msrc_severity: Option<MsrcSeverity>,
    /// Most that a client may have to download, in bytes.
    pub max_download_size: Option<u64>,
    /// Least that a client may have to download, in bytes.
    pub min_download_size: Option<u64>,
    /// Lowest protocol version a downstream server must speak to be offered it.
    pub compatible_protocol_version: Option<ProtocolVersion>,
    /// The licence that an administrator must accept first.
    pub eula_id: Option<Uuid>,
    /// `IsBeta`.
    pub is_beta: bool,
    /// `PerUser`: installs for a user and not for the machine.
    pub per_user: bool,
    /// `IsMandatory`: an update of the update agent itself.
    pub is_mandatory: bool,
    /// `IsLocallyPublished`: published by somebody else than Microsoft through the WSUS API.
    pub is_locally_published: bool,
    /// `OSUpgrade`, as written, for instance `swap`.
    pub os_upgrade: Option<String>,
    /// `LegacyName`, as written.
    pub legacy_name: Option<String>,
    /// What a detectoid detects; `None` for everything else.
    pub detectoid_type: Option<DetectoidType>,
    /// Numbers of Knowledge Base articles, digits only.
    pub kb_article_ids: Vec<String>,
    /// Numbers of security bulletins.
    pub security_bulletin_ids: Vec<String>,
    /// CVE numbers.
    pub cve_ids: Vec<String>,
    /// Links to more information, of `Properties`.
    pub more_info_urls: Vec<String>,
    /// Link to support, of `Properties`.
    pub support_url: Option<String>,
    /// Languages it is meant for; empty means that it is language neutral.
    pub languages: Vec<String>,
    /// How installing behaves, where stated.
    pub installation_behavior: Option<Behavior>,
    /// How removing behaves; `None` means that it cannot be removed.
    pub uninstallation_behavior: Option<Behavior>,
    /// What is withheld from the ordinary answers of a server.
    pub secured_fragments: Vec<SecuredFragment>,
    /// Title, description and links, one entry a language.
    pub titles: Vec<LocalizedProperties>,
    /// Licence texts, one for each language and region.
    pub eula_files: Vec<EulaFile>,
    /// What must hold before it applies: every entry of the list.
    pub prerequisites: Vec<Prerequisite>,
    /// What it is made of: every entry of the list.
    pub bundled: Vec<Bundled>,
    /// The updates that it replaces directly, as chosen by the publisher.
    pub superseded: Vec<UpdateId>,
    /// Its content files.
    pub files: Vec<File>,
    /// Which installer handles it, where it installs anything by itself.
    pub handler: Option<Handler>,
}

impl Update {
    /// The texts in `language`, else in its primary language, else in the document's default language,
    /// else in English, else the first. Languages are compared without regard to case.
    pub fn localized(&self, language: &str) -> Option<&LocalizedProperties> {
        let find = |wanted: &str| {
            self.titles
                .iter()
                .find(|texts| texts.language.eq_ignore_ascii_case(wanted))
        };
        let primary = language.split('-').next().unwrap_or(language);
        find(language)
            .or_else(|| find(primary))
            .or_else(|| find(&self.default_language))
            .or_else(|| find("en"))
            .or_else(|| self.titles.first())
    }

    /// The title in `language` with the fallback of [`Update::localized`], trimmed for display;
    /// empty where the document has no title at all.
    pub fn title(&self, language: &str) -> &str {
        self.localized(language)
            .map_or("", |texts| texts.title.trim())
    }

    /// The clauses that say which categories and which classification it belongs to: one clause for each
    /// dimension. Which clause is which is told by looking the identifiers up
    /// ([`crate::category::CategoryTree::classification_of`]).
    pub fn category_clauses(&self) -> impl Iterator<Item = &[UpdateId]> {
        self.prerequisites.iter().filter_map(|clause| match clause {
            Prerequisite::AtLeastOne {
                is_category: true,
                ids,
            } => Some(ids.as_slice()),
            Prerequisite::AtLeastOne { .. } | Prerequisite::Update(_) => None,
        })
    }

    /// Every update named in its prerequisites, in document order, category clauses among them.
    pub fn prerequisite_ids(&self) -> impl Iterator<Item = UpdateId> {
        self.prerequisites
            .iter()
            .flat_map(|clause| match clause {
                Prerequisite::Update(id) => std::slice::from_ref(id),
                Prerequisite::AtLeastOne { ids, .. } => ids.as_slice(),
            })
            .copied()
    }

    /// Every revision it bundles, in document order.
    pub fn bundled_revisions(&self) -> impl Iterator<Item = RevisionId> {
        self.bundled
            .iter()
            .flat_map(|entry| match entry {
                Bundled::Revision(id) => std::slice::from_ref(id),
                Bundled::AtLeastOne(ids) => ids.as_slice(),
            })
            .copied()
    }

    /// Whether it can be removed again.
    pub fn is_uninstallable(&self) -> bool {
        self.uninstallation_behavior.is_some()
    }

    /// Whether the keys of its files must be asked for with `GetUpdateDecryptionData`.
    pub fn needs_decryption_key(&self) -> bool {
        self.secured_fragments
            .contains(&SecuredFragment::FileDecryption)
            || self.files.iter().any(|file| file.is_encrypted)
    }

    /// Whether it is a category of any kind.
    pub fn is_category(&self) -> bool {
        matches!(self.update_type, UpdateType::Category(_))
    }

    /// Whether it belongs to the configuration half of a synchronization: categories and detectoids.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self.update_type,
            UpdateType::Category(_) | UpdateType::Detectoid
        )
    }
}
