//! Categories and detectoids of the generated catalog.

use super::Generator;
use super::language::LANGUAGES;
use super::random::Random;
use super::xml::{Escaped, Xml, namespace, time};
use catalog::document::CategoryType;
use catalog::well_known::{CLASSIFICATIONS, FAMILIES, MICROSOFT, Named, PRODUCTS};
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;

/// Detectoids of processor architectures: title, identifier as published, and number in `Processor`.
pub(super) const ARCHITECTURES: [(&str, UpdateId, u32); 5] = [
    (
        "X86",
        UpdateId::from_u128(0x3e0afb10_a9fb_4c16_a60e_5790c3803437),
        0,
    ),
    (
        "AMD64",
        UpdateId::from_u128(0x59653007_e2e9_4f71_8525_2ff588527978),
        9,
    ),
    (
        "ARM64",
        UpdateId::from_u128(0x6f4f15f9_589c_406b_8a4d_48ce3f715a96),
        12,
    ),
    (
        "ARM",
        UpdateId::from_u128(0x7af068bd_e532_41bd_8a11_a4099504e4a9),
        5,
    ),
    (
        "IA64",
        UpdateId::from_u128(0xaabd43ad_a183_4f0b_8eee_8dbbcd67687f),
        6,
    ),
];

/// The team that publishes categories, as in real catalogs.
const PUBLISHER: &str = "395392a0-19c0-48b7-a927-f7c15066d905";

/// What a detectoid detects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detects {
    /// A processor architecture.
    Architecture(usize),
    /// That a product is there.
    Product(usize),
    /// The language of Windows.
    WindowsLanguage(usize),
    /// The language of a product.
    ProductLanguage { product: usize, language: usize },
}

impl Detects {
    /// How many detectoids every catalog has; those of product languages come after them.
    pub(super) const BASE: usize = ARCHITECTURES.len() + PRODUCTS.len() + LANGUAGES.len();
    /// How many there can be.
    pub(super) const MOST: usize = Self::BASE + PRODUCTS.len() * LANGUAGES.len();

    /// What the detectoid of this number detects.
    pub(super) fn number(number: usize) -> Self {
        let Some(number) = number.checked_sub(ARCHITECTURES.len()) else {
            return Self::Architecture(number);
        };
        let Some(number) = number.checked_sub(PRODUCTS.len()) else {
            return Self::Product(number);
        };
        match number.checked_sub(LANGUAGES.len()) {
            None => Self::WindowsLanguage(number),
            Some(number) => Self::ProductLanguage {
                product: number % PRODUCTS.len(),
                language: number / PRODUCTS.len() % LANGUAGES.len(),
            },
        }
    }

    /// The number of the detectoid that a product is there.
    pub(super) fn product(product: usize) -> usize {
        ARCHITECTURES.len() + product
    }
}

/// A condition with what it needs.
pub(super) struct Needs {
    /// Updates that must all be there.
    pub(super) plain: Vec<UpdateId>,
    /// What it stands below.
    pub(super) parent: Option<UpdateId>,
}

impl Generator {
    pub(super) fn detectoid_id(&self, number: usize) -> UpdateId {
        match Detects::number(number) {
            Detects::Architecture(index) => ARCHITECTURES[index].1,
            Detects::Product(_) | Detects::WindowsLanguage(_) | Detects::ProductLanguage { .. } => {
                UpdateId(Random::new(self.seed, &[DETECTOID, number as u64]).guid())
            }
        }
    }

    pub(super) fn detectoid_needs(&self, number: usize) -> Needs {
        let plain = match Detects::number(number) {
            Detects::ProductLanguage { product, .. } => {
                vec![self.detectoid_id(Detects::product(product))]
            }
            Detects::Architecture(_) | Detects::Product(_) | Detects::WindowsLanguage(_) => {
                Vec::new()
            }
        };
        Needs {
            plain,
            parent: None,
        }
    }

