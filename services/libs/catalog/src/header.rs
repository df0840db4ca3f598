//! The header of a revision: what sites keep beside the document, so that listing, searching and
//! relating updates needs neither decompression nor XML. It is made once, where the document enters
//! the hierarchy, and is covered by the item's digest.

use crate::document::{CategoryType, MsrcSeverity, PublicationState, Update, UpdateType};
use crate::item::{Digest, document_digest};
use crate::millisecond;
use crate::{RevisionId, UpdateId};
use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

/// The language of a header's title. Every update has one in English.
const TITLE_LANGUAGE: &str = "en";
/// Longest title that a header holds, in bytes.
const MAX_TITLE_BYTES: usize = 500;

/// Where a content file can be had (`fileUrls` of MS-WSUSSS): the document itself does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLocation {
    /// SHA-1 of the file.
    pub sha1: [u8; 20],
    /// The address at Microsoft Update.
    pub mu_url: String,
}

/// What is kept of a revision beside its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionHeader {
    /// BLAKE3 of the document as it was published.
    pub document_digest: Digest,
    /// Length of the document in bytes of UTF-8.
    pub document_bytes: u64,
    /// What kind of update it is.
    pub update_type: UpdateType,
    /// Whether the publisher still offers it.
    pub publication_state: PublicationState,
    /// When this revision was published, to the millisecond.
    pub creation_date: Timestamp,
    /// Title in English, trimmed.
    pub title: String,
    /// Numbers of Knowledge Base articles.
    pub kb_article_ids: Vec<String>,
    /// Severity, where one is given.
    pub msrc_severity: Option<MsrcSeverity>,
    /// Whether an administrator approves it by itself.
    pub explicitly_deployable: bool,
    /// Whether it is an update of the update agent itself.
    pub is_mandatory: bool,
    /// Classification and products: the identifiers of its category clauses.
    pub categories: Vec<UpdateId>,
    /// Updates that it replaces directly.
    pub superseded: Vec<UpdateId>,
    /// Revisions that it bundles.
    pub bundled: Vec<RevisionId>,
    /// Where its files can be had.
    pub file_locations: Vec<FileLocation>,
}

/// Bytes that are no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header of a revision is malformed: {0}")]
pub struct HeaderError(String);

impl RevisionHeader {
    /// The header of a document that was parsed as `update`.
    pub fn new(document: &str, update: &Update, file_locations: Vec<FileLocation>) -> Self {
        let mut title = update.title(TITLE_LANGUAGE).to_owned();
        if title.len() > MAX_TITLE_BYTES {
            let end = (0..=MAX_TITLE_BYTES)
                .rev()
                .find(|at| title.is_char_boundary(*at));
            title.truncate(end.unwrap_or(0));
        }
        Self {
            document_digest: document_digest(document),
            document_bytes: document.len() as u64,
            update_type: update.update_type,
            publication_state: update.publication_state,
            creation_date: millisecond::cut(update.creation_date),
            title,
            kb_article_ids: update.kb_article_ids.clone(),
            msrc_severity: update.msrc_severity,
            explicitly_deployable: update.explicitly_deployable,
            is_mandatory: update.is_mandatory,
            categories: update.category_clauses().flatten().copied().collect(),
            superseded: update.superseded.clone(),
            bundled: update.bundled_revisions().collect(),
            file_locations,
        }
    }

