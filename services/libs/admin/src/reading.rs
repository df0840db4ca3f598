//! Everything that only reads, decoded, authorized, looked up and encoded again.

use crate::listening::Listeners;
use crate::messages;
use crate::updates::{self, Catalog};
use catalog::PointId;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use journal::StatusId;
use link::Site;
use link::log_route::{Lines, LogRouter};
use settings::roll_out::RollOut;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::access::{AccessTokenRow, MAX_ACCESS_TOKENS};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use trust::{AccessToken, AuthorityPin, PersonCertificate, Role};
use wire::convert;
use wire::v1::{
    EffectiveSetting, GetUpdateRequest, GetUpdateResponse, ListSitesRequest, ListSitesResponse,
    ListStatusMessagesRequest, ListStatusMessagesResponse, ListUpdatesRequest, ListUpdatesResponse,
    ReadLogRequest, ReadLogResponse, WatchSyncRequest, WatchSyncResponse,
};

/// Changes are gathered this long before they are told.
const GATHER: Duration = Duration::from_millis(100);

/// A stream of answers.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// The reading part of the admin API. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    /// The site.
    pub site: Site,
    /// Logs of this site and of those below it.
    pub logs: LogRouter,
    /// The verified catalog.
    pub catalog: Arc<Catalog>,
    /// The settings in force here; none where none are known yet.
    pub settings: watch::Receiver<Option<Arc<RollOut>>>,
    /// Fingerprint of the authority, which access tokens name.
    pub pin: AuthorityPin,
    /// Who listens.
    pub listeners: Listeners,
    /// Ends the streams that would go on for ever.
    pub stop: CancellationToken,
}

/// Who calls.
pub struct Caller {
    /// Name of the access token, or of the person in the client certificate.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it ends; none: when it is revoked.
    pub(crate) expires: Option<Timestamp>,
    /// By what the site knows it.
    shown: Shown,
}

impl Caller {
    /// What it shows, for people.
    pub(crate) fn what(&self) -> String {
        self.shown.what(&self.name)
    }
}

/// What a caller shows.
#[derive(Debug, Clone)]
struct Shown {
    /// Under what the database knows it.
    lookup: [u8; 32],
    /// The name in the client certificate; none: it is an access token.
    certified: Option<String>,
}

impl Shown {
    /// Its name for people.
    fn what(&self, name: &str) -> String {
        match self.certified {
            None => format!("the access token {name:?}"),
            Some(_) => format!("the client certificate of {name}"),
        }
    }

    /// It is not known here, or not any more.
    fn unknown(&self, here: PointId) -> Status {
        match &self.certified {
            None => needs_token(),
            Some(name) => Status::unauthenticated(format!(
                "{here} does not know the client certificate of {name}, or not any more: an administrator there issues \
                 another (headwater access certificate)"
            )),
        }
    }
}

fn needs_token() -> Status {
    Status::unauthenticated("this call needs an access token of this hierarchy")
}

/// A failure of the database, told to the journal and not to the caller.
pub fn internal(error: store::Error) -> Status {
    tracing::error!(%error, "a call could not be served");
    Status::internal("the site's database failed; its journal says more")
}

impl Reading {
    /// Who calls, if the access token, or else the client certificate, allows what is asked.
    ///
    /// # Errors
    /// When there is no token and no certificate that this site knows, or it has not the role.
    pub async fn authorize<T>(&self, request: &Request<T>, needed: Role) -> Result<Caller, Status> {
        let shown = match request.metadata().get("authorization") {
            // Who presents a token means it, whatever the connection shows besides.
            Some(word) => self.token(word.to_str().ok())?,
            None => self.certificate(request.extensions().get::<PersonCertificate>())?,
        };
        let found = self.held(&shown).await?;
        let found = found.ok_or_else(|| shown.unknown(self.site.code))?;
        let what = shown.what(&found.name);
        let role: Role = found
            .role
            .parse()
            .map_err(|_| Status::internal("the role of the access token is not known"))?;
        if !role.may(needed) {
            return Err(Status::permission_denied(format!(
                "this needs the role {}, and {what} has the role {}",
                needed.name(),
                role.name()
            )));
        }
        Ok(Caller {
            name: found.name,
            role,
            expires: found.expires,
            shown,
        })
    }

    /// What the database holds of what a caller shows; none where it holds nothing, or nothing any more.
    async fn held(&self, shown: &Shown) -> Result<Option<AccessTokenRow>, Status> {
        let found = async {
            let mut read = self.site.store.read().await?;
            read.access_token(&shown.lookup).await
        };
        let found = found.await.map_err(internal)?;
        let found = found.filter(|found| match &shown.certified {
            None => !found.certificate,
            Some(name) => found.certificate && found.name == *name,
        });
        let now = self.site.ambient.now();
        let ended = |found: &AccessTokenRow| found.expires.is_some_and(|expires| expires <= now);
        match found {
            Some(found) if ended(&found) => Err(Status::unauthenticated(format!(
                "{} has expired: ask an administrator for another",
                shown.what(&found.name)
            ))),
            found => Ok(found),
        }
    }

