//! Comparing this site's catalog with its parent's, from the root of the Merkle tree down to the items,
//! and taking over what differs and nothing else.
//!
//! Every answer is checked against the one before, and the first against the signed statement: a parent
//! can withhold, but not make this site take something that was not signed.

use crate::dial::explain_status;
use crate::pull::decoded;
use crate::serve_compare::{BUCKETS_PER_CALL, ITEMS_PER_CALL, from_bytes};
use crate::site::Site;
use catalog::PointId;
use catalog::item::{Digest, ItemKey};
use catalog::merkle::{BucketHasher, NODES, Tree, root_of_nodes};
use journal::{StatusId, phrases};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use store::compare::{BucketList, Difference, Survey};
use sync::{Counts, Failure, Phase, RunHandle};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use trust::statement::{SignedStatement, Statement, StatementError};
use wire::v1::site_link_service_client::SiteLinkServiceClient;
use wire::v1::{
    FetchItemsRequest, FetchItemsResponse, ListBucketsRequest, ListItemsRequest, ListItemsResponse,
    ListNodesRequest,
};

/// How long a parent may take over one answer.
const SILENCE: Duration = Duration::from_secs(120);
/// Largest list of nodes, buckets or items that is read: for a catalog of some ten million items.
const MAX_LIST_BYTES: usize = 8 << 20;
/// Times that a comparison begins anew in one run because the parent's catalog went on.
const ATTEMPTS: u32 = 3;
/// Items that are named in the log; the others are counted.
const MOST_NAMED: usize = 20;

const ORIGIN: &str = "SiteLink.Compare";

/// A comparison of a site with its parent, within a run.
pub(crate) struct Comparison<'a> {
    parent: PointId,
    site: &'a Site,
    run: &'a RunHandle,
    /// Whether a pull came to something else than what was signed.
    pull_differed: bool,
    /// How often the parent was asked.
    calls: AtomicU32,
}

/// Why a comparison did not come to its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The parent's catalog is another by now.
    WentOn,
    /// What the parent said is not to be believed, and why.
    Refused(String),
    Failure(Failure),
}

impl From<store::Error> for Stopped {
    fn from(error: store::Error) -> Self {
        Self::Failure(error.into())
    }
}

fn refused(why: impl std::fmt::Display) -> Stopped {
    Stopped::Refused(why.to_string())
}

type Client = SiteLinkServiceClient<Channel>;

/// How this site's catalog differed.
#[derive(Default)]
struct Found {
    named: Vec<(ItemKey, Difference)>,
    items: u64,
    /// What the differences come to, as the history counts it: revisions alone.
    counts: Counts,
    buckets: usize,
    /// Whether this site's rows were not those of its own statement.
    damaged: bool,
}

impl Found {
    fn add(&mut self, differences: Vec<(ItemKey, Difference)>) {
        let revisions = differences
            .iter()
            .filter(|(key, _)| key.revision().is_some());
        for (_, difference) in revisions {
            match difference {
                Difference::Missing => self.counts.added += 1,
                Difference::Surplus => self.counts.removed += 1,
                Difference::Altered | Difference::Doubled => self.counts.revised += 1,
            }
        }
        self.items += differences.len() as u64;
        let room = MOST_NAMED.saturating_sub(self.named.len());
        self.named.extend(differences.into_iter().take(room));
    }
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(
        parent: PointId,
        site: &'a Site,
        run: &'a RunHandle,
        pull_differed: bool,
    ) -> Self {
        Self {
            parent,
            site,
            run,
            pull_differed,
            calls: AtomicU32::new(0),
        }
    }

    /// Compares, and goes over to the parent's verified catalog; the position reached.
    pub(crate) async fn run(&self, client: &Client) -> Result<u64, Stopped> {
        for _ in 0..ATTEMPTS {
            match self.once(client.clone()).await {
                Err(Stopped::WentOn) => {}
                ended => return ended,
            }
        }
        let why = format!(
            "the catalog of parent {} went on again and again while it was compared",
            self.parent
        );
        Err(Stopped::Failure(Failure::message(ORIGIN, why)))
    }

