//! What children send, checked and cut to its bounds.

use journal::status_message::{MAX_INSERT, MAX_INSERTS};
use store::status::StatusRow;
use tonic::Status;
use trust::statement::SIGNED_STATEMENT_LEN;
use wire::convert;
use wire::v1::SiteReport;

/// Longest error in a report, and longest other text, in bytes.
const MAX_REPORT_ERROR: usize = 8192;
const MAX_REPORT_TEXT: usize = 256;

fn clip(text: &mut String, most: usize) {
    let end = text.floor_char_boundary(most);
    text.truncate(end);
}

/// Cuts what a report says to its bounds.
pub(super) fn bound_report(report: &mut SiteReport) {
    clip(&mut report.last_error, MAX_REPORT_ERROR);
    for text in [
        &mut report.site_kind,
        &mut report.version,
        &mut report.upstream,
    ] {
        clip(text, MAX_REPORT_TEXT);
    }
    report.root.truncate(32);
    report.statement.truncate(SIGNED_STATEMENT_LEN);
    report.epoch.truncate(16);
    if let Some(run) = &mut report.run {
        clip(&mut run.error, MAX_REPORT_ERROR);
        clip(&mut run.state, MAX_REPORT_TEXT);
        run.id.truncate(16);
    }
}

/// A status message as it is stored; the error says why it cannot be.
pub(super) fn status_row(message: wire::v1::StatusMessage) -> Result<StatusRow, Status> {
    if message.inserts.len() > MAX_INSERTS {
        return Err(Status::invalid_argument(
            "a status message has ten inserts at most",
        ));
    }
    // The database counts with a sign.
    if i64::try_from(message.number).is_err() {
        let field = "number";
        let why = "it is larger than any number that a site gives out".to_owned();
        return Err(convert::Error::Invalid { field, why }.into());
    }
    let mut inserts = message.inserts;
    for insert in &mut inserts {
        clip(insert, MAX_INSERT);
    }
    let time = message
        .time
        .as_ref()
        .ok_or(convert::Error::Missing { field: "time" })?;
    Ok(StatusRow {
        site: convert::site_code("site_code", &message.site_code)?,
        number: message.number,
        time: convert::timestamp("time", time)?,
        status_id: message.status_id,
        run: convert::optional_uuid("run", &message.run)?,
        inserts,
    })
}
