//! A bucket of an S3-compatible store, with the names that a directory would have.

use crate::blocking::blocking;
use bytes::Bytes;
use catalog::content::{ContentFile, ContentId};
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, RetryConfig, WriteMultipart};
use secrecy::ExposeSecret as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a part of an upload. A store takes 10,000 parts: files of up to 80 GB.
const PART: usize = 8 << 20;
/// Parts that are under way at the same time.
const PARTS_AT_ONCE: usize = 4;

/// How often a request is sent again that the store could not serve, and how long that may take: fetching a file is
/// tried again later as a whole.
const MOST_RETRIES: usize = 4;
const RETRIED_FOR: Duration = Duration::from_secs(60);

/// A bucket that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Its address.
    #[error("{0:?} is no bucket: use s3://bucket or s3://bucket/prefix")]
    Address(String),
    /// The rest.
    #[error("the content bucket {url} cannot be used: {reason}")]
    Settings {
        /// Its address.
        url: String,
        /// Why. Holds no key.
        reason: String,
    },
}

#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    name: String,
}

impl Bucket {
    pub fn open(settings: &link::settings::Bucket) -> Result<Self, BucketError> {
        let bad = || BucketError::Address(settings.url.clone());
        let rest = settings.url.strip_prefix("s3://").ok_or_else(bad)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.contains(['@', ':', '?', '#']) {
            return Err(bad());
        }
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(settings.region.as_deref().unwrap_or("us-east-1"))
            .with_access_key_id(&settings.access_key_id)
            .with_secret_access_key(settings.secret_access_key.expose_secret())
            .with_retry(RetryConfig {
                max_retries: MOST_RETRIES,
                retry_timeout: RETRIED_FOR,
                ..RetryConfig::default()
            })
            // Files go one by one, and not every store can remove several at once.
            .with_disable_bulk_delete(true)
            .with_allow_http(
                settings
                    .endpoint
                    .as_ref()
                    .is_some_and(|endpoint| endpoint.starts_with("http://")),
            );
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|error| BucketError::Settings {
            url: settings.url.clone(),
            reason: error.to_string(),
        })?;
        let mut bucket = Self::new(Arc::new(store), prefix);
        bucket.name.clone_from(&settings.url);
        Ok(bucket)
    }

    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self {
            store,
            prefix: Key::from(prefix),
            name: format!("bucket {prefix}"),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn key(&self, file: &ContentFile) -> Key {
        self.prefix
            .clone()
            .join(file.folder())
            .join(file.stored_name())
    }

    pub async fn length(&self, file: &ContentFile) -> io::Result<Option<u64>> {
        match self.store.head(&self.key(file)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn read(&self, file: &ContentFile, offset: u64, length: u64) -> io::Result<Bytes> {
        let end = offset.saturating_add(length).min(file.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        Ok(self.store.get_range(&self.key(file), offset..end).await?)
    }

    pub async fn remove(&self, file: &ContentFile) -> io::Result<()> {
        match self.store.delete(&self.key(file)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn folder(&self, folder: u8) -> io::Result<Vec<(ContentId, u64)>> {
        let below = self.prefix.clone().join(format!("{folder:02X}"));
        let all: Vec<_> = self.store.list(Some(&below)).try_collect().await?;
        let found = all.into_iter().filter_map(|meta| {
            let name = meta.location.filename()?;
            let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
            Some((stem.parse().ok()?, meta.size))
        });
        Ok(found.collect())
    }

    /// Uploads a file: there whole or not at all.
    pub async fn bring(&self, file: &ContentFile, path: &Path) -> io::Result<()> {
        if file.size <= PART as u64 {
            let bytes = part_at(path, 0).await?;
            if bytes.len() as u64 != file.size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.store.put(&self.key(file), bytes.into()).await?;
            return Ok(());
        }
        let upload = self.store.put_multipart(&self.key(file)).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut offset = 0;
        let failed = loop {
            if offset >= file.size {
                break None;
            }
            if let Err(error) = upload.wait_for_capacity(PARTS_AT_ONCE - 1).await {
                break Some(error.into());
            }
            match part_at(path, offset).await {
                Ok(part) if part.is_empty() => break Some(io::ErrorKind::UnexpectedEof.into()),
                Ok(part) => {
                    offset += part.len() as u64;
                    upload.put(part);
                }
                Err(error) => break Some(error),
            }
        };
        let Some(error) = failed else {
            // Gives the upload up where it fails.
            upload.finish().await?;
            return Ok(());
        };
        // What failed is told, and not that giving up failed, too.
        if let Err(error) = upload.abort().await {
            tracing::warn!(%error, "an upload to the content store could not be given up; its parts stay there");
        }
        Err(error)
    }
}

async fn part_at(path: &Path, offset: u64) -> io::Result<Bytes> {
    let path = path.to_owned();
    blocking(move || super::directory::read_at(&path, offset, PART as u64)).await
}
