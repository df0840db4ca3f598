//! Where files are fetched from: the parent, the upstream server, or the update's own address.

mod get;
mod http;
mod parent;
mod server;

pub use self::http::HttpSource;
pub use get::HttpSourceError;
pub use parent::ParentSource;
pub use server::{FileServer, Order, OrderError, ServerSource};

use bytes::Bytes;
use catalog::content::ContentFile;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use std::fmt;
use std::ops::Range;

/// Why a source did not give a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It cannot be asked at all now, whatever the file.
    #[error("{0}")]
    Away(String),
    /// It does not have it yet: worth asking again soon.
    #[error("{0}")]
    NotYet(String),
    /// It does not have it, and fetches it by itself now that it is asked to: worth asking again in a while.
    #[error("{0}")]
    Ordered(String),
    /// It does not have it, or does not give it.
    #[error("{0}")]
    Refused(String),
    /// It broke off, or answered what cannot be used.
    #[error("{0}")]
    Broken(String),
    /// What it gives is not the same any more: what came of it is worth nothing.
    #[error("{0}")]
    Changed(String),
}

/// Bytes as they come.
pub type Pieces = BoxStream<'static, Result<Bytes, SourceError>>;

/// What a source wants to remember of a file from one call to the next.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The validator of what was sent so far (`ETag`).
    pub validator: Option<String>,
}

/// Where files come from.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// What people call it.
    fn name(&self, file: &ContentFile) -> String;

    /// Whether it can have this file at all.
    fn may_have(&self, file: &ContentFile) -> bool;

    /// The bytes of a file from the beginning of a range on. Less may come than the range has, and more, where
    /// the source knows no ranges; what comes is in order and without gaps.
    fn fetch<'a>(
        &'a self,
        file: &'a ContentFile,
        range: Range<u64>,
        memory: &'a mut Memory,
    ) -> BoxFuture<'a, Result<Pieces, SourceError>>;
}
