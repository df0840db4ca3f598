//! What WSUS and Configuration Manager call the settings.

/// Setting, limits that its type does not tell (empty: those of the type), and its name elsewhere.
pub(super) const NAMES: &[(&str, &str, &str)] = &[
    ("source.action", "", "Sync Settings; `SynchronizeAction`"),
    (
        "source.url",
        "http or https, host, port",
        "Sync Settings; `UpstreamSourceLocation`",
    ),
    (
        "source.ca-pem",
        "PEM, 64 KiB at most",
        "trusted root certificates of the server",
    ),
    (
        "source.user",
        "1 to 255 characters; https only",
        "WSUS server connection account",
    ),
    (
        "source.domain",
        "1 to 255 characters",
        "WSUS server connection account: domain",
    ),
    (
        "source.reporting-events",
        "",
        "WSUS reporting events; `ReportingEvent`",
    ),
    ("source.parallel-requests", "", "-"),
    (
        "proxy.host",
        "a name or an address",
        "Proxy and account settings; WSUS: Proxy Server",
    ),
    ("proxy.port", "1 to 65535", "proxy port number"),
    (
        "proxy.user",
        "1 to 255 characters",
        "proxy credentials: user name",
    ),
    (
        "proxy.domain",
        "1 to 255 characters",
        "proxy credentials: domain",
    ),
    (
        "proxy.allow-basic-authentication",
        "",
        "Allow basic authentication (password is sent in cleartext)",
    ),
    (
        "proxy.use-for",
        "",
        "use a proxy server when synchronizing; when downloading content with automatic deployment rules",
    ),
    ("products.everything", "", "-"),
    (
        "products.products",
        "GUIDs of categories, 5,000 at most",
        "Products",
    ),
    (
        "products.classifications",
        "GUIDs of categories, 5,000 at most",
        "Classifications",
    ),
    (
        "schedule.when",
        "off, or one of the forms below",
        "Sync Schedule; WSUS: Synchronization Schedule",
    ),
    (
        "schedule.time-zone",
        "IANA names, such as Europe/Berlin",
        "the console's local time, or UTC",
    ),
    (
        "schedule.blackout",
        "windows, 50 at most",
        "- (service windows)",
    ),
    (
        "failures.alert",
        "",
        "alert when synchronization fails on any site; `EnableSyncFailureAlert`",
    ),
    ("failures.switch-source-after", "", "-"),
    (
        "failures.retry-first-seconds",
        "1 to 3600 seconds; not more than retry-most-minutes",
        "- (Configuration Manager: every 60 minutes)",
    ),
    (
        "failures.retry-most-minutes",
        "1 to 1440 minutes",
        "- (Configuration Manager: every 60 minutes)",
    ),
    ("alerts.site-silent.enabled", "", "-"),
    ("alerts.site-silent.after-minutes", "0 to 1440 minutes", "-"),
    (
        "alerts.site-behind.enabled",
        "",
        "- (`SMS_SUPSyncStatus`: the content versions have to be compared)",
    ),
    (
        "alerts.site-behind.after-minutes",
        "1 to 10080 minutes",
        "-",
    ),
    ("alerts.certificate-expires.enabled", "", "-"),
    ("alerts.certificate-expires.days", "1 to 365 days", "-"),
    ("alerts.statement-stale.enabled", "", "-"),
    (
        "alerts.disk-low.enabled",
        "",
        "alert for low free disk space at sites",
    ),
    (
        "alerts.disk-low.free-mebibytes",
        "16 to 1048576 MiB",
        "the same: threshold",
    ),
    ("alerts.category-vanished.enabled", "", "-"),
    (
        "notifications.webhooks",
        "URLs, https but for this machine, 10 at most",
        "- (alert subscriptions are mail only)",
    ),
    (
        "notifications.mail.host",
        "a name or an address",
        "E-mail Notifications: outgoing e-mail server; alert subscriptions",
    ),
    (
        "notifications.mail.port",
        "1 to 65535",
        "E-mail Notifications: port number",
    ),
    ("notifications.mail.encryption", "", "-"),
    (
        "notifications.mail.ca-pem",
        "PEM, 64 KiB at most",
        "trusted root certificates of the server",
    ),
    (
        "notifications.mail.user",
        "1 to 255 characters",
        "E-mail Notifications: logon to the server: user name",
    ),
    (
        "notifications.mail.from",
        "a mail address",
        "E-mail Notifications: sender e-mail address",
    ),
    (
        "notifications.mail.to",
        "mail addresses, 50 at most",
        "E-mail Notifications: recipients",
    ),
    (
        "supersedence.feature-updates",
        "0 to 99 months",
        "Supersedence Rules: Supersedence behavior for feature updates",
    ),
    (
        "supersedence.other-updates",
        "0 to 99 months",
        "Supersedence Rules: Supersedence behavior for non-feature updates",
    ),
    (
        "cleanup.decline-expired",
        "",
        "WSUS Maintenance: Decline expired updates; WSUS: Expired updates",
    ),
    (
        "cleanup.decline-superseded",
        "",
        "Server Cleanup Wizard: Superseded updates",
    ),
    (
        "cleanup.remove-unused-revisions",
        "",
        "WSUS Maintenance: Remove obsolete updates; WSUS: Unused updates and update revisions",
    ),
    (
        "cleanup.days",
        "0 to 365 days",
        "the 30 days of the Server Cleanup Wizard",
    ),
    (
        "cleanup.undeployed-days",
        "0 to 365 days",
        "the 90 days of the Server Cleanup Wizard: Superseded updates",
    ),
    (
        "cleanup.history-days",
        "1 to 3650 days",
        "Delete Aged Status Messages; WSUS: -",
    ),
    (
        "cleanup.unneeded-content",
        "",
        "Server Cleanup Wizard: Unneeded update files",
    ),
    ("cleanup.content-days", "0 to 365 days", "-"),
    (
        "approvals.approve-new-revisions",
        "",
        "Automatic Approvals, Advanced: Automatically approve new revisions of updates that are already approved",
    ),
    (
        "approvals.decline-expired",
        "",
        "Automatic Approvals, Advanced: Automatically decline updates when a new revision causes them to expire",
    ),
    (
        "approvals.rules.<name>.enabled",
        "",
        "Automatic Approvals: Update Rules; Automatic Deployment Rules",
    ),
    (
        "approvals.rules.<name>.approval",
        "",
        "WSUS 3: Automatically approve updates for detection, for installation",
    ),
    (
        "approvals.rules.<name>.classifications",
        "GUIDs of categories, 5,000 at most",
        "When an update is in a specific classification",
    ),
    (
        "approvals.rules.<name>.products",
        "GUIDs of categories, 5,000 at most",
        "When an update is in a specific product",
    ),
    (
        "approvals.rules.<name>.title",
        "1 to 500 bytes",
        "Automatic Deployment Rules: Title",
    ),
    (
        "approvals.rules.<name>.deadline-days",
        "none, or 0 to 365",
        "Set a deadline for the approval",
    ),
    (
        "content.download",
        "",
        "WSUS: Update Files: Download update files to this server only when updates are approved; Do not store update files locally",
    ),
    (
        "content.licence-terms",
        "",
        "- (WSUS: licence terms are downloaded with the synchronization)",
    ),
    (
        "content.express",
        "",
        "Update Files: Download both full files for all approved updates and express installation files; `ContentFileOption`",
    ),
    ("content.parallel-downloads", "1 to 32", "-"),
    (
        "content.maximum-transfer-rate",
        "0 to 100000000 kilobits a second",
        "BITS: Limit the maximum network bandwidth, Maximum transfer rate",
    ),
    (
        "content.window-from",
        "a time of day, such as 22:00",
        "BITS: work schedule, from",
    ),
    (
        "content.window-to",
        "a time of day, such as 05:30",
        "BITS: work schedule, to",
    ),
    (
        "languages.summary-details",
        "all, server-locale, or tags such as de,pt-br",
        "Languages: Summary Details",
    ),
    (
        "languages.update-files",
        "all, server-locale, or tags such as de,pt-br",
        "Languages: Software Update File; WSUS: Update Languages",
    ),
    (
        "site.<CODE>.update-files",
        "all, server-locale, or tags; a part of what the parent has",
        "Languages: Software Update File, at each site",
    ),
    (
        "site.<CODE>.content.download",
        "never, deferred, immediate; what the parent has, or less",
        "WSUS: Update Files, at each server",
    ),
    (
        "site.<CODE>.content.express",
        "true where the parent's is, false",
        "WSUS: Update Files, at each server",
    ),
    ("site.<CODE>.content.parallel-downloads", "1 to 32", "-"),
    (
        "site.<CODE>.content.maximum-transfer-rate",
        "0 to 100000000 kilobits a second",
        "Rate limits of a site's distribution points",
    ),
    (
        "site.<CODE>.content.window-from",
        "a time of day, such as 22:00",
        "Schedule of a site's distribution points",
    ),
    (
        "site.<CODE>.content.window-to",
        "a time of day, such as 05:30",
        "Schedule of a site's distribution points",
    ),
];
