//! A content store in a bucket of an S3-compatible store, over loopback.

use super::bucket_server::{BucketServer, SECRET};
use super::files::try_to_bring;
use super::origin::Origin;
use super::support::{Site, at, update};
use content::files::{Finished, Verdict};
use content::source::HttpSource;
use content::{ContentFile, Files};
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;

fn key(file: &ContentFile) -> String {
    format!("all/files/{}/{}", file.folder(), file.stored_name())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_put_read_listed_and_removed() {
    let server = BucketServer::start().await;
    let work = tempfile::tempdir().unwrap();
    let files = Files::open(&server.place(work.path())).unwrap();
    assert_eq!(files.place(), "s3://updates/all/files");
    let (small, few) = update(1, 3_000_000);
    assert_eq!(files.look_through(&small).await.unwrap(), Verdict::Missing);
    assert_eq!(server.operations(), ["head"]);
    let stored = try_to_bring(&files, &small, &few).await.unwrap();
    assert_eq!(stored, Finished::Stored);
    assert_eq!(server.operations(), ["put"]);
    // More than one part of an upload.
    let (large, many) = update(2, 20_000_000);
    let stored = try_to_bring(&files, &large, &many).await.unwrap();
    assert_eq!(stored, Finished::Stored);
    assert_eq!(
        server.operations(),
        ["begin", "part", "part", "part", "complete"]
    );
    let mut keys = [key(&small), key(&large)];
    keys.sort();
    assert_eq!(server.keys(), keys);
    for (file, bytes) in [(&small, &few), (&large, &many)] {
        assert_eq!(files.look_through(file).await.unwrap(), Verdict::Good);
        let part = files
            .read(file, file.size - 100_000, 1 << 20)
            .await
            .unwrap();
        assert_eq!(part, bytes.slice(bytes.len() - 100_000..));
        assert_eq!(files.length(file).await.unwrap(), Some(file.size));
    }
    assert_eq!(files.partials().await.unwrap(), []);

    // A folder is listed to its end, whatever else lies in it.
    let (folder, id) = (large.folder(), large.id().to_string());
    for number in 0..3 {
        let name = format!("{number}{}.cab", &id[1..]);
        server.put(&format!("all/files/{folder}/{name}"), vec![0; number + 1]);
    }
    server.put(
        &format!("all/files/{folder}/readme.txt"),
        "not a file of an update",
    );
    server.operations();
    let mut listed = files.folder(large.sha1[19]).await.unwrap();
    listed.sort();
    assert_eq!(listed.len(), 4);
    assert!(listed.contains(&(large.id(), 20_000_000)));
    assert_eq!(server.operations(), ["list", "list", "list"]);

    let claim = files.claim(large.id()).unwrap();
    files.remove(&claim, &large).await.unwrap();
    assert_eq!(server.operations(), ["delete"]);
    assert_eq!(files.length(&large).await.unwrap(), None);
    files.remove(&claim, &large).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_is_not_one_that_is_empty() {
    let server = BucketServer::start().await;
    let work = tempfile::tempdir().unwrap();
    let files = Files::open(&server.place(work.path())).unwrap();
    let (file, bytes) = update(1, 100_000);
    try_to_bring(&files, &file, &bytes).await.unwrap();
    let claim = files.claim(file.id()).unwrap();
    for status in [403, 503] {
        server.fault("any", status, u32::MAX);
        let errors = [
            files.length(&file).await.map(drop).unwrap_err(),
            files.read(&file, 0, 10).await.map(drop).unwrap_err(),
            files.look_through(&file).await.map(drop).unwrap_err(),
            files.folder(0).await.map(drop).unwrap_err(),
            files.remove(&claim, &file).await.unwrap_err(),
        ];
        for error in errors {
            let said = format!("{error} {error:?}");
            assert_ne!(error.kind(), std::io::ErrorKind::NotFound, "{said}");
            assert!(said.contains(&status.to_string()), "{said}");
            assert!(!said.contains(SECRET), "{said}");
        }
        server.heal();
    }
    // What is over soon is tried again at once.
    server.fault("any", 503, 2);
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Good);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_is_given_up_and_loses_nothing() {
    let server = BucketServer::start().await;
    let work = tempfile::tempdir().unwrap();
    let files = Files::open(&server.place(work.path())).unwrap();
    // More parts than are under way at the same time.
    let (file, bytes) = update(1, 50_000_000);
    for (operation, times) in [("begin", 1), ("part", 1), ("complete", 1)] {
        server.fault(operation, 403, times);
        let error = try_to_bring(&files, &file, &bytes).await.unwrap_err();
        assert!(error.to_string().contains("403"), "{operation}: {error}");
        let gave_up = server.operations().contains(&"abort");
        assert_eq!(gave_up, operation != "begin", "{operation}");
        assert_eq!((server.open_uploads(), server.keys().len()), (0, 0));
        // All of it is there still, and is not fetched again.
        let had = files.partial_length(file.id()).await.unwrap();
        assert_eq!(had, file.size, "{operation}");
    }
    // Where it cannot be given up either, the first failure is the one that is told.
    server.fault("part", 403, 1);
    server.fault("abort", 409, u32::MAX);
    let error = try_to_bring(&files, &file, &bytes).await.unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
    server.heal();
    assert_eq!(
        try_to_bring(&files, &file, &bytes).await.unwrap(),
        Finished::Stored
    );
    assert_eq!(files.look_through(&file).await.unwrap(), Verdict::Good);
    assert_eq!(files.partials().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_tries_again_while_its_bucket_refuses_and_fetches_nothing_twice() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    let server = BucketServer::start().await;
    let work = tempfile::tempdir().unwrap();
    let sources = vec![Arc::new(HttpSource::new(None).unwrap()) as _];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let site = Site::keeping(folder, &server.place(work.path()), sources).await;
    server.fault("put", 403, u32::MAX);
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until("failing", |state| state.failing == 1).await;
    let row = site.row(&file).await;
    let said = row.last_error.starts_with("the content store failed: ");
    assert!(
        said && !row.last_error.contains(SECRET),
        "{}",
        row.last_error
    );
    server.heal();
    site.later();
    site.until_done(1).await;
    assert_eq!(origin.bytes(), 3_000_000);
    // It hands on what lies there.
    let (size, part) = site
        .content
        .hand_on(file.id(), 1 << 20, 1000)
        .await
        .unwrap();
    assert_eq!(
        (size, part),
        (file.size, bytes.slice(1 << 20..(1 << 20) + 1000))
    );
    // Somebody took it away below the site.
    let row = site.row(&file).await;
    server.put(&key(&file), "something else");
    let verdict = site.content.verify(&row).await.unwrap().unwrap();
    assert!(matches!(verdict, Verdict::Bad(_)), "{verdict:?}");
    until("it is back", LONG, || async {
        let row = site.row(&file).await;
        let there = row.present_since.is_some();
        there.then_some(()).ok_or_else(|| format!("{row:?}"))
    })
    .await;
    let row = site.row(&file).await;
    let verdict = site.content.verify(&row).await.unwrap();
    assert_eq!(verdict, Some(Verdict::Good));
}
