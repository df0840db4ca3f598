//! What downstream servers say of themselves (`RollupDownstreamServers`), as far as it is of use here: not what
//! they add up about computers. Nobody proves any of it, so texts are cut and cleaned.

use crate::message::DecodeError;
use crate::xml::XmlReader;
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// Most servers in one report, which whoever reports is told beforehand.
pub const MAX_SERVERS: usize = 500;
/// Longest name that is kept, in characters.
const MAX_NAME: usize = 255;
/// Longest version that is kept, in characters.
const MAX_VERSION: usize = 32;
/// Up to this difference the clock of a server is taken for right.
const SAME_TIME: SignedDuration = SignedDuration::from_secs(60);

/// The counts of a server's summary, in the order of the protocol.
pub const SUMMARY: [&str; 18] = [
    "UpdateCount",
    "DeclinedUpdateCount",
    "ApprovedUpdateCount",
    "NotApprovedUpdateCount",
    "UpdatesWithStaleUpdateApprovalsCount",
    "ExpiredUpdateCount",
    "CriticalOrSecurityUpdatesNotApprovedForInstallCount",
    "WsusInfrastructureUpdatesNotApprovedForInstallCount",
    "UpdatesWithClientErrorsCount",
    "UpdatesWithServerErrorsCount",
    "UpdatesNeedingFilesCount",
    "UpdatesNeededByComputersCount",
    "UpdatesUpToDateCount",
    "CustomComputerTargetGroupCount",
    "ComputerTargetCount",
    "ComputerTargetsNeedingUpdatesCount",
    "ComputerTargetsWithUpdateErrorsCount",
    "ComputersUpToDateCount",
];

/// What a downstream server says of itself, or of one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// Its GUID.
    pub id: Uuid,
    /// Its fully qualified domain name.
    pub name: String,
    /// The server that it synchronizes from; none for the one that is reported to.
    pub parent: Option<Uuid>,
    /// Its version.
    pub version: String,
    /// Whether it is a replica.
    pub replica: bool,
    /// When it last synchronized, by the clock of the server that is reported to.
    pub last_sync: Option<Timestamp>,
    /// The counts of [`SUMMARY`], where it gave them.
    pub summary: Option<[i32; SUMMARY.len()]>,
}

type Result<T> = std::result::Result<T, DecodeError>;

/// The servers of a report. An entry that was split because of its size comes as one.
pub(super) fn read(input: &[u8], now: Timestamp) -> Result<Vec<ServerReport>> {
    let mut reader = XmlReader::new(input);
    let r = &mut reader;
    let mut servers = Vec::new();
    let mut client_time = None;
    let mut found = false;
    // Envelope, body, operation: whatever they are called, the last one is looked for by its name.
    while let Some(element) = r.child()? {
        if element.name() != b"Envelope" {
            r.skip()?;
            continue;
        }
        while let Some(part) = r.child()? {
            if part.name() != b"Body" {
                r.skip()?;
                continue;
            }
            while let Some(operation) = r.child()? {
                if operation.name() != b"RollupDownstreamServers" {
                    r.skip()?;
                    continue;
                }
                found = true;
                while let Some(parameter) = r.child()? {
                    match parameter.name() {
                        b"clientTime" => client_time = Some(r.date_time()?),
                        b"downstreamServers" => {
                            servers = r.list("DownstreamServerRollupInfo", MAX_SERVERS, server)?;
                        }
                        _ => r.skip()?,
                    }
                }
            }
        }
    }
    if !found {
        return Err(r.missing("RollupDownstreamServers"));
    }
    let ahead = client_time.map(|client| now.duration_since(client));
    let shift = ahead.filter(|shift| shift.abs() > SAME_TIME);
    for server in &mut servers {
        if let (Some(shift), Some(time)) = (shift, server.last_sync) {
            server.last_sync = time.checked_add(shift).ok();
        }
    }
    let mut merged: Vec<ServerReport> = Vec::with_capacity(servers.len());
    for server in servers {
        match merged.last_mut() {
            Some(last) if last.id == server.id => {
                let summary = server.summary.or(last.summary);
                *last = ServerReport { summary, ..server };
            }
            Some(_) | None => merged.push(server),
        }
    }
    Ok(merged)
}

fn server(r: &mut XmlReader<'_>) -> Result<ServerReport> {
    let inside = r.enclosing();
    let mut id = None;
    let mut report = ServerReport {
        id: Uuid::nil(),
        name: String::new(),
        parent: None,
        version: String::new(),
        replica: false,
        last_sync: None,
        summary: None,
    };
    while let Some(element) = r.child()? {
        match element.name() {
            b"ServerId" => id = Some(r.guid()?),
            b"FullDomainName" => report.name = shown(&r.text()?, MAX_NAME),
            b"LastSyncTime" => report.last_sync = ever(r.date_time()?),
            b"ParentServerId" => report.parent = Some(r.guid()?).filter(|id| !id.is_nil()),
            b"Version" => report.version = shown(&r.text()?, MAX_VERSION),
            b"IsReplica" => report.replica = r.boolean()?,
            b"ServerSummary" => report.summary = Some(summary(r)?),
            _ => r.skip()?,
        }
    }
    report.id = id.ok_or_else(|| r.missing_in(inside, "ServerId"))?;
    Ok(report)
}