    pub(super) fn detectoid(&self, number: usize, revision: u32, created: Timestamp) -> String {
        let mut xml = Xml::begin(RevisionId::new(self.detectoid_id(number), revision));
        let detects = Detects::number(number);
        let kind = match detects {
            Detects::Architecture(_) => "Architecture",
            Detects::Product(_) => "SKU or Feature",
            Detects::WindowsLanguage(_) => "Windows Locale",
            Detects::ProductLanguage { .. } => "Application Locale",
        };
        xml.put(format_args!(
            concat!(
                r#"<upd:Properties DefaultPropertiesLanguage="en" UpdateType="Detectoid" "#,
                r#"ExplicitlyDeployable="false" IsPublic="false" DetectoidType="{}" PublicationState="Published" "#,
                r#"CreationDate="{}" PublisherID="{}"></upd:Properties>"#,
            ),
            kind,
            time(created),
            PUBLISHER
        ));
        let title = match detects {
            Detects::Architecture(index) => ARCHITECTURES[index].0.to_owned(),
            Detects::Product(index) => format!("{} RTM", PRODUCTS[index].title),
            Detects::WindowsLanguage(index) => {
                format!("Language Detectoid for {}", LANGUAGES[index].code)
            }
            Detects::ProductLanguage { product, language } => {
                format!("{} - {}", PRODUCTS[product].title, LANGUAGES[language].code)
            }
        };
        localized(
            &mut xml,
            &[("en", &title)],
            Some("Detects whether updates apply to this computer."),
        );
        relationships(&mut xml, &self.detectoid_needs(number));
        xml.raw("<upd:ApplicabilityRules><upd:IsInstalled>");
        let bar = namespace::BASE_RULES;
        match detects {
            Detects::Architecture(index) => xml.put(format_args!(
                r#"<bar:Processor Architecture="{}" xmlns:bar="{bar}" />"#,
                ARCHITECTURES[index].2
            )),
            Detects::Product(index) => {
                xml.put(format_args!(
                    concat!(
                        r#"<lar:And xmlns:lar="{}"><bar:WindowsVersion Comparison="GreaterThanOrEqualTo" "#,
                        r#"MajorVersion="{}" MinorVersion="{}" BuildNumber="{}" xmlns:bar="{bar}" />"#,
                        r#"<bar:RegKeyExists Key="HKEY_LOCAL_MACHINE" Subkey="SOFTWARE\Microsoft\{}" xmlns:bar="{bar}" />"#,
                        "</lar:And>",
                    ),
                    namespace::LOGICAL_RULES,
                    if index % 3 == 0 { 10 } else { 6 },
                    index % 4,
                    7600 + index * 631,
                    Escaped(PRODUCTS[index].title),
                    bar = bar,
                ));
            }
            Detects::WindowsLanguage(index) => xml.put(format_args!(
                r#"<bar:WindowsLanguage Language="{}" xmlns:bar="{bar}" />"#,
                LANGUAGES[index].code
            )),
            Detects::ProductLanguage { product, language } => xml.put(format_args!(
                concat!(
                    r#"<bar:RegDword Key="HKEY_LOCAL_MACHINE" Subkey="SOFTWARE\Microsoft\{}\LanguageResources" "#,
                    r#"Value="{}" Comparison="EqualTo" Data="1" RegType32="true" xmlns:bar="{}" />"#,
                ),
                Escaped(PRODUCTS[product].title),
                LANGUAGES[language].lcid,
                bar
            )),
        }
        xml.raw("</upd:IsInstalled></upd:ApplicabilityRules>");
        xml.end()
    }

    pub(super) fn company(&self, revision: u32, created: Timestamp) -> String {
        self.category(MICROSOFT, CategoryType::Company, revision, created)
    }

    pub(super) fn classification(&self, index: usize, revision: u32, created: Timestamp) -> String {
        let kind = CategoryType::UpdateClassification;
        self.category(CLASSIFICATIONS[index], kind, revision, created)
    }

    pub(super) fn family(&self, index: usize, revision: u32, created: Timestamp) -> String {
        let kind = CategoryType::ProductFamily;
        self.category(FAMILIES[index], kind, revision, created)
    }

    pub(super) fn product(&self, index: usize, revision: u32, created: Timestamp) -> String {
        let product = PRODUCTS[index];
        let named = Named {
            id: product.id,
            title: product.title,
        };
        self.category(named, CategoryType::Product, revision, created)
    }

    pub(super) fn category_needs(id: UpdateId, kind: CategoryType) -> Needs {
        let parent = match kind {
            CategoryType::Company | CategoryType::UpdateClassification => None,
            CategoryType::ProductFamily => Some(MICROSOFT.id),
            CategoryType::Product => PRODUCTS
                .iter()
                .find(|product| product.id == id)
                .map(|product| product.family),
        };
        Needs {
            plain: Vec::new(),
            parent,
        }
    }