    /// Looks whether what somebody who called showed is still good.
    ///
    /// # Errors
    /// When it is not, or that cannot be found out.
    pub(crate) async fn look_at(&self, caller: &Caller) -> Result<(), Status> {
        let revoked = || {
            Status::unauthenticated(format!(
                "{} was revoked: ask an administrator for another",
                caller.what()
            ))
        };
        self.held(&caller.shown)
            .await?
            .map(drop)
            .ok_or_else(revoked)
    }

    /// The access token of a header.
    fn token(&self, word: Option<&str>) -> Result<Shown, Status> {
        let word = word.and_then(|word| word.strip_prefix("Bearer "));
        let token = AccessToken::decode(word.ok_or_else(needs_token)?)
            .map_err(|error| Status::unauthenticated(error.to_string()))?;
        if token.authority_pin != self.pin {
            return Err(Status::unauthenticated(
                "the access token is of another hierarchy",
            ));
        }
        Ok(Shown {
            lookup: *token.hash().as_bytes(),
            certified: None,
        })
    }

    /// The certificate of a person that the connection showed.
    fn certificate(&self, certificate: Option<&PersonCertificate>) -> Result<Shown, Status> {
        let certificate = certificate.ok_or_else(needs_token)?;
        let identity = certificate.identity();
        if identity.hierarchy() != self.site.hierarchy {
            return Err(Status::unauthenticated(
                "the client certificate is of another hierarchy",
            ));
        }
        Ok(Shown {
            lookup: certificate.lookup(),
            certified: Some(identity.name().to_owned()),
        })
    }

    /// Writes down an access token or a certificate with the message that says so, in one unit of work: there is none of
    /// which the journal says nothing.
    ///
    /// # Errors
    /// When its name is taken, or there are too many.
    pub async fn keep_access(
        &self,
        lookup: &[u8],
        row: &AccessTokenRow,
        message: (StatusId, Vec<String>),
    ) -> Result<(), Status> {
        let site = &self.site;
        let kept = async {
            let mut tx = site.store.begin().await?;
            let held = tx.access_token_names().await?;
            let taken = held.contains(&row.name);
            if !taken && held.len() < MAX_ACCESS_TOKENS {
                tx.put_access_token(lookup, row).await?;
                let recorded = site.journal.record_within(&mut tx, vec![message]).await?;
                tx.commit().await?;
                site.journal.tell(recorded);
            }
            Ok((taken, held.len()))
        };
        let (taken, held) = kept.await.map_err(internal)?;
        if taken {
            return Err(Status::already_exists(format!(
                "there is an access token {:?} at {} already: take another name, or revoke it first",
                row.name, site.code
            )));
        }
        if held >= MAX_ACCESS_TOKENS {
            return Err(Status::resource_exhausted(format!(
                "{} has {MAX_ACCESS_TOKENS} access tokens, and keeps no more: revoke some",
                site.code
            )));
        }
        Ok(())
    }

    /// The parent; none at the top-level site.
    pub(crate) fn parent(&self) -> Option<PointId> {
        let parent = self.site.parent.borrow();
        parent.as_ref().map(|parent| parent.point)
    }

    /// What this site is, and where its settings, approvals and synchronizations are decided.
    pub fn role(&self) -> String {
        let code = self.site.code;
        let Some(parent) = self.parent() else {
            return format!(
                "{code} is the top-level site: settings, approvals and synchronization are decided here"
            );
        };
        let settings = self.settings.borrow();
        let top = match settings.as_deref() {
            Some(RollOut {
                top,
                address: Some(address),
                ..
            }) => {
                format!("the top-level site {top} ({address})")
            }
            Some(RollOut {
                top, address: None, ..
            }) => format!("the top-level site {top}"),
            // Only a site that has no catalog yet does not know.
            None => format!("the top-level site, which is {parent} or above it"),
        };
        format!("{code} is a replica: settings, approvals and synchronization are decided at {top}")
    }

    /// How texts and files of an update are shown here.
    fn shown(&self) -> updates::Shown {
        let settings = self.settings.borrow();
        settings
            .as_deref()
            .map_or_else(updates::Shown::default, |settings| {
                let summary = &settings.settings.languages.summary_details;
                updates::Shown {
                    preferred: summary.preferred(settings.locale),
                    texts: summary.wanted(settings.locale),
                    files: settings
                        .update_files(self.site.code.site(), self.parent().map(PointId::site))
                        .clone(),
                    express: settings
                        .content(self.site.code.site(), self.parent().map(PointId::site))
                        .express,
                }
            })
    }

