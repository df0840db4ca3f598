use super::*;
use catalog::document::{self, PublicationState, Update};
use catalog::{RevisionId, UpdateId, well_known};
use daemon::{Clock, SystemClock};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use wsus::client::{Client, ClientSettings};
use wsus::message::{IdAndDelta, RevisionFilter};

fn generated(updates: u32) -> UpstreamSettings {
    UpstreamSettings {
        source: SourceSettings::Generate(GeneratorSettings { seed: 1, updates }),
        evolve: None,
        evolve_percent: 1.0,
    }
}

/// Runs `test` against a stand-in on a free port of this machine, and shuts the stand-in down.
async fn check<F: Future<Output = ()>>(
    settings: UpstreamSettings,
    test: impl FnOnce(Upstream, Client) -> F,
) {
    let upstream = Upstream::open(settings, Ambient::system()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let (serving, ends) = (upstream.clone(), shutdown.clone());
    let server = tasks.spawn(async move { serving.serve(listener, ends).await });
    let client = Client::new(ClientSettings {
        url,
        account_name: "wsus.example".to_owned(),
        account_guid: Uuid::from_u128(0x1234),
        ca_file_pem: None,
        account: None,
        proxy: None,
        timeout: ClientSettings::TIMEOUT,
        parallel_requests: 2,
        clock: Arc::new(|| SystemClock.now()),
    });
    test(upstream, client.unwrap()).await;
    shutdown.cancel();
    server.await.unwrap().unwrap();
}

/// A downstream catalog, as far as these tests need one.
#[derive(Default)]
struct Downstream {
    held: HashMap<RevisionId, String>,
}

impl Downstream {
    /// One half of a synchronization: the new anchor, and the revisions that were not held before.
    async fn synchronize(
        &mut self,
        client: &Client,
        filter: &RevisionFilter,
    ) -> (String, Vec<Update>) {
        let list = client.revision_list(filter).await.unwrap();
        let mut missing = list.revisions;
        missing.retain(|id| !self.held.contains_key(id));
        let mut new = Vec::new();
        while !missing.is_empty() {
            let batch = &missing[..missing.len().min(100)];
            let data = client.update_data(batch).await.unwrap();
            assert!(!data.updates.is_empty() && data.unreadable.is_empty());
            for update in data.updates {
                new.push(document::parse(&update.document).unwrap());
                self.held.insert(update.id, update.document);
            }
            // An answer may be short: what is missing is asked for again.
            missing.retain(|id| !self.held.contains_key(id));
        }
        (list.anchor, new)
    }

    /// Whether everything that held revisions name is held too.
    fn is_complete(&self) -> bool {
        let updates: HashSet<UpdateId> = self.held.keys().map(|id| id.update_id).collect();
        self.held.values().all(|text| {
            let update = document::parse(text).unwrap();
            update
                .bundled_revisions()
                .all(|id| self.held.contains_key(&id))
                && update.prerequisite_ids().all(|id| updates.contains(&id))
        })
    }
}

fn config() -> RevisionFilter {
    RevisionFilter {
        get_config: true,
        ..RevisionFilter::default()
    }
}

#[tokio::test]
async fn a_client_synchronizes_everything_and_then_only_what_changed() {
    check(generated(1500), |upstream, client| async move {
        let mut downstream = Downstream::default();
        let (_, conditions) = downstream.synchronize(&client, &config()).await;
        assert!(conditions.iter().all(Update::is_configuration));
        let mut updates = RevisionFilter::default();
        let (anchor, first) = downstream.synchronize(&client, &updates).await;
        assert_eq!(first.len(), 1500);
        assert_eq!(downstream.held.len(), upstream.catalog().len());
        assert!(downstream.is_complete());

        updates.anchor = Some(anchor);
        let (anchor, nothing) = downstream.synchronize(&client, &updates).await;
        assert!(nothing.is_empty());

        let published = upstream.publish_changes(2.0).unwrap();
        updates.anchor = Some(anchor);
        let (_, changed) = downstream.synchronize(&client, &updates).await;
        let total = published.added + published.revised + published.expired;
        assert_eq!(changed.len(), total);
        let withdrawn = |u: &&Update| u.publication_state == PublicationState::Expired;
        assert_eq!(changed.iter().filter(withdrawn).count(), published.expired);
        assert!(downstream.is_complete());
    })
    .await;
}

#[tokio::test]
async fn documents_arrive_byte_for_byte() {
    check(generated(200), |upstream, client| async move {
        let mut downstream = Downstream::default();
        downstream.synchronize(&client, &config()).await;
        downstream
            .synchronize(&client, &RevisionFilter::default())
            .await;
        let ids: Vec<RevisionId> = downstream.held.keys().copied().collect();
        let source = wsus::server::Source::updates(upstream.catalog(), &ids);
        for (id, original) in ids.iter().zip(source.await.unwrap()) {
            assert_eq!(&*original.unwrap().document, &downstream.held[id], "{id}");
        }
        assert!(downstream.held.values().any(|text| text.contains("&#xD;")));
    })
    .await;
}

#[tokio::test]
async fn a_chosen_product_and_classification_arrive_complete() {
    check(generated(3000), |_, client| async move {
        let mut downstream = Downstream::default();
        downstream.synchronize(&client, &config()).await;
        let whole = |id| Some(vec![IdAndDelta { id, delta: false }]);
        let filter = RevisionFilter {
            categories: whole(well_known::PRODUCTS[0].id),
            classifications: whole(well_known::SECURITY_UPDATES.id),
            ..RevisionFilter::default()
        };
        let (_, updates) = downstream.synchronize(&client, &filter).await;
        assert!(
            updates.len() > 20 && updates.len() < 1000,
            "{}",
            updates.len()
        );
        assert!(downstream.is_complete());
    })
    .await;
}

#[tokio::test]
async fn a_change_is_published_at_every_interval() {
    let settings = UpstreamSettings {
        evolve: Some(Duration::from_millis(100)),
        ..generated(100)
    };
    check(settings, |upstream, client| async move {
        let (before, mut downstream) = (upstream.catalog().len(), Downstream::default());
        let deadline = Instant::now() + Duration::from_secs(20);
        while upstream.catalog().len() == before {
            assert!(Instant::now() < deadline, "no change was published");
            downstream.synchronize(&client, &config()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_package_is_named() {
    let settings = UpstreamSettings {
        source: SourceSettings::Package("/no/such/package.cab".into()),
        ..generated(0)
    };
    let error = Upstream::open(settings, Ambient::system())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("/no/such/package.cab"),
        "{error}"
    );
}
