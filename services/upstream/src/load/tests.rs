use super::*;
use crate::generator::Generator;
use jiff::Timestamp;
use testkit::shared_data;
use wsus::message::RevisionFilter;
use wsus::server::Session;
use wsus::server::Source;

fn now() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

async fn listed(catalog: &ServedCatalog, get_config: bool) -> Vec<RevisionId> {
    let filter = RevisionFilter {
        get_config,
        ..RevisionFilter::default()
    };
    catalog
        .revisions(&Session::newest(uuid::Uuid::nil()), &filter, now())
        .await
        .unwrap()
        .revisions
}

#[tokio::test]
async fn the_genuine_export_is_served_byte_for_byte() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let path = data.join("wsusutil/export-2024-06-19.cab");
    let catalog = package(&path).unwrap();
    assert_eq!(catalog.len(), 4125);
    // 4,087 categories and detectoids, some of them in several revisions.
    assert_eq!(listed(&catalog, true).await.len(), 4125);
    assert!(listed(&catalog, false).await.is_empty());
    let mut compared = 0;
    let mut originals = Vec::new();
    let package = Package::open(&path).unwrap();
    package
        .read(|update, text| {
            if compared % 16 == 0 {
                originals.push((update.id, text));
            }
            compared += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    let ids: Vec<RevisionId> = originals.iter().map(|(id, _)| *id).collect();
    let served = catalog.updates(&ids).await.unwrap();
    for ((id, original), served) in originals.iter().zip(served) {
        assert_eq!(&*served.unwrap().document, original, "{id}");
    }
}

#[tokio::test]
async fn the_recorded_documents_are_served_from_their_folder() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let catalog = directory(&data.join("captures/updates")).unwrap();
    assert_eq!(catalog.len(), 5);
    assert_eq!(listed(&catalog, true).await.len(), 3);
    assert_eq!(listed(&catalog, false).await.len(), 2);
    assert!(
        catalog.publish_changes(1.0, now()).is_none(),
        "a folder does not change"
    );
}

#[tokio::test]
async fn a_folder_is_served_whatever_its_files_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let settings = GeneratorSettings {
        seed: 2,
        updates: 40,
    };
    let generator = Generator::new(settings);
    // Names in reverse, so that bundles are read before their members.
    for (number, recipe) in generator.recipes().enumerate() {
        let path = folder.path().join(format!("{:05}.XML", 90_000 - number));
        fs::write(path, generator.document(&recipe)).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "not a document").unwrap();
    let read = directory(folder.path()).unwrap();
    let made = generated(settings);
    assert_eq!(read.len(), made.len());
    let sorted = |mut ids: Vec<RevisionId>| {
        ids.sort_unstable();
        ids
    };
    for get_config in [true, false] {
        let (read, made) = (
            listed(&read, get_config).await,
            listed(&made, get_config).await,
        );
        assert_eq!(sorted(read), sorted(made));
    }
}

#[test]
fn what_cannot_be_served_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(directory(folder.path()), Err(Error::Empty { .. })));
    let path = folder.path().join("broken.xml");
    fs::write(&path, "<html/>").unwrap();
    let error = directory(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} is not an update document", path.display())
    );
    let missing = folder.path().join("missing");
    assert!(matches!(directory(&missing), Err(Error::Read { .. })));
    assert!(package(&path).is_err());
}

#[test]
fn a_package_whose_document_is_of_another_revision_is_refused() {
    use std::io::Write as _;
    let listed = "00000000-0000-4000-8000-000000000301";
    let document = "<Update xmlns=\"http://schemas.microsoft.com/msus/2002/12/Update\">\
        <UpdateIdentity UpdateID=\"00000000-0000-4000-8000-000000000300\" RevisionNumber=\"200\"/>\
        <Properties UpdateType=\"Software\" CreationDate=\"2024-05-14T17:00:00Z\"/></Update>";
    let manifest = format!(
        "<ExportPackage ServerID=\"{listed}\" CreationTime=\"2024-06-19T17:11:14Z\">\
         <Updates><Update UpdateId=\"{listed}\" RevisionNumber=\"200\"/></Updates></ExportPackage>"
    );
    let metadata = format!("{listed},000000c8,{:08x},{document}\r\n", document.len());
    let mut builder = cab::CabinetBuilder::new();
    let folder = builder.add_folder(cab::CompressionType::MsZip);
    folder.add_file("package.xml");
    folder.add_file("metadata.txt");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = builder.build(file.as_file_mut()).unwrap();
    for content in [&manifest, &metadata] {
        let mut member = writer.next_file().unwrap().unwrap();
        member.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    let Err(error) = super::package(file.path()) else {
        panic!("taken");
    };
    assert_eq!(
        error.to_string(),
        format!(
            "the document of {listed}.200 in the package says that it is 00000000-0000-4000-8000-000000000300.200"
        )
    );
}
