//! Packages of updates that the upstream does not have, and taking them in.

use catalog::document::{self, Update};
use catalog::{RevisionId, UpdateId};
use std::io::Cursor;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use upstream::generator::{Generator, GeneratorSettings};
use uuid::Uuid;
use wire::v1::import_package_response::Message;
use wire::v1::package_service_client::PackageServiceClient;
use wire::v1::{ImportPackageRequest, ImportReport, OfferPackageRequest, UploadPackageRequest};
use wsus::package::{PackageInfo, PackageUpdate, Scratch, Writer};

/// Updates in a package.
const UPDATES: u32 = 8;
/// Added to the seed of a run: no upstream has these updates.
pub const ELSEWHERE: u64 = 1 << 40;

/// The updates of a package, each behind what it bundles.
pub fn documents(seed: u64) -> Vec<(RevisionId, String)> {
    let settings = GeneratorSettings {
        seed,
        updates: UPDATES,
    };
    let generator = Generator::new(settings);
    let recipes = generator.recipes();
    let updates = recipes.filter(|recipe| !generator.is_configuration(recipe));
    updates
        .map(|recipe| (generator.id(&recipe), generator.document(&recipe)))
        .collect()
}

/// A package of `wsusutil export`.
pub fn of(seed: u64) -> anyhow::Result<Vec<u8>> {
    let scratch = Scratch {
        files: Cursor::new(Vec::new()),
        updates: Cursor::new(Vec::new()),
        documents: Cursor::new(Vec::new()),
    };
    let info = PackageInfo::of_all_languages(Uuid::from_u128(1), jiff::Timestamp::UNIX_EPOCH);
    let mut writer = Writer::new(info, scratch);
    for (id, document) in documents(seed) {
        let update: Update = document::parse(&document)?;
        let listed = PackageUpdate {
            id,
            file_digests: update.files.iter().map(|file| file.sha1).collect(),
            categories: Vec::<UpdateId>::new(),
            classifications: Vec::new(),
        };
        writer.add(&listed, &[], &document)?;
    }
    Ok(writer.finish(Cursor::new(Vec::new()))?.into_inner())
}

/// Has a top-level site take in a package that nothing proves.
pub async fn import<T>(client: &mut PackageServiceClient<T>, package: Vec<u8>) -> anyhow::Result<()>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let request = ImportPackageRequest {
        digest: upload(client, &package).await?,
        name: "updates.cab".to_owned(),
        trust: true,
        ..ImportPackageRequest::default()
    };
    take_in(client, request).await.map(drop)
}

/// Uploads what a top-level site does not have of a package; its digest.
pub async fn upload<T>(
    client: &mut PackageServiceClient<T>,
    package: &[u8],
) -> anyhow::Result<Vec<u8>>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let digest = blake3::hash(package).as_bytes().to_vec();
    let size = package.len() as u64;
    let offer = OfferPackageRequest {
        digest: digest.clone(),
        size,
    };
    let held = client.offer_package(offer).await?.into_inner().held;
    let rest = package.get(usize::try_from(held)?..).unwrap_or_default();
    let mut offset = held;
    let mut pieces = Vec::new();
    for piece in rest.chunks(64 << 10) {
        pieces.push(UploadPackageRequest {
            digest: digest.clone(),
            offset,
            data: piece.to_vec().into(),
        });
        offset += piece.len() as u64;
    }
    client.upload_package(tokio_stream::iter(pieces)).await?;
    Ok(digest)
}

/// Has a package taken in that was uploaded.
pub async fn take_in<T>(
    client: &mut PackageServiceClient<T>,
    request: ImportPackageRequest,
) -> anyhow::Result<ImportReport>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let mut told = client.import_package(request).await?.into_inner();
    while let Some(told) = told.message().await? {
        if let Some(Message::Report(report)) = told.message {
            return Ok(report);
        }
    }
    anyhow::bail!("no report came")
}
