//! What children send, checked and cut to its bounds.

use super::STATUS_PER_BATCH;
use journal::status_message::{MAX_INSERT, MAX_INSERTS};
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use store::status::StatusRow;
use tonic::Status;
use trust::statement::SIGNED_STATEMENT_LEN;
use wire::convert;
use wire::v1::{SiteReport, StatusBatch};

/// The field of a batch that holds a message, and that of a message that holds an insert.
const MESSAGES: u32 = 1;
const INSERTS: u32 = 6;
/// Inserts in a batch, at most.
const INSERTS_PER_BATCH: usize = STATUS_PER_BATCH * MAX_INSERTS;

/// Longest error in a report, and longest other text, in bytes.
const MAX_REPORT_ERROR: usize = 8192;
const MAX_REPORT_TEXT: usize = 256;
/// Phases of a run in a report, at most.
const MAX_REPORT_PHASES: usize = 16;

fn clip(text: &mut String, most: usize) {
    let end = text.floor_char_boundary(most);
    text.truncate(end);
}

/// Cuts what a report says to its bounds.
pub(super) fn bound_report(report: &mut SiteReport) {
    clip(&mut report.last_error, MAX_REPORT_ERROR);
    clip(&mut report.content_waits, MAX_REPORT_ERROR);
    for text in [
        &mut report.site_kind,
        &mut report.version,
        &mut report.upstream,
        &mut report.address,
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
        run.phases.truncate(MAX_REPORT_PHASES);
        for phase in &mut run.phases {
            clip(&mut phase.phase, MAX_REPORT_TEXT);
        }
    }
}

/// A batch of status messages from its bytes.
///
/// # Errors
/// When it cannot be read, or holds more than anybody sends: told before any of it takes up room.
pub(super) fn status_batch(bytes: &[u8]) -> Result<StatusBatch, Status> {
    let (mut messages, mut inserts) = (0, 0);
    each(bytes, MESSAGES, |message| {
        messages += 1;
        if messages > STATUS_PER_BATCH {
            return Err(Status::invalid_argument("too many status messages at once"));
        }
        each(message, INSERTS, |_| {
            inserts += 1;
            match inserts > INSERTS_PER_BATCH {
                true => Err(Status::invalid_argument(
                    "the status messages hold too many inserts",
                )),
                false => Ok(()),
            }
        })
    })?;
    StatusBatch::decode(bytes).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("the status messages cannot be read: {error}"))
}

/// Goes through the bytes of each field of one number.
fn each<'b>(
    mut bytes: &'b [u8],
    number: u32,
    mut found: impl FnMut(&'b [u8]) -> Result<(), Status>,
) -> Result<(), Status> {
    while !bytes.is_empty() {
        let (field, kind) = decode_key(&mut bytes).map_err(unreadable)?;
        if field != number || kind != WireType::LengthDelimited {
            skip_field(kind, field, &mut bytes, DecodeContext::default()).map_err(unreadable)?;
            continue;
        }
        let length = decode_varint(&mut bytes).map_err(unreadable)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((content, rest)) = bytes.split_at_checked(length) else {
            return Err(unreadable("they are cut off"));
        };
        found(content)?;
        bytes = rest;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::StatusMessage;

    fn batch(messages: usize, inserts: usize) -> Vec<u8> {
        let message = StatusMessage {
            site_code: "PR1".to_owned(),
            inserts: vec!["x".to_owned(); inserts],
            ..StatusMessage::default()
        };
        let messages = vec![message; messages];
        let through = 7;
        StatusBatch { messages, through }.encode_to_vec()
    }

    #[test]
    fn a_batch_that_somebody_sends_is_read() {
        let read = status_batch(&batch(STATUS_PER_BATCH, MAX_INSERTS)).unwrap();
        assert_eq!((read.messages.len(), read.through), (STATUS_PER_BATCH, 7));
        assert_eq!(status_batch(&[]).unwrap(), StatusBatch::default());
    }

    #[test]
    fn more_than_anybody_sends_is_refused_before_it_is_decoded() {
        let refused = |bytes: &[u8]| status_batch(bytes).unwrap_err().message().to_owned();
        let many = "too many status messages at once";
        assert_eq!(refused(&batch(STATUS_PER_BATCH + 1, 0)), many);
        // Two million messages of nothing, and what does not even end: told at the 501st.
        assert_eq!(refused(&[0x0a, 0].repeat(2_000_000)), many);
        let mut endless = [0x0a, 0].repeat(STATUS_PER_BATCH + 1);
        endless.push(0xff);
        assert_eq!(refused(&endless), many);
        let inserts = "the status messages hold too many inserts";
        assert_eq!(refused(&batch(1, INSERTS_PER_BATCH + 1)), inserts);
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_refused_with_a_sentence() {
        for bytes in [
            &[0x0a, 5, 1][..],
            &[0x0a],
            &[0xff],
            &[0x0b; 200],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            let refused = status_batch(bytes).unwrap_err();
            assert!(
                refused
                    .message()
                    .starts_with("the status messages cannot be read: ")
            );
        }
    }
}
