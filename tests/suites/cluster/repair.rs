//! Databases that were altered below the software, and one that was restored from an older copy.

use crate::documents::generate;
use std::path::Path;
use store::DATABASE_FILE;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Database, Hierarchy, until};

const UPDATES: u32 = 500;
const SITES: [&str; 3] = [CENTRAL, "PR1", "SE1"];

/// Deletes, alters and doubles some rows.
const DAMAGE: &str = "
    delete from item where position between 20 and 24;
    update item set document = x'00' where position between 30 and 33;
    delete from item where position = 40;
    insert into item (position, bucket, key, digest, header, document)
    select 40, bucket, key, digest, header, document from item where position = 41;";
/// Five are missing, four altered, one more was overwritten by a double of another.
const DAMAGED: &str = "11 items in ";

async fn hierarchy() -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy
}

/// Compares what the databases hold, row for row and byte for byte, but for the places.
async fn check_databases(hierarchy: &Hierarchy) {
    let mut expected = None;
    for site in SITES {
        let database = Database::open(&hierarchy.data_dir(site)).await;
        let mut read = database.store().read().await.unwrap();
        let survey = read.survey(true).await.unwrap();
        assert_eq!(
            (survey.damaged.len(), survey.rows),
            (0, read.items().await.unwrap()),
            "{site}"
        );
        drop(read);
        let held = (database.positions().epoch, database.root().await);
        assert_eq!(*expected.get_or_insert(held), held, "{site}");
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_rows_are_found_named_and_repaired() {
    let mut hierarchy = hierarchy().await;
    let before = hierarchy.synchronize().await;

    let good = hierarchy.run(&["site", "verify", "SE1"]).good();
    assert!(good.contains("all are what was signed"), "{good}");

    Database::damage(&hierarchy.data_dir("SE1"), DAMAGE).await;
    let repaired = hierarchy.run(&["site", "verify", "se1"]).good();
    assert!(repaired.contains(DAMAGED), "{repaired}");
    let log = hierarchy.log("SE1");
    for difference in [
        "here it was missing",
        "here it was altered",
        "here it was doubled",
    ] {
        assert!(log.contains(difference), "{log}");
    }
    let good = hierarchy.run(&["site", "verify", "SE1", "--json"]).json();
    assert_eq!(good["state"], "Completed");
    assert_eq!(good["messages"][0]["status_id"], 9030, "{good}");

    // A primary site that lost most of what it had notices at the next change.
    let lost = "delete from item where position % 10 > 0";
    Database::damage(&hierarchy.data_dir("PR1"), lost).await;
    hierarchy.evolve().await;
    let after = hierarchy.synchronize().await;
    assert!(after.verified_position > before.verified_position);
    hierarchy.message("PR1", 9015, &[" items in "]).await;

    // At the top, the synchronization source has what is missing.
    Database::damage(&hierarchy.data_dir(CENTRAL), DAMAGE).await;
    let repaired = hierarchy.run(&["site", "verify", CENTRAL]).good();
    assert!(
        repaired.contains("missing or not what was signed"),
        "{repaired}"
    );
    let run = hierarchy.request_sync().await;
    let central = hierarchy.converged(&run).await;
    assert_eq!(central.root, after.root);

    let unknown = hierarchy.run(&["site", "verify", "XX1"]);
    unknown.refused("site XX1 is not below site CAS");
    hierarchy.stop_all().await;
    check_databases(&hierarchy).await;
}

fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal", "-shm"] {
        let name = format!("{DATABASE_FILE}{end}");
        drop(std::fs::remove_file(to.join(&name)));
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_at_the_top_only_differences_move() {
    let mut hierarchy = hierarchy().await;
    hierarchy.synchronize().await;
    hierarchy.stop(CENTRAL).await;
    let (data, backup) = (
        hierarchy.data_dir(CENTRAL),
        hierarchy.folder().join("backup"),
    );
    std::fs::create_dir(&backup).unwrap();
    copy(&data, &backup);
    hierarchy.start(CENTRAL).await;
    for code in ["PR1", "SE1"] {
        hierarchy.attached(code).await;
    }
    hierarchy.evolve().await;
    let before = hierarchy.synchronize().await;

    hierarchy.stop(CENTRAL).await;
    copy(&backup, &data);
    let bytes = hierarchy.proxy(CENTRAL).delivered();
    hierarchy.start(CENTRAL).await;
    // Nobody asks for anything.
    hierarchy
        .message(CENTRAL, 9029, &["holds a newer signed catalog"])
        .await;
    hierarchy.message("PR1", 9013, &[]).await;
    hierarchy.message("SE1", 9013, &[]).await;
    let root = until("all sites agree in the new epoch", LONG, || async {
        let sites = hierarchy.sites().await?;
        let central = &sites[CENTRAL];
        let agree = sites.values().all(|site| {
            site.epoch == central.epoch
                && site.root == central.root
                && site.verified_position == central.verified_position
                && site.connected
        });
        let done = agree && central.epoch != before.epoch && central.root == before.root;
        done.then(|| central.root.clone())
            .ok_or_else(|| format!("{sites:?}"))
    })
    .await;
    assert_eq!(root, before.root, "the upstream still has what was lost");
    let moved = hierarchy.proxy(CENTRAL).delivered() - bytes;
    let whole = std::fs::metadata(data.join(DATABASE_FILE)).unwrap().len();
    assert!(moved < whole / 10, "{moved} of {whole} bytes");

    hierarchy.evolve().await;
    hierarchy.synchronize().await;
    hierarchy.stop_all().await;
    check_databases(&hierarchy).await;
}
