//! Updates that a person fetches by their identifiers.

use testkit::Hierarchy;

const WANTED: &str = "b0000000-0000-4000-8000-000000000001";
const REQUIRED: &str = "b0000000-0000-4000-8000-000000000002";
const NOWHERE: &str = "b0000000-0000-4000-8000-000000000003";

/// An update of no category that requires another one.
fn document(id: &str, revision: u32, requires: Option<&str>) -> String {
    let relationships = requires.map_or_else(String::new, |id| {
        format!(
            r#"<Relationships><Prerequisites><UpdateIdentity UpdateID="{id}"/></Prerequisites></Relationships>"#
        )
    });
    format!(
        r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update"><UpdateIdentity UpdateID="{id}" RevisionNumber="{revision}"/><Properties UpdateType="Software" CreationDate="2026-01-01T00:00:00Z" DefaultPropertiesLanguage="en" ExplicitlyDeployable="true"></Properties><LocalizedPropertiesCollection><LocalizedProperties><Language>en</Language><Title>Update {id}</Title></LocalizedProperties></LocalizedPropertiesCollection>{relationships}</Update>"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_fetched_by_its_identifier_with_what_it_requires() {
    let mut hierarchy = Hierarchy::new();
    let source = hierarchy.folder().join("source");
    std::fs::create_dir_all(&source).unwrap();
    for text in [
        document(WANTED, 203, Some(REQUIRED)),
        document(REQUIRED, 104, None),
    ] {
        let name = text.len().to_string();
        std::fs::write(source.join(name).with_extension("xml"), text).unwrap();
    }
    let source = source.display().to_string();
    hierarchy.upstream(["--dir".to_owned(), source]).await;
    hierarchy.central().await;
    // Neither is of a chosen product.
    let set = ["settings", "set", "products.everything=false"];
    hierarchy.run(&set).good();
    let imported = hierarchy.run(&["update", "import", WANTED]).good();
    let came = format!("{WANTED}.203 imported");
    assert!(imported.contains(&came), "{imported}");
    assert!(imported.contains("2 revisions came"), "{imported}");
    for id in [WANTED, REQUIRED] {
        let shown = hierarchy.run(&["update", "show", id]).good();
        assert!(shown.contains(&format!("Update {id}")), "{shown}");
    }
    // Asked for again, by revision too, it is here.
    let named = format!("{WANTED}.203");
    for id in [WANTED, &named] {
        let again = hierarchy.run(&["update", "import", id]).good();
        assert!(again.contains("was here already"), "{again}");
    }
    // One that is nowhere does not hinder the other, and is told.
    let both = hierarchy.run(&["update", "import", REQUIRED, NOWHERE]);
    assert!(!both.status.success(), "{both:?}");
    let told = format!("{NOWHERE}: not imported: ");
    assert!(both.output.contains(&told), "{both:?}");
    assert!(both.output.contains("104 was here already"), "{both:?}");
    hierarchy
        .run(&["update", "import", NOWHERE])
        .refused("name one, as GUID.REVISION");
}
