//! A downstream server that is a client of the library, and keeps what the wire brought.

use crate::downstream::{address, everything};
use crate::schemas;
use bytes::Bytes;
use catalog::{RevisionId, UpdateId};
use daemon::{Clock as _, SystemClock};
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use testkit::{Hierarchy, shared_data};
use uuid::Uuid;
use wsus::client::{
    Answer, Client, ClientOptions, ClientSettings, Exchange, ExchangeError, Fetched,
};
use wsus::message::{ALL_COMPUTERS, Deployment, Deployments, UNASSIGNED_COMPUTERS};
use wsus::xpress;

/// Longest answer, unpacked.
const MOST: usize = 64 << 20;
/// Actions of deployments.
pub const INSTALL: i32 = 0;
pub const REMOVE: i32 = 1;
pub const DETECT: i32 = 2;

/// The wire: it keeps what went over it.
#[derive(Debug, Default)]
struct Wire {
    http: reqwest::Client,
    pub said: Arc<Mutex<Vec<Said>>>,
}

/// A request and its answer.
#[derive(Debug, Clone)]
pub struct Said {
    pub path: String,
    pub request: String,
    pub answer: String,
    packed: bool,
}

impl Exchange for Wire {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>> {
        let (http, said) = (self.http.clone(), Arc::clone(&self.said));
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let asked = String::from_utf8(request.body().clone()).unwrap();
            let answer = http.execute(request.try_into()?).await?;
            let status = answer.status();
            let coding = answer.headers().get("content-encoding");
            let coding = coding.map(|coding| coding.to_str().unwrap().to_owned());
            let body = answer.bytes().await?;
            let plain = match &coding {
                Some(coding) if coding == xpress::CODING => xpress::unpack(&body, MOST).unwrap(),
                Some(other) => panic!("nobody asked for {other}"),
                None => body.to_vec(),
            };
            said.lock().unwrap().push(Said {
                path,
                request: asked,
                answer: String::from_utf8(plain).unwrap(),
                packed: coding.is_some(),
            });
            Ok(Answer {
                status,
                challenges: Vec::new(),
                announced: Some(body.len() as u64),
                coding,
                body: stream::iter([Ok::<Bytes, ExchangeError>(body)]).boxed(),
            })
        })
    }
}

/// What a replica has, kept as the protocol says (WSUS-PROTOCOL 3.7).
pub struct Replica {
    client: Client,
    pub said: Arc<Mutex<Vec<Said>>>,
    pub list_anchor: Option<String>,
    anchor: Option<String>,
    known: BTreeSet<RevisionId>,
    pub has: Has,
}

/// The decisions that a replica has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Has {
    pub deployments: BTreeMap<Uuid, Deployment>,
    hidden: BTreeSet<UpdateId>,
    licences: BTreeSet<Uuid>,
}

impl Has {
    fn take(&mut self, told: &Deployments) {
        let groups: Vec<Uuid> = told.groups.iter().map(|group| group.id).collect();
        assert_eq!(
            groups,
            [ALL_COMPUTERS, UNASSIGNED_COMPUTERS],
            "always all groups"
        );
        for dead in &told.dead_deployments {
            self.deployments.remove(dead);
        }
        for deployment in &told.deployments {
            assert!(groups.contains(&deployment.target_group_id));
            self.deployments
                .insert(deployment.deployment_guid, deployment.clone());
        }
        // Lists of all there are, and no deltas.
        self.hidden = told.hidden_updates.iter().copied().collect();
        self.licences = told.accepted_eulas.iter().copied().collect();
    }

    /// The deployment of an update, of which there is one at most.
    pub fn of(&self, update: UpdateId) -> Option<&Deployment> {
        let all = self.deployments.values();
        let mut of = all.filter(|held| held.revision.update_id == update);
        let found = of.next();
        assert!(of.next().is_none(), "{update} is deployed twice");
        found
    }
}

impl Replica {
    /// A downstream server of a site, which has nothing yet.
    pub async fn of(hierarchy: &mut Hierarchy, site: &str, number: u128) -> Self {
        let url = format!("http://{}", address(hierarchy.process(site)).await);
        Self::at(url, number)
    }

    pub fn at(url: String, number: u128) -> Self {
        let wire = Wire {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            said: Arc::default(),
        };
        let said = Arc::clone(&wire.said);
        let settings = ClientSettings {
            url,
            account_name: format!("replica{number}.example"),
            account_guid: Uuid::from_u128(number),
            ca_file_pem: None,
            account: None,
            proxy: None,
            timeout: ClientSettings::TIMEOUT,
            parallel_requests: 1,
            clock: Arc::new(|| SystemClock.now()),
        };
        let options = ClientOptions {
            exchange: Some(Arc::new(wire)),
            ..ClientOptions::default()
        };
        Self {
            client: Client::with_options(settings, options).unwrap(),
            said,
            list_anchor: None,
            anchor: None,
            known: BTreeSet::new(),
            has: Has::default(),
        }
    }

    /// Categories and detectoids.
    pub async fn configuration(&self) -> Vec<RevisionId> {
        let filter = everything(true, None);
        self.client.revision_list(&filter).await.unwrap().revisions
    }

