//! The top-level site's upstream: Microsoft Update or a WSUS server, by MS-WSUSSS.
//!
//! Categories and detectoids come first, then updates, then what bundles refer to and no list named.
//! Revisions that are held are not fetched again, so a run that was broken off goes on where it was.
//! The anchors are stored with the statement that ends the run, never before: what they cover is then
//! in the catalog. A revision that cannot be had is put aside, and the run goes on.

mod unlisted;

use crate::publish::Publisher;
use crate::restore::Evidence;
use crate::settings::Upstream as Source;
use catalog::header::{FileLocation, RevisionHeader};
use catalog::item::ItemKey;
use catalog::{RevisionId, SiteCode, UpdateId, codec, document};
use daemon::Ambient;
use futures::{StreamExt as _, pin_mut};
use journal::{StatusId, phrases};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use store::log::MAX_HEADER_BYTES;
use store::{NewItem, Store, Tx};
use sync::upstream::with_causes;
use sync::{Counts, Failure, Phase, RunHandle, Upstream};
use uuid::Uuid;
use wsus::client::{Client, ClientOptions, ClientSettings, Fetched};
use wsus::message::{RevisionFilter, UpdateData};

const ORIGIN: &str = "ServerSync";

/// Revisions that are stored in one unit of work, and the bytes of their documents at most.
const REVISIONS_PER_COMMIT: usize = match cfg!(feature = "simulation") {
    true => 40,
    false => 500,
};
const BYTES_PER_COMMIT: usize = 8 << 20;
/// Revisions that are looked up at a time.
const LOOKUP: usize = 2000;
/// Rounds in which what new bundles refer to is fetched. Bundles of bundles are not known to exist.
const CLOSURE_ROUNDS: u32 = 8;
/// Revisions of one such round.
const WANTED_AT_ONCE: u32 = 20_000;

/// Names under which the state of the conversation with the source is kept.
const SOURCE: &str = "wsus-source";
const ACCOUNT: &str = "wsus-account";
const CONFIG_ANCHOR: &str = "wsus-config-anchor";
const CATEGORY_ANCHOR: &str = "wsus-category-anchor";
const UPDATE_ANCHOR: &str = "wsus-update-anchor";
/// All of them.
pub(crate) const ANCHORS: [&str; 3] = [CONFIG_ANCHOR, CATEGORY_ANCHOR, UPDATE_ANCHOR];

/// The synchronization source of a top-level site.
pub struct WsusUpstream {
    pub(crate) source: Option<Source>,
    pub(crate) site: SiteCode,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) ambient: Ambient,
    client: OnceLock<Client>,
    restored: Mutex<Option<Evidence>>,
}

