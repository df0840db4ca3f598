//! The top-level site's upstream: Microsoft Update or a WSUS server, by MS-WSUSSS.
//!
//! Categories and detectoids come first, then updates, then what bundles refer to and no list named.
//! Revisions that are held are not fetched again, so a run that was broken off goes on where it was.
//! The anchors are stored with the statement that ends the run, never before: what they cover is then
//! in the catalog. A revision that cannot be had is put aside, and the run goes on.
//!
//! Categories and detectoids come whole; of the updates those that are chosen (`choice`), and what they
//! need (`sieve`). What was chosen once and no longer is stays as it is.

mod by_id;
mod choice;
mod fetch;
mod known;
mod prepared;
mod preview;
mod replaced;
mod sieve;
mod source;
mod unlisted;
mod vanished;

pub use by_id::{Found, ImportedUpdates, UpdateWanted};
pub(crate) use prepared::{Prepared, header};
pub use preview::Preview;
pub use source::MICROSOFT_UPDATE;
pub(crate) use source::proxy_of;

use crate::approvals::{AcceptedTerms, DecidedThrough};
use crate::handed::Job;
use crate::publish::Publisher;
use crate::restore::Evidence;
use crate::settings::Upstream as FixedSource;
use crate::update_files::UpdateFiles;
use crate::verify::ROWS_LOST;
use catalog::{PointId, RevisionId, UpdateId};
use choice::{Choice, Covered};
use daemon::Ambient;
use fetch::{Tally, WANTED_AT_ONCE};
use journal::phrases;
use known::Known;
use settings::Settings;
use settings::document::Products;
use sieve::Sieve;
use source::Made;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use store::Store;
use sync::upstream::with_causes;
use sync::{Failure, Phase, RunHandle, Upstream};
use tokio::sync::{Notify, watch};
use trust::seal::Sealer;
use unlisted::Complete;
use vanished::Listed;
use wsus::client::Client;
use wsus::message::{RevisionFilter, RevisionList};

const ORIGIN: &str = "ServerSync";

/// Revisions that are stored in one unit of work.
const REVISIONS_PER_COMMIT: usize = match cfg!(feature = "simulation") {
    true => 40,
    false => 500,
};

/// Names under which the state of the conversation with the source is kept.
const SOURCE: &str = "wsus-source";
const ACCOUNT: &str = "wsus-account";
/// The source, where it said last that it hosts files.
pub(crate) const FILES_FROM: &str = "wsus-files-from";
const CONFIG_ANCHOR: &str = "wsus-config-anchor";
const CATEGORY_ANCHOR: &str = "wsus-category-anchor";
const UPDATE_ANCHOR: &str = "wsus-update-anchor";
/// Set while no run has completed with a source that took another one's place.
const NEW_SOURCE: &str = "wsus-new-source";
/// What was chosen when that anchor was handed out.
const UPDATE_CHOICE: &str = "wsus-update-choice";
/// Chosen categories that the source does not list, with their titles.
pub(crate) const VANISHED: &str = "vanished-categories";
/// All that stands for what the source has told already.
pub(crate) const ANCHORS: [&str; 4] =
    [CONFIG_ANCHOR, CATEGORY_ANCHOR, UPDATE_ANCHOR, UPDATE_CHOICE];

/// The synchronization source of a top-level site.
pub struct WsusUpstream {
    /// The source that the process decides, whatever the settings say.
    source: Option<FixedSource>,
    pub(crate) site: PointId,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) ambient: Ambient,
    pub(crate) settings: watch::Receiver<Arc<Settings>>,
    known: tokio::sync::Mutex<Known>,
    sealer: Sealer,
    made: Mutex<Option<Made>>,
    restored: Mutex<Option<Evidence>>,
    pub(crate) decided: Mutex<DecidedThrough>,
    pub(crate) terms: Mutex<AcceptedTerms>,
    pub(crate) files: OnceLock<UpdateFiles>,
    /// Told when files may come another way than before.
    pub(crate) files_way: Notify,
    /// What waits to be taken in beside the source.
    pub(crate) handed: Mutex<Vec<Job>>,
}

impl WsusUpstream {
    /// The source of a site. What `settings` choose is read anew at the beginning of each run; a source that
    /// the process decides itself goes before theirs.
    pub fn new(
        source: Option<FixedSource>,
        site: PointId,
        store: Store,
        publisher: Publisher,
        ambient: Ambient,
        settings: watch::Receiver<Arc<Settings>>,
    ) -> Arc<Self> {
        let sealer = Sealer::new(&publisher.authority);
        Arc::new(Self {
            sealer,
            source,
            site,
            store,
            publisher,
            ambient,
            settings,
            known: tokio::sync::Mutex::default(),
            made: Mutex::default(),
            restored: Mutex::default(),
            decided: Mutex::default(),
            terms: Mutex::default(),
            files: OnceLock::new(),
            files_way: Notify::new(),
            handed: Mutex::default(),
        })
    }

