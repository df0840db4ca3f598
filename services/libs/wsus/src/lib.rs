//! MS-WSUSSS, both ends: messages, faults, a client that synchronizes from an upstream server, a server
//! that downstream servers synchronize from; documents in cabinet files; packages of `wsusutil export`, read and written.
//!
//! This crate knows how the protocol is spoken. What an update document means belongs to `catalog`, where
//! it is kept to `store`. Nothing here writes to a disk or decides when to synchronize.

pub mod anchor;
pub mod blob;
pub mod client;
pub mod fault;
pub mod language;
pub mod message;
pub mod package;
pub mod selection;
pub mod server;
pub mod xpress;

mod xml;
