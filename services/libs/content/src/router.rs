//! Content files over HTTP, as WSUS serves them: `/Content/XX/NAME`, with `HEAD` and byte ranges.

use crate::CHUNK;
use crate::plane::Content;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use catalog::content::{ContentFile, ContentId};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Folder of the content files, as WSUS calls it.
const ROOT: &str = "Content";
/// What a content file is served as.
const CONTENT_TYPE: &str = "application/octet-stream";

/// Files that are being sent at the same time, to all who ask. The next ones are told to come back.
pub const MOST_SERVED: usize = 64;
/// After how many seconds they may.
const COME_BACK: &str = "10";
/// Bytes that are sent at once.
const SENT: usize = 64 << 10;
/// How long so many of them may wait for who asked for it to take it, so that who takes nothing keeps nobody's place.
const SLOWEST_PART: Duration = Duration::from_secs(120);

/// The content of a site, and who is being served. Cheap to clone.
#[derive(Clone)]
struct Served {
    content: Content,
    places: Arc<Semaphore>,
    /// Tasks that give places back.
    keepers: TaskTracker,
    slowest_part: Duration,
}

/// A place among those who are served, until this is dropped, or they take nothing for too long.
struct Place {
    /// Told with each part that is taken.
    taken: watch::Sender<()>,
    lost: CancellationToken,
}

/// Why sending a file ended before its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("nothing of it was taken for too long")]
    NotTaken,
    #[error(transparent)]
    Content(#[from] crate::plane::Error),
}

impl Served {
    /// A place, where there is one.
    fn place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (taken, mut told) = watch::channel(());
        let lost = CancellationToken::new();
        let (slowest, giving_up) = (self.slowest_part, lost.clone());
        // A stream that nobody takes anything of is not polled: its place is given back by the clock.
        self.keepers.spawn(async move {
            let _permit = permit;
            while let Ok(changed) = tokio::time::timeout(slowest, told.changed()).await {
                if changed.is_err() {
                    return;
                }
            }
            giving_up.cancel();
        });
        Some(Place { taken, lost })
    }
}

/// The content of a site below `/Content`, in any case and with slashes doubled anywhere, as WSUS servers ask.
pub fn router(content: Content) -> Router {
    router_with(content, MOST_SERVED, SLOWEST_PART)
}

/// The same with other bounds: of files that are sent at the same time, and of how long a part of one may wait to be
/// taken.
pub fn router_with(content: Content, most: usize, slowest_part: Duration) -> Router {
    let served = Served {
        content,
        places: Arc::new(Semaphore::new(most)),
        keepers: TaskTracker::new(),
        slowest_part,
    };
    Router::new().fallback(serve).with_state(served)
}

