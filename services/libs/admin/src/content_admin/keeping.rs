//! What keeps the update files of a site in line with its catalog and its settings.

use super::ContentAdmin;
use catalog::PointId;
use catalog::language::Wanted;
use catalog::needed::Wants;
use catalog::site::SiteCode;
use content::cleanup::{self, Rule};
use content::limits::{Limits, Window};
use content::plan::{Planner, WantsNow};
use daemon::Ambient;
use jiff::tz::TimeZone;
use link::Site;
use settings::document::Content;
use settings::roll_out::RollOut;
use std::sync::Arc;
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Settings in force here; none where none are known yet.
type Settings = watch::Receiver<Option<Arc<RollOut>>>;

/// Whether files that nothing needs are removed here every hour, or by a clean-up that does other things besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleaningUp {
    /// Every hour.
    ByItself,
    /// With the clean-up of the top-level site.
    WithTheRest,
}

/// Which files the site needs, by its catalog and the settings in force.
pub fn planner(site: &Site, settings: Settings) -> Planner {
    let (code, parent) = (site.code.site(), site.parent.clone());
    let wants_now: WantsNow = Arc::new(move || {
        let parent = parent.borrow().as_ref().map(|parent| parent.point);
        let place = (code, parent.map(PointId::site));
        Some(wants(settings.borrow().as_deref(), place))
    });
    let (store, ambient): (Store, Ambient) = (site.store.clone(), site.ambient.clone());
    Planner::new(store, ambient, wants_now)
}

/// What a site below a parent, or at the top, wants. While nobody changed any settings, none travel, and the defaults
/// hold.
fn wants(settings: Option<&RollOut>, (site, parent): (SiteCode, Option<SiteCode>)) -> Wants {
    settings.map_or_else(
        || Wants {
            policy: Content::default().policy(),
            languages: Wanted::All,
        },
        |settings| Wants {
            policy: settings.content(site, parent).policy(),
            languages: settings.update_files(site, parent).clone(),
        },
    )
}

/// What bounds the fetching of files, by the settings.
fn limits(content: &Content, zone: &str) -> Limits {
    let window = content.window().map(|(from, until)| Window {
        from,
        until,
        // Only names of zones that are known are let into the settings.
        zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC),
    });
    Limits {
        parallel: content.parallel_downloads.into(),
        bytes_per_second: content.bytes_per_second(),
        window,
    }
}

impl ContentAdmin {
    /// Keeps everything in line until `stop` is told, in tasks of the process.
    pub fn keep(&self, cleaning: CleaningUp, stop: &CancellationToken) {
        let planner = self.planner.clone();
        let settings = self.reading.settings.clone();
        self.tasks.spawn(planner.keep(settings, stop.clone()));
        self.tasks.spawn(self.clone().nudge(stop.clone()));
        self.tasks.spawn(self.clone().keep_limits(stop.clone()));
        if cleaning == CleaningUp::ByItself {
            let site = &self.reading.site;
            let this = self.clone();
            let rule = move || this.rule();
            self.tasks.spawn(cleanup::keep(
                site.store.clone(),
                self.content.clone(),
                site.ambient.clone(),
                rule,
                stop.clone(),
            ));
        }
    }

    /// What is chosen about files that nothing needs.
    fn rule(&self) -> Rule {
        let (_, cleanup, _) = self.chosen();
        Rule {
            enabled: cleanup.unneeded_content,
            days: cleanup.content_days,
        }
    }

    /// Has what is fetched looked at when other files are needed.
    async fn nudge(self, stop: CancellationToken) {
        let mut planned = self.planner.watch();
        loop {
            tokio::select! {
                changed = planned.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            self.content.nudge();
        }
    }

    /// Fetches as fast and at the times that the settings say.
    async fn keep_limits(self, stop: CancellationToken) {
        let mut settings = self.reading.settings.clone();
        let mut held = None;
        loop {
            let zone = {
                let settings = settings.borrow_and_update();
                let zone = settings.as_deref().map(|held| &held.settings.schedule);
                zone.map_or_else(String::new, |schedule| schedule.time_zone.clone())
            };
            let (content, ..) = self.chosen();
            let limits = limits(&content, &zone);
            if held.as_ref() != Some(&limits) {
                self.content.set_limits(limits.clone());
                held = Some(limits);
            }
            tokio::select! {
                changed = settings.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_changed_any_settings_the_defaults_hold() {
        let site = |text: &str| text.parse::<SiteCode>().unwrap();
        let wants = wants(None, (site("PR1"), Some(site("CAS"))));
        assert_eq!(wants.policy, Content::default().policy());
        assert_eq!(wants.languages, Wanted::All);
    }

    #[test]
    fn settings_bound_what_is_fetched() {
        let content = Content::default();
        assert_eq!(limits(&content, "UTC"), Limits::default());
        let content = Content {
            parallel_downloads: 2,
            maximum_transfer_rate: 8000,
            window_from: jiff::civil::time(22, 0, 0, 0),
            window_to: jiff::civil::time(5, 0, 0, 0),
            ..content
        };
        let made = limits(&content, "Europe/Berlin");
        assert_eq!(made.parallel, 2);
        assert_eq!(made.bytes_per_second, Some(1_000_000));
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        // In winter Berlin is an hour ahead.
        assert!(made.open(at("2026-01-01T21:30:00Z")));
        assert!(!made.open(at("2026-01-01T04:30:00Z")));
    }
}
