//! What a parent says to an attached child, checked before anything is done about it.

use crate::address::{Address, MAX_OTHERS};
use crate::moved::{self, Moved};
use crate::site::SiteOrder;
use catalog::PointId;
use sync::SpanId;
use uuid::Uuid;
use wire::convert;
use wire::v1::attach_response::Message;
use wire::v1::{AttachResponse, LogRequest, SyncRequest};

/// Longest message of a parent, in bytes. What it says is short.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The log; none where there is no catalog yet.
    pub epoch: Option<Uuid>,
    /// The position in it.
    pub position: u64,
}

/// How a parent takes a site in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Welcomed {
    /// Where the parent's own verified catalog stands.
    pub place: Place,
    /// Whom to ask when it does not answer any more.
    pub others: Vec<Address>,
    /// The run that led to its place, where that is known.
    pub run: Option<Uuid>,
    /// The span of that run there.
    pub span: Option<SpanId>,
}

/// A request to catch up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// The run that led to it.
    pub run: Option<Uuid>,
    /// The span of that run at the parent. One that cannot be used is none: no trace is worth a synchronization.
    pub span: Option<SpanId>,
    /// What to reach.
    pub target: Place,
    /// Whether everything is to be compared.
    pub full: bool,
}

/// What a parent says after its welcome.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// Nothing that asks for anything.
    Nothing,
    /// Catch up.
    Sync(Order),
    /// End the run.
    Cancel(Uuid),
    /// The status messages up to here are stored.
    Acknowledged(u64),
    /// Lines of a log are wanted, or no more.
    Log(LogRequest),
    /// A site was removed.
    Removed(PointId),
    /// A site is to compare its rows.
    Verify {
        /// The site.
        site: PointId,
        /// The run that it shall become.
        run: Uuid,
    },
    /// A site is to catch up with its parent.
    SyncSite(SiteOrder),
    /// A site is to end its run.
    CancelSite {
        /// The site.
        site: PointId,
        /// Whether those below it are to end theirs, too.
        subtree: bool,
    },
    /// Software update points belong elsewhere from now on.
    Moved(Vec<Moved>),
    /// Whether the parent is attached to its own.
    Uplink(bool),
}

/// Why the link is not kept up with a parent that says something that cannot be meant.
fn nonsense(what: &str, error: impl std::fmt::Display) -> String {
    format!("the parent sent a {what} that cannot be used: {error}")
}

fn place(what: &str, epoch: &[u8], position: u64) -> Result<Place, String> {
    let epoch = convert::optional_uuid("epoch", epoch).map_err(|error| nonsense(what, error))?;
    if i64::try_from(position).is_err() {
        return Err(nonsense(what, "it names a position that there is not"));
    }
    Ok(Place { epoch, position })
}

/// The parent's first message.
///
/// # Errors
/// When it is no welcome, or not a usable one: a sentence for people.
pub(super) fn welcome(first: Option<AttachResponse>) -> Result<Welcomed, String> {
    match first.and_then(|first| first.message) {
        Some(Message::Welcome(welcome)) => {
            let others = welcome.others.iter().take(MAX_OTHERS);
            Ok(Welcomed {
                place: place("welcome", &welcome.epoch, welcome.position)?,
                others: others.filter_map(Address::read).collect(),
                run: named("welcome", &welcome.run)?,
                span: SpanId::read(&welcome.span),
            })
        }
        Some(
            Message::Sync(_)
            | Message::Cancel(_)
            | Message::Acknowledgement(_)
            | Message::LogRequest(_)
            | Message::Removed(_)
            | Message::Verify(_)
            | Message::Moved(_)
            | Message::Uplink(_)
            | Message::SyncSite(_)
            | Message::CancelSite(_),
        )
        | None => Err("the parent did not say welcome".to_owned()),
    }
}

