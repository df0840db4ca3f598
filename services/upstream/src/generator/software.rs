//! Software updates and drivers of the generated catalog.

use super::Generator;
use super::condition::{ARCHITECTURES, Detects};
use super::language::LANGUAGES;
use super::lines::{Place, Style};
use super::made::Made;
use super::parts::{ContentFile, Links, base64, handler, handler_data, write_files, write_links};
use super::random::Random;
use super::recipe::{Offer, Part};
use super::xml::{Escaped, Xml, time};
use super::{rules, text};
use catalog::well_known::{PRODUCTS, SECURITY_UPDATES};
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use std::ops::Range;

/// First steps of the paths of random numbers.
const IDENTITY: u64 = 2;
const SHAPE: u64 = 3;
const CONTENT: u64 = 4;
const FILES: u64 = 5;

/// Teams that publish updates, as in real catalogs.
const PUBLISHERS: [&str; 3] = [
    "603af380-4255-47c4-8954-cc14655d153d",
    "9b068e57-8e2d-4e42-b091-74bdb345f120",
    "bccf8ca0-2819-4598-8d15-c1506e363e92",
];

fn part_number(part: Part) -> u64 {
    match part {
        Part::Parent => 0,
        Part::Member(member) => 1 + u64::from(member),
    }
}

impl Generator {
    pub(super) fn software_id(&self, offer: u32, part: Part) -> UpdateId {
        let path = [IDENTITY, u64::from(offer), part_number(part)];
        UpdateId(Random::new(self.seed, &path).guid())
    }

    fn stream(&self, purpose: u64, offer: Offer, part: Part) -> Random {
        let path = [purpose, u64::from(offer.number), part_number(part)];
        Random::new(self.seed, &path)
    }

    /// How many members an offer of this number has where nothing limits it.
    pub(super) fn members(&self, offer: u32) -> u32 {
        let mut random = Random::new(self.seed, &[SHAPE, u64::from(offer)]);
        let (low, high) = match self.lines.place(offer).line.style {
            Style::Cumulative => (1, 3),
            Style::Program => (1, 2),
            Style::Patch => (1, 4),
            Style::Definitions => (4, 8),
            Style::Upgrade => (1, 1),
            Style::Driver => (0, 0),
        };
        u32::try_from(random.between(low, high)).unwrap_or(1)
    }

    pub(super) fn links(&self, offer: Offer, part: Part) -> Links {
        let place = self.lines.place(offer.number);
        let product = place.line.product;
        let index = PRODUCTS.iter().position(|p| *p == product).unwrap_or(0);
        let mut links = Links {
            superseded: Vec::new(),
            plain: Vec::new(),
            any_of: Vec::new(),
            categories: Vec::new(),
            bundled: Vec::new(),
        };
        match part {
            Part::Parent => {
                let older = place.supersedes.into_iter().flatten();
                links.superseded = older
                    .map(|older| self.software_id(older, Part::Parent))
                    .collect();
                if place.line.style != Style::Driver {
                    links.plain.push(self.detectoid_id(Detects::product(index)));
                }
                links.categories = self.categories(offer, &place);
                links.bundled = self.bundle(offer, &place);
            }
            Part::Member(member) => {
                links.plain.push(ARCHITECTURES[architecture(member)].1);
                if has_inner_bundle(offer, place.line.style, part) {
                    links.any_of.push(vec![place.line.classification.id]);
                    links.bundled = vec![self.member_ids(offer, INNER_MEMBERS)];
                }
                links.any_of.push(vec![product.id]);
            }
        }
        links
    }

    /// The category clauses: classification and products, in either order.
    fn categories(&self, offer: Offer, place: &Place) -> Vec<Vec<UpdateId>> {
        let mut random = self.stream(SHAPE, offer, Part::Parent);
        let mut products = vec![place.line.product.id];
        if random.chance(60) {
            let of_family = |p: &&catalog::well_known::Product| {
                p.family == place.line.product.family && p.id != place.line.product.id
            };
            let others: Vec<_> = PRODUCTS.iter().filter(of_family).collect();
            if !others.is_empty() {
                products.push(random.pick(&others).id);
            }
        }
        let classification = vec![place.line.classification.id];
        if random.chance(700) {
            vec![classification, products]
        } else {
            vec![products, classification]
        }
    }

