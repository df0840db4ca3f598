//! Walking through status messages from the newest to the oldest, a bounded part at a time. Each step is one range of
//! an index, wherever the walk stands.

use super::{COLUMNS, StatusRow, status_of};
use crate::Read;
use crate::backend::{Value, int};
use crate::error::Error;
use catalog::PointId;
use jiff::Timestamp;

/// Where a walk by time stands: the message that was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusPlace {
    /// Its time, in milliseconds since 1970.
    pub millisecond: i64,
    /// The site that it is about.
    pub site: PointId,
    /// Its number there.
    pub number: u64,
}

impl StatusPlace {
    /// The place of a message.
    pub fn of(row: &StatusRow) -> Self {
        Self {
            millisecond: row.time.as_millisecond(),
            site: row.site,
            number: row.number,
        }
    }
}

/// Between which times a walk goes, in whole milliseconds, both of them included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusSpan {
    /// Nothing before this.
    pub first: Option<Timestamp>,
    /// Nothing after this.
    pub last: Option<Timestamp>,
}

impl Read<'_> {
    /// Messages of all sites by time, the newest first, those of one millisecond by site and number; from behind a
    /// place on, if one is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status_by_time(
        &mut self,
        span: StatusSpan,
        after: Option<StatusPlace>,
        most: u32,
    ) -> Result<Vec<StatusRow>, Error> {
        let mut values: Vec<Value> = Vec::new();
        let mut bind = |value: Value| {
            values.push(value);
            format!("${}", values.len())
        };
        let mut conditions = Vec::new();
        if let Some(first) = span.first {
            let first = bind(first.as_millisecond().into());
            conditions.push(format!("time >= {first}"));
        }
        if let Some(last) = span.last {
            let last = bind(last.as_millisecond().into());
            conditions.push(format!("time <= {last}"));
        }
        if let Some(place) = after {
            let time = bind(place.millisecond.into());
            let site = bind(place.site.as_str().into());
            let number = bind(int(place.number));
            // The first half is what the index is searched by.
            conditions.push(format!(
                "time <= {time} and (time, site, number) < ({time}, {site}, {number})"
            ));
        }
        let most = bind(i64::from(most).into());
        let conditions = match conditions.is_empty() {
            true => String::new(),
            false => format!("where {}", conditions.join(" and ")),
        };
        let sql = format!(
            "select {COLUMNS} from status_message {conditions} \
             order by time desc, site desc, number desc limit {most}"
        );
        let rows = self.connection().fetch(sql, values).await?;
        rows.iter().map(status_of).collect()
    }

    /// Messages of one site by number, the newest first; those before a number, if one is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status_of_site(
        &mut self,
        site: PointId,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<StatusRow>, Error> {
        let before = before.unwrap_or(u64::MAX >> 1);
        let sql = format!(
            "select {COLUMNS} from status_message where site = $1 and number < $2 \
             order by number desc limit $3"
        );
        let values = vec![site.as_str().into(), int(before), i64::from(most).into()];
        let rows = self.connection().fetch(sql, values).await?;
        rows.iter().map(status_of).collect()
    }

    /// The newest messages, newest first, of one site or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status_messages(
        &mut self,
        site: Option<PointId>,
        most: u32,
    ) -> Result<Vec<StatusRow>, Error> {
        match site {
            Some(site) => self.status_of_site(site, None, most).await,
            None => self.status_by_time(StatusSpan::default(), None, most).await,
        }
    }
}
