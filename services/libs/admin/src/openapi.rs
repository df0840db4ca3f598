//! The OpenAPI description of the JSON form ([`crate::json`]), made from the same descriptors: what the proto files
//! say about a call, a message or a field is its description here.

mod comments;
mod schema;

use crate::json::{CODES, Methods, NDJSON, PREFIX, fits};
use comments::Comments;
use prost_reflect::{MethodDescriptor, ServiceDescriptor};
use schema::Schemas;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What the document says of the whole.
const ABOUT: &str = "What a site of the hierarchy tells, read-only. Every site that listens serves this: it shows \
itself and what is below it; what only the top-level site knows is refused elsewhere with the site to ask.

Each call is the gRPC call of the same name, in the JSON form of proto3: 64-bit numbers are strings, times are RFC \
3339, bytes (identifiers of runs, of the hierarchy and of epochs; digests) are base64, and names are in \
lowerCamelCase; those of the proto files are taken as well. A query takes an identifier as a UUID, too. Fields without a value are there, empty, except single \
messages. A request field that does not exist is refused. Answers may get more fields in later versions.

A call that goes on telling answers with lines of JSON, a message a line; where it fails after it began, the last line \
is a Problem.

What changes anything is called by gRPC on the same port; reflection describes it.";

/// Where an access token comes from.
const ABOUT_TOKENS: &str = "An access token of the site that is asked, with the role viewer or more: \
`Authorization: Bearer hwa1.…`. One that may do everything is the `token` in the file admin-credential.json in the \
site's data directory, which its owner alone may read.";

/// What a refusal looks like.
const ABOUT_PROBLEMS: &str = "The call was refused, or failed.";

/// The description of what `methods` serve.
pub(crate) fn document(methods: &Methods) -> Value {
    let mut comments = Comments::default();
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    let mut services: BTreeMap<String, ServiceDescriptor> = BTreeMap::new();
    for (name, method) in methods {
        let service = method.parent_service();
        let operations = operations(method, &mut schemas, &mut comments);
        paths.insert(format!("{PREFIX}{name}"), operations);
        services.insert(service.name().to_owned(), service.clone());
    }
    let tags: Vec<Value> = services
        .into_iter()
        .map(|(name, service)| {
            let description = comments.of(&service.parent_file(), service.path());
            json!({ "name": name, "description": description })
        })
        .collect();
    let mut components = schemas.described(&mut comments);
    components.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Headwater",
            "version": link::VERSION,
            "description": ABOUT,
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/", "description": "The site that this document comes from." }],
        "security": [{ "accessToken": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "accessToken": { "type": "http", "scheme": "bearer", "description": ABOUT_TOKENS },
            },
            "schemas": components,
            "responses": {
                "Problem": {
                    "description": ABOUT_PROBLEMS,
                    "content": content("Problem"),
                },
            },
        },
    })
}

/// The GET and the POST of a method. What does not fit into a query is only in the POST.
fn operations(method: &MethodDescriptor, schemas: &mut Schemas, comments: &mut Comments) -> Value {
    let (input, output) = (method.input(), method.output());
    let asked = schemas.asked(&input);
    let answered = schemas.answered(&output);
    let file = method.parent_file();
    let parameters: Vec<Value> = input
        .fields()
        .filter(fits)
        .map(|field| {
            let mut parameter = json!({
                "name": field.json_name(),
                "in": "query",
                "required": false,
                "schema": schemas.of_field(&field, true),
            });
            let said = comments.of(&field.parent_message().parent_file(), field.path());
            if let (Some(said), Some(parameter)) = (said, parameter.as_object_mut()) {
                parameter.insert("description".to_owned(), said.into());
            }
            parameter
        })
        .collect();
    let said = comments.of(&file, method.path()).unwrap_or_default();
    let service = method.parent_service().name().to_owned();
    let operation = |suffix: &str| {
        json!({
            "operationId": format!("{service}_{}{suffix}", method.name()),
            "tags": [service],
            "summary": method.name(),
            "description": said,
            "responses": responses(&answered, method.is_server_streaming()),
        })
    };
    let (mut get, mut post) = (operation(""), operation("_post"));
    get["parameters"] = parameters.into();
    post["requestBody"] = json!({ "required": false, "content": content(&asked) });
    json!({ "get": get, "post": post })
}

fn content(schema: &str) -> Value {
    json!({ "application/json": { "schema": schema::reference(schema) } })
}

fn responses(answered: &str, is_stream: bool) -> Value {
    let refused = || json!({ "$ref": "#/components/responses/Problem" });
    let answer = match is_stream {
        true => json!({
            "description": "The answers, a line each.",
            "content": { NDJSON: { "schema": schema::reference(answered) } },
        }),
        false => json!({ "description": "The answer.", "content": content(answered) }),
    };
    json!({
        "200": answer,
        "400": refused(),
        "401": refused(),
        "403": refused(),
        "404": refused(),
        "default": refused(),
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why a call was refused or failed.",
        "properties": {
            "code": { "type": "string", "enum": CODES, "description": "The status of gRPC." },
            "message": { "type": "string", "description": "For people: what was wrong, and what to do." },
        },
        "required": ["code", "message"],
    })
}

#[cfg(test)]
mod tests;
