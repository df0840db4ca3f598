//! The update's own address: any HTTP server, of which nothing good is assumed.

use super::get::{self, HttpSourceError};
use super::{Memory, Pieces, Source, SourceError};
use catalog::content::ContentFile;
use futures::future::BoxFuture;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Redirects that are followed for one request.
const MOST_REDIRECTS: usize = 5;
/// Longest address that is asked.
const MAX_URL_BYTES: usize = 4096;

/// Fetches files from the addresses that the catalog has for them.
#[derive(Debug)]
pub struct HttpSource {
    /// What asks, or why nothing is asked for now.
    client: Mutex<Result<Client, String>>,
}

impl HttpSource {
    /// A source that trusts what the system trusts, and goes through a proxy where one is given. The environment
    /// is not asked.
    ///
    /// # Errors
    /// When the proxy cannot be used.
    pub fn new(proxy: Option<&wsus::client::Proxy>) -> Result<Self, HttpSourceError> {
        let client = Mutex::new(Ok(get::client(proxy, None, redirects)?));
        Ok(Self { client })
    }

    /// Goes through another proxy from now on, or through none.
    ///
    /// # Errors
    /// When the proxy cannot be used; nothing changed then.
    pub fn set_proxy(&self, proxy: Option<&wsus::client::Proxy>) -> Result<(), HttpSourceError> {
        let client = get::client(proxy, None, redirects)?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Ok(client);
        Ok(())
    }

    /// Asks nobody from now on, until [`HttpSource::set_proxy`]: for a proxy that cannot be used, past which nothing may
    /// go. Files wait, and say why.
    pub fn hold(&self, why: String) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Err(why);
    }

    fn client(&self) -> Result<Client, SourceError> {
        let client = self.client.lock();
        let client = client.unwrap_or_else(PoisonError::into_inner).clone();
        client.map_err(SourceError::Away)
    }

    async fn ask(
        &self,
        file: &ContentFile,
        range: Range<u64>,
        memory: &mut Memory,
    ) -> Result<Pieces, SourceError> {
        let url = usable(file.url.as_deref().unwrap_or_default())?;
        let client = self.client()?;
        Ok(get::get(&client, url, file, range, memory).await?)
    }
}

impl Source for HttpSource {
    fn name(&self, file: &ContentFile) -> String {
        let host = file.url.as_deref().and_then(|url| Url::parse(url).ok());
        let host = host.as_ref().and_then(Url::host_str);
        host.unwrap_or("its address").to_owned()
    }

    fn may_have(&self, file: &ContentFile) -> bool {
        file.url.is_some()
    }

    fn fetch<'a>(
        &'a self,
        file: &'a ContentFile,
        range: Range<u64>,
        memory: &'a mut Memory,
    ) -> BoxFuture<'a, Result<Pieces, SourceError>> {
        Box::pin(self.ask(file, range, memory))
    }
}

/// An address that may be asked.
fn usable(text: &str) -> Result<Url, SourceError> {
    let refuse = |why: &str| SourceError::Refused(format!("its address cannot be used: {why}"));
    if text.len() > MAX_URL_BYTES {
        return Err(refuse("it is too long"));
    }
    let url = Url::parse(text).map_err(|_| refuse("it is none"))?;
    match trouble(&url) {
        Some(why) => Err(refuse(why)),
        None => Ok(url),
    }
}

/// Why an address is not asked.
fn trouble(url: &Url) -> Option<&'static str> {
    if !["http", "https"].contains(&url.scheme()) {
        return Some("it is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("it holds a user or password");
    }
    None
}

fn redirects() -> Policy {
    Policy::custom(redirect)
}

fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("it redirects too often");
    }
    let from_tls = attempt
        .previous()
        .last()
        .is_some_and(|url| url.scheme() == "https");
    match trouble(attempt.url()) {
        Some(why) => attempt.error(format!(
            "it redirects to an address that cannot be used: {why}"
        )),
        None if from_tls && attempt.url().scheme() == "http" => {
            attempt.error("it redirects from https to http")
        }
        None => attempt.follow(),
    }
}
