//! Versions of the settings, and secrets.

use super::support::*;
use store::settings::{SettingsRow, VERSIONS_KEPT};

fn version(number: u64) -> SettingsRow {
    SettingsRow {
        version: number,
        time: time(7),
        who: "anna".to_owned(),
        document: format!("{{\"of\":{number}}}"),
    }
}

pub async fn the_newest_version_is_in_force(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.settings().await.unwrap(), None);
    for number in 1..=3 {
        tx.add_settings(&version(number)).await.unwrap();
        assert_eq!(tx.settings().await.unwrap(), Some(version(number)));
    }
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    assert_eq!(read.settings(None).await.unwrap(), Some(version(3)));
    assert_eq!(read.settings(Some(2)).await.unwrap(), Some(version(2)));
    assert_eq!(read.settings(Some(4)).await.unwrap(), None);
    let newest = read.settings_versions(2).await.unwrap();
    assert_eq!(newest, [version(3), version(2)]);
    drop(read);
    // No version is written twice.
    let mut tx = store.begin().await.unwrap();
    assert!(tx.add_settings(&version(3)).await.is_err());
}

pub async fn old_versions_are_forgotten(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    for number in [1, 2, VERSIONS_KEPT + 1] {
        tx.add_settings(&version(number)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let held = read.settings_versions(9).await.unwrap();
    assert_eq!(held, [version(VERSIONS_KEPT + 1), version(2)]);
}

pub async fn a_secret_is_kept_until_it_is_given_up(place: &Place) {
    let store = place.store().await;
    for sealed in [Some(&b"one"[..]), Some(b"two"), None, None] {
        let mut tx = store.begin().await.unwrap();
        tx.put_secret("proxy", sealed).await.unwrap();
        tx.commit().await.unwrap();
        let mut read = store.read().await.unwrap();
        let held = read.secret("proxy").await.unwrap();
        assert_eq!(held.as_deref(), sealed);
        assert_eq!(read.secret("other").await.unwrap(), None);
    }
}
