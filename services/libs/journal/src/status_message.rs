//! One status message: something that happened at one site, numbered there.

use crate::log_line::clip;
use crate::status_id::{Entry, Severity, StatusId};
use catalog::PointId;
use jiff::Timestamp;
use std::fmt::Write as _;
use uuid::Uuid;

/// Most inserts of a message: ISTR0 to ISTR9.
pub const MAX_INSERTS: usize = 10;
/// Longest insert, in bytes.
pub const MAX_INSERT: usize = 2048;

/// Something that happened at a site. (site, number) identifies it in the whole hierarchy: the numbers of
/// a site grow, the first of a new database from the time in milliseconds, so that a site which lost its
/// database repeats none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusMessage {
    /// The site where it happened.
    pub site: PointId,
    /// Its number at that site.
    pub number: u64,
    /// When it happened, by that site's clock.
    pub time: Timestamp,
    /// What happened. A site with a newer version may report what this version does not know;
    /// [`StatusMessage::known`] tells.
    pub id: u32,
    /// How bad the reporting site found it.
    pub severity: Severity,
    /// The sync run that it belongs to.
    pub run: Option<Uuid>,
    /// The component that said it, as in the log.
    pub component: String,
    /// The values for the text, ISTR0 first; at most [`MAX_INSERTS`] of at most [`MAX_INSERT`] bytes.
    pub inserts: Vec<String>,
}

/// Where a message comes from, for its echo in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The machine's full name.
    pub system: &'a str,
    /// The process.
    pub process: u32,
    /// The thread number of the log lines around it.
    pub thread: u32,
    /// The code of the failure (HRESULT), if there is one.
    pub result: Option<u32>,
}

impl StatusMessage {
    /// What the catalogue says about it, if this version knows it.
    pub fn known(&self) -> Option<Entry> {
        StatusId::from_number(self.id).map(StatusId::entry)
    }

    /// Cuts the inserts to their bounds. Done once where a message is made or arrives.
    pub fn bounded(mut self) -> Self {
        self.inserts.truncate(MAX_INSERTS);
        for insert in &mut self.inserts {
            let kept = clip(insert, MAX_INSERT).0.len();
            insert.truncate(kept);
        }
        self
    }

    /// The sentence for people, in one line. A message that this version does not know shows its
    /// inserts.
    pub fn text(&self) -> String {
        let text = match self.known() {
            Some(entry) => fill(entry.text, &self.inserts),
            None => format!(
                "status message {} of a newer version: {}",
                self.id,
                self.inserts.join("; ")
            ),
        };
        crate::log_line::clean_text(&text).into_owned()
    }

    /// Why it happens; empty where nothing is wrong.
    pub fn cause(&self) -> &'static str {
        self.known().map_or("", |entry| entry.cause)
    }

    /// What an operator does about it; empty where there is nothing to do.
    pub fn cure(&self) -> &'static str {
        self.known().map_or("", |entry| entry.cure)
    }

    /// The text of the line that repeats the message in the log, as Configuration Manager writes it.
    pub fn echo(&self, origin: Origin<'_>) -> String {
        let mut line = format!(
            "STATMSG: ID={} SEV={} LEV=M SOURCE=\"SMS Server\" COMP=\"{}\" SYS={} SITE={} PID={} TID={} GMTDATE={}",
            self.id,
            self.severity.letter(),
            quoted(&self.component),
            quoted(origin.system).replace(' ', ""),
            self.site,
            origin.process,
            origin.thread,
            self.time.strftime("%a %b %d %H:%M:%S.%3f %Y"),
        );
        for at in 0..MAX_INSERTS {
            let insert = self.inserts.get(at).map_or("", String::as_str);
            let _ = write!(line, " ISTR{at}=\"{}\"", quoted(insert));
        }
        line.push_str(" NUMATTRS=0");
        if let Some(result) = origin.result {
            let _ = write!(line, " LE=0X{result:x}");
        }
        line
    }
}

fn quoted(text: &str) -> String {
    text.replace('"', "'")
}

