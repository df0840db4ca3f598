//! What is found in the catalog by CVE and by date, and what an update is related to.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use admin::updates::{Catalog, Shown};
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::{UpdateId, codec, document};
use daemon::Ambient;
use store::{Location, NewItem, Store};
use trust::{Authority, HierarchyId, Statement};
use uuid::Uuid;
use wire::convert::from_timestamp;
use wire::v1::{GetUpdateRequest, ListUpdatesRequest};

/// An update that is written into a document.
#[derive(Default)]
struct Written<'a> {
    number: u128,
    revision: u32,
    day: &'a str,
    cves: &'a [&'a str],
    description: &'a str,
    supersedes: &'a [u128],
    bundles: &'a [u128],
    /// Alternatives; the last clause says where it belongs.
    requires: &'a [&'a [u128]],
}

fn guid(number: u128) -> String {
    UpdateId::from_u128(number).to_string()
}

impl Written<'_> {
    fn text(&self) -> String {
        let each = |numbers: &[u128], form: &dyn Fn(String) -> String| -> String {
            numbers.iter().map(|number| form(guid(*number))).collect()
        };
        let cves: String = self
            .cves
            .iter()
            .map(|id| format!("<upd:CveID>{id}</upd:CveID>"))
            .collect();
        let superseded = each(self.supersedes, &|id| {
            format!(r#"<upd:UpdateIdentity UpdateID="{id}"/>"#)
        });
        let bundled = each(self.bundles, &|id| {
            format!(r#"<upd:UpdateIdentity UpdateID="{id}" RevisionNumber="1"/>"#)
        });
        let last = self.requires.len().saturating_sub(1);
        let clauses = self.requires.iter().enumerate().map(|(index, ids)| {
            let inside = each(ids, &|id| {
                format!(r#"<upd:UpdateIdentity UpdateID="{id}"/>"#)
            });
            let category = if index == last && index > 0 {
                "true"
            } else {
                "false"
            };
            format!(r#"<upd:AtLeastOne IsCategory="{category}">{inside}</upd:AtLeastOne>"#)
        });
        let clauses: String = clauses.collect();
        let group = |name: &str, inside: &str| match inside.is_empty() {
            true => String::new(),
            false => format!("<upd:{name}>{inside}</upd:{name}>"),
        };
        format!(
            r#"<upd:Update xmlns:upd="http://schemas.microsoft.com/msus/2002/12/Update">
<upd:UpdateIdentity UpdateID="{}" RevisionNumber="{}"/>
<upd:Properties UpdateType="Software" DefaultPropertiesLanguage="en" ExplicitlyDeployable="true"
 PublicationState="Published" CreationDate="{}T17:00:00.000Z">{cves}</upd:Properties>
<upd:LocalizedPropertiesCollection><upd:LocalizedProperties><upd:Language>en</upd:Language>
<upd:Title>Update {}</upd:Title><upd:Description>{}</upd:Description></upd:LocalizedProperties>
</upd:LocalizedPropertiesCollection><upd:Relationships>{}{}{}</upd:Relationships></upd:Update>"#,
            guid(self.number),
            self.revision.max(1),
            if self.day.is_empty() {
                "2024-01-01"
            } else {
                self.day
            },
            self.number,
            self.description,
            group("Prerequisites", &clauses),
            group("SupersededUpdates", &superseded),
            group("BundledUpdates", &bundled),
        )
    }
}

/// A database and who signs its catalog.
struct Place {
    store: Store,
    authority: Authority,
    ambient: Ambient,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Directory(folder.path().into());
        let store = Store::open(&location).await.unwrap();
        let ambient = Ambient::system();
        let hierarchy = HierarchyId(Uuid::from_u128(1));
        let rng = &mut ambient.new_rng();
        let authority = Authority::create(hierarchy, ambient.now(), rng).unwrap();
        let mut tx = store.begin().await.unwrap();
        tx.start_epoch(Uuid::from_u128(2)).await.unwrap();
        tx.commit().await.unwrap();
        Self {
            store,
            authority,
            ambient,
            _folder: folder,
        }
    }

    /// Adds updates to the verified catalog, and takes some out.
    async fn publish(&self, written: &[Written<'_>], removed: &[(u128, u32)]) {
        let now = self.ambient.now();
        let items = written.iter().map(|written| {
            let text = written.text();
            let update = document::parse(&text).unwrap();
            NewItem {
                key: ItemKey::Revision(update.id),
                header: RevisionHeader::new(&text, &update, Vec::new()).to_bytes(),
                document: codec::compress(&text).unwrap(),
            }
        });
        let mut tx = self.store.begin().await.unwrap();
        tx.append(items.collect(), now).await.unwrap();
        let removed = removed.iter().map(|(number, revision)| {
            ItemKey::Revision(catalog::RevisionId::new(
                UpdateId::from_u128(*number),
                *revision,
            ))
        });
        tx.remove(&removed.collect::<Vec<_>>(), now).await.unwrap();
        let summary = tx.summarize_to_sign().await.unwrap();
        let signed = self.authority.sign(Statement {
            hierarchy: self.authority.hierarchy(),
            epoch: Uuid::from_u128(2),
            position: summary.position,
            items: summary.items,
            root: summary.root,
            issued: now,
            stale_after: now,
        });
        tx.publish(summary, &signed.to_bytes()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Numbers of the updates that are found.
async fn found(catalog: &Catalog, request: ListUpdatesRequest) -> Vec<u128> {
    let listed = catalog.list(request, &Shown::default()).await.unwrap();
    assert_eq!(listed.next_page_token, "", "one page holds them");
    let updates = listed.updates.iter();
    let titles = updates.map(|update| update.title.strip_prefix("Update ").unwrap());
    titles.map(|number| number.parse().unwrap()).collect()
}

#[tokio::test]
async fn updates_are_found_by_what_they_say_of_a_cve() {
    let place = Place::new().await;
    let named = Written {
        number: 1,
        cves: &["CVE-2024-30051", "CVE-2024-30052"],
        ..Written::default()
    };
    let mentioned = Written {
        number: 2,
        description: "It closes cve-2024-30051 for good, and is 2023-1 of its kind.",
        ..Written::default()
    };
    // An older revision says what the newest does not say any more.
    let before = Written {
        number: 3,
        cves: &["CVE-2024-30051"],
        ..Written::default()
    };
    let since = Written {
        number: 3,
        revision: 2,
        ..Written::default()
    };
    place.publish(&[named, mentioned, before, since], &[]).await;
    let catalog = Catalog::new(place.store.clone());
    for (cve, expected) in [
        ("CVE-2024-30051", &[1, 2][..]),
        ("cve-2024-3005", &[1, 2]),
        ("2024-30052", &[1]),
        ("30052", &[1]),
        ("CVE-", &[1, 2]),
        ("2023-1", &[]),
        ("CVE-2019-0708", &[]),
    ] {
        let request = ListUpdatesRequest {
            cve: cve.to_owned(),
            ..ListUpdatesRequest::default()
        };
        assert_eq!(found(&catalog, request).await, expected, "{cve}");
    }
    let in_all = ListUpdatesRequest {
        text: "CVE-2024-30052".to_owned(),
        ..ListUpdatesRequest::default()
    };
    assert_eq!(found(&catalog, in_all).await, [1]);
    let none = ListUpdatesRequest {
        cve: "CVE <b>".to_owned(),
        ..ListUpdatesRequest::default()
    };
    let refused = catalog.list(none, &Shown::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn updates_are_found_by_when_they_were_created() {
    let place = Place::new().await;
    let days = ["2024-05-13", "2024-05-14", "2024-05-15"];
    let written: Vec<_> = days
        .into_iter()
        .zip(1..)
        .map(|(day, number)| Written {
            number,
            day,
            ..Written::default()
        })
        .collect();
    place.publish(&written, &[]).await;
    let catalog = Catalog::new(place.store.clone());
    let at = |text: &str| Some(from_timestamp(text.parse().unwrap()));
    for (since, before, expected) in [
        (None, None, &[1, 2, 3][..]),
        (at("2024-05-14T17:00:00Z"), None, &[2, 3]),
        (at("2024-05-14T17:00:01Z"), None, &[3]),
        (None, at("2024-05-14T17:00:00Z"), &[1]),
        (at("2024-05-14T00:00:00Z"), at("2024-05-15T00:00:00Z"), &[2]),
    ] {
        let request = ListUpdatesRequest {
            created_since: since,
            created_before: before,
            ..ListUpdatesRequest::default()
        };
        assert_eq!(found(&catalog, request).await, expected);
    }
}

/// Titles by kind of relation, and how many more there are.
async fn relations(catalog: &Catalog, number: u128) -> Vec<(String, Vec<String>, u32)> {
    let request = GetUpdateRequest {
        update_id: guid(number),
        with_document: false,
        with_relations: true,
    };
    let answer = catalog.get(&request, &Shown::default()).await.unwrap();
    assert!(!answer.relations_incomplete);
    let relations = answer.relations.into_iter();
    let told = relations.map(|relation| {
        let updates = relation.updates.into_iter();
        let titles = updates.map(|update| match update.title.is_empty() {
            true => format!("{} of {}", update.update_id, update.alternatives),
            false => format!("{} of {}", update.title, update.alternatives),
        });
        (relation.kind, titles.collect(), relation.more)
    });
    told.collect()
}

#[tokio::test]
async fn an_update_is_related_in_both_directions_as_the_catalog_is_now() {
    let place = Place::new().await;
    let plain = |number| Written {
        number,
        ..Written::default()
    };
    let newer = Written {
        number: 2,
        supersedes: &[1, 99],
        bundles: &[3],
        requires: &[&[4], &[5, 6], &[7]],
        ..Written::default()
    };
    let all = [
        plain(1),
        newer,
        plain(3),
        plain(4),
        plain(5),
        plain(6),
        plain(7),
    ];
    place.publish(&all, &[]).await;
    let catalog = Catalog::new(place.store.clone());
    let kind = |kind: &str, updates: &[&str]| {
        let updates = updates.iter().map(|title| (*title).to_owned());
        (kind.to_owned(), updates.collect::<Vec<_>>(), 0)
    };
    let missing = format!("{} of 1", guid(99));
    assert_eq!(
        relations(&catalog, 2).await,
        [
            kind("supersedes", &["Update 1 of 1", &missing]),
            kind("bundles", &["Update 3 of 1"]),
            kind(
                "requires",
                &["Update 4 of 1", "Update 5 of 2", "Update 6 of 2"]
            ),
        ]
    );
    let by = |relation: &str| kind(relation, &["Update 2 of 0"]);
    assert_eq!(relations(&catalog, 1).await, [by("superseded-by")]);
    assert_eq!(relations(&catalog, 3).await, [by("bundled-by")]);
    assert_eq!(relations(&catalog, 4).await, []);

    // A newer revision supersedes nothing any more; another update does, and one that came and went.
    let not_any_more = Written {
        revision: 2,
        ..plain(2)
    };
    let other = Written {
        number: 8,
        supersedes: &[1],
        ..Written::default()
    };
    let brief = Written {
        number: 9,
        supersedes: &[1],
        ..Written::default()
    };
    place.publish(&[not_any_more, other, brief], &[]).await;
    place.publish(&[], &[(9, 1)]).await;
    let expected = [kind("superseded-by", &["Update 8 of 0"])];
    assert_eq!(relations(&catalog, 1).await, expected);
    assert_eq!(relations(&catalog, 3).await, []);
}

#[tokio::test]
async fn of_many_relations_some_are_told_and_the_others_counted() {
    let place = Place::new().await;
    let mut written = vec![Written {
        number: 1,
        ..Written::default()
    }];
    written.extend((2..=51).map(|number| Written {
        number,
        supersedes: &[1],
        ..Written::default()
    }));
    place.publish(&written, &[]).await;
    let catalog = Catalog::new(place.store.clone());
    let told = relations(&catalog, 1).await;
    assert_eq!((told[0].1.len(), told[0].2), (40, 10));
    assert_eq!(told[0].1[0], "Update 51 of 0", "the newest first");
}
