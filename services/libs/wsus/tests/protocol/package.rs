//! A genuine package.

use crate::support::shared_data;
use catalog::RevisionId;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use wsus::package::{Package, PackageInfo, Scratch, Writer};

#[test]
fn all_records_of_a_genuine_package_are_read() {
    let Some(data) = shared_data() else { return };
    let package = Package::open(data.join("wsusutil/export-2024-06-19.cab")).unwrap();
    let info = package.info();
    assert_eq!(info.creation_time.to_string(), "2024-06-19T17:11:14Z");
    assert_eq!(
        (info.format_version.as_str(), info.protocol_version.as_str()),
        ("1.0", "1.20")
    );
    assert_eq!(info.languages.len(), 39);
    assert_eq!(package.updates().len(), 4_125);
    assert!(package.files().is_empty());
    let (mut records, mut updates, mut with_returns) = (0, HashSet::new(), 0);
    package
        .read(|update, document| {
            assert_eq!(package.updates()[records].id, update.id);
            assert!(document.starts_with("<upd:Update"), "{}", update.id);
            assert!(document.ends_with("</upd:Update>"), "{}", update.id);
            records += 1;
            updates.insert(update.id.update_id);
            with_returns += usize::from(document.contains('\r'));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((records, updates.len(), with_returns), (4_125, 4_087, 95));
}

#[test]
fn every_genuine_document_survives_an_answer_byte_for_byte() {
    use wsus::message::{Operation, Response, ServerSyncUpdate, SoapVersion, UpdateData};
    let Some(data) = shared_data() else { return };
    let package = Package::open(data.join("wsusutil/export-2024-06-19.cab")).unwrap();
    let mut batch = UpdateData::default();
    let mut compared = 0;
    let mut check = |batch: &mut UpdateData| {
        let sent = std::mem::take(batch);
        let answer = Response::UpdateData(sent.clone()).encode(SoapVersion::V11);
        let read = Response::decode(answer.as_bytes(), Operation::GetUpdateData)
            .unwrap()
            .unwrap();
        assert!(read == Response::UpdateData(sent));
        compared += 1;
    };
    package
        .read(|update, document| {
            batch.updates.push(ServerSyncUpdate {
                id: update.id,
                document,
                file_digests: vec![],
            });
            if batch.updates.len() == 100 {
                check(&mut batch);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    check(&mut batch);
    assert_eq!(compared, 42);
}

/// What a package unpacks to: list and records.
fn members(
    path: &std::path::Path,
) -> (Vec<wsus::package::PackageUpdate>, Vec<(RevisionId, String)>) {
    let package = Package::open(path).unwrap();
    let mut records = Vec::new();
    package
        .read(|update, document| {
            records.push((update.id, document));
            ControlFlow::Continue(())
        })
        .unwrap();
    (package.updates().to_vec(), records)
}

#[test]
fn the_genuine_package_is_written_again_document_by_document() {
    let Some(data) = shared_data() else { return };
    let genuine = data.join("wsusutil/export-2024-06-19.cab");
    let read = Package::open(&genuine).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let scratch = || tempfile::tempfile_in(folder.path()).unwrap();
    let scratch = Scratch {
        files: scratch(),
        updates: scratch(),
        documents: scratch(),
    };
    let mut writer = Writer::new(read.info().clone(), scratch);
    read.read(|update, document| {
        writer.add(update, &[], &document).unwrap();
        ControlFlow::Continue(())
    })
    .unwrap();
    let again = folder.path().join("again.cab");
    writer.finish(File::create_new(&again).unwrap()).unwrap();
    let (written, genuine_members) = (members(&again), members(&genuine));
    assert!(written == genuine_members);
    assert_eq!(Package::open(&again).unwrap().info(), read.info());
    let expected = PackageInfo::of_all_languages(read.info().server_id, read.info().creation_time);
    assert_eq!(read.info(), &expected);
}

#[test]
fn a_bomb_is_refused_by_what_it_unpacks_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.cab");
    let mut builder = cab::CabinetBuilder::new();
    let members = builder.add_folder(cab::CompressionType::MsZip);
    members.add_file("package.xml");
    members.add_file("metadata.txt");
    let mut cabinet = builder.build(File::create(&path).unwrap()).unwrap();
    let mut list = cabinet.next_file().unwrap().unwrap();
    let head = "<ExportPackage ServerID=\"11111111-2222-4333-8444-555555555555\" \
                CreationTime=\"2024-06-19T17:11:14Z\"><Languages>";
    list.write_all(head.as_bytes()).unwrap();
    for _ in 0..200 {
        list.write_all(&vec![b' '; 1 << 19]).unwrap();
        list.write_all(b"<x/>").unwrap();
        list.write_all(&vec![b' '; 1 << 19]).unwrap();
        list.write_all(b"<x/>").unwrap();
    }
    assert!(cabinet.next_file().unwrap().is_some());
    cabinet.finish().unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 400 << 10, "{size}");
    let Err(error) = Package::open(&path) else {
        panic!("opened")
    };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let cause = cause.unwrap_or_default();
    assert!(cause.contains("200 times"), "{error}: {cause}");
}
