//! What the parts of an update document can say.

use crate::{RevisionId, UpdateId};
use jiff::Timestamp;

/// What kind of update a document describes (`UpdateType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpdateType {
    /// An update of software, or a bundle of such updates.
    Software,
    /// A driver.
    Driver,
    /// A product, product family, company or classification.
    Category(CategoryType),
    /// A condition that prerequisites point to.
    Detectoid,
}

impl UpdateType {
    /// The name as written in `UpdateType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "Software",
            Self::Driver => "Driver",
            Self::Category(_) => "Category",
            Self::Detectoid => "Detectoid",
        }
    }
}

/// What kind of category a category is (`CategoryType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CategoryType {
    /// A company: the root of a tree.
    Company,
    /// A product family: below a company.
    ProductFamily,
    /// A product: below a family, rarely directly below a company.
    Product,
    /// An update classification: stands apart from the tree.
    UpdateClassification,
}

impl CategoryType {
    /// The name as written in `CategoryType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Company => "Company",
            Self::ProductFamily => "ProductFamily",
            Self::Product => "Product",
            Self::UpdateClassification => "UpdateClassification",
        }
    }
}

/// What a category forbids and how it is shown (`CategoryInformation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CategoryFlags {
    /// No category may stand below it.
    pub prohibits_subcategories: bool,
    /// No update may belong to it directly.
    pub prohibits_updates: bool,
    /// Where it is shown among its siblings.
    pub display_order: Option<i32>,
    /// Not selected unless somebody asks for it.
    pub excluded_by_default: bool,
}

/// Whether the publisher still offers an update (`PublicationState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PublicationState {
    /// Offered.
    #[default]
    Published,
    /// Withdrawn. It stays listed, and must not be approved.
    Expired,
}

impl PublicationState {
    /// The name as written in `PublicationState`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Published => "Published",
            Self::Expired => "Expired",
        }
    }
}

/// The severity that the Microsoft Security Response Center gives, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MsrcSeverity {
    /// Low.
    Low,
    /// Moderate.
    Moderate,
    /// Important.
    Important,
    /// Critical.
    Critical,
}

impl MsrcSeverity {
    /// The name as written in `MsrcSeverity`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Moderate => "Moderate",
            Self::Important => "Important",
            Self::Critical => "Critical",
        }
    }
}

/// A protocol version `major.minor`. Compared by integers: 1.20 is newer than 1.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// Before the point.
    pub major: u32,
    /// After the point.
    pub minor: u32,
}

/// What a detectoid detects (`DetectoidType`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DetectoidType {
    /// `Application Locale`.
    ApplicationLocale,
    /// `SKU or Feature`.
    SkuOrFeature,
    /// `Architecture`.
    Architecture,
    /// `Service Pack`.
    ServicePack,
    /// `Windows Locale`.
    WindowsLocale,
    /// `WMI Detection`.
    WmiDetection,
    /// Something newer, as written.
    Other(String),
}

/// How installing or removing an update behaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Behavior {
    /// What else may be installed at the same time.
    pub impact: Impact,
    /// Whether the machine restarts.
    pub reboot: RebootBehavior,
    /// May ask the user something.
    pub can_request_user_input: bool,
    /// Needs the network while it installs.
    pub requires_network: bool,
}

/// What else may be installed at the same time (`Impact`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Impact {
    /// `Normal`.
    #[default]
    Normal,
    /// `Minor`: may install without a word.
    Minor,
    /// `RequiresExclusiveHandling`: nothing else at the same time.
    RequiresExclusiveHandling,
    /// Something newer, as written.
    Other(String),
}

/// Whether the machine restarts (`RebootBehavior`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RebootBehavior {
    /// `NeverReboots`.
    #[default]
    NeverReboots,
    /// `AlwaysRequiresReboot`.
    AlwaysRequiresReboot,
    /// `CanRequestReboot`.
    CanRequestReboot,
    /// Something newer, as written.
    Other(String),
}

/// A part of the metadata that servers withhold from ordinary answers (`SecuredFragment`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecuredFragment {
    /// `FileUrl`: the download addresses.
    FileUrl,
    /// `FileDecryption`: the keys of encrypted files.
    FileDecryption,
    /// Something newer, as written.
    Other(String),
}

/// The texts of an update in one language (`LocalizedProperties`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalizedProperties {
    /// The language, for instance `en` or `pt-br`; case varies.
    pub language: String,
    /// The title, with whatever white space was published.
    pub title: String,
    /// The description.
    pub description: Option<String>,
    /// How to remove the update by hand.
    pub uninstall_notes: Option<String>,
    /// Links to more information.
    pub more_info_urls: Vec<String>,
    /// Link to support.
    pub support_url: Option<String>,
}

/// A licence text (`EulaFile`): ordinary content, found by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EulaFile {
    /// SHA-1 of the file.
    pub sha1: [u8; 20],
    /// SHA-256 of the file, where given.
    pub sha256: Option<[u8; 32]>,
    /// Name of the file.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Language of the text.
    pub language: String,
    /// Where it applies, ISO 3166 alpha-3; `None` means the rest of the world.
    pub geo_id: Option<String>,
}

/// One clause of an update's prerequisites. All clauses must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prerequisite {
    /// This update must be installed, or this condition hold.
    Update(UpdateId),
    /// At least one of these must.
    AtLeastOne {
        /// The clause also says where the update belongs.
        is_category: bool,
        /// The alternatives.
        ids: Vec<UpdateId>,
    },
}

/// One part of a bundle. All parts are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bundled {
    /// Exactly this revision.
    Revision(RevisionId),
    /// Whichever of these revisions applies.
    AtLeastOne(Vec<RevisionId>),
}

/// A content file. Its address is not in the document: servers tell it by the SHA-1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// SHA-1 of the content, by which it is known everywhere.
    pub sha1: [u8; 20],
    /// SHA-256 of the content, where given.
    pub sha256: Option<[u8; 32]>,
    /// Name to have when installing. Not the name in a content store.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was last changed, where stated.
    pub modified: Option<Timestamp>,
    /// How it is applied.
    pub patching_type: PatchingType,
    /// Whether the content is encrypted as it is downloaded.
    pub is_encrypted: bool,
}

/// How a content file is applied (`PatchingType`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PatchingType {
    /// Not stated, or `None`.
    #[default]
    Unstated,
    /// `SelfContained`: everything is inside.
    SelfContained,
    /// `Express`: ranges of it are fetched as needed.
    Express,
    /// Something else, as written.
    Other(String),
}

/// Which installer handles an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    /// A category: nothing is installed.
    Category,
    /// Runs a program (`CommandLineInstallation`).
    CommandLine,
    /// Component based servicing (`Cbs`).
    Cbs,
    /// An MSI or MSP (`WindowsInstaller`).
    WindowsInstaller,
    /// An old hotfix (`WindowsPatch`).
    WindowsPatch,
    /// Setup of the operating system (`WindowsSetup`).
    WindowsSetup,
    /// A driver (`WindowsDriver`).
    WindowsDriver,
    /// The operating system installer of the unified update platform (`OSInstaller`).
    OsInstaller,
    /// Another one: its namespace, as written.
    Other(String),
}
