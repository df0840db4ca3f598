//! Which files one update needs, as the verified catalog says.

use catalog::approval::{Approval, Record};
use catalog::document::{self, PublicationState, Update};
use catalog::header::RevisionHeader;
use catalog::needed::{Subject, Walk, Wants};
use catalog::{RevisionId, UpdateId, codec};
use store::needs::ContentPlan;
use store::{Error, Read};

/// A revision as it is read for its files.
struct Document {
    update: Update,
    header: RevisionHeader,
}

/// Which files an update needs. One that is not in the catalog, or is a category, needs none.
pub(super) async fn plan(
    read: &mut Read<'_>,
    id: UpdateId,
    record: Option<&Record>,
    expired: bool,
    wants: &Wants,
) -> Result<ContentPlan, Error> {
    let nothing = ContentPlan {
        update: id,
        files: Vec::new(),
        awaited: Vec::new(),
    };
    let rows = read.revisions_of(id, false).await?;
    let Some(newest) = rows.first() else {
        return Ok(nothing);
    };
    let Ok(header) = RevisionHeader::from_bytes(&newest.header) else {
        return Ok(nothing);
    };
    if header.is_configuration() {
        return Ok(nothing);
    }
    let subject = Subject {
        newest: newest.id,
        explicitly_deployable: header.explicitly_deployable,
        is_expired: expired || header.publication_state == PublicationState::Expired,
        approval: record.map_or(Approval::NotApproved, |record| record.approval),
        revision: record.map_or(0, |record| record.revision),
    };
    let mut walk = Walk::new(&subject, wants);
    while let Some(revision) = walk.next_revision() {
        let found = read_document(read, revision).await?;
        let found = found.as_ref();
        walk.take(found.map(|found| (&found.update, found.header.file_locations.as_slice())));
    }
    let plan = walk.finish();
    Ok(ContentPlan {
        files: plan.files.into_values().collect(),
        awaited: plan.awaited,
        ..nothing
    })
}

/// A revision; none where it is not there, or cannot be read: a repair brings it again.
async fn read_document(read: &mut Read<'_>, id: RevisionId) -> Result<Option<Document>, Error> {
    let Some(row) = read.revision(id).await? else {
        return Ok(None);
    };
    let header = RevisionHeader::from_bytes(&row.header).map_err(|error| error.to_string());
    let text = codec::decompress(&row.document).map_err(|error| error.to_string());
    let parsed = text
        .and_then(|text| document::parse(&text).map_err(|error| error.to_string()))
        .and_then(|update| {
            Ok(Document {
                update,
                header: header?,
            })
        });
    match parsed {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            tracing::warn!(revision = %id, error, "its files are not known");
            Ok(None)
        }
    }
}
