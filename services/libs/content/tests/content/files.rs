//! The store of files by itself.

use super::support::update;
use bytes::Bytes;
use content::digest::Mismatch;
use content::files::{Finished, MOST_QUARANTINED, Verdict};
use content::{ContentFile, ContentStore, Files};
use object_store::memory::InMemory;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

fn open(path: &Path) -> Files {
    Files::open(&ContentStore::Directory(path.to_owned())).unwrap()
}

/// Brings bytes as a file.
async fn bring(files: &Files, file: &ContentFile, bytes: &Bytes) -> Finished {
    try_to_bring(files, file, bytes).await.unwrap()
}

/// The same, with what the store says where it cannot.
pub async fn try_to_bring(
    files: &Files,
    file: &ContentFile,
    bytes: &Bytes,
) -> std::io::Result<Finished> {
    let claim = files.claim(file.id()).unwrap();
    let mut partial = files.partial(claim, file).await?;
    let had = usize::try_from(partial.had()).unwrap();
    partial.append(bytes.slice(had..)).await?;
    partial.finish().await
}

#[tokio::test]
async fn a_file_that_came_lies_where_wsus_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(folder.path());
    let (file, bytes) = update(1, 3_000_000);
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Missing);
    assert_eq!(bring(&files, &file, &bytes).await, Finished::Stored);
    let id = file.id().to_string();
    assert_eq!(id, id.to_uppercase());
    let path = folder.path().join(&id[38..]).join(format!("{id}.cab"));
    assert!(std::fs::read(path).unwrap() == *bytes);
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Good);
    let part = files.read(&file, 2_999_990, 100).await.unwrap();
    assert_eq!(part, bytes.slice(2_999_990..));
    assert_eq!(
        files.folder(file.sha1[19]).await.unwrap(),
        [(file.id(), 3_000_000)]
    );
    assert_eq!(files.partials().await.unwrap(), []);
    let claim = files.claim(file.id()).unwrap();
    files.remove(&claim, &file).await.unwrap();
    assert_eq!(files.length(&file).await.unwrap(), None);
    files.remove(&claim, &file).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_a_crash_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (file, bytes) = update(2, 1_000_000);
    {
        let files = open(folder.path());
        let claim = files.claim(file.id()).unwrap();
        let mut partial = files.partial(claim, &file).await.unwrap();
        partial.append(bytes.slice(..123_457)).await.unwrap();
    }
    let files = open(folder.path());
    assert_eq!(files.partials().await.unwrap(), [file.id()]);
    assert_eq!(files.partial_length(file.id()).await.unwrap(), 123_457);
    let part = files
        .read_partial(file.id(), 100_000, 1 << 20)
        .await
        .unwrap();
    assert_eq!(part, bytes.slice(100_000..123_457));
    let claim = files.claim(file.id()).unwrap();
    let partial = files.partial(claim, &file).await.unwrap();
    assert_eq!(partial.had(), 123_457);
    drop(partial);
    assert_eq!(bring(&files, &file, &bytes).await, Finished::Stored);
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Good);
}

#[tokio::test]
async fn what_is_longer_than_the_file_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(folder.path());
    let (file, bytes) = update(3, 1000);
    let path = folder.path().join(".partial").join(file.id().to_string());
    std::fs::write(path, vec![0; 1001]).unwrap();
    assert_eq!(bring(&files, &file, &bytes).await, Finished::Stored);
}

#[tokio::test]
async fn what_is_not_what_the_catalog_says_is_put_aside_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(folder.path());
    let (mut file, bytes) = update(4, 1000);
    let mut wrong = bytes.to_vec();
    wrong[999] ^= 1;
    let wrong = Bytes::from(wrong);
    for _ in 0..MOST_QUARANTINED + 3 {
        match bring(&files, &file, &wrong).await {
            Finished::Quarantined(Mismatch::Sha1(_)) => {}
            other @ (Finished::Stored | Finished::Quarantined(_)) => panic!("{other:?}"),
        }
        assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Missing);
    }
    let aside = std::fs::read_dir(folder.path().join(".quarantine")).unwrap();
    assert_eq!(aside.count(), MOST_QUARANTINED);
    assert_eq!(bring(&files, &file, &bytes).await, Finished::Stored);
    // Somebody who can make SHA-1s meet is still found out.
    file.sha256 = Some([7; 32]);
    let verdict = files.look_through(&file).await.unwrap();
    assert_eq!(verdict, Verdict::Bad(Mismatch::Sha256));
    let claim = files.claim(file.id()).unwrap();
    files.put_aside(&claim, &file).await.unwrap();
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Missing);
}

