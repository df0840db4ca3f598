//! The upstream server of a top-level site, a WSUS server or another Headwater, where it hosts files (WSUS-PROTOCOL 1.2,
//! 3.6): asked below `/Content`, without any account and nowhere but at its own host. What it does not have it is asked to
//! fetch (`DownloadFiles`).

mod orders;

pub use orders::OrderError;

use super::get::{self, HttpSourceError, Ungot};
use super::{Memory, Pieces, Source, SourceError};
use catalog::content::ContentFile;
use futures::future::BoxFuture;
use http::StatusCode;
use link::settings::wsus::content_port;
use orders::Orders;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Asks the upstream server of this address to fetch files, by SHA-1; no more than a hundred are given.
pub type Order =
    Arc<dyn Fn(String, Vec<[u8; 20]>) -> BoxFuture<'static, Result<(), OrderError>> + Send + Sync>;

/// An upstream server that hosts files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileServer {
    /// Its address, as the catalog is synchronized from it: scheme, host and port.
    pub url: String,
    /// Certificates, in PEM, to trust besides those of the system.
    pub ca_pem: Option<Vec<u8>>,
}

/// Fetches files from the upstream server, where there is one that hosts files.
pub struct ServerSource {
    order: Order,
    state: Mutex<State>,
}

enum State {
    /// There is none.
    Nobody,
    /// It may not be asked now; why.
    Held(FileServer, SourceError),
    Asked(Arc<Server>),
}

struct Server {
    /// Its address, as it was given.
    given: String,
    name: String,
    client: Client,
    /// Where its files may be, the likeliest first.
    roots: Vec<Url>,
    /// Which of these had a file last.
    good: AtomicUsize,
    orders: Orders,
}

impl fmt::Debug for ServerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerSource({:?})", self.name())
    }
}

