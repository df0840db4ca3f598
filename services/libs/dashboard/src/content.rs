//! The update files of a site, in a sentence.

use crate::words::Moment;
use hierarchy::words::{count, size};
use jiff::Timestamp;
use wire::v1::SiteReport;

/// What a site says of its update files; none where it has none and needs none.
pub fn sentence(site: &SiteReport, now: Timestamp) -> Option<String> {
    let files = |number: u64, bytes: u64| {
        let word = if number == 1 { "file" } else { "files" };
        format!("{} {word}, {}", count(number), size(bytes))
    };
    let (held, to_go) = (site.content_files, site.content_files_to_go);
    if held == 0 && to_go == 0 {
        return None;
    }
    let mut parts = vec![format!("{} here", files(held, site.content_bytes))];
    if to_go > 0 {
        let mut coming = format!("{} to come", files(to_go, site.content_bytes_to_go));
        if site.content_bytes_per_second > 0 {
            coming.push_str(&format!(
                " at {} a second",
                size(site.content_bytes_per_second)
            ));
        }
        if let Some(done) = Moment::of(site.content_done_at.as_ref(), now) {
            coming.push_str(&format!(", done {}", done.ago));
        }
        parts.push(coming);
    }
    if site.content_failing > 0 {
        parts.push(format!(
            "{} did not come at the last attempt",
            count(site.content_failing)
        ));
    }
    if !site.content_waits.is_empty() {
        parts.push(format!("waiting: {}", site.content_waits));
    }
    Some(parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_says_what_is_here_and_to_come() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(sentence(&SiteReport::default(), now), None);
        let site = SiteReport {
            content_files: 1,
            content_bytes: 1 << 20,
            content_files_to_go: 2,
            content_bytes_to_go: 3 << 20,
            content_bytes_per_second: 1 << 20,
            content_done_at: Some(prost_types::Timestamp {
                seconds: 4 * 60,
                nanos: 0,
            }),
            content_failing: 1,
            content_waits: "outside the time for it".into(),
            ..SiteReport::default()
        };
        assert_eq!(
            sentence(&site, now).unwrap(),
            "1 file, 1.0 MB here; 2 files, 3.0 MB to come at 1.0 MB a second, done in 4 min; 1 did not come at \
             the last attempt; waiting: outside the time for it"
        );
    }
}
