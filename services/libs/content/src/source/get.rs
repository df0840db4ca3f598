//! One request for bytes of a file to an HTTP server, of which nothing good is assumed.

use super::{Memory, Pieces, SourceError};
use bytes::Bytes;
use catalog::content::ContentFile;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, Url};
use std::ops::Range;
use std::time::Duration;
use sync::upstream::with_causes;

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest validator that is kept.
const MAX_VALIDATOR_BYTES: usize = 256;

/// A way to files by HTTP that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("content cannot be fetched by HTTP: {0}")]
pub struct HttpSourceError(String);

impl HttpSourceError {
    /// An address that is none of an HTTP server.
    pub(super) fn of_address(given: &str) -> Self {
        let given: String = given.chars().take(200).collect();
        Self(format!("{given:?} is not the address of an HTTP server"))
    }
}

/// Why nothing comes.
pub(super) enum Ungot {
    /// The server answered this.
    Status(StatusCode),
    Source(SourceError),
}

impl From<SourceError> for Ungot {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<Ungot> for SourceError {
    fn from(ungot: Ungot) -> Self {
        match ungot {
            Ungot::Status(status) => refused(status),
            Ungot::Source(error) => error,
        }
    }
}

/// What asks servers: trusts what the system trusts and these certificates (PEM), and goes through a proxy where one is
/// given. The environment is not asked.
pub(super) fn client(
    proxy: Option<&wsus::client::Proxy>,
    ca_pem: Option<&[u8]>,
    redirects: fn() -> Policy,
) -> Result<Client, HttpSourceError> {
    let proxy = proxy.map(wsus::client::Proxy::for_reqwest).transpose();
    let proxy = proxy.map_err(|error| HttpSourceError(error.to_string()))?;
    let builder = || {
        let builder = Client::builder()
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(redirects())
            .no_gzip()
            .no_proxy()
            .referer(false);
        match proxy.clone() {
            Some(proxy) => builder.proxy(proxy),
            None => builder,
        }
    };
    let failed = |error: reqwest::Error| HttpSourceError(with_causes(&error));
    if let Some(pem) = ca_pem {
        let certificates = Certificate::from_pem_bundle(pem).map_err(failed)?;
        return builder()
            .tls_certs_merge(certificates)
            .build()
            .map_err(failed);
    }
    // A system without any certificates still has addresses that need none.
    let client = builder()
        .build()
        .or_else(|_| builder().tls_certs_only([]).build());
    client.map_err(failed)
}

/// The bytes of a file from the beginning of a range on, from one address.
pub(super) async fn get(
    client: &Client,
    url: Url,
    file: &ContentFile,
    range: Range<u64>,
    memory: &mut Memory,
) -> Result<Pieces, Ungot> {
    let mut request = client.get(url).header(header::ACCEPT_ENCODING, "identity");
    if (range.start, range.end) != (0, file.size) {
        let last = range.end.saturating_sub(1);
        request = request.header(header::RANGE, format!("bytes={}-{last}", range.start));
        if let Some(validator) = memory.validator.as_ref().filter(|_| range.start > 0) {
            request = request.header(header::IF_RANGE, validator);
        }
    }
    let answer = request.send().await.map_err(broken)?;
    let validator = validator(answer.headers());
    let start = match answer.status() {
        StatusCode::PARTIAL_CONTENT => {
            expect_range(answer.headers(), &range, file.size)?;
            None
        }
        StatusCode::OK => {
            let changed =
                range.start > 0 && memory.validator.is_some() && memory.validator != validator;
            if changed {
                let why = "what lies at its address was replaced while it was fetched";
                memory.validator = validator;
                return Err(SourceError::Changed(why.to_owned()).into());
            }
            expect_length(&answer, file.size)?;
            // It knows no ranges: what is there already is let go by.
            Some(range.start)
        }
        status => return Err(Ungot::Status(status)),
    };
    memory.validator = validator;
    let pieces = answer.bytes_stream().map_err(broken);
    Ok(match start {
        None => within(pieces, range.end - range.start).boxed(),
        Some(skipped) => skip(pieces, skipped).boxed(),
    })
}

fn refused(status: StatusCode) -> SourceError {
    let why = format!("it answered {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => SourceError::Broken(why),
        status if status.is_server_error() => SourceError::Broken(why),
        _ => SourceError::Refused(why),
    }
}

fn expect_length(answer: &Response, size: u64) -> Result<(), SourceError> {
    let length = answer.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length != size => Err(SourceError::Refused(format!(
            "it announced {length} bytes, and the catalog says {size}"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Checks that an answer is the part that was asked for.
fn expect_range(headers: &HeaderMap, range: &Range<u64>, size: u64) -> Result<(), SourceError> {
    let value = headers.get(header::CONTENT_RANGE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let parsed = || {
        let (part, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = part.split_once('-')?;
        let whole = match whole {
            "*" => None,
            whole => Some(whole.parse::<u64>().ok()?),
        };
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, whole))
    };
    let Some((first, last, whole)) = parsed() else {
        let why = "it answered with a part of the file and did not say which";
        return Err(SourceError::Refused(why.to_owned()));
    };
    if whole.is_some_and(|whole| whole != size) {
        let whole = whole.unwrap_or_default();
        return Err(SourceError::Refused(format!(
            "it has {whole} bytes, and the catalog says {size}"
        )));
    }
    if first != range.start || last < first || last >= range.end {
        return Err(SourceError::Refused(format!(
            "it answered with the bytes {first} to {last}, which nobody asked for"
        )));
    }
    Ok(())
}

/// A strong validator, where there is one.
fn validator(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(header::ETAG)?.to_str().ok()?;
    let strong = tag.starts_with('"') && tag.len() <= MAX_VALIDATOR_BYTES;
    strong.then(|| tag.to_owned())
}

/// What comes beyond a range is refused.
fn within(
    pieces: impl Stream<Item = Result<Bytes, SourceError>>,
    most: u64,
) -> impl Stream<Item = Result<Bytes, SourceError>> {
    let mut left = most;
    pieces.map(move |piece| {
        let piece = piece?;
        left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
            SourceError::Refused("it sent more than the part that was asked for".to_owned())
        })?;
        Ok(piece)
    })
}

/// What comes before a place is let go by.
fn skip(
    pieces: impl Stream<Item = Result<Bytes, SourceError>>,
    skipped: u64,
) -> impl Stream<Item = Result<Bytes, SourceError>> {
    let mut left = skipped;
    pieces.map_ok(move |mut piece| {
        let gone = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        left -= gone as u64;
        piece.split_off(gone)
    })
}

fn broken(error: reqwest::Error) -> SourceError {
    SourceError::Broken(with_causes(&error.without_url()))
}
