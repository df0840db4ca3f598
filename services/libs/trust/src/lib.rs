//! Who is who in a hierarchy, and how it is proved: keys, certificates, tokens, statements, roles.
//!
//! No file, no socket, no database: bytes and PEM text come in and go out. The time is an argument.
//! Randomness for tokens, serial numbers and the statement key is an argument too; the ECDSA keys of
//! the authority and of sites, and their signatures, draw their own randomness inside the
//! cryptographic library, so two runs of a simulation have different certificates.
//!
//! Nothing here prints a secret: private keys are [`secrecy::SecretString`] and tokens hide theirs
//! in `Debug`.

pub mod authority;
pub mod certificate;
pub mod error;
pub mod hierarchy;
pub mod identity;
pub mod package;
pub mod person;
pub mod role;
pub mod seal;
pub mod site_key;
pub mod statement;
pub mod tls;
pub mod token;

pub use authority::{Authority, IssuedCertificate};
pub use certificate::SiteCertificate;
pub use error::Error;
pub use hierarchy::{AuthorityPin, HierarchyId};
pub use identity::SiteIdentity;
pub use person::{PersonCertificate, PersonIdentity};
pub use role::Role;
pub use site_key::SiteKey;
pub use statement::{SignedStatement, Statement, StatementError, StatementPublicKey};
pub use token::{AccessToken, JoinToken, TokenError, TokenHash};
