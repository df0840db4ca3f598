use super::*;
use crate::schedule::When;
use catalog::well_known::{CRITICAL_UPDATES, DRIVERS, SECURITY_UPDATES};
use proptest::prelude::*;

fn changed(changes: &[&str]) -> Result<Settings, String> {
    let assignments: Result<Vec<Assignment>, _> = changes.iter().map(|text| text.parse()).collect();
    let assignments = assignments.map_err(|error: ChangeError| error.to_string())?;
    Settings::default()
        .with(&assignments)
        .map_err(|error| error.to_string())
}

#[track_caller]
fn refused(change: &str, part: &str) {
    let why = changed(&[change]).unwrap_err();
    assert!(why.contains(part), "{why}");
}

#[test]
fn a_setting_is_changed_by_its_name() {
    let settings = changed(&[
        "source.parallel-requests=6",
        "proxy.host=proxy.example",
        "proxy.user=123",
        "source.action=upstream-server",
        "schedule.when={\"cron\": \"0 3 * * *\"}",
    ])
    .unwrap();
    assert_eq!(settings.source.parallel_requests, 6);
    assert_eq!(settings.proxy.host.as_deref(), Some("proxy.example"));
    // What reads as a number is text where text belongs.
    assert_eq!(settings.proxy.user.as_deref(), Some("123"));
    assert_eq!(settings.schedule.when, When::Cron("0 3 * * *".to_owned()));
}

#[test]
fn lists_grow_and_shrink_by_their_members() {
    let guid = DRIVERS.id.to_string();
    let more = format!("products.classifications+={}", guid.to_uppercase());
    let settings = changed(&[&more]).unwrap();
    let held = &settings.products.classifications;
    assert!(held.contains(&DRIVERS.id) && held.contains(&CRITICAL_UPDATES.id));
    let less = format!("products.classifications-={guid}");
    let back = settings.with(&[less.parse().unwrap()]).unwrap();
    assert_eq!(back, Settings::default());
    refused(&less, "is not in the list");
    refused("proxy.port+=1", "not a list");
}

#[test]
fn what_there_is_not_is_refused_by_name() {
    refused("proxy.hots=a", "the setting proxy.hots");
    refused("nothing", "NAME=VALUE");
    refused("=1", "NAME=VALUE");
    refused("proxy.port.more=1", "no such setting");
    refused("products.products+=windows", "GUID");
    refused("a.b.c.d.e.f.g.h.i.j=1", "no such setting");
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_those_that_do() {
    refused(
        "proxy.port=99999",
        "the setting proxy.port: it takes 1 to 65535, not 99999",
    );
    refused("proxy.port=http", "it takes 1 to 65535, not http");
    refused("cleanup.days=-1", "it takes 0 to 365 days, not -1");
    refused(
        "proxy.allow-basic-authentication=maybe",
        "it takes true or false, not maybe",
    );
    refused("source.action=wsus", "microsoft-update, upstream-server");
    refused(
        "schedule.when.daily.times=999",
        "a whole number within its limits",
    );
    refused(
        "proxy.port=",
        "it takes 1 to 65535, and cannot be nothing: headwater settings reset proxy.port",
    );
    refused(
        "approvals.rules.x.deadline-days=-1",
        "it takes none, or 0 to 365, not -1",
    );
    refused("site.SE1.content.parallel-downloads=-1", "1 to 32, not -1");
}

#[test]
fn a_form_of_the_schedule_takes_the_place_of_another() {
    let cron = "schedule.when.cron=0 3 * * *";
    let settings = changed(&["schedule.when.daily.times=4", cron]).unwrap();
    assert_eq!(settings.schedule.when, When::Cron("0 3 * * *".to_owned()));
    let daily = [
        "schedule.when.daily.first=03:00",
        "schedule.when.daily.times=4",
    ];
    let When::Daily(daily) = changed(&[&[cron][..], &daily[..]].concat())
        .unwrap()
        .schedule
        .when
    else {
        panic!("not daily");
    };
    assert_eq!((daily.first.hour(), daily.times), (3, 4));
}

#[test]
fn a_list_is_emptied_with_nothing() {
    let settings = changed(&["products.products=", "products.classifications="]).unwrap();
    assert!(settings.products.products.is_empty());
    assert!(settings.products.classifications.is_empty());
}

#[test]
fn an_optional_setting_is_given_up_with_nothing() {
    let settings = changed(&["proxy.host=proxy.example", "proxy.host="]).unwrap();
    assert_eq!(settings.proxy.host, None);
}

#[test]
fn a_reset_brings_the_default_back() {
    let cron = "schedule.when={\"cron\": \"0 3 * * *\"}";
    let settings = changed(&["proxy.port=8080", cron]).unwrap();
    let reset = [Assignment::reset("proxy"), Assignment::reset("schedule")];
    assert_eq!(settings.with(&reset).unwrap(), Settings::default());
    let unknown = settings.with(&[Assignment::reset("proxy.hots")]);
    assert!(unknown.unwrap_err().to_string().contains("proxy.hots"));
}

#[test]
fn a_difference_names_what_changed_and_nothing_else() {
    let old = Settings::default();
    let new = changed(&[
        "proxy.port=8080",
        &format!("products.classifications+={}", DRIVERS.id),
        &format!("products.classifications-={}", SECURITY_UPDATES.id),
        "proxy.host=proxy.example",
    ])
    .unwrap();
    let told: Vec<String> = difference(&old, &new)
        .iter()
        .map(Change::to_string)
        .collect();
    assert_eq!(
        told,
        [
            format!(
                "products.classifications: -{} +{}",
                SECURITY_UPDATES.id, DRIVERS.id
            ),
            "proxy.host: - → proxy.example".to_owned(),
            "proxy.port: 80 → 8080".to_owned(),
        ]
    );
    assert_eq!(difference(&new, &new), []);
}

proptest! {
    #[test]
    fn no_text_breaks_a_change(text in "\\PC{0,60}", name in "[a-z.-]{0,30}", value in "\\PC{0,30}") {
        drop(changed(&[&text]));
        drop(changed(&[&format!("{name}={value}")]));
        drop(changed(&[&format!("{name}+={value}")]));
        drop(Settings::default().with(&[Assignment::reset(&name)]));
    }

    #[test]
    fn what_was_written_is_read_again(port: u16, requests: u8, basic: bool) {
        let settings = changed(&[
            &format!("proxy.port={port}"),
            &format!("source.parallel-requests={requests}"),
            &format!("proxy.allow-basic-authentication={basic}"),
        ]).unwrap();
        prop_assert_eq!(Settings::from_json(&settings.to_json()).unwrap(), settings);
    }
}
