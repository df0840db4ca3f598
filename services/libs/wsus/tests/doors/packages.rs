//! Packages of `wsusutil export`.

use catalog::{RevisionId, UpdateId};
use std::fs;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::Path;
use testkit::door::sentence;
use testkit::mutate::{Mutant, cuts, damage, encodings, markup};
use testkit::{Door, shared_data};
use wsus::package::Package;

const MANIFEST: &str = include_str!("package.xml");

fn id(number: u128) -> RevisionId {
    RevisionId::new(UpdateId::from_u128(number), 200)
}

fn metadata() -> String {
    let record = |n, document: &str| {
        let (id, length) = (id(n), document.encode_utf16().count());
        let revision = id.revision;
        format!(
            "{},{revision:08x},{length:08x},{document}\r\n",
            id.update_id
        )
    };
    record(1, "<a>\r\nline\n,break</a>") + &record(2, "<a>ä€𝄞</a>") + &record(3, "")
}

fn pack(compression: cab::CompressionType, members: [(&str, &[u8]); 2]) -> Vec<u8> {
    let mut builder = cab::CabinetBuilder::new();
    let folder = builder.add_folder(compression);
    for (name, _) in members {
        folder.add_file(name);
    }
    let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
    let mut contents = members.iter();
    while let Some(mut member) = writer.next_file().unwrap() {
        member.write_all(contents.next().unwrap().1).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn packed(manifest: &[u8], metadata: &[u8]) -> Vec<u8> {
    let members = [("package.xml", manifest), ("metadata.txt", metadata)];
    pack(cab::CompressionType::None, members)
}

/// Reads the package in `bytes` to its end.
fn package(folder: &Path, bytes: &[u8]) -> Result<(), String> {
    let file = folder.join("export.cab");
    fs::write(&file, bytes).unwrap();
    // Where a test puts its files says nothing about the sentence.
    let plain = |text: String| text.replace(&file.display().to_string(), "export.cab");
    let told = |error: wsus::package::Error| plain(sentence(&error));
    let package = Package::open(&file).map_err(told)?;
    let (mut records, mut kept) = (0, 0);
    let read = package.read(|_, document| {
        records += 1;
        kept += document.len();
        ControlFlow::Continue(())
    });
    assert!(records <= package.updates().len());
    assert!(kept <= bytes.len() * 2000, "more than can be unpacked");
    read.map_err(told)
}

#[test]
fn bad_packages_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |bytes: &[u8]| package(folder.path(), bytes);
    let mut door = Door::new("wsusutil packages");
    let metadata = metadata();
    for compression in [cab::CompressionType::None, cab::CompressionType::MsZip] {
        let members = [
            ("package.xml", MANIFEST.as_bytes()),
            ("METADATA.TXT", metadata.as_bytes()),
        ];
        let good = pack(compression, members);
        open(&good).unwrap();
        for cut in cuts(&good) {
            assert!(open(&cut.bytes).is_err(), "{}", cut.what);
        }
        door.knock_all(cuts(&good), open);
        door.knock_all(damage(&good, 1, 500), open);
    }
    // Damage inside the members, which the checksums of a cabinet would hide.
    let inner = |mutants: Vec<Mutant>, pack: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<Mutant> {
        let repacked = mutants
            .into_iter()
            .map(|mutant| Mutant::new(mutant.what, pack(&mutant.bytes)));
        repacked.collect()
    };
    let mut lists: Vec<Mutant> = cuts(MANIFEST.as_bytes()).collect();
    lists.extend(damage(MANIFEST.as_bytes(), 2, 600));
    lists.extend(markup::rearranged(MANIFEST, 2, 300));
    lists.extend(markup::bombs(MANIFEST));
    lists.extend(encodings(MANIFEST));
    let with_list = |list: &[u8]| packed(list, metadata.as_bytes());
    door.knock_all(inner(lists, &with_list), open);
    let mut records: Vec<Mutant> = cuts(metadata.as_bytes()).collect();
    records.extend(damage(metadata.as_bytes(), 3, 600));
    records.extend(encodings(&metadata));
    let with_records = |records: &[u8]| packed(MANIFEST.as_bytes(), records);
    door.knock_all(inner(records, &with_records), open);
    door.close(2_500);
}

#[test]
fn a_genuine_package_that_was_cut_or_damaged_is_refused() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let good = fs::read(data.join("wsusutil/export-2024-06-19.cab")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let open = |bytes: &[u8]| package(folder.path(), bytes);
    let mut door = Door::new("a genuine wsusutil package");
    // Few, because each unpacks up to 13 MB; most at the beginning, where it is refused soonest.
    let begin = good.len() / 50;
    door.knock_all(cuts(&good[..begin]), open);
    for mutant in damage(&good[..begin], 4, 60) {
        let mut bytes = mutant.bytes;
        bytes.extend(&good[begin..]);
        door.knock(&Mutant::new(mutant.what, bytes), open);
    }
    door.close(300);
}

#[test]
fn a_document_of_half_characters_is_refused_before_it_fills_the_memory() {
    // Bytes that go on a character count as none: read on until there are enough characters, the whole
    // rest of the file would be read.
    let folder = tempfile::tempdir().unwrap();
    let header = format!("{},{:08x},{:08x},", id(1).update_id, 200, 1_000_000);
    let mut records = header.into_bytes();
    records.resize(records.len() + (64 << 20), 0x80);
    let members = [
        ("package.xml", MANIFEST.as_bytes()),
        ("metadata.txt", records.as_slice()),
    ];
    let bytes = pack(cab::CompressionType::MsZip, members);
    let error = package(folder.path(), &bytes).unwrap_err();
    assert!(error.ends_with("the document is not UTF-8"), "{error}");
}

#[test]
fn a_tag_without_end_is_refused_before_it_fills_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    for start in ["<", "<x a=\"", "<!--", "<![CDATA[", "text ", "<?x ", "</"] {
        let list = MANIFEST.replacen("<Updates>", &(start.to_owned() + &"x".repeat(8 << 20)), 1);
        let error = package(folder.path(), &packed(list.as_bytes(), b"")).unwrap_err();
        assert!(error.contains("longer than"), "{error}");
    }
}

#[test]
fn an_update_inside_another_does_not_take_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [
        (
            "<Files><File Digest=\"AAEC",
            "<Update UpdateId=\"00000000-0000-0000-0000-000000000009\" RevisionNumber=\"1\"/><Files><File Digest=\"AAEC",
        ),
        (
            "<Updates>",
            "<ExportPackage ServerID=\"11111111-2222-4333-8444-555555555555\" CreationTime=\"2024-06-19T17:11:14Z\"/><Updates>",
        ),
    ] {
        let list = MANIFEST.replace(from, to);
        assert_ne!(list, MANIFEST);
        let bytes = packed(list.as_bytes(), metadata().as_bytes());
        let error = package(folder.path(), &bytes).unwrap_err();
        assert!(error.contains("inside another"), "{error}");
    }
}