    fn category(
        &self,
        named: Named,
        kind: CategoryType,
        revision: u32,
        created: Timestamp,
    ) -> String {
        let mut xml = Xml::begin(RevisionId::new(named.id, revision));
        xml.put(format_args!(
            concat!(
                r#"<upd:Properties DefaultPropertiesLanguage="en" UpdateType="Category" "#,
                r#"ExplicitlyDeployable="false" PerUser="false" IsPublic="{}" Handler="{}" "#,
                r#"PublicationState="Published" CreationDate="{}" PublisherID="{}"></upd:Properties>"#,
            ),
            kind != CategoryType::Product,
            namespace::CATEGORY,
            time(created),
            PUBLISHER
        ));
        let mut titles = vec![("en", named.title)];
        titles.extend(translations(named.title).iter().copied());
        localized(&mut xml, &titles, None);
        relationships(&mut xml, &Self::category_needs(named.id, kind));
        xml.put(format_args!(
            r#"<upd:ApplicabilityRules><upd:IsInstalled><lar:True xmlns:lar="{}" /></upd:IsInstalled></upd:ApplicabilityRules>"#,
            namespace::LOGICAL_RULES
        ));
        let flags = match kind {
            CategoryType::Company => r#"ProhibitsSubcategories="false" ProhibitsUpdates="true""#,
            CategoryType::ProductFamily => {
                r#"ProhibitsSubcategories="false" ProhibitsUpdates="true""#
            }
            CategoryType::Product if named.title.ends_with("Dynamic Update") => {
                r#"ProhibitsSubcategories="true" ExcludedByDefault="true""#
            }
            CategoryType::Product => r#"ProhibitsSubcategories="true" ExcludedByDefault="false""#,
            CategoryType::UpdateClassification => {
                r#"ProhibitsSubcategories="true" ProhibitsUpdates="false""#
            }
        };
        xml.put(format_args!(
            concat!(
                r#"<upd:HandlerSpecificData xsi:type="cat:Category" xmlns:xsi="{}" xmlns:pub="{}">"#,
                r#"<cat:CategoryInformation CategoryType="{}" {} xmlns:cat="{}" /></upd:HandlerSpecificData>"#,
            ),
            namespace::SCHEMA_INSTANCE,
            namespace::PUBLISHING,
            kind.name(),
            flags,
            namespace::CATEGORY
        ));
        xml.end()
    }
}

/// First step of the path of a detectoid's random numbers.
const DETECTOID: u64 = 1;

fn localized(xml: &mut Xml, titles: &[(&str, &str)], description: Option<&str>) {
    xml.raw("<upd:LocalizedPropertiesCollection>");
    for (language, title) in titles {
        xml.raw("<upd:LocalizedProperties>");
        xml.element("Language", language);
        xml.element("Title", title);
        if let Some(description) = description {
            xml.element("Description", description);
        }
        xml.raw("</upd:LocalizedProperties>");
    }
    xml.raw("</upd:LocalizedPropertiesCollection>");
}

fn relationships(xml: &mut Xml, needs: &Needs) {
    if needs.plain.is_empty() && needs.parent.is_none() {
        return;
    }
    xml.raw("<upd:Relationships><upd:Prerequisites>");
    for id in &needs.plain {
        xml.put(format_args!(r#"<upd:UpdateIdentity UpdateID="{id}" />"#));
    }
    if let Some(id) = needs.parent {
        xml.put(format_args!(
            r#"<upd:AtLeastOne IsCategory="true"><upd:UpdateIdentity UpdateID="{id}" /></upd:AtLeastOne>"#
        ));
    }
    xml.raw("</upd:Prerequisites></upd:Relationships>");
}

/// The title of a classification in other languages.
fn translations(title: &str) -> &'static [(&'static str, &'static str)] {
    match title {
        "Critical Updates" => &[
            ("de", "Wichtige Updates"),
            ("fr", "Mises à jour critiques"),
            ("ja", "重要な更新"),
        ],
        "Definition Updates" => &[
            ("de", "Definitionsupdates"),
            ("fr", "Mises à jour de définitions"),
            ("ja", "定義更新プログラム"),
        ],
        "Drivers" => &[("de", "Treiber"), ("fr", "Pilotes"), ("ja", "ドライバー")],
        "Security Updates" => &[
            ("de", "Sicherheitsupdates"),
            ("fr", "Mises à jour de la sécurité"),
            ("ja", "セキュリティ問題の修正プログラム"),
        ],
        "Updates" => &[("de", "Updates"), ("fr", "Mises à jour"), ("ja", "更新")],
        "Upgrades" => &[
            ("de", "Upgrades"),
            ("fr", "Mises à niveau"),
            ("ja", "アップグレード"),
        ],
        _ => &[],
    }
}
