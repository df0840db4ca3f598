//! Listing status messages: what is asked for, as a filter, and pages of bounded work.

use catalog::PointId;
use jiff::Timestamp;
use journal::{Severity, StatusMessage, message_of};
use prost::Message as _;
use store::Store;
use store::status::{StatusPlace, StatusRow, StatusSpan};
use tonic::Status;
use uuid::Uuid;
use wire::convert;
use wire::v1::{ListStatusMessagesRequest, ListStatusMessagesResponse, StatusEntry};

/// Messages in one answer, unless told otherwise, and at most.
const DEFAULT_MESSAGES: u32 = 100;
const MAX_MESSAGES: u32 = 5000;
/// Messages that one call looks at, at most, whatever it finds among them.
pub const MOST_LOOKED_AT: usize = 20_000;
/// Bytes of messages after which an answer goes on in another page.
const ENOUGH_BYTES: usize = 8 << 20;
/// Messages that are read at once.
const STEP: u32 = 500;
/// Longest text that is looked for, in bytes.
const MAX_TEXT: usize = 200;

/// Which messages are wanted. Made once from a request; matching one is pure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    site: Option<PointId>,
    least: Severity,
    /// In lower case.
    text: String,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    run: Option<Uuid>,
}

impl Filter {
    fn of(request: &ListStatusMessagesRequest) -> Result<Self, Status> {
        let text = convert::text("text", request.text.clone(), MAX_TEXT)?;
        Ok(Self {
            site: convert::optional_site_code("site_code", &request.site_code)?,
            least: severity(&request.severity)?,
            text: text.to_lowercase(),
            after: convert::optional_timestamp("after", request.after.as_ref())?,
            before: convert::optional_timestamp("before", request.before.as_ref())?,
            run: run(&request.run)?,
        })
    }

    /// Whether messages are walked by time: the other way is by the numbers of one site.
    fn by_time(&self) -> bool {
        self.site.is_none() || self.after.is_some() || self.before.is_some()
    }

    /// Whether a row may be wanted, as far as its columns tell.
    fn admits(&self, row: &StatusRow) -> bool {
        self.site.is_none_or(|site| row.site == site)
            && self.run.is_none_or(|run| row.run == Some(run))
            && self.after.is_none_or(|after| row.time >= after)
            && self.before.is_none_or(|before| row.time < before)
    }

    fn wants(&self, message: &StatusMessage) -> bool {
        message.severity >= self.least
            && (self.text.is_empty()
                || message.text().to_lowercase().contains(&self.text)
                || message.id.to_string().contains(&self.text))
    }
}

fn severity(name: &str) -> Result<Severity, Status> {
    match name {
        "" | "information" => Ok(Severity::Information),
        "warning" => Ok(Severity::Warning),
        "error" => Ok(Severity::Error),
        _ => Err(Status::invalid_argument(
            "the severity is none: use information, warning or error",
        )),
    }
}

fn run(text: &str) -> Result<Option<Uuid>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let run = text.parse();
    let run = run.map_err(|_| Status::invalid_argument("the run is no UUID"))?;
    Ok(Some(run))
}

/// Where a walk goes on: what a page token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    ByTime(StatusPlace),
    ByNumber(u64),
}

impl Place {
    fn of(row: &StatusRow, by_time: bool) -> Self {
        match by_time {
            true => Self::ByTime(StatusPlace::of(row)),
            false => Self::ByNumber(row.number),
        }
    }

    fn token(self) -> String {
        match self {
            Self::ByTime(place) => {
                format!("{}.{}.{}", place.millisecond, place.site, place.number)
            }
            Self::ByNumber(number) => number.to_string(),
        }
    }

