//! What is searched for in the catalog.

use super::{malformed, read_revision};
use crate::decisions_shown;
use catalog::codec;
use catalog::document::{PublicationState, Update};
use catalog::header::RevisionHeader;
use jiff::Timestamp;
use store::query::RevisionRow;
use tonic::Status;
use wire::convert;
use wire::v1::{ListUpdatesRequest, UpdateSummary};

/// Headers that one call looks at.
const MOST_HEADERS: u32 = 100_000;
/// Documents that one call looks into.
const MOST_DOCUMENTS: u32 = 5_000;
/// How every CVE identifier begins, in lower case.
const CVE: &str = "cve-";
/// Longest part of a CVE identifier that is looked for.
const MAX_CVE: usize = 32;

/// What to search for. Texts are in lower case.
pub(super) struct Search {
    text: String,
    /// A CVE identifier without its beginning, or a part of that; none where none is looked for.
    cve: Option<String>,
    classification: String,
    product: String,
    update_type: String,
    pub approval: decisions_shown::Filter,
    state: Option<StateFilter>,
    created_since: Option<Timestamp>,
    created_before: Option<Timestamp>,
}

/// What is asked of the state of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateFilter {
    Published,
    Expired,
    ExpiredByPublisher,
    ExpiredBySupersedence,
}

impl StateFilter {
    fn parse(text: &str) -> Result<Option<Self>, Status> {
        Ok(Some(match text {
            "" => return Ok(None),
            "published" => Self::Published,
            "expired" => Self::Expired,
            "expired-by-publisher" => Self::ExpiredByPublisher,
            "expired-by-supersedence" => Self::ExpiredBySupersedence,
            _ => {
                return Err(Status::invalid_argument(
                    "the state is none: use published, expired, expired-by-publisher or \
                     expired-by-supersedence",
                ));
            }
        }))
    }

    fn fits(self, header: &RevisionHeader, summary: &UpdateSummary) -> bool {
        let by_publisher = header.publication_state == PublicationState::Expired;
        let by_supersedence = summary.expired_since.is_some();
        match self {
            Self::Published => !by_publisher && !by_supersedence,
            Self::Expired => by_publisher || by_supersedence,
            Self::ExpiredByPublisher => by_publisher,
            Self::ExpiredBySupersedence => by_supersedence,
        }
    }
}

/// The part of a CVE identifier that is looked for: "CVE-2024-30051", "2024-30051" or "2024-3".
fn cve(text: &str) -> Result<Option<String>, Status> {
    let text = text.trim().to_ascii_lowercase();
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !plain || text.len() > MAX_CVE {
        return Err(Status::invalid_argument(
            "that is no CVE identifier: use CVE-2024-30051, or a part of it such as 2024-30051",
        ));
    }
    let part = text.strip_prefix(CVE).unwrap_or(&text);
    Ok((!text.is_empty()).then(|| part.to_owned()))
}

impl Search {
    /// What a request asks for.
    ///
    /// # Errors
    /// When it cannot be meant.
    pub fn new(request: ListUpdatesRequest) -> Result<Self, Status> {
        let mut text = request.text.to_lowercase();
        let mut wanted = request.cve;
        // Who knows only one field to search in types it there.
        if wanted.is_empty() && text.trim().starts_with(CVE) && cve(&text).is_ok() {
            wanted = std::mem::take(&mut text);
        }
        Ok(Self {
            text,
            cve: cve(&wanted)?,
            classification: request.classification.to_lowercase(),
            product: request.product.to_lowercase(),
            update_type: request.update_type,
            approval: decisions_shown::Filter::new(&request.approval)?,
            state: StateFilter::parse(&request.state)?,
            created_since: convert::optional_timestamp(
                "created_since",
                request.created_since.as_ref(),
            )?,
            created_before: convert::optional_timestamp(
                "created_before",
                request.created_before.as_ref(),
            )?,
        })
    }

    /// Whether documents have to be looked into.
    pub fn reads_documents(&self) -> bool {
        self.cve.is_some()
    }

