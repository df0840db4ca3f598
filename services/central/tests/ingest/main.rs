//! The ingest of a top-level site, against sources that misbehave as real ones do, and with everything or
//! a part of their catalogs chosen.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod approvals;
mod cleanup;
mod decisions;
mod documents;
mod expiry;
mod fixture;
mod package_rules;
mod packages;
mod selection;
mod source;
