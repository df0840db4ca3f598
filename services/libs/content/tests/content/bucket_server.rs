//! An imitation of an S3-compatible store: as much of its protocol as a content store needs, and errors on demand.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use content::ContentStore;
use http::{HeaderMap, Method, StatusCode, header};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The key that it knows.
pub const KEY: &str = "AKIDHEADWATER";
pub const SECRET: &str = "not-to-be-seen-anywhere";
const BUCKET: &str = "updates";
/// Entries of a listing in one answer.
const PAGE: usize = 2;
/// Longest body of a request.
const MOST: usize = 16 << 20;
const MODIFIED: &str = "Sun, 01 Mar 2026 12:00:00 GMT";

#[derive(Default)]
struct Held {
    objects: BTreeMap<String, Bytes>,
    /// Uploads in parts that are neither completed nor given up: what for, and the parts.
    uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    /// What is answered instead: operation, status, and how often still.
    faults: Vec<(&'static str, u16, u32)>,
    /// Operations, in this order.
    log: Vec<&'static str>,
    begun: u32,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct BucketServer {
    held: Arc<Mutex<Held>>,
    url: String,
}

impl BucketServer {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            held: Arc::default(),
            url: format!("http://{}", listener.local_addr().unwrap()),
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        tokio_util::task::TaskTracker::new().spawn(serve);
        server
    }

    /// The settings of a content store in it, which keeps files on their way in a folder.
    pub fn place(&self, work: &Path) -> ContentStore {
        ContentStore::Bucket(Box::new(link::settings::Bucket {
            url: format!("s3://{BUCKET}/all/files"),
            endpoint: Some(self.url.clone()),
            region: None,
            access_key_id: KEY.to_owned(),
            secret_access_key: SECRET.into(),
            work: work.to_owned(),
        }))
    }

    /// Answers an operation so often with a status.
    pub fn fault(&self, operation: &'static str, status: u16, times: u32) {
        let mut held = self.held.lock().unwrap();
        held.faults.push((operation, status, times));
    }

    /// Does everything right again.
    pub fn heal(&self) {
        self.held.lock().unwrap().faults.clear();
    }

    /// Puts an object there.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let mut held = self.held.lock().unwrap();
        held.objects.insert(key.to_owned(), bytes.into());
    }

    /// The names of what is there.
    pub fn keys(&self) -> Vec<String> {
        self.held.lock().unwrap().objects.keys().cloned().collect()
    }

    /// Uploads that were begun and not ended.
    pub fn open_uploads(&self) -> usize {
        self.held.lock().unwrap().uploads.len()
    }

    /// The operations since the last look.
    pub fn operations(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.held.lock().unwrap().log)
    }
}

/// A value of the query of an address.
fn query(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut found = pairs.filter(|(found, _)| *found == name);
    let value = found.next()?.1;
    Some(value.replace("%2F", "/"))
}

fn operation(method: &Method, asked: &str) -> &'static str {
    let has = |name| query(asked, name).is_some();
    match (method.as_str(), has("uploadId")) {
        ("GET", _) if has("list-type") => "list",
        ("GET", _) => "get",
        ("HEAD", _) => "head",
        ("PUT", true) => "part",
        ("PUT", false) => "put",
        ("DELETE", true) => "abort",
        ("DELETE", false) => "delete",
        ("POST", true) => "complete",
        ("POST", false) if has("uploads") => "begin",
        _ => "unknown",
    }
}

fn respond(status: StatusCode, headers: &[(&str, String)], body: impl Into<Body>) -> Response {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, value);
    }
    answer.body(body.into()).unwrap()
}

fn refusal(status: u16) -> Response {
    let code = match status {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    respond(StatusCode::from_u16(status).unwrap(), &[], text)
}

fn is_signed(headers: &HeaderMap) -> bool {
    let authorization = headers.get(header::AUTHORIZATION);
    authorization.is_some_and(|value| {
        let value = value.to_str().unwrap();
        value.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY}/"))
            && value.contains("Signature=")
    })
}

