//! The catalogue of status messages: their numbers, severities, texts, and what an operator does.
//!
//! 6700 to 6708 are the numbers of Configuration Manager, with their meaning there; the words are
//! ours. 9000 to 9099 are Headwater's own. A number never changes its meaning and is never used again.

use std::fmt;
use std::str::FromStr;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// All is as it should be.
    Information,
    /// Someone should look, nothing is lost.
    Warning,
    /// Something did not happen that should have.
    Error,
}

impl Severity {
    /// The letter of `SEV=` in the log: I, W or E.
    pub const fn letter(self) -> char {
        match self {
            Self::Information => 'I',
            Self::Warning => 'W',
            Self::Error => 'E',
        }
    }

    /// The severity in lower case, as it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a severity: use information, warning or error")]
pub struct SeverityError(String);

impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Self, SeverityError> {
        [Self::Information, Self::Warning, Self::Error]
            .into_iter()
            .find(|severity| severity.name() == text)
            .ok_or_else(|| SeverityError(text.chars().take(16).collect()))
    }
}

/// What the catalogue says about one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The number.
    pub number: u32,
    /// How bad it is.
    pub severity: Severity,
    /// A short name: the title in a list, the heading in the documentation.
    pub name: &'static str,
    /// The sentence; `{0}` to `{9}` stand for the inserts ISTR0 to ISTR9.
    pub text: &'static str,
    /// What its inserts are: `ISTR0 address, ISTR1 reason.`
    pub inserts: &'static str,
    /// What leads to it; empty where nothing is wrong. The reason at hand is in the sentence.
    pub cause: &'static str,
    /// What an operator does about it; empty where there is nothing to do.
    pub cure: &'static str,
}

