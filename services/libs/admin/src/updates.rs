//! The verified catalog: searching it, and looking at one update.

mod related;
mod search;

use crate::decisions_shown::{self, Decided};
use crate::reading::internal;
use catalog::document::Update;
use catalog::document::{self, CategoryType, Prerequisite, UpdateType};
use catalog::expiry::Expiry;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::language::{self, Language, Wanted};
use catalog::needed;
use catalog::{RevisionId, UpdateId, codec};
use related::References;
use search::Search;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use store::Store;
use store::content::{ContentRow, ContentState};
use store::query::RevisionRow;
use tonic::Status;
use wire::convert::from_timestamp;
use wire::v1::{
    GetUpdateRequest, GetUpdateResponse, ListUpdatesRequest, ListUpdatesResponse, LocalizedText,
    UpdateFile, UpdateSummary,
};

/// Updates on a page, unless told otherwise, and at most.
const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;
/// Headers that are read at a time while searching.
const READ_AHEAD: u32 = 500;
/// Documents that are read at a time while searching.
const READ_AHEAD_DOCUMENTS: u32 = 100;
/// Category names that are remembered.
const MAX_NAMES: usize = 10_000;
/// Members of a bundle whose files are told.
const MOST_MEMBERS: usize = 1_000;

/// How texts and files of updates are shown at a site.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Languages of titles and descriptions, the preferred first; then English.
    pub preferred: Vec<Language>,
    /// Languages in which texts are told at all.
    pub texts: Wanted,
    /// Languages of update files in effect at the site.
    pub files: Wanted,
    /// Whether express installation files are wanted there.
    pub express: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            preferred: Vec::new(),
            texts: Wanted::All,
            files: Wanted::All,
            express: true,
        }
    }
}

impl Shown {
    /// Whether the title of a header, which is in English, will do.
    fn is_english(&self) -> bool {
        self.preferred
            .first()
            .is_none_or(|language| *language == Language::ENGLISH)
    }
}

/// Reads the verified catalog for people.
pub struct Catalog {
    store: Store,
    /// Names of categories, as of a verified position.
    names: Mutex<(u64, HashMap<UpdateId, Name>)>,
    /// Which revisions name an update.
    references: tokio::sync::Mutex<References>,
}

/// A category's title, and whether it is a classification.
#[derive(Debug, Clone)]
struct Name {
    title: String,
    classification: bool,
}

fn malformed(error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "the catalog holds what cannot be read");
    Status::data_loss("the catalog holds what cannot be read; the site's journal says more")
}

/// Header, text and contents of a stored document.
fn read_revision(row: &RevisionRow) -> Result<(RevisionHeader, String, Update), Status> {
    let header = RevisionHeader::from_bytes(&row.header).map_err(malformed)?;
    let text = codec::decompress(&row.document).map_err(malformed)?;
    if catalog::item::document_digest(&text) != header.document_digest {
        return Err(malformed(format_args!(
            "the document of {} was altered",
            row.id
        )));
    }
    let update = document::parse(&text).map_err(malformed)?;
    Ok((header, text, update))
}

/// The files of one document. All of them are for its languages.
fn files_of(
    header: &RevisionHeader,
    update: &Update,
    shown: &Shown,
    of: String,
) -> Vec<UpdateFile> {
    let files = update.files.iter().map(|file| {
        let need = needed::of_file(update, file, &shown.files, shown.express);
        UpdateFile {
            name: file.name.clone(),
            size: file.size,
            sha1: file.sha1.to_vec(),
            sha256: file
                .sha256
                .map(|digest| digest.to_vec())
                .unwrap_or_default(),
            url: header
                .file_locations
                .iter()
                .find(|location| location.sha1 == file.sha1)
                .map(|location| location.mu_url.clone())
                .unwrap_or_default(),
            needed: need.is_needed(),
            because: need.to_string(),
            of: of.clone(),
            ..UpdateFile::default()
        }
    });
    files.collect()
}

