//! Messages as JSON: the field names of `/proto`, UUIDs with hyphens, digests in hexadecimal, times
//! in RFC 3339. What is not known is null.

use super::text::{hex, uuid};
use hierarchy::{Behind, Hierarchy, time};
use jiff::Timestamp;
use serde::Serialize;
use wire::v1;

/// A site and what it does.
#[derive(Debug, Serialize)]
pub struct Site<'a> {
    site_code: &'a str,
    site_kind: &'a str,
    parent: &'a str,
    sequence: u64,
    version: &'a str,
    epoch: Option<String>,
    position: u64,
    verified_position: u64,
    root: String,
    items: u64,
    run: Option<Run<'a>>,
    last_success: Option<Timestamp>,
    last_failure: Option<Timestamp>,
    last_error: &'a str,
    next_attempt: Option<Timestamp>,
    reported: Option<Timestamp>,
    upstream: &'a str,
    connected: bool,
    target_position: u64,
    locale: &'a str,
    settings_version: u64,
    /// What the software update point is to its site: only, source or replica.
    role: &'static str,
    address: &'a str,
    failed_in_a_row: u32,
    received_changes: u64,
    received_bytes: u64,
    content_files: u64,
    content_bytes: u64,
    content_files_to_go: u64,
    content_bytes_to_go: u64,
    content_bytes_per_second: u64,
    content_done_at: Option<Timestamp>,
    content_failing: u64,
    content_quarantined: u64,
    content_waits: &'a str,
    content_received_bytes: u64,
    /// Whether the site holds what the top-level site holds.
    current: bool,
}

#[derive(Debug, Serialize)]
struct Run<'a> {
    id: Option<String>,
    state: &'a str,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    processed: u64,
    total: u64,
    full: bool,
    error: &'a str,
}

/// Every site of the hierarchy, parents before children.
pub fn sites(hierarchy: &Hierarchy) -> Vec<Site<'_>> {
    let order = hierarchy.in_tree_order().into_iter();
    order.map(|(_, report)| site(hierarchy, report)).collect()
}

/// One site.
pub fn site<'a>(hierarchy: &Hierarchy, report: &'a v1::SiteReport) -> Site<'a> {
    Site {
        site_code: &report.site_code,
        site_kind: &report.site_kind,
        parent: &report.parent,
        sequence: report.sequence,
        version: &report.version,
        epoch: uuid(&report.epoch),
        position: report.position,
        verified_position: report.verified_position,
        root: hex(&report.root),
        items: report.items,
        run: report.run.as_ref().map(|run| Run {
            id: uuid(&run.id),
            state: &run.state,
            started: time(run.started.as_ref()),
            finished: time(run.finished.as_ref()),
            processed: run.processed,
            total: run.total,
            full: run.full,
            error: &run.error,
        }),
        last_success: time(report.last_success.as_ref()),
        last_failure: time(report.last_failure.as_ref()),
        last_error: &report.last_error,
        next_attempt: time(report.next_attempt.as_ref()),
        reported: time(report.reported.as_ref()),
        upstream: &report.upstream,
        connected: report.connected,
        target_position: report.target_position,
        locale: &report.locale,
        settings_version: report.settings_version,
        role: hierarchy.role(report).name(),
        address: &report.address,
        failed_in_a_row: report.failed_in_a_row,
        received_changes: report.received_changes,
        received_bytes: report.received_bytes,
        content_files: report.content_files,
        content_bytes: report.content_bytes,
        content_files_to_go: report.content_files_to_go,
        content_bytes_to_go: report.content_bytes_to_go,
        content_bytes_per_second: report.content_bytes_per_second,
        content_done_at: time(report.content_done_at.as_ref()),
        content_failing: report.content_failing,
        content_quarantined: report.content_quarantined,
        content_waits: &report.content_waits,
        content_received_bytes: report.content_received_bytes,
        current: hierarchy.behind(report) == Behind::Current,
    }
}

