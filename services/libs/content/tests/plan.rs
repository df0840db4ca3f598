//! The plan of a site follows its verified catalog: whatever way it goes, it comes to the same.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use catalog::approval::{Approval, Cause, Record};
use catalog::expiry::Expiry;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::language::Wanted;
use catalog::needed::{Download, Policy, Wants};
use catalog::{RevisionId, UpdateId, codec, document};
use content::plan::{Planner, Step};
use daemon::Ambient;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use store::content::ContentState;
use store::{Location, NewItem, Store};
use tempfile::TempDir;
use trust::{Authority, HierarchyId, Statement};
use uuid::Uuid;

/// A catalog, its planner, and what is wanted.
struct Site {
    store: Store,
    planner: Planner,
    wants: Arc<Mutex<Option<Wants>>>,
    authority: Authority,
    _folder: TempDir,
}

fn wants(download: Download) -> Wants {
    Wants {
        policy: Policy {
            download,
            terms: true,
            express: false,
        },
        languages: Wanted::only([]),
    }
}

fn update(number: u128) -> UpdateId {
    UpdateId::from_u128(number)
}

fn revision(number: u128, at: u32) -> RevisionId {
    RevisionId::new(update(number), at)
}

/// A revision with files of these numbers, and a bundle of these members.
fn revised(id: RevisionId, files: &[u8], bundled: &[RevisionId]) -> NewItem {
    let (mut listed, mut members) = (String::new(), String::new());
    for number in files {
        use base64::Engine as _;
        let digest = base64::engine::general_purpose::STANDARD.encode([*number; 20]);
        write!(
            listed,
            r#"<File Digest="{digest}" DigestAlgorithm="SHA1" FileName="a.cab" Size="7" Modified="2026-01-01T00:00:00Z"/>"#
        )
        .unwrap();
    }
    for member in bundled {
        let (id, at) = (member.update_id, member.revision);
        write!(
            members,
            r#"<UpdateIdentity UpdateID="{id}" RevisionNumber="{at}"/>"#
        )
        .unwrap();
    }
    if !members.is_empty() {
        members =
            format!("<Relationships><BundledUpdates>{members}</BundledUpdates></Relationships>");
    }
    if !listed.is_empty() {
        listed = format!("<Files>{listed}</Files>");
    }
    let text = format!(
        r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update"><UpdateIdentity UpdateID="{}" RevisionNumber="{}"/><Properties UpdateType="Software" CreationDate="2026-01-01T00:00:00Z" DefaultPropertiesLanguage="en" ExplicitlyDeployable="true"/><LocalizedPropertiesCollection><LocalizedProperties><Language>en</Language><Title>t</Title></LocalizedProperties></LocalizedPropertiesCollection>{members}{listed}</Update>"#,
        id.update_id, id.revision
    );
    let parsed = document::parse(&text).unwrap();
    NewItem {
        key: ItemKey::Revision(id),
        header: RevisionHeader::new(&text, &parsed, Vec::new()).to_bytes(),
        document: codec::compress(&text).unwrap(),
    }
}

fn decided(number: u128, approval: Approval, of: u32) -> NewItem {
    let record = Record {
        approval,
        revision: of,
        cause: Cause::Person("anna".to_owned()),
        changed_at: Timestamp::UNIX_EPOCH,
        accepted_licence: None,
    };
    NewItem {
        key: ItemKey::Approval(update(number)),
        header: record.to_bytes(),
        document: Vec::new(),
    }
}

