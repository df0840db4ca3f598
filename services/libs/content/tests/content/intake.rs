//! Files that somebody brings: only what the catalog names and describes comes in, and nobody fetches it meanwhile.

use super::origin::{Fault, Origin};
use super::support::{Site, at, update};
use catalog::content::ContentFile;
use content::Hold;
use content::intake::{IntakeError, Offer};
use testkit::patience::LONG;
use testkit::until;

/// Notes that the catalog names files.
async fn name(site: &Site, files: &[ContentFile]) {
    let mut tx = site.store.begin().await.unwrap();
    tx.name_content(files).await.unwrap();
    tx.commit().await.unwrap();
}

/// Brings a file with these bytes.
async fn bring(
    site: &Site,
    hold: &Hold,
    file: &ContentFile,
    bytes: &[u8],
) -> Result<(), IntakeError> {
    let offer = site.content.offer(hold, file.id(), file.size).await?;
    let Offer::Wanted(mut intake) = offer else {
        panic!("{offer:?}");
    };
    for piece in bytes.chunks(700_000) {
        intake.append(piece.to_vec()).await?;
    }
    site.content.end_intake(*intake).await
}

#[tokio::test]
async fn a_file_that_is_brought_takes_the_place_of_its_fetching() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    origin.fault("1", [Fault::Cut(500_000)]);
    let site = Site::top().await;
    name(&site, std::slice::from_ref(&file)).await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    until("some of it came", LONG, || async {
        let files = site.content.files();
        let had = files.partial_length(file.id()).await.unwrap();
        (had > 0).then_some(()).ok_or_else(|| "nothing".to_owned())
    })
    .await;
    let requests = origin.requests();
    let hold = site.content.hold();
    bring(&site, &hold, &file, &bytes).await.unwrap();
    site.check(&file, &bytes).await;
    let again = site.content.offer(&hold, file.id(), file.size).await;
    assert!(matches!(again.unwrap(), Offer::Held));
    drop(hold);
    site.until_done(1).await;
    assert_eq!(origin.requests(), requests);
}

#[tokio::test]
async fn what_the_catalog_does_not_say_stays_outside() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 800_000);
    let (other, _) = update(2, 10);
    let site = Site::top().await;
    name(&site, std::slice::from_ref(&file)).await;
    let hold = site.content.hold();
    for (id, size) in [(other.id(), 10), (file.id(), file.size + 1)] {
        let offer = site.content.offer(&hold, id, size).await.unwrap();
        assert!(matches!(offer, Offer::Unknown), "{offer:?}");
    }
    let mut wrong = bytes.to_vec();
    wrong[400_000] ^= 1;
    let error = bring(&site, &hold, &file, &wrong).await.unwrap_err();
    assert!(matches!(error, IntakeError::Mismatch(_)), "{error}");
    assert!(!site.path(&file).exists());
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until("held up", |state| !state.waits.is_empty()).await;
    assert_eq!(origin.requests(), 0);
    drop(hold);
    site.until_done(1).await;
    site.check(&file, &bytes).await;
}

#[tokio::test]
async fn what_nothing_needs_comes_in_and_is_up_to_the_clean_up() {
    let (file, bytes) = update(1, 5_000);
    let site = Site::top().await;
    name(&site, std::slice::from_ref(&file)).await;
    let hold = site.content.hold();
    bring(&site, &hold, &file, &bytes).await.unwrap();
    site.check(&file, &bytes).await;
    let (empty, none) = update(3, 0);
    name(&site, std::slice::from_ref(&empty)).await;
    bring(&site, &hold, &empty, &none).await.unwrap();
    site.check(&empty, &none).await;
    let row = site.row(&file).await;
    assert_eq!(row.state, store::content::ContentState::Unneeded);
}

#[tokio::test]
async fn a_directory_is_imported_amid_the_fetching_of_the_same_file() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    // It says nothing, for as long as it is waited for.
    origin.fault("1", [Fault::Silent]);
    let site = Site::top().await;
    name(&site, std::slice::from_ref(&file)).await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until("under way", |state| state.under_way == 1).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("any.name"), &bytes).unwrap();
    let import = content::import::import(&site.content, folder.path(), false, |_| {
        Box::pin(async { true })
    });
    let told = import.await.unwrap();
    assert_eq!((told.taken.files, told.held), (1, 0), "{told:?}");
    assert_eq!(told.problems, [""; 0]);
    site.check(&file, &bytes).await;
    site.until_done(1).await;
}