/// A status message with its text.
#[derive(Debug, Serialize)]
pub struct StatusEntry<'a> {
    site_code: &'a str,
    number: u64,
    time: Option<Timestamp>,
    status_id: u32,
    run: Option<String>,
    severity: &'a str,
    text: &'a str,
    cause: &'a str,
    cure: &'a str,
    inserts: &'a [String],
}

/// One status message.
pub fn status_entry(entry: &v1::StatusEntry) -> Option<StatusEntry<'_>> {
    let message = entry.message.as_ref()?;
    Some(StatusEntry {
        site_code: &message.site_code,
        number: message.number,
        time: time(message.time.as_ref()),
        status_id: message.status_id,
        run: uuid(&message.run),
        severity: &entry.severity,
        text: &entry.text,
        cause: &entry.cause,
        cure: &entry.cure,
        inserts: &message.inserts,
    })
}

/// An update as a list shows it.
#[derive(Debug, Serialize)]
pub struct Update<'a> {
    update_id: &'a str,
    revision: u32,
    title: &'a str,
    kb_article_ids: &'a [String],
    classification: &'a str,
    products: &'a [String],
    update_type: &'a str,
    publication_state: &'a str,
    creation_date: Option<Timestamp>,
    msrc_severity: &'a str,
    expired_since: Option<Timestamp>,
    expired_by: Option<&'a str>,
    decision: Option<Decision<'a>>,
}

/// What was decided about an update.
#[derive(Debug, Serialize)]
pub struct Decision<'a> {
    approval: &'static str,
    deadline: Option<Timestamp>,
    revision: u32,
    decided_by: &'a str,
    changed_at: Option<Timestamp>,
}

fn decision(held: &v1::Decision) -> Decision<'_> {
    Decision {
        approval: crate::update::decide::word(held.approval()),
        deadline: time(held.deadline.as_ref()),
        revision: held.revision,
        decided_by: &held.decided_by,
        changed_at: time(held.changed_at.as_ref()),
    }
}

/// The licence terms of an update.
#[derive(Debug, Serialize)]
pub struct Licence<'a> {
    terms: &'a str,
    accepted: bool,
    accepted_by: &'a str,
    accepted_at: Option<Timestamp>,
}

/// One update of a list.
pub fn update(summary: &v1::UpdateSummary) -> Update<'_> {
    Update {
        update_id: &summary.update_id,
        revision: summary.revision,
        title: &summary.title,
        kb_article_ids: &summary.kb_article_ids,
        classification: &summary.classification,
        products: &summary.products,
        update_type: &summary.update_type,
        publication_state: &summary.publication_state,
        creation_date: time(summary.creation_date.as_ref()),
        msrc_severity: &summary.msrc_severity,
        expired_since: time(summary.expired_since.as_ref()),
        expired_by: Some(summary.expired_by.as_str()).filter(|by| !by.is_empty()),
        decision: summary.decision.as_ref().map(decision),
    }
}

/// Everything about an update.
#[derive(Debug, Serialize)]
pub struct Details<'a> {
    #[serde(flatten)]
    summary: Option<Update<'a>>,
    description: &'a str,
    prerequisites: &'a [String],
    bundled: &'a [String],
    supersedes: &'a [String],
    files: Vec<File<'a>>,
    position: u64,
    languages: &'a [String],
    support_url: &'a str,
    cve_ids: &'a [String],
    licence: Option<Licence<'a>>,
    bytes: u64,
    bytes_needed: u64,
    update_file_languages: &'a str,
    texts: Vec<Text<'a>>,
    relations: Vec<Relation<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    document: &'a str,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    name: &'a str,
    size: u64,
    sha1: String,
    sha256: String,
    url: &'a str,
    needed: bool,
    because: &'a str,
    of: &'a str,
}

/// The updates to which an update stands in one relation.
#[derive(Debug, Serialize)]
struct Relation<'a> {
    kind: &'a str,
    updates: Vec<Related<'a>>,
    more: u32,
}