/// A later message.
///
/// # Errors
/// When it cannot be used: a sentence for people.
pub(super) fn said(message: AttachResponse) -> Result<Said, String> {
    let Some(message) = message.message else {
        return Ok(Said::Nothing);
    };
    Ok(match message {
        Message::Welcome(welcome) => {
            place("welcome", &welcome.epoch, welcome.position)?;
            named("welcome", &welcome.run)?;
            Said::Nothing
        }
        Message::Sync(request) => Said::Sync(order(&request)?),
        Message::Cancel(request) => {
            let run = convert::optional_uuid("run", &request.run);
            let run = run.map_err(|error| nonsense("cancel request", error))?;
            Said::Cancel(run.unwrap_or_default())
        }
        Message::Acknowledgement(acknowledgement) => Said::Acknowledged(acknowledgement.through),
        Message::LogRequest(request) => Said::Log(request),
        Message::Removed(removed) => {
            let site = convert::site_code("site_code", &removed.site_code);
            Said::Removed(site.map_err(|error| nonsense("removal", error))?)
        }
        Message::Verify(request) => {
            let bad = |error| nonsense("request to verify", error);
            Said::Verify {
                site: convert::site_code("site_code", &request.site_code).map_err(bad)?,
                run: convert::uuid("run", &request.run).map_err(bad)?,
            }
        }
        Message::SyncSite(request) => {
            let bad = |error| nonsense("request to synchronize", error);
            Said::SyncSite(SiteOrder {
                site: convert::site_code("site_code", &request.site_code).map_err(bad)?,
                run: convert::uuid("run", &request.run).map_err(bad)?,
                subtree: request.subtree,
                full: request.full,
            })
        }
        Message::CancelSite(request) => {
            let site = convert::site_code("site_code", &request.site_code);
            Said::CancelSite {
                site: site.map_err(|error| nonsense("request to cancel", error))?,
                subtree: request.subtree,
            }
        }
        Message::Moved(sites) => {
            Said::Moved(moved::read(&sites).map_err(|error| nonsense("move", error))?)
        }
        Message::Uplink(uplink) => Said::Uplink(uplink.attached),
    })
}

/// The run that something is about, if one is named.
fn named(what: &str, run: &[u8]) -> Result<Option<Uuid>, String> {
    let run = convert::optional_uuid("run", run).map_err(|error| nonsense(what, error))?;
    Ok(run.filter(|run| !run.is_nil()))
}