fn summary(r: &mut XmlReader<'_>) -> Result<[i32; SUMMARY.len()]> {
    let mut counts = [0; SUMMARY.len()];
    while let Some(element) = r.child()? {
        match SUMMARY
            .iter()
            .position(|name| name.as_bytes() == element.name())
        {
            Some(place) => counts[place] = r.int()?,
            None => r.skip()?,
        }
    }
    Ok(counts)
}

/// A time, unless it is one of those that mean "never".
fn ever(time: Timestamp) -> Option<Timestamp> {
    let never = date(1753, 1, 2).at(0, 0, 0, 0);
    let never = TimeZone::UTC.to_timestamp(never).ok()?;
    Some(time).filter(|time| *time > never)
}

/// A text as it may be shown: without control characters, and not too long.
fn shown(text: &str, most: usize) -> String {
    let visible = text.trim().chars().filter(|c| !c.is_control());
    visible.take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    fn report(servers: &str, client_time: &str) -> String {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
             <RollupDownstreamServers xmlns=\"http://www.microsoft.com/SoftwareDistribution\">\
             <cookie/><clientTime>{client_time}</clientTime>\
             <downstreamServers>{servers}</downstreamServers></RollupDownstreamServers>\
             </s:Body></s:Envelope>"
        )
    }

    fn entry(last_sync: &str, more: &str) -> String {
        format!(
            "<DownstreamServerRollupInfo><ServerId>{ID}</ServerId>\
             <FullDomainName> dss\u{9b}.example &lt;b&gt;</FullDomainName><LastSyncTime>{last_sync}</LastSyncTime>\
             <ParentServerId>00000000-0000-0000-0000-000000000000</ParentServerId><Version>10.0.26100.1</Version>\
             <IsReplica>true</IsReplica><LastRollupTime>1753-01-01T00:00:00</LastRollupTime>{more}\
             </DownstreamServerRollupInfo>"
        )
    }

    const NOW: &str = "2026-10-04T16:00:00Z";

    fn read_at_now(servers: &str, client_time: &str) -> Vec<ServerReport> {
        read(
            report(servers, client_time).as_bytes(),
            NOW.parse().unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn a_server_is_read_with_its_summary() {
        let more = "<ServerSummary><UpdateCount>7</UpdateCount><ComputersUpToDateCount>3\
                    </ComputersUpToDateCount></ServerSummary><ClientSummaries/>";
        let servers = read_at_now(&entry("2026-10-04T15:00:00", more), NOW);
        let [server] = servers.as_slice() else {
            panic!("{servers:?}")
        };
        assert_eq!(server.name, "dss.example <b>");
        assert_eq!((server.parent, server.replica), (None, true));
        assert_eq!(server.last_sync, "2026-10-04T15:00:00Z".parse().ok());
        let counts = server.summary.unwrap();
        assert_eq!((counts[0], counts[1], counts[17]), (7, 0, 3));
    }

    #[test]
    fn never_is_no_time_and_a_clock_that_is_wrong_is_allowed_for() {
        for never in ["1753-01-01T00:00:00", "0001-01-01T00:00:00"] {
            assert_eq!(read_at_now(&entry(never, ""), NOW)[0].last_sync, None);
        }
        let time = "2026-10-04T15:00:00Z";
        let late = read_at_now(&entry(time, ""), "2026-10-04T15:30:00Z");
        assert_eq!(late[0].last_sync, "2026-10-04T15:30:00Z".parse().ok());
        let about = read_at_now(&entry(time, ""), "2026-10-04T16:00:30Z");
        assert_eq!(about[0].last_sync, time.parse().ok());
    }

    #[test]
    fn a_server_in_several_entries_is_one() {
        let more = "<ServerSummary><UpdateCount>7</UpdateCount></ServerSummary>";
        let both = entry("2026-10-04T15:00:00", more) + &entry("2026-10-04T15:00:00", "");
        let servers = read_at_now(&both, NOW);
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0].summary.unwrap()[0], 7);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "<a/>",
            "<Envelope><Body/></Envelope>",
            "<Envelope><Body><RollupDownstreamServers><downstreamServers><DownstreamServerRollupInfo/>",
        ] {
            assert!(
                read(text.as_bytes(), NOW.parse().unwrap()).is_err(),
                "{text}"
            );
        }
        let nameless = report("<DownstreamServerRollupInfo/>", NOW);
        assert!(read(nameless.as_bytes(), NOW.parse().unwrap()).is_err());
    }
}
