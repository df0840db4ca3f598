//! What makes a site the top of its hierarchy: the authority's keys and its own certificate, in files that only
//! their owner may read.

use catalog::PointId;
use daemon::Ambient;
use daemon::secret_file;
use secrecy::{ExposeSecret as _, SecretString};
use std::path::Path;
use std::time::Duration;
use trust::{Authority, HierarchyId, SiteCertificate, SiteIdentity, SiteKey};

/// The authority: both its private keys and its certificate.
const AUTHORITY_FILE: &str = "authority.pem";
/// The site's own key.
const KEY_FILE: &str = "site.key";

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
        site: PointId,
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
