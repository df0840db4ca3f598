//! What a site says of its content files.

use super::Look;
use daemon::metrics::MetricsError;
use wire::v1::SiteReport;

/// Adds what there is to say of the content files of a site.
///
/// # Errors
/// When a metric is malformed.
pub(super) fn add(look: &Look, report: &SiteReport) -> Result<(), MetricsError> {
    let gauges = [
        (
            "content_files",
            "Content files that are needed and there.",
            report.content_files,
        ),
        (
            "content_bytes",
            "Bytes of the content files that are needed and there.",
            report.content_bytes,
        ),
        (
            "content_files_to_go",
            "Content files that are needed and not there yet.",
            report.content_files_to_go,
        ),
        (
            "content_to_go_bytes",
            "Bytes of content files that are still to come.",
            report.content_bytes_to_go,
        ),
        (
            "content_failing_files",
            "Content files that did not come at the last attempt.",
            report.content_failing,
        ),
        (
            "content_quarantined_files",
            "Content files of which something came that was not what the catalog says.",
            report.content_quarantined,
        ),
    ];
    for (name, help, value) in gauges {
        look.gauge(name, help, value)?;
    }
    look.counter(
        "content_received_bytes_total",
        "Bytes of content files that came since the process started.",
        report.content_received_bytes,
    )
}