    fn bundle(&self, offer: Offer, place: &Place) -> Vec<Vec<RevisionId>> {
        if has_inner_bundle(offer, place.line.style, Part::Member(0)) {
            let signatures = self.member_ids(offer, INNER_MEMBERS.end..offer.members);
            let platform = self.member_ids(offer, 0..INNER_MEMBERS.start);
            return [platform, signatures]
                .into_iter()
                .filter(|group| !group.is_empty())
                .collect();
        }
        let members = self.member_ids(offer, 0..offer.members);
        members.into_iter().map(|member| vec![member]).collect()
    }

    fn member_ids(&self, offer: Offer, members: Range<u32>) -> Vec<RevisionId> {
        members
            .map(|member| {
                let id = self.software_id(offer.number, Part::Member(member));
                RevisionId::new(id, offer.member_revision)
            })
            .collect()
    }

    pub(super) fn software(
        &self,
        offer: Offer,
        part: Part,
        revision: u32,
        created: Timestamp,
    ) -> String {
        let place = self.lines.place(offer.number);
        let id = RevisionId::new(self.software_id(offer.number, part), revision);
        let mut random = self.stream(CONTENT, offer, part);
        let mut xml = Xml::begin(id);
        if random.chance(40) {
            xml.raw("<!-- Generated: not a document of Microsoft -->");
        }
        let has_files = match part {
            Part::Parent => offer.members == 0,
            Part::Member(_) => !has_inner_bundle(offer, place.line.style, part),
        };
        let files = if has_files {
            self.files(offer, part, &place)
        } else {
            Vec::new()
        };
        self.properties(&mut xml, &mut random, &place, offer, part, created, &files);
        self.texts(&mut xml, &mut random, &place, offer, part, revision);
        write_links(&mut xml, &self.links(offer, part));
        if has_files {
            match place.line.style {
                Style::Driver => rules::driver(&mut xml, &mut random, created),
                Style::Cumulative => rules::servicing(&mut xml, &mut random, kb(offer)),
                Style::Patch => rules::installer(&mut xml, &mut random),
                Style::Program | Style::Definitions | Style::Upgrade => {
                    rules::registry(&mut xml, &mut random, kb(offer));
                }
            }
            write_files(&mut xml, &files, created);
            handler_data(&mut xml, &mut random, place.line.style, &files);
        }
        xml.end()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "everything that the attributes say"
    )]
    fn properties(
        &self,
        xml: &mut Xml,
        random: &mut Random,
        place: &Place,
        offer: Offer,
        part: Part,
        created: Timestamp,
        files: &[ContentFile],
    ) {
        let style = place.line.style;
        let kind = if style == Style::Driver {
            "Driver"
        } else {
            "Software"
        };
        let state = if offer.expired && part == Part::Parent {
            "Expired"
        } else {
            "Published"
        };
        xml.put(format_args!(
            r#"<upd:Properties UpdateType="{kind}" DefaultPropertiesLanguage="en""#
        ));
        if !files.is_empty() {
            xml.put(format_args!(r#" Handler="{}""#, handler(style)));
        }
        let largest: u64 = files.iter().map(|file| file.size).sum();
        if part == Part::Parent {
            let auto = place.line.classification == SECURITY_UPDATES;
            xml.put(format_args!(
                r#" AutoSelectOnWebSites="{auto}" ExplicitlyDeployable="true""#
            ));
            if let Some(severity) = severity(random, place) {
                xml.put(format_args!(r#" MsrcSeverity="{severity}""#));
            }
            if style == Style::Upgrade {
                xml.put(format_args!(
                    r#" EulaID="{}" OSUpgrade="swap""#,
                    random.guid()
                ));
            }
            if random.chance(20) {
                xml.raw(r#" CompatibleProtocolVersion="1.4""#);
            }
        }
        xml.put(format_args!(
            r#" MaxDownloadSize="{largest}" MinDownloadSize="0" PublicationState="{state}" CreationDate="{}" PublisherID="{}">"#,
            time(created),
            random.pick(&PUBLISHERS)
        ));
        if part == Part::Parent {
            xml.element(
                "SupportUrl",
                "https://support.microsoft.com/select/?target=hub",
            );
            if let Some(cves) = cves(random, place) {
                for _ in 0..cves {
                    let number = 20_000 + random.below(40_000);
                    xml.put(format_args!(
                        "<upd:CveID>CVE-{}-{number}</upd:CveID>",
                        offer.released.strftime("%Y")
                    ));
                }
                if random.chance(250) {
                    xml.put(format_args!(
                        "<upd:SecurityBulletinID>MS{}-{:03}</upd:SecurityBulletinID>",
                        offer.released.strftime("%y"),
                        1 + offer.number % 150
                    ));
                }
            }
            xml.put(format_args!(
                "<upd:KBArticleID>{}</upd:KBArticleID>",
                kb(offer)
            ));
        }
        if !files.is_empty() {
            let reboot = match style {
                Style::Cumulative | Style::Upgrade | Style::Driver => "CanRequestReboot",
                Style::Program | Style::Patch | Style::Definitions => "NeverReboots",
            };
            xml.put(format_args!(
                r#"<upd:InstallationBehavior Impact="Normal" RebootBehavior="{reboot}" />"#
            ));
            if matches!(style, Style::Cumulative | Style::Patch) {
                xml.put(format_args!(
                    r#"<upd:UninstallationBehavior Impact="Normal" RebootBehavior="{reboot}" />"#
                ));
            }
        }
        xml.raw("</upd:Properties>");
    }

    fn texts(
        &self,
        xml: &mut Xml,
        random: &mut Random,
        place: &Place,
        offer: Offer,
        part: Part,
        revision: u32,
    ) {
        xml.raw("<upd:LocalizedPropertiesCollection>");
        xml.raw("<upd:LocalizedProperties>");
        xml.element("Language", "en");
        match part {
            Part::Member(member) => {
                let architecture = ARCHITECTURES[architecture(member)].0;
                xml.put(format_args!(
                    "<upd:Title>{}-KB{}-{architecture}</upd:Title></upd:LocalizedProperties>",
                    Escaped(place.line.product.title),
                    kb(offer)
                ));
            }
            Part::Parent => {
                let seed = Random::new(self.seed, &[CONTENT, u64::from(offer.number)]).next();
                xml.element("Title", &text::title(place, offer, kb(offer), seed));
                xml.put(format_args!(
                    "<upd:Description>{}",
                    Escaped(text::description(random, place))
                ));
                // A revision says something that the one before it did not.
                if revision > FIRST_REVISION {
                    xml.put(format_args!(" Revised ({revision})."));
                }
                xml.raw("</upd:Description>");
                if random.chance(150) {
                    xml.element("UninstallNotes", text::UNINSTALL_NOTES);
                }
                let links = kb(offer);
                xml.put(format_args!(
                    concat!(
                        "<upd:MoreInfoUrl>https://support.microsoft.com/help/{}</upd:MoreInfoUrl>",
                        "<upd:SupportUrl>https://support.microsoft.com/select/?target=hub</upd:SupportUrl>",
                        "</upd:LocalizedProperties>",
                    ),
                    links
                ));
                if place.line.style != Style::Driver && random.chance(TRANSLATED) {
                    for language in &LANGUAGES {
                        let Some(title) = language.title else {
                            continue;
                        };
                        xml.put(format_args!(
                            concat!(
                                "<upd:LocalizedProperties><upd:Language>{}</upd:Language><upd:Title>{}{} (KB{})</upd:Title>",
                                "<upd:Description>{}</upd:Description>",
                                "<upd:MoreInfoUrl>https://support.microsoft.com/help/{}</upd:MoreInfoUrl>",
                                "</upd:LocalizedProperties>",
                            ),
                            language.code,
                            title,
                            Escaped(place.line.product.title),
                            links,
                            Escaped(language.description),
                            links
                        ));
                    }
                }
                if place.line.style == Style::Upgrade {
                    self.eula_files(xml, offer);
                }
            }
        }
        xml.raw("</upd:LocalizedPropertiesCollection>");
    }

    fn eula_files(&self, xml: &mut Xml, offer: Offer) {
        // One licence for many updates, as in reality, so its files are shared.
        let mut random = Random::new(self.seed, &[FILES, u64::from(offer.number % 3)]);
        for language in ["en", "de", "ja"] {
            let made = Made::new(&format!("eula-{language}"), random.next(), "txt");
            xml.put(format_args!(
                concat!(
                    r#"<upd:EulaFile Digest="{}" DigestAlgorithm="SHA1" FileName="{}" Size="{}" "#,
                    r#"Modified="2019-01-08T18:00:00Z" Language="{}" GeoId=""><upd:AdditionalDigest "#,
                    r#"Algorithm="SHA256">{}</upd:AdditionalDigest></upd:EulaFile>"#,
                ),
                base64(&made.sha1),
                made.name,
                made.size,
                language,
                base64(&made.sha256)
            ));
        }
    }

    fn files(&self, offer: Offer, part: Part, place: &Place) -> Vec<ContentFile> {
        let mut random = self.stream(FILES, offer, part);
        let style = place.line.style;
        let count = match style {
            Style::Cumulative => 1 + u64::from(random.chance(300)),
            Style::Upgrade => random.between(12, 40),
            Style::Program | Style::Patch | Style::Definitions | Style::Driver => 1,
        };
        let extension = match style {
            Style::Cumulative | Style::Patch | Style::Driver => "cab",
            Style::Program | Style::Definitions => "exe",
            Style::Upgrade => "esd",
        };
        (0..count)
            .map(|number| {
                let express = style == Style::Cumulative && number == 1;
                let suffix = ARCHITECTURES[match part {
                    Part::Parent => 1,
                    Part::Member(member) => architecture(member),
                }]
                .0
                .to_lowercase();
                let extension = if express { "psf" } else { extension };
                let stem = format!("kb{}-{suffix}-{number}", kb(offer));
                let made = Made::new(&stem, random.next(), extension);
                ContentFile {
                    sha1: made.sha1,
                    sha256: made.sha256,
                    name: made.name,
                    size: made.size,
                    express,
                }
            })
            .collect()
    }
}

/// The revision number of an update that was never revised.
pub(super) const FIRST_REVISION: u32 = 200;

/// How many of 1000 parents are translated.
const TRANSLATED: u64 = 120;

/// The members of definitions that are bundled by the first member and not by the parent.
const INNER_MEMBERS: Range<u32> = 2..4;

/// Whether this is a member that is itself a bundle: definitions have one where they have enough members.
fn has_inner_bundle(offer: Offer, style: Style, part: Part) -> bool {
    style == Style::Definitions && offer.members >= INNER_MEMBERS.end && part == Part::Member(0)
}

/// Which of [`ARCHITECTURES`] a member is for.
fn architecture(member: u32) -> usize {
    [1, 0, 2][(member % 3) as usize]
}

/// The number of an offer's Knowledge Base article.
pub(super) fn kb(offer: Offer) -> u32 {
    5_000_000 + offer.number
}

fn severity(random: &mut Random, place: &Place) -> Option<&'static str> {
    if place.line.classification != SECURITY_UPDATES {
        return None;
    }
    Some(match random.below(100) {
        0..25 => "Critical",
        25..85 => "Important",
        85..95 => "Moderate",
        _ => "Low",
    })
}

fn cves(random: &mut Random, place: &Place) -> Option<u64> {
    (place.line.classification == SECURITY_UPDATES).then(|| random.between(1, 8))
}
