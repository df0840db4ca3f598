use super::*;
use catalog::UpdateId;
use proptest::prelude::*;
use std::io::Write;

fn id(number: u128, revision: u32) -> RevisionId {
    RevisionId::new(UpdateId::from_u128(number), revision)
}

fn record(id: RevisionId, document: &str) -> String {
    let length = document.encode_utf16().count();
    format!(
        "{},{:08x},{length:08x},{document}\r\n",
        id.update_id, id.revision
    )
}

fn manifest(ids: &[RevisionId]) -> String {
    let mut text = String::from(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><ExportPackage \
         ServerID=\"11111111-2222-4333-8444-555555555555\" CreationTime=\"2024-06-19T17:11:14Z\" \
         FormatVersion=\"1.0\" ProtocolVersion=\"1.20\"><Languages><Language Id=\"0\" ShortName=\"all\" \
         LongName=\"all\" Enabled=\"1\"/></Languages><Files><File Digest=\"AAECAwQFBgcICQoLDA0ODxAREhM=\" \
         MUUrl=\"http://x.example/a?b=1&amp;c=2\" Name=\"a &quot;b&quot;.cab\"/></Files><Updates>",
    );
    for id in ids {
        text.push_str(&format!(
            "<Update UpdateId=\"{}\" RevisionNumber=\"{}\"><Files><File \
             Digest=\"AAECAwQFBgcICQoLDA0ODxAREhM=\"/></Files><Categories><Category \
             Value=\"00000000-0000-4000-8000-000000000001\"/></Categories><Classifications/></Update>",
            id.update_id, id.revision
        ));
    }
    text + "</Updates></ExportPackage>"
}

fn write(manifest: &str, metadata: &[u8]) -> tempfile::NamedTempFile {
    write_members(&[
        ("package.xml", manifest.as_bytes()),
        ("metadata.txt", metadata),
    ])
}

