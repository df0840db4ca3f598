//! The fields of a request from the query of an address.

use super::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};
use tonic::Code;
use uuid::Uuid;

/// Most fields that are looked at.
const MOST_FIELDS: usize = 1000;
/// Most of a name that nobody knows that is repeated, in characters.
const MOST_REPEATED: usize = 60;
/// The one message that is written as a word.
const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// Whether a field can stand in a query: a single value that is written as one word, or several of them.
pub fn fits(field: &FieldDescriptor) -> bool {
    if field.is_map() {
        return false;
    }
    match field.kind() {
        Kind::Message(message) => message.full_name() == TIMESTAMP,
        Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64
        | Kind::Bool
        | Kind::String
        | Kind::Bytes
        | Kind::Enum(_) => true,
    }
}

/// The request that a query asks with. A field may be named as in the proto file or as in JSON; one that takes
/// several values is repeated.
///
/// # Errors
/// When a field is not known, is there twice, or has a value that it cannot have.
pub fn message(input: MessageDescriptor, query: &str) -> Result<DynamicMessage, Problem> {
    let mut fields: Map<String, Value> = Map::new();
    for (count, (name, text)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        if count == MOST_FIELDS {
            return Err(refuse(format!(
                "the query has more than {MOST_FIELDS} fields"
            )));
        }
        let field = input
            .get_field_by_json_name(&name)
            .or_else(|| input.get_field_by_name(&name))
            .ok_or_else(|| refuse(unknown(&input, &name)))?;
        let name = field.json_name().to_owned();
        if !fits(&field) {
            let what = format!("{name} does not fit into a query: POST the request as JSON");
            return Err(refuse(what));
        }
        let value = value(&field, &text)?;
        if field.is_list() {
            let list = fields.entry(name).or_insert_with(|| Value::Array(vec![]));
            if let Value::Array(values) = list {
                values.push(value);
            }
        } else if fields.insert(name.clone(), value).is_some() {
            return Err(refuse(format!("{name} is there twice")));
        }
    }
    // One at a time, so that the field that is wrong can be named.
    let mut message = DynamicMessage::new(input.clone());
    for (name, value) in fields {
        let single = Value::Object(Map::from_iter([(name.clone(), value)]));
        let part = DynamicMessage::deserialize(input.clone(), single);
        let part = part.map_err(|error| refuse(format!("{name} cannot be that: {error}")))?;
        for (field, value) in part.fields() {
            message.set_field(&field, value.clone());
        }
    }
    Ok(message)
}

/// What stands in a query, as JSON has it: numbers may be words there, true and false may not.
/// An identifier may be written as people see it.
fn value(field: &FieldDescriptor, text: &str) -> Result<Value, Problem> {
    if field.kind() == Kind::Bytes
        && text.len() == uuid::fmt::Hyphenated::LENGTH
        && let Ok(id) = Uuid::try_parse(text)
    {
        return Ok(Value::String(STANDARD.encode(id.as_bytes())));
    }
    if field.kind() != Kind::Bool {
        return Ok(Value::String(text.to_owned()));
    }
    match text {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        _ => {
            let name = field.json_name();
            Err(refuse(format!("{name} cannot be that: true or false")))
        }
    }
}

fn unknown(input: &MessageDescriptor, name: &str) -> String {
    let short: String = name.chars().take(MOST_REPEATED).collect();
    let names: Vec<String> = input
        .fields()
        .map(|field| field.json_name().to_owned())
        .collect();
    match names.as_slice() {
        [] => format!("there is no field {short:?}: this call takes none"),
        names => format!(
            "there is no field {short:?}; there are {}",
            names.join(", ")
        ),
    }
}

fn refuse(message: String) -> Problem {
    Problem::new(Code::InvalidArgument, message)
}
