//! The parts of a software update's document that follow from its links and files.

use super::lines::Style;
use super::random::Random;
use super::xml::{Escaped, Xml, namespace, time};
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;

/// What a software update has to do with others.
pub(super) struct Links {
    pub(super) superseded: Vec<UpdateId>,
    pub(super) plain: Vec<UpdateId>,
    /// Clauses of which one is enough, and that are no categories.
    pub(super) any_of: Vec<Vec<UpdateId>>,
    pub(super) categories: Vec<Vec<UpdateId>>,
    /// Groups of the bundle; a group of several is an `AtLeastOne`.
    pub(super) bundled: Vec<Vec<RevisionId>>,
}

/// A content file.
pub(super) struct ContentFile {
    pub(super) sha1: [u8; 20],
    pub(super) sha256: [u8; 32],
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) express: bool,
}

/// The namespace of the installer.
pub(super) fn handler(style: Style) -> &'static str {
    match style {
        Style::Cumulative => namespace::CBS,
        Style::Program | Style::Definitions => namespace::COMMAND_LINE,
        Style::Patch => namespace::WINDOWS_INSTALLER,
        Style::Upgrade => namespace::OS_INSTALLER,
        Style::Driver => namespace::WINDOWS_DRIVER,
    }
}

/// Writes the relationships.
pub(super) fn write_links(xml: &mut Xml, links: &Links) {
    xml.raw("<upd:Relationships>");
    if !links.superseded.is_empty() {
        xml.raw("<upd:SupersededUpdates>");
        for id in &links.superseded {
            xml.put(format_args!(r#"<upd:UpdateIdentity UpdateID="{id}" />"#));
        }
        xml.raw("</upd:SupersededUpdates>");
    }
    xml.raw("<upd:Prerequisites>");
    for id in &links.plain {
        xml.put(format_args!(r#"<upd:UpdateIdentity UpdateID="{id}" />"#));
    }
    for clause in &links.any_of {
        xml.raw("<upd:AtLeastOne>");
        for id in clause {
            xml.put(format_args!(r#"<upd:UpdateIdentity UpdateID="{id}" />"#));
        }
        xml.raw("</upd:AtLeastOne>");
    }
    for clause in &links.categories {
        xml.raw(r#"<upd:AtLeastOne IsCategory="true">"#);
        for id in clause {
            xml.put(format_args!(r#"<upd:UpdateIdentity UpdateID="{id}" />"#));
        }
        xml.raw("</upd:AtLeastOne>");
    }
    xml.raw("</upd:Prerequisites>");
    if !links.bundled.is_empty() {
        xml.raw("<upd:BundledUpdates>");
        for group in &links.bundled {
            if group.len() > 1 {
                xml.raw("<upd:AtLeastOne>");
            }
            for id in group {
                xml.put(format_args!(
                    r#"<upd:UpdateIdentity UpdateID="{}" RevisionNumber="{}" />"#,
                    id.update_id, id.revision
                ));
            }
            if group.len() > 1 {
                xml.raw("</upd:AtLeastOne>");
            }
        }
        xml.raw("</upd:BundledUpdates>");
    }
    xml.raw("</upd:Relationships>");
}

/// Writes the content files.
pub(super) fn write_files(xml: &mut Xml, files: &[ContentFile], created: Timestamp) {
    xml.raw("<upd:Files>");
    for file in files {
        xml.put(format_args!(
            concat!(
                r#"<upd:File Digest="{}" DigestAlgorithm="SHA1" FileName="{}" Size="{}" Modified="{}" PatchingType="{}">"#,
                r#"<upd:AdditionalDigest Algorithm="SHA256">{}</upd:AdditionalDigest></upd:File>"#,
            ),
            base64(&file.sha1),
            Escaped(&file.name),
            file.size,
            time(created),
            if file.express { "Express" } else { "SelfContained" },
            base64(&file.sha256)
        ));
    }
    xml.raw("</upd:Files>");
}

/// Writes what the installer is told.
pub(super) fn handler_data(
    xml: &mut Xml,
    random: &mut Random,
    style: Style,
    files: &[ContentFile],
) {
    let name = files.first().map_or("", |file| &file.name);
    let kind = match style {
        Style::Cumulative => "cbs:Cbs",
        Style::Program | Style::Definitions => "cmd:CommandLineInstallation",
        Style::Patch => "msp:WindowsInstaller",
        Style::Upgrade => "osi:OSInstaller",
        Style::Driver => return,
    };
    let (prefix, _) = kind.split_once(':').unwrap_or((kind, ""));
    let uri = handler(style);
    xml.put(format_args!(
        r#"<upd:HandlerSpecificData xsi:type="{kind}" xmlns:xsi="{}" xmlns:{prefix}="{uri}">"#,
        namespace::SCHEMA_INSTANCE
    ));
    match style {
        Style::Cumulative => xml.put(format_args!(
            r#"<cbs:CbsData PackageIdentity="Package_for_RollupFix~31bf3856ad364e35~amd64~~{}.{}.1.{}" xmlns:cbs="{uri}" />"#,
            19_041 + random.below(7000),
            random.below(9000),
            random.below(30)
        )),
        Style::Program | Style::Definitions => xml.put(format_args!(
            concat!(
                r#"<cmd:InstallCommand Program="{name}" Arguments="/quiet /norestart" RebootByDefault="false" "#,
                r#"DefaultResult="Failed" xmlns:cmd="{uri}"><cmd:ReturnCode Code="0" Result="Succeeded" />"#,
                r#"<cmd:ReturnCode Code="3010" Result="Succeeded" Reboot="true" />"#,
                r#"<cmd:ReturnCode Code="1641" Result="Succeeded" Reboot="true" />"#,
                r#"<cmd:ReturnCode Code="-2147417829" Result="Failed" /></cmd:InstallCommand>"#,
            ),
            name = Escaped(name),
            uri = uri,
        )),
        Style::Patch => xml.put(format_args!(
            r#"<msp:MspData FullFilePatchCode="{{{}}}" CommandLine="DISABLESRCPROMPT=1 LOCALCACHEDRIVE=0" xmlns:msp="{uri}" />"#,
            random.guid()
        )),
        Style::Upgrade => xml.put(format_args!(
            r#"<osi:OSInstallData InitialModule="UpdateAgent.dll" xmlns:osi="{uri}" />"#
        )),
        Style::Driver => {}
    }
    xml.raw("</upd:HandlerSpecificData>");
}

/// Base64, as digests are written.
pub(super) fn base64(bytes: &[u8]) -> impl std::fmt::Display + '_ {
    base64::display::Base64Display::new(bytes, &base64::engine::general_purpose::STANDARD)
}