fn write_members(members: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
    let mut builder = cab::CabinetBuilder::new();
    let folder = builder.add_folder(cab::CompressionType::MsZip);
    for (name, _) in members {
        folder.add_file(*name);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = builder.build(file.as_file_mut()).unwrap();
    let mut contents = members.iter();
    while let Some(mut member) = writer.next_file().unwrap() {
        member.write_all(contents.next().unwrap().1).unwrap();
    }
    writer.finish().unwrap();
    file
}

fn read_all(package: &Package) -> Result<Vec<(RevisionId, String)>, Error> {
    let mut all = vec![];
    package.read(|update, document| {
        all.push((update.id, document));
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// The error of reading a package whose list names `ids`.
#[track_caller]
fn refused(ids: &[RevisionId], metadata: &str) -> String {
    let file = write(&manifest(ids), metadata.as_bytes());
    let package = Package::open(file.path()).unwrap();
    read_all(&package).unwrap_err().to_string()
}

#[test]
fn documents_are_read_by_their_length_in_utf16() {
    let documents = [
        (id(1, 200), "<a>\r\nline\n,break</a>"),
        (id(2, 0xABC), "<a>ä€𝄞</a>"),
        (id(3, 1), ""),
        (id(4, 1), "𝄞"),
    ];
    let ids: Vec<_> = documents.iter().map(|d| d.0).collect();
    let metadata: String = documents.iter().map(|d| record(d.0, d.1)).collect();
    let file = write(&manifest(&ids), metadata.as_bytes());
    let package = Package::open(file.path()).unwrap();
    let info = package.info();
    assert_eq!(info.creation_time.to_string(), "2024-06-19T17:11:14Z");
    assert_eq!(info.protocol_version, "1.20");
    assert!(info.languages[0].enabled);
    assert_eq!(
        package.files()[0].url.as_deref(),
        Some("http://x.example/a?b=1&c=2")
    );
    assert_eq!(package.files()[0].name.as_deref(), Some("a \"b\".cab"));
    assert_eq!(
        package.updates()[0].file_digests,
        [package.files()[0].digest]
    );
    assert_eq!(package.updates()[0].categories.len(), 1);
    let read = read_all(&package).unwrap();
    let expected: Vec<_> = documents.iter().map(|d| (d.0, d.1.to_owned())).collect();
    assert_eq!(read, expected);
}

#[test]
fn a_visitor_may_stop_early() {
    let metadata = record(id(1, 1), "<a/>") + "broken from here on";
    let file = write(&manifest(&[id(1, 1), id(2, 1)]), metadata.as_bytes());
    let package = Package::open(file.path()).unwrap();
    assert!(package.read(|_, _| ControlFlow::Break(())).is_ok());
}

#[test]
fn an_error_names_the_record() {
    let one = record(id(1, 1), "<a/>");
    let short = one.replace("00000004", "00000003");
    let expected = "metadata.txt, record 1 (00000000-0000-0000-0000-000000000001.1): the document is not \
                    followed by a line end, so its length is wrong";
    assert_eq!(refused(&[id(1, 1)], &short), expected);
    let garbage = one.clone() + "garbage";
    let error = refused(&[id(1, 1)], &garbage);
    assert!(
        error.starts_with("metadata.txt, record 2: the file ends"),
        "{error}"
    );
    let cut = record(id(1, 1), "𝄞𝄞").replace("00000004", "00000003");
    assert!(refused(&[id(1, 1)], &cut).contains("middle of a character"));
    let huge = one.replace("00000004", "ffffffff");
    assert!(refused(&[id(1, 1)], &huge).contains("longer than"));
    let long = one.replace("00000004", "00ffffff");
    assert!(refused(&[id(1, 1)], &long).contains("middle of the document"));
}

#[test]
fn both_members_have_to_agree() {
    let (first, second) = (record(id(1, 1), "<a/>"), record(id(2, 1), "<b/>"));
    let both = first.clone() + &second;
    assert!(refused(&[id(1, 1)], &both).contains("does not list"));
    assert!(refused(&[id(1, 1)], &(first.clone() + &first)).contains("before"));
    let error = refused(&[id(1, 1), id(2, 1), id(3, 1)], &first);
    assert!(error.contains("without 2 of the revisions"), "{error}");
}

#[track_caller]
fn not_opened(file: &tempfile::NamedTempFile) -> String {
    match Package::open(file.path()) {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_package_is_refused_with_a_reason() {
    let mut gzip = tempfile::NamedTempFile::new().unwrap();
    gzip.write_all(&[0x1F, 0x8B, 8, 0, 0]).unwrap();
    assert!(not_opened(&gzip).contains(".xml.gz"));
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(not_opened(&empty).contains("empty"));
    let other = write_members(&[("index.xml", b"<a/>")]);
    assert!(not_opened(&other).contains("no package.xml in it, but [\"index.xml\"]"));
}

#[test]
fn a_list_that_is_not_valid_is_refused() {
    let good = manifest(&[id(1, 1)]);
    for (from, to) in [
        (
            "<ExportPackage ",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><ExportPackage ",
        ),
        ("2024-06-19T17:11:14Z", "soon"),
        ("RevisionNumber=\"1\"", "RevisionNumber=\"-1\""),
        ("RevisionNumber=\"1\"", ""),
        ("&amp;", "&nothing;"),
        ("</Updates></ExportPackage>", ""),
        ("Digest=\"AAEC", "Digest=\"A"),
        ("ExportPackage", "Other"),
    ] {
        let changed = good.replace(from, to);
        assert_ne!(changed, good, "{from}");
        let error = not_opened(&write(&changed, b""));
        assert!(
            error.starts_with("package.xml is not valid"),
            "{from}: {error}"
        );
    }
    let deep = good.replace("<Updates>", &"<x>".repeat(100));
    assert!(not_opened(&write(&deep, b"")).contains("deeper"));
}

#[test]
fn truncated_packages_give_errors() {
    let ids: Vec<_> = (0..50).map(|n| id(n, 1)).collect();
    let metadata: String = ids
        .iter()
        .map(|&i| record(i, &format!("<a>{i}</a>")))
        .collect();
    let whole = std::fs::read(write(&manifest(&ids), metadata.as_bytes()).path()).unwrap();
    for length in (0..whole.len()).step_by(50) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&whole[..length]).unwrap();
        let outcome = Package::open(file.path()).and_then(|package| read_all(&package));
        assert!(outcome.is_err(), "{length} of {}", whole.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_documents_come_back(documents in prop::collection::vec("[^\\x00]{0,80}", 0..20)) {
        let documents: Vec<_> = (0..).map(|n| id(n, 7)).zip(documents).collect();
        let ids: Vec<_> = documents.iter().map(|d| d.0).collect();
        let metadata: String = documents.iter().map(|d| record(d.0, &d.1)).collect();
        let file = write(&manifest(&ids), metadata.as_bytes());
        let package = Package::open(file.path()).unwrap();
        prop_assert_eq!(read_all(&package).unwrap(), documents);
    }

    #[test]
    fn damage_gives_an_error_or_documents_but_no_panic(position in 0usize..4000, value: u8) {
        let ids: Vec<_> = (0..20).map(|n| id(n, 1)).collect();
        let metadata: String = ids.iter().map(|&i| record(i, &format!("<a>{i}</a>"))).collect();
        let mut bytes = std::fs::read(write(&manifest(&ids), metadata.as_bytes()).path()).unwrap();
        let position = position % bytes.len();
        bytes[position] = value;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        if let Ok(package) = Package::open(file.path()) {
            let _ = read_all(&package);
        }
    }
}