    /// The place that a token names, for a walk of that kind.
    fn decode(token: &str, by_time: bool) -> Result<Option<Self>, Status> {
        if token.is_empty() {
            return Ok(None);
        }
        let number = |text: &str| {
            let number = text.parse::<u64>().ok();
            number.filter(|number| i64::try_from(*number).is_ok())
        };
        let parts: Vec<&str> = token.split('.').collect();
        let place = match (by_time, parts.as_slice()) {
            (true, [millisecond, site, of_site]) => {
                let place = millisecond.parse().ok().zip(site.parse().ok());
                let place = place.zip(number(of_site));
                place.map(|((millisecond, site), number)| {
                    Self::ByTime(StatusPlace {
                        millisecond,
                        site,
                        number,
                    })
                })
            }
            (false, [of_site]) => number(of_site).map(Self::ByNumber),
            (true | false, _) => None,
        };
        let unusable = || {
            Status::invalid_argument(
                "the page token is not of a call with these fields: begin without one",
            )
        };
        place.map(Some).ok_or_else(unusable)
    }
}

/// A page of the messages that a request asks for.
///
/// # Errors
/// When the request cannot be meant, or the journal cannot be read.
pub async fn list(
    store: &Store,
    request: ListStatusMessagesRequest,
) -> Result<ListStatusMessagesResponse, Status> {
    let filter = Filter::of(&request)?;
    let by_time = filter.by_time();
    let mut place = Place::decode(&request.page_token, by_time)?;
    let wanted = match request.limit {
        0 => DEFAULT_MESSAGES,
        limit => limit.min(MAX_MESSAGES),
    } as usize;
    let (mut found, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
    let mut read = store.read().await.map_err(crate::internal)?;
    loop {
        let rows = step(&mut read, &filter, place).await;
        let rows = rows.map_err(crate::internal)?;
        let last = rows.len() < STEP as usize;
        let count = rows.len();
        for (at, row) in rows.into_iter().enumerate() {
            place = Some(Place::of(&row, by_time));
            if !filter.admits(&row) {
                continue;
            }
            let message = message_of(row);
            if !filter.wants(&message) {
                continue;
            }
            let shown = entry(message);
            bytes += shown.encoded_len();
            found.push(shown);
            if found.len() == wanted || bytes >= ENOUGH_BYTES {
                let more = !last || at + 1 < count;
                return Ok(answer(found, place.filter(|_| more)));
            }
        }
        looked_at += count;
        if last || looked_at >= MOST_LOOKED_AT {
            return Ok(answer(found, place.filter(|_| !last)));
        }
    }
}

async fn step(
    read: &mut store::Read<'_>,
    filter: &Filter,
    place: Option<Place>,
) -> Result<Vec<StatusRow>, store::Error> {
    match (filter.site, place) {
        (Some(site), None) if !filter.by_time() => read.status_of_site(site, None, STEP).await,
        (Some(site), Some(Place::ByNumber(number))) => {
            read.status_of_site(site, Some(number), STEP).await
        }
        (_, place) => {
            let span = StatusSpan {
                first: filter.after,
                last: filter.before,
            };
            let after = place.and_then(|place| match place {
                Place::ByTime(place) => Some(place),
                Place::ByNumber(_) => None,
            });
            read.status_by_time(span, after, STEP).await
        }
    }
}

fn answer(messages: Vec<StatusEntry>, next: Option<Place>) -> ListStatusMessagesResponse {
    ListStatusMessagesResponse {
        messages,
        next_page_token: next.map(Place::token).unwrap_or_default(),
    }
}

/// A message as it is shown.
pub fn entry(message: StatusMessage) -> StatusEntry {
    StatusEntry {
        severity: message.severity.name().to_owned(),
        text: message.text(),
        cure: message.cure().to_owned(),
        cause: message.cause().to_owned(),
        message: Some(wire::v1::StatusMessage {
            site_code: message.site.to_string(),
            number: message.number,
            time: Some(convert::from_timestamp(message.time)),
            status_id: message.id,
            run: message
                .run
                .map(|run| run.as_bytes().to_vec())
                .unwrap_or_default(),
            inserts: message.inserts,
        }),
    }
}

#[cfg(test)]
mod tests;
