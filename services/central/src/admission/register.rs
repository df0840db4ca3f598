//! The hierarchy's register: which sites there are, and who may become one. The authority's decisions,
//! by its database.

use catalog::{SiteCode, SiteKind};
use daemon::Ambient;
use jiff::{SignedDuration, Timestamp};
use journal::{Journal, StatusId};
use link::peer::KeyHash;
use link::verdict::judge;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use store::authority::{JoinTokenRow, SiteRow};
use store::{Store, Tx};
use tonic::Status;
use trust::authority::request_key_hash;
use trust::token::{Invitation, JoinToken};
use trust::{Authority, SiteIdentity};
use wire::v1::{DescribeSiteResponse, JoinRequest, JoinResponse};

/// Sites of a hierarchy at most, removed ones included: far above what one is known to have.
pub const MAX_SITES: u64 = 20_000;
/// Longest time that a join token may be used.
pub const MAX_TOKEN_VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a join token is kept after it expired, so that its use is refused with a reason.
const EXPIRED_TOKENS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So many sites that a site belonged to are remembered.
const FORMER_PARENTS: usize = 16;

/// The sites of a hierarchy.
pub(super) struct Register {
    site: SiteCode,
    kind: SiteKind,
    authority: Arc<Authority>,
    store: Store,
    journal: Journal,
    ambient: Ambient,
    certificate_validity: Duration,
    /// One change at a time, until what is remembered is what the database says.
    changing: tokio::sync::Mutex<()>,
    /// The sites of the database, so that a report costs no query.
    sites: std::sync::Mutex<BTreeMap<SiteCode, SiteRow>>,
    /// Whether a change may have taken place of which the database only told a failure.
    unsure: AtomicBool,
}

/// A failure of the database while someone waits at the door.
fn internal(error: store::Error) -> Status {
    tracing::error!(%error, "the admission of a site failed");
    Status::internal("the site's database failed; its journal says more")
}

fn malformed(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

fn is_live(row: &SiteRow) -> bool {
    row.removed.is_none()
}

/// What is known of a site, for someone who wants to put another in its place.
fn taken(held: &SiteRow) -> String {
    format!(
        "site {} is a {} site below {}: remove it before it joins elsewhere",
        held.code, held.kind, held.parent
    )
}

/// The sites that one belonged to before it joins below `parent`, the latest last.
fn former_parents(held: Option<SiteRow>, parent: SiteCode) -> Vec<SiteCode> {
    let Some(held) = held else {
        return Vec::new();
    };
    let mut former = held.former_parents;
    former.retain(|code| *code != held.parent);
    former.push(held.parent);
    former.retain(|code| *code != parent);
    let forgotten = former.len().saturating_sub(FORMER_PARENTS);
    former.split_off(forgotten)
}

/// What a join token may be used for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The site joins.
    First,
    /// The site that joined with it did not hear our answer.
    Again,
}

/// Who presents a join token, and what the database knows at that moment.
struct Joining<'a> {
    token: &'a JoinTokenRow,
    /// The site of the token, removed or not.
    held: Option<&'a SiteRow>,
    /// Kind of the token's parent, if that is in the hierarchy.
    parent: Option<SiteKind>,
    /// The site that was dialled.
    via: SiteCode,
    key_hash: &'a KeyHash,
    now: Timestamp,
}

impl Joining<'_> {
    /// Whether the token may be used; the error says why not.
    fn decide(&self) -> Result<Use, String> {
        let token = self.token;
        let by_this_key = token.key_hash.as_deref() == Some(self.key_hash);
        if token.used.is_some() && !by_this_key {
            return Err(format!(
                "the join token for site {} was used already: make a new one",
                token.site
            ));
        }
        if self.now >= token.expires {
            return Err(format!(
                "the join token for site {} expired at {}: make a new one",
                token.site, token.expires
            ));
        }
        if token.parent != self.via {
            return Err(format!(
                "the join token is for a site below {}, but {} was dialled: use the address of {}",
                token.parent, self.via, token.parent
            ));
        }
        if self
            .parent
            .is_none_or(|parent| !token.kind.may_join_under(parent))
        {
            return Err(format!(
                "site {} is no longer there to be the parent",
                token.parent
            ));
        }
        let held = self.held.filter(|held| is_live(held));
        if token.used.is_none() {
            return match held {
                Some(held) if (held.kind, held.parent) != (token.kind, token.parent) => {
                    Err(taken(held))
                }
                Some(_) | None => Ok(Use::First),
            };
        }
        let same = held.is_some_and(|held| {
            (held.kind, held.parent) == (token.kind, token.parent) && held.key_hash == self.key_hash
        });
        if !same {
            return Err(format!(
                "the join token for site {0} was used already, and site {0} was removed or joined anew \
                 since: make a new one",
                token.site
            ));
        }
        Ok(Use::Again)
    }
}

