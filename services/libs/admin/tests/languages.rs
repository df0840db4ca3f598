//! What languages do to how an update is shown: in which its texts are, and which of its files are needed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use admin::updates::{Catalog, Shown};
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::language::{Language, Wanted};
use catalog::{RevisionId, codec, document};
use daemon::Ambient;
use std::fmt::Write as _;
use store::{Location, NewItem, Store};
use trust::{Authority, HierarchyId, Statement};
use uuid::Uuid;
use wire::v1::{GetUpdateRequest, GetUpdateResponse, ListUpdatesRequest};

const BUNDLE: &str = "00000000-0000-4000-8000-000000000300";
const NEUTRAL: &str = "00000000-0000-4000-8000-000000000301";
const GERMAN: &str = "00000000-0000-4000-8000-000000000302";
const FRENCH: &str = "00000000-0000-4000-8000-000000000303";

/// An update with titles, the languages that it is for, one file of so many bytes, and what it bundles.
fn update(
    guid: &str,
    titles: &[(&str, &str)],
    languages: &[&str],
    size: u64,
    bundled: &[&str],
) -> String {
    let mut text = format!(
        r#"<upd:Update xmlns:upd="http://schemas.microsoft.com/msus/2002/12/Update">
<upd:UpdateIdentity UpdateID="{guid}" RevisionNumber="200"/>
<upd:Properties UpdateType="Software" DefaultPropertiesLanguage="en" ExplicitlyDeployable="{}"
 PublicationState="Published" CreationDate="2024-05-14T17:00:00.000Z">"#,
        !bundled.is_empty()
    );
    for language in languages {
        write!(text, "<upd:Language>{language}</upd:Language>").unwrap();
    }
    text += "</upd:Properties><upd:LocalizedPropertiesCollection>";
    for (language, title) in titles {
        write!(
            text,
            "<upd:LocalizedProperties><upd:Language>{language}</upd:Language>\
             <upd:Title>{title}</upd:Title></upd:LocalizedProperties>"
        )
        .unwrap();
    }
    text += "</upd:LocalizedPropertiesCollection><upd:Relationships>";
    if !bundled.is_empty() {
        text += "<upd:BundledUpdates>";
        for member in bundled {
            let identity =
                format!(r#"<upd:UpdateIdentity UpdateID="{member}" RevisionNumber="200"/>"#);
            text += &identity;
        }
        text += "</upd:BundledUpdates>";
    }
    text += "</upd:Relationships>";
    if size > 0 {
        write!(
            text,
            r#"<upd:Files><upd:File Digest="AAAAAAAAAAAAAAAAAAAAAAAAAAA=" DigestAlgorithm="SHA1"
 FileName="{}.cab" Size="{size}" Modified="2024-05-14T17:00:00.000Z"/></upd:Files>"#,
            guid.chars().last().unwrap()
        )
        .unwrap();
    }
    text + "</upd:Update>"
}

/// A store whose verified catalog is a bundle with a member for every language, a German and a French one.
async fn store(folder: &tempfile::TempDir) -> Store {
    let location = Location::Directory(folder.path().into());
    let store = Store::open(&location).await.unwrap();
    let titles = [("en", "An update"), ("de", "Ein Update"), ("ja", "更新")];
    let english = [("en", "A member")];
    let documents = [
        update(BUNDLE, &titles, &[], 0, &[NEUTRAL, GERMAN, FRENCH]),
        update(NEUTRAL, &english, &[], 1000, &[]),
        update(GERMAN, &english, &["de", "de-at"], 200, &[]),
        update(FRENCH, &english, &["fr"], 30, &[]),
    ];
    let items = documents.iter().map(|text| {
        let update = document::parse(text).unwrap();
        NewItem {
            key: ItemKey::Revision(update.id),
            header: RevisionHeader::new(text, &update, Vec::new()).to_bytes(),
            document: codec::compress(text).unwrap(),
        }
    });
    let ambient = Ambient::system();
    let now = ambient.now();
    let hierarchy = HierarchyId(Uuid::from_u128(1));
    let authority = Authority::create(hierarchy, now, &mut ambient.new_rng()).unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.start_epoch(Uuid::from_u128(2)).await.unwrap();
    tx.append(items.collect(), now).await.unwrap();
    let summary = tx.summarize_to_sign().await.unwrap();
    let signed = authority.sign(Statement {
        hierarchy,
        epoch: Uuid::from_u128(2),
        position: summary.position,
        items: summary.items,
        root: summary.root,
        issued: now,
        stale_after: now,
    });
    tx.publish(summary, &signed.to_bytes()).await.unwrap();
    tx.commit().await.unwrap();
    store
}

fn shown(preferred: &[&str], files: &[&str]) -> Shown {
    let languages =
        |tags: &[&str]| -> Vec<Language> { tags.iter().map(|tag| tag.parse().unwrap()).collect() };
    Shown {
        preferred: languages(preferred),
        texts: Wanted::only(languages(preferred)),
        files: Wanted::only(languages(files)),
        express: true,
    }
}

async fn get(catalog: &Catalog, update_id: &str, shown: &Shown) -> GetUpdateResponse {
    let request = GetUpdateRequest {
        update_id: update_id.to_owned(),
        with_document: true,
        with_relations: false,
    };
    catalog.get(&request, shown).await.unwrap()
}

#[tokio::test]
async fn the_files_of_a_bundle_are_needed_by_the_languages_of_its_members() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(store(&folder).await);
    let everywhere = get(&catalog, BUNDLE, &Shown::default()).await;
    assert_eq!((everywhere.bytes, everywhere.bytes_needed), (1230, 1230));
    assert_eq!(everywhere.update_file_languages, "all");

    let german = get(&catalog, BUNDLE, &shown(&[], &["de"])).await;
    assert_eq!((german.bytes, german.bytes_needed), (1230, 1200));
    assert_eq!(german.update_file_languages, "de, en");
    let member = |guid: &str| RevisionId::new(guid.parse().unwrap(), 200).to_string();
    let told: Vec<_> = german
        .files
        .iter()
        .map(|file| (file.of.as_str(), file.needed, file.because.as_str()))
        .collect();
    let french = "for fr, which is not among the languages here";
    assert_eq!(
        told,
        [
            (&*member(NEUTRAL), true, "for every language"),
            (&*member(GERMAN), true, "for de"),
            (&*member(FRENCH), false, french),
        ]
    );
    // The member by itself says the same, and is told whole all the same.
    let alone = get(&catalog, FRENCH, &shown(&[], &["de"])).await;
    assert_eq!((alone.bytes, alone.bytes_needed), (30, 0));
    assert!(alone.document.contains("<upd:Language>fr</upd:Language>"));
}

#[tokio::test]
async fn texts_are_in_the_preferred_language_that_there_is_else_in_english() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(store(&folder).await);
    for (preferred, title, told) in [
        (&[][..], "An update", &["en"][..]),
        (&["de"][..], "Ein Update", &["en", "de"][..]),
        (&["fr", "ja", "de"][..], "更新", &["en", "de", "ja"][..]),
        (&["fr"][..], "An update", &["en"][..]),
    ] {
        let shown = shown(preferred, &[]);
        let details = get(&catalog, BUNDLE, &shown).await;
        assert_eq!(details.summary.unwrap().title, title);
        let languages: Vec<_> = details.texts.iter().map(|text| &*text.language).collect();
        assert_eq!(languages, told, "{preferred:?}");
        // Lists say the same, and are searched in English whatever they show.
        let request = ListUpdatesRequest {
            text: "an update".to_owned(),
            ..ListUpdatesRequest::default()
        };
        let listed = catalog.list(request, &shown).await.unwrap().updates;
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].title, title);
    }
}
