//! What makes a site a member of its hierarchy: its key, its certificate, and what the join told it.
//! Kept in files of the data directory; a site joins once.

use anyhow::{Context as _, bail};
use catalog::{SiteCode, SiteKind};
use daemon::{Ambient, secret_file};
use link::dial::{self, Connector};
use link::enrollment;
use rustls::time_provider::TimeProvider;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use trust::token::JoinToken;
use trust::{HierarchyId, SiteCertificate, SiteKey, StatementPublicKey};
use uuid::Uuid;

use crate::settings::Settings;

/// The site's own key.
const KEY_FILE: &str = "site.key";
/// The site's certificate and the authority's.
pub(crate) const CERTIFICATE_FILE: &str = "site.pem";
/// What the join told.
const MEMBERSHIP_FILE: &str = "membership.json";
/// How long a parent that does not answer is waited for.
const PATIENCE: u32 = 8;
/// Wait before the second try; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A member of a hierarchy.
pub struct Membership {
    /// Its code.
    pub site: SiteCode,
    /// Its kind.
    pub kind: SiteKind,
    /// The site that it belongs to.
    pub parent: SiteCode,
    /// The hierarchy.
    pub hierarchy: HierarchyId,
    /// The key that statements are signed with.
    pub statement_key: StatementPublicKey,
    /// Its key.
    pub key: SiteKey,
    /// Its certificate.
    pub certificate: SiteCertificate,
}

/// The file of a membership.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    site: String,
    kind: String,
    parent: String,
    hierarchy: Uuid,
    /// Ed25519 public key.
    statement_key: [u8; 32],
    /// Digest of the token that was used, so that a new one is told from the old.
    token: [u8; 32],
}

impl Membership {
    /// The membership of a data directory; where there is none, or a new token is given, joins.
    ///
    /// # Errors
    /// When the site cannot join, or its files are not usable.
    pub async fn open(
        settings: &Settings,
        ambient: &Ambient,
        time: Arc<dyn TimeProvider>,
        connector: Arc<dyn Connector>,
    ) -> anyhow::Result<Self> {
        let directory = &settings.site.data_dir;
        let held = secret_file::read(&directory.join(MEMBERSHIP_FILE))?
            .map(|text| serde_json::from_str::<File>(&text))
            .transpose()
            .with_context(|| format!("{MEMBERSHIP_FILE} in {}", directory.display()))?;
        let token = settings
            .join_token
            .as_ref()
            .map(|word| JoinToken::decode(word.expose_secret()))
            .transpose()
            .context("the join token")?;
        let file = match (held, token) {
            (Some(file), None) => file,
            (Some(file), Some(token)) if file.token == *token.secret_hash().as_bytes() => file,
            (held, Some(token)) => {
                if let Some(held) = &held
                    && held.hierarchy != token.hierarchy.0
                {
                    bail!(
                        "the data directory {} belongs to hierarchy {}, the join token to {}: use \
                         another directory",
                        directory.display(),
                        held.hierarchy,
                        token.hierarchy
                    );
                }
                join(settings, &token, ambient, time, connector).await?
            }
            (None, None) => bail!(
                "this site has not joined a hierarchy yet: make a token with \
                 \"headwater site token CODE --kind primary\" at the central site, and give it in \
                 HEADWATER_JOIN_TOKEN"
            ),
        };
        let member = file.load(directory)?;
        if let Some(code) = settings.site.site_code
            && code != member.site
        {
            bail!(
                "this site joined as {}, but --site-code says {code}",
                member.site
            );
        }
        Ok(member)
    }
}

impl File {
    fn load(self, directory: &Path) -> anyhow::Result<Membership> {
        let key = read_key(directory)?
            .with_context(|| format!("{KEY_FILE} is missing in {}", directory.display()))?;
        let certificate = secret_file::read(&directory.join(CERTIFICATE_FILE))?
            .with_context(|| format!("{CERTIFICATE_FILE} is missing in {}", directory.display()))?;
        Ok(Membership {
            site: self.site.parse()?,
            kind: self.kind.parse()?,
            parent: self.parent.parse()?,
            hierarchy: HierarchyId(self.hierarchy),
            statement_key: StatementPublicKey(self.statement_key),
            key,
            certificate: SiteCertificate::from_pem(&certificate).context(CERTIFICATE_FILE)?,
        })
    }
}

fn read_key(directory: &Path) -> anyhow::Result<Option<SiteKey>> {
    let pem = secret_file::read(&directory.join(KEY_FILE))?;
    pem.map(|pem| SiteKey::from_secret_pem(&SecretString::from(pem)))
        .transpose()
        .context(KEY_FILE)
}

async fn join(
    settings: &Settings,
    token: &JoinToken,
    ambient: &Ambient,
    time: Arc<dyn TimeProvider>,
    connector: Arc<dyn Connector>,
) -> anyhow::Result<File> {
    if let Some(code) = settings.site.site_code
        && code != token.site
    {
        bail!(
            "the join token is for site {}, but --site-code says {code}",
            token.site
        );
    }
    let directory = &settings.site.data_dir;
    // The key is kept before it is used: a join that was cut off is repeated with the same key, and
    // the token still works for it.
    let key = match read_key(directory)? {
        Some(key) => key,
        None => {
            let key = SiteKey::generate()?;
            secret_file::write(
                &directory.join(KEY_FILE),
                key.to_secret_pem().expose_secret(),
            )?;
            key
        }
    };
    let word = token.encode();
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    let joined = loop {
        let joined = enrollment::join(
            &settings.parent,
            token,
            word.expose_secret(),
            &key,
            Arc::clone(&time),
            Arc::clone(&connector),
        )
        .await;
        match joined {
            Err(
                error @ (enrollment::Error::Dial(dial::Error::Unreachable { .. })
                | enrollment::Error::NotYet(_)),
            ) if tries < PATIENCE => {
                tracing::warn!(%error, "the parent does not answer yet");
                tokio::time::sleep(ambient.jitter(pause)).await;
                pause *= 2;
                tries += 1;
            }
            joined => break joined?,
        }
    };
    let file = File {
        site: token.site.to_string(),
        kind: token.kind.name().to_owned(),
        parent: token.parent.to_string(),
        hierarchy: joined.hierarchy.0,
        statement_key: joined.statement_key.0,
        token: *token.secret_hash().as_bytes(),
    };
    secret_file::write(&directory.join(CERTIFICATE_FILE), &joined.certificate_chain)?;
    let text = serde_json::to_string_pretty(&file)?;
    secret_file::write(&directory.join(MEMBERSHIP_FILE), &text)?;
    Ok(file)
}