/// What went with a site.
pub struct Removed {
    /// The site itself, if it had joined, and those below it.
    pub sites: Vec<SiteCode>,
    /// Join tokens that can no longer be used.
    pub join_tokens: u64,
}

impl Register {
    /// The register of a hierarchy, with the sites that its database knows.
    pub(super) async fn load(
        (site, kind): (SiteCode, SiteKind),
        authority: Arc<Authority>,
        store: Store,
        journal: Journal,
        ambient: Ambient,
        certificate_validity: Duration,
    ) -> anyhow::Result<Self> {
        let rows = store.read().await?.sites().await?;
        let misplaced =
            |row: &&SiteRow| is_live(row) && row.parent == site && !row.kind.may_join_under(kind);
        if let Some(row) = rows.iter().find(misplaced) {
            anyhow::bail!(
                "site {} below this site is a {} site, and this one was started as a {kind} site: start it \
                 with the site-kind that it had",
                row.code,
                row.kind
            );
        }
        let sites = rows.into_iter().map(|row| (row.code, row)).collect();
        Ok(Self {
            site,
            kind,
            authority,
            store,
            journal,
            ambient,
            certificate_validity,
            changing: tokio::sync::Mutex::new(()),
            sites: std::sync::Mutex::new(sites),
            unsure: AtomicBool::new(false),
        })
    }

    /// Waits for the turn to change something. What is remembered is then what the database says.
    async fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, Status> {
        let turn = self.changing.lock().await;
        if self.unsure.load(Ordering::Relaxed) {
            self.recall().await.map_err(internal)?;
        }
        Ok(turn)
    }

    /// Takes over what the database says.
    async fn recall(&self) -> Result<(), store::Error> {
        let rows = self.store.read().await?.sites().await?;
        *self.sites() = rows.into_iter().map(|row| (row.code, row)).collect();
        self.unsure.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// A change failed that may have taken place all the same: a commit whose answer was lost.
    async fn in_doubt(&self, error: store::Error) -> Status {
        self.unsure.store(true, Ordering::Relaxed);
        if let Err(error) = self.recall().await {
            tracing::error!(%error, "the sites cannot be read; the next change tries again");
        }
        internal(error)
    }

    fn sites(&self) -> MutexGuard<'_, BTreeMap<SiteCode, SiteRow>> {
        // Each change is some insertions.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, site: SiteCode) -> Option<SiteRow> {
        self.sites().get(&site).cloned()
    }

    /// The kind of a site that is in the hierarchy.
    async fn kind_in(
        &self,
        tx: &mut Tx<'_>,
        site: SiteCode,
    ) -> Result<Option<SiteKind>, store::Error> {
        if site == self.site {
            return Ok(Some(self.kind));
        }
        let row = tx.site(site).await?.filter(is_live);
        Ok(row.map(|row| row.kind))
    }

