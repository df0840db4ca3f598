//! What can go wrong between a unit of work and its database.

/// A unit of work that did not happen, or may not have happened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be opened or brought to this version's schema.
    #[error("cannot open the database {place}")]
    Open {
        /// Path or address, without credentials.
        place: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The server of the database did not answer, however often it was asked.
    #[error(
        "the database {place} did not answer within {seconds} seconds: check that its server runs and can \
         be reached from this machine"
    )]
    Unreachable {
        /// Its address, without credentials.
        place: String,
        /// How long it was asked, in seconds.
        seconds: u64,
        /// What became of the last try.
        source: sqlx::Error,
    },
    /// The schema could not be brought to this version.
    #[error("cannot bring the database {place} to this version's schema")]
    Migrate {
        /// Path or address, without credentials.
        place: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// The address of the database is not one we can use.
    #[error("{place} is not a database address: use a directory, or postgres://user@host/database")]
    Address {
        /// What was given, in a form that shows nothing of it.
        place: String,
    },
    /// A statement failed. Whether a commit that failed so took place is not known.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database holds what our rules forbid.
    #[error("the database is corrupt: {what}")]
    Corrupt {
        /// Table or value, and what is wrong with it.
        what: String,
    },
    /// Changes do not continue the log where it ends.
    #[error("a change at position {found} cannot follow position {head}")]
    OutOfOrder {
        /// Where the log ends.
        head: u64,
        /// Position of the refused change.
        found: u64,
    },
    /// A change that is not in the form that changes have.
    #[error("the change at position {position} is malformed: {why}")]
    Malformed {
        /// Position of the refused change.
        position: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The catalog is not the one that the statement describes.
    #[error("the catalog does not match its statement: {0}")]
    Mismatch(Mismatch),
    /// The statement describes a catalog older than the one held.
    #[error("the statement is of position {offered}, but position {held} is already verified here")]
    Older {
        /// Position of the refused statement.
        offered: u64,
        /// Position that is verified here.
        held: u64,
    },
}

/// In what a catalog differs from its statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The log ends elsewhere.
    Position {
        /// What the statement says.
        stated: u64,
        /// What is held.
        held: u64,
    },
    /// The number of items differs.
    Items {
        /// What the statement says.
        stated: u64,
        /// What is held.
        held: u64,
    },
    /// The items differ.
    Root,
    /// The log is of another epoch.
    Epoch,
    /// The statement is of another hierarchy.
    Hierarchy,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Position { stated, held } => {
                write!(f, "it ends at position {held} instead of {stated}")
            }
            Self::Items { stated, held } => {
                write!(f, "it holds {held} items instead of {stated}")
            }
            Self::Root => f.write_str("its items are not the ones that were signed"),
            Self::Epoch => f.write_str("it is of another epoch"),
            Self::Hierarchy => f.write_str("it is of another hierarchy"),
        }
    }
}

/// A [`Error::Corrupt`] for a value that our rules forbid.
pub(crate) fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::Corrupt {
        what: what.to_string(),
    }
}
