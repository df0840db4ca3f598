//! Sites that were away: stopped, or cut off from their parent.

use crate::documents::generate;
use std::collections::BTreeMap;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};

/// Numbers of the status messages at the central site, by the site that they are of.
pub async fn numbers(hierarchy: &Hierarchy) -> Result<BTreeMap<String, Vec<u64>>, String> {
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for entry in hierarchy.messages("").await? {
        let message = entry.message.ok_or("an entry without its message")?;
        numbers
            .entry(message.site_code)
            .or_default()
            .push(message.number);
    }
    numbers
        .values_mut()
        .for_each(|numbers| numbers.sort_unstable());
    Ok(numbers)
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_that_were_away_catch_up_by_themselves_and_their_story_arrives_once() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(400)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("PR2", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.join("SE2", "secondary", "PR1").await;
    hierarchy.synchronize().await;

    // SE2 is switched off, PR2 too; SE1 runs, but its link is cut.
    hierarchy.stop("SE2").await;
    hierarchy.kill("PR2");
    hierarchy.cut("PR1");
    until("all three are away", LONG, || async {
        let sites = hierarchy.sites().await?;
        let away = ["SE1", "SE2", "PR2"]
            .iter()
            .all(|code| !sites[*code].connected);
        away.then_some(()).ok_or_else(|| format!("{sites:?}"))
    })
    .await;
    let away = ["SE1", "SE2", "PR2"];
    for _ in 0..2 {
        hierarchy.evolve().await;
        let run = hierarchy.request_sync().await;
        hierarchy.converged_without(&run, &away).await;
    }
    until("SE1 has something to tell", LONG, || async {
        let log = hierarchy.log("SE1");
        log.contains("ID=9009").then_some(()).ok_or(log)
    })
    .await;
    let told = numbers(&hierarchy).await.unwrap();

    // They come back. Nobody asks for anything.
    hierarchy.heal("PR1").await;
    hierarchy.start("SE2").await;
    hierarchy.start("PR2").await;
    let run = hierarchy.site(CENTRAL).await.unwrap().run.unwrap().id;
    hierarchy.converged(&run).await;

    // The story of the time between has no gap, and nothing is told twice.
    hierarchy
        .message("SE1", 9009, &["the link to PR1 is down"])
        .await;
    until("every site's messages are complete", LONG, || async {
        let now = numbers(&hierarchy).await?;
        for (site, numbers) in &now {
            let complete = numbers.is_sorted_by(|one, next| *next == one + 1);
            let last_in_log = hierarchy.log(site).matches("STATMSG: ").count();
            if !complete || numbers.len() != last_in_log {
                return Err(format!("{site}: {numbers:?}, {last_in_log} in its log"));
            }
        }
        let grew = now["SE1"].len() > told["SE1"].len();
        grew.then_some(()).ok_or_else(|| format!("{now:?}"))
    })
    .await;
}
