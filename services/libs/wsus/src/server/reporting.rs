//! The reporting service, as far as a downstream server insists on one (WSUS-PROTOCOL 2.5): it is told
//! that no detailed reports are wanted. What servers say of themselves is handed to the source; what they
//! report of computers all the same is accepted and not kept.
//!
//! The service has no authorization, so of all but the one report that is kept nothing is even held: the
//! header says which operation it is, and the body is read to its end piece by piece.

mod rollup;

pub use rollup::{MAX_SERVERS, SUMMARY, ServerReport};

use super::Source;
use super::service::{Service, fault_of};
use crate::fault::{ErrorCode, Fault};
use crate::message::{SoapVersion, begin_response, finish};
use crate::xml::XmlWriter;
use axum::body::Body;
use futures::StreamExt;
use std::net::IpAddr;

/// Largest report that is read to its end.
const MAX_REPORT_BYTES: usize = 256 << 20;

/// Largest report about servers, which is held while it is read.
pub const MAX_ROLLUP_BYTES: usize = 16 << 20;

/// Namespace of the elements.
const NAMESPACE: &str = "http://www.microsoft.com/SoftwareDistribution";

/// An operation of the reporting service that a downstream server calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    GetRollupConfiguration,
    RollupDownstreamServers,
    RollupComputers,
    GetOutOfSyncComputers,
    RollupComputerStatus,
}

impl Report {
    const ALL: [(Self, &str); 5] = [
        (Self::GetRollupConfiguration, "GetRollupConfiguration"),
        (Self::RollupDownstreamServers, "RollupDownstreamServers"),
        (Self::RollupComputers, "RollupComputers"),
        (Self::GetOutOfSyncComputers, "GetOutOfSyncComputers"),
        (Self::RollupComputerStatus, "RollupComputerStatus"),
    ];
}

/// Reads a report to its end; false where it is too large or breaks off.
async fn drain(body: Body) -> bool {
    let mut chunks = body.into_data_stream();
    let mut total = 0;
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return false };
        total += chunk.len();
        if total > MAX_REPORT_BYTES {
            return false;
        }
    }
    true
}

/// The operation, where it is one, and its answer or fault.
type Reported = (Option<&'static str>, Result<String, Fault>);

impl<S: Source> Service<S> {
    /// The answer to the operation that `action` names; none where the body is too large or breaks off.
    pub(super) async fn report(
        &self,
        version: SoapVersion,
        action: &str,
        body: Body,
        peer: Option<IpAddr>,
    ) -> Option<Reported> {
        let name = action.rsplit('/').next().unwrap_or_default();
        let known = Report::ALL.into_iter().find(|(_, known)| *known == name);
        let in_call = |mut fault: Fault| {
            fault.method = format!("\"{action}\"");
            fault
        };
        let Some((report, name)) = known else {
            if !drain(body).await {
                return None;
            }
            let fault = Fault::new(ErrorCode::InvalidParameters, "SOAPAction");
            return Some((None, Err(in_call(fault))));
        };
        if report == Report::RollupDownstreamServers {
            let kept = self.roll_up(body, peer).await?;
            if let Err(fault) = kept {
                return Some((Some(name), Err(in_call(fault))));
            }
        } else if !drain(body).await {
            return None;
        }
        const CAPACITY: usize = 1024;
        let mut w = begin_response(version, CAPACITY);
        w.raw(&format!("<{name}Response xmlns=\"{NAMESPACE}\">"));
        match report {
            Report::GetRollupConfiguration => self.rollup_configuration(&mut w),
            Report::RollupDownstreamServers => {}
            Report::RollupComputers => w.text("RollupComputersResult", ""),
            Report::GetOutOfSyncComputers => w.text("GetOutOfSyncComputersResult", ""),
            Report::RollupComputerStatus => w.value("RollupComputerStatusResult", true),
        }
        w.raw(&format!("</{name}Response>"));
        Some((Some(name), Ok(finish(w))))
    }

    /// Hands what servers say of themselves to the source; none where the body is too large or breaks off.
    async fn roll_up(&self, body: Body, peer: Option<IpAddr>) -> Option<Result<(), Fault>> {
        // Held as long as the body is, so that the memory for reports is bounded.
        let Ok(_place) = self.reports.acquire().await else {
            return Some(Err(Fault::new(ErrorCode::ServerBusy, "")));
        };
        let body = axum::body::to_bytes(body, MAX_ROLLUP_BYTES).await.ok()?;
        let now = self.now();
        let servers = match rollup::read(&body, now) {
            Ok(servers) => servers,
            Err(error) => {
                let parameter = error.parameter().unwrap_or("downstreamServers");
                let mut fault = Fault::new(ErrorCode::InvalidParameters, parameter);
                fault.reason = error.to_string();
                return Some(Err(fault));
            }
        };
        let kept = self.source().rolled_up(peer, &servers, now).await;
        Some(kept.map_err(|error| fault_of(error, "RollupDownstreamServers")))
    }

    fn rollup_configuration(&self, w: &mut XmlWriter) {
        let server_id = self.identity().server_id;
        w.element("GetRollupConfigurationResult", |w| {
            w.value("DoDetailedRollup", false);
            w.guid("RollupResetGuid", server_id);
            w.guid("ServerId", server_id);
            w.value("RollupDownstreamServersMaxBatchSize", MAX_SERVERS);
            w.value("RollupComputersMaxBatchSize", 1500);
            w.value("GetOutOfSyncComputersMaxBatchSize", 20000);
            w.value("RollupComputerStatusMaxBatchSize", 500);
        });
    }
}
