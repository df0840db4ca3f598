//! Which update files a site needs, and why. Pure: [`Walk`] says which documents it wants to see, and who has
//! the catalog gives them to it.
//!
//! An update that an administrator approves by itself stands for what it bundles: approving it needs the files
//! of its members, whose revisions it names. A file is needed for an update; it may be needed for several.

mod walk;

pub use walk::{MOST_DOCUMENTS, Plan, Walk, Wants};

use crate::RevisionId;
use crate::approval::Approval;
use crate::document::{File, PatchingType, Update};
use crate::language::{Need, Wanted};
use std::fmt;

/// When the files of an update are downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Download {
    /// Never: licence terms at most.
    Never,
    /// When the update is approved for installation.
    Deferred,
    /// At once, for every update that is neither declined nor expired.
    Immediate,
}

/// What a site chose about files, besides its languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// When files are downloaded.
    pub download: Download,
    /// Whether licence terms are downloaded with each update.
    pub terms: bool,
    /// Whether express installation files are downloaded besides the full files.
    pub express: bool,
}

/// Why a file is needed, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is the text of a licence: an administrator has to read it before approving the update.
    LicenceTerms,
    /// Its update is approved for installation.
    Approved,
    /// A downstream server asked for it.
    Asked,
    /// The files of every update are wanted at once.
    Immediate,
}

impl Reason {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [
        Self::LicenceTerms,
        Self::Asked,
        Self::Approved,
        Self::Immediate,
    ];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LicenceTerms => "licence terms",
            Self::Approved => "approved for install",
            Self::Asked => "asked for by a downstream server",
            Self::Immediate => "files are downloaded at once",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is known of an update when it is asked which of its files are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Its newest revision.
    pub newest: RevisionId,
    /// Whether an administrator approves it by itself; what is not is needed only as a part of what is.
    pub explicitly_deployable: bool,
    /// Whether its publisher withdrew it, or the supersedence rules expired it.
    pub is_expired: bool,
    /// What was decided about it.
    pub approval: Approval,
    /// The revision about which that was decided.
    pub revision: u32,
}

/// What is needed of a revision and all that it bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The revision.
    pub id: RevisionId,
    /// Why its files are needed; none: only its licence terms are.
    pub files: Option<Reason>,
}

/// The revisions of an update of which files are needed. None where nothing is.
pub fn roots(subject: &Subject, policy: Policy) -> Vec<Root> {
    let approved = match subject.approval {
        Approval::Declined => return Vec::new(),
        Approval::Install { .. } => {
            Some(RevisionId::new(subject.newest.update_id, subject.revision))
        }
        Approval::NotApproved | Approval::Detection | Approval::Removal { .. } => None,
    };
    let mut roots = Vec::new();
    if let Some(id) = approved {
        roots.push(Root {
            id,
            files: (policy.download != Download::Never).then_some(Reason::Approved),
        });
    }
    let is_current = subject.explicitly_deployable && !subject.is_expired;
    if is_current && approved != Some(subject.newest) {
        roots.push(Root {
            id: subject.newest,
            files: (policy.download == Download::Immediate).then_some(Reason::Immediate),
        });
    }
    roots
}

/// Whether a site wants a file of a document, were its update approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileNeed {
    /// Its language says.
    ByLanguage(Need),
    /// It is an express installation file, and full files alone are wanted.
    Express,
}

impl FileNeed {
    /// Whether it is wanted.
    pub const fn is_needed(&self) -> bool {
        match self {
            Self::ByLanguage(need) => need.is_needed(),
            Self::Express => false,
        }
    }
}

impl fmt::Display for FileNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByLanguage(need) => need.fmt(f),
            Self::Express => {
                f.write_str("an express installation file, and only full files are wanted here")
            }
        }
    }
}

/// Whether a site with these languages wants a file of a document, were its update approved. All files of a
/// document share its languages.
pub fn of_file(update: &Update, file: &File, languages: &Wanted, express: bool) -> FileNeed {
    match file.patching_type {
        PatchingType::Express if !express => FileNeed::Express,
        PatchingType::Unstated
        | PatchingType::SelfContained
        | PatchingType::Express
        | PatchingType::Other(_) => FileNeed::ByLanguage(languages.need(&update.languages)),
    }
}

#[cfg(test)]
mod tests;