    /// The effective settings of a site at or below this one.
    ///
    /// # Errors
    /// When it is neither, or no settings are known here yet.
    pub fn effective(&self, site: PointId) -> Result<Vec<EffectiveSetting>, Status> {
        let here = self.site.code;
        let parent = if site == here {
            self.parent()
        } else {
            let report = self.site.reports.get(site).ok_or_else(|| {
                Status::not_found(format!("there is no site {site} at or below {here}"))
            })?;
            report.parent.parse().ok()
        };
        let settings = self.settings.borrow();
        let settings = settings.as_deref().ok_or_else(|| {
            Status::failed_precondition(format!(
                "no settings have come to {here} yet: they come with the first catalog"
            ))
        })?;
        let effective = settings.effective(site.site(), parent.map(PointId::site));
        let effective = effective.into_iter();
        let encoded = effective.map(|setting| EffectiveSetting {
            name: setting.name,
            value: setting.value.to_string(),
            origin: setting.origin.name().to_owned(),
            because: setting.because,
        });
        Ok(encoded.collect())
    }

    /// `CatalogService/ListUpdates`.
    ///
    /// # Errors
    /// When the caller may not, or the catalog cannot be read.
    pub async fn list_updates(
        &self,
        request: Request<ListUpdatesRequest>,
    ) -> Result<Response<ListUpdatesResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let shown = self.shown();
        let listed = self.catalog.list(request.into_inner(), &shown).await?;
        Ok(Response::new(listed))
    }

    /// `CatalogService/GetUpdate`.
    ///
    /// # Errors
    /// When the caller may not, there is no such update, or the catalog cannot be read.
    pub async fn get_update(
        &self,
        request: Request<GetUpdateRequest>,
    ) -> Result<Response<GetUpdateResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let shown = self.shown();
        let found = self.catalog.get(request.get_ref(), &shown).await?;
        Ok(Response::new(found))
    }

    /// `HierarchyService/ListSites`.
    ///
    /// # Errors
    /// When the caller may not.
    pub async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        Ok(Response::new(ListSitesResponse {
            sites: self.site.reports.all(),
            hierarchy: self.site.hierarchy.0.as_bytes().to_vec(),
        }))
    }

    /// `SyncService/WatchSync`.
    ///
    /// # Errors
    /// When the caller may not.
    pub async fn watch_sync(
        &self,
        request: Request<WatchSyncRequest>,
    ) -> Result<Response<Answers<WatchSyncResponse>>, Status> {
        let caller = self.authorize(&request, Role::Viewer).await?;
        let mut changes = self.site.reports.watch();
        changes.mark_changed();
        let reports = self.site.reports.clone();
        let stream = futures::stream::unfold((changes, true), move |(mut changes, first)| {
            let reports = reports.clone();
            async move {
                changes.changed().await.ok()?;
                if !first {
                    tokio::time::sleep(GATHER).await;
                }
                changes.mark_unchanged();
                let sites = reports.all();
                Some((Ok(WatchSyncResponse { sites }), (changes, false)))
            }
        });
        Ok(Response::new(self.listen(caller, stream)?))
    }

    /// `JournalService/ReadLog`.
    ///
    /// # Errors
    /// When the caller may not, or the site is not at or below this one.
    pub async fn read_log(
        &self,
        request: Request<ReadLogRequest>,
    ) -> Result<Response<Answers<ReadLogResponse>>, Status> {
        let caller = self.authorize(&request, Role::Viewer).await?;
        let request = request.into_inner();
        let site =
            convert::optional_site_code("site_code", &request.site_code)?.unwrap_or(self.site.code);
        let lines = match request.merged {
            true => self.merged(&request)?,
            false => self.logs.read(site, request.last, request.follow).await?,
        };
        let answers = lines.map(|lines| lines.map(|lines| ReadLogResponse { lines }));
        Ok(Response::new(self.listen(caller, answers)?))
    }

    /// The log that only the top-level site has.
    fn merged(&self, request: &ReadLogRequest) -> Result<Lines, Status> {
        if !request.site_code.is_empty() {
            return Err(Status::invalid_argument(
                "the merged log is that of all sites: name no site",
            ));
        }
        if self.parent().is_some() {
            let role = self.role();
            return Err(Status::failed_precondition(format!(
                "{role}; the merged log is there"
            )));
        }
        self.logs.merged(request.last, request.follow)
    }

    /// `JournalService/ListStatusMessages`.
    ///
    /// # Errors
    /// When the caller may not, the request cannot be meant, or the journal cannot be read.
    pub async fn list_status_messages(
        &self,
        request: Request<ListStatusMessagesRequest>,
    ) -> Result<Response<ListStatusMessagesResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let listed = messages::list(&self.site.store, request.into_inner()).await?;
        Ok(Response::new(listed))
    }
}
