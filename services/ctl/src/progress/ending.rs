//! How a synchronization ended, for people and for scripts.

use super::outcome_name;
use crate::follow::{Goal, SiteOutcome, Verdict};
use crate::render::text::{count, hex, uuid};
use serde::Serialize;
use std::collections::BTreeMap;
use wire::text::harmless;

/// The end as one line of JSON.
#[derive(Debug, Serialize)]
pub struct Summary {
    event: &'static str,
    outcome: &'static str,
    run: Option<String>,
    position: Option<u64>,
    root: Option<String>,
    error: Option<String>,
    missing: BTreeMap<String, MissingSite>,
}

#[derive(Debug, Serialize)]
struct MissingSite {
    outcome: &'static str,
    error: Option<String>,
}

/// The end for scripts.
pub fn summary(run: &[u8], verdict: &Verdict) -> Summary {
    let none = BTreeMap::new();
    let (outcome, goal, error, missing): (_, Option<&Goal>, _, _) = match verdict {
        Verdict::Converged { goal } => ("converged", Some(goal), None, &none),
        Verdict::TopFailed { error } => ("failed", None, Some(error.clone()), &none),
        Verdict::Cancelled => ("cancelled", None, None, &none),
        Verdict::Incomplete { goal, missing } => ("incomplete", Some(goal), None, missing),
        Verdict::Followed => ("completed", None, None, &none),
        Verdict::NotFollowed { missing } => ("incomplete", None, None, missing),
        Verdict::TimedOut { missing } => ("timed out", None, None, missing),
    };
    let missing = missing.iter().map(|(code, outcome)| {
        let error = match outcome {
            SiteOutcome::Failed(error) => Some(error.clone()),
            SiteOutcome::WaitsFor(parent) => Some(format!("waits for {parent}")),
            SiteOutcome::Pending
            | SiteOutcome::Converged
            | SiteOutcome::Cancelled
            | SiteOutcome::Offline => None,
        };
        let outcome = outcome_name(outcome);
        (code.clone(), MissingSite { outcome, error })
    });
    Summary {
        event: "summary",
        outcome,
        run: uuid(run),
        position: goal.map(|goal| goal.position),
        root: goal.map(|goal| hex(&goal.root)),
        error,
        missing: missing.collect(),
    }
}

/// The end for people, in lines.
pub fn verdict_text(verdict: &Verdict, sites: usize) -> Vec<String> {
    match verdict {
        Verdict::Converged { goal } if sites > 1 => vec![format!(
            "All {sites} sites hold the same catalog at position {}.",
            count(goal.position)
        )],
        Verdict::Converged { goal } => vec![format!(
            "Synchronized: the catalog is at position {}.",
            count(goal.position)
        )],
        Verdict::TopFailed { error } => vec![format!("The top-level site failed: {error}.")],
        Verdict::Cancelled => vec!["The synchronization was cancelled.".into()],
        Verdict::Incomplete { goal, missing } => {
            let head = format!(
                "The top-level site is at position {}, but not every site followed:",
                count(goal.position)
            );
            std::iter::once(head)
                .chain(missing.iter().map(missing_text))
                .collect()
        }
        Verdict::Followed if sites == 1 => {
            vec!["The site has synchronized with its parent.".into()]
        }
        Verdict::Followed => vec![format!(
            "All {sites} sites that were asked have synchronized with their parents."
        )],
        Verdict::NotFollowed { missing } => {
            let head = "Not every site that was asked has synchronized:".to_owned();
            std::iter::once(head)
                .chain(missing.iter().map(missing_text))
                .collect()
        }
        Verdict::TimedOut { missing } => {
            let head =
                "The time is over; the synchronization goes on without being watched:".to_owned();
            std::iter::once(head)
                .chain(missing.iter().map(missing_text))
                .collect()
        }
    }
}

fn missing_text((code, outcome): (&String, &SiteOutcome)) -> String {
    let code = harmless(code);
    match outcome {
        SiteOutcome::Failed(error) => format!("  {code} failed: {error}"),
        SiteOutcome::Offline => {
            format!("  {code} is not connected; it catches up by itself when it is back")
        }
        SiteOutcome::WaitsFor(parent) => format!("  {code} waits for {}", harmless(parent)),
        SiteOutcome::Cancelled => format!("  {code} was cancelled"),
        SiteOutcome::Pending | SiteOutcome::Converged => format!("  {code} is not done yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_to_people_and_to_scripts() {
        let goal = Goal {
            epoch: vec![7; 16],
            position: 5_310,
            root: vec![2; 32],
        };
        let missing = [
            ("PR1".to_owned(), SiteOutcome::Offline),
            ("SE1".to_owned(), SiteOutcome::Failed("disk full".into())),
        ];
        let verdict = Verdict::Incomplete {
            goal: goal.clone(),
            missing: missing.into(),
        };
        let expected = [
            "The top-level site is at position 5,310, but not every site followed:",
            "  PR1 is not connected; it catches up by itself when it is back",
            "  SE1 failed: disk full",
        ];
        assert_eq!(verdict_text(&verdict, 3), expected);
        let shown = serde_json::to_string(&summary(&[1; 16], &verdict)).unwrap();
        let root = "02".repeat(32);
        let expected = format!(
            r#"{{"event":"summary","outcome":"incomplete","run":"01010101-0101-0101-0101-010101010101","position":5310,"root":"{root}","error":null,"missing":{{"PR1":{{"outcome":"offline","error":null}},"SE1":{{"outcome":"failed","error":"disk full"}}}}}}"#
        );
        assert_eq!(shown, expected);
        let done = Verdict::Converged { goal };
        assert_eq!(
            verdict_text(&done, 6),
            ["All 6 sites hold the same catalog at position 5,310."]
        );
    }
}
