use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Read;
use testkit::shared_data;

const HEAD: &str = concat!(
    r#"<u:Update xmlns:u="http://schemas.microsoft.com/msus/2002/12/Update">"#,
    r#"<u:UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000300" RevisionNumber="200"/>"#,
);
const PROPERTIES: &str =
    r#"<u:Properties UpdateType="Software" CreationDate="2024-05-14T17:00:00.000Z"/>"#;

/// A software update whose document goes on with `rest` after its identity and properties.
fn software(rest: &str) -> String {
    format!("{HEAD}{PROPERTIES}{rest}</u:Update>")
}

fn refusal(xml: &str) -> String {
    parse(xml).unwrap_err().to_string()
}

#[test]
fn a_leaf_is_read_with_its_file_rules_passed_over() {
    let xml = format!(
        concat!(
            "{head}",
            r#"<u:Properties UpdateType="Software" DefaultPropertiesLanguage="en" "#,
            r#"Handler="http://schemas.microsoft.com/msus/2002/12/UpdateHandlers/CommandLineInstallation" "#,
            r#"MaxDownloadSize="4096" MinDownloadSize="0" PublicationState="Expired" MsrcSeverity="Important" "#,
            r#"CompatibleProtocolVersion="3.0" ExplicitlyDeployable="true" EulaID="6407468e-edc7-4ecd-8c32-521f64cee65e" "#,
            r#"CreationDate="2024-05-14T10:00:00.1234567-07:00" PublisherID="00000000-0000-4000-8000-0000000000AA">"#,
            "<u:SupportUrl>https://support.example/</u:SupportUrl>",
            "<u:SecurityBulletinID>MS24-001</u:SecurityBulletinID>",
            "<u:CveID>CVE-2024-0001</u:CveID><u:KBArticleID> 9000001 </u:KBArticleID><u:Language>en</u:Language>",
            r#"<u:InstallationBehavior Impact="Minor" RebootBehavior="CanRequestReboot" CanRequestUserInput="true"/>"#,
            r#"<u:UninstallationBehavior/><u:SecuredFragment FragmentType="FileDecryption"/>"#,
            "</u:Properties>",
            "<u:LocalizedPropertiesCollection>",
            "<u:LocalizedProperties><u:Language>en</u:Language><u:Title> Fix &amp; &#x41;\r\n&#xD;end\t</u:Title>",
            "<u:Description><![CDATA[<b>]]> one<!-- no -->two</u:Description></u:LocalizedProperties>",
            "<u:LocalizedProperties><u:Language>pt-BR</u:Language><u:Title>Corrige</u:Title></u:LocalizedProperties>",
            r#"<u:EulaFile Digest="{sha1}" FileName="eula.txt" Size="9" Language="en" GeoId=""/>"#,
            "</u:LocalizedPropertiesCollection>",
            "<u:Relationships>",
            r#"<u:SupersededUpdates><u:UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000299"/></u:SupersededUpdates>"#,
            r#"<u:Prerequisites><u:UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000200"/>"#,
            r#"<u:AtLeastOne><u:UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000201"/></u:AtLeastOne>"#,
            r#"<u:AtLeastOne IsCategory="true"><u:UpdateIdentity UpdateID="0FA1201D-4330-4FA8-8AE9-B877473B6441"/></u:AtLeastOne></u:Prerequisites>"#,
            r#"<u:BundledUpdates><u:UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000301" RevisionNumber="201"/>"#,
            r#"<u:AtLeastOne><u:UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000302" RevisionNumber="202"/></u:AtLeastOne></u:BundledUpdates>"#,
            "</u:Relationships>",
            r#"<u:ApplicabilityRules><u:Files><u:File Digest="not one of ours"/></u:Files></u:ApplicabilityRules>"#,
            r#"<u:Files><u:File Digest="{sha1}" DigestAlgorithm="SHA1" FileName="a&amp;b.exe" Size="4096" "#,
            r#"Modified="2024-05-13T10:00:00" PatchingType="Express" IsEncrypted="true">"#,
            r#"<u:AdditionalDigest Algorithm="SHA256">{sha256}</u:AdditionalDigest></u:File></u:Files>"#,
            "</u:Update>",
        ),
        head = HEAD,
        sha1 = "AQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        sha256 = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    );
    let update = parse(&xml).unwrap();
    let id = |number: u128| UpdateId::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + number);
    assert_eq!(update.id, RevisionId::new(id(0x300), 200));
    assert_eq!(update.update_type, UpdateType::Software);
    assert_eq!(update.publication_state, PublicationState::Expired);
    assert_eq!(
        update.creation_date.to_string(),
        "2024-05-14T17:00:00.1234567Z"
    );
    assert_eq!(update.msrc_severity, Some(MsrcSeverity::Important));
    assert_eq!(update.handler, Some(Handler::CommandLine));
    assert_eq!(update.max_download_size, Some(4096));
    let version = ProtocolVersion { major: 3, minor: 0 };
    assert_eq!(update.compatible_protocol_version, Some(version));
    assert_eq!(update.kb_article_ids, ["9000001"]);
    assert_eq!(update.security_bulletin_ids, ["MS24-001"]);
    assert_eq!(update.cve_ids, ["CVE-2024-0001"]);
    assert_eq!(
        update.support_url.as_deref(),
        Some("https://support.example/")
    );
    let behavior = update.installation_behavior.as_ref().unwrap();
    assert_eq!(behavior.impact, Impact::Minor);
    assert_eq!(behavior.reboot, RebootBehavior::CanRequestReboot);
    assert!(behavior.can_request_user_input && !behavior.requires_network);
    assert!(
        update.is_uninstallable() && update.needs_decryption_key() && update.explicitly_deployable
    );
    assert_eq!(update.titles[0].title, " Fix & A\n\rend\t");
    assert_eq!(update.titles[0].description.as_deref(), Some("<b> onetwo"));
    assert_eq!(update.title("en"), "Fix & A\n\rend");
    assert_eq!(update.title("pt-br"), "Corrige");
    assert_eq!(update.title("de-at"), "Fix & A\n\rend");
    assert_eq!(update.eula_files[0].sha1, [1; 20]);
    assert_eq!(update.eula_files[0].geo_id, None);
    assert_eq!(update.superseded, [id(0x299)]);
    assert_eq!(update.prerequisites.len(), 3);
    let classification = crate::well_known::SECURITY_UPDATES.id;
    assert!(update.category_clauses().eq([&[classification][..]]));
    let needed = [id(0x200), id(0x201), classification];
    assert!(update.prerequisite_ids().eq(needed));
    let members = [
        RevisionId::new(id(0x301), 201),
        RevisionId::new(id(0x302), 202),
    ];
    assert!(update.bundled_revisions().eq(members));
    assert_eq!(
        update.files,
        [File {
            sha1: [1; 20],
            sha256: Some([2; 32]),
            name: "a&b.exe".into(),
            size: 4096,
            modified: Some("2024-05-13T10:00:00Z".parse().unwrap()),
            patching_type: PatchingType::Express,
            is_encrypted: true,
        }]
    );
}

