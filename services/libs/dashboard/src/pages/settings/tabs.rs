//! The tabs of the settings, as people know them.

/// The tabs: section of the document, its name as people know it, and what it is about.
pub const TABS: &[(&str, &str, &str)] = &[
    (
        "source",
        "Synchronization source",
        "Where the top-level site synchronizes from. Every other site synchronizes from its parent.",
    ),
    (
        "proxy",
        "Proxy and account",
        "The proxy in front of the synchronization source.",
    ),
    (
        "products",
        "Products",
        "Products whose updates are synchronized. Choosing a company or a family includes everything below it, and whatever appears there later.",
    ),
    (
        "classifications",
        "Classifications",
        "Classifications of updates that are synchronized.",
    ),
    (
        "schedule",
        "Sync schedule",
        "When the top-level site synchronizes by itself.",
    ),
    (
        "supersedence",
        "Supersedence rules",
        "When superseded updates expire.",
    ),
    (
        "cleanup",
        "WSUS maintenance",
        "What is cleaned up after each synchronization.",
    ),
    (
        "approvals",
        "Automatic approvals",
        "What is approved and declined by itself when updates arrive. Of several rules that match an update, install goes before detection, and the earlier deadline before the later: their order says nothing.",
    ),
    (
        "content",
        "Update files",
        "Which update files are downloaded, when and how fast.",
    ),
    (
        "languages",
        "Languages",
        "Languages of titles and descriptions, and of update files.",
    ),
    (
        "site",
        "Sites",
        "Languages of update files at single sites. A site that is not named here has what its parent has, and none has more than that.",
    ),
    (
        "failures",
        "Failures",
        "What happens when a synchronization fails.",
    ),
    ("alerts", "Alerts", "What raises an alert, and who is told."),
    (
        "notifications",
        "Notifications",
        "Who is told of alerts, by webhook and by mail. headwater alert test tries every receiver.",
    ),
    ("history", "History", "Who changed what."),
];
/// Tabs about what only the top-level site has.
pub const OF_THE_TOP: [&str; 6] = [
    "source",
    "proxy",
    "notifications",
    "classifications",
    "site",
    "history",
];
