//! The update files of a site, for people and for scripts.

use crate::render::text::{count, hex, size};
use hierarchy::time;
use serde_json::{Value, json};
use wire::text::harmless;
use wire::v1::{
    CleanContentResponse, ContentCount, ContentEntry, GetContentUsageResponse,
    ImportContentResponse, VerifyContentResponse,
};

/// Files, and their bytes.
fn files(held: Option<&ContentCount>) -> String {
    let held = held.copied().unwrap_or_default();
    let word = if held.files == 1 { "file" } else { "files" };
    format!("{} {word}, {}", count(held.files), size(held.bytes))
}

fn count_json(held: Option<&ContentCount>) -> Value {
    let held = held.copied().unwrap_or_default();
    json!({ "files": held.files, "bytes": held.bytes })
}

fn is_some(held: Option<&ContentCount>) -> bool {
    held.is_some_and(|held| held.files > 0)
}

/// What is here and to come.
pub(super) fn usage(usage: &GetContentUsageResponse) -> Vec<String> {
    let mut lines = vec![
        format!("Kept in        {}", harmless(&usage.place)),
        format!("Here           {}", files(usage.present.as_ref())),
        format!("To come        {}", files(usage.wanted.as_ref())),
    ];
    if is_some(usage.quarantined.as_ref()) {
        let quarantined = files(usage.quarantined.as_ref());
        lines.push(format!(
            "  put aside    {quarantined}: what came is not what the catalog says"
        ));
    }
    if usage.failing > 0 {
        lines.push(format!(
            "  failing      {} did not come at the last attempt: headwater content list --failing",
            count(usage.failing)
        ));
    }
    if usage.missing_licence_terms > 0 {
        let missing = count(usage.missing_licence_terms);
        lines.push(format!("  of these     {missing} texts of licence terms"));
    }
    lines.push(format!("Not needed     {}", files(usage.unneeded.as_ref())));
    match &usage.removable {
        Some(removable) if removable.files > 0 => {
            lines.push(format!(
                "  of these     {} go with the next clean-up",
                files(Some(removable))
            ));
        }
        Some(_) => {}
        None => lines.push("  they stay: cleanup.unneeded-content is off".to_owned()),
    }
    let express = match usage.express {
        true => "full files and express installation files",
        false => "full files only",
    };
    lines.push(String::new());
    lines.push(format!(
        "Downloads      {}, {express}",
        harmless(&usage.download)
    ));
    lines.push(format!("Languages      {}", harmless(&usage.languages)));
    let rate = match usage.maximum_transfer_rate {
        0 => "no limit".to_owned(),
        rate => format!("{} kilobits a second at most", count(rate.into())),
    };
    let window = match usage.window_from.is_empty() {
        true => "around the clock".to_owned(),
        false => format!("from {} to {}", usage.window_from, usage.window_to),
    };
    lines.push(format!(
        "Transfer       {} at a time, {rate}, {window}",
        usage.parallel_downloads
    ));
    lines
}

/// The same for scripts.
pub(super) fn usage_json(usage: &GetContentUsageResponse) -> Value {
    json!({
        "place": usage.place,
        "present": count_json(usage.present.as_ref()),
        "wanted": count_json(usage.wanted.as_ref()),
        "quarantined": count_json(usage.quarantined.as_ref()),
        "unneeded": count_json(usage.unneeded.as_ref()),
        "removable": usage.removable.as_ref().map(|removable| count_json(Some(removable))),
        "failing": usage.failing,
        "missing_licence_terms": usage.missing_licence_terms,
        "download": usage.download,
        "express": usage.express,
        "languages": usage.languages,
        "parallel_downloads": usage.parallel_downloads,
        "maximum_transfer_rate": usage.maximum_transfer_rate,
        "window": Some([&usage.window_from, &usage.window_to]).filter(|[from, _]| !from.is_empty()),
    })
}

/// A file, for scripts.
pub(super) fn file_json(file: &ContentEntry) -> Value {
    json!({
        "sha1": hex(&file.sha1),
        "name": file.name,
        "size": file.size,
        "state": file.state,
        "because": file.because,
        "updates": file.updates,
        "had": file.had,
        "attempts": file.attempts,
        "next_attempt": time(file.next_attempt.as_ref()),
        "last_error": Some(&file.last_error).filter(|error| !error.is_empty()),
        "present_since": time(file.present_since.as_ref()),
    })
}