    async fn once(&self, mut client: Client) -> Result<u64, Stopped> {
        self.run.line(phrases::comparing(self.parent));
        // Lists are small; what is larger is not read.
        let mut lists = client.clone().max_decoding_message_size(MAX_LIST_BYTES);
        let nodes = self.call(lists.list_nodes(ListNodesRequest {})).await?;
        if nodes.statement.is_empty() {
            let why = format!("parent {} has no verified catalog yet", self.parent);
            return Err(Stopped::Failure(Failure::message(ORIGIN, why)));
        }
        let held = self.site.store.read().await?.signed_statement().await?;
        let statement = self.signed(&nodes.statement, held.as_ref())?;
        let held = held.as_ref().map(SignedStatement::claimed);
        let theirs = digests(&nodes.nodes)
            .filter(|digests| root_of_nodes(digests) == statement.root)
            .ok_or_else(|| refused("its tree is not the one that was signed"))?;

        // What comes of the rows alone: what is remembered of them may be right while they are not.
        let contents = self.run.verify();
        if contents {
            self.run.line(phrases::reading_every_row());
        }
        let (mut survey, known) = {
            let mut read = self.site.store.read().await?;
            let survey = read.survey(contents).await?;
            let mut tree = Tree::clone(&*read.tree().await?);
            (survey, (tree.root(), read.items().await?))
        };
        let own_root = survey.tree.root();
        let as_known = known == (own_root, survey.rows);
        let mut found = Found {
            damaged: held.is_some_and(|held| {
                (held.root, held.items) != (own_root, survey.rows) || !survey.damaged.is_empty()
            }),
            ..Found::default()
        };
        let differing = survey.tree.differing_nodes(&theirs);
        let buckets = self
            .differing_buckets(&mut lists, &statement, &theirs, &differing, &survey)
            .await?;
        found.buckets = buckets.len();
        self.run.line(phrases::compared(
            survey.rows,
            differing.len(),
            buckets.len(),
        ));
        let same_place = held.is_some_and(|held| {
            (held.epoch, held.position) == (statement.epoch, statement.position)
        });
        if same_place && as_known && !found.damaged && buckets.is_empty() && !self.pull_differed {
            self.tell(&found, held, &statement).await;
            return Ok(statement.position);
        }
        self.gather(&mut lists, &statement, &buckets, &survey, &mut found)
            .await?;
        self.fetch(&mut client, &statement).await?;
        self.adopt(survey, &statement, &nodes.statement).await?;
        let calls = self.calls.load(Ordering::Relaxed);
        self.run.line(phrases::taken_over(found.items, calls));
        self.tell(&found, held, &statement).await;
        Ok(statement.position)
    }