    /// The metadata: what is new on the list.
    pub async fn list(&mut self) -> Vec<RevisionId> {
        let held = self.list_anchor.as_deref();
        let filter = everything(false, held);
        let list = self.client.revision_list(&filter).await.unwrap();
        self.list_anchor = Some(list.anchor);
        self.known.extend(&list.revisions);
        list.revisions
    }

    /// The decisions, with the anchor of the last list.
    pub async fn decisions(&mut self) -> Deployments {
        let list_anchor = self.list_anchor.as_deref().unwrap();
        let asked = self.client.deployments(self.anchor.as_deref(), list_anchor);
        let told = asked.await.unwrap();
        for deployment in &told.deployments {
            let known = self.known.contains(&deployment.revision);
            assert!(
                known,
                "{deployment:?} is about what the replica does not know"
            );
        }
        self.has.take(&told);
        self.anchor = Some(told.anchor.clone());
        told
    }

    /// Metadata first, then the decisions about them.
    pub async fn synchronize(&mut self) -> Deployments {
        self.list().await;
        self.decisions().await
    }

    /// How many deployments are about another revision than the newest.
    pub fn outdated(&self) -> usize {
        let deployed = self.has.deployments.values().map(|held| held.revision);
        let is_outdated = |held: &RevisionId| {
            let mut known = self.known.iter();
            known.any(|known| known.update_id == held.update_id && known.revision > held.revision)
        };
        deployed.filter(is_outdated).count()
    }

    /// The documents of these revisions.
    pub async fn documents(&self, ids: Vec<RevisionId>) -> BTreeMap<RevisionId, String> {
        let mut documents = BTreeMap::new();
        let mut fetched = pin!(self.client.fetch(ids));
        while let Some(fetched) = fetched.next().await {
            let Fetched::Batch(batch) = fetched.unwrap() else {
                panic!("something is not to be had")
            };
            let updates = batch.updates.into_iter();
            documents.extend(updates.map(|update| (update.id, update.document)));
        }
        documents
    }

    /// The last answer, as it came.
    pub fn heard(&self) -> String {
        self.said.lock().unwrap().last().unwrap().answer.clone()
    }
}

/// An update by what was decided about it: the word, the deadline, the revision.
pub type Decided = BTreeMap<UpdateId, (String, Option<String>, u64)>;

/// What the hierarchy decided, as it says itself; without what was taken back.
pub fn decided(hierarchy: &Hierarchy) -> Decided {
    let listed = hierarchy
        .run(&[
            "update",
            "list",
            "--approval",
            "any",
            "--limit",
            "100000",
            "--json",
        ])
        .json();
    let updates = listed["updates"].as_array().unwrap().iter();
    let decided = updates.filter_map(|update| {
        let decision = &update["decision"];
        let approval = decision["approval"].as_str()?;
        let id: UpdateId = update["update_id"].as_str().unwrap().parse().unwrap();
        let deadline = decision["deadline"].as_str().map(str::to_owned);
        let revision = match approval {
            "not-approved" => return None,
            "declined" => 0,
            _ => decision["revision"].as_u64().unwrap(),
        };
        Some((id, (approval.to_owned(), deadline, revision)))
    });
    decided.collect()
}

/// What a replica has, in the same words.
pub fn told_of(has: &Has) -> Decided {
    let deployed = has.deployments.values().map(|deployment| {
        let word = match deployment.action {
            INSTALL => "install",
            REMOVE => "removal",
            DETECT => "detection",
            other => panic!("no decision of ours is {other}"),
        };
        let deadline = deployment.deadline.map(|deadline| deadline.to_string());
        let RevisionId {
            update_id,
            revision,
        } = deployment.revision;
        (update_id, (word.to_owned(), deadline, revision.into()))
    });
    let hidden = has.hidden.iter();
    let hidden = hidden.map(|&id| (id, ("declined".to_owned(), None, 0)));
    deployed.chain(hidden).collect()
}

/// Every message that went over the wire is valid by the official schemas.
pub fn valid<'a>(replicas: impl IntoIterator<Item = &'a Replica>) {
    let (Some(python), Some(data)) = (schemas::python(), shared_data::folder()) else {
        return;
    };
    let mut messages: Vec<(&str, String)> = Vec::new();
    for replica in replicas {
        let said = replica.said.lock().unwrap();
        assert!(
            said.iter().any(|said| said.packed),
            "long answers come packed"
        );
        for said in said.iter() {
            let file = match said.path.contains("DssAuth") {
                true => "DssAuth.wsdl",
                false => "ServerSync.wsdl",
            };
            messages.push((file, said.request.clone()));
            messages.push((file, said.answer.clone()));
        }
    }
    let decisions = messages
        .iter()
        .filter(|(_, text)| text.contains("<GetDeploymentsResult"));
    assert!(decisions.count() > 3);
    let found = schemas::problems(python, &data.join("wsdl"), &messages);
    let wrong = found.iter().zip(&messages);
    let wrong: Vec<_> = wrong.filter(|(problem, _)| !problem.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