#[derive(Debug, Serialize)]
struct Related<'a> {
    update_id: &'a str,
    revision: u32,
    title: &'a str,
    publication_state: &'a str,
    alternatives: u32,
}

impl<'a> From<&'a v1::Relation> for Relation<'a> {
    fn from(relation: &'a v1::Relation) -> Self {
        let updates = relation.updates.iter().map(|update| Related {
            update_id: &update.update_id,
            revision: update.revision,
            title: &update.title,
            publication_state: &update.publication_state,
            alternatives: update.alternatives,
        });
        Self {
            kind: &relation.kind,
            updates: updates.collect(),
            more: relation.more,
        }
    }
}

#[derive(Debug, Serialize)]
struct Text<'a> {
    language: &'a str,
    title: &'a str,
    description: &'a str,
}

/// One update with everything about it.
pub fn details(answer: &v1::GetUpdateResponse) -> Details<'_> {
    let files = answer.files.iter().map(|file| File {
        name: &file.name,
        size: file.size,
        sha1: hex(&file.sha1),
        sha256: hex(&file.sha256),
        url: &file.url,
        needed: file.needed,
        because: &file.because,
        of: &file.of,
    });
    let texts = answer.texts.iter().map(|text| Text {
        language: &text.language,
        title: &text.title,
        description: &text.description,
    });
    Details {
        summary: answer.summary.as_ref().map(update),
        description: &answer.description,
        prerequisites: &answer.prerequisites,
        bundled: &answer.bundled,
        supersedes: &answer.supersedes,
        files: files.collect(),
        position: answer.position,
        languages: &answer.languages,
        support_url: &answer.support_url,
        cve_ids: &answer.cve_ids,
        licence: answer.licence.as_ref().map(|held| Licence {
            terms: &held.terms,
            accepted: held.accepted,
            accepted_by: &held.accepted_by,
            accepted_at: time(held.accepted_at.as_ref()),
        }),
        bytes: answer.bytes,
        bytes_needed: answer.bytes_needed,
        update_file_languages: &answer.update_file_languages,
        texts: texts.collect(),
        relations: answer.relations.iter().map(Relation::from).collect(),
        document: &answer.document,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{report, three_tiers};

    #[test]
    fn a_site_has_the_names_of_the_proto_file() {
        let hierarchy = three_tiers();
        let site = report("PR1", "primary", "CAS");
        let shown = serde_json::to_string(&super::site(&hierarchy, &site)).unwrap();
        let digest = "01".repeat(32);
        let expected = format!(
            r#"{{"site_code":"PR1","site_kind":"primary","parent":"CAS","sequence":0,"version":"0.1.0","epoch":"07070707-0707-0707-0707-070707070707","position":10,"verified_position":10,"root":"{digest}","items":9,"run":{{"id":"01010101-0101-0101-0101-010101010101","state":"Completed","started":"1970-01-01T00:01:31Z","finished":"1970-01-01T00:01:36Z","processed":0,"total":0,"full":false,"error":""}},"last_success":"1970-01-01T00:01:40Z","last_failure":null,"last_error":"","next_attempt":null,"reported":"1970-01-01T00:01:40Z","upstream":"CAS","connected":true,"target_position":0,"locale":"","settings_version":0,"role":"only","address":"","failed_in_a_row":0,"received_changes":0,"received_bytes":0,"content_files":0,"content_bytes":0,"content_files_to_go":0,"content_bytes_to_go":0,"content_bytes_per_second":0,"content_done_at":null,"content_failing":0,"content_quarantined":0,"content_waits":"","content_received_bytes":0,"current":true}}"#
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_document_is_there_only_when_it_was_asked_for() {
        let mut answer = v1::GetUpdateResponse::default();
        let shown = |answer: &_| serde_json::to_string(&details(answer)).unwrap();
        assert!(!shown(&answer).contains("document"));
        answer.document = "<Update/>".into();
        assert!(shown(&answer).contains(r#""document":"<Update/>""#));
    }
}