    pub(super) async fn invite(
        &self,
        site: SiteCode,
        kind: SiteKind,
        parent: Option<SiteCode>,
        validity: Duration,
        by: &str,
    ) -> Result<JoinToken, Status> {
        let parent = parent.unwrap_or(self.site);
        if site == self.site {
            return Err(Status::already_exists(format!(
                "{site} is the code of this site"
            )));
        }
        if validity.is_zero() || validity > MAX_TOKEN_VALIDITY {
            return Err(malformed("a join token can be used for 30 days at most"));
        }
        let now = self.ambient.now();
        let expires = now.checked_add(validity).map_err(malformed)?;
        let mut tx = self.store.begin().await.map_err(internal)?;
        let Some(parent_kind) = self.kind_in(&mut tx, parent).await.map_err(internal)? else {
            return Err(Status::not_found(format!(
                "there is no site {parent} in this hierarchy that could be the parent"
            )));
        };
        if !kind.may_join_under(parent_kind) {
            return Err(malformed(format_args!(
                "a {kind} site cannot be below {parent}, which is a {parent_kind} site: {}",
                match parent_kind {
                    SiteKind::Central => "below a central site there are primary sites",
                    SiteKind::Primary => "below a primary site there are secondary sites",
                    SiteKind::Secondary => "a secondary site has no sites below it",
                }
            )));
        }
        if let Some(held) = tx.site(site).await.map_err(internal)?.filter(is_live)
            && (held.kind, held.parent) != (kind, parent)
        {
            return Err(Status::already_exists(taken(&held)));
        }
        let invitation = Invitation {
            hierarchy: self.authority.hierarchy(),
            site,
            kind,
            parent,
            expires,
            authority_pin: self.authority.pin(),
        };
        let token = JoinToken::new(invitation, &mut self.ambient.new_rng());
        // In whole seconds: the end that stands in the token is the one that counts.
        let expires = token.expires;
        let row = JoinTokenRow {
            secret_hash: token.secret_hash().as_bytes().to_vec(),
            site,
            kind,
            parent,
            // As the token says it: in whole seconds.
            expires: token.expires,
            used: None,
            key_hash: None,
        };
        let stored = async {
            if let Ok(before) = now.checked_sub(EXPIRED_TOKENS_KEPT) {
                tx.prune_join_tokens(before).await?;
            }
            // Else the older one could take the site to where nobody wants it any more.
            tx.remove_join_tokens_elsewhere(site, kind, parent).await?;
            tx.put_join_token(&row).await?;
            tx.commit().await
        };
        stored.await.map_err(internal)?;
        let inserts = vec![
            site.to_string(),
            kind.to_string(),
            parent.to_string(),
            expires.to_string(),
            by.to_owned(),
        ];
        self.journal
            .record(StatusId::JoinTokenCreated, None, inserts)
            .await;
        Ok(token)
    }

    pub(super) async fn remove(&self, site: SiteCode, by: &str) -> Result<Removed, Status> {
        let turn = self.turn().await?;
        let removed = async {
            let now = self.ambient.now();
            let mut tx = self.store.begin().await?;
            let mut removed = Vec::new();
            // A token that was used would bring the site back for the one who holds its key, and one that
            // was not would let it join after all.
            let mut join_tokens = tx.remove_join_tokens(site).await?;
            let mut left: Vec<SiteRow> = tx.site(site).await?.filter(is_live).into_iter().collect();
            while let Some(mut row) = left.pop() {
                row.removed = Some(now);
                tx.put_site(&row).await?;
                join_tokens += tx.remove_join_tokens(row.code).await?;
                left.extend(tx.sites_below(row.code).await?);
                removed.push(row);
            }
            tx.commit().await?;
            Ok((removed, join_tokens))
        };
        let (removed, join_tokens) = match removed.await {
            Ok(removed) => removed,
            Err(error) => return Err(self.in_doubt(error).await),
        };
        if removed.is_empty() && join_tokens == 0 {
            return Err(Status::not_found(format!(
                "there is no site {site} below this one, and no join token for it"
            )));
        }
        let codes: Vec<SiteCode> = removed.iter().map(|row| row.code).collect();
        self.sites()
            .extend(removed.into_iter().map(|row| (row.code, row)));
        drop(turn);
        for code in &codes {
            let inserts = vec![code.to_string(), by.to_owned()];
            self.journal
                .record(StatusId::SiteRemoved, None, inserts)
                .await;
        }
        if codes.is_empty() {
            let inserts = vec![site.to_string(), join_tokens.to_string(), by.to_owned()];
            self.journal
                .record(StatusId::JoinTokensRevoked, None, inserts)
                .await;
        }
        Ok(Removed {
            sites: codes,
            join_tokens,
        })
    }