    /// How many revisions one call looks at.
    pub fn most(&self) -> u32 {
        match self.reads_documents() {
            true => MOST_DOCUMENTS,
            false => MOST_HEADERS,
        }
    }

    /// Whether the header alone lets it be what is searched for.
    pub fn fits_header(&self, header: &RevisionHeader) -> bool {
        let wanted_type = if self.update_type.is_empty() {
            header.explicitly_deployable
        } else {
            header
                .update_type
                .name()
                .eq_ignore_ascii_case(&self.update_type)
        };
        let created = header.creation_date;
        wanted_type
            && self.created_since.is_none_or(|since| created >= since)
            && self.created_before.is_none_or(|before| created < before)
            && (self.text.is_empty()
                || header.title.to_lowercase().contains(&self.text)
                || header
                    .kb_article_ids
                    .iter()
                    .any(|kb| self.text.trim_start_matches("kb") == kb))
    }

    /// Whether classification and product are those that are searched for.
    pub fn fits_names(&self, header: &RevisionHeader, summary: &UpdateSummary) -> bool {
        let named = |wanted: &str, name: &str| wanted.is_empty() || name.to_lowercase() == wanted;
        (named(&self.classification, &summary.classification)
            || names_category(&self.classification, header))
            && (self.product.is_empty()
                || summary
                    .products
                    .iter()
                    .any(|product| named(&self.product, product))
                || names_category(&self.product, header))
    }

    /// Whether the document of a row names the CVE that is searched for.
    ///
    /// # Errors
    /// When the document cannot be read.
    pub fn fits_document(&self, row: &RevisionRow) -> Result<bool, Status> {
        let Some(part) = &self.cve else {
            return Ok(true);
        };
        let text = codec::decompress(&row.document).map_err(malformed)?;
        // What the text does not say at all need not be looked for in its parts.
        if !text.to_ascii_lowercase().contains(part) {
            return Ok(false);
        }
        let (_, _, update) = read_revision(row)?;
        Ok(names_cve(&update, part))
    }

    /// Whether the state is the one that is searched for.
    pub fn fits_state(&self, header: &RevisionHeader, summary: &UpdateSummary) -> bool {
        self.state.is_none_or(|state| state.fits(header, summary))
    }
}

fn names_category(wanted: &str, header: &RevisionHeader) -> bool {
    let mut categories = header.categories.iter();
    categories.any(|category| category.to_string() == wanted)
}

/// Whether an update names a CVE, or its texts mention it.
fn names_cve(update: &Update, part: &str) -> bool {
    let mention = format!("{CVE}{part}");
    let mentions = |text: &str| text.to_lowercase().contains(&mention);
    update
        .cve_ids
        .iter()
        .any(|id| id.to_lowercase().contains(part))
        || update.titles.iter().any(|texts| {
            mentions(&texts.title) || texts.description.as_deref().is_some_and(mentions)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cve_is_looked_for_however_it_is_written() {
        let part = |text: &str| cve(text).unwrap();
        assert_eq!(part("CVE-2024-30051").as_deref(), Some("2024-30051"));
        assert_eq!(part(" cve-2024-30051 ").as_deref(), Some("2024-30051"));
        assert_eq!(part("2024-3").as_deref(), Some("2024-3"));
        assert_eq!(part("CVE-").as_deref(), Some(""), "any of them");
        assert_eq!(part(""), None);
        for bad in ["CVE 2024", "<CVE>", "%", &"1".repeat(33)] {
            assert!(cve(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cve_in_the_field_for_all_is_looked_for_in_documents() {
        let search = |text: &str| {
            let request = ListUpdatesRequest {
                text: text.to_owned(),
                ..ListUpdatesRequest::default()
            };
            Search::new(request).unwrap()
        };
        let found = search("CVE-2024-30051");
        assert_eq!((found.text.as_str(), found.reads_documents()), ("", true));
        assert_eq!(found.most(), MOST_DOCUMENTS);
        for other in ["cumulative", "cve-2024 and others", "kb5031455"] {
            let found = search(other);
            assert_eq!((found.text.as_str(), found.cve), (other, None));
        }
    }
}
