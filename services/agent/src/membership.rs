//! What makes a site a member of its hierarchy: its key, its certificate, and what the join told it.
//! Kept in files of the data directory; a site joins once.

use anyhow::{Context as _, bail};
use catalog::{PointId, SiteKind};
use daemon::{Ambient, secret_file};
use link::address::Address;
use link::dial::{self, Connector};
use link::enrollment;
use link::ways::Ways;
use rustls::time_provider::TimeProvider;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    pub site: PointId,
    /// Its kind.
    pub kind: SiteKind,
    /// The parent, and others that may be asked where this site belongs.
    pub kept: KeptParent,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    site: String,
    kind: String,
    /// The parent that the site has now.
    parent: String,
    /// The parent that the site joined below, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    joined_below: Option<String>,
    /// Where the parent was reached last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_url: Option<String>,
    /// Whom to ask when the parent does not answer: code and address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<(String, String)>,
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

/// Who the parent is, as it outlives the process.
pub struct KeptParent {
    directory: PathBuf,
    file: Mutex<File>,
    /// The parent that the site joined below.
    joined_below: PointId,
    parent: PointId,
}

impl KeptParent {
    fn new(directory: &Path, file: File) -> anyhow::Result<Self> {
        let joined_below = file.joined_below.as_ref().unwrap_or(&file.parent);
        Ok(Self {
            directory: directory.to_owned(),
            joined_below: joined_below.parse()?,
            parent: file.parent.parse()?,
            file: Mutex::new(file),
        })
    }

    fn file(&self) -> MutexGuard<'_, File> {
        // Replaced whole.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parent when the process started.
    pub fn parent(&self) -> PointId {
        self.parent
    }

    /// Whom to dial: `named` is the address that an administrator gave for the parent. It comes first for the
    /// parent that the site joined below.
    pub fn ways(&self, named: &str) -> Ways {
        let file = self.file();
        let at = |point, url: &str| Address {
            point,
            url: url.to_owned(),
        };
        let kept = file.parent_url.as_deref().map(|url| at(self.parent, url));
        let named_for = at(self.parent, named);
        let own = if self.parent == self.joined_below {
            [Some(named_for), kept]
        } else {
            [kept, Some(named_for)]
        };
        let others = file.others.iter().filter_map(|(point, url)| {
            let point = point.parse().ok()?;
            Some(at(point, url))
        });
        let own = own.into_iter().flatten().collect();
        Ways::new(own, at(self.joined_below, named), others.collect())
    }

    /// Where a point is reached, if it is the parent or one of the others.
    pub fn address_of(&self, point: PointId) -> Option<String> {
        let file = self.file();
        if file.parent == point.as_str() {
            return file.parent_url.clone();
        }
        let others = &file.others;
        let held = others.iter().find(|(other, _)| other == point.as_str());
        held.map(|(_, url)| url.clone())
    }

    /// Keeps the parent and the others. Writes nothing when they are kept already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, parent: &Address, others: &[Address]) -> anyhow::Result<()> {
        let mut file = self.file();
        let mut next = file.clone();
        next.parent = parent.point.to_string();
        next.parent_url = Some(parent.url.clone());
        let elsewhere = parent.point != self.joined_below;
        next.joined_below = elsewhere.then(|| self.joined_below.to_string());
        let others = others.iter();
        next.others = others
            .map(|other| (other.point.to_string(), other.url.clone()))
            .collect();
        if next == *file {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&next)?;
        secret_file::write(&self.directory.join(MEMBERSHIP_FILE), &text)?;
        *file = next;
        Ok(())
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
            hierarchy: HierarchyId(self.hierarchy),
            statement_key: StatementPublicKey(self.statement_key),
            kept: KeptParent::new(directory, self)?,
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
        joined_below: None,
        parent_url: None,
        others: Vec::new(),
        hierarchy: joined.hierarchy.0,
        statement_key: joined.statement_key.0,
        token: *token.secret_hash().as_bytes(),
    };
    secret_file::write(&directory.join(CERTIFICATE_FILE), &joined.certificate_chain)?;
    let text = serde_json::to_string_pretty(&file)?;
    secret_file::write(&directory.join(MEMBERSHIP_FILE), &text)?;
    Ok(file)
}

#[cfg(test)]
impl KeptParent {
    /// The parent of a site that joined just now.
    pub(crate) fn below(parent: &str, directory: &Path) -> Self {
        let file = File {
            site: "PR1".into(),
            kind: "primary".into(),
            parent: parent.into(),
            joined_below: None,
            parent_url: None,
            others: Vec::new(),
            hierarchy: Uuid::nil(),
            statement_key: [0; 32],
            token: [0; 32],
        };
        Self::new(directory, file).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(point: &str, url: &str) -> Address {
        Address {
            point: point.parse().unwrap(),
            url: url.into(),
        }
    }

    fn again(directory: &Path) -> KeptParent {
        let text = secret_file::read(&directory.join(MEMBERSHIP_FILE)).unwrap();
        let file = serde_json::from_str(&text.unwrap()).unwrap();
        KeptParent::new(directory, file).unwrap()
    }

    fn dialled(kept: &KeptParent) -> Vec<String> {
        let ways = kept.ways("https://named:1");
        let dialled = (0..6).map(|failures| ways.after(failures));
        dialled
            .map(|way| format!("{} {}", way.point, way.url))
            .collect()
    }

    #[test]
    fn the_address_that_was_named_comes_first_for_the_parent_that_was_joined() {
        let directory = tempfile::tempdir().unwrap();
        let kept = KeptParent::below("CAS", directory.path());
        assert_eq!(dialled(&kept)[0], "CAS https://named:1");
        kept.keep(&address("CAS", "https://cas:1"), &[]).unwrap();
        let kept = again(directory.path());
        assert_eq!(
            dialled(&kept)[..2],
            ["CAS https://named:1", "CAS https://cas:1"]
        );
    }

    #[test]
    fn another_parent_outlives_the_process_and_the_one_that_was_joined_is_asked_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let kept = KeptParent::below("PR1", directory.path());
        let others = [address("CAS", "https://cas:1")];
        kept.keep(&address("PR1-2", "https://pr1-2:1"), &others)
            .unwrap();
        let kept = again(directory.path());
        assert_eq!(kept.parent(), "PR1-2".parse().unwrap());
        assert_eq!(
            dialled(&kept),
            [
                "PR1-2 https://pr1-2:1",
                "PR1-2 https://named:1",
                "CAS https://cas:1",
                "PR1-2 https://pr1-2:1",
                "PR1 https://named:1",
                "PR1-2 https://named:1",
            ]
        );
        assert_eq!(
            kept.address_of("CAS".parse().unwrap()).unwrap(),
            "https://cas:1"
        );
        // And back.
        kept.keep(&address("PR1", "https://named:1"), &[]).unwrap();
        assert_eq!(again(directory.path()).joined_below, "PR1".parse().unwrap());
    }

    #[test]
    fn the_file_of_an_older_version_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let kept = KeptParent::below("CAS", directory.path());
        let text = serde_json::to_string(&*kept.file()).unwrap();
        assert!(
            !text.contains("joined_below") && !text.contains("others"),
            "{text}"
        );
    }
}
