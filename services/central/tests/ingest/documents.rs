//! What a source's documents say, read as text: nothing of the product's own parsing, category tree or
//! selection is used here, so that they are compared with something else.

use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use upstream::ServedCatalog;
use wsus::message::RevisionFilter;
use wsus::server::Session;
use wsus::server::Source as _;

/// What one document says.
pub struct Document {
    pub id: RevisionId,
    /// `UpdateType`.
    pub kind: String,
    /// `CategoryType` of a category.
    pub category: Option<String>,
    /// What its category clauses name.
    pub belongs_to: BTreeSet<UpdateId>,
    /// All that its prerequisites name.
    pub requires: BTreeSet<UpdateId>,
    pub bundles: Vec<RevisionId>,
    /// What it supersedes directly.
    pub supersedes: BTreeSet<UpdateId>,
    /// `CreationDate`.
    pub created: Timestamp,
    /// Whether its publisher withdrew it.
    pub is_expired: bool,
    /// Whether it is approved by itself.
    pub is_deployable: bool,
}

impl Document {
    fn read(text: &str) -> Self {
        let mut found = Self {
            id: RevisionId::new(UpdateId::from_u128(0), 0),
            kind: String::new(),
            category: None,
            belongs_to: BTreeSet::new(),
            requires: BTreeSet::new(),
            bundles: Vec::new(),
            supersedes: BTreeSet::new(),
            created: Timestamp::UNIX_EPOCH,
            is_expired: false,
            is_deployable: false,
        };
        let (mut is_clause, mut is_bundle, mut is_required, mut met) = (false, false, false, false);
        let mut is_superseded = false;
        for tag in text.split('<').skip(1) {
            let name = tag
                .split(|c: char| c.is_whitespace() || c == '>' || c == '/')
                .find(|name| !name.is_empty())
                .unwrap_or("");
            let name = name.rsplit(':').next().unwrap();
            let ends = tag.starts_with('/');
            match name {
                "AtLeastOne" => is_clause = !ends && tag.contains("IsCategory=\"true\""),
                "BundledUpdates" => is_bundle = !ends,
                "Prerequisites" => is_required = !ends,
                "SupersededUpdates" => is_superseded = !ends,
                "Properties" if !ends => {
                    found.kind = attribute(tag, "UpdateType").unwrap();
                    found.created = attribute(tag, "CreationDate").unwrap().parse().unwrap();
                    let state = attribute(tag, "PublicationState");
                    found.is_expired = state.as_deref() == Some("Expired");
                    let deployable = attribute(tag, "ExplicitlyDeployable");
                    found.is_deployable = deployable.as_deref() == Some("true");
                }
                "CategoryInformation" => found.category = attribute(tag, "CategoryType"),
                "UpdateIdentity" if !ends => {
                    let id: UpdateId = attribute(tag, "UpdateID").unwrap().parse().unwrap();
                    let revision = attribute(tag, "RevisionNumber");
                    let revision = revision.map(|number| number.parse().unwrap());
                    if !met {
                        found.id = RevisionId::new(id, revision.unwrap());
                        met = true;
                    } else if is_bundle {
                        found.bundles.push(RevisionId::new(id, revision.unwrap()));
                    } else if is_superseded {
                        found.supersedes.insert(id);
                    } else if is_required {
                        found.requires.insert(id);
                        if is_clause {
                            found.belongs_to.insert(id);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    pub fn is_configuration(&self) -> bool {
        self.kind == "Category" || self.kind == "Detectoid"
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let at = tag.find(&format!(" {name}="))? + name.len() + 2;
    let quote = tag[at..].chars().next()?;
    tag[at + 1..].split(quote).next().map(str::to_owned)
}

/// All documents that a source lists.
pub struct Documents(pub BTreeMap<RevisionId, Document>);

impl Documents {
    pub async fn of(source: &ServedCatalog) -> Self {
        // Later than every change, so that asking moves no anchor of the source ahead of its clock.
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut documents = BTreeMap::new();
        for get_config in [true, false] {
            let filter = RevisionFilter {
                get_config,
                ..RevisionFilter::default()
            };
            let ids = source
                .revisions(&Session::newest(uuid::Uuid::nil()), &filter, now)
                .await
                .unwrap()
                .revisions;
            for chunk in ids.chunks(100) {
                let stored = source.updates(chunk).await.unwrap();
                for update in stored {
                    let document = Document::read(&update.unwrap().document);
                    assert_eq!(document.is_configuration(), get_config, "{}", document.id);
                    documents.insert(document.id, document);
                }
            }
        }
        Self(documents)
    }

    /// The documents, each with the date of the first that there was of its update, now or `before`.
    pub fn created_as_before(mut self, before: &Self) -> Self {
        for document in self.0.values_mut() {
            let id = document.id.update_id;
            let same = before.0.values().filter(|held| held.id.update_id == id);
            let first = same.map(|held| held.created).min();
            document.created = document.created.min(first.unwrap_or(document.created));
        }
        self
    }

    /// The documents without those of an update.
    pub fn without(mut self, id: UpdateId) -> Self {
        self.0.retain(|revision, _| revision.update_id != id);
        self
    }

    /// The newest document of a category.
    fn category(&self, id: UpdateId) -> Option<&Document> {
        let (first, last) = (RevisionId::new(id, 0), RevisionId::new(id, u32::MAX));
        let newest = self.0.range(first..=last).next_back();
        newest.map(|(_, document)| document)
    }

    /// Whether a category is one of `chosen`, or stands below one. What is not a known category is not.
    fn is_in(&self, id: UpdateId, chosen: &BTreeSet<UpdateId>, depth: u32) -> bool {
        let Some(category) = self.category(id).filter(|_| depth < 10) else {
            return false;
        };
        let mut above = category.belongs_to.iter();
        chosen.contains(&id) || above.any(|parent| self.is_in(*parent, chosen, depth + 1))
    }

    pub fn configuration(&self) -> BTreeSet<RevisionId> {
        let documents = self.0.values();
        let configuration = documents.filter(|document| document.is_configuration());
        configuration.map(|document| document.id).collect()
    }

    /// The updates that belong to one of the products and to one of the classifications.
    pub fn selected(
        &self,
        products: &BTreeSet<UpdateId>,
        classifications: &BTreeSet<UpdateId>,
    ) -> BTreeSet<RevisionId> {
        let is_selected = |document: &&Document| {
            let mut belongs_to = document.belongs_to.iter();
            !document.is_configuration()
                && belongs_to.clone().any(|id| classifications.contains(id))
                && belongs_to.any(|id| self.is_in(*id, products, 0))
        };
        let selected = self.0.values().filter(is_selected);
        selected.map(|document| document.id).collect()
    }

    /// All that a site has to hold that chose so: the configuration, what is selected, and its members.
    pub fn chosen(
        &self,
        products: &BTreeSet<UpdateId>,
        classifications: &BTreeSet<UpdateId>,
    ) -> BTreeSet<RevisionId> {
        let mut held = self.configuration();
        let mut open: Vec<RevisionId> = Vec::new();
        open.extend(self.selected(products, classifications));
        while let Some(id) = open.pop() {
            if held.insert(id) {
                open.extend(&self.0[&id].bundles);
            }
        }
        held
    }
}