#[test]
fn prefixes_do_not_matter_and_foreign_namespaces_are_passed_over() {
    let xml = concat!(
        r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update">"#,
        r#"<x:UpdateIdentity xmlns:x="urn:other" UpdateID="nonsense"/>"#,
        r#"<u:UpdateIdentity xmlns:u="http://schemas.microsoft.com/msus/2002/12/Update" "#,
        r#"UpdateID="00000000-0000-4000-8000-000000000300" RevisionNumber="7"/>"#,
        r#"<Properties UpdateType="Detectoid" DetectoidType="Something New" CreationDate="2024-05-14T17:00:00"/>"#,
        "</Update>"
    );
    let update = parse(xml).unwrap();
    assert_eq!(update.id.revision, 7);
    let detects = DetectoidType::Other("Something New".into());
    assert_eq!(update.detectoid_type, Some(detects));
    assert_eq!(update.default_language, "en");
    assert_eq!(update.title("en"), "");
    assert!(update.is_configuration());
}

#[test]
fn a_category_needs_its_information() {
    let category = |inside: &str| {
        format!(
            concat!(
                r#"{}<u:Properties UpdateType="Category" CreationDate="2024-05-14T17:00:00Z"/>"#,
                r#"<u:HandlerSpecificData xmlns:c="http://schemas.microsoft.com/msus/2002/12/UpdateHandlers/Category">"#,
                "{}</u:HandlerSpecificData></u:Update>"
            ),
            HEAD, inside
        )
    };
    let full = r#"<c:CategoryInformation CategoryType="Product" ProhibitsSubcategories="true" DisplayOrder="2"/>"#;
    let update = parse(&category(full)).unwrap();
    assert_eq!(
        update.update_type,
        UpdateType::Category(CategoryType::Product)
    );
    let flags = update.category.unwrap();
    assert!(flags.prohibits_subcategories && !flags.excluded_by_default);
    assert_eq!(flags.display_order, Some(2));
    assert_eq!(
        refusal(&category("")),
        "the update document has no CategoryInformation"
    );
    assert_eq!(
        refusal(&category("<c:CategoryInformation/>")),
        "CategoryInformation has no CategoryType"
    );
    assert!(parse(&category(&full.repeat(2))).is_err());
}

