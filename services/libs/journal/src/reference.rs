//! The reference of all status messages, `docs/status-messages.md`, made from the catalogue.

use crate::StatusId;
use crate::status_id::{Entry, Severity};
use std::fmt::Write as _;

/// What the page says first.
const BEGINNING: &str = "\
# Status messages

Every site records what happens to it as numbered status messages. They travel up to the top-level site: `headwater message
list` shows those of all sites, newest first, `--site CODE` those of one; in `wsyncmgr.log` they are the lines with
`STATMSG`. 6700 to 6708 are the numbers of Configuration Manager, with their meaning there; 9000 to 9199 are Headwater's
own. A number never changes its meaning. Words in *italics* stand for what a message names. This page is printed by
`headwater message reference`.

";

/// Names of the inserts ISTR0 to ISTR9, as far as the message has any.
fn inserts(entry: &Entry) -> Vec<String> {
    let said = entry.inserts.trim().trim_end_matches('.');
    let parts = said.split("ISTR").skip(1);
    parts
        .map(|part| {
            let name = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
            name.trim().trim_end_matches(',').replace("  ", " ")
        })
        .collect()
}

/// The sentence, with the names of its inserts.
fn sentence(entry: &Entry) -> String {
    let mut text = entry.text.to_owned();
    for (number, name) in inserts(entry).iter().enumerate() {
        text = text.replace(&format!("{{{number}}}"), &format!("*{name}*"));
    }
    text
}

/// `docs/status-messages.md`.
pub fn markdown() -> String {
    let mut page = String::from(BEGINNING);
    page.push_str("| number | severity | name | message |\n|---|---|---|---|\n");
    for entry in StatusId::ALL.iter().map(|id| id.entry()) {
        let Entry {
            number,
            severity,
            name,
            ..
        } = entry;
        let shown = match severity {
            Severity::Information => number.to_string(),
            Severity::Warning | Severity::Error => format!("[{number}](#{number})"),
        };
        let row = writeln!(
            page,
            "| {shown} | {severity} | {name} | {} |",
            sentence(&entry)
        );
        row.expect("a text takes everything");
    }
    page.push_str("\n## Causes and cures\n");
    let wrong = StatusId::ALL.iter().map(|id| id.entry());
    for entry in wrong.filter(|entry| entry.severity > Severity::Information) {
        let Entry {
            number,
            severity,
            name,
            cause,
            cure,
            ..
        } = entry;
        let told = write!(
            page,
            "\n### <a id=\"{number}\"></a>{number}: {name} ({severity})\n\n> {}\n\n**Cause.** {cause}\n\n**Cure.** {cure}\n",
            sentence(&entry)
        );
        told.expect("a text takes everything");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_insert_is_without_a_name() {
        for id in StatusId::ALL {
            let text = sentence(&id.entry());
            assert!(
                !text.contains('{') && !text.contains("**"),
                "{id:?}: {text}"
            );
        }
    }

    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let page = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../docs/status-messages.md"
        );
        let held = std::fs::read_to_string(page).unwrap();
        assert_eq!(
            held,
            markdown(),
            "write it anew: headwater message reference > docs/status-messages.md"
        );
    }
}