    pub(super) async fn join(
        &self,
        request: &JoinRequest,
        via: SiteCode,
    ) -> Result<JoinResponse, Status> {
        let token = JoinToken::decode(&request.token).map_err(malformed)?;
        let key_hash = request_key_hash(&request.certificate_request).map_err(malformed)?;
        let now = self.ambient.now();
        let turn = self.turn().await?;
        let mut tx = self.store.begin().await.map_err(internal)?;
        let row = tx.join_token(token.secret_hash().as_bytes()).await;
        let Some(mut row) = row.map_err(internal)? else {
            return Err(Status::permission_denied(
                "this hierarchy did not make the join token, or forgot it: make a new one",
            ));
        };
        let held = tx.site(row.site).await.map_err(internal)?;
        let joining = Joining {
            token: &row,
            held: held.as_ref(),
            parent: self.kind_in(&mut tx, row.parent).await.map_err(internal)?,
            via,
            key_hash: &key_hash,
            now,
        };
        let used = joining.decide().map_err(Status::permission_denied)?;
        if held.is_none() && tx.count_sites().await.map_err(internal)? >= MAX_SITES {
            return Err(Status::resource_exhausted("the hierarchy is full"));
        }
        let certificate_chain = self.issue(row.site, &request.certificate_request)?;
        if used == Use::First {
            let site = SiteRow {
                code: row.site,
                kind: row.kind,
                parent: row.parent,
                former_parents: former_parents(held, row.parent),
                joined: now,
                removed: None,
                key_hash: key_hash.to_vec(),
            };
            row.used = Some(now);
            row.key_hash = Some(key_hash.to_vec());
            let stored = async {
                tx.put_join_token(&row).await?;
                tx.put_site(&site).await?;
                tx.commit().await
            };
            if let Err(error) = stored.await {
                return Err(self.in_doubt(error).await);
            }
            self.sites().insert(site.code, site);
            drop(turn);
            let inserts = vec![
                row.site.to_string(),
                row.kind.to_string(),
                row.parent.to_string(),
            ];
            self.journal
                .record(StatusId::SiteJoined, None, inserts)
                .await;
        }
        Ok(JoinResponse {
            certificate_chain,
            hierarchy: self.authority.hierarchy().0.as_bytes().to_vec(),
            statement_key: self.authority.statement_key().0.to_vec(),
            site_code: row.site.to_string(),
            site_kind: row.kind.name().to_owned(),
            parent: row.parent.to_string(),
        })
    }

    fn issue(&self, site: SiteCode, certificate_request: &str) -> Result<String, Status> {
        let identity = SiteIdentity::new(self.authority.hierarchy(), site);
        self.authority
            .issue(
                certificate_request,
                &identity,
                self.certificate_validity,
                self.ambient.now(),
                &mut self.ambient.new_rng(),
            )
            .map(|issued| issued.pem_chain)
            .map_err(malformed)
    }

    pub(super) fn admit(&self, child: SiteCode, key_hash: &KeyHash) -> Result<(), Status> {
        let row = self.known(child);
        Ok(judge(row.as_ref(), child, self.site, key_hash)?)
    }

    pub(super) fn may_speak_for(&self, child: SiteCode, site: SiteCode) -> bool {
        self.known(site)
            .is_some_and(|row| is_live(&row) && (row.code == child || row.parent == child))
    }

    pub(super) fn may_relay_for(&self, child: SiteCode, site: SiteCode) -> bool {
        self.known(site).is_some_and(|row| {
            row.code == child || row.parent == child || row.former_parents.contains(&child)
        })
    }

    pub(super) fn removed_below(&self, child: SiteCode) -> Vec<SiteCode> {
        let sites = self.sites();
        let removed = sites
            .values()
            .filter(|row| !is_live(row) && row.parent == child);
        removed.map(|row| row.code).collect()
    }

    pub(super) fn renew(
        &self,
        site: SiteCode,
        certificate_request: &str,
    ) -> Result<String, Status> {
        let Some(row) = self.known(site).filter(is_live) else {
            return Err(Status::permission_denied(format!(
                "site {site} is not in this hierarchy"
            )));
        };
        let key_hash = request_key_hash(certificate_request).map_err(malformed)?;
        if row.key_hash != key_hash {
            return Err(Status::permission_denied(format!(
                "site {site} joined with another key than the one of the certificate request: to \
                 change the key, join again with a new token"
            )));
        }
        self.issue(site, certificate_request)
    }

    pub(super) fn describe(
        &self,
        child: SiteCode,
        site: SiteCode,
    ) -> Result<DescribeSiteResponse, Status> {
        let row = self.known(site).filter(|row| row.parent == child);
        let Some(row) = row else {
            return Err(Status::not_found(format!(
                "site {site} did not join below site {child}"
            )));
        };
        Ok(DescribeSiteResponse {
            site_kind: row.kind.name().to_owned(),
            parent: row.parent.to_string(),
            key_hash: row.key_hash,
            removed: row.removed.is_some(),
        })
    }
}

#[cfg(test)]
mod tests;
