//! Messages of proto3 as schemas of their JSON.

use super::comments::Comments;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The messages that are asked and answered with, and all that stands in them.
#[derive(Debug, Default)]
pub struct Schemas {
    /// By the name of the message; whether it is asked with.
    messages: BTreeMap<String, (MessageDescriptor, bool)>,
}

/// A reference to a schema of the document.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

impl Schemas {
    /// A message that is asked with; its name here.
    pub fn asked(&mut self, message: &MessageDescriptor) -> String {
        self.add(message, true)
    }

    /// A message that is answered with; its name here.
    pub fn answered(&mut self, message: &MessageDescriptor) -> String {
        self.add(message, false)
    }

    fn add(&mut self, message: &MessageDescriptor, asked: bool) -> String {
        let name = message.name().to_owned();
        if self.messages.contains_key(&name) {
            return name;
        }
        self.messages.insert(name.clone(), (message.clone(), asked));
        for field in message.fields() {
            // Whatever stands in it is one of the document, too.
            self.of_field(&field, asked);
        }
        name
    }

    /// The schema of a field.
    pub fn of_field(&mut self, field: &FieldDescriptor, asked: bool) -> Value {
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let value = self.of_kind(entry.map_entry_value_field().kind(), asked);
            return json!({ "type": "object", "additionalProperties": value });
        }
        let single = self.of_kind(field.kind(), asked);
        match field.is_list() {
            true => json!({ "type": "array", "items": single }),
            false => single,
        }
    }

    fn of_kind(&mut self, kind: Kind, asked: bool) -> Value {
        match kind {
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX })
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$" })
            }
            Kind::Uint64 | Kind::Fixed64 => {
                json!({ "type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$" })
            }
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(of) => enumeration(&of),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                _ => reference(&self.add(&message, asked)),
            },
        }
    }

    /// All of them, with what the proto files say.
    pub fn described(mut self, comments: &mut Comments) -> Map<String, Value> {
        let all: Vec<_> = self.messages.values().cloned().collect();
        let described = all.into_iter().map(|(message, asked)| {
            let schema = self.message(&message, asked, comments);
            (message.name().to_owned(), schema)
        });
        described.collect()
    }

    fn message(
        &mut self,
        message: &MessageDescriptor,
        asked: bool,
        comments: &mut Comments,
    ) -> Value {
        let file = message.parent_file();
        let (mut properties, mut always) = (Map::new(), Vec::new());
        for field in message.fields() {
            let mut property = self.of_field(&field, asked);
            if asked {
                or_null(&mut property);
            }
            let said = comments.of(&file, field.path());
            if let (Some(said), Some(property)) = (said, property.as_object_mut()) {
                property.insert("description".to_owned(), said.into());
            }
            properties.insert(field.json_name().to_owned(), property);
            if field.is_list() || !field.supports_presence() {
                always.push(field.json_name().to_owned());
            }
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        if asked {
            schema["additionalProperties"] = false.into();
        } else if !always.is_empty() {
            schema["required"] = always.into();
        }
        if let Some(said) = comments.of(&file, message.path()) {
            schema["description"] = said.into();
        }
        schema
    }
}

/// In a request, null is the same as a field that is not there, and a 64-bit number may be written as one.
fn or_null(property: &mut Value) {
    let wide = property["format"]
        .as_str()
        .is_some_and(|of| of.ends_with("int64"));
    match &mut property["type"] {
        Value::String(kind) if wide => {
            property["type"] = json!([kind.clone(), "integer", "null"]);
        }
        Value::String(kind) => property["type"] = json!([kind.clone(), "null"]),
        // A reference: the message, or nothing.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            if let Some(property) = property.as_object_mut() {
                property.remove("type");
            }
            let message = property.take();
            *property = json!({ "anyOf": [message, { "type": "null" }] });
        }
    }
    if let Some(Value::Array(names)) = property.get_mut("enum") {
        names.push(Value::Null);
    }
}

fn enumeration(of: &EnumDescriptor) -> Value {
    let names: Vec<String> = of.values().map(|value| value.name().to_owned()).collect();
    json!({ "type": "string", "enum": names })
}