impl ServerSource {
    /// No server yet. `order` asks it to fetch files.
    pub fn new(order: Order) -> Self {
        Self {
            order,
            state: Mutex::new(State::Nobody),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Holds one value that is replaced whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks this server from now on, through a proxy where one is given; or none.
    ///
    /// # Errors
    /// When the address, the certificates or the proxy cannot be used: it is not asked then.
    pub fn set(
        &self,
        server: Option<&FileServer>,
        proxy: Option<&wsus::client::Proxy>,
    ) -> Result<(), HttpSourceError> {
        let Some(given) = server else {
            *self.state() = State::Nobody;
            return Ok(());
        };
        match Server::new(given, proxy) {
            Ok(server) => {
                *self.state() = State::Asked(Arc::new(server));
                Ok(())
            }
            Err(error) => {
                let why = SourceError::Refused(error.to_string());
                *self.state() = State::Held(given.clone(), why);
                Err(error)
            }
        }
    }

    /// Does not ask this server, until [`ServerSource::set`]: for a proxy that cannot be used, past which nothing may go.
    pub fn hold(&self, server: Option<&FileServer>, why: String) {
        *self.state() = match server {
            None => State::Nobody,
            Some(server) => State::Held(server.clone(), SourceError::Away(why)),
        };
    }

    fn name(&self) -> Option<String> {
        match &*self.state() {
            State::Nobody => None,
            State::Held(server, _) => Some(server.url.clone()),
            State::Asked(server) => Some(server.name.clone()),
        }
    }

    async fn ask(
        &self,
        file: &ContentFile,
        range: Range<u64>,
        memory: &mut Memory,
    ) -> Result<Pieces, SourceError> {
        let server = match &*self.state() {
            State::Nobody => {
                let why = "files are not fetched from an upstream server any more";
                return Err(SourceError::Refused(why.to_owned()));
            }
            State::Held(_, why) => return Err(why.clone()),
            State::Asked(server) => Arc::clone(server),
        };
        match server.get(file, range, memory).await {
            Ok(pieces) => Ok(pieces),
            Err(Some(error)) => Err(error),
            Err(None) => {
                let order = |files| (self.order)(server.given.clone(), files);
                Err(server.orders.missing(file.sha1, order).await)
            }
        }
    }
}

impl Source for ServerSource {
    fn name(&self, _: &ContentFile) -> String {
        let name = self.name();
        name.map_or_else(String::new, |name| format!("upstream server {name}"))
    }

    fn may_have(&self, _: &ContentFile) -> bool {
        !matches!(&*self.state(), State::Nobody)
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

impl Server {
    fn new(
        server: &FileServer,
        proxy: Option<&wsus::client::Proxy>,
    ) -> Result<Self, HttpSourceError> {
        let roots = roots(&server.url)?;
        // What it sends elsewhere for is not fetched there: it is the only host that is asked.
        let client = get::client(proxy, server.ca_pem.as_deref(), Policy::none)?;
        let name = roots.first().map(Url::authority).unwrap_or_default();
        Ok(Self {
            given: server.url.clone(),
            name: name.to_owned(),
            client,
            good: AtomicUsize::new(0),
            orders: Orders::default(),
            roots,
        })
    }

    /// Bytes of a file, or why there are none; nothing where the server says that it does not have it.
    async fn get(
        &self,
        file: &ContentFile,
        range: Range<u64>,
        memory: &mut Memory,
    ) -> Result<Pieces, Option<SourceError>> {
        let good = self.good.load(Ordering::Relaxed);
        let (mut is_missing, mut failed) = (false, None);
        let turns = self.roots.iter().enumerate().cycle().skip(good);
        for (number, root) in turns.take(self.roots.len()) {
            let url = address(root, file);
            match get::get(&self.client, url, file, range.clone(), memory).await {
                Ok(pieces) => {
                    self.good.store(number, Ordering::Relaxed);
                    return Ok(pieces);
                }
                Err(Ungot::Status(StatusCode::NOT_FOUND | StatusCode::GONE)) => is_missing = true,
                Err(Ungot::Source(error @ SourceError::Changed(_))) => return Err(Some(error)),
                Err(ungot) => {
                    failed.get_or_insert(SourceError::from(ungot));
                }
            }
        }
        Err(failed.filter(|_| !is_missing))
    }
}

/// Where a server that is synchronized from at an address has its files: over HTTP at the same port; where that speaks
/// TLS, over HTTP at the port below it (80 for 443), or else, as another Headwater may have it, at the same port.
fn roots(given: &str) -> Result<Vec<Url>, HttpSourceError> {
    let refuse = || HttpSourceError::of_address(given);
    let url = Url::parse(given.trim()).map_err(|_| refuse())?;
    let port = url.port_or_known_default();
    let (true, Some(port)) = (url.has_host(), port) else {
        return Err(refuse());
    };
    let mut root = url.clone();
    root.set_path("/");
    root.set_query(None);
    root.set_fragment(None);
    let cleared = root.set_username("").is_ok() && root.set_password(None).is_ok();
    if !cleared {
        return Err(refuse());
    }
    match url.scheme() {
        "http" => Ok(vec![root]),
        "https" => {
            let below = content_port(port);
            let mut plain = root.clone();
            let set = plain.set_scheme("http").is_ok() && plain.set_port(Some(below)).is_ok();
            match set && below > 0 {
                true => Ok(vec![plain, root]),
                false => Ok(vec![root]),
            }
        }
        _ => Err(refuse()),
    }
}

/// Where a server has a file.
fn address(root: &Url, file: &ContentFile) -> Url {
    let mut url = root.clone();
    // Digits and letters: nothing in it means anything in an address.
    url.set_path(&format!(
        "/Content/{}/{}",
        file.folder(),
        file.stored_name()
    ));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_at_the_host_of_the_server_where_wsus_has_them() {
        let check = |given: &str, expected: &[&str]| {
            let found = roots(given).unwrap();
            let found: Vec<&str> = found.iter().map(Url::as_str).collect();
            assert_eq!(found, expected, "{given}");
        };
        check("http://wsus:8530", &["http://wsus:8530/"]);
        check("http://wsus/", &["http://wsus/"]);
        check(
            "https://wsus:8531",
            &["http://wsus:8530/", "https://wsus:8531/"],
        );
        check("https://WSUS", &["http://wsus/", "https://wsus/"]);
        check(
            "https://[::1]:444/x?y#z",
            &["http://[::1]:443/", "https://[::1]:444/"],
        );
        check("https://wsus:1", &["https://wsus:1/"]);
        // Whoever it is that signs in there, does so nowhere else.
        check("http://user:word@wsus:1", &["http://wsus:1/"]);
        for given in ["wsus", "ftp://wsus", ""] {
            assert!(roots(given).is_err(), "{given}");
        }
    }

    #[test]
    fn a_file_has_its_place_there() {
        let mut sha1 = [0xab; 20];
        sha1[19] = 0x0c;
        let file = ContentFile {
            sha1,
            sha256: None,
            size: 1,
            name: "a/../b.CAB".to_owned(),
            url: None,
        };
        let root = Url::parse("http://wsus:8530/").unwrap();
        assert_eq!(
            address(&root, &file).as_str(),
            "http://wsus:8530/Content/0C/ABABABABABABABABABABABABABABABABABABAB0C.cab"
        );
    }
}
