//! A genuine package.

use crate::support::shared_data;
use std::collections::HashSet;
use std::ops::ControlFlow;
use wsus::package::Package;

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
