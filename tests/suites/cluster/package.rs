//! The genuine export.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::{Database, Hierarchy, shared_data};
use wsus::package::Package;

/// Revisions of the export.
const REVISIONS: usize = 4125;

#[tokio::test(flavor = "multi_thread")]
async fn a_central_site_holds_every_document_of_the_genuine_export_byte_for_byte() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let file = data.join("wsusutil/export-2024-06-19.cab");
    let mut hierarchy = Hierarchy::new();
    hierarchy
        .upstream(["--package", &file.display().to_string()])
        .await;
    let served = hierarchy.process(UPSTREAM).output();
    assert!(
        served.contains(&format!("serving {REVISIONS} revisions")),
        "{served}"
    );
    hierarchy.central().await;
    let central = hierarchy.synchronize().await;
    // And the settings.
    assert_eq!(central.items, REVISIONS as u64 + 1);
    let messages = hierarchy.messages(CENTRAL).await.unwrap();
    let quarantined = messages
        .iter()
        .filter(|entry| entry.text.contains("set aside"))
        .count();
    assert_eq!(quarantined, 0);
    hierarchy.stop_all().await;

    let mut published = BTreeMap::new();
    let package = Package::open(&file).unwrap();
    package
        .read(|update, document| {
            published.insert(update.id, blake3::hash(document.as_bytes()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(published.len(), REVISIONS);
    let database = Database::open(&hierarchy.data_dir(CENTRAL)).await;
    for (id, digest) in published {
        let document = database.document(id).await;
        let document = document.unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(blake3::hash(document.as_bytes()), digest, "{id}");
    }
}
