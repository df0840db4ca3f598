//! What makes a site the top of its hierarchy: the authority's keys, its own certificate, and the
//! administrator's credential, all in files that only their owner may read.

use catalog::SiteCode;
use daemon::Ambient;
use daemon::secret_file;
use secrecy::{ExposeSecret as _, SecretString};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use store::Store;
use trust::{AccessToken, Authority, HierarchyId, Role, SiteCertificate, SiteIdentity, SiteKey};

/// The authority: both its private keys and its certificate.
const AUTHORITY_FILE: &str = "authority.pem";
/// The site's own key.
const KEY_FILE: &str = "site.key";
/// Where the verbs find the server and a token.
const CREDENTIAL_FILE: &str = "admin-credential.json";
/// Name of the token in that file.
const LOCAL_ADMINISTRATOR: &str = "local administrator";

/// The keys of a top-level site.
pub struct Identity {
    /// The hierarchy's authority.
    pub authority: Authority,
    /// The site's own key.
    pub key: SiteKey,
}

/// Why a site cannot prove what it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or certificate is not usable.
    #[error("{file} is not usable")]
    Trust {
        /// Which file.
        file: &'static str,
        /// Why.
        source: trust::Error,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] secret_file::SecretFileError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A value could not be written as JSON.
    #[error("the administrator's credential cannot be written")]
    Json(#[from] serde_json::Error),
}

fn trust_error(file: &'static str) -> impl FnOnce(trust::Error) -> Error {
    move |source| Error::Trust { file, source }
}

impl Identity {
    /// Reads the keys of a data directory; at the first start of a site, makes a new hierarchy.
    ///
    /// # Errors
    /// When the files cannot be read, written, or are not usable.
    pub fn open(directory: &Path, ambient: &Ambient) -> Result<Self, Error> {
        let authority_file = directory.join(AUTHORITY_FILE);
        let authority = match secret_file::read(&authority_file)? {
            Some(pem) => Authority::from_secret_pem(&SecretString::from(pem))
                .map_err(trust_error(AUTHORITY_FILE))?,
            None => {
                let hierarchy = HierarchyId(ambient.new_id());
                let authority = Authority::create(hierarchy, ambient.now(), &mut ambient.new_rng())
                    .map_err(trust_error(AUTHORITY_FILE))?;
                let pem = authority
                    .to_secret_pem()
                    .map_err(trust_error(AUTHORITY_FILE))?;
                secret_file::write(&authority_file, pem.expose_secret())?;
                authority
            }
        };
        let key_file = directory.join(KEY_FILE);
        let key = match secret_file::read(&key_file)? {
            Some(pem) => {
                SiteKey::from_secret_pem(&SecretString::from(pem)).map_err(trust_error(KEY_FILE))?
            }
            None => {
                let key = SiteKey::generate().map_err(trust_error(KEY_FILE))?;
                secret_file::write(&key_file, key.to_secret_pem().expose_secret())?;
                key
            }
        };
        Ok(Self { authority, key })
    }

    /// A certificate for the site itself.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn certificate(
        &self,
        site: SiteCode,
        names: &[String],
        validity: Duration,
        ambient: &Ambient,
    ) -> Result<SiteCertificate, Error> {
        let identity = SiteIdentity::new(self.authority.hierarchy(), site);
        self.authority
            .self_issue(
                &self.key,
                &identity,
                names,
                validity,
                ambient.now(),
                &mut ambient.new_rng(),
            )
            .and_then(|issued| issued.to_site_certificate())
            .map_err(trust_error(KEY_FILE))
    }

    /// Makes sure that the data directory holds an administrator's credential that works, with the
    /// address at which the site listens now.
    ///
    /// # Errors
    /// When the file or the database refuses.
    pub async fn ensure_credential(
        &self,
        directory: &Path,
        site: SiteCode,
        listen: SocketAddr,
        store: &Store,
        ambient: &Ambient,
    ) -> Result<(), Error> {
        let path = directory.join(CREDENTIAL_FILE);
        let held = secret_file::read(&path)?
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
            .and_then(|value| value["token"].as_str().map(str::to_owned));
        let token = match held.as_deref().map(AccessToken::decode) {
            Some(Ok(token)) if token.authority_pin == self.authority.pin() => token,
            Some(_) | None => AccessToken::new(site, self.authority.pin(), &mut ambient.new_rng()),
        };
        let mut tx = store.begin().await?;
        tx.put_access_token(
            token.hash().as_bytes(),
            LOCAL_ADMINISTRATOR,
            Role::Administrator.name(),
            ambient.now(),
        )
        .await?;
        tx.commit().await?;
        let credential = serde_json::json!({
            "server": format!("https://{}", reachable(listen)),
            "token": token.encode().expose_secret(),
        });
        let text = serde_json::to_string_pretty(&credential)?;
        secret_file::write(&path, &text)?;
        Ok(())
    }
}

/// An address that can be dialled from this machine, for one to listen on.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_address_is_dialled_on_this_machine() {
        let dialled = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(dialled("0.0.0.0:8540"), "127.0.0.1:8540");
        assert_eq!(dialled("[::]:8540"), "[::1]:8540");
        assert_eq!(dialled("10.0.0.7:1"), "10.0.0.7:1");
    }

    #[test]
    fn a_site_keeps_its_hierarchy_over_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let ambient = Ambient::system();
        let first = Identity::open(directory.path(), &ambient).unwrap();
        let second = Identity::open(directory.path(), &ambient).unwrap();
        assert_eq!(first.authority.hierarchy(), second.authority.hierarchy());
        assert_eq!(first.authority.pin(), second.authority.pin());
    }
}