/// What a verification found.
pub(super) fn verified(last: &VerifyContentResponse) -> String {
    let looked = format!(
        "{} files ({}) were read",
        count(last.files),
        size(last.bytes)
    );
    match last.damaged + last.missing {
        0 => format!("{looked}: all are what the catalog says."),
        _ => format!(
            "{looked}: {} damaged, {} missing. What is needed of them is fetched again.",
            count(last.damaged),
            count(last.missing)
        ),
    }
}

/// What was taken in.
pub(super) fn imported(last: &ImportContentResponse, dry_run: bool) -> Vec<String> {
    let (what, verb) = match dry_run {
        true => ("Nothing was changed. Would be taken in", "are"),
        false => ("Taken in", "were"),
    };
    let mut lines = vec![
        format!("{what}: {}", files(last.taken.as_ref())),
        format!(
            "Of {} that were looked at, {} {verb} here already and {} are not named by the catalog.",
            count(last.files),
            count(last.held),
            count(last.unknown)
        ),
    ];
    if last.unneeded > 0 {
        lines.push(format!(
            "{} are not needed here yet: without an approval they go again after the days of cleanup.content-days.",
            count(last.unneeded)
        ));
    }
    for problem in &last.problems {
        lines.push(format!("Left out: {}", harmless(problem)));
    }
    lines
}

/// The same for scripts.
pub(super) fn imported_json(last: &ImportContentResponse, dry_run: bool) -> Value {
    json!({
        "dry_run": dry_run,
        "files": last.files,
        "bytes": last.bytes,
        "taken": count_json(last.taken.as_ref()),
        "held": last.held,
        "unneeded": last.unneeded,
        "unknown": last.unknown,
        "problems": last.problems,
    })
}

/// What a clean-up removed.
pub(super) fn cleaned(cleaned: &CleanContentResponse, dry_run: bool) -> Vec<String> {
    let what = match dry_run {
        true => "Nothing was changed. Would be removed",
        false => "Removed",
    };
    let mut lines = vec![format!("{what}: {}", files(cleaned.removed.as_ref()))];
    if is_some(cleaned.kept.as_ref()) {
        let kept = files(cleaned.kept.as_ref());
        lines.push(format!(
            "Not needed for too short a time yet, or left for the next time: {kept}"
        ));
    }
    if cleaned.busy > 0 {
        let busy = count(cleaned.busy);
        lines.push(format!(
            "Passed over, because something is at work on them: {busy}"
        ));
    }
    if !cleaned.enabled {
        lines.push(
            "The site does not do this by itself: cleanup.unneeded-content is off.".to_owned(),
        );
    }
    lines
}

/// The same for scripts.
pub(super) fn cleaned_json(cleaned: &CleanContentResponse, dry_run: bool) -> Value {
    json!({
        "dry_run": dry_run,
        "enabled": cleaned.enabled,
        "removed": count_json(cleaned.removed.as_ref()),
        "kept": count_json(cleaned.kept.as_ref()),
        "busy": cleaned.busy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(files: u64, bytes: u64) -> Option<ContentCount> {
        Some(ContentCount { files, bytes })
    }

    #[test]
    fn usage_says_what_is_here_and_what_is_wrong() {
        let told = usage(&GetContentUsageResponse {
            present: sum(3, 3 << 20),
            wanted: sum(1, 2048),
            quarantined: sum(1, 2048),
            unneeded: sum(2, 1 << 20),
            removable: sum(1, 1 << 20),
            failing: 1,
            place: "/var/lib/headwater/content".into(),
            download: "deferred".into(),
            languages: "de, en".into(),
            parallel_downloads: 4,
            maximum_transfer_rate: 8000,
            window_from: "22:00:00".into(),
            window_to: "05:00:00".into(),
            ..GetContentUsageResponse::default()
        })
        .join("\n");
        for part in [
            "Here           3 files, 3.0 MB",
            "To come        1 file, 2.0 KB",
            "put aside",
            "list --failing",
            "1 file, 1.0 MB go with the next clean-up",
            "deferred, full files only",
            "4 at a time, 8,000 kilobits a second at most, from 22:00:00 to 05:00:00",
        ] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
    }

    #[test]
    fn an_import_says_what_it_left_out() {
        let told = imported(
            &ImportContentResponse {
                files: 7,
                taken: sum(2, 10),
                held: 1,
                unneeded: 2,
                unknown: 4,
                problems: vec!["/mnt/x: permission denied".into()],
                ..ImportContentResponse::default()
            },
            true,
        )
        .join("\n");
        assert!(
            told.starts_with("Nothing was changed. Would be taken in: 2 files"),
            "{told}"
        );
        assert!(told.contains("4 are not named by the catalog"), "{told}");
        assert!(
            told.contains("Left out: /mnt/x: permission denied"),
            "{told}"
        );
    }
}
