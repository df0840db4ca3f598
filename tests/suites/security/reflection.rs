//! What grpcurl does with a site: it lists the services and describes each from what reflection gives, with every
//! file that is referred to.

use crate::playground::Playground;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

async fn ask(channel: &Channel, message: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let answers = ServerReflectionClient::new(channel.clone())
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = answers.unwrap().into_inner().message().await;
    answer.unwrap().unwrap().message_response.unwrap()
}

/// Adds the files of an answer, and all that they refer to.
async fn add(
    channel: &Channel,
    message: MessageRequest,
    files: &mut BTreeMap<String, FileDescriptorProto>,
) {
    let mut wanted = vec![message];
    while let Some(message) = wanted.pop() {
        let asked = format!("{message:?}");
        let MessageResponse::FileDescriptorResponse(found) = ask(channel, message).await else {
            panic!("nothing for {asked}");
        };
        for file in found.file_descriptor_proto {
            let file = FileDescriptorProto::decode(file.as_slice()).unwrap();
            let referred = file.dependency.clone();
            files.insert(file.name().to_owned(), file);
            let missing = referred
                .into_iter()
                .filter(|name| !files.contains_key(name));
            wanted.extend(missing.map(MessageRequest::FileByFilename));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_listed_and_can_be_described() {
    let playground = Playground::start().await;
    let channel = playground.channel(None).await;
    let listed = ask(&channel, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else {
        panic!("no list");
    };
    let listed: Vec<String> = listed.service.into_iter().map(|one| one.name).collect();
    let ours = FileDescriptorSet::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    for service in ours.file.iter().flat_map(|file| &file.service) {
        let name = format!("headwater.v1.{}", service.name());
        assert!(listed.contains(&name), "{name} is not in {listed:?}");
    }
    for other in [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(listed.iter().any(|name| name == other), "{listed:?}");
    }
    for name in listed {
        let mut files = BTreeMap::new();
        let symbol = MessageRequest::FileContainingSymbol(name.clone());
        add(&channel, symbol, &mut files).await;
        // Every type that is named must be there, or this is refused.
        let mut pool = prost_reflect::DescriptorPool::new();
        let all = FileDescriptorSet {
            file: files.into_values().collect(),
        };
        pool.add_file_descriptor_set(all).unwrap();
        let service = pool.get_service_by_name(&name).unwrap();
        assert!(service.methods().len() > 0, "{name}");
    }
}
