//! Who signs in, to the upstream server or to the proxy before it: basic authentication (RFC 7617), the only
//! kind there is here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};

/// A user with a password. `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Name of the user.
    pub user: String,
    /// Windows domain of the user, who then signs in as `DOMAIN\user`.
    pub domain: Option<String>,
    /// Password of the user.
    pub password: SecretString,
}

/// Why a user cannot sign in. Does not show the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit(pub &'static str);

impl Credentials {
    /// The user as the other side knows it.
    pub(super) fn user_id(&self) -> Result<String, Unfit> {
        let domain = self.domain.as_deref().filter(|domain| !domain.is_empty());
        if self.user.is_empty() {
            return Err(Unfit("its name is empty"));
        }
        if domain.is_some() && self.user.contains('\\') {
            return Err(Unfit(
                "its name holds a domain, and a domain is set besides",
            ));
        }
        let user = match domain {
            Some(domain) => format!(r"{domain}\{}", self.user),
            None => self.user.clone(),
        };
        if user.contains(':') {
            return Err(Unfit(
                "its name or its domain holds a colon, which basic authentication cannot say",
            ));
        }
        if user.contains(char::is_control) {
            return Err(Unfit("its name or its domain holds a control character"));
        }
        Ok(user)
    }

    /// The value of `Authorization` and `Proxy-Authorization`, in UTF-8; marked as sensitive, so that it is
    /// not shown.
    pub(super) fn basic(&self, user: &str) -> Result<HeaderValue, Unfit> {
        let unfit = Unfit("its password holds a control character, such as the end of a line");
        let password = self.password.expose_secret();
        if password.contains(char::is_control) {
            return Err(unfit);
        }
        let plain = Zeroizing::new(format!("{user}:{password}"));
        let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(plain.as_bytes())));
        let mut value = HeaderValue::from_str(&value).map_err(|_| unfit)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Longest list of ways to sign in that is shown, in characters.
pub(super) const MOST_OFFERED: usize = 80;

/// The ways to sign in that challenges offer, where basic authentication is not among them, as they are shown.
/// Challenges that name none leave it open.
pub(super) fn other_than_basic(challenges: &[String]) -> Option<String> {
    let offered = schemes(challenges);
    let has_basic = offered.iter().any(|one| one.eq_ignore_ascii_case("basic"));
    let is_other = !offered.is_empty() && !has_basic;
    is_other.then(|| offered.join(", ").chars().take(MOST_OFFERED).collect())
}

/// The names of the ways to sign in that challenges offer (RFC 9110 11.6), in their order.
fn schemes(challenges: &[String]) -> Vec<&str> {
    let mut schemes = Vec::new();
    for part in challenges.iter().flat_map(|value| value.split(',')) {
        // `Basic realm="x"` and `NTLM`, but not the second parameter of a challenge, `charset="UTF-8"`.
        let name = part.trim().split([' ', '\t']).next().unwrap_or_default();
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !name.is_empty() && name.chars().all(is_token) && !schemes.contains(&name) {
            schemes.push(name);
        }
    }
    schemes
}
