//! The credential with which the verbs work on a site's own machine, in a file that only its owner may read.

use catalog::PointId;
use daemon::{Ambient, secret_file};
use secrecy::ExposeSecret as _;
use std::net::SocketAddr;
use std::path::Path;
use store::Store;
use store::access::AccessTokenRow;
use trust::{AccessToken, AuthorityPin, Role};

/// Where the verbs find the server and a token.
const CREDENTIAL_FILE: &str = "admin-credential.json";
/// Name of the token in that file.
pub(crate) const LOCAL_ADMINISTRATOR: &str = "local administrator";

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] secret_file::SecretFileError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It could not be written as JSON.
    #[error("the administrator's credential cannot be written")]
    Json(#[from] serde_json::Error),
}

/// Makes sure that the data directory holds an administrator's credential that works, with the address at
/// which the site listens now. One that works is kept.
///
/// # Errors
/// When the file or the database refuses.
pub async fn ensure(
    directory: &Path,
    (site, pin): (PointId, AuthorityPin),
    listen: SocketAddr,
    store: &Store,
    ambient: &Ambient,
) -> Result<(), Error> {
    let path = directory.join(CREDENTIAL_FILE);
    let held = secret_file::read(&path)?
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .and_then(|value| value["token"].as_str().map(str::to_owned));
    let token = match held.as_deref().map(AccessToken::decode) {
        Some(Ok(token)) if token.authority_pin == pin && token.site == site => token,
        Some(_) | None => AccessToken::new(site, pin, &mut ambient.new_rng()),
    };
    let mut tx = store.begin().await?;
    let role = Role::Administrator.name();
    let row = AccessTokenRow::new(LOCAL_ADMINISTRATOR, role, ambient.now());
    // One that was in a file that is gone opens nothing any more.
    tx.remove_access_token(LOCAL_ADMINISTRATOR).await?;
    tx.put_access_token(token.hash().as_bytes(), &row).await?;
    tx.commit().await?;
    let credential = serde_json::json!({
        "server": format!("https://{}", reachable(listen)),
        "token": token.encode().expose_secret(),
    });
    let text = serde_json::to_string_pretty(&credential)?;
    secret_file::write(&path, &text)?;
    Ok(())
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
}
