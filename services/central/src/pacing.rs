//! When the top-level site tries again by itself, as the settings say: after which wait, and in which windows
//! not. The schedule starts its runs itself.

use settings::Settings;
use std::sync::Arc;
use sync::{EngineHandle, Policy};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What these settings say.
fn policy(settings: &Settings) -> Policy {
    let schedule = settings.schedule.clone();
    Policy {
        retry_first: settings.failures.retry_first(),
        retry_most: settings.failures.retry_most(),
        opens: Some(Arc::new(move |at| schedule.opens(at))),
    }
}

/// Has the engine follow the settings, the present ones at once and all later ones until `stop` is told.
pub fn keep(
    mut settings: watch::Receiver<Arc<Settings>>,
    engine: EngineHandle,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let mut followed = Arc::clone(&settings.borrow_and_update());
    engine.follow(policy(&followed));
    async move {
        loop {
            tokio::select! {
                changed = settings.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            let newest = Arc::clone(&settings.borrow_and_update());
            if (&newest.schedule, &newest.failures) != (&followed.schedule, &followed.failures) {
                engine.follow(policy(&newest));
            }
            followed = newest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_without_settings_tries_again_as_the_defaults_say() {
        let (said, built_in) = (policy(&Settings::default()), Policy::default());
        let waits = |policy: &Policy| (policy.retry_first, policy.retry_most);
        assert_eq!(waits(&said), waits(&built_in));
    }

    #[test]
    fn what_is_set_is_followed() {
        let set = [
            "failures.retry-first-seconds=5",
            "failures.retry-most-minutes=2",
            r#"schedule.blackout=[{"from":"22:00","to":"04:00"}]"#,
        ];
        let set: Vec<_> = set.iter().map(|text| text.parse().unwrap()).collect();
        let said = policy(&Settings::default().with(&set).unwrap());
        assert_eq!(said.retry_first.as_secs(), 5);
        assert_eq!(said.retry_most.as_secs(), 120);
        let at = |text: &str| text.parse().unwrap();
        let opens = said.opens.unwrap();
        assert_eq!(
            opens(at("2026-11-20T23:00:00Z")),
            at("2026-11-21T04:00:00Z")
        );
        assert_eq!(
            opens(at("2026-11-20T12:00:00Z")),
            at("2026-11-20T12:00:00Z")
        );
    }
}
