//! From a revision to the files of all that it bundles.

use super::{Policy, Reason, Root, Subject, of_file, roots};
use crate::RevisionId;
use crate::content::ContentFile;
use crate::document::{Bundled, Update};
use crate::header::FileLocation;
use crate::language::Wanted;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Documents that are looked at for one update, at most: a bundle of bundles is bounded by it.
pub const MOST_DOCUMENTS: usize = 5_000;

/// What a site wants of the files of any update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    /// When, and whether express files.
    pub policy: Policy,
    /// Its languages of update files.
    pub languages: Wanted,
}

/// Which files are needed for an update.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The files, by their SHA-1, and the most urgent reason for each.
    pub files: BTreeMap<[u8; 20], (ContentFile, Reason)>,
    /// Revisions that are bundled, or approved, and are not in the catalog (yet): more may be needed when they
    /// come.
    pub awaited: Vec<RevisionId>,
}

/// Finds out which files are needed for an update. Asks for documents, one after the other.
#[derive(Debug)]
pub struct Walk<'w> {
    wants: &'w Wants,
    turn: VecDeque<Root>,
    /// What was asked for already, and for what.
    seen: HashMap<RevisionId, Option<Reason>>,
    looked_at: usize,
    plan: Plan,
}

impl<'w> Walk<'w> {
    /// Begins with an update.
    pub fn new(subject: &Subject, wants: &'w Wants) -> Self {
        let mut walk = Self {
            wants,
            turn: VecDeque::new(),
            seen: HashMap::new(),
            looked_at: 0,
            plan: Plan::default(),
        };
        for root in roots(subject, wants.policy) {
            walk.queue(root);
        }
        walk
    }

    fn queue(&mut self, root: Root) {
        let known = self.seen.get(&root.id);
        let is_new = match (known, root.files) {
            (None, _) | (Some(None), Some(_)) => true,
            (Some(_), None) => false,
            (Some(Some(held)), Some(reason)) => reason < *held,
        };
        if is_new {
            self.seen.insert(root.id, root.files);
            self.turn.push_back(root);
        }
    }

    /// The next revision whose document is wanted.
    pub fn next_revision(&self) -> Option<RevisionId> {
        if self.looked_at >= MOST_DOCUMENTS {
            return None;
        }
        self.turn.front().map(|root| root.id)
    }

    /// Takes the document of the revision that [`Walk::next_revision`] named, with the addresses that its header
    /// has for its files; none: it is not in the catalog.
    pub fn take(&mut self, document: Option<(&Update, &[FileLocation])>) {
        let Some(root) = self.turn.pop_front() else {
            return;
        };
        self.looked_at += 1;
        let Some((update, locations)) = document else {
            self.plan.awaited.push(root.id);
            return;
        };
        let terms = ContentFile::of_licence(update, locations);
        for (terms, file) in terms.into_iter().zip(&update.eula_files) {
            if self.wants.policy.terms && self.wants.languages.takes(&file.language) {
                self.add(terms, Reason::LicenceTerms);
            }
        }
        if let Some(reason) = root.files {
            let files = ContentFile::of_update(update, locations);
            for (content, file) in files.into_iter().zip(&update.files) {
                let express = self.wants.policy.express;
                if of_file(update, file, &self.wants.languages, express).is_needed() {
                    self.add(content, reason);
                }
            }
        }
        for bundled in &update.bundled {
            let members = match bundled {
                Bundled::Revision(id) => std::slice::from_ref(id),
                // Which of them applies is for each client to say.
                Bundled::AtLeastOne(ids) => ids,
            };
            for id in members {
                self.queue(Root {
                    id: *id,
                    files: root.files,
                });
            }
        }
    }

    fn add(&mut self, file: ContentFile, reason: Reason) {
        let held = self.plan.files.entry(file.sha1);
        let held = held.or_insert_with(|| (file, reason));
        held.1 = held.1.min(reason);
    }

    /// What was found.
    pub fn finish(mut self) -> Plan {
        self.plan.awaited.sort_unstable();
        self.plan.awaited.dedup();
        self.plan
    }
}
