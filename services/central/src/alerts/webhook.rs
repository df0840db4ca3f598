//! Notifications to web addresses: JSON, signed, so that the receiver knows who sends and that nothing was
//! altered or sent again much later.

use super::notify::TIMEOUT;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::OnceLock;
use sync::upstream::with_causes;
use uuid::Uuid;

/// UNIX time, in seconds, of this attempt.
pub const TIMESTAMP: &str = "headwater-timestamp";
/// `v1=` and the HMAC-SHA256, in hexadecimal digits, of the time stamp, a full stop, and the body.
pub const SIGNATURE: &str = "headwater-signature";
/// Identifier of the notification: the same at each attempt.
pub const NOTIFICATION: &str = "headwater-notification";

/// Sends to web addresses. Nothing is opened before something is to be sent.
#[derive(Debug, Default)]
pub(super) struct Webhooks {
    encrypted: OnceLock<reqwest::Client>,
    plain: OnceLock<reqwest::Client>,
}

/// The signature of a body at a time.
fn signature(secret: &SecretString, timestamp: &str, body: &str) -> String {
    let key = Key::new(HMAC_SHA256, secret.expose_secret().as_bytes());
    let tag = sign(&key, format!("{timestamp}.{body}").as_bytes());
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("v1={}", digits.collect::<String>())
}

impl Webhooks {
    fn client(&self, url: &Url) -> Result<&reqwest::Client, String> {
        let is_plain = url.scheme() == "http";
        let held = match is_plain {
            true => &self.plain,
            false => &self.encrypted,
        };
        if let Some(client) = held.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .no_proxy();
        let builder = match is_plain {
            // To this machine alone; nothing to trust, so a system without any certificates does no harm.
            true => builder.tls_certs_only([]),
            false => builder.https_only(true),
        };
        let client = builder.build();
        let client = client.map_err(|error| with_causes(&error.without_url()))?;
        Ok(held.get_or_init(|| client))
    }

    /// Sends a notification. What the receiver answered, or why it did not take it.
    pub(super) async fn send(
        &self,
        url: &str,
        secret: &SecretString,
        (id, body): (Uuid, &str),
        now: Timestamp,
    ) -> Result<String, String> {
        let url = Url::parse(url).map_err(|_| "its address cannot be read".to_owned())?;
        let timestamp = now.as_second().to_string();
        let request = self
            .client(&url)?
            .post(url)
            .header("content-type", "application/json")
            .header(TIMESTAMP, &timestamp)
            .header(SIGNATURE, signature(secret, &timestamp, body))
            .header(NOTIFICATION, id.to_string())
            .body(body.to_owned());
        // The head of the answer says enough: no body is read, however long it is.
        let answer = request.send().await;
        let answer = answer.map_err(|error| with_causes(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(format!("HTTP {status}"));
        }
        Err(match status.is_redirection() {
            true => format!("HTTP {status}: redirects are not followed, use the address itself"),
            false => format!("HTTP {status}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_other_programs() {
        // printf '1700000000.{"version":1}' | openssl dgst -sha256 -hmac hunter2
        let secret = SecretString::from("hunter2");
        let signature = signature(&secret, "1700000000", "{\"version\":1}");
        assert_eq!(
            signature,
            "v1=8364eac395dbf1f60d93c745d64b7dd13c5da93604fbfaf8f05b14baaec35682"
        );
    }
}
