//! What will happen because settings changed, in words: an administrator is told before it happens.

use crate::change::Change;
use crate::document::{Settings, SynchronizeAction};

/// What each of the changes brings about, a sentence each.
pub fn of(changes: &[Change], settings: &Settings) -> Vec<String> {
    let changed = |prefix: &str| {
        let mut names = changes.iter().map(|change| change.name.as_str());
        names.any(|name| name.starts_with(prefix))
    };
    let mut told = Vec::new();
    if changed("source.action") || changed("source.url") {
        let url_alone = !changed("source.action");
        told.push(match settings.source.action {
            SynchronizeAction::DoNotSynchronize => {
                "The top-level site is disconnected: the catalog is kept, and grows by imported packages only."
            }
            SynchronizeAction::MicrosoftUpdate if url_alone => {
                "The address is not used while source.action is microsoft-update; source.action=upstream-server \
                 uses it."
            }
            SynchronizeAction::MicrosoftUpdate | SynchronizeAction::UpstreamServer => {
                "The catalog is kept. The next synchronization asks the new source for everything and removes \
                 nothing; full ones after that remove what the new source does not have, if that is little."
            }
        });
    }
    if changed("products.") {
        told.push(
            "The next synchronization asks for what is newly chosen. What is no longer chosen is kept, and \
             no longer kept up to date.",
        );
    }
    if changed("supersedence.") {
        told.push(
            "Superseded updates are looked at anew: those that the rules expire now are flagged as expired at \
             every site, and the flag goes from those that they no longer expire. Nothing is deleted, and \
             approvals stay.",
        );
    }
    if changed("cleanup.") {
        let cleanup = &settings.cleanup;
        told.push(match cleanup.remove_unused_revisions {
            true => {
                "The next clean-up follows the new settings. Revisions that it removes go from every site, and \
                 are not fetched again: headwater cleanup --dry-run says what it would do."
            }
            false => {
                "The next clean-up follows the new settings: headwater cleanup --dry-run says what it would do. \
                 What was declined stays declined until somebody approves it."
            }
        });
    }
    if changed("languages.summary-details") {
        told.push(
            "Titles and descriptions are shown in other languages at every site. Documents are not altered, and \
             nothing is fetched again.",
        );
    }
    let of_site = |part: &str| {
        let mut names = changes.iter().map(|change| change.name.as_str());
        names.any(|name| name.starts_with("site.") && name.contains(part))
    };
    let which = ["download", "licence-terms", "express"];
    if which
        .into_iter()
        .any(|field| changed(&format!("content.{field}")) || of_site(&format!(".content.{field}")))
    {
        told.push(match settings.cleanup.unneeded_content {
            true => {
                "Every site looks anew at which files it needs. What is missing is downloaded; what nothing needs \
                 any more is removed after the days of cleanup.content-days."
            }
            false => {
                "Every site looks anew at which files it needs. What is missing is downloaded; what nothing needs \
                 any more stays, because cleanup.unneeded-content is off."
            }
        });
    }
    if changed("languages.update-files") || of_site(".update-files") {
        told.push(
            "Sites need other files than before: headwater update show says which. A site never has languages \
             that its parent does not have, and English always.",
        );
    }
    if changed("approvals.rules.") {
        told.push(
            "The rules look at updates that arrive from now on. What is here already stays as it was decided; \
             headwater update approve decides about it.",
        );
    }
    let decided = |name: &str| changed(&format!("approvals.{name}"));
    if decided("approve-new-revisions") && !settings.approvals.approve_new_revisions {
        told.push(
            "A new revision of an approved update waits for somebody to approve it; until then the revision \
             before it stays approved.",
        );
    }
    if decided("decline-expired") && !settings.approvals.decline_expired {
        told.push("An approved update that its publisher withdraws stays approved until somebody declines it.");
    }
    if changed("failures.switch-source-after") {
        told.push(match settings.failures.switch_source_after {
            0 => "The synchronization source of a site is switched by hand only.",
            _ => {
                "The synchronization source of a site with several software update points is switched to another \
                 one that is there, when it fails so often in a row. It is not switched back by itself."
            }
        });
    }
    if changed("alerts.") || changed("failures.alert") {
        told.push(
            "What is wrong is looked at anew at once: alerts that are switched off end. One that was raised stays \
             until it is over, also where it would have to last longer by now.",
        );
    }
    if changed("notifications.") {
        told.push(
            "Alerts are told to these receivers from now on; what waits for one that is no longer there is dropped. \
             headwater alert test sends each of them a notification.",
        );
    }
    told.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Assignment, difference};

    /// What is told when settings that stood like this are changed like that.
    #[track_caller]
    fn check(held: &[&str], changes: &[&str], expected: &[&str]) {
        let with = |settings: &Settings, texts: &[&str]| {
            let assignments: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
            settings.with(&assignments as &[Assignment]).unwrap()
        };
        let old = with(&Settings::default(), held);
        let new = with(&old, changes);
        assert_eq!(of(&difference(&old, &new), &new), expected);
    }

    #[test]
    fn a_changed_source_says_what_becomes_of_the_catalog() {
        const KEPT: &str = "The catalog is kept. The next synchronization asks the new source for everything and \
                            removes nothing; full ones after that remove what the new source does not have, if \
                            that is little.";
        const DISCONNECTED: &str = "The top-level site is disconnected: the catalog is kept, and grows by imported \
                                    packages only.";
        const NOT_USED: &str = "The address is not used while source.action is microsoft-update; \
                                source.action=upstream-server uses it.";
        let (a, b) = ("source.url=http://a:8530", "source.url=http://b:8530");
        let (upstream, microsoft) = (
            "source.action=upstream-server",
            "source.action=microsoft-update",
        );
        check(&[], &[upstream, a], &[KEPT]);
        check(&[upstream, a], &[b], &[KEPT]);
        check(&[upstream, a], &[microsoft], &[KEPT]);
        check(&[upstream, a], &[microsoft, b], &[KEPT]);
        check(&[microsoft], &[a], &[NOT_USED]);
        check(&[microsoft, a], &["source.url="], &[NOT_USED]);
        check(
            &[upstream, a],
            &["source.action=do-not-synchronize"],
            &[DISCONNECTED],
        );
        check(&[], &[a], &[DISCONNECTED]);
        check(&[upstream, a], &["source.parallel-requests=2"], &[]);
    }
}