macro_rules! catalogue {
    ($(
        $(#[doc = $doc:literal])+
        $id:ident = $number:literal $severity:ident $name:literal, $text:literal, $cause:literal, $cure:literal;
    )*) => {
        /// A status message that this version knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum StatusId { $($(#[doc = $doc])+ $id = $number,)* }

        impl StatusId {
            /// All messages, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$id,)*];

            /// What the catalogue says about it.
            pub const fn entry(self) -> Entry {
                match self {
                    $(Self::$id => Entry {
                        number: $number,
                        severity: Severity::$severity,
                        name: $name,
                        text: $text,
                        inserts: concat!($($doc),+),
                        cause: $cause,
                        cure: $cure,
                    },)*
                }
            }
        }
    };
}

// A macro, so that a number, its name and its text cannot come apart.
catalogue! {
    /// ISTR0 what is wrong.
    SyncManagerFailed = 6700 Error "sync manager cannot work",
        "synchronization cannot run at all: {0}",
        "A part without which nothing can be synchronized does not work: the database, the data folder, or the settings.",
        "Repair what the message names and start the service again; look at the first lines of wsyncmgr.log after its start.";
    /// No inserts.
    SyncStarted = 6701 Information "sync started", "synchronization started", "", "";
    /// No inserts.
    SyncDone = 6702 Information "sync done", "synchronization succeeded", "", "";
    /// ISTR0 source, ISTR1 message.
    SyncFailed = 6703 Error "sync failed", "synchronization failed: {1} (source: {0})",
        "The source or the parent did not answer, refused, or sent something that cannot be believed; the message says which, and its reason.",
        "Read the message: it names what refused to answer. The site tries again by itself; after repairing the cause, press Synchronize now.";
    /// No inserts.
    SyncingUpstream = 6704 Information "synchronizing with the source", "synchronization is in progress: catalog of the synchronization source", "", "";
    /// No inserts.
    SyncingDatabase = 6705 Information "synchronizing the site database", "synchronization is in progress: site database", "", "";
    /// ISTR0 replica.
    SyncingReplica = 6706 Information "synchronizing a replica", "synchronization is in progress: replica {0}", "", "";
    /// ISTR0 this site's server, ISTR1 upstream server.
    OutOfStep = 6707 Warning "content out of step", "the catalog of {0} is out of step with its upstream {1}",
        "This site and the server it synchronizes with hold different catalogs though a run has ended.",
        "Press Synchronize now at this site. If it comes back, compare the two sites' digests with the verify command and read what it repairs.";
    /// ISTR0 number of updates.
    LicenseTermsPending = 6708 Warning "license terms pending", "synchronization finished, but the license terms of {0} updates could not be fetched yet",
        "Files of licence terms could not be fetched: the source of content was not reached, or does not have them.",
        "Nothing at once: the next run fetches them. If it stays, check that the source may be reached for content; without a source, take in a package that carries them.";
    /// ISTR0 address, ISTR1 reason.
    JoinRefused = 9001 Warning "join refused", "a site that tried to join from {0} was refused: {1}",
        "The token was used before, has expired, was revoked, or is for another site or parent; or the top-level site could not be asked.",
        "If the attempt was yours, make a new join token and use it once, before it expires, at the site that it names. If not, find out who holds an old token.";
    /// ISTR0 site code, ISTR1 kind, ISTR2 parent.
    SiteJoined = 9002 Information "site joined", "site {0} ({1}) joined below {2}", "", "";
    /// ISTR0 address, ISTR1 reason.
    CertificateRefused = 9003 Error "certificate refused", "a connection from {0} was refused: {1}",
        "The other side showed a certificate of another hierarchy, one that has ended, or one of a site that was removed or has joined anew since.",
        "Compare the hierarchy identifiers of the two sites. A site that belongs to this hierarchy joins again with a new token; a foreign one was given the wrong address.";
    /// ISTR0 address.
    PlainTextRefused = 9004 Warning "plain-text connection refused", "{0} spoke plain text to the port of the site link and was refused",
        "Somebody dialled the port with http instead of https, a proxy took TLS off, or the port was scanned.",
        "Use https in the address. If a proxy or load balancer stands between, let it pass TLS through instead of ending it.";
    /// ISTR0 parent, ISTR1 reason.
    StatementRefused = 9005 Error "statement refused", "the catalog statement that {0} sent was refused: {1}",
        "The parent sent a statement that the hierarchy's authority did not sign, that is older than the one held here, or that does not fit what was sent with it.",
        "This site keeps the last verified catalog. Look whether the parent was restored from a backup; if not, treat the parent as broken into until it is explained.";
    /// ISTR0 update, ISTR1 reason.
    UpdateQuarantined = 9006 Warning "update quarantined", "update {0} was set aside: {1}",
        "The source lists the update and does not give it out, or gives out a document that cannot be read.",
        "The rest of the catalog is complete. If the update is needed, report its identifier with the reason; it is tried again at the next full synchronization.";
    /// ISTR0 site code, ISTR1 who.
    SiteRemoved = 9007 Information "site removed", "site {0} was removed from the hierarchy by {1}", "", "";
    /// ISTR0 other site.
    LinkUp = 9008 Information "link up", "the link to {0} is up", "", "";
    /// ISTR0 other site, ISTR1 reason.
    LinkDown = 9009 Warning "link down", "the link to {0} is down: {1}",
        "The other site stopped, the network between the two is interrupted, or one refused the other; the reason says which.",
        "The child dials again by itself. If it stays down, check name resolution, the firewall towards the parent's port, and both clocks.";
    /// ISTR0 end.
    CertificateRenewed = 9010 Information "certificate renewed", "this site's certificate was renewed and is valid until {0}", "", "";
    /// ISTR0 who.
    RunCancelled = 9011 Information "run cancelled", "synchronization was cancelled by {0}", "", "";
    /// ISTR0 minutes, ISTR1 attempt.
    RetryScheduled = 9012 Warning "retry scheduled", "synchronization will be tried again in {0} minutes (attempt {1})",
        "The run before failed.",
        "Read the message 6703 before this one for the cause. After repairing it, press Synchronize now instead of waiting.";
    /// ISTR0 old epoch, ISTR1 new epoch.
    EpochChanged = 9013 Warning "epoch changed", "the catalog's history was restarted at the top-level site (epoch {0} became {1}); this site takes the new catalog over",
        "The top-level site was restored from a backup, or its database was begun anew.",
        "Expected after the top-level site was restored or replaced. If nobody did that, ask who did.";
    /// ISTR0 file or setting, ISTR1 reason.
    SettingsUnreadable = 9014 Error "settings unreadable", "the settings {0} cannot be used: {1}",
        "A settings file or the stored settings hold a value that this version does not take.",
        "Correct the line that the message names; until then the last good settings stay in force.";
    /// ISTR0 number of items, ISTR1 number of buckets.
    CatalogRepaired = 9015 Warning "catalog repaired", "{0} items in {1} places of this site's catalog differed from its parent's and were fetched again",
        "Rows of this site's database were lost or altered below the software, or the site was away for longer than its parent remembers removals.",
        "Once is harmless. If it comes back, check the disk and whether something else writes to the site's database.";
    /// ISTR0 end, ISTR1 reason.
    CertificateNotRenewed = 9016 Warning "certificate not renewed", "this site's certificate ends at {0} and could not be renewed: {1}",
        "The top-level site could not be reached, or refused the renewal.",
        "Bring the link to the parent up before that time. A site whose certificate ended joins again with a new token and keeps its catalog.";
    /// ISTR0 child, ISTR1 what it claimed.
    StatusRefused = 9017 Error "message of a child refused", "site {0} sent something that it has no right to send and that was not taken: {1}",
        "A child reported about a site that is not below it, or sent what no version of Headwater sends.",
        "Look at that site: it is misconfigured, or someone uses its certificate. Removing it from the hierarchy shuts it out at once.";
    /// ISTR0 last statement time.
    StatementStale = 9018 Warning "catalog may be out of date", "no new catalog statement has arrived since {0}",
        "The top-level site has not synchronized for long, or nothing of it comes down to this site.",
        "Look at the parent: if it is up to date, look at the link; if not, go up until a site is found that is.";
    /// ISTR0 file digest, ISTR1 reason.
    ContentRefused = 9019 Warning "content refused", "the content file {0} was not accepted: {1}",
        "The file is not the one that the catalog names: its digest differs.",
        "It is fetched again at the next run. If it stays, the source or a proxy in between alters files.";
    /// ISTR0 package, ISTR1 number of revisions.
    PackageImported = 9020 Information "package imported", "package {0} was imported: {1} revisions", "", "";
    /// ISTR0 package, ISTR1 reason.
    PackageRefused = 9021 Error "package refused", "package {0} was not imported: {1}",
        "The package is not whole, was altered, is older than the catalog here, or is of another hierarchy.",
        "Nothing of it was applied. Export it again at the source and compare the checksum after carrying it over.";
    /// ISTR0 old parent, ISTR1 new parent, ISTR2 who.
    SourceChanged = 9022 Information "synchronization source changed", "the synchronization source of this site was changed from {0} to {1} by {2}", "", "";
    /// ISTR0 version, ISTR1 who, ISTR2 what changed, old and new.
    SettingsChanged = 9023 Information "settings changed", "version {0} of the settings was made by {1}: {2}", "", "";
    /// ISTR0 free bytes, ISTR1 folder.
    DiskNearlyFull = 9024 Warning "disk nearly full", "only {0} bytes are free in {1}",
        "The data folder's file system fills up.",
        "Make room, or move the content folder; a synchronization that runs out of room stops and is tried again.";
    /// ISTR0 difference in seconds.
    ClockDiffers = 9025 Warning "clock differs", "this site's clock differs from its parent's by {0} seconds",
        "One of the two machines does not keep its time.",
        "Let both machines take their time from the same source; certificates are refused when clocks are too far apart.";
    /// ISTR0 who, ISTR1 full or delta and of which site where not of all.
    SyncRequested = 9026 Information "sync requested", "{0} asked for a synchronization ({1})", "", "";
    /// ISTR0 who, ISTR1 at which sites.
    CancelRequested = 9027 Information "cancel requested", "{0} asked for the synchronization to be cancelled {1}", "", "";
    /// ISTR0 site code, ISTR1 kind, ISTR2 parent, ISTR3 end, ISTR4 who.
    JoinTokenCreated = 9028 Information "join token created", "a join token for site {0} ({1}) below {2}, good until {3}, was made by {4}", "", "";
    /// ISTR0 site, ISTR1 its position, ISTR2 this site's position.
    RestoreNoticed = 9029 Warning "restored from a backup", "site {0} holds a newer signed catalog (position {1}) than this top-level site (position {2}): this site was restored from a backup, and begins a new epoch",
        "The top-level site's database was replaced by an older copy.",
        "Expected after a restore: every site compares itself with this one and takes over what differs. What was changed here after the backup was made has to be done again: sites that joined, tokens, removals, approvals.";
    /// ISTR0 number of items, ISTR1 parent.
    CatalogVerified = 9030 Information "catalog verified", "{0} items were read and compared with the catalog of {1}: all are what was signed", "", "";
    /// ISTR0 number of rows, ISTR1 site, ISTR2 what becomes of it.
    CatalogDamaged = 9031 Error "catalog damaged", "{0} rows of the catalog of top-level site {1} are missing or not what was signed: {2}",
        "Rows were deleted or altered below the software, as by a failing disk or by somebody with access to the database.",
        "Check the disk, and whether something else writes to the database. If the synchronization source cannot be reached, repair that: until it answers, sites below cannot take over what is missing.";
    /// ISTR0 who, ISTR1 site.
    VerifyRequested = 9032 Information "verify requested", "{0} asked for the catalog of site {1} to be verified", "", "";
    /// ISTR0 site, ISTR1 number of tokens, ISTR2 who.
    JoinTokensRevoked = 9033 Information "join tokens revoked", "the join tokens for site {0} ({1}), which has not joined, were revoked by {2}", "", "";
    /// ISTR0 name, ISTR1 what was done, ISTR2 who.
    SecretChanged = 9034 Information "secret changed", "the secret {0} was {1} by {2}", "", "";
    /// ISTR0 site, ISTR1 software update point, ISTR2 the one before, ISTR3 who, and why where nobody asked for it.
    SourceSwitched = 9035 Information "synchronization source of a site switched", "the synchronization source of site {0} is {1} and no longer {2}: {3}", "", "";
    /// ISTR0 old parent, ISTR1 new parent.
    ParentChanged = 9036 Information "parent changed", "this site synchronizes with {1} and no longer with {0}", "", "";
    /// ISTR0 site, ISTR1 reason.
    SourceNotSwitched = 9037 Warning "synchronization source not switched", "the synchronization source of site {0} should be switched and was not: {1}",
        "The source fails or is gone, and no other software update point of the site is there and reachable by others.",
        "Bring the site's synchronization source back, or start another software update point of the site; headwater site source switches by hand.";
    /// ISTR0 who, ISTR1 updates, ISTR2 old approval, ISTR3 new approval.
    ApprovalChanged = 9040 Information "approval changed", "{0} decided about {1}: {2} before, {3} now", "", "";
    /// ISTR0 number of updates, ISTR1 how many of them what, and why.
    DecidedByItself = 9041 Information "decided by itself", "{0} updates were decided about by themselves: {1}", "", "";
    /// ISTR0 who, ISTR1 updates.
    LicenceAccepted = 9042 Information "licence terms accepted", "{0} accepted the licence terms of {1}", "", "";
    /// ISTR0 who, ISTR1 declined as expired, ISTR2 declined as superseded, ISTR3 revisions removed, ISTR4 entries of
    /// history, ISTR5 left over, ISTR6 update files removed.
    CleanupDone = 9045 Information "clean-up done", "the clean-up by {0} declined {1} expired and {2} superseded updates, removed {3} unused revisions {4} old entries of the history and {6} update files; {5} are left for the next", "", "";
    /// ISTR0 who, ISTR1 reason.
    CleanupFailed = 9046 Warning "clean-up broken off", "the clean-up by {0} was broken off: {1}",
        "The database failed, or the site was stopped.",
        "What it did until then stays, and nothing is lost. It goes on by itself after the next synchronization, or with: headwater cleanup. If it comes back, repair what the message names.";
    /// ISTR0 flagged, ISTR1 flag taken back.
    UpdatesExpired = 9047 Information "superseded updates expired", "{0} superseded updates were flagged as expired, and the flag was taken from {1}", "", "";
    /// ISTR0 site, ISTR1 reason.
    SettingsNotTaken = 9050 Warning "settings not taken over", "the settings that came to site {0} with its catalog cannot be read: {1}",
        "The top-level site is of a newer version than this site, and uses a setting that this one does not know.",
        "Bring this site to the version of Headwater that the top-level site has. Until then the settings that it had stay in force here.";
    /// ISTR0 site, ISTR1 why.
    SyncFailureAlert = 9055 Warning "synchronization failure alert", "synchronization failure alert for the software update point at site {0}: {1}",
        "The last run of that site failed.",
        "Look at the messages of that site (headwater message list --site CODE): they say what to do. The alert is canceled when the site has synchronized.";
    /// ISTR0 site.
    SyncFailureAlertCanceled = 9056 Information "synchronization alert canceled", "site {0} synchronizes again: its synchronization alert is canceled", "", "";
    /// ISTR0 site, ISTR1 since when, ISTR2 how many sites are behind it, and some of them.
    SiteSilentAlert = 9060 Error "site silent", "site {0} has not been connected since {1}; sites behind it that cannot be seen either: {2}",
        "The site's machine or service stopped, or the network between it and its parent is interrupted.",
        "Look at that machine: whether the service runs, and what the end of its wsyncmgr.log says. Then check name resolution and the firewall towards the parent's port. The site goes on by itself when the link is up again; what it reported meanwhile comes with it.";
    /// ISTR0 site.
    SiteSilentAlertCanceled = 9061 Information "site connected again", "site {0} is connected again: its alert is canceled", "", "";
    /// ISTR0 site, ISTR1 since when, ISTR2 how far.
    SiteBehindAlert = 9062 Warning "site behind", "site {0} is connected and has been behind the top-level site since {1}: {2}",
        "Its runs fail or take long, its parent does not give it the newest catalog, or nobody starts a run there.",
        "Look at the last messages of that site (headwater message list --site CODE) and of its parent. Press Synchronize now; if it stays behind, compare its catalog: headwater site verify CODE.";
    /// ISTR0 site.
    SiteBehindAlertCanceled = 9063 Information "site caught up", "site {0} has caught up with the top-level site: its alert is canceled", "", "";
    /// ISTR0 site, ISTR1 end.
    CertificateAlert = 9064 Warning "certificate about to end", "the certificate of site {0} ends at {1} and was not renewed",
        "A site renews its certificate when a third of its time is left. This one could not: it is not connected, was refused, or one of the clocks is wrong.",
        "Bring the link of that site up before that time, and look at its messages 9016. A site whose certificate ended joins again with a new token and keeps its catalog.";
    /// ISTR0 site.
    CertificateAlertCanceled = 9065 Information "certificate renewed in time", "the certificate of site {0} is good for long enough again: its alert is canceled", "", "";
    /// ISTR0 site, ISTR1 when the statement was issued.
    StatementAlert = 9066 Warning "catalog statement stale", "the newest catalog statement that site {0} has was issued at {1} and is no longer good",
        "No newer statement comes down to that site, or the top-level site issues none.",
        "Look at the site's parent: if that is up to date, look at the link between the two; if not, go up until a site is found that is.";
    /// ISTR0 site.
    StatementAlertCanceled = 9067 Information "catalog statement good", "site {0} has a good catalog statement again: its alert is canceled", "", "";
    /// ISTR0 site, ISTR1 free room, ISTR2 all room.
    DiskAlert = 9068 Warning "disk low at a site", "only {1} of {2} are free on the disk of the data directory of site {0}",
        "The file system that the site's data directory is on fills up.",
        "Make room on that machine, or give the file system more. A synchronization that runs out of room stops and is tried again; nothing that was committed is lost.";
    /// ISTR0 site.
    DiskAlertCanceled = 9069 Information "disk has room", "the disk of site {0} has room again: its alert is canceled", "", "";
    /// ISTR0 title, ISTR1 identifier.
    CategoryAlert = 9070 Warning "chosen category not offered", "{0} ({1}) is chosen and the synchronization source does not list it: nothing new comes in its name",
        "Its publisher withdrew the product or classification, or the source is an upstream server that does not synchronize it.",
        "Look whether another category took its place, and choose that (headwater settings products). If the source is an upstream server, choose the category there too. Else take it out of products.products or products.classifications.";
    /// ISTR0 title.
    CategoryAlertCanceled = 9071 Information "chosen category settled", "{0} is listed by the synchronization source, or no longer chosen: its alert is canceled", "", "";
    /// ISTR0 who, ISTR1 alert.
    AlertAcknowledged = 9072 Information "alert acknowledged", "{0} knows of the alert: {1}", "", "";
    /// ISTR0 receiver, ISTR1 how many notifications, ISTR2 reason.
    NotificationGivenUp = 9073 Warning "notification given up", "{0} was not told of alerts, and {1} notifications were given up: {2}",
        "The receiver did not take them for a day, or more wait than are kept.",
        "Read the reason, then try: headwater alert test. What was given up is not sent again; headwater alert list --ended shows the alerts.";
    /// ISTR0 who, ISTR1 number of receivers, ISTR2 how many of them took it.
    NotificationsTested = 9074 Information "notifications tested", "{0} sent a test notification to {1} receivers; {2} took it", "", "";
    /// ISTR0 when it was asked for, ISTR1 when it began, ISTR2 its phases and when each began, ISTR3 number of items
    /// that came, ISTR4 bytes that came.
    RunPart = 9078 Information "part in a run", "this site's part in the run: asked for at {0}, begun at {1}: {2}; {3} items and {4} bytes came", "", "";
    /// ISTR0 the other run.
    RunJoined = 9079 Information "run joined with another", "what was asked for is done by the run {0}", "", "";
    /// ISTR0 name, ISTR1 role, ISTR2 end, ISTR3 who.
    AccessTokenCreated = 9080 Information "access token created", "the access token {0} with the role {1}, good until {2}, was made by {3}", "", "";
    /// ISTR0 name, ISTR1 who.
    AccessTokenRevoked = 9081 Information "access token revoked", "the access token {0} was revoked by {1}", "", "";
    /// ISTR0 name, ISTR1 identifier, ISTR2 address.
    DownstreamServerSeen = 9082 Information "downstream server seen for the first time", "the WSUS server {0} ({1}) synchronizes from this site for the first time, from {2}", "", "";
    /// ISTR0 name, ISTR1 identifier, ISTR2 address.
    DownstreamServerRefused = 9083 Warning "downstream server refused", "the WSUS server {0} ({1}) at {2} wanted to synchronize from this site, and is not on the list of those that may",
        "The setting wsus.allow of this site names neither the server nor the network that it called from.",
        "If it may, add its name, its identifier or its network to wsus.allow in the settings file of the site, and restart the site. Else look who uses that address.";
    /// ISTR0 name, ISTR1 identifier, ISTR2 who.
    DownstreamServerRemoved = 9084 Information "downstream server removed from the list", "the WSUS server {0} ({1}) was taken off the list of downstream servers by {2}; it comes back when it synchronizes again", "", "";
    /// ISTR0 format, ISTR1 revisions, ISTR2 position, ISTR3 who.
    PackageExported = 9090 Information "package exported", "{3} exported a package ({0}) of {1} revisions, up to position {2}", "", "";
    /// ISTR0 hierarchy, ISTR1 key, ISTR2 who.
    PackageSourceTaken = 9091 Information "packages of a hierarchy taken", "packages of hierarchy {0}, signed with the key {1}, are taken from now on, as {2} decided", "", "";
    /// ISTR0 number, ISTR1 updates.
    UpdatesImported = 9092 Information "updates imported", "{0} updates were fetched by their identifiers: {1}", "", "";
    /// ISTR0 package, ISTR1 files, ISTR2 their bytes, ISTR3 files that were here already.
    PackageFilesTaken = 9093 Information "files of a package taken in", "of package {0}, {1} update files were taken in, {2} bytes; {3} were here already", "", "";
    /// ISTR0 package, ISTR1 reason.
    PackageFilesRefused = 9094 Warning "files of a package not taken in", "not all update files in package {0} were taken in: {1}",
        "A file in the package is not what the signed catalog says, or the content store of this site takes nothing in.",
        "The catalog in the package was taken in. Read the reason: import the package again once it is put right, and it goes on; a file that is not what the catalog says has to be exported again, where it is whole.";
    /// ISTR0 files to go, ISTR1 bytes to go.
    ContentSyncStarted = 9100 Information "content synchronization started", "content synchronization started: {0} files to go, {1} bytes", "", "";
    /// ISTR0 files that came, ISTR1 their bytes, ISTR2 how long it took.
    ContentSyncDone = 9101 Information "content synchronization done", "content synchronization done: {0} files came, {1} bytes, in {2}; every file that is needed is here", "", "";
    /// ISTR0 file, ISTR1 attempts, ISTR2 reason.
    ContentFileFailed = 9102 Warning "content file did not come", "content file {0} did not come in {1} attempts: {2}",
        "The source does not have the file, cannot be reached, or the content store of this site takes nothing in.",
        "Read the reason. At a child site look whether the parent has the file (headwater content list there); at the top-level site look at the network, the proxy and the source. The file is tried again by itself, at most an hour after the last time.";
    /// ISTR0 file, ISTR1 source, ISTR2 in what it differs.
    ContentFileRefused = 9103 Warning "content file refused", "content file {0}, as it came from {1}, is not what the signed catalog says: {2}",
        "What the source has is damaged or was altered, or something on the way altered it, such as a proxy that answers with a page of its own.",
        "The file was put aside (.quarantine in the content store) and is fetched again by itself, where there is another source from that. If it happens again, compare the file at the source with the catalog (headwater content verify at the parent), and look at proxies on the way.";
    /// ISTR0 name, ISTR1 role, ISTR2 end, ISTR3 who, ISTR4 serial number.
    CertificateIssued = 9125 Information "client certificate issued", "a client certificate for {0} with the role {1}, good until {2}, was issued by {3}; its serial number is {4}", "", "";
    /// ISTR0 name, ISTR1 who.
    CertificateRevoked = 9126 Information "client certificate revoked", "the client certificate of {0} was revoked by {1}", "", "";
}

impl StatusId {
    /// Its number.
    pub const fn number(self) -> u32 {
        self.entry().number
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        self.entry().severity
    }

    /// The message with this number, if this version knows it.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_and_find_their_message() {
        assert!(StatusId::ALL.is_sorted_by(|a, b| a.number() < b.number()));
        for id in StatusId::ALL {
            assert_eq!(StatusId::from_number(id.number()), Some(*id));
            let number = id.number();
            assert!((6700..=6711).contains(&number) || (9000..=9199).contains(&number));
        }
        assert_eq!(StatusId::from_number(1), None);
    }

    #[test]
    fn the_known_numbers_mean_what_they_meant() {
        assert_eq!(StatusId::SyncStarted.number(), 6701);
        assert_eq!(StatusId::SyncDone.number(), 6702);
        assert_eq!(StatusId::SyncFailed.number(), 6703);
        assert_eq!(StatusId::SyncFailed.severity(), Severity::Error);
        assert_eq!(StatusId::SyncingDatabase.number(), 6705);
    }

    #[test]
    fn whatever_is_wrong_has_a_cause_and_a_cure() {
        for entry in StatusId::ALL.iter().map(|id| id.entry()) {
            let good = entry.severity == Severity::Information;
            for said in [entry.cause, entry.cure] {
                assert_eq!(said.is_empty(), good, "{}", entry.number);
                assert!(good || said.ends_with('.'), "{}", entry.number);
            }
        }
    }

    #[test]
    fn good_news_is_not_coloured() {
        for entry in StatusId::ALL.iter().map(|id| id.entry()) {
            if entry.severity == Severity::Information {
                assert!(!crate::phrases::is_coloured(entry.text), "{}", entry.text);
                assert!(!crate::phrases::is_coloured(entry.name), "{}", entry.name);
            }
        }
    }

    #[test]
    fn a_severity_reads_its_own_name() {
        for name in ["information", "warning", "error"] {
            assert_eq!(name.parse::<Severity>().unwrap().to_string(), name);
        }
        assert!("E".parse::<Severity>().is_err());
    }
}