    async fn call<T>(
        &self,
        answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Stopped> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(SILENCE, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.broken_off(&status)),
            Err(_) => Err(self.broken_off(&Status::deadline_exceeded("it does not answer"))),
        }
    }

    /// The next batch of a stream.
    async fn next(
        &self,
        batches: &mut Streaming<FetchItemsResponse>,
    ) -> Result<Option<FetchItemsResponse>, Stopped> {
        match tokio::time::timeout(SILENCE, batches.message()).await {
            Ok(batch) => batch.map_err(|status| self.broken_off(&status)),
            Err(_) => Err(self.broken_off(&Status::deadline_exceeded("it fell silent"))),
        }
    }

    /// The parent itself does not hold what it is to hold.
    fn damaged(&self, what: &str) -> Stopped {
        let parent = self.parent;
        let why = format!(
            "parent {parent} does not hold {what}: its rows are damaged; verify it \
             (headwater site verify {parent})"
        );
        Stopped::Failure(Failure::message(ORIGIN, why))
    }

    fn broken_off(&self, status: &Status) -> Stopped {
        if status.code() == Code::Aborted {
            return Stopped::WentOn;
        }
        let why = format!(
            "parent {} did not answer the comparison: {}",
            self.parent,
            explain_status(status)
        );
        Stopped::Failure(Failure::message(ORIGIN, why))
    }

    /// The statement over the parent's catalog, if it is to be believed.
    fn signed(&self, encoded: &[u8], held: Option<&SignedStatement>) -> Result<Statement, Stopped> {
        let signed = SignedStatement::from_bytes(encoded).map_err(refused)?;
        match self.site.believe(&signed, held) {
            Ok(statement) => Ok(statement.clone()),
            // A parent that was restored, or that this site came to from another, has to catch up.
            Err(error @ StatementError::Older { .. }) => {
                let why = format!("parent {} is behind this site: {error}", self.parent);
                Err(Stopped::Failure(Failure::message(ORIGIN, why)))
            }
            Err(error) => Err(refused(error)),
        }
    }

    async fn differing_buckets(
        &self,
        client: &mut Client,
        statement: &Statement,
        nodes: &[Digest],
        differing: &[u8],
        survey: &Survey,
    ) -> Result<Vec<(u16, Digest)>, Stopped> {
        if differing.is_empty() {
            return Ok(Vec::new());
        }
        let request = ListBucketsRequest {
            root: statement.root.to_vec(),
            nodes: differing.iter().map(|node| u32::from(*node)).collect(),
        };
        let answer = self.call(client.list_buckets(request)).await?;
        if answer.nodes.len() != differing.len() {
            return Err(refused("it named other nodes than were asked for"));
        }
        let mut tree = Tree::new();
        for node in &answer.nodes {
            let number = u8::try_from(node.node).map_err(|_| refused("it named no node"))?;
            if !tree.set_node_from_bytes(number, &node.buckets) {
                return Err(refused("a part of its tree cannot be read"));
            }
        }
        let mut buckets = Vec::new();
        let found = tree.nodes().to_vec();
        for node in differing {
            if found[usize::from(*node)] != nodes[usize::from(*node)] {
                return Err(refused("its tree is not the one that was signed"));
            }
            let differing = survey.tree.differing_buckets(&tree, *node).into_iter();
            buckets.extend(differing.map(|bucket| (bucket, *tree.bucket(bucket))));
        }
        Ok(buckets)
    }

    /// Notes what the parent holds in the buckets that differ.
    async fn gather(
        &self,
        client: &mut Client,
        statement: &Statement,
        buckets: &[(u16, Digest)],
        survey: &Survey,
        found: &mut Found,
    ) -> Result<(), Stopped> {
        let mut tx = self.site.store.begin().await?;
        tx.begin_comparison(&statement.root).await?;
        tx.commit().await?;
        let mut listed = 0;
        for chunk in buckets.chunks(BUCKETS_PER_CALL) {
            let request = ListItemsRequest {
                root: statement.root.to_vec(),
                buckets: chunk.iter().map(|(bucket, _)| (*bucket).into()).collect(),
            };
            let answer = self.call(client.list_items(request)).await?;
            let lists = self.lists(answer, chunk)?;
            listed += lists
                .iter()
                .map(|list| list.items.len() as u64)
                .sum::<u64>();
            if listed > statement.items {
                return Err(refused("it listed more items than were signed"));
            }
            let mut tx = self.site.store.begin_repeatable().await?;
            found.add(tx.note_listed(&lists, &survey.damaged).await?);
            tx.commit().await?;
        }
        for (item, difference) in &found.named {
            self.run.line(phrases::repairing(item, difference.name()));
        }
        let unnamed = found.items - found.named.len() as u64;
        if unnamed > 0 {
            self.run.line(phrases::repairing_more(unnamed));
        }
        Ok(())
    }

    /// What the parent listed, if it is what the digests of the buckets say.
    fn lists(
        &self,
        answer: ListItemsResponse,
        asked: &[(u16, Digest)],
    ) -> Result<Vec<BucketList>, Stopped> {
        if answer.buckets.len() != asked.len() {
            return Err(refused("it listed other places than were asked for"));
        }
        let mut lists = Vec::with_capacity(asked.len());
        let mut hasher = BucketHasher::new();
        for (list, (bucket, digest)) in answer.buckets.into_iter().zip(asked) {
            if list.bucket != u32::from(*bucket) {
                return Err(refused("it listed other places than were asked for"));
            }
            let items = from_bytes(&list.items).map_err(Stopped::Refused)?;
            for (key, digest) in &items {
                hasher.item(&key.to_bytes(), digest);
            }
            // The digest was signed, and so were the keys in it and their order.
            if hasher.finish().0 != *digest {
                return Err(self.damaged("what its own statement says"));
            }
            lists.push(BucketList {
                bucket: *bucket,
                items,
            });
        }
        Ok(lists)
    }

    /// Fetches what is wanted, a batch at a time.
    async fn fetch(&self, client: &mut Client, statement: &Statement) -> Result<(), Stopped> {
        let most = u32::try_from(ITEMS_PER_CALL).unwrap_or(u32::MAX);
        let total = {
            let mut read = self.site.store.read().await?;
            read.count_unfetched().await?
        };
        let mut done = 0;
        loop {
            let wanted = {
                let mut read = self.site.store.read().await?;
                read.unfetched(most).await?
            };
            if wanted.is_empty() {
                return Ok(());
            }
            let request = FetchItemsRequest {
                root: statement.root.to_vec(),
                keys: wanted.iter().map(|key| key.to_bytes()).collect(),
            };
            let mut batches = self.call(client.fetch_items(request)).await?;
            let mut came = 0;
            while let Some(batch) = self.next(&mut batches).await? {
                let bytes = batch.batch.len();
                let items = decoded(batch.batch).map_err(Stopped::Refused)?;
                self.site.received.count(items.len(), bytes);
                self.run.count(|counts| {
                    counts.received += items.len() as u64;
                    counts.bytes += bytes as u64;
                });
                came += items.len();
                if items.is_empty() || came > wanted.len() {
                    return Err(refused("it sent something else than was asked for"));
                }
                done += items.len() as u64;
                let mut tx = self.site.store.begin_repeatable().await?;
                match tx.store_fetched(items).await {
                    Ok(()) => tx.commit().await?,
                    Err(error @ store::Error::Malformed { .. }) => return Err(refused(error)),
                    Err(error) => return Err(error.into()),
                }
                self.run.progress(done, total.max(done));
            }
            if came == 0 {
                return Err(self.damaged("items that it listed"));
            }
        }
    }

    async fn adopt(
        &self,
        survey: Survey,
        statement: &Statement,
        signed: &[u8],
    ) -> Result<(), Stopped> {
        self.run.enter(Phase::Verifying);
        let mut tx = self.site.store.begin().await?;
        match tx.adopt(survey, statement, signed).await {
            Ok(()) => {}
            Err(error @ (store::Error::Mismatch(_) | store::Error::Older { .. })) => {
                return Err(refused(error));
            }
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        self.run
            .line(phrases::verified(statement.position, &statement.root));
        Ok(())
    }

    /// Says in the journal what the comparison was for, and what came of it.
    async fn tell(&self, found: &Found, held: Option<&Statement>, statement: &Statement) {
        self.run.count(|counts| {
            counts.added += found.counts.added;
            counts.removed += found.counts.removed;
            counts.revised += found.counts.revised;
        });
        let before = held.map_or(statement.epoch, |held| held.epoch);
        let (id, inserts) = if before != statement.epoch {
            let inserts = vec![before.to_string(), statement.epoch.to_string()];
            (StatusId::EpochChanged, inserts)
        } else if found.damaged || self.pull_differed {
            let inserts = vec![found.items.to_string(), found.buckets.to_string()];
            (StatusId::CatalogRepaired, inserts)
        } else if self.run.verify() {
            let inserts = vec![statement.items.to_string(), self.parent.to_string()];
            (StatusId::CatalogVerified, inserts)
        } else {
            return;
        };
        self.run
            .journal()
            .record(id, Some(self.run.id()), inserts)
            .await;
    }
}

/// The digests of all inner nodes from their bytes.
fn digests(bytes: &[u8]) -> Option<Vec<Digest>> {
    let (digests, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && digests.len() == NODES).then(|| digests.to_vec())
}
