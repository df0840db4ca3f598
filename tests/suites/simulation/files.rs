//! Update files over the simulated network: each part of one is an exchange of its own.

use crate::glue::SimulatedHttp;
use catalog::content::ContentFile;
use content::source::{Memory, Pieces, Source, SourceError};
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Request, StatusCode, header};
use std::ops::Range;
use wsus::client::{Exchange as _, ExchangeError};

/// The addresses of updates, on the simulated network.
#[derive(Debug, Clone)]
pub struct SimulatedFiles(pub SimulatedHttp);

fn broken(error: ExchangeError) -> SourceError {
    SourceError::Broken(format!("{:?}", error.trouble))
}

impl SimulatedFiles {
    async fn ask(&self, file: &ContentFile, range: Range<u64>) -> Result<Pieces, SourceError> {
        let url = file.url.as_deref().unwrap_or_default();
        let part = format!("bytes={}-{}", range.start, range.end - 1);
        let request = Request::get(url)
            .header(header::RANGE, part)
            .body(Vec::new())
            .unwrap();
        let answer = self.0.send(request).await.map_err(broken)?;
        match answer.status {
            StatusCode::PARTIAL_CONTENT => Ok(answer.body.map_err(broken).boxed()),
            status => Err(SourceError::Broken(status.to_string())),
        }
    }
}

impl Source for SimulatedFiles {
    fn name(&self, _: &ContentFile) -> String {
        "the simulated source".to_owned()
    }

    fn may_have(&self, file: &ContentFile) -> bool {
        file.url.is_some()
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
