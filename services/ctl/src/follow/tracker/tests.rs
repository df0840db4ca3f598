use super::*;
use hierarchy::samples::{report, run, three_tiers};

const OURS: u8 = 5;
const ZERO: Duration = Duration::ZERO;

/// A hierarchy of three tiers before the request, and what changed since.
struct Scene {
    hierarchy: Hierarchy,
    tracker: Tracker,
    now: Duration,
}

impl Scene {
    fn new(queued: bool) -> Self {
        let hierarchy = three_tiers();
        let tracker = Tracker::new(&[OURS; 16], queued, &hierarchy);
        Self {
            hierarchy,
            tracker,
            now: ZERO,
        }
    }

    fn change(&mut self, code: &str, change: impl FnOnce(&mut SiteReport)) -> &mut Self {
        let mut site = self.hierarchy.site(code).unwrap().clone();
        change(&mut site);
        self.hierarchy.absorb(vec![site]);
        self
    }

    /// The top-level site completed our run and stands at position 20.
    fn top_done(&mut self) -> &mut Self {
        self.change("CAS", |site| {
            site.run = Some(run(OURS, "Completed"));
            reach(site);
        })
    }

    fn after(&mut self, wait: Duration) -> Progress {
        self.now += wait;
        self.tracker.observe(&self.hierarchy, self.now)
    }

    fn all_follow(&mut self) -> &mut Self {
        for code in ["PR1", "PR2", "SE1", "SE2"] {
            self.change(code, reach);
        }
        self
    }
}

fn reach(site: &mut SiteReport) {
    site.verified_position = 20;
    site.position = 20;
    site.root = vec![2; 32];
}

fn fail(site: &mut SiteReport) {
    site.run = Some(run(OURS, "Failed"));
    site.run.as_mut().unwrap().error = "disk full".into();
}

fn goal() -> Goal {
    Goal {
        epoch: vec![7; 16],
        position: 20,
        root: vec![2; 32],
    }
}

