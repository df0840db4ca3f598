//! What a site says of its content files in its report.

use jiff::Timestamp;

/// Content files of a site: what is there, and what is still to come.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContentState {
    /// Files that are needed and there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are needed and not there yet.
    pub files_to_go: u64,
    /// Bytes of them that are not there yet.
    pub bytes_to_go: u64,
    /// Files that are being fetched.
    pub under_way: u64,
    /// Bytes that come in a second.
    pub bytes_per_second: u64,
    /// When everything will be there, going on like this.
    pub done_at: Option<Timestamp>,
    /// Files that did not come at the last attempt.
    pub failing: u64,
    /// Files of which something came that was not what the catalog says.
    pub quarantined: u64,
    /// Why nothing is fetched though something is to come; empty where that is not so.
    pub waits: String,
    /// Bytes that came since the process started.
    pub received: u64,
}