#[tokio::test]
async fn one_file_is_brought_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(folder.path());
    let (file, bytes) = update(5, 1000);
    let claim = files.claim(file.id()).unwrap();
    assert!(files.claim(file.id()).is_none());
    let mut partial = files.partial(claim, &file).await.unwrap();
    // Another process with the same directory.
    let other = open(folder.path());
    let claim = other.claim(file.id()).unwrap();
    let refused = other.partial(claim, &file).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    partial.append(bytes).await.unwrap();
    assert_eq!(partial.finish().await.unwrap(), Finished::Stored);
    assert_eq!(other.look_through(&file).await.unwrap(), Verdict::Good);
    assert!(files.claim(file.id()).is_some());
}

#[tokio::test]
async fn a_store_that_was_copied_from_elsewhere_is_read_in_whatever_case() {
    let folder = tempfile::tempdir().unwrap();
    let files = open(folder.path());
    let (file, bytes) = update(6, 2000);
    let id = file.id().to_string().to_lowercase();
    let place = folder.path().join(&id[38..]);
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join(format!("{id}.CAB")), &bytes).unwrap();
    std::fs::write(place.join("anonymousCheckFile.txt"), "x").unwrap();
    std::fs::create_dir_all(place.join("a folder")).unwrap();
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Good);
    assert_eq!(
        files.folder(file.sha1[19]).await.unwrap(),
        [(file.id(), 2000)]
    );
    let claim = files.claim(file.id()).unwrap();
    files.remove(&claim, &file).await.unwrap();
    assert_eq!(files.length(&file).await.unwrap(), None);
}

#[tokio::test]
async fn a_name_from_the_catalog_leads_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let files = open(&root);
    for name in [
        "../../evil.cab",
        "/etc/passwd",
        "a.b/../../../x",
        "a.\0",
        "..",
        "a.x\\..\\y",
    ] {
        let (mut file, bytes) = update(7, 10);
        file.name = name.to_owned();
        assert_eq!(
            bring(&files, &file, &bytes).await,
            Finished::Stored,
            "{name}"
        );
        let claim = files.claim(file.id()).unwrap();
        assert_eq!(files.length(&file).await.unwrap(), Some(10), "{name}");
        files.remove(&claim, &file).await.unwrap();
    }
    let above: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(above.len(), 1, "{above:?}");
}

#[tokio::test]
async fn a_bucket_holds_the_same_under_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Arc::new(InMemory::new());
    let files = Files::in_bucket(bucket.clone(), "all/updates", folder.path()).unwrap();
    // More than one part of an upload.
    let (file, bytes) = update(8, 20_000_000);
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Missing);
    assert_eq!(bring(&files, &file, &bytes).await, Finished::Stored);
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Good);
    assert_eq!(files.partials().await.unwrap(), []);
    let part = files.read(&file, 19_999_990, 100).await.unwrap();
    assert_eq!(part, bytes.slice(19_999_990..));
    assert_eq!(
        files.folder(file.sha1[19]).await.unwrap(),
        [(file.id(), 20_000_000)]
    );
    let shown = format!("{bucket}");
    assert!(!shown.is_empty());
    let (empty, nothing) = update(9, 0);
    assert_eq!(bring(&files, &empty, &nothing).await, Finished::Stored);
    assert_eq!(files.look_through(&empty).await.unwrap(), Verdict::Good);
    let claim = files.claim(file.id()).unwrap();
    files.remove(&claim, &file).await.unwrap();
    files.remove(&claim, &file).await.unwrap();
    assert_eq!(files.length(&file).await.unwrap(), None);
}
