//! Reading a package as a whole, before anything of it is used: every document is parsed, says that it is the
//! revision that the package says it is, and is what the package says of it.

use super::format::{Change, MAGIC};
use super::import_files::PackageFiles;
use super::manifest::Manifest;
use super::origin::{Allowed, judge, judge_unsigned};
use super::piece::Order;
use super::read::{Package, Part};
use super::staged::{Staged, Staging};
use super::{Error, Progress, wsusutil};
use crate::ingest;
use catalog::approval::Record;
use catalog::header::RevisionHeader;
use catalog::item::{ItemKey, document_digest};
use catalog::{Problem, RevisionId, codec, document};
use jiff::Timestamp;
use settings::roll_out::RollOut;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use store::packages::PackageSource;
use uuid::Uuid;

/// A package that nothing is wrong with.
pub struct Checked {
    pub(crate) staged: Staged,
    /// Whose package it is, where it is of a hierarchy.
    pub(crate) source: Option<PackageSource>,
    /// What it says of itself, where it is of a hierarchy.
    pub manifest: Option<Manifest>,
    /// The update files in it.
    pub(crate) files: Option<PackageFiles>,
    /// Where it comes from, for people.
    pub origin: String,
    /// Revisions in it.
    pub revisions: u64,
    /// The settings in it, where they were asked for.
    pub(crate) settings: Option<RollOut>,
    /// What a person should know.
    pub remarks: Vec<String>,
}

impl std::fmt::Debug for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checked")
            .field("origin", &self.origin)
            .field("revisions", &self.revisions)
            .finish_non_exhaustive()
    }
}

/// What is asked of a package, and of whom it is taken.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The hierarchy that asks.
    pub own: Uuid,
    /// What it has of packages.
    pub held: Option<&'a PackageSource>,
    /// What a person allowed.
    pub allowed: Allowed,
    /// Whether approvals are taken.
    pub approvals: bool,
    /// Whether settings are taken.
    pub settings: bool,
    /// The time.
    pub now: Timestamp,
}

/// Reads the package in a file; what is good of it is put aside in `folder`.
///
/// # Errors
/// What is wrong with it. Takes as much memory as its largest document.
pub fn check(
    file: &Path,
    folder: &Path,
    question: &Question<'_>,
    progress: &Progress<'_>,
) -> Result<Checked, Error> {
    let mut opened = File::open(file)?;
    let mut magic = Vec::new();
    (&mut opened)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut magic)?;
    if magic.starts_with(&[0x1F, 0x8B]) {
        return Err(Error::Gzip);
    }
    if magic.starts_with(b"MSCF") {
        judge_unsigned(question.allowed)?;
        return wsusutil::check(file, folder, progress);
    }
    // Also what is cut off so early that its kind can only be guessed.
    if magic.is_empty() || MAGIC.starts_with(&magic) || magic.starts_with(&MAGIC[..5]) {
        return own(opened, folder, question, progress);
    }
    Err(match b"MSCF".starts_with(&magic[..]) {
        true => Error::Truncated,
        false => Error::NotAPackage,
    })
}

fn own(
    file: File,
    folder: &Path,
    question: &Question<'_>,
    progress: &Progress<'_>,
) -> Result<Checked, Error> {
    let mut package = Package::open(file)?;
    let source = judge(
        &package.manifest,
        &package.statement,
        question.own,
        question.held,
        question.allowed,
        question.now,
    )?;
    let manifest = package.manifest.clone();
    let mut remarks = Vec::new();
    if question.approvals && manifest.contents.approvals.is_none() {
        remarks.push("There are no approvals in it: export with --approvals for them".to_owned());
    }
    if question.settings && !manifest.contents.settings {
        remarks.push("There are no settings in it: export with --settings for them".to_owned());
    }
    let mut staging = Staging::new(folder)?;
    let (mut revisions, mut settings) = (0, None);
    let mut order = Order::default();
    package.read(progress, |part| {
        let change = match part {
            Part::Change(change) => change,
            Part::Piece(piece) => return order.follow(&piece).map_err(Error::altered),
        };
        match change.key {
            ItemKey::Revision(id) => {
                if !change.removed {
                    revisions += 1;
                    check_revision(id, &change)?;
                }
                staging.push(&change)?;
            }
            ItemKey::Approval(update) => {
                if !change.removed {
                    Record::from_bytes(&change.header).map_err(|error| {
                        Error::altered(format!("the approval of {update}: {error}"))
                    })?;
                }
                if question.approvals {
                    staging.push(&change)?;
                }
            }
            ItemKey::Settings => {
                let read = RollOut::from_content(&change.header)
                    .map_err(|error| Error::altered(format!("the settings: {error}")))?;
                if question.settings {
                    settings = Some(read);
                }
            }
            ItemKey::Expiry(update) => {
                return Err(Error::Trick(Problem::new(format!(
                    "the flag of {update}, which every hierarchy sets by its own rules"
                ))));
            }
        }
        Ok(())
    })?;
    let list = order.end().map_err(Error::altered)?;
    let files = match &manifest.contents.files {
        None => None,
        Some(carried) => {
            let bytes = list.iter().map(|(_, size)| u128::from(*size)).sum::<u128>();
            if (carried.files, u128::from(carried.bytes)) != (list.len() as u64, bytes) {
                return Err(Error::altered(
                    "its files are not those that its manifest tells of",
                ));
            }
            Some(PackageFiles {
                blocks: package.into_files(),
                list,
            })
        }
    };
    Ok(Checked {
        files,
        staged: staging.finish()?,
        source: Some(source),
        origin: format!(
            "hierarchy {} (site {})",
            manifest.hierarchy,
            Problem::new(&manifest.site)
        ),
        manifest: Some(manifest),
        revisions,
        settings,
        remarks,
    })
}

/// Whether a revision is what its key and its header say.
fn check_revision(id: RevisionId, change: &Change) -> Result<(), Error> {
    let bad = |why: &dyn std::fmt::Display| Error::Revision {
        id,
        why: Problem::new(why),
    };
    let header = RevisionHeader::from_bytes(&change.header).map_err(|error| bad(&error))?;
    let text = codec::decompress(&change.document).map_err(|error| bad(&error))?;
    if document_digest(&text) != header.document_digest {
        return Err(bad(&"its document is another one than its header says"));
    }
    let update = document::parse(&text).map_err(|error| bad(&error))?;
    if update.id != id {
        return Err(bad(&format!("its document says that it is {}", update.id)));
    }
    let mut urls = HashMap::new();
    for location in &header.file_locations {
        wsusutil::check_url(&location.mu_url)?;
        urls.insert(location.sha1, location.mu_url.clone());
    }
    // Sites believe the header without reading the document. Older ones did not tell what is mandatory.
    let mut made = ingest::header(&text, &update, &urls);
    made.is_mandatory &= header.is_mandatory;
    match made == header {
        true => Ok(()),
        false => Err(bad(&"its header is not that of its document")),
    }
}
