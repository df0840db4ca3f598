//! Following a synchronization of one site, or of a part of the hierarchy: by the run itself, which tells how it
//! ended at each site that was asked.

use super::tracker::missing;
use super::{Progress, RESUMPTION_PAUSE, RESUMPTIONS, SiteOutcome, Started, TICK, Verdict, Watch};
use crate::connection::{Client, explain, question};
use hierarchy::Hierarchy;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Code, Status, Streaming};
use wire::text::harmless;
use wire::v1::{GetRunRequest, SiteRun, WatchRunRequest, WatchRunResponse};

/// What a run tells of the sites that were asked. Pure.
#[derive(Debug)]
struct Parts {
    asked: Vec<String>,
    parts: BTreeMap<String, SiteRun>,
    /// Whether nothing more comes.
    over: bool,
}

impl Parts {
    fn new(asked: &[String]) -> Self {
        Self {
            asked: asked.to_vec(),
            parts: BTreeMap::new(),
            over: false,
        }
    }

    fn take(&mut self, sites: Vec<SiteRun>) {
        let sites = sites.into_iter();
        self.parts
            .extend(sites.map(|site| (site.site_code.clone(), site)));
    }

    fn outcome(&self, hierarchy: &Hierarchy, code: &str) -> SiteOutcome {
        let part = self.parts.get(code);
        match part.map_or("", |part| part.state.as_str()) {
            "Completed" | "Joined" => return SiteOutcome::Converged,
            "Failed" => {
                let error = part.map_or("", |part| &part.error);
                return SiteOutcome::Failed(harmless(error).into_owned());
            }
            "Cancelled" => return SiteOutcome::Cancelled,
            _ => {}
        }
        let site = hierarchy.site(code);
        match site.and_then(|site| hierarchy.cut_off_at(site)) {
            Some(cut_off) if cut_off == code => SiteOutcome::Offline,
            Some(above) => SiteOutcome::WaitsFor(above.to_owned()),
            None => {
                let parent = site.map_or("", |site| site.parent.as_str());
                let asked = self.asked.iter().any(|asked| asked == parent);
                let failed = self.parts.get(parent).filter(|part| part.state == "Failed");
                match failed {
                    Some(_) if asked => SiteOutcome::WaitsFor(parent.to_owned()),
                    Some(_) | None => SiteOutcome::Pending,
                }
            }
        }
    }

    /// Where the sites stand that were asked.
    fn progress(&self, hierarchy: &Hierarchy) -> Progress {
        let sites: BTreeMap<String, SiteOutcome> = self
            .asked
            .iter()
            .map(|code| (code.clone(), self.outcome(hierarchy, code)))
            .collect();
        let all = |wanted: fn(&SiteOutcome) -> bool| sites.values().all(wanted);
        let verdict = if all(|outcome| *outcome == SiteOutcome::Converged) {
            Some(Verdict::Followed)
        } else if self.over || all(|outcome| *outcome != SiteOutcome::Pending) {
            let missing = missing(sites.clone());
            let cancelled = missing
                .values()
                .all(|outcome| *outcome == SiteOutcome::Cancelled);
            Some(match cancelled {
                true => Verdict::Cancelled,
                false => Verdict::NotFollowed { missing },
            })
        } else {
            None
        };
        Progress {
            sites,
            queued: false,
            verdict,
        }
    }
}

/// What the run tells; a conversation that breaks off is begun again.
struct Told {
    client: Client,
    run: Vec<u8>,
    stream: Option<Streaming<WatchRunResponse>>,
    failures: u32,
}

impl Told {
    async fn dial(&self) -> Result<Streaming<WatchRunResponse>, Status> {
        let id = self.run.clone();
        // No deadline: the stream lasts as long as the run.
        let answer = self.client.runs().watch_run(WatchRunRequest { id }).await?;
        Ok(answer.into_inner())
    }

    /// What it says next; none when it is over. May be dropped and called again.
    async fn next(&mut self) -> anyhow::Result<Option<Vec<SiteRun>>> {
        loop {
            let Some(stream) = &mut self.stream else {
                if self.failures > 1 {
                    tokio::time::sleep(RESUMPTION_PAUSE).await;
                }
                match self.dial().await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(status) => self.broke_off(status)?,
                }
                continue;
            };
            match stream.message().await {
                Ok(Some(response)) => {
                    self.failures = 0;
                    return Ok(Some(response.sites));
                }
                // A site that is stopping ends it, too; one that answers meant it.
                Ok(None) => match self.last().await {
                    Ok(_) => return Ok(None),
                    Err(status) => self.broke_off(status)?,
                },
                Err(status) => self.broke_off(status)?,
            }
        }
    }

    async fn last(&self) -> Result<Vec<SiteRun>, Status> {
        let id = self.run.clone();
        let request = question(GetRunRequest { id });
        let answer = self.client.runs().get_run(request).await?;
        Ok(answer.into_inner().sites)
    }

    fn broke_off(&mut self, status: Status) -> anyhow::Result<()> {
        self.stream = None;
        self.failures += 1;
        let refused = matches!(
            status.code(),
            Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented | Code::NotFound
        );
        if refused || self.failures > RESUMPTIONS {
            return Err(explain(status, &self.client.server, "watching the run"));
        }
        Ok(())
    }
}

