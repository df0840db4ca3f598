use super::*;
use prost_reflect::DescriptorPool;
use std::collections::BTreeSet;

fn made() -> Value {
    let pool = DescriptorPool::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    document(&crate::json::methods(&pool))
}

/// Calls `look` with every object of the document.
fn every_object(value: &Value, look: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            look(map);
            map.values().for_each(|value| every_object(value, look));
        }
        Value::Array(values) => values.iter().for_each(|value| every_object(value, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_referred_to() {
    let document = made();
    let mut referred = BTreeSet::new();
    every_object(&document, &mut |map| {
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            referred.insert(reference.to_owned());
        }
    });
    for name in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(
            referred.contains(&format!("#/components/schemas/{name}")),
            "{name}"
        );
    }
}

#[test]
fn every_call_is_there_once_as_get_and_as_post() {
    let document = made();
    let mut ids = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with("/api/v1/"), "{path}");
        for method in ["get", "post"] {
            let id = operations[method]["operationId"].as_str().unwrap();
            let said = operations[method]["description"].as_str().unwrap();
            assert!(!said.is_empty(), "{id} has no comment in its proto file");
            ids.push(id.to_owned());
        }
    }
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    assert!(ids.contains(&"CatalogService_ListUpdates_post".to_owned()));
}

#[test]
fn a_call_that_goes_on_telling_is_described_as_lines() {
    let document = made();
    let answer = |path: &str| {
        let operation = &document["paths"][format!("/api/v1/{path}")]["get"];
        let content = operation["responses"]["200"]["content"].as_object();
        content.unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(answer("RunService/WatchRun"), ["application/x-ndjson"]);
    assert_eq!(answer("RunService/GetRun"), ["application/json"]);
}

#[test]
fn the_comments_of_the_proto_files_are_the_descriptions() {
    let document = made();
    let schemas = &document["components"]["schemas"];
    let said = |pointer: &str| schemas.pointer(pointer).unwrap()["description"].clone();
    assert_eq!(
        said("/ListUpdatesRequest/properties/text"),
        "Part of the title, or a KB number, or a CVE identifier that begins with \"CVE-\"; empty means all."
    );
    // Over two lines there, one here.
    let sequence = said("/SiteReport/properties/statement");
    assert!(
        sequence
            .as_str()
            .unwrap()
            .contains("it was restored from a backup"),
        "{sequence}"
    );
    let list = &document["paths"]["/api/v1/CatalogService/ListUpdates"]["get"];
    assert_eq!(list["parameters"][0]["name"], "text");
    assert_eq!(list["tags"][0], "CatalogService");
}

#[test]
fn a_schema_is_what_the_json_of_proto3_is() {
    let schemas = made()["components"]["schemas"].clone();
    let report = &schemas["SiteReport"]["properties"];
    assert_eq!(report["position"]["format"], "uint64");
    assert_eq!(report["epoch"]["contentEncoding"], "base64");
    assert_eq!(report["reported"]["format"], "date-time");
    assert_eq!(report["failedInARow"]["maximum"], u32::MAX);
    assert_eq!(report["run"]["$ref"], "#/components/schemas/RunReport");
    let always = schemas["SiteReport"]["required"].as_array().unwrap();
    assert!(always.contains(&"position".into()) && !always.contains(&"run".into()));
    assert_eq!(schemas["ListUpdatesRequest"]["additionalProperties"], false);
    let asked = &schemas["GetSettingsRequest"]["properties"]["version"];
    let either = serde_json::json!(["string", "integer", "null"]);
    assert_eq!(asked["type"], either);
    assert_eq!(
        schemas["Decision"]["properties"]["approval"]["type"],
        "string"
    );
}
