//! Where the content files of a document can be downloaded, and handing out those that there are.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as Segments, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use catalog::content::ContentId;
use catalog::document::Update;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wsus::message::FileUrl;

/// Addresses by SHA-1, as a package gives them.
pub(crate) type Addresses = HashMap<[u8; 20], String>;

/// The addresses of all files of `update`, each under its SHA-1 and, where known, under its SHA-256. A file
/// that has no address in `known` gets one of the form that Microsoft Update uses.
pub(super) fn file_urls(update: &Update, known: &Addresses) -> Vec<FileUrl> {
    let mut urls = Vec::new();
    let month = update.creation_date.strftime("%Y/%m").to_string();
    let files = update.files.iter();
    let files = files.map(|file| (file.sha1, file.sha256, file.name.as_str()));
    let licences = update.eula_files.iter();
    let licences = licences.map(|file| (file.sha1, file.sha256, file.name.as_str()));
    for (sha1, sha256, name) in files.chain(licences) {
        let address = match known.get(&sha1) {
            Some(address) => address.clone(),
            None => invented(&month, name, &sha1),
        };
        let digests = std::iter::once(sha1.to_vec()).chain(sha256.map(|sha256| sha256.to_vec()));
        urls.extend(digests.map(|digest| FileUrl {
            digest,
            mu_url: Some(address.clone()),
            uss_url: None,
        }));
    }
    urls
}

fn invented(month: &str, name: &str, sha1: &[u8; 20]) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "bin"));
    let digest: String = sha1.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "http://download.windowsupdate.com/c/msdownload/update/software/updt/{month}/{stem}_{digest}.{extension}"
    )
}

/// The content files in a folder that is laid out as that of WSUS (`XX/SHA1.ext`), by their SHA-1: the path below it.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn files_in(folder: &Path) -> io::Result<HashMap<[u8; 20], String>> {
    let mut found = HashMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let below = entry.file_name().to_string_lossy().into_owned();
        for file in std::fs::read_dir(entry.path())? {
            let name = file?.file_name().to_string_lossy().into_owned();
            let stem = name.split('.').next().unwrap_or_default();
            if let Ok(id) = stem.parse::<ContentId>() {
                found.insert(id.0, format!("{below}/{name}"));
            }
        }
    }
    Ok(found)
}

/// Hands the files of a folder out below `/Content`, with byte ranges.
pub(super) fn router(folder: PathBuf) -> Router {
    Router::new()
        .route("/Content/{below}/{name}", get(serve))
        .with_state(Arc::new(folder))
}

async fn serve(
    State(folder): State<Arc<PathBuf>>,
    Segments((below, name)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
    };
    if !is_name(&below) || !is_name(&name) || below.contains('.') {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(bytes) = tokio::fs::read(folder.join(below).join(name)).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let range = headers.get(header::RANGE);
    let range = range.and_then(|range| part_of(range.to_str().ok()?, bytes.len()));
    let Some((first, last)) = range else {
        return Body::from(bytes).into_response();
    };
    let whole = bytes.len();
    let part = bytes.get(first..=last).unwrap_or_default().to_vec();
    let told = [(
        header::CONTENT_RANGE,
        format!("bytes {first}-{last}/{whole}"),
    )];
    (StatusCode::PARTIAL_CONTENT, told, Body::from(part)).into_response()
}

/// First and last byte of one range of a file; none where it is not one that can be given.
fn part_of(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let end = length.checked_sub(1)?;
    let last = match last {
        "" => end,
        last => last.parse::<usize>().ok()?.min(end),
    };
    (first <= last).then_some((first, last))
}
