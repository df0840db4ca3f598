//! Who belongs to the hierarchy: the authority's decisions, by its database.

use catalog::{SiteCode, SiteKind};
use daemon::Ambient;
use journal::{Journal, StatusId};
use link::Admission;
use link::site::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::Store;
use store::authority::{JoinTokenRow, SiteRow};
use tonic::Status;
use trust::authority::request_key_hash;
use trust::token::{Invitation, JoinToken};
use trust::{Authority, SiteIdentity};
use wire::v1::{JoinRequest, JoinResponse};

/// Sites of a hierarchy at most: far above what one is known to have.
pub const MAX_SITES: usize = 20_000;
/// Longest time that a join token may be used.
pub const MAX_TOKEN_VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The admission of a top-level site.
pub struct CentralAdmission {
    site: SiteCode,
    authority: Arc<Authority>,
    store: Store,
    journal: Journal,
    ambient: Ambient,
    certificate_validity: Duration,
    /// The sites of the database, so that a report costs no query.
    sites: Mutex<HashMap<SiteCode, SiteRow>>,
}

/// A failure of the database while someone waits at the door.
fn internal(error: store::Error) -> Status {
    tracing::error!(%error, "the admission of a site failed");
    Status::internal("the site's database failed; its journal says more")
}

impl CentralAdmission {
    /// The admission of a site, with the sites that its database knows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        site: SiteCode,
        authority: Arc<Authority>,
        store: Store,
        journal: Journal,
        ambient: Ambient,
        certificate_validity: Duration,
    ) -> Result<Self, store::Error> {
        let rows = store.read().await?.sites().await?;
        let sites = rows.into_iter().map(|row| (row.code, row)).collect();
        Ok(Self {
            site,
            authority,
            store,
            journal,
            ambient,
            certificate_validity,
            sites: Mutex::new(sites),
        })
    }

    fn sites(&self) -> std::sync::MutexGuard<'_, HashMap<SiteCode, SiteRow>> {
        // Each change is one insertion.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, site: SiteCode) -> Option<SiteRow> {
        self.sites().get(&site).cloned()
    }

    fn kind_of(&self, site: SiteCode) -> Option<SiteKind> {
        if site == self.site {
            return Some(SiteKind::Central);
        }
        self.known(site)
            .filter(|row| row.removed.is_none())
            .map(|row| row.kind)
    }

    /// Makes a one-time token for a site.
    ///
    /// # Errors
    /// When the hierarchy has no place for such a site.
    pub async fn invite(
        &self,
        site: SiteCode,
        kind: SiteKind,
        parent: Option<SiteCode>,
        validity: Duration,
    ) -> Result<JoinToken, Status> {
        let parent = parent.unwrap_or(self.site);
        let Some(parent_kind) = self.kind_of(parent) else {
            return Err(Status::not_found(format!(
                "there is no site {parent} in this hierarchy that could be the parent"
            )));
        };
        if !kind.may_join_under(parent_kind) {
            return Err(Status::invalid_argument(format!(
                "a {kind} site cannot be below {parent}, which is a {parent_kind} site"
            )));
        }
        if site == self.site {
            return Err(Status::already_exists(format!(
                "{site} is the code of this site"
            )));
        }
        if let Some(held) = self.known(site).filter(|held| held.removed.is_none())
            && (held.kind, held.parent) != (kind, parent)
        {
            return Err(Status::already_exists(format!(
                "site {site} is a {} site below {}: remove it before it joins elsewhere",
                held.kind, held.parent
            )));
        }
        if validity.is_zero() || validity > MAX_TOKEN_VALIDITY {
            return Err(Status::invalid_argument(
                "a join token can be used for 30 days at most",
            ));
        }
        let now = self.ambient.now();
        let expires = now
            .checked_add(validity)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let invitation = Invitation {
            hierarchy: self.authority.hierarchy(),
            site,
            kind,
            parent,
            expires,
            authority_pin: self.authority.pin(),
        };
        let token = JoinToken::new(invitation, &mut self.ambient.new_rng());
        let row = JoinTokenRow {
            secret_hash: token.secret_hash().as_bytes().to_vec(),
            site,
            kind,
            parent,
            expires,
            used: None,
            key_hash: None,
        };
        let month = jiff::SignedDuration::from_hours(30 * 24);
        let stored = async {
            let mut tx = self.store.begin().await?;
            if let Ok(before) = now.checked_sub(month) {
                tx.prune_join_tokens(before).await?;
            }
            tx.put_join_token(&row).await?;
            tx.commit().await
        };
        stored.await.map_err(internal)?;
        Ok(token)
    }

    /// Removes a site and all sites below it; their certificates are refused from now on. The sites
    /// that were removed.
    ///
    /// # Errors
    /// When there is no such site.
    pub async fn remove(&self, site: SiteCode, by: &str) -> Result<Vec<SiteCode>, Status> {
        if self.known(site).is_none_or(|row| row.removed.is_some()) {
            return Err(Status::not_found(format!(
                "there is no site {site} below this one"
            )));
        }
        let mut removed = vec![site];
        let below = self
            .sites()
            .values()
            .filter(|row| row.removed.is_none() && row.parent == site)
            .map(|row| row.code)
            .collect::<Vec<_>>();
        removed.extend(below);
        for code in &removed {
            let Some(mut row) = self.known(*code) else {
                continue;
            };
            row.removed = Some(self.ambient.now());
            let stored = async {
                let mut tx = self.store.begin().await?;
                tx.put_site(&row).await?;
                tx.remove_site_report(*code).await?;
                tx.commit().await
            };
            stored.await.map_err(internal)?;
            self.sites().insert(*code, row);
            self.journal
                .record(
                    StatusId::SiteRemoved,
                    None,
                    vec![code.to_string(), by.to_owned()],
                )
                .await;
        }
        Ok(removed)
    }

    async fn try_join(&self, request: &JoinRequest, via: SiteCode) -> Result<JoinResponse, Status> {
        let denied = |why: String| Status::permission_denied(why);
        let token = JoinToken::decode(&request.token)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let key_hash = request_key_hash(&request.certificate_request)
            .map_err(|error| Status::invalid_argument(error.to_string()))?
            .to_vec();
        let now = self.ambient.now();
        let hash = token.secret_hash();
        let mut tx = self.store.begin().await.map_err(internal)?;
        let held = tx.join_token(hash.as_bytes()).await.map_err(internal)?;
        let Some(mut row) = held else {
            return Err(denied(
                "this hierarchy did not make the join token, or forgot it: make a new one".into(),
            ));
        };
        let again = row.key_hash.as_ref() == Some(&key_hash);
        if row.used.is_some() && !again {
            return Err(denied(format!(
                "the join token for site {} was used already: make a new one",
                row.site
            )));
        }
        if now >= row.expires {
            return Err(denied(format!(
                "the join token for site {} expired at {}: make a new one",
                row.site, row.expires
            )));
        }
        if row.parent != via {
            return Err(denied(format!(
                "the join token is for a site below {}, but {via} was dialled: use the address of {}",
                row.parent, row.parent
            )));
        }
        if self
            .kind_of(row.parent)
            .is_none_or(|parent| !row.kind.may_join_under(parent))
        {
            return Err(denied(format!(
                "site {} is no longer there to be the parent",
                row.parent
            )));
        }
        if self.sites().len() >= MAX_SITES {
            return Err(Status::resource_exhausted("the hierarchy is full"));
        }
        let certificate_chain = self.issue(row.site, &request.certificate_request)?;
        let site = SiteRow {
            code: row.site,
            kind: row.kind,
            parent: row.parent,
            joined: now,
            removed: None,
            key_hash: key_hash.clone(),
        };
        row.used = Some(row.used.unwrap_or(now));
        row.key_hash = Some(key_hash);
        tx.put_join_token(&row).await.map_err(internal)?;
        tx.put_site(&site).await.map_err(internal)?;
        tx.commit().await.map_err(internal)?;
        self.sites().insert(site.code, site);
        if !again {
            self.journal
                .record(
                    StatusId::SiteJoined,
                    None,
                    vec![
                        row.site.to_string(),
                        row.kind.to_string(),
                        row.parent.to_string(),
                    ],
                )
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
            .map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

impl Admission for CentralAdmission {
    fn admit(&self, child: SiteCode) -> BoxFuture<'_, Result<(), Status>> {
        let admitted = match self.known(child) {
            None => Err(Status::permission_denied(format!(
                "site {child} did not join this hierarchy"
            ))),
            Some(row) if row.removed.is_some() => Err(Status::permission_denied(format!(
                "site {child} was removed from the hierarchy: it can join again with a new token"
            ))),
            Some(row) if row.parent != self.site => Err(Status::permission_denied(format!(
                "site {child} belongs below {}, not below {}",
                row.parent, self.site
            ))),
            Some(_) => Ok(()),
        };
        Box::pin(std::future::ready(admitted))
    }

    fn may_speak_for(&self, child: SiteCode, site: SiteCode) -> BoxFuture<'_, bool> {
        let may = site == child
            || self
                .known(site)
                .is_some_and(|row| row.parent == child && row.removed.is_none());
        Box::pin(std::future::ready(may))
    }

    fn removed_below(&self, child: SiteCode) -> BoxFuture<'_, Vec<SiteCode>> {
        let removed = self
            .sites()
            .values()
            .filter(|row| row.removed.is_some() && row.parent == child)
            .map(|row| row.code)
            .collect();
        Box::pin(std::future::ready(removed))
    }

    fn join<'a>(
        &'a self,
        request: JoinRequest,
        via: SiteCode,
        _address: &'a str,
    ) -> BoxFuture<'a, Result<JoinResponse, Status>> {
        Box::pin(async move { self.try_join(&request, via).await })
    }

    fn renew<'a>(
        &'a self,
        site: SiteCode,
        certificate_request: &'a str,
    ) -> BoxFuture<'a, Result<String, Status>> {
        let renewed = match self.known(site) {
            Some(row) if row.removed.is_none() => self.issue(site, certificate_request),
            Some(_) | None => Err(Status::permission_denied(format!(
                "site {site} is not in this hierarchy"
            ))),
        };
        Box::pin(std::future::ready(renewed))
    }
}