async fn serve(
    State(served): State<Served>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    let parts = uri.path().split('/').filter(|part| !part.is_empty());
    match parts.collect::<Vec<_>>().as_slice() {
        [root, folder, name] if root.eq_ignore_ascii_case(ROOT) => {
            answer(&served, folder, name, &method, &headers).await
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The answer to a request for the file `name` in `folder`, in whatever case they are written.
async fn answer(
    served: &Served,
    folder: &str,
    name: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    // As WSUS on IIS: a name without an extension is forbidden, whatever it is.
    let Some((stem, _)) = name.split_once('.') else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let Ok(id) = stem.parse::<ContentId>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let row = match served.content.present(id).await {
        Ok(row) => row,
        Err(error) => {
            tracing::error!(%error, "a content file could not be served");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let here = row.filter(|row| row.file.folder().eq_ignore_ascii_case(folder));
    let Some(row) = here else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let file = row.file;
    let tag = format!("\"{id}\"");
    let is_tag = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.is_some_and(|value| value.as_bytes() == tag.as_bytes())
    };
    if is_tag(header::IF_NONE_MATCH) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let same = !headers.contains_key(header::IF_RANGE) || is_tag(header::IF_RANGE);
    let asked = headers
        .get(header::RANGE)
        .filter(|_| same && method == Method::GET);
    let part = match asked.map(|value| range(value, file.size)) {
        None | Some(Asked::Everything) => None,
        Some(Asked::Part(part)) => Some(part),
        Some(Asked::Nothing) => {
            let all = format!("bytes */{}", file.size);
            let headers = [(header::CONTENT_RANGE, all)];
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        }
    };
    let place = match *method {
        Method::HEAD => None,
        _ => match served.place() {
            Some(place) => Some(place),
            None => {
                let later = [(header::RETRY_AFTER, COME_BACK)];
                return (StatusCode::SERVICE_UNAVAILABLE, later).into_response();
            }
        },
    };
    let (status, bytes) = match &part {
        Some(part) => (StatusCode::PARTIAL_CONTENT, part.clone()),
        None => (StatusCode::OK, 0..file.size),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, CONTENT_TYPE)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, tag)
        .header(header::CONTENT_LENGTH, bytes.end - bytes.start);
    if let Some(since) = row.present_since {
        let since = since.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response = response.header(header::LAST_MODIFIED, since);
    }
    if part.is_some() {
        let (last, size) = (bytes.end - 1, file.size);
        let range = format!("bytes {}-{last}/{size}", bytes.start);
        response = response.header(header::CONTENT_RANGE, range);
    }
    let body = match place {
        None => Body::empty(),
        Some(place) => body(served.content.clone(), place, file, bytes),
    };
    let response = response.body(body);
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Bytes of a file, read as they are taken.
fn body(content: Content, place: Place, file: ContentFile, bytes: Range<u64>) -> Body {
    let state = (content, place, file, bytes, Bytes::new());
    Body::from_stream(futures::stream::try_unfold(
        state,
        |(content, place, file, bytes, mut read)| async move {
            if bytes.is_empty() && read.is_empty() {
                return Ok(None);
            }
            if place.lost.is_cancelled() {
                return Err(Broken::NotTaken);
            }
            place.taken.send_replace(());
            let mut rest = bytes.clone();
            if read.is_empty() {
                let most = (bytes.end - bytes.start).min(CHUNK);
                read = content.read(&file, bytes.start, most).await?;
                rest.start += read.len() as u64;
            }
            let sent = read.split_to(read.len().min(SENT));
            Ok(Some((sent, (content, place, file, rest, read))))
        },
    ))
}

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// It is none that is understood, or several: all of the file is an answer to these.
    Everything,
    /// Some bytes of it.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Nothing,
}

/// What a header asks of a file of this size (RFC 9110, section 14).
fn range(value: &HeaderValue, size: u64) -> Asked {
    let asked = || {
        let (unit, set) = value.to_str().ok()?.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        let digits = |text: &str| {
            let number = text.bytes().all(|byte| byte.is_ascii_digit());
            (number && !text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
        };
        match (first, last) {
            ("", last) => {
                let length: u64 = digits(last)?;
                Some(size.saturating_sub(length)..size)
            }
            (first, "") => Some(digits(first)?..size),
            (first, last) => {
                let (first, last) = (digits(first)?, digits(last)?);
                (first <= last).then(|| first..last.saturating_add(1).min(size))
            }
        }
    };
    match asked() {
        None => Asked::Everything,
        Some(part) if part.is_empty() => Asked::Nothing,
        Some(part) => Asked::Part(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_and_anything_else_gets_everything() {
        for (value, asked) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=0-99", Asked::Part(0..10)),
            ("bytes=5-", Asked::Part(5..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-30", Asked::Part(0..10)),
            ("Bytes=9-9", Asked::Part(9..10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=99-100", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=99999999999999999999-", Asked::Nothing),
            ("bytes=0-99999999999999999999", Asked::Part(0..10)),
            ("bytes=5-4", Asked::Everything),
            ("bytes=0-1,3-4", Asked::Everything),
            ("bytes=+1-2", Asked::Everything),
            ("bytes=-", Asked::Everything),
            ("lines=0-1", Asked::Everything),
            ("bytes", Asked::Everything),
        ] {
            let header = HeaderValue::from_static(value);
            assert_eq!(range(&header, 10), asked, "{value}");
        }
        let header = HeaderValue::from_static("bytes=0-0");
        assert_eq!(range(&header, 0), Asked::Nothing);
    }
}