const INSTALL: Approval = Approval::Install { deadline: None };

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Directory(folder.path().to_owned());
        let store = Store::open(&location).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        tx.start_epoch(Uuid::from_u128(1)).await.unwrap();
        tx.commit().await.unwrap();
        let wants = Arc::new(Mutex::new(Some(wants(Download::Deferred))));
        let ambient = Ambient::system();
        let held = Arc::clone(&wants);
        let planner = Planner::new(
            store.clone(),
            ambient.clone(),
            Arc::new(move || held.lock().unwrap().clone()),
        );
        let hierarchy = HierarchyId(Uuid::from_u128(2));
        let mut rng = ambient.new_rng();
        let authority = Authority::create(hierarchy, ambient.now(), &mut rng).unwrap();
        Self {
            store,
            planner,
            wants,
            authority,
            _folder: folder,
        }
    }

    /// Another planner over the same database, as after a start.
    fn started_again(&self) -> Planner {
        let held = Arc::clone(&self.wants);
        let wants = Arc::new(move || held.lock().unwrap().clone());
        Planner::new(self.store.clone(), Ambient::system(), wants)
    }

    fn choose(&self, chosen: Wants) {
        *self.wants.lock().unwrap() = Some(chosen);
    }

    /// Changes the log, and goes over to it.
    async fn change(&self, put: Vec<NewItem>, removed: &[ItemKey]) {
        let now = Timestamp::now_for_tests();
        let mut tx = self.store.begin().await.unwrap();
        tx.append(put, now).await.unwrap();
        tx.remove(removed, now).await.unwrap();
        let summary = tx.summarize_to_sign().await.unwrap();
        let signed = self.authority.sign(Statement {
            hierarchy: self.authority.hierarchy(),
            epoch: tx.positions().epoch,
            position: summary.position,
            items: summary.items,
            root: summary.root,
            issued: now,
            stale_after: now,
        });
        tx.publish(summary, &signed.to_bytes()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Numbers of the files that are needed, once everything was looked at.
    async fn needed(&self) -> BTreeSet<u8> {
        self.planner.settle().await.unwrap();
        assert_eq!(self.planner.step().await.unwrap(), Step::Done);
        let mut read = self.store.read().await.unwrap();
        let rows = read.content_after(None, 1000).await.unwrap();
        let needed = rows.into_iter();
        let needed = needed.filter(|row| row.state != ContentState::Unneeded);
        needed.map(|row| row.file.sha1[0]).collect()
    }
}

trait ForTests {
    fn now_for_tests() -> Timestamp;
}

impl ForTests for Timestamp {
    /// A time at which nothing is stale.
    fn now_for_tests() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
}

fn numbers<const N: usize>(numbers: [u8; N]) -> BTreeSet<u8> {
    BTreeSet::from(numbers)
}

#[tokio::test]
async fn what_is_needed_follows_every_change_of_the_log() {
    let site = Site::new().await;
    let bundle = revised(revision(1, 1), &[], &[revision(2, 1), revision(3, 1)]);
    site.change(vec![bundle, revised(revision(2, 1), &[2], &[])], &[])
        .await;
    assert_eq!(site.needed().await, numbers([]));
    site.change(vec![decided(1, INSTALL, 1)], &[]).await;
    assert_eq!(site.needed().await, numbers([2]));
    // A member that comes later.
    site.change(vec![revised(revision(3, 1), &[3], &[])], &[])
        .await;
    assert_eq!(site.needed().await, numbers([2, 3]));
    // A new revision counts from when it is approved.
    site.change(vec![revised(revision(1, 2), &[4], &[])], &[])
        .await;
    assert_eq!(site.needed().await, numbers([2, 3]));
    site.change(vec![decided(1, INSTALL, 2)], &[]).await;
    assert_eq!(site.needed().await, numbers([4]));
    site.change(vec![decided(1, Approval::Declined, 2)], &[])
        .await;
    assert_eq!(site.needed().await, numbers([]));
    site.change(vec![decided(1, INSTALL, 2)], &[]).await;
    assert_eq!(site.needed().await, numbers([4]));
    let gone = [
        ItemKey::Revision(revision(1, 1)),
        ItemKey::Revision(revision(1, 2)),
        ItemKey::Approval(update(1)),
    ];
    site.change(Vec::new(), &gone).await;
    assert_eq!(site.needed().await, numbers([]));
}

#[tokio::test]
async fn another_choice_looks_at_everything_anew() {
    let site = Site::new().await;
    let two = vec![
        revised(revision(1, 1), &[1], &[]),
        revised(revision(2, 1), &[2], &[]),
        decided(1, INSTALL, 1),
    ];
    site.change(two, &[]).await;
    assert_eq!(site.needed().await, numbers([1]));
    site.choose(wants(Download::Immediate));
    assert_eq!(site.needed().await, numbers([1, 2]));
    let expired = NewItem {
        key: ItemKey::Expiry(update(2)),
        header: Expiry {
            since: Timestamp::UNIX_EPOCH,
            by: update(1),
        }
        .to_bytes(),
        document: Vec::new(),
    };
    site.change(vec![expired], &[]).await;
    assert_eq!(site.needed().await, numbers([1]));
    site.choose(wants(Download::Never));
    assert_eq!(site.needed().await, numbers([]));
    *site.wants.lock().unwrap() = None;
    site.change(vec![decided(2, INSTALL, 1)], &[]).await;
    // Who does not know what is wanted leaves everything as it is.
    assert_eq!(site.needed().await, numbers([]));
}

#[tokio::test]
async fn what_is_not_signed_needs_nothing() {
    let site = Site::new().await;
    site.change(vec![revised(revision(1, 1), &[1], &[])], &[])
        .await;
    let mut tx = site.store.begin().await.unwrap();
    let approval = vec![decided(1, INSTALL, 1)];
    tx.append(approval, Timestamp::now_for_tests())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(site.needed().await, numbers([]));
    site.change(Vec::new(), &[]).await;
    assert_eq!(site.needed().await, numbers([1]));
}

#[tokio::test]
async fn a_plan_that_was_broken_off_goes_on_where_it_was() {
    let site = Site::new().await;
    let many: Vec<NewItem> = (1..=500)
        .map(|number| revised(revision(number, 1), &[(number % 200) as u8], &[]))
        .collect();
    let approved: Vec<NewItem> = (1..=500)
        .map(|number| decided(number, INSTALL, 1))
        .collect();
    site.change(many, &[]).await;
    site.change(approved, &[]).await;
    // Each step by a process of its own; as many steps as one process would need, and no more.
    let mut steps = 0;
    while site.started_again().step().await.unwrap() == Step::More {
        steps += 1;
        assert!(steps < 20, "it begins from the start again and again");
    }
    assert!(steps > 5, "{steps} steps are no bounded units of work");
    assert_eq!(site.needed().await.len(), 200);
    // Nothing to do is nothing to write.
    assert_eq!(site.started_again().step().await.unwrap(), Step::Done);
}
