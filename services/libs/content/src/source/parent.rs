//! The parent, over the site link.

use super::{Memory, Pieces, Source, SourceError};
use bytes::Bytes;
use catalog::content::ContentFile;
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};
use link::dial::explain_status;
use link::pull::ParentUpstream;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use sync::Upstream as _;
use tonic::{Code, Status};
use wire::v1::FetchContentRequest;
use wire::v1::content_link_service_client::ContentLinkServiceClient;
use wire::v1::fetch_content_response::Message;

/// Fetches files from the parent.
pub struct ParentSource {
    parent: Arc<ParentUpstream>,
}

impl fmt::Debug for ParentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParentSource({})", self.parent.name())
    }
}

impl ParentSource {
    /// The parent of a site.
    pub fn new(parent: Arc<ParentUpstream>) -> Self {
        Self { parent }
    }

    async fn ask(&self, file: &ContentFile, range: Range<u64>) -> Result<Pieces, SourceError> {
        let channel = self.parent.channel();
        let channel =
            channel.map_err(|_| SourceError::Away("the link to it is down".to_owned()))?;
        let request = FetchContentRequest {
            sha1: file.sha1.to_vec(),
            offset: range.start,
            length: range.end - range.start,
        };
        let mut client = ContentLinkServiceClient::new(channel);
        let answer = client.fetch_content(request).await;
        let mut messages = answer.map_err(|status| error(&status))?.into_inner();
        let first = messages.message().await.map_err(|status| error(&status))?;
        match first.and_then(|first| first.message) {
            Some(Message::Size(size)) if size == file.size => {}
            Some(Message::Size(size)) => {
                return Err(SourceError::Refused(format!(
                    "it has {size} bytes, and the catalog says {}",
                    file.size
                )));
            }
            Some(Message::Piece(_)) | None => {
                return Err(SourceError::Refused(
                    "it did not say how long the file is".to_owned(),
                ));
            }
        }
        let mut left = range.end - range.start;
        let pieces = messages
            .map_err(|status| error(&status))
            .map(move |message| {
                let piece = match message?.message {
                    Some(Message::Piece(piece)) => piece,
                    Some(Message::Size(_)) | None => Bytes::new(),
                };
                let less = left.checked_sub(piece.len() as u64);
                left = less.filter(|_| !piece.is_empty()).ok_or_else(|| {
                    SourceError::Refused(
                        "it sent something else than the bytes asked for".to_owned(),
                    )
                })?;
                Ok(piece)
            });
        Ok(pieces.boxed())
    }
}

impl Source for ParentSource {
    fn name(&self, _: &ContentFile) -> String {
        format!("parent {}", self.parent.name())
    }

    fn may_have(&self, _: &ContentFile) -> bool {
        true
    }

    fn fetch<'a>(
        &'a self,
        file: &'a ContentFile,
        range: Range<u64>,
        _: &'a mut Memory,
    ) -> BoxFuture<'a, Result<Pieces, SourceError>> {
        Box::pin(self.ask(file, range))
    }
}

fn error(status: &Status) -> SourceError {
    let why = explain_status(status);
    match status.code() {
        // It says when it has to wait itself.
        Code::Unavailable | Code::ResourceExhausted | Code::Cancelled | Code::Unauthenticated => {
            SourceError::NotYet(why)
        }
        Code::NotFound | Code::PermissionDenied | Code::Unimplemented | Code::InvalidArgument => {
            SourceError::Refused(why)
        }
        Code::Ok
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => SourceError::Broken(why),
    }
}
