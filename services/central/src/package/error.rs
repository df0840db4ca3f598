//! Why a package is not taken, for people: what is wrong, and what to do.

use super::manifest::MAX_EARLIER;
use catalog::{Problem, RevisionId};
use jiff::Timestamp;
use std::io;
use trust::StatementPublicKey;
use uuid::Uuid;

/// Why a package is not imported or exported. The catalog is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither format.
    #[error(
        "it is no package: neither a .cab of wsusutil export nor a .hwpkg of headwater export begins like this"
    )]
    NotAPackage,
    /// The other format of wsusutil.
    #[error(
        "it is a package of the form .xml.gz, which is not read: export it again, naming a package that ends \
         in .cab"
    )]
    Gzip,
    /// A version that is not known.
    #[error("it has the format version {0}, which this version does not know: update Headwater")]
    UnknownVersion(u8),
    /// Its end is missing.
    #[error("it was cut off: its end is missing. Copy it again, from where it was exported")]
    Truncated,
    /// Something in it is not what was signed.
    #[error("it was altered or damaged on the way: {0}. Copy it again, from where it was exported")]
    Altered(Problem),
    /// A package of wsusutil that is not whole.
    #[error(transparent)]
    Wsusutil(#[from] wsus::package::Error),
    /// A revision that cannot be used.
    #[error("revision {id} in it cannot be used: {why}")]
    Revision {
        /// Which.
        id: RevisionId,
        /// Why.
        why: Problem,
    },
    /// Something in it that no catalog has.
    #[error("it holds what no catalog has: {0}")]
    Trick(Problem),
    /// Nothing proves where it comes from.
    #[error(
        "it is a package of wsusutil, and nothing proves where it comes from or that it is as it was made: \
         whoever could write the file decides what this hierarchy installs. Import it with --trust if you \
         know where it comes from"
    )]
    Unsigned,
    /// The first package of a hierarchy.
    #[error(
        "it is signed by hierarchy {hierarchy} with the key {key}, of which this site took no package before: \
         compare the key with the one that headwater export printed there, then import it with --key {key} \
         (or with --trust, without comparing)"
    )]
    UnknownKey {
        /// The hierarchy.
        hierarchy: Uuid,
        /// Its key.
        key: StatementPublicKey,
    },
    /// Another key than the one that the person named.
    #[error("it is signed with the key {found}, and not with the key {named} that was named")]
    OtherKeyNamed {
        /// The key in the package.
        found: StatementPublicKey,
        /// The key that was named.
        named: StatementPublicKey,
    },
    /// Another hierarchy than the one before.
    #[error(
        "it is of another hierarchy: {found} with the key {key}, and this site takes the packages of {held}. \
         Import it with --rehome if this site is to follow that hierarchy from now on"
    )]
    OtherHierarchy {
        /// The hierarchy of the package.
        found: Uuid,
        /// Its key.
        key: StatementPublicKey,
        /// The hierarchy whose packages are taken.
        held: Uuid,
    },
    /// An export of this very hierarchy.
    #[error("it was exported by this hierarchy itself, which has all that is in it")]
    Own,
    /// Something is missing before it.
    #[error(
        "it is of the wrong order: it begins after position {base}, and this site has that hierarchy up to \
         position {held}. Import the packages in between first, or one with everything (headwater export \
         without --since)"
    )]
    WrongOrder {
        /// After which it begins.
        base: u64,
        /// What is here.
        held: u64,
    },
    /// What is here is newer.
    #[error(
        "it is older than what is here: it goes up to position {}, signed at {}, and this site has that hierarchy up \
         to position {}, signed at {}",
        .offered.0, .offered.1, .held.0, .held.1
    )]
    Older {
        /// How far it goes, and when that was signed.
        offered: (u64, Timestamp),
        /// What is here.
        held: (u64, Timestamp),
    },
    /// The log of the other hierarchy was begun anew.
    #[error(
        "its hierarchy began its history anew since the package before (epoch {offered} after {held}): \
         import one with everything (headwater export without --since)"
    )]
    OtherEpoch {
        /// Of the package.
        offered: Uuid,
        /// Of the package before.
        held: Uuid,
    },
    /// The log of the other hierarchy is not the one that the package before was made from.
    #[error(
        "it does not follow the package that was taken in here last (up to position {held}): its hierarchy does not \
         know that one any more, because its database was put back from a backup, or because it made more than \
         {} packages since. Import one with everything (headwater export without --since)",
        MAX_EARLIER
    )]
    OtherHistory {
        /// What is here.
        held: u64,
    },
    /// Rows of this site's catalog were lost.
    #[error(
        "rows of this site's catalog were lost: import a package with everything (headwater export without \
         --since), or synchronize, before one with changes"
    )]
    RowsLost,
    /// More than may be spooled.
    #[error("it has {size} bytes, and a package may have {most}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The most.
        most: u64,
    },
    /// More files than may be in one.
    #[error(
        "it would carry more than the {most} files that a package may have: export without --content, and carry \
         the content store itself (headwater content import DIR)"
    )]
    TooManyFiles {
        /// The most.
        most: u64,
    },
    /// No room for the files in it.
    #[error(
        "there is no room for the files in it: they need {needed} bytes in the content store {place}, where \
         {free} are free. Make room, or import it with --without-content"
    )]
    NoRoomForFiles {
        /// What they need.
        needed: u64,
        /// What is free.
        free: u64,
        /// Where.
        place: String,
    },
    /// The store of content files, on this machine.
    #[error(
        "the catalog in it was taken in, and not all files: {why}. Import it again once that is put right, and \
         it goes on"
    )]
    Files {
        /// What failed.
        why: Problem,
    },
    /// Files cannot be read.
    #[error("the file {name} could not be read from the content store: {why}")]
    File {
        /// Which.
        name: String,
        /// What failed.
        why: Problem,
    },
    /// No room for it.
    #[error(
        "there is no room for it: it needs {needed} bytes in the data directory of the site, where {free} are free"
    )]
    NoRoom {
        /// What it needs.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// It was not offered, or another one was since.
    #[error(
        "the site does not have this package: offer it again (another one may have taken its place)"
    )]
    NotOffered,
    /// The bytes do not follow what is held.
    #[error(
        "bytes from {offset} on cannot follow the {held} that are here: offer the package again"
    )]
    Gap {
        /// Where they stand.
        offset: u64,
        /// What is held.
        held: u64,
    },
    /// What came is not what was offered.
    #[error(
        "what was uploaded is not the package that was offered: it changed meanwhile, upload it again"
    )]
    Different,
    /// One at a time.
    #[error("another package is being imported or exported: wait for it to end")]
    Busy,
    /// A delta that the log cannot tell.
    #[error(
        "removals up to position {floor} are no longer in the log, so what changed after position {base} \
         cannot be told: export everything (without --since)"
    )]
    BelowFloor {
        /// Where the log begins to tell everything.
        floor: u64,
        /// What was asked for.
        base: u64,
    },
    /// A position that there is not.
    #[error("position {base} is not reached here: the verified catalog ends at {verified}")]
    Beyond {
        /// What was asked for.
        base: u64,
        /// Where the catalog ends.
        verified: u64,
    },
    /// No export before.
    #[error(
        "there is no package before, of this epoch, after which this one could begin: export everything \
         (without --since)"
    )]
    NoLast,
    /// Nothing was verified yet.
    #[error("there is nothing to export: this site has no signed catalog yet; synchronize first")]
    Nothing,
    /// The catalog does not hold still.
    #[error(
        "the catalog changed again and again during the export: export when no synchronization runs"
    )]
    Restless,
    /// Only what Headwater's format can tell.
    #[error("a .cab holds the documents of the whole catalog and nothing else: {0} needs a .hwpkg")]
    OnlyOwnFormat(&'static str),
    /// Whoever asked for a package does not take it.
    #[error("nobody took what was exported for a minute, so the export was given up: export again")]
    NotTaken,
    /// The run that took it in did not.
    #[error("{0}")]
    Run(#[source] Box<sync::Failure>),
    /// The run was cancelled.
    #[error("the import was cancelled")]
    Cancelled,
    /// A file of the spool.
    #[error("the spool of packages in the data directory cannot be used")]
    Io(#[from] io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    pub(super) fn altered(what: impl std::fmt::Display) -> Self {
        Self::Altered(Problem::new(what))
    }
}