    pub(crate) fn restored(&self) -> MutexGuard<'_, Option<Evidence>> {
        // Holds one value that is replaced whole.
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The anchor for updates with what it covers; `None` where either is not known.
    async fn covered(&self) -> Result<Option<Covered>, Failure> {
        let choice = self.store.read().await?.state(UPDATE_CHOICE).await?;
        let choice = choice.and_then(|bytes| Choice::from_bytes(&bytes));
        let anchor = self.anchor(UPDATE_ANCHOR).await?;
        Ok(anchor
            .zip(choice)
            .map(|(anchor, choice)| Covered { anchor, choice }))
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
    use wsus::client::{Error, ProxyTrouble};
    let failure = Failure::message(ORIGIN, with_causes(error));
    // A user who is refused again and again is locked out.
    let locks_out = |trouble: &ProxyTrouble| {
        matches!(
            trouble,
            ProxyTrouble::AsksForUser | ProxyTrouble::RefusesUser { .. }
        )
    };
    let refused = matches!(
        error,
        Error::ProxyRefused(_) | Error::AccountRefused(_) | Error::SignIn { .. }
    ) || matches!(error, Error::Proxy { trouble, .. } if locks_out(trouble));
    if refused {
        failure.until_asked()
    } else {
        failure
    }
}

impl Upstream for WsusUpstream {
    fn name(&self) -> String {
        let url = self.url(&self.settings.borrow());
        url.unwrap_or_else(|| "none (disconnected)".to_owned())
    }

    fn parent(&self) -> Option<PointId> {
        None
    }

    async fn sync(&self, run: &RunHandle) -> Result<u64, Failure> {
        let settings = Arc::clone(&self.settings.borrow());
        run.enter(Phase::Connecting);
        self.begin_anew(run).await?;
        if let Some(position) = self.take_in_what_was_handed(run).await? {
            return Ok(position);
        }
        if run.verify() {
            self.verify(run).await?;
        }
        self.want_what_is_bundled().await?;
        let client = self.prepare(&settings).await?;
        let full = run.full() || run.verify();
        let ingest = Ingest {
            upstream: self,
            client: &client,
            run,
            products: &settings.products,
            aside: Mutex::default(),
        };
        let outcome = match ingest.run(full).await {
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
        };
        if outcome.is_ok() {
            self.await_licence_terms(run).await;
        }
        outcome
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

/// The updates that the source listed.
struct ListedUpdates {
    list: RevisionList,
    /// Whether it is all of the choice, and not what changed.
    complete: bool,
}

struct Ingest<'a> {
    upstream: &'a WsusUpstream,
    client: &'a Client,
    run: &'a RunHandle,
    /// What is chosen, as it was when the run began.
    products: &'a Products,
    /// Put aside in this run: not asked for again in it.
    aside: Mutex<HashSet<RevisionId>>,
}

impl Ingest<'_> {
    async fn run(&self, full: bool) -> Result<u64, Stopped> {
        let upstream = self.upstream;
        let config_anchor = upstream.anchor(CONFIG_ANCHOR).await?;
        let config = self.client.config_data(config_anchor.as_deref()).await?;
        upstream.note_file_host(&config).await?;
        let (category_anchor, covered) = if full {
            (None, None)
        } else {
            let categories = upstream.anchor(CATEGORY_ANCHOR).await?;
            (categories, upstream.covered().await?)
        };
        self.run.line(match &covered {
            Some(covered) => phrases::delta_run(&covered.anchor),
            None => phrases::full_run(),
        });

        let retried = match full && self.products.asks_for_updates() {
            true => self.want_quarantined().await?,
            false => HashSet::new(),
        };
        self.run.enter(Phase::SyncingCategories);
        let all_categories = category_anchor.is_none();
        let categories = self
            .client
            .revision_list(&RevisionFilter {
                anchor: category_anchor,
                get_config: true,
                ..RevisionFilter::default()
            })
            .await?;
        let mut tally = Tally::default();
        let mut sieve = match self.products.everything {
            true => Sieve::everything(),
            false => Sieve::configuration(),
        };
        let listed = self.without_replaced(categories.revisions.clone()).await?;
        self.fetch(&listed, &mut sieve, &mut tally).await?;

        self.run.enter(Phase::SyncingUpdates);
        let (choice, unknown) = upstream.choice(self.products).await?;
        self.tell_unknown(&unknown);
        let vanished = self
            .vanished(Listed {
                ids: categories.revisions.iter().map(|id| id.update_id).collect(),
                complete: all_categories,
                unknown: &unknown,
            })
            .await?;
        let mut tally = Tally::default();
        let updates = self.updates(&choice, covered.as_ref(), &mut tally).await?;
        self.fetch_wanted(&choice, &retried, &mut tally).await?;

        let complete = Complete {
            categories: all_categories,
            updates: updates.as_ref().is_some_and(|updates| updates.complete),
        };
        // A source that took another one's place takes nothing away in its first run.
        let new_source = upstream.anchor(NEW_SOURCE).await?.is_some();
        if new_source {
            self.run
                .line("The synchronization source is a new one: nothing is removed in this run");
        } else if complete.any() && upstream.store.positions().verified > 0 {
            let of_updates = updates.iter().flat_map(|updates| &updates.list.revisions);
            let listed = categories.revisions.iter().chain(of_updates);
            let listed = listed.map(|id| id.update_id).collect();
            self.remove_unlisted(listed, complete, &choice).await?;
        }

        let flagged = upstream.expire_superseded().await?;
        if !flagged.is_nothing() {
            self.run.line(phrases::expired_by_supersedence(
                flagged.expired,
                flagged.restored,
            ));
        }

        self.run.enter(Phase::Verifying);
        let mut by_itself = upstream.settle().await?;
        let mut tx = upstream.store.begin().await?;
        let sealed = upstream.seal(&mut tx).await?;
        by_itself.join(sealed.by_itself);
        tx.put_state(CONFIG_ANCHOR, config.new_config_anchor.as_bytes())
            .await?;
        tx.put_state(CATEGORY_ANCHOR, categories.anchor.as_bytes())
            .await?;
        // Where no update was asked for, the last anchor goes on standing for what it covers.
        tx.remove_state(NEW_SOURCE).await?;
        tx.remove_state(ROWS_LOST).await?;
        tx.put_state(VANISHED, vanished).await?;
        if let Some(updates) = updates {
            tx.put_state(UPDATE_ANCHOR, updates.list.anchor.as_bytes())
                .await?;
            tx.put_state(UPDATE_CHOICE, choice.to_bytes()).await?;
        }
        tx.commit().await?;
        by_itself
            .tell(self.run.journal(), Some(self.run.id()))
            .await;
        let statement = sealed.statement;
        self.run
            .line(phrases::verified(statement.position, &statement.root));
        Ok(statement.position)
    }