impl Catalog {
    /// The catalog of a database.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            names: Mutex::new((0, HashMap::new())),
            references: Default::default(),
        }
    }

    fn remembered(&self, id: UpdateId) -> Option<Name> {
        let verified = self.store.positions().verified;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.0 != verified || names.1.len() > MAX_NAMES {
            *names = (verified, HashMap::new());
        }
        names.1.get(&id).cloned()
    }

    async fn name(&self, id: UpdateId) -> Result<Name, Status> {
        if let Some(name) = self.remembered(id) {
            return Ok(name);
        }
        let found = async { self.store.read().await?.revisions_of(id, false).await };
        let rows = found.await.map_err(internal)?;
        let name = match rows.first() {
            Some(row) => {
                let header = RevisionHeader::from_bytes(&row.header).map_err(malformed)?;
                Name {
                    title: header.title,
                    classification: header.update_type
                        == UpdateType::Category(CategoryType::UpdateClassification),
                }
            }
            // The source did not give the category out: its GUID is all that is known.
            None => Name {
                title: id.to_string(),
                classification: false,
            },
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.1.insert(id, name.clone());
        Ok(name)
    }

    async fn summary(
        &self,
        id: RevisionId,
        header: &RevisionHeader,
    ) -> Result<UpdateSummary, Status> {
        let mut classification = String::new();
        let mut products = Vec::new();
        for category in &header.categories {
            let name = self.name(*category).await?;
            if name.classification {
                classification = name.title;
            } else {
                products.push(name.title);
            }
        }
        Ok(UpdateSummary {
            update_id: id.update_id.to_string(),
            revision: id.revision,
            title: header.title.clone(),
            kb_article_ids: header.kb_article_ids.clone(),
            classification,
            products,
            update_type: header.update_type.name().to_owned(),
            publication_state: header.publication_state.name().to_owned(),
            creation_date: Some(from_timestamp(header.creation_date)),
            msrc_severity: header
                .msrc_severity
                .map(|severity| severity.name().to_owned())
                .unwrap_or_default(),
            ..UpdateSummary::default()
        })
    }

    /// Adds what the supersedence rules say of the update.
    async fn add_expiry(&self, id: UpdateId, summary: &mut UpdateSummary) -> Result<(), Status> {
        let found = async {
            let mut read = self.store.read().await?;
            read.contents(&[ItemKey::Expiry(id)]).await
        };
        for record in found.await.map_err(internal)?.into_values() {
            let expiry = Expiry::from_bytes(&record).map_err(malformed)?;
            summary.expired_since = Some(from_timestamp(expiry.since));
            summary.expired_by = expiry.by.to_string();
        }
        Ok(())
    }

    /// Whether there is no newer revision of the update than this.
    async fn is_newest(&self, id: RevisionId) -> Result<bool, Status> {
        let found = async {
            let mut read = self.store.read().await?;
            read.revisions_of(id.update_id, false).await
        };
        let rows = found.await.map_err(internal)?;
        Ok(rows.first().is_none_or(|newest| newest.id == id))
    }

    /// A page of the verified catalog. Titles are searched in English and shown in the language of `shown`.
    ///
    /// # Errors
    /// When the catalog cannot be read, or the request cannot be meant.
    pub async fn list(
        &self,
        request: ListUpdatesRequest,
        shown: &Shown,
    ) -> Result<ListUpdatesResponse, Status> {
        let page = match request.page_size {
            0 => DEFAULT_PAGE,
            size => size.min(MAX_PAGE),
        };
        let page = usize::try_from(page).unwrap_or(usize::MAX);
        let mut after: u64 = match request.page_token.as_str() {
            "" => 0,
            token => token
                .parse()
                .map_err(|_| Status::invalid_argument("the page token is not one of ours"))?,
        };
        let search = Search::new(request)?;
        let mut updates = Vec::with_capacity(page);
        let mut left = search.most();
        while left > 0 && updates.len() < page {
            let (rows, decided) = self.read_ahead(&search, after).await?;
            if rows.is_empty() {
                return Ok(ListUpdatesResponse {
                    updates,
                    next_page_token: String::new(),
                });
            }
            for row in rows {
                after = row.position;
                left = left.saturating_sub(1);
                let decided = decided.get(&row.id.update_id);
                updates.extend(self.found(&search, &row, decided, shown).await?);
                if updates.len() == page {
                    break;
                }
            }
        }
        Ok(ListUpdatesResponse {
            updates,
            next_page_token: after.to_string(),
        })
    }

    /// The next revisions to look at, and what was decided about them.
    async fn read_ahead(
        &self,
        search: &Search,
        after: u64,
    ) -> Result<(Vec<RevisionRow>, HashMap<UpdateId, Decided>), Status> {
        let read = async {
            let mut read = self.store.read().await?;
            let rows = match search.reads_documents() {
                true => read.documents_after(after, READ_AHEAD_DOCUMENTS).await?,
                false => read.revisions_after(after, READ_AHEAD).await?,
            };
            Ok((rows, read))
        };
        let (rows, mut read) = read.await.map_err(internal)?;
        let ids = rows.iter().map(|row| row.id.update_id);
        let decided = decisions_shown::decided(&mut read, ids).await?;
        Ok((rows, decided))
    }

    /// The update of a row, if it is searched for and this is its newest revision.
    async fn found(
        &self,
        search: &Search,
        row: &RevisionRow,
        decided: Option<&Decided>,
        shown: &Shown,
    ) -> Result<Option<UpdateSummary>, Status> {
        if !search.approval.fits(decided) {
            return Ok(None);
        }
        let header = RevisionHeader::from_bytes(&row.header).map_err(malformed)?;
        if !search.fits_header(&header) {
            return Ok(None);
        }
        let mut summary = self.summary(row.id, &header).await?;
        if !search.fits_names(&header, &summary)
            || !search.fits_document(row)?
            || !self.is_newest(row.id).await?
        {
            return Ok(None);
        }
        let record = decided.and_then(Decided::record);
        summary.decision = record.map(decisions_shown::decision);
        self.add_expiry(row.id.update_id, &mut summary).await?;
        if !search.fits_state(&header, &summary) {
            return Ok(None);
        }
        if !shown.is_english() {
            summary.title = self.title(row.id, shown, summary.title).await?;
        }
        Ok(Some(summary))
    }

    async fn find(&self, text: &str) -> Result<RevisionRow, Status> {
        let not_found = || Status::not_found(format!("there is no update {text} in the catalog"));
        if let Ok(id) = text.parse::<RevisionId>() {
            let found = async { self.store.read().await?.revision(id).await };
            return found.await.map_err(internal)?.ok_or_else(not_found);
        }
        let update: UpdateId = text
            .parse()
            .map_err(|error| Status::invalid_argument(format!("{error}, or GUID.REVISION")))?;
        let found = async { self.store.read().await?.revisions_of(update, true).await };
        let rows = found.await.map_err(internal)?;
        rows.into_iter().next().ok_or_else(not_found)
    }

    async fn revision(&self, id: RevisionId) -> Result<Option<RevisionRow>, Status> {
        let found = async { self.store.read().await?.revision(id).await };
        found.await.map_err(internal)
    }

    /// The title of a revision as it is shown.
    async fn title(
        &self,
        id: RevisionId,
        shown: &Shown,
        english: String,
    ) -> Result<String, Status> {
        let Some(row) = self.revision(id).await? else {
            return Ok(english);
        };
        let (_, _, update) = read_revision(&row)?;
        let texts = language::texts(&update, &shown.preferred);
        Ok(texts.map_or(english, |texts| texts.title.trim().to_owned()))
    }

    /// The files of a revision and of what it bundles, each with whether this site needs it.
    async fn files(
        &self,
        header: &RevisionHeader,
        update: &Update,
        shown: &Shown,
    ) -> Result<Vec<UpdateFile>, Status> {
        let mut files = files_of(header, update, shown, String::new());
        for id in header.bundled.iter().take(MOST_MEMBERS) {
            // A member that could not be had yet is told as missing elsewhere.
            if let Some(row) = self.revision(*id).await? {
                let (header, _, update) = read_revision(&row)?;
                files.extend(files_of(&header, &update, shown, id.to_string()));
            }
        }
        self.add_states(&mut files).await.map_err(internal)?;
        Ok(files)
    }

    /// Adds what is with each file at this site.
    async fn add_states(&self, files: &mut [UpdateFile]) -> Result<(), store::Error> {
        let mut read = self.store.read().await?;
        for file in files {
            let Ok(sha1) = <[u8; 20]>::try_from(file.sha1.as_slice()) else {
                continue;
            };
            let row = read.content(&sha1).await?;
            let is_there = |row: &ContentRow| {
                row.state != ContentState::Unneeded || row.present_since.is_some()
            };
            if let Some(row) = row.filter(is_there) {
                file.state = row.state.name().to_owned();
                file.had = match row.present_since {
                    Some(_) => row.file.size,
                    None => row.had,
                };
            }
        }
        Ok(())
    }

    /// Everything about one update of the verified catalog.
    ///
    /// # Errors
    /// When there is no such update, or the catalog cannot be read.
    pub async fn get(
        &self,
        request: &GetUpdateRequest,
        shown: &Shown,
    ) -> Result<GetUpdateResponse, Status> {
        let row = self.find(request.update_id.trim()).await?;
        let (header, text, update) = read_revision(&row)?;
        let texts = language::texts(&update, &shown.preferred);
        let mut summary = self.summary(row.id, &header).await?;
        if let Some(texts) = texts {
            summary.title = texts.title.trim().to_owned();
        }
        let prerequisites = update
            .prerequisites
            .iter()
            .map(|clause| match clause {
                Prerequisite::Update(id) => id.to_string(),
                Prerequisite::AtLeastOne { ids, .. } => {
                    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                    format!("one of {}", ids.join(", "))
                }
            })
            .collect();
        let mut languages: Vec<String> = update.languages.clone();
        languages.extend(update.titles.iter().map(|texts| texts.language.clone()));
        languages.sort_unstable();
        languages.dedup();
        let mut read = self.store.read().await.map_err(internal)?;
        let id = row.id.update_id;
        let decided = decisions_shown::decided(&mut read, std::iter::once(id)).await?;
        let record = decided.get(&id).and_then(Decided::record);
        let licence = decisions_shown::licence(&mut read, update.eula_id, record).await?;
        drop(read);
        summary.decision = record.map(decisions_shown::decision);
        self.add_expiry(id, &mut summary).await?;
        let files = self.files(&header, &update, shown).await?;
        let (relations, relations_incomplete) = match request.with_relations {
            true => self.relations(row.id, &header, &update).await?,
            false => Default::default(),
        };
        let bytes = |needed: bool| {
            let counted = files.iter().filter(|file| file.needed || !needed);
            counted.fold(0_u64, |sum, file| sum.saturating_add(file.size))
        };
        Ok(GetUpdateResponse {
            summary: Some(summary),
            licence,
            relations,
            relations_incomplete,
            bytes: bytes(false),
            bytes_needed: bytes(true),
            update_file_languages: shown.files.to_string(),
            texts: update
                .titles
                .iter()
                .filter(|texts| shown.texts.takes(&texts.language))
                .map(|texts| LocalizedText {
                    language: texts.language.clone(),
                    title: texts.title.trim().to_owned(),
                    description: texts.description.clone().unwrap_or_default(),
                })
                .collect(),
            description: texts
                .and_then(|texts| texts.description.clone())
                .unwrap_or_default(),
            prerequisites,
            bundled: header.bundled.iter().map(ToString::to_string).collect(),
            supersedes: header.superseded.iter().map(ToString::to_string).collect(),
            files,
            languages,
            support_url: update.support_url.clone().unwrap_or_default(),
            cve_ids: update.cve_ids.clone(),
            position: row.position,
            document: if request.with_document {
                text
            } else {
                String::new()
            },
        })
    }
}
