//! The RPCs that only read, as JSON over HTTP: `GET /api/v1/<service>/<method>` with the request's fields in the
//! query, or `POST` with the request as JSON, and `GET /api/v1/openapi.json`, which describes them. What a stream
//! tells comes as lines of JSON, a message a line.
//!
//! A call becomes the call of the very same service in this process, with the access token that came with it: who
//! may ask, what is refused and in which words is decided there and nowhere else. Which methods there are is read
//! from the descriptors: those that the proto files mark `NO_SIDE_EFFECTS`.

mod lines;
mod problem;
mod query;
mod raw;

use crate::openapi;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
pub(crate) use lines::NDJSON;
use link::peer::Peer;
pub(crate) use problem::CODES;
use problem::Problem;
use prost::Message as _;
use prost::bytes::Bytes;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
};
pub(crate) use query::fits;
use raw::Raw;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;
use tonic::service::Routes;
use trust::PersonCertificate;

/// Where all of this is served.
pub const PREFIX: &str = "/api/v1/";
/// Where the description is.
const OPENAPI: &str = "openapi.json";
/// Longest request that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest answer of an RPC that is turned into JSON, in bytes. The RPCs bound their answers themselves, below this.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How long reading a request and answering it may take together; of a stream, until it begins.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no JSON form.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The descriptors are built in and well-formed; this would be a mistake in the build.
    #[error("the descriptors of the RPCs cannot be read")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// The description could not be written.
    #[error("the OpenAPI document cannot be written")]
    Document(#[from] serde_json::Error),
}

/// The methods that are served, by `<service>/<method>`.
pub(crate) type Methods = BTreeMap<String, MethodDescriptor>;

struct Inner {
    pool: DescriptorPool,
    methods: Methods,
    services: Routes,
    document: axum::body::Bytes,
}

/// The router of the JSON form, which calls `services`.
///
/// # Errors
/// When the descriptors cannot be read.
pub fn router(services: Routes) -> Result<Router, Error> {
    let pool = DescriptorPool::decode(wire::FILE_DESCRIPTOR_SET)?;
    let methods = methods(&pool);
    let document = serde_json::to_vec(&openapi::document(&methods))?.into();
    let inner = Arc::new(Inner {
        pool,
        methods,
        services,
        document,
    });
    let serve = move |request: Request<Body>| {
        let inner = Arc::clone(&inner);
        async move { inner.serve(request).await }
    };
    Ok(Router::new().route(&format!("{PREFIX}{{*path}}"), any(serve)))
}

/// The methods that only read.
pub(crate) fn methods(pool: &DescriptorPool) -> Methods {
    let methods = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .filter(|method| only_reads(method) && !method.is_client_streaming())
        .map(|method| (name_of(&method), method))
        .collect()
}

fn name_of(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().name(), method.name())
}

fn only_reads(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
}

impl Inner {
    async fn serve(&self, request: Request<Body>) -> Response {
        let answered = tokio::time::timeout(PATIENCE, self.answer(request)).await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(problem)) => problem.into_response(),
            Err(_) => Problem::new(
                Code::DeadlineExceeded,
                format!("no answer within {} seconds: try again", PATIENCE.as_secs()),
            )
            .into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(HeaderName::from_static("x-content-type-options"), nosniff);
        response
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        if path == OPENAPI {
            return match reads {
                true => Ok(json(self.document.clone().into())),
                false => Err(Problem::method_not_allowed("GET, HEAD", path)),
            };
        }
        let method = self.method(path)?;
        let query = parts.uri.query().unwrap_or_default();
        let message = if reads {
            query::message(method.input(), query)?
        } else if parts.method == Method::POST {
            if !query.is_empty() {
                let what = "a POST takes its fields in the body, as JSON, and none in the query";
                return Err(Problem::new(Code::InvalidArgument, what));
            }
            let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await;
            let body = body.map_err(|_| Problem::too_large(MAX_BODY_BYTES))?;
            from_json(method, &body)?
        } else {
            return Err(Problem::method_not_allowed("GET, HEAD, POST", path));
        };
        let peer = parts.extensions.get::<Peer>().cloned();
        let person = parts.extensions.get::<PersonCertificate>().cloned();
        self.call(method, message, &parts.headers, (peer, person))
            .await
    }

    /// The method that a path names, or why it is not served.
    fn method(&self, path: &str) -> Result<&MethodDescriptor, Problem> {
        if let Some(method) = self.methods.get(path) {
            return Ok(method);
        }
        let known = self.pool.services().flat_map(|service| {
            let methods = service.methods();
            methods.collect::<Vec<_>>()
        });
        let mut named = known.filter(|method| name_of(method) == path);
        let why = match named.next() {
            Some(_) => format!("{path} does more than read: call it by gRPC"),
            None => format!("there is no such call; {PREFIX}{OPENAPI} lists them"),
        };
        Err(Problem::new(Code::NotFound, why))
    }

    /// Calls the service as a gRPC client would, and writes what it says as JSON.
    async fn call(
        &self,
        method: &MethodDescriptor,
        message: DynamicMessage,
        headers: &HeaderMap,
        (peer, person): (Option<Peer>, Option<PersonCertificate>),
    ) -> Result<Response, Problem> {
        let mut request = tonic::Request::new(message.encode_to_vec());
        let token = headers.get(header::AUTHORIZATION);
        let token = token.and_then(|token| token.to_str().ok()?.parse().ok());
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token);
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        if let Some(person) = person {
            request.extensions_mut().insert(person);
        }
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path = path.parse().map_err(|_| Problem::ours("a path"))?;
        let mut client = tonic::client::Grpc::new(self.services.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        // Routes in this process are always ready.
        client.ready().await.unwrap_or_else(|never| match never {});
        if method.is_server_streaming() {
            let answers = client.server_streaming(request, path, Raw).await?;
            return Ok(lines::response(method.output(), answers.into_inner()));
        }
        let answer = client.unary(request, path, Raw).await?.into_inner();
        Ok(json(encoded(method.output(), answer)?.into()))
    }
}

/// A request from the JSON of a body; an empty one asks with nothing set.
fn from_json(method: &MethodDescriptor, body: &[u8]) -> Result<DynamicMessage, Problem> {
    let input = method.input();
    if body.trim_ascii().is_empty() {
        return Ok(DynamicMessage::new(input));
    }
    let name = input.name().to_owned();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = DynamicMessage::deserialize(input, &mut json);
    let read = read.and_then(|message| json.end().map(|()| message));
    read.map_err(|error| {
        let what = format!("the body is no {name} in JSON: {error}");
        Problem::new(Code::InvalidArgument, what)
    })
}

/// An encoded message in JSON.
fn encoded(kind: MessageDescriptor, message: Bytes) -> Result<Vec<u8>, Problem> {
    let message = DynamicMessage::decode(kind, message).map_err(|_| Problem::ours("the answer"))?;
    to_json(&message)
}

/// Canonical JSON of proto3, with fields that have no presence always in it: a script finds an empty list where
/// there is nothing, and not nothing.
fn to_json(message: &DynamicMessage) -> Result<Vec<u8>, Problem> {
    let mut json = serde_json::Serializer::new(Vec::new());
    let options = SerializeOptions::new().skip_default_fields(false);
    message
        .serialize_with_options(&mut json, &options)
        .map_err(|_| Problem::ours("the answer"))?;
    Ok(json.into_inner())
}

fn json(body: Body) -> Response {
    let kind = HeaderValue::from_static("application/json");
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
}

#[cfg(test)]
mod tests;