    /// Lists and fetches the updates of the choice; `None` where nothing is chosen.
    async fn updates(
        &self,
        choice: &Choice,
        covered: Option<&Covered>,
        tally: &mut Tally,
    ) -> Result<Option<ListedUpdates>, Stopped> {
        let Some(filter) = choice.filter(covered) else {
            self.run.line(
                "No updates are asked for: at least one product and one classification have to be \
                 chosen",
            );
            return Ok(None);
        };
        let entries = [&filter.categories, &filter.classifications];
        let entries = entries.into_iter().flatten().flatten();
        let new = entries.filter(|entry| !entry.delta).count();
        if covered.is_some() && (new > 0 || filter.anchor.is_none()) {
            self.run.line(match filter.anchor {
                Some(_) => format!(
                    "{new} products and classifications are new: all of theirs is asked for"
                ),
                None => "Products and classifications were chosen anew: all of theirs is asked for"
                    .to_owned(),
            });
        }
        let list = self.client.revision_list(&filter).await?;
        let mut sieve = self.sieve(choice);
        let listed = self.without_replaced(list.revisions.clone()).await?;
        self.fetch_sifted(&listed, &mut sieve, tally).await?;
        if !sieve.dropped().is_empty() {
            self.run.line(format!(
                "{} of the {} listed revisions are not among what is chosen, and are not kept",
                sieve.dropped().len(),
                list.revisions.len()
            ));
        }
        Ok(Some(ListedUpdates {
            complete: filter.anchor.is_none(),
            list,
        }))
    }

    fn sieve(&self, choice: &Choice) -> Sieve {
        match choice {
            Choice::Everything => Sieve::everything(),
            Choice::Selected(selection) => Sieve::selected(selection.clone()),
        }
    }

    fn tell_unknown(&self, unknown: &BTreeSet<UpdateId>) {
        const SHOWN: usize = 5;
        if unknown.is_empty() {
            return;
        }
        let shown: Vec<String> = unknown
            .iter()
            .take(SHOWN)
            .map(UpdateId::to_string)
            .collect();
        self.run.line(format!(
            "Warning: {} of the chosen products and classifications are not in the catalog, so nothing \
             is asked for in their name: {}{}",
            unknown.len(),
            shown.join(", "),
            if unknown.len() > SHOWN { ", ..." } else { "" }
        ));
    }

    fn aside(&self) -> MutexGuard<'_, HashSet<RevisionId>> {
        // Each change is one insertion.
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a full run try again what was put aside, listed or not.
    async fn want_quarantined(&self) -> Result<HashSet<RevisionId>, Stopped> {
        let store = &self.upstream.store;
        let quarantined = store.read().await?.quarantined(WANTED_AT_ONCE).await?;
        let ids: Vec<RevisionId> = quarantined.into_iter().map(|row| row.id).collect();
        let mut tx = store.begin().await?;
        tx.want(&ids).await?;
        tx.commit().await?;
        Ok(ids.into_iter().collect())
    }
}
