//! Where a site keeps content files: a directory, or a bucket of an S3-compatible store.

use super::{SiteFile, SiteFlags, resolve};
use anyhow::{Context as _, bail};
use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// Folder of content files within the data directory.
const FOLDER: &str = "WsusContent";
/// Folder within the data directory for what is on its way to a bucket.
const WORK: &str = "content";
/// How the address of a bucket begins.
const BUCKET: &str = "s3://";

/// The flags of the content store.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ContentFlags {
    /// Where update files are kept: a directory, or s3://bucket/prefix [default: WsusContent in the data
    /// directory]
    #[arg(
        long,
        env = "HEADWATER_CONTENT_STORE",
        value_name = "DIR or URL",
        help_heading = "Content"
    )]
    pub content_store: Option<String>,
    /// Where the S3-compatible store answers, where that is not Amazon
    #[arg(
        long,
        env = "HEADWATER_CONTENT_STORE_ENDPOINT",
        value_name = "URL",
        help_heading = "Content"
    )]
    pub content_store_endpoint: Option<String>,
    /// Region of the S3-compatible store [default: us-east-1]
    #[arg(
        long,
        env = "HEADWATER_CONTENT_STORE_REGION",
        value_name = "REGION",
        help_heading = "Content"
    )]
    pub content_store_region: Option<String>,
    /// File with the key of the S3-compatible store: lines aws_access_key_id = … and aws_secret_access_key = …
    #[arg(
        long,
        env = "HEADWATER_CONTENT_STORE_KEY_FILE",
        value_name = "FILE",
        help_heading = "Content"
    )]
    pub content_store_key_file: Option<PathBuf>,
}

/// Where content files are kept.
#[derive(Debug, Clone)]
pub enum ContentStore {
    /// In a directory.
    Directory(PathBuf),
    /// In a bucket.
    Bucket(Box<Bucket>),
}

/// A bucket, and how to sign in to it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its address: `s3://bucket/prefix`.
    pub url: String,
    /// Where the store answers, where that is not Amazon.
    pub endpoint: Option<String>,
    /// Region, where one was given.
    pub region: Option<String>,
    /// Name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SecretString,
    /// Where files lie until they are whole.
    pub work: PathBuf,
}

impl ContentStore {
    /// The store that a site has where nothing else is set.
    pub fn within(data_dir: &Path) -> Self {
        Self::Directory(data_dir.join(FOLDER))
    }

    /// The store that flags, environment and file add up to.
    pub(super) fn load(
        flags: &SiteFlags,
        file: &SiteFile,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        let given = &flags.content;
        let endpoint = given.content_store_endpoint.as_ref();
        let endpoint = endpoint.or(file.content_store_endpoint.as_ref()).cloned();
        let region = given.content_store_region.as_ref();
        let region = region.or(file.content_store_region.as_ref()).cloned();
        let key_file = given.content_store_key_file.clone();
        let key_file = key_file.or_else(|| resolve(file.content_store_key_file.as_ref(), flags));
        let bucket = match (&given.content_store, &file.content_store) {
            (Some(place), _) if place.starts_with(BUCKET) => Some(place.clone()),
            (Some(place), _) => return Ok(Self::Directory(place.into())),
            (None, Some(place)) if place.starts_with(BUCKET) => Some(place.clone()),
            (None, Some(place)) => {
                let base = flags.config.as_deref().and_then(Path::parent);
                return Ok(Self::Directory(base.unwrap_or(Path::new("")).join(place)));
            }
            (None, None) => None,
        };
        let Some(url) = bucket else {
            if endpoint.is_some() || region.is_some() || key_file.is_some() {
                bail!(
                    "the settings content-store-… are for a bucket: give it as content-store, s3://bucket/prefix"
                );
            }
            return Ok(Self::within(data_dir));
        };
        let Some(key_file) = key_file else {
            bail!("the setting content-store names a bucket: content-store-key-file is missing");
        };
        let (access_key_id, secret_access_key) =
            key(&key_file).context("the setting content-store-key-file")?;
        Ok(Self::Bucket(Box::new(Bucket {
            url,
            endpoint,
            region,
            access_key_id,
            secret_access_key,
            work: data_dir.join(WORK),
        })))
    }
}

/// The key in a file of the form that AWS tools have.
fn key(path: &Path) -> anyhow::Result<(String, SecretString)> {
    let shown = path.display();
    let text = daemon::secret_file::read(path)?;
    let text = text.with_context(|| format!("there is no file {shown}"))?;
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let found = lines.map(|(key, value)| (key.trim(), value.trim()));
        let mut found = found.filter(|(key, value)| *key == name && !value.is_empty());
        let value = found.next().map(|(_, value)| value.to_owned());
        value.with_context(|| format!("the file {shown} has no line {name} = …"))
    };
    Ok((
        value("aws_access_key_id")?,
        SecretString::from(value("aws_secret_access_key")?),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    fn store(text: &str) -> anyhow::Result<ContentStore> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.toml");
        let key = "[default]\naws_access_key_id = AKIA\naws_secret_access_key = hunter2\n";
        std::fs::write(directory.path().join("key"), key).unwrap();
        std::fs::write(directory.path().join("half"), "aws_access_key_id = AKIA\n").unwrap();
        std::fs::write(&path, format!("data-dir = 'data'\n{text}")).unwrap();
        let flags = SiteFlags {
            config: Some(path),
            ..SiteFlags::default()
        };
        Ok(load(&flags)?.0.content)
    }

    #[test]
    fn it_is_a_directory_unless_a_bucket_is_named() {
        for (text, end) in [
            ("", "data/WsusContent"),
            ("content-store = 'files'", "files"),
            ("content-store = '/srv/files'", "/srv/files"),
        ] {
            match store(text).unwrap() {
                ContentStore::Directory(path) => assert!(path.ends_with(end), "{path:?}"),
                ContentStore::Bucket(bucket) => panic!("{bucket:?}"),
            }
        }
    }

    #[test]
    fn the_key_of_a_bucket_comes_from_its_file_and_is_shown_nowhere() {
        let text = "content-store = 's3://files/all'\ncontent-store-key-file = 'key'";
        let store = store(text).unwrap();
        assert!(!format!("{store:?}").contains("hunter2"));
        match store {
            ContentStore::Bucket(bucket) => {
                assert_eq!(bucket.access_key_id, "AKIA");
                assert!(bucket.work.ends_with("data/content"));
            }
            ContentStore::Directory(path) => panic!("{path:?}"),
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, named) in [
            (
                "content-store = 's3://files'",
                "content-store-key-file is missing",
            ),
            ("content-store-region = 'x'", "content-store"),
            (
                "content-store = 's3://f'\ncontent-store-key-file = 'half'",
                "aws_secret_access_key",
            ),
            (
                "content-store = 's3://f'\ncontent-store-key-file = 'none'",
                "there is no file",
            ),
        ] {
            let error = format!("{:#}", store(text).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