/// Puts the inserts in place of `{0}` to `{9}`, in one pass: an insert that contains `{1}` stays as it
/// is. A missing insert leaves nothing.
fn fill(text: &str, inserts: &[String]) -> String {
    let mut filled = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        match after.as_bytes() {
            [b'{', digit @ b'0'..=b'9', b'}', ..] => {
                let insert = inserts.get(usize::from(digit - b'0'));
                filled.push_str(insert.map_or("", String::as_str));
                rest = &after[3..];
            }
            _ => {
                filled.push('{');
                rest = &after[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_line::SYNC_MANAGER;
    use proptest::prelude::*;

    fn message(id: StatusId, inserts: &[&str]) -> StatusMessage {
        StatusMessage {
            site: "CS1".parse().unwrap(),
            number: 1,
            time: "2014-01-16T18:53:52.608Z".parse().unwrap(),
            id: id.number(),
            severity: id.severity(),
            run: None,
            component: SYNC_MANAGER.to_owned(),
            inserts: inserts.iter().map(|insert| (*insert).to_owned()).collect(),
        }
    }

    const ORIGIN: Origin<'_> = Origin {
        system: "cs1site.contoso.com",
        process: 432,
        thread: 3404,
        result: None,
    };

    #[test]
    fn the_echo_is_that_of_configuration_manager() {
        assert_eq!(
            message(StatusId::SyncStarted, &[]).echo(ORIGIN),
            "STATMSG: ID=6701 SEV=I LEV=M SOURCE=\"SMS Server\" COMP=\"SMS_WSUS_SYNC_MANAGER\" \
             SYS=cs1site.contoso.com SITE=CS1 PID=432 TID=3404 GMTDATE=Thu Jan 16 18:53:52.608 2014 \
             ISTR0=\"\" ISTR1=\"\" ISTR2=\"\" ISTR3=\"\" ISTR4=\"\" ISTR5=\"\" ISTR6=\"\" ISTR7=\"\" ISTR8=\"\" \
             ISTR9=\"\" NUMATTRS=0"
        );
        let origin = Origin {
            result: Some(0x8013_150A),
            ..ORIGIN
        };
        let echo = message(StatusId::SyncFailed, &["Source", "a \"quoted\" message"]).echo(origin);
        assert!(echo.contains("ID=6703 SEV=E"));
        assert!(echo.contains("ISTR0=\"Source\" ISTR1=\"a 'quoted' message\" ISTR2=\"\""));
        assert!(echo.ends_with("NUMATTRS=0 LE=0X8013150a"));
    }

    #[test]
    fn the_text_names_what_went_wrong_and_where() {
        let failed = message(StatusId::SyncFailed, &["WSUS", "HTTP 503"]);
        assert_eq!(
            failed.text(),
            "synchronization failed: HTTP 503 (source: WSUS)"
        );
        assert!(!failed.cure().is_empty());
        let tricky = message(StatusId::SyncFailed, &["{1}", "{0}\r\n{2}"]);
        assert_eq!(
            tricky.text(),
            "synchronization failed: {0}~{2} (source: {1})"
        );
    }

    #[test]
    fn a_message_of_a_newer_version_is_still_shown() {
        let newer = StatusMessage {
            id: 9999,
            ..message(StatusId::LinkUp, &["PR1", "x"])
        };
        assert_eq!(newer.known(), None);
        assert_eq!(
            newer.text(),
            "status message 9999 of a newer version: PR1; x"
        );
    }

    #[test]
    fn every_text_uses_all_of_its_inserts_and_no_others() {
        for id in StatusId::ALL {
            let text = id.entry().text;
            let used: Vec<bool> = (0..MAX_INSERTS)
                .map(|at| text.contains(&format!("{{{at}}}")))
                .collect();
            let count = used.iter().filter(|used| **used).count();
            assert!(used[..count].iter().all(|used| *used), "{text}");
            let inserts = vec!["x"; count];
            assert!(
                !message(*id, &inserts).text().contains(['{', '}']),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_inserts_make_one_bounded_line(inserts in proptest::collection::vec(any::<String>(), 0..20)) {
            let inserts: Vec<&str> = inserts.iter().map(String::as_str).collect();
            let message = message(StatusId::SyncFailed, &inserts).bounded();
            prop_assert!(message.inserts.len() <= MAX_INSERTS);
            prop_assert!(!message.text().contains(['\r', '\n']));
            prop_assert_eq!(message.echo(ORIGIN).matches("ISTR9=\"").count().min(1), 1);
        }
    }
}