fn missing_of(progress: Progress) -> BTreeMap<String, SiteOutcome> {
    match progress.verdict {
        Some(Verdict::Incomplete { missing, .. }) => missing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_over_when_every_site_holds_what_the_top_level_site_holds() {
    let mut scene = Scene::new(false);
    assert_eq!(
        scene.after(ZERO).verdict,
        None,
        "the run before is not ours"
    );
    assert_eq!(scene.top_done().after(ZERO).verdict, None);
    let verdict = scene.all_follow().after(ZERO).verdict;
    assert_eq!(verdict, Some(Verdict::Converged { goal: goal() }));
}

#[test]
fn a_run_with_nothing_new_is_over_at_once() {
    let mut scene = Scene::new(false);
    scene.change("CAS", |site| site.run = Some(run(OURS, "Completed")));
    assert!(matches!(
        scene.after(ZERO).verdict,
        Some(Verdict::Converged { .. })
    ));
}

#[test]
fn a_queued_request_waits_for_the_run_after_the_present_one() {
    let mut scene = Scene::new(true);
    scene.change("CAS", |site| site.run = Some(run(3, "SyncingUpdates")));
    assert!(scene.after(ZERO).queued);
    scene.change("CAS", |site| site.run = Some(run(3, "Completed")));
    assert_eq!(
        scene.after(ZERO).verdict,
        None,
        "that was the run before ours"
    );
    scene.change("CAS", |site| site.run = Some(run(3, "Failed")));
    assert_eq!(
        scene.after(ZERO).verdict,
        None,
        "its failure is not ours either"
    );
    scene.top_done().all_follow();
    assert!(matches!(
        scene.after(ZERO).verdict,
        Some(Verdict::Converged { .. })
    ));
}

#[test]
fn a_later_run_answers_for_ours_when_ours_went_by_unseen() {
    let mut scene = Scene::new(false);
    scene.change("CAS", |site| site.run = Some(run(9, "SyncingUpdates")));
    assert_eq!(scene.after(ZERO).verdict, None);
    scene.change("CAS", |site| {
        site.run = Some(run(9, "Completed"));
        reach(site);
    });
    scene.all_follow();
    assert!(matches!(
        scene.after(ZERO).verdict,
        Some(Verdict::Converged { .. })
    ));
}

#[test]
fn the_goal_is_taken_when_the_top_level_site_names_it_whole() {
    let mut scene = Scene::new(false);
    scene.top_done().all_follow();
    scene.change("CAS", |site| site.root = Vec::new());
    assert_eq!(scene.after(ZERO).verdict, None);
    let verdict = scene.top_done().after(ZERO).verdict;
    assert_eq!(verdict, Some(Verdict::Converged { goal: goal() }));
}

#[test]
fn a_removed_site_is_not_waited_for() {
    let mut scene = Scene::new(false);
    scene.top_done().all_follow().change("SE2", |site| {
        *site = report("SE2", "secondary", "PR2");
    });
    assert_eq!(scene.after(ZERO).verdict, None);
    let left = scene.hierarchy.in_tree_order().into_iter();
    let left = left.filter(|(_, site)| site.site_code != "SE2");
    scene.hierarchy = Hierarchy::new(left.map(|(_, site)| site.clone()).collect());
    assert!(matches!(
        scene.after(ZERO).verdict,
        Some(Verdict::Converged { .. })
    ));
}

#[test]
fn a_failure_at_the_top_ends_it() {
    let mut scene = Scene::new(false);
    let verdict = scene.change("CAS", fail).after(ZERO).verdict;
    let error = "disk full".to_owned();
    assert_eq!(verdict, Some(Verdict::TopFailed { error }));
}

#[test]
fn a_cancelled_run_is_told_as_cancelled() {
    let mut scene = Scene::new(false);
    scene.change("CAS", |site| site.run = Some(run(OURS, "Cancelled")));
    assert_eq!(scene.after(ZERO).verdict, Some(Verdict::Cancelled));
}

#[test]
fn a_cancel_after_the_top_was_done_is_told_as_cancelled() {
    let mut scene = Scene::new(false);
    scene.top_done().all_follow();
    scene.change("SE1", |site| {
        *site = report("SE1", "secondary", "PR1");
        site.run = Some(run(OURS, "Cancelled"));
    });
    assert_eq!(scene.after(ZERO).verdict, None);
    assert_eq!(
        scene.after(FAILURE_SETTLES).verdict,
        Some(Verdict::Cancelled)
    );
}

#[test]
fn a_failed_site_ends_it_once_the_failure_lasts_and_its_children_wait_for_it() {
    let mut scene = Scene::new(false);
    scene.top_done().change("PR1", fail);
    scene.change("PR2", reach).change("SE2", reach);
    assert_eq!(scene.after(ZERO).verdict, None);
    let missing = missing_of(scene.after(FAILURE_SETTLES));
    let expected = [
        ("PR1".to_owned(), SiteOutcome::Failed("disk full".into())),
        ("SE1".to_owned(), SiteOutcome::WaitsFor("PR1".into())),
    ];
    assert_eq!(missing, BTreeMap::from(expected));
}

#[test]
fn a_failure_that_is_tried_again_at_once_does_not_count() {
    let mut scene = Scene::new(false);
    scene.top_done().all_follow().change("SE2", |site| {
        *site = report("SE2", "secondary", "PR2");
        fail(site);
    });
    assert_eq!(scene.after(ZERO).verdict, None);
    scene.change("SE2", |site| site.run = Some(run(6, "Connecting")));
    assert_eq!(scene.after(FAILURE_SETTLES).verdict, None);
    scene.change("SE2", reach);
    assert!(matches!(
        scene.after(ZERO).verdict,
        Some(Verdict::Converged { .. })
    ));
}

#[test]
fn a_failure_from_before_the_request_does_not_count() {
    let mut hierarchy = three_tiers();
    let mut site = report("SE1", "secondary", "PR1");
    site.run = Some(run(1, "Failed"));
    hierarchy.absorb(vec![site]);
    let tracker = Tracker::new(&[OURS; 16], false, &hierarchy);
    let mut scene = Scene {
        hierarchy,
        tracker,
        now: ZERO,
    };
    scene.top_done();
    for code in ["PR1", "PR2", "SE2"] {
        scene.change(code, reach);
    }
    assert_eq!(scene.after(FAILURE_SETTLES * 10).verdict, None);
    scene.change("SE1", reach);
    assert!(matches!(
        scene.after(ZERO).verdict,
        Some(Verdict::Converged { .. })
    ));
}

#[test]
fn a_site_that_was_offline_all_the_time_is_not_waited_for() {
    let mut scene = Scene::new(false);
    scene.change("PR1", |site| site.connected = false);
    assert_eq!(scene.after(ZERO).verdict, None);
    scene.top_done().change("PR2", reach).change("SE2", reach);
    let missing = missing_of(scene.after(ZERO));
    assert_eq!(missing["PR1"], SiteOutcome::Offline);
    assert_eq!(missing["SE1"], SiteOutcome::WaitsFor("PR1".into()));
}

#[test]
fn a_site_that_loses_its_link_on_the_way_gets_time_to_come_back() {
    let mut scene = Scene::new(false);
    scene.after(ZERO);
    scene.top_done().all_follow().change("SE1", |site| {
        *site = report("SE1", "secondary", "PR1");
        site.connected = false;
    });
    assert_eq!(scene.after(ZERO).verdict, None);
    assert_eq!(scene.after(RECONNECT_GRACE / 2).verdict, None);
    scene.change("SE1", |site| site.connected = true);
    assert_eq!(scene.after(RECONNECT_GRACE).verdict, None, "it is back");
    scene.change("SE1", |site| site.connected = false);
    scene.after(ZERO);
    let missing = missing_of(scene.after(RECONNECT_GRACE));
    assert_eq!(missing["SE1"], SiteOutcome::Offline);
}

#[test]
fn a_site_that_joins_after_the_top_was_done_is_not_waited_for() {
    let mut scene = Scene::new(false);
    scene.top_done().after(ZERO);
    scene.all_follow();
    let mut new = report("SE3", "secondary", "PR1");
    new.verified_position = 0;
    scene.hierarchy.absorb(vec![new]);
    let progress = scene.after(ZERO);
    assert!(matches!(progress.verdict, Some(Verdict::Converged { .. })));
}

#[test]
fn other_content_at_the_same_position_is_a_failure() {
    let mut scene = Scene::new(false);
    scene.top_done().all_follow().change("SE2", |site| {
        site.root = vec![3; 32];
        site.run = Some(run(OURS, "Completed"));
    });
    assert_eq!(
        scene.after(ZERO).verdict,
        None,
        "it may be repairing itself"
    );
    let missing = missing_of(scene.after(FAILURE_SETTLES));
    assert!(matches!(&missing["SE2"], SiteOutcome::Failed(why) if why.contains("differs")));
}

#[test]
fn a_site_that_went_further_counts_as_there() {
    let mut scene = Scene::new(false);
    scene.top_done().all_follow().after(ZERO);
    scene.change("SE1", |site| {
        site.verified_position = 30;
        site.root = vec![8; 32];
    });
    assert!(matches!(
        scene.after(ZERO).verdict,
        Some(Verdict::Converged { .. })
    ));
}

#[test]
fn a_restarted_epoch_counts_by_what_the_top_level_site_holds_now() {
    let mut scene = Scene::new(false);
    scene.top_done().after(ZERO);
    for code in ["CAS", "PR1", "PR2", "SE1", "SE2"] {
        scene.change(code, |site| {
            site.epoch = vec![8; 16];
            site.verified_position = 3;
            site.root = vec![4; 32];
        });
    }
    assert!(matches!(
        scene.after(ZERO).verdict,
        Some(Verdict::Converged { .. })
    ));
}

#[test]
fn a_stand_alone_top_level_site_is_done_when_it_is_done() {
    let hierarchy = Hierarchy::new(vec![report("CAS", "central", "")]);
    let mut tracker = Tracker::new(&[OURS; 16], false, &hierarchy);
    let mut top = report("CAS", "central", "");
    top.run = Some(run(OURS, "Completed"));
    let progress = tracker.observe(&Hierarchy::new(vec![top]), ZERO);
    assert!(matches!(progress.verdict, Some(Verdict::Converged { .. })));
}

#[test]
fn a_timeout_names_who_is_missing() {
    let mut scene = Scene::new(false);
    scene.top_done().change("PR1", reach);
    let progress = scene.after(ZERO);
    let Verdict::TimedOut { missing } = Verdict::timed_out(progress.sites) else {
        panic!("not timed out");
    };
    let names: Vec<_> = missing.keys().map(String::as_str).collect();
    assert_eq!(names, ["PR2", "SE1", "SE2"]);
}
