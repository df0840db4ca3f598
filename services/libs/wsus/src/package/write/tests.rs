use super::*;
use crate::package::Package;
use catalog::{RevisionId, UpdateId};
use std::io::Cursor;
use std::ops::ControlFlow;

fn info() -> PackageInfo {
    let time = "2024-06-19T17:11:14.9Z".parse().unwrap();
    PackageInfo::of_all_languages(uuid::Uuid::from_u128(1), time)
}

fn writer() -> Writer<Cursor<Vec<u8>>> {
    let scratch = Scratch {
        files: Cursor::default(),
        updates: Cursor::default(),
        documents: Cursor::default(),
    };
    Writer::new(info(), scratch)
}

fn update(number: u128) -> PackageUpdate {
    PackageUpdate {
        id: RevisionId::new(UpdateId::from_u128(number), 200),
        file_digests: vec![[7; 20]],
        categories: vec![UpdateId::from_u128(8)],
        classifications: vec![UpdateId::from_u128(9)],
    }
}

fn file() -> PackageFile {
    PackageFile {
        digest: [7; 20],
        url: Some("http://x.example/a?b=1&c=\"2\"".to_owned()),
        name: Some("a <b>\t'c'.cab".to_owned()),
    }
}

fn packed(writer: Writer<Cursor<Vec<u8>>>) -> Vec<u8> {
    writer.finish(Cursor::default()).unwrap().into_inner()
}

#[test]
fn what_was_written_is_read_again() {
    let documents = ["<a>\r\nä€𝄞</a>", "", "<b/>"];
    let mut writer = writer();
    for (number, document) in (1..).zip(documents) {
        writer.add(&update(number), &[file()], document).unwrap();
    }
    assert_eq!(writer.revisions(), 3);
    let bytes = packed(writer);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.cab");
    std::fs::write(&path, bytes).unwrap();
    let package = Package::open(&path).unwrap();
    assert_eq!(
        package.info().creation_time.to_string(),
        "2024-06-19T17:11:14Z"
    );
    assert_eq!(package.info().languages, info().languages);
    // Named once, whoever names it.
    assert_eq!(package.files(), [file()]);
    assert_eq!(package.updates(), [update(1), update(2), update(3)]);
    let mut read = Vec::new();
    package
        .read(|_, document| {
            read.push(document);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(read, documents);
}

#[test]
fn the_members_are_those_of_a_genuine_package() {
    let mut writer = writer();
    let plain = PackageUpdate {
        file_digests: vec![],
        categories: vec![],
        classifications: vec![],
        ..update(1)
    };
    writer.add(&plain, &[], "<a>𝄞</a>").unwrap();
    let mut cabinet = cab::Cabinet::new(Cursor::new(packed(writer))).unwrap();
    let names: Vec<_> = cabinet
        .folder_entries()
        .flat_map(cab::FolderEntry::file_entries)
        .map(|file| file.name().to_owned())
        .collect();
    assert_eq!(names, ["package.xml", "metadata.txt"]);
    assert_eq!(cabinet.reserve_data(), [0; RESERVE]);
    let mut list = String::new();
    cabinet
        .read_file("package.xml")
        .unwrap()
        .read_to_string(&mut list)
        .unwrap();
    assert!(
        list.starts_with(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><ExportPackage ServerID="
        )
    );
    assert!(list.ends_with(
        "</Languages><Files></Files><Updates><Update UpdateId=\"00000000-0000-0000-0000-000000000001\" \
         RevisionNumber=\"200\"><Files></Files><Categories></Categories><Classifications></Classifications>\
         </Update></Updates></ExportPackage>"
    ), "{list}");
    let mut records = String::new();
    cabinet
        .read_file("metadata.txt")
        .unwrap()
        .read_to_string(&mut records)
        .unwrap();
    // Two units, not four bytes.
    let expected = "00000000-0000-0000-0000-000000000001,000000c8,00000009,<a>𝄞</a>\r\n";
    assert_eq!(records, expected);
}

#[test]
fn what_no_cabinet_holds_is_refused_by_name() {
    let mut small = writer().with_room(4000);
    small.add(&update(1), &[], "<a/>").unwrap();
    let error = small.add(&update(2), &[], &"x".repeat(4000)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("2 GB") && text.contains(".hwpkg"), "{text}");
    // The list counts, too.
    let mut full = writer().with_room(2000);
    full.add(&update(1), &[], &"x".repeat(1500)).unwrap();
    assert!(full.finish(Cursor::new(Vec::new())).is_err());
}