/// The reports of some of the sites.
fn only(hierarchy: &Hierarchy, codes: &[String]) -> Hierarchy {
    let reports = codes.iter().filter_map(|code| hierarchy.site(code));
    Hierarchy::new(reports.cloned().collect())
}

/// Follows a synchronization of the sites that were asked to its end, or until `timeout` passed. `show` is called
/// with what is known of them, at every report and several times a second. Answers with those sites.
///
/// # Errors
/// When the site that is asked stays away, or what `show` writes cannot be written.
pub async fn follow_part(
    client: &Client,
    started: &Started,
    timeout: Option<Duration>,
    mut show: impl FnMut(&Hierarchy, &Progress) -> anyhow::Result<()>,
) -> anyhow::Result<(Hierarchy, Verdict)> {
    let mut parts = Parts::new(&started.asked);
    let mut told = Told {
        client: client.clone(),
        run: started.run.clone(),
        stream: None,
        failures: 0,
    };
    let mut watch = Watch::open(client).await?;
    let mut hierarchy = started.before.clone();
    let begun = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = told.next(), if !parts.over => match next? {
                Some(sites) => parts.take(sites),
                None => parts.over = true,
            },
            next = watch.next() => hierarchy = next?,
            _ = tick.tick() => {}
        }
        let progress = parts.progress(&hierarchy);
        let asked = only(&hierarchy, &started.asked);
        show(&asked, &progress)?;
        if let Some(verdict) = progress.verdict {
            return Ok((asked, verdict));
        }
        if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
            return Ok((asked, Verdict::timed_out(progress.sites)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{report, three_tiers};

    fn part(code: &str, state: &str) -> SiteRun {
        SiteRun {
            site_code: code.to_owned(),
            state: state.to_owned(),
            error: match state {
                "Failed" => "disk full".to_owned(),
                _ => String::new(),
            },
            ..SiteRun::default()
        }
    }

    /// What comes of these parts of the sites PR1 and SE1.
    fn verdict(parts: &[(&str, &str)], hierarchy: &Hierarchy, over: bool) -> Option<Verdict> {
        let mut held = Parts::new(&["PR1".to_owned(), "SE1".to_owned()]);
        held.take(
            parts
                .iter()
                .map(|(code, state)| part(code, state))
                .collect(),
        );
        held.over = over;
        held.progress(hierarchy).verdict
    }

    fn not_followed(missing: &[(&str, SiteOutcome)]) -> Option<Verdict> {
        let missing = missing.iter().cloned();
        let missing = missing.map(|(code, outcome)| (code.to_owned(), outcome));
        Some(Verdict::NotFollowed {
            missing: missing.collect(),
        })
    }

    #[test]
    fn it_is_over_when_every_site_that_was_asked_is_done() {
        let sites = three_tiers();
        let done = ("PR1", "Completed");
        assert_eq!(verdict(&[], &sites, false), None);
        assert_eq!(verdict(&[done, ("SE1", "Verifying")], &sites, false), None);
        assert_eq!(
            verdict(&[done, ("SE1", "Joined")], &sites, false),
            Some(Verdict::Followed)
        );
        // Others that follow by themselves are not waited for.
        let others = [done, ("SE1", "Completed"), ("SE2", "Connecting")];
        assert_eq!(verdict(&others, &sites, false), Some(Verdict::Followed));
    }

    #[test]
    fn a_site_that_failed_left_or_was_never_asked_ends_it_too() {
        let sites = three_tiers();
        let failed = ("PR1", SiteOutcome::Failed("disk full".into()));
        let waits = ("SE1", SiteOutcome::WaitsFor("PR1".into()));
        assert_eq!(
            verdict(&[("PR1", "Failed"), ("SE1", "Requested")], &sites, false),
            not_followed(&[failed.clone(), waits]),
            "nobody asks SE1 before PR1 is done"
        );
        assert_eq!(
            verdict(&[("PR1", "Failed"), ("SE1", "Completed")], &sites, false),
            not_followed(&[failed])
        );
        assert_eq!(
            verdict(&[("PR1", "Cancelled"), ("SE1", "Cancelled")], &sites, false),
            Some(Verdict::Cancelled)
        );
        let mut away = three_tiers();
        let mut gone = report("SE1", "secondary", "PR1");
        gone.connected = false;
        away.absorb(vec![gone]);
        let done = ("PR1", "Completed");
        assert_eq!(
            verdict(&[done], &away, false),
            not_followed(&[("SE1", SiteOutcome::Offline)])
        );
        assert_eq!(
            verdict(&[done], &sites, true),
            not_followed(&[("SE1", SiteOutcome::Pending)]),
            "the run is over, and it took no part"
        );
    }
}