async fn answer(State(server): State<BucketServer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MOST).await.unwrap();
    let asked = parts.uri.query().unwrap_or_default().to_owned();
    let operation = operation(&parts.method, &asked);
    let mut held = server.held.lock().unwrap();
    held.log.push(operation);
    let fault = held
        .faults
        .iter_mut()
        .find(|(what, _, times)| (*what == operation || *what == "any") && *times > 0);
    if let Some((_, status, times)) = fault {
        *times -= 1;
        return refusal(*status);
    }
    let path = parts.uri.path().strip_prefix('/').unwrap();
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    if bucket != BUCKET || !is_signed(&parts.headers) {
        return refusal(403);
    }
    held.serve(operation, key, &asked, &parts.headers, body)
}

impl Held {
    fn serve(
        &mut self,
        operation: &str,
        key: &str,
        asked: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        let tagged = || [("etag", "\"1\"".to_owned())];
        let upload = query(asked, "uploadId").unwrap_or_default();
        match operation {
            "get" | "head" => self.read(operation == "head", key, headers),
            "put" => {
                self.objects.insert(key.to_owned(), body);
                respond(StatusCode::OK, &tagged(), "")
            }
            "delete" => {
                self.objects.remove(key);
                respond(StatusCode::NO_CONTENT, &[], "")
            }
            "begin" => {
                self.begun += 1;
                let id = format!("upload{}", self.begun);
                let entry = (key.to_owned(), BTreeMap::new());
                self.uploads.insert(id.clone(), entry);
                let text = format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                respond(StatusCode::OK, &[], text)
            }
            "part" => {
                let number = query(asked, "partNumber").unwrap().parse().unwrap();
                match self.uploads.get_mut(&upload) {
                    Some((_, parts)) => {
                        parts.insert(number, body);
                        respond(StatusCode::OK, &tagged(), "")
                    }
                    None => refusal(404),
                }
            }
            "complete" => {
                let Some((key, parts)) = self.uploads.remove(&upload) else {
                    return refusal(404);
                };
                let parts: Vec<Bytes> = parts.into_values().collect();
                self.objects.insert(key, parts.concat().into());
                let text = "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>";
                respond(StatusCode::OK, &[], text)
            }
            "abort" => {
                self.uploads.remove(&upload);
                respond(StatusCode::NO_CONTENT, &[], "")
            }
            "list" => self.list(asked),
            _ => refusal(400),
        }
    }

    fn read(&self, head: bool, key: &str, headers: &HeaderMap) -> Response {
        let Some(object) = self.objects.get(key) else {
            return refusal(404);
        };
        let size = object.len();
        let mut told = vec![
            ("etag", "\"1\"".to_owned()),
            ("last-modified", MODIFIED.to_owned()),
        ];
        if head {
            told.push(("content-length", size.to_string()));
            return respond(StatusCode::OK, &told, "");
        }
        let Some(range) = headers.get(header::RANGE) else {
            return respond(StatusCode::OK, &told, object.clone());
        };
        let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let end = (last.parse::<usize>().unwrap() + 1).min(size);
        told.push(("content-range", format!("bytes {first}-{}/{size}", end - 1)));
        respond(StatusCode::PARTIAL_CONTENT, &told, object.slice(first..end))
    }

    fn list(&self, asked: &str) -> Response {
        let prefix = query(asked, "prefix").unwrap_or_default();
        let after = query(asked, "continuation-token").unwrap_or_default();
        let below = self.objects.iter();
        let below = below.filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let found: Vec<_> = below.collect();
        let mut text = String::from("<ListBucketResult>");
        for (key, bytes) in found.iter().take(PAGE) {
            let size = bytes.len();
            text += &format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size>\
                 <LastModified>2026-03-01T12:00:00.000Z</LastModified></Contents>"
            );
        }
        if let Some((last, _)) = found.get(PAGE - 1).filter(|_| found.len() > PAGE) {
            text += &format!("<NextContinuationToken>{last}</NextContinuationToken>");
        }
        respond(StatusCode::OK, &[], text + "</ListBucketResult>")
    }
}
