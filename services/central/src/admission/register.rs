//! The hierarchy's register: which sites there are, and who may become one. The authority's decisions,
//! by its database.

mod joining;
mod place;
pub(crate) mod source;

use catalog::{PointId, SiteKind, may_be_below};
use daemon::Ambient;
use jiff::SignedDuration;
use joining::{Joining, Use};
use journal::{Journal, StatusId};
use link::Site;
use link::address::Address;
use link::moved::{self, Moved};
use link::peer::KeyHash;
use link::reports::Reports;
use link::verdict::{Refused, judge};
use place::{above, place};
use source::{Removal, Rows, Switch, former_parents};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use store::Store;
use store::authority::{JoinTokenRow, SiteRow};
use tokio::time::Instant;
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
/// Points of which a removed one is told where they went: so many fit into a refusal.
const MOVED_IN_A_REFUSAL: usize = 16;
/// Points that are heard of at a time.
const MAX_HEARD: usize = 1024;

/// The sites of a hierarchy.
pub(super) struct Register {
    site: PointId,
    kind: SiteKind,
    authority: Arc<Authority>,
    store: Store,
    journal: Journal,
    reports: Reports,
    ambient: Ambient,
    certificate_validity: Duration,
    /// One change at a time, until what is remembered is what the database says.
    changing: tokio::sync::Mutex<()>,
    /// The sites of the database, so that a report costs no query.
    sites: std::sync::Mutex<BTreeMap<PointId, SiteRow>>,
    /// When points dialled this site that belong elsewhere.
    heard: std::sync::Mutex<BTreeMap<PointId, Instant>>,
    /// Points that were let in since the process started.
    admitted: std::sync::Mutex<BTreeSet<PointId>>,
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

/// What went with a site.
pub struct Removed {
    /// The source that was switched before.
    pub switched: Option<Switch>,
    /// The site itself, if it had joined, and those below it.
    pub sites: Vec<PointId>,
    /// Whether the site has no software update point left.
    pub disabled: bool,
    /// Join tokens that can no longer be used.
    pub join_tokens: u64,
}

impl Register {
    /// The register of a hierarchy, with the sites that its database knows.
    pub(super) async fn load(
        site: &Site,
        authority: Arc<Authority>,
        certificate_validity: Duration,
    ) -> anyhow::Result<Self> {
        let rows = site.store.read().await?.sites().await?;
        let misplaced = |row: &&SiteRow| {
            is_live(row)
                && row.parent == site.code
                && !may_be_below(row.code, row.kind, site.code, site.kind)
        };
        if let Some(row) = rows.iter().find(misplaced) {
            anyhow::bail!(
                "site {} below this site is a {} site, and this one was started as a {} site: start it with \
                 the site-kind that it had",
                row.code,
                row.kind,
                site.kind
            );
        }
        let sites = rows.into_iter().map(|row| (row.code, row)).collect();
        Ok(Self {
            site: site.code,
            kind: site.kind,
            authority,
            store: site.store.clone(),
            journal: site.journal.clone(),
            reports: site.reports.clone(),
            ambient: site.ambient.clone(),
            certificate_validity,
            changing: tokio::sync::Mutex::new(()),
            sites: std::sync::Mutex::new(sites),
            heard: std::sync::Mutex::default(),
            admitted: std::sync::Mutex::default(),
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

    fn sites(&self) -> MutexGuard<'_, BTreeMap<PointId, SiteRow>> {
        // Each change is some insertions.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, site: PointId) -> Option<SiteRow> {
        self.sites().get(&site).cloned()
    }

    pub(super) async fn invite(
        &self,
        site: PointId,
        kind: Option<SiteKind>,
        parent: Option<PointId>,
        validity: Duration,
        by: &str,
    ) -> Result<JoinToken, Status> {
        if validity.is_zero() || validity > MAX_TOKEN_VALIDITY {
            return Err(malformed("a join token can be used for 30 days at most"));
        }
        let now = self.ambient.now();
        let expires = now.checked_add(validity).map_err(malformed)?;
        let turn = self.turn().await?;
        let (kind, parent) = place(&self.sites(), (self.site, self.kind), site, kind, parent)?;
        let mut tx = self.store.begin().await.map_err(internal)?;
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
        let inserts = vec![
            site.to_string(),
            kind.to_string(),
            parent.to_string(),
            expires.to_string(),
            by.to_owned(),
        ];
        let stored = async {
            if let Ok(before) = now.checked_sub(EXPIRED_TOKENS_KEPT) {
                tx.prune_join_tokens(before).await?;
            }
            // Else the older one could take the site to where nobody wants it any more.
            tx.remove_join_tokens_elsewhere(site, kind, parent).await?;
            tx.put_join_token(&row).await?;
            let message = vec![(StatusId::JoinTokenCreated, inserts)];
            let recorded = self.journal.record_within(&mut tx, message).await?;
            tx.commit().await?;
            Ok(recorded)
        };
        let recorded = stored.await.map_err(internal)?;
        drop(turn);
        self.journal.tell(recorded);
        Ok(token)
    }

    /// Makes `to` the source of its site. None when it is.
    pub(super) async fn switch(&self, to: PointId, by: &str) -> Result<Option<Switch>, Status> {
        let turn = self.turn().await?;
        let switch = source::switch(&self.sites(), to);
        let Some(switch) = switch.map_err(Status::failed_precondition)? else {
            return Ok(None);
        };
        let written = async {
            let mut tx = self.store.begin().await?;
            for row in &switch.rows {
                tx.put_site(row).await?;
            }
            let message = vec![switch.message(by)];
            let recorded = self.journal.record_within(&mut tx, message).await?;
            tx.commit().await?;
            Ok(recorded)
        };
        let recorded = match written.await {
            Ok(recorded) => recorded,
            Err(error) => return Err(self.in_doubt(error).await),
        };
        self.took(&switch.rows);
        drop(turn);
        self.journal.tell(recorded);
        Ok(Some(switch))
    }

    /// Takes over what was written.
    fn took(&self, rows: &[SiteRow]) {
        let rows = rows.iter().cloned();
        self.sites().extend(rows.map(|row| (row.code, row)));
    }

    pub(super) async fn remove(
        &self,
        site: PointId,
        new_source: Option<PointId>,
        by: &str,
    ) -> Result<Removed, Status> {
        let turn = self.turn().await?;
        let now = self.ambient.now();
        let removal = source::removal(&self.sites(), site, new_source, now);
        let Removal { switch, removed } = removal.map_err(Status::failed_precondition)?;
        let written = async {
            let mut tx = self.store.begin().await?;
            for row in switch.iter().flat_map(|switch| &switch.rows) {
                tx.put_site(row).await?;
            }
            // A token that was used would bring the site back for the one who holds its key, and one that
            // was not would let it join after all.
            let mut join_tokens = tx.remove_join_tokens(site).await?;
            for row in &removed {
                tx.put_site(row).await?;
                join_tokens += tx.remove_join_tokens(row.code).await?;
            }
            let mut messages: Vec<_> = switch.iter().map(|switch| switch.message(by)).collect();
            let gone = |row: &SiteRow| {
                let inserts = vec![row.code.to_string(), by.to_owned()];
                (StatusId::SiteRemoved, inserts)
            };
            messages.extend(removed.iter().map(gone));
            if removed.is_empty() && join_tokens > 0 {
                let inserts = vec![site.to_string(), join_tokens.to_string(), by.to_owned()];
                messages.push((StatusId::JoinTokensRevoked, inserts));
            }
            let recorded = self.journal.record_within(&mut tx, messages).await?;
            tx.commit().await?;
            Ok((join_tokens, recorded))
        };
        let (join_tokens, recorded) = match written.await {
            Ok(written) => written,
            Err(error) => return Err(self.in_doubt(error).await),
        };
        self.journal.tell(recorded);
        if removed.is_empty() && join_tokens == 0 {
            return Err(Status::not_found(format!(
                "there is no site {site} below this one, and no join token for it"
            )));
        }
        self.took(switch.as_ref().map_or(&[], |switch| &switch.rows));
        self.took(&removed);
        let left = source::points(&self.sites(), site.site()).count();
        drop(turn);
        let codes: Vec<PointId> = removed.iter().map(|row| row.code).collect();
        Ok(Removed {
            switched: switch,
            disabled: !codes.is_empty() && left == 0,
            sites: codes,
            join_tokens,
        })
    }

    pub(super) async fn join(
        &self,
        request: &JoinRequest,
        via: PointId,
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
        let parent = above(&self.sites(), (self.site, self.kind), row.site, row.parent);
        let joining = Joining {
            token: &row,
            held: held.as_ref(),
            parent,
            via,
            key_hash: &key_hash,
            now,
        };
        let used = joining.decide().map_err(Status::permission_denied)?;
        if held.is_none() && tx.count_sites().await.map_err(internal)? >= MAX_SITES {
            return Err(Status::resource_exhausted("the hierarchy is full"));
        }
        let certificate_chain = self.issue(row.site, &request.certificate_request)?;
        let parent = parent.map_or(row.parent, |(parent, _)| parent);
        if used == Use::First {
            let site = SiteRow {
                code: row.site,
                kind: row.kind,
                parent,
                former_parents: former_parents(held.as_ref(), parent),
                joined: now,
                removed: None,
                key_hash: key_hash.to_vec(),
            };
            row.used = Some(now);
            row.key_hash = Some(key_hash.to_vec());
            let inserts = vec![
                row.site.to_string(),
                row.kind.to_string(),
                parent.to_string(),
            ];
            let stored = async {
                tx.put_join_token(&row).await?;
                tx.put_site(&site).await?;
                let message = vec![(StatusId::SiteJoined, inserts)];
                let recorded = self.journal.record_within(&mut tx, message).await?;
                tx.commit().await?;
                Ok(recorded)
            };
            let recorded = match stored.await {
                Ok(recorded) => recorded,
                Err(error) => return Err(self.in_doubt(error).await),
            };
            self.sites().insert(site.code, site);
            drop(turn);
            self.journal.tell(recorded);
        }
        Ok(JoinResponse {
            certificate_chain,
            hierarchy: self.authority.hierarchy().0.as_bytes().to_vec(),
            statement_key: self.authority.statement_key().0.to_vec(),
            site_code: row.site.to_string(),
            site_kind: row.kind.name().to_owned(),
            parent: parent.to_string(),
        })
    }

    fn issue(&self, site: PointId, certificate_request: &str) -> Result<String, Status> {
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

    pub(super) fn admit(&self, child: PointId, key_hash: &KeyHash) -> Result<(), Status> {
        let row = self.known(child);
        let judged = judge(row.as_ref(), child, self.site, key_hash);
        if judged.is_ok() {
            // One for each child at most.
            self.admitted().insert(child);
        }
        judged.map_err(|refused| {
            let genuine = row.filter(|row| row.key_hash == key_hash);
            let moved = match (&refused, genuine) {
                (Refused::Elsewhere { .. }, Some(row)) => {
                    self.note_heard(row.code);
                    self.way_of(&row)
                }
                // What was below it goes on elsewhere, and may have nobody else to hear it from.
                (Refused::Removed { .. }, Some(row)) => {
                    let mut moved = self.moved_around(row.code);
                    moved.truncate(MOVED_IN_A_REFUSAL);
                    moved
                }
                (
                    Refused::Elsewhere { .. }
                    | Refused::Removed { .. }
                    | Refused::Unknown { .. }
                    | Refused::OtherKey { .. },
                    _,
                ) => Vec::new(),
            };
            moved::refusal(refused.into(), &moved)
        })
    }

    /// Where a point belongs; before that, where its parent does if that is a point of the same site: the two may
    /// take each other for their parents.
    fn way_of(&self, row: &SiteRow) -> Vec<Moved> {
        let beside = row.code.is_beside(row.parent);
        let parent = self.known(row.parent).filter(|_| beside);
        let rows = parent.iter().chain([row]);
        rows.filter_map(|row| Moved::of(row, &self.reports))
            .collect()
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<PointId, Instant>> {
        // Each change is one insertion, or an empty map.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admitted(&self) -> MutexGuard<'_, BTreeSet<PointId>> {
        // Each change is one insertion.
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a point was let in since the process started.
    pub(super) fn was_admitted(&self, point: PointId) -> bool {
        self.admitted().contains(&point)
    }

    fn note_heard(&self, point: PointId) {
        let mut heard = self.heard();
        if heard.len() >= MAX_HEARD {
            heard.clear();
        }
        heard.insert(point, Instant::now());
    }

    /// Whether a point that belongs elsewhere dialled this site within such a time.
    pub(super) fn was_heard(&self, point: PointId, within: Duration) -> bool {
        let heard = self.heard().get(&point).copied();
        heard.is_some_and(|at| at.elapsed() <= within)
    }

    /// The rows of all sites, by code.
    pub(super) fn rows(&self) -> Rows {
        self.sites().clone()
    }

    /// The rows as they are told.
    pub(super) fn moved(&self, rows: &[SiteRow]) -> Vec<Moved> {
        let moved = rows.iter().filter_map(|row| Moved::of(row, &self.reports));
        moved.collect()
    }

    pub(super) fn moved_around(&self, child: PointId) -> Vec<Moved> {
        let sites = self.sites();
        let moved = sites.values().filter(|row| {
            let before = row.former_parents.contains(&child);
            let concerned = before || (row.parent == child && !row.former_parents.is_empty());
            is_live(row) && row.code != child && concerned
        });
        let rows: Vec<SiteRow> = moved.cloned().collect();
        drop(sites);
        self.moved(&rows)
    }

    /// Whether a site is or was below the site of `child`, or is a point of it.
    fn is_or_was_below(row: &SiteRow, child: PointId) -> bool {
        let mut above = row.former_parents.iter().chain([&row.code, &row.parent]);
        above.any(|point| point.is_beside(child))
    }

    pub(super) fn spoke_for(&self, child: PointId, site: PointId) -> bool {
        let row = self.known(site).filter(is_live);
        row.is_some_and(|row| Self::is_or_was_below(&row, child))
    }

    pub(super) fn may_speak_for(&self, child: PointId, site: PointId) -> bool {
        self.known(site).is_some_and(|row| {
            let itself = row.code == child && row.parent == self.site;
            is_live(&row) && (itself || row.parent == child)
        })
    }

    pub(super) fn may_relay_for(&self, child: PointId, site: PointId) -> bool {
        // What one point of a site took in, another may hand on.
        self.known(site)
            .is_some_and(|row| Self::is_or_was_below(&row, child))
    }

    pub(super) fn removed_below(&self, child: PointId) -> Vec<PointId> {
        let sites = self.sites();
        let removed = sites
            .values()
            .filter(|row| !is_live(row) && row.parent == child);
        removed.map(|row| row.code).collect()
    }

    pub(super) fn renew(&self, site: PointId, certificate_request: &str) -> Result<String, Status> {
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
        child: PointId,
        site: PointId,
    ) -> Result<DescribeSiteResponse, Status> {
        let row = self.known(site);
        let below = |row: &SiteRow| row.code != child && Self::is_or_was_below(row, child);
        let Some(row) = row.filter(below) else {
            return Err(Status::not_found(format!(
                "site {site} did not join below site {child}"
            )));
        };
        Ok(DescribeSiteResponse {
            site_kind: row.kind.name().to_owned(),
            parent: row.parent.to_string(),
            parent_url: Address::reported(&self.reports, row.parent)
                .map_or_else(String::new, |address| address.url),
            key_hash: row.key_hash,
            removed: row.removed.is_some(),
        })
    }
}

#[cfg(test)]
mod tests;