    /// Whether it belongs to the configuration half of a synchronization: categories and detectoids.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self.update_type,
            UpdateType::Category(_) | UpdateType::Detectoid
        )
    }

    /// The header's bytes. The same header always has the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let guid = |id: &UpdateId| id.0.as_bytes().to_vec();
        Encoded {
            document_digest: self.document_digest.to_vec(),
            document_bytes: self.document_bytes,
            update_type: type_number(self.update_type),
            expired: self.publication_state == PublicationState::Expired,
            creation_date: self.creation_date.as_millisecond(),
            title: self.title.clone(),
            kb_article_ids: self.kb_article_ids.clone(),
            msrc_severity: self.msrc_severity.map_or(0, severity_number),
            explicitly_deployable: self.explicitly_deployable,
            is_mandatory: self.is_mandatory,
            categories: self.categories.iter().map(guid).collect(),
            superseded: self.superseded.iter().map(guid).collect(),
            bundled: self
                .bundled
                .iter()
                .map(|id| EncodedRevision {
                    update_id: guid(&id.update_id),
                    revision: id.revision,
                })
                .collect(),
            file_locations: self
                .file_locations
                .iter()
                .map(|file| EncodedLocation {
                    sha1: file.sha1.to_vec(),
                    mu_url: file.mu_url.clone(),
                })
                .collect(),
        }
        .encode_to_vec()
    }

    /// The header of its bytes.
    ///
    /// # Errors
    /// When the bytes are none that [`RevisionHeader::to_bytes`] makes, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bad = |what: &str| HeaderError(what.to_owned());
        let encoded = Encoded::decode(bytes).map_err(|error| HeaderError(error.to_string()))?;
        let guid = |bytes: &Vec<u8>| {
            Uuid::from_slice(bytes)
                .map(UpdateId)
                .map_err(|_| bad("a GUID's length"))
        };
        let guids = |list: &[Vec<u8>]| list.iter().map(guid).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            document_digest: encoded
                .document_digest
                .try_into()
                .map_err(|_| bad("a digest's length"))?,
            document_bytes: encoded.document_bytes,
            update_type: type_of(encoded.update_type).ok_or_else(|| bad("update type"))?,
            publication_state: if encoded.expired {
                PublicationState::Expired
            } else {
                PublicationState::Published
            },
            creation_date: Timestamp::from_millisecond(encoded.creation_date)
                .map_err(|_| bad("creation date"))?,
            title: encoded.title,
            kb_article_ids: encoded.kb_article_ids,
            msrc_severity: severity_of(encoded.msrc_severity).ok_or_else(|| bad("severity"))?,
            explicitly_deployable: encoded.explicitly_deployable,
            is_mandatory: encoded.is_mandatory,
            categories: guids(&encoded.categories)?,
            superseded: guids(&encoded.superseded)?,
            bundled: encoded
                .bundled
                .iter()
                .map(|id| Ok(RevisionId::new(guid(&id.update_id)?, id.revision)))
                .collect::<Result<_, HeaderError>>()?,
            file_locations: encoded
                .file_locations
                .into_iter()
                .map(|file| {
                    let sha1 = file.sha1.try_into().map_err(|_| bad("a SHA-1's length"))?;
                    Ok(FileLocation {
                        sha1,
                        mu_url: file.mu_url,
                    })
                })
                .collect::<Result<_, HeaderError>>()?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Encoded {
    #[prost(bytes, tag = "1")]
    document_digest: Vec<u8>,
    #[prost(uint64, tag = "2")]
    document_bytes: u64,
    #[prost(uint32, tag = "3")]
    update_type: u32,
    #[prost(bool, tag = "4")]
    expired: bool,
    #[prost(int64, tag = "5")]
    creation_date: i64,
    #[prost(string, tag = "6")]
    title: String,
    #[prost(string, repeated, tag = "7")]
    kb_article_ids: Vec<String>,
    #[prost(uint32, tag = "8")]
    msrc_severity: u32,
    #[prost(bool, tag = "9")]
    explicitly_deployable: bool,
    #[prost(bytes, repeated, tag = "10")]
    categories: Vec<Vec<u8>>,
    #[prost(bytes, repeated, tag = "11")]
    superseded: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "12")]
    bundled: Vec<EncodedRevision>,
    #[prost(message, repeated, tag = "13")]
    file_locations: Vec<EncodedLocation>,
    #[prost(bool, tag = "14")]
    is_mandatory: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EncodedRevision {
    #[prost(bytes, tag = "1")]
    update_id: Vec<u8>,
    #[prost(uint32, tag = "2")]
    revision: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EncodedLocation {
    #[prost(bytes, tag = "1")]
    sha1: Vec<u8>,
    #[prost(string, tag = "2")]
    mu_url: String,
}

const fn type_number(update_type: UpdateType) -> u32 {
    match update_type {
        UpdateType::Software => 1,
        UpdateType::Driver => 2,
        UpdateType::Detectoid => 3,
        UpdateType::Category(CategoryType::Company) => 4,
        UpdateType::Category(CategoryType::ProductFamily) => 5,
        UpdateType::Category(CategoryType::Product) => 6,
        UpdateType::Category(CategoryType::UpdateClassification) => 7,
    }
}

const fn type_of(number: u32) -> Option<UpdateType> {
    Some(match number {
        1 => UpdateType::Software,
        2 => UpdateType::Driver,
        3 => UpdateType::Detectoid,
        4 => UpdateType::Category(CategoryType::Company),
        5 => UpdateType::Category(CategoryType::ProductFamily),
        6 => UpdateType::Category(CategoryType::Product),
        7 => UpdateType::Category(CategoryType::UpdateClassification),
        _ => return None,
    })
}

const fn severity_number(severity: MsrcSeverity) -> u32 {
    match severity {
        MsrcSeverity::Low => 1,
        MsrcSeverity::Moderate => 2,
        MsrcSeverity::Important => 3,
        MsrcSeverity::Critical => 4,
    }
}

const fn severity_of(number: u32) -> Option<Option<MsrcSeverity>> {
    Some(match number {
        0 => None,
        1 => Some(MsrcSeverity::Low),
        2 => Some(MsrcSeverity::Moderate),
        3 => Some(MsrcSeverity::Important),
        4 => Some(MsrcSeverity::Critical),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> RevisionHeader {
        RevisionHeader {
            document_digest: [7; 32],
            document_bytes: 4096,
            update_type: UpdateType::Category(CategoryType::Product),
            publication_state: PublicationState::Expired,
            creation_date: "2024-05-14T17:00:00Z".parse().unwrap(),
            title: "Security Update (KB9000001)".into(),
            kb_article_ids: vec!["9000001".into()],
            msrc_severity: Some(MsrcSeverity::Critical),
            explicitly_deployable: true,
            is_mandatory: true,
            categories: vec![UpdateId::from_u128(1), UpdateId::from_u128(2)],
            superseded: vec![UpdateId::from_u128(3)],
            bundled: vec![RevisionId::new(UpdateId::from_u128(4), 200)],
            file_locations: vec![FileLocation {
                sha1: [9; 20],
                mu_url: "http://download.example/a.cab".into(),
            }],
        }
    }

    #[test]
    fn a_header_reads_its_own_bytes() {
        assert_eq!(
            RevisionHeader::from_bytes(&header().to_bytes()).unwrap(),
            header()
        );
    }

    #[test]
    fn a_document_from_the_end_of_time_has_a_header() {
        let document = concat!(
            r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update">"#,
            r#"<UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000300" RevisionNumber="200"/>"#,
            r#"<Properties UpdateType="Software" CreationDate="9999-12-30T22:00:00.9Z" "#,
            r#"DefaultPropertiesLanguage="en"/></Update>"#
        );
        let update = crate::document::parse(document).unwrap();
        let header = RevisionHeader::new(document, &update, vec![]);
        let again = RevisionHeader::from_bytes(&header.to_bytes());
        assert_eq!(again, Ok(header));
    }

    #[test]
    fn a_header_says_whether_its_update_is_mandatory() {
        for (attribute, expected) in [("", false), (r#"IsMandatory="true" "#, true)] {
            let document = format!(
                concat!(
                    r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update">"#,
                    r#"<UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000300" RevisionNumber="200"/>"#,
                    r#"<Properties UpdateType="Software" {}CreationDate="2024-05-14T17:00:00Z" "#,
                    r#"DefaultPropertiesLanguage="en"/></Update>"#
                ),
                attribute
            );
            let update = crate::document::parse(&document).unwrap();
            let header = RevisionHeader::new(&document, &update, vec![]);
            assert_eq!(header.is_mandatory, expected);
        }
    }

    #[test]
    fn every_kind_and_severity_has_its_own_number() {
        for number in 1..=7 {
            assert_eq!(type_number(type_of(number).unwrap()), number);
        }
        assert_eq!(type_of(0), None);
        assert_eq!(type_of(8), None);
        for number in 1..=4 {
            let severity = severity_of(number).unwrap().unwrap();
            assert_eq!(severity_number(severity), number);
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_a_header_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            drop(RevisionHeader::from_bytes(&bytes));
        }

        #[test]
        fn a_cut_header_is_never_taken_for_a_whole_one(cut in 1usize..100) {
            let bytes = header().to_bytes();
            let cut = cut.min(bytes.len() - 1);
            let read = RevisionHeader::from_bytes(&bytes[..bytes.len() - cut]);
            prop_assert_ne!(read.ok(), Some(header()));
        }
    }
}