fn order(request: &SyncRequest) -> Result<Order, String> {
    const WHAT: &str = "sync request";
    Ok(Order {
        run: named(WHAT, &request.run)?,
        span: SpanId::read(&request.span),
        target: place(WHAT, &request.epoch, request.target_position)?,
        full: request.full,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use testkit::Door;
    use testkit::mutate::{cuts, damage};
    use wire::v1::{
        CancelRequest, CancelSiteRequest, MovedSites, PointAddress, Removed, StatusAcknowledgement,
        SyncSiteRequest, Uplink, VerifyRequest, Welcome,
    };

    /// Mutants of one message, beside its cuts.
    const DAMAGED: usize = 1_500;

    /// Something of every kind.
    fn everything() -> Vec<Message> {
        let (run, epoch) = (vec![9; 16], vec![7; 16]);
        vec![
            Message::Welcome(Welcome {
                version: "0.1.0".to_owned(),
                site_code: "CAS".to_owned(),
                epoch: epoch.clone(),
                position: 12,
                others: vec![PointAddress {
                    site_code: "PR1-2".to_owned(),
                    url: "https://pr1-2:8540".to_owned(),
                }],
                run: run.clone(),
                span: vec![8; 8],
            }),
            Message::Sync(SyncRequest {
                run: run.clone(),
                epoch,
                target_position: 12,
                full: true,
                span: vec![8; 8],
            }),
            Message::Cancel(CancelRequest { run: run.clone() }),
            Message::Acknowledgement(StatusAcknowledgement { through: 1 << 40 }),
            Message::LogRequest(LogRequest {
                request: 3,
                site_code: "SE1".to_owned(),
                last: u32::MAX,
                follow: true,
                stop: false,
            }),
            Message::Removed(Removed {
                site_code: "SE1".to_owned(),
            }),
            Message::Verify(VerifyRequest {
                run: run.clone(),
                site_code: "SE1".to_owned(),
            }),
            Message::SyncSite(SyncSiteRequest {
                run,
                site_code: "SE1".to_owned(),
                subtree: true,
                full: true,
            }),
            Message::CancelSite(CancelSiteRequest {
                site_code: "SE1".to_owned(),
                subtree: true,
            }),
            Message::Moved(MovedSites {
                sites: vec![wire::v1::Moved {
                    site_code: "SE1".to_owned(),
                    site_kind: "secondary".to_owned(),
                    parent: "PR1-2".to_owned(),
                    parent_url: "https://pr1-2:8540".to_owned(),
                    key_hash: vec![5; 32],
                }],
            }),
            Message::Uplink(Uplink { attached: true }),
        ]
    }

    fn response(message: Message) -> AttachResponse {
        AttachResponse {
            message: Some(message),
        }
    }

    #[test]
    fn damaged_words_of_a_parent_are_refused_with_a_sentence_or_mean_something() {
        let mut door = Door::new("words of a parent");
        for (seed, good) in (0..).zip(everything()) {
            let good = response(good).encode_to_vec();
            for mutant in cuts(&good).chain(damage(&good, seed, DAMAGED)) {
                door.knock(&mutant, |bytes| {
                    let message = AttachResponse::decode(bytes).map_err(|e| e.to_string())?;
                    // Whatever is taken is within what the rest of the program can hold.
                    match said(message.clone())? {
                        Said::Sync(order) => assert!(order.target.position <= i64::MAX as u64),
                        Said::Nothing
                        | Said::Cancel(_)
                        | Said::Acknowledged(_)
                        | Said::Log(_)
                        | Said::Removed(_)
                        | Said::Verify { .. }
                        | Said::SyncSite(_)
                        | Said::CancelSite { .. }
                        | Said::Moved(_)
                        | Said::Uplink(_) => {}
                    }
                    welcome(Some(message)).map(drop)
                });
            }
        }
        door.close(10_000);
    }

    #[test]
    fn a_conversation_begins_with_a_welcome() {
        for message in everything().split_off(1) {
            let refused = welcome(Some(response(message))).unwrap_err();
            assert_eq!(refused, "the parent did not say welcome");
        }
        assert!(welcome(None).is_err());
        let first = everything().swap_remove(0);
        let Welcomed {
            place,
            others,
            run,
            span,
        } = welcome(Some(response(first))).unwrap();
        assert_eq!((others.len(), run), (1, Some(Uuid::from_bytes([9; 16]))));
        assert_eq!(span, SpanId::read(&[8; 8]));
        assert_eq!(
            (place.epoch, place.position),
            (Some(Uuid::from_bytes([7; 16])), 12)
        );
    }

    #[test]
    fn a_position_beyond_all_positions_is_refused() {
        let request = SyncRequest {
            target_position: 1 << 63,
            ..SyncRequest::default()
        };
        let refused = said(response(Message::Sync(request))).unwrap_err();
        assert_eq!(
            refused,
            "the parent sent a sync request that cannot be used: it names a position that there is not"
        );
    }
    #[test]
    fn a_span_that_is_none_is_passed_over_and_the_request_counts() {
        for span in [vec![], vec![0; 8], vec![7; 16], vec![7; 200_000]] {
            let request = SyncRequest {
                run: vec![9; 16],
                target_position: 12,
                span,
                ..SyncRequest::default()
            };
            let order = order(&request).unwrap();
            assert_eq!((order.span, order.target.position), (None, 12));
        }
    }
}