#[test]
fn an_error_names_the_place_and_what_is_wrong_there() {
    let wrong_guid = software("").replace("8000-000000000300", "8000-00000000030");
    assert_eq!(
        refusal(&wrong_guid),
        r#"UpdateIdentity UpdateID is "00000000-0000-4000-8000-00000000030", which is not a GUID"#
    );
    let negative = software("").replace("\"200\"", "\"-1\"");
    assert_eq!(
        refusal(&negative),
        r#"UpdateIdentity RevisionNumber is "-1", which is not a revision number from 0 to 2147483647"#
    );
    let digest = software(r#"<u:Files><u:File Digest="AAAA" FileName="a" Size="1"/></u:Files>"#);
    assert_eq!(
        refusal(&digest),
        r#"File Digest is "AAAA", which is not a SHA-1 in Base64"#
    );
    let nameless =
        software(r#"<u:Files><u:File Digest="AQEBAQEBAQEBAQEBAQEBAQEBAQE=" Size="1"/></u:Files>"#);
    assert_eq!(refusal(&nameless), "File has no FileName");
    assert_eq!(
        refusal(&format!("{HEAD}</u:Update>")),
        "the update document has no Properties"
    );
    assert_eq!(
        refusal("<Update/>"),
        r#"the document begins with "Update", not with Update of the Windows Update namespace"#
    );
}

#[test]
fn a_document_type_declaration_is_refused_wherever_it_stands() {
    let xml = software("");
    for hostile in [
        format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{xml}"),
        xml.replace("</u:Update>", "<!DOCTYPE x></u:Update>"),
    ] {
        assert!(matches!(parse(&hostile), Err(Error::Doctype)), "{hostile}");
    }
    let entity = software("").replace("Software", "&a;");
    assert!(matches!(parse(&entity), Err(Error::Malformed { .. })));
    let title = "<u:LocalizedPropertiesCollection><u:LocalizedProperties><u:Title>&a;</u:Title>\
                 </u:LocalizedProperties></u:LocalizedPropertiesCollection>";
    assert!(matches!(parse(&software(title)), Err(Error::Entity { .. })));
}

#[test]
fn what_is_cut_short_or_goes_on_is_refused() {
    let xml = software("<u:ApplicabilityRules><a><b/></a></u:ApplicabilityRules>");
    parse(&xml).unwrap();
    parse(&format!(
        "\u{feff}<?xml version=\"1.0\"?>\n{xml}\n<!-- end -->"
    ))
    .unwrap();
    for end in (1..xml.len()).filter(|&end| xml.is_char_boundary(end)) {
        assert!(parse(&xml[..end]).is_err(), "{}", &xml[..end]);
    }
    for surplus in ["x", "<a/>", "<a>", "</a>", "&amp;"] {
        assert!(parse(&format!("{xml}{surplus}")).is_err(), "{surplus}");
    }
}

#[test]
fn a_repeated_attribute_or_element_is_refused() {
    let twice = software("").replace(
        "RevisionNumber=\"200\"",
        "RevisionNumber=\"200\" RevisionNumber=\"300\"",
    );
    assert!(matches!(parse(&twice), Err(Error::Malformed { .. })));
    let repeated = refusal(&software(PROPERTIES));
    assert_eq!(
        repeated,
        "the update document has Properties more than once"
    );
}

#[test]
fn depth_lists_and_texts_are_bounded() {
    let deep = |levels: usize| {
        let (open, close) = ("<r>".repeat(levels), "</r>".repeat(levels));
        software(&format!(
            "<u:ApplicabilityRules>{open}{close}</u:ApplicabilityRules>"
        ))
    };
    parse(&deep(MAX_DEPTH - 2)).unwrap();
    let limit = MAX_DEPTH;
    assert!(matches!(parse(&deep(MAX_DEPTH - 1)), Err(Error::TooDeep { limit: l }) if l == limit));

    let one = r#"<u:UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000299"/>"#;
    let superseded = |count: usize| {
        let list = one.repeat(count);
        software(&format!(
            "<u:Relationships><u:SupersededUpdates>{list}</u:SupersededUpdates></u:Relationships>"
        ))
    };
    assert_eq!(
        parse(&superseded(MAX_LIST)).unwrap().superseded.len(),
        MAX_LIST
    );
    assert!(matches!(
        parse(&superseded(MAX_LIST + 1)),
        Err(Error::TooMany { .. })
    ));
    let clauses = format!("<u:AtLeastOne>{}</u:AtLeastOne>", one.repeat(MAX_LIST / 2)).repeat(2);
    let clauses = software(&format!(
        "<u:Relationships><u:Prerequisites>{clauses}</u:Prerequisites></u:Relationships>"
    ));
    assert!(matches!(parse(&clauses), Err(Error::TooMany { .. })));

    let titled = |bytes: usize| {
        let title = "x".repeat(bytes);
        software(&format!(
            "<u:LocalizedPropertiesCollection><u:LocalizedProperties><u:Title>{title}</u:Title>\
             </u:LocalizedProperties></u:LocalizedPropertiesCollection>"
        ))
    };
    parse(&titled(MAX_TEXT_BYTES)).unwrap();
    assert!(matches!(
        parse(&titled(MAX_TEXT_BYTES + 1)),
        Err(Error::TooLong { .. })
    ));
}

#[test]
fn the_recorded_documents_are_read() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let mut read = 0;
    for entry in std::fs::read_dir(data.join("captures/updates")).unwrap() {
        let path = entry.unwrap().path();
        let update = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(
            name,
            format!("{}-r{}", update.id.update_id, update.id.revision)
        );
        assert!(!update.title("en").is_empty());
        read += 1;
    }
    assert_eq!(read, 5);
}

#[test]
fn every_document_of_the_genuine_export_is_read() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let package = std::fs::File::open(data.join("wsusutil/export-2024-06-19.cab")).unwrap();
    let mut cabinet = cab::Cabinet::new(package).unwrap();
    let mut text = String::new();
    let mut member = cabinet.read_file("metadata.txt").unwrap();
    member.read_to_string(&mut text).unwrap();

    let mut kinds: BTreeMap<UpdateType, usize> = BTreeMap::new();
    let mut updates = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (guid, revision) = (&rest[..36], u32::from_str_radix(&rest[37..45], 16).unwrap());
        let units = usize::from_str_radix(&rest[46..54], 16).unwrap();
        let (mut length, mut bytes) = (0, 0);
        for character in rest[55..].chars() {
            if length == units {
                break;
            }
            length += character.len_utf16();
            bytes += character.len_utf8();
        }
        let update = parse(&rest[55..55 + bytes]).unwrap();
        assert_eq!(update.id, RevisionId::new(guid.parse().unwrap(), revision));
        *kinds.entry(update.update_type).or_default() += 1;
        updates.push(update);
        rest = rest[55 + bytes..].strip_prefix("\r\n").unwrap();
    }
    let expected = [
        (UpdateType::Category(CategoryType::Company), 3),
        (UpdateType::Category(CategoryType::ProductFamily), 61),
        (UpdateType::Category(CategoryType::Product), 367),
        (UpdateType::Category(CategoryType::UpdateClassification), 20),
        (UpdateType::Detectoid, 3674),
    ];
    assert_eq!(kinds, expected.into());
    let expired = |update: &&Update| update.publication_state == PublicationState::Expired;
    assert_eq!(updates.iter().filter(expired).count(), 6);

    let tree = crate::category::CategoryTree::from_updates(&updates, "en");
    assert_eq!(tree.of_kind(CategoryType::Product).count(), 356);
    assert_eq!(tree.classifications().len(), 12);
    for named in crate::well_known::CLASSIFICATIONS
        .iter()
        .chain(&crate::well_known::FAMILIES)
    {
        assert_eq!(tree.get(named.id).unwrap().title, named.title);
    }
    for product in crate::well_known::PRODUCTS {
        let held = tree.get(product.id).unwrap();
        assert_eq!(
            (held.title.as_str(), &held.parents[..]),
            (product.title, &[product.family][..])
        );
    }
    // Genuine packages are already in topological order, so ordering must leave them as they are.
    let relations: Vec<crate::relations::Relations> = updates.iter().map(Into::into).collect();
    assert!(
        crate::order::topological(&relations)
            .into_iter()
            .eq(0..relations.len())
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
        let _ = parse(&software(&text));
    }

    #[test]
    fn a_damaged_document_never_makes_the_reader_panic(
        place in 0usize..600, length in 0usize..20, insert in "[<>/&;\"= a-z:]{0,6}",
    ) {
        let xml = software(concat!(
            r#"<u:Relationships><u:Prerequisites><u:AtLeastOne IsCategory="true">"#,
            r#"<u:UpdateIdentity UpdateID="0fa1201d-4330-4fa8-8ae9-b877473b6441"/></u:AtLeastOne>"#,
            "</u:Prerequisites></u:Relationships>",
        ));
        let start = place.min(xml.len());
        let end = (start + length).min(xml.len());
        let _ = parse(&format!("{}{insert}{}", &xml[..start], &xml[end..]));
    }
}
