//! The reporting service, as far as a downstream server insists on one (WSUS-PROTOCOL 2.5): it is told
//! that no detailed reports are wanted, and what it reports all the same is accepted and not kept.
//!
//! The service has no authorization, so nothing that arrives is even held: the header says which
//! operation it is, and the body is read to its end piece by piece.

use super::Source;
use super::service::Service;
use crate::fault::{ErrorCode, Fault};
use crate::message::{SoapVersion, begin_response, finish};
use crate::xml::XmlWriter;
use axum::body::Body;
use futures::StreamExt;

/// Largest report that is read to its end.
const MAX_REPORT_BYTES: usize = 256 << 20;

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
pub(super) async fn drain(body: Body) -> bool {
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

impl<S: Source> Service<S> {
    /// The answer to the operation that `action` names.
    pub(super) fn report(&self, version: SoapVersion, action: &str) -> Result<String, Fault> {
        let name = action.rsplit('/').next().unwrap_or_default();
        let Some((report, name)) = Report::ALL.into_iter().find(|(_, known)| *known == name) else {
            let mut fault = Fault::new(ErrorCode::InvalidParameters, "SOAPAction");
            fault.method = format!("\"{action}\"");
            return Err(fault);
        };
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
        Ok(finish(w))
    }

    fn rollup_configuration(&self, w: &mut XmlWriter) {
        let server_id = self.identity().server_id;
        w.element("GetRollupConfigurationResult", |w| {
            w.value("DoDetailedRollup", false);
            w.guid("RollupResetGuid", server_id);
            w.guid("ServerId", server_id);
            w.value("RollupDownstreamServersMaxBatchSize", 5000);
            w.value("RollupComputersMaxBatchSize", 1500);
            w.value("GetOutOfSyncComputersMaxBatchSize", 20000);
            w.value("RollupComputerStatusMaxBatchSize", 500);
        });
    }
}