impl WsusUpstream {
    /// The source of a site; none for a disconnected one.
    pub fn new(
        source: Option<Source>,
        site: SiteCode,
        store: Store,
        publisher: Publisher,
        ambient: Ambient,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            site,
            store,
            publisher,
            ambient,
            client: OnceLock::new(),
            restored: Mutex::default(),
        })
    }

    pub(crate) fn restored(&self) -> MutexGuard<'_, Option<Evidence>> {
        // Holds one value that is replaced whole.
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, and whether the anchors that are held are of this source.
    async fn prepare(&self) -> Result<(Client, bool), Failure> {
        let source = self.source.as_ref().ok_or_else(|| {
            Failure::message(
                ORIGIN,
                "this site has no synchronization source: set upstream, or import a package",
            )
        })?;
        let mut tx = self.store.begin().await?;
        let account = match tx
            .state(ACCOUNT)
            .await?
            .and_then(|id| Uuid::from_slice(&id).ok())
        {
            Some(account) => account,
            None => {
                let account = self.ambient.new_id();
                tx.put_state(ACCOUNT, *account.as_bytes()).await?;
                account
            }
        };
        let same = tx.state(SOURCE).await?.as_deref() == Some(source.url.as_bytes());
        if !same {
            for anchor in ANCHORS {
                tx.remove_state(anchor).await?;
            }
            tx.put_state(SOURCE, source.url.as_bytes()).await?;
        }
        if tx.positions().epoch.is_nil() {
            tx.start_epoch(self.ambient.new_id()).await?;
        }
        tx.commit().await?;
        let client = match self.client.get() {
            Some(client) => client.clone(),
            None => {
                let ambient = self.ambient.clone();
                let settings = ClientSettings {
                    url: source.url.clone(),
                    account_name: format!("{}.headwater.invalid", self.site).to_lowercase(),
                    account_guid: account,
                    ca_file_pem: source.ca_file_pem.clone(),
                    proxy: None,
                    timeout: ClientSettings::TIMEOUT,
                    parallel_requests: source.parallel,
                    clock: Arc::new(move || ambient.now()),
                };
                let options = ClientOptions {
                    exchange: source.exchange.clone(),
                    ..ClientOptions::default()
                };
                let client =
                    Client::with_options(settings, options).map_err(|error| failed(&error))?;
                self.client.get_or_init(|| client).clone()
            }
        };
        Ok((client, same))
    }

    async fn anchor(&self, name: &str) -> Result<Option<String>, Failure> {
        let bytes = self.store.read().await?.state(name).await?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    async fn forget_anchors(&self) -> Result<(), Failure> {
        let mut tx = self.store.begin().await?;
        for anchor in ANCHORS {
            tx.remove_state(anchor).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

fn failed(error: &wsus::client::Error) -> Failure {
    Failure::message(ORIGIN, with_causes(error))
}

impl Upstream for WsusUpstream {
    fn name(&self) -> String {
        match &self.source {
            Some(source) => source.url.clone(),
            None => "none (disconnected)".to_owned(),
        }
    }

    fn parent(&self) -> Option<SiteCode> {
        None
    }

    async fn sync(&self, run: &RunHandle) -> Result<u64, Failure> {
        run.enter(Phase::Connecting);
        self.begin_anew(run).await?;
        if run.verify() {
            self.verify(run).await?;
        }
        self.want_what_is_bundled().await?;
        let (client, _) = self.prepare().await?;
        let full = run.full() || run.verify();
        let ingest = Ingest {
            upstream: self,
            client: &client,
            run,
            aside: Mutex::default(),
        };
        match ingest.run(full).await {
            Err(Stopped::ServerChanged) => {
                run.line("The upstream server was replaced; all anchors are void");
                self.forget_anchors().await?;
                match ingest.run(true).await {
                    Ok(position) => Ok(position),
                    Err(Stopped::Failure(failure)) => Err(failure),
                    Err(Stopped::ServerChanged) => Err(Failure::message(
                        ORIGIN,
                        "the upstream server says again and again that it was replaced",
                    )),
                }
            }
            Err(Stopped::Failure(failure)) => Err(failure),
            Ok(position) => Ok(position),
        }
    }
}

/// Why an ingest stopped.
enum Stopped {
    /// The server is another one: anchors are void.
    ServerChanged,
    Failure(Failure),
}

impl From<wsus::client::Error> for Stopped {
    fn from(error: wsus::client::Error) -> Self {
        if matches!(error, wsus::client::Error::ServerChanged { .. }) {
            Self::ServerChanged
        } else {
            Self::Failure(failed(&error))
        }
    }
}

impl From<store::Error> for Stopped {
    fn from(error: store::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

struct Ingest<'a> {
    upstream: &'a WsusUpstream,
    client: &'a Client,
    run: &'a RunHandle,
    /// Put aside in this run: not asked for again in it.
    aside: Mutex<HashSet<RevisionId>>,
}

/// Items that wait to be stored together.
#[derive(Default)]
struct Waiting {
    items: Vec<(RevisionId, RevisionHeader, Vec<u8>)>,
    bytes: usize,
}

/// How far the ingest is.
#[derive(Default)]
struct Tally {
    done: u64,
    total: u64,
}

impl Ingest<'_> {
    async fn run(&self, full: bool) -> Result<u64, Stopped> {
        let upstream = self.upstream;
        let config_anchor = upstream.anchor(CONFIG_ANCHOR).await?;
        let config = self.client.config_data(config_anchor.as_deref()).await?;
        let (category_anchor, update_anchor) = if full {
            (None, None)
        } else {
            (
                upstream.anchor(CATEGORY_ANCHOR).await?,
                upstream.anchor(UPDATE_ANCHOR).await?,
            )
        };
        self.run.line(match &update_anchor {
            Some(anchor) => phrases::delta_run(anchor),
            None => phrases::full_run(),
        });

        if full {
            self.want_quarantined().await?;
        }
        self.run.enter(Phase::SyncingCategories);
        let categories = self
            .client
            .revision_list(&RevisionFilter {
                anchor: category_anchor,
                get_config: true,
                ..RevisionFilter::default()
            })
            .await?;
        let mut tally = Tally::default();
        self.fetch(&categories.revisions, &mut tally).await?;

        self.run.enter(Phase::SyncingUpdates);
        let updates = self
            .client
            .revision_list(&RevisionFilter {
                anchor: update_anchor.clone(),
                get_config: false,
                ..RevisionFilter::default()
            })
            .await?;
        let mut tally = Tally::default();
        self.fetch(&updates.revisions, &mut tally).await?;
        self.fetch_wanted(&mut tally).await?;

        let listed_everything = full || update_anchor.is_none();
        if listed_everything && upstream.store.positions().verified > 0 {
            let listed = categories.revisions.iter().chain(&updates.revisions);
            self.remove_unlisted(listed.map(|id| id.update_id).collect())
                .await?;
        }

        self.run.enter(Phase::Verifying);
        let mut tx = upstream.store.begin().await?;
        let statement = upstream.publisher.publish(&mut tx).await?;
        for (name, anchor) in [
            (CONFIG_ANCHOR, &config.new_config_anchor),
            (CATEGORY_ANCHOR, &categories.anchor),
            (UPDATE_ANCHOR, &updates.anchor),
        ] {
            tx.put_state(name, anchor.as_bytes()).await?;
        }
        tx.commit().await?;
        self.run
            .line(phrases::verified(statement.position, &statement.root));
        Ok(statement.position)
    }

    fn aside(&self) -> MutexGuard<'_, HashSet<RevisionId>> {
        // Each change is one insertion.
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches those of the revisions that are not held, and stores them.
    async fn fetch(&self, listed: &[RevisionId], tally: &mut Tally) -> Result<(), Stopped> {
        let mut missing = Vec::new();
        for chunk in listed.chunks(LOOKUP) {
            let keys: Vec<ItemKey> = chunk.iter().copied().map(ItemKey::Revision).collect();
            let mut tx = self.upstream.store.begin().await?;
            let held: HashSet<ItemKey> = tx.held(&keys).await?.into_iter().collect();
            drop(tx);
            let aside = self.aside();
            missing.extend(
                chunk
                    .iter()
                    .filter(|id| !held.contains(&ItemKey::Revision(**id)) && !aside.contains(*id)),
            );
        }
        tally.total += missing.len() as u64;
        self.run.progress(tally.done, tally.total);
        let fetched = self.client.fetch(missing);
        pin_mut!(fetched);
        let mut waiting = Waiting::default();
        while let Some(next) = fetched.next().await {
            match next? {
                Fetched::Batch(data) => {
                    tally.done += (data.updates.len() + data.unreadable.len()) as u64;
                    self.take(data, &mut waiting).await?;
                    if waiting.items.len() >= REVISIONS_PER_COMMIT
                        || waiting.bytes >= BYTES_PER_COMMIT
                    {
                        self.store(&mut waiting).await?;
                        self.run.progress(tally.done, tally.total);
                    }
                }
                Fetched::Refused { id, reason } => {
                    tally.done += 1;
                    self.put_aside(id, &reason.to_string()).await?;
                }
                Fetched::Missing(id) => {
                    tally.done += 1;
                    self.put_aside(id, "the upstream server lists it, and does not give it out")
                        .await?;
                }
                Fetched::Unasked(id) => {
                    tracing::warn!(%id, "the upstream server sent what nobody asked for");
                }
            }
        }
        self.store(&mut waiting).await?;
        self.run.progress(tally.done, tally.total);
        Ok(())
    }

    /// Fetches what stored bundles refer to and no list named, until nothing is missing.
    async fn fetch_wanted(&self, tally: &mut Tally) -> Result<(), Stopped> {
        for _ in 0..CLOSURE_ROUNDS {
            let mut tx = self.upstream.store.begin().await?;
            let wanted = tx.wanted(WANTED_AT_ONCE).await?;
            let keys: Vec<ItemKey> = wanted.iter().copied().map(ItemKey::Revision).collect();
            let held: HashSet<ItemKey> = tx.held(&keys).await?.into_iter().collect();
            let (held, wanted): (Vec<_>, Vec<_>) = wanted
                .into_iter()
                .partition(|id| held.contains(&ItemKey::Revision(*id)));
            tx.no_longer_want(&held).await?;
            tx.commit().await?;
            if wanted.is_empty() {
                return Ok(());
            }
            self.fetch(&wanted, tally).await?;
        }
        Ok(())
    }

    /// Lets a full run try again what was put aside, listed or not.
    async fn want_quarantined(&self) -> Result<(), Stopped> {
        let store = &self.upstream.store;
        let quarantined = store.read().await?.quarantined(WANTED_AT_ONCE).await?;
        let ids: Vec<RevisionId> = quarantined.into_iter().map(|row| row.id).collect();
        let mut tx = store.begin().await?;
        tx.want(&ids).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Parses documents, and puts those aside that cannot be used.
    async fn take(&self, data: UpdateData, waiting: &mut Waiting) -> Result<(), Stopped> {
        let mut urls: HashMap<[u8; 20], String> = HashMap::new();
        for file in data.file_urls {
            if let (Ok(digest), Some(url)) = (file.digest.try_into(), file.mu_url) {
                urls.insert(digest, url);
            }
        }
        for bad in data.unreadable {
            self.put_aside(bad.id, &bad.reason).await?;
        }
        for update in data.updates {
            match prepare(update.id, &update.document, &urls) {
                Ok((header, stored)) => {
                    waiting.bytes += update.document.len();
                    waiting.items.push((update.id, header, stored));
                }
                Err(reason) => self.put_aside(update.id, &reason).await?,
            }
        }
        Ok(())
    }

    /// Stores what waits, in one unit of work.
    async fn store(&self, waiting: &mut Waiting) -> Result<(), Stopped> {
        let waiting = std::mem::take(waiting);
        if waiting.items.is_empty() {
            return Ok(());
        }
        // What a loss of power undoes is fetched again: the anchors come later.
        let mut tx = self.upstream.store.begin_repeatable().await?;
        let counts = self.count(&mut tx, &waiting).await?;
        let mut bundled = Vec::new();
        let mut stored = Vec::with_capacity(waiting.items.len());
        let mut items = Vec::with_capacity(waiting.items.len());
        for (id, header, document) in waiting.items {
            bundled.extend_from_slice(&header.bundled);
            stored.push(id);
            items.push(NewItem {
                key: ItemKey::Revision(id),
                header: header.to_bytes(),
                document,
            });
        }
        tx.append(items, self.upstream.ambient.now()).await?;
        let keys: Vec<ItemKey> = bundled.iter().copied().map(ItemKey::Revision).collect();
        let held: HashSet<ItemKey> = tx.held(&keys).await?.into_iter().collect();
        bundled.retain(|id| !held.contains(&ItemKey::Revision(*id)));
        bundled.sort_unstable();
        bundled.dedup();
        tx.want(&bundled).await?;
        tx.fetched(&stored).await?;
        tx.commit().await?;
        self.run.count(|total| {
            total.added += counts.added;
            total.revised += counts.revised;
            total.expired += counts.expired;
        });
        Ok(())
    }

    /// What the items will do to the catalog.
    async fn count(&self, tx: &mut Tx<'_>, waiting: &Waiting) -> Result<Counts, Stopped> {
        let updates: Vec<UpdateId> = waiting
            .items
            .iter()
            .map(|(id, _, _)| id.update_id)
            .collect();
        let known = tx.known_updates(&updates).await?;
        let mut counts = Counts::default();
        for (id, header, _) in &waiting.items {
            if header.publication_state == document::PublicationState::Expired {
                counts.expired += 1;
            } else if known.contains(&id.update_id) {
                counts.revised += 1;
            } else {
                counts.added += 1;
            }
        }
        Ok(counts)
    }

    /// Puts a revision aside; the run goes on.
    async fn put_aside(&self, id: RevisionId, reason: &str) -> Result<(), Stopped> {
        self.aside().insert(id);
        let mut tx = self.upstream.store.begin().await?;
        let new = tx
            .quarantine(id, reason, self.upstream.ambient.now())
            .await?;
        tx.no_longer_want(&[id]).await?;
        tx.commit().await?;
        self.run.count(|counts| counts.quarantined += 1);
        if new {
            self.run
                .line(phrases::update_failed(id.update_id, reason, ORIGIN));
            self.run
                .journal()
                .record(
                    StatusId::UpdateQuarantined,
                    Some(self.run.id()),
                    vec![id.to_string(), reason.to_owned()],
                )
                .await;
        }
        Ok(())
    }
}

/// Header and stored form of a document; the error says why it cannot be used.
fn prepare(
    id: RevisionId,
    text: &str,
    urls: &HashMap<[u8; 20], String>,
) -> Result<(RevisionHeader, Vec<u8>), String> {
    let update = document::parse(text).map_err(|error| error.to_string())?;
    if update.id != id {
        return Err(format!("its document says that it is {}", update.id));
    }
    let digests = update
        .files
        .iter()
        .map(|file| file.sha1)
        .chain(update.eula_files.iter().map(|file| file.sha1));
    let locations = digests
        .filter_map(|sha1| {
            urls.get(&sha1).map(|url| FileLocation {
                sha1,
                mu_url: url.clone(),
            })
        })
        .collect();
    let header = RevisionHeader::new(text, &update, locations);
    if header.to_bytes().len() > MAX_HEADER_BYTES {
        return Err(format!(
            "what it says of its files and bundles is longer than {MAX_HEADER_BYTES} bytes"
        ));
    }
    let stored = codec::compress(text).map_err(|error| error.to_string())?;
    Ok((header, stored))
}
