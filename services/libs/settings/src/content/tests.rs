use super::*;
use crate::languages::Place;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

fn code(text: &str) -> SiteCode {
    text.parse().unwrap()
}

/// CAS, PR1 below it, SE1 below that.
fn sites() -> Sites {
    let place = |parent: Option<&str>| Place {
        parent: parent.map(code),
        locale: None,
    };
    BTreeMap::from([
        (code("CAS"), place(None)),
        (code("PR1"), place(Some("CAS"))),
        (code("SE1"), place(Some("PR1"))),
    ])
}

fn with(changes: &[String]) -> Settings {
    let changes: Vec<_> = changes.iter().map(|text| text.parse().unwrap()).collect();
    Settings::default().with(&changes).unwrap()
}

fn set(changes: &[&str]) -> Settings {
    let changes: Vec<String> = changes.iter().map(|text| (*text).to_owned()).collect();
    with(&changes)
}

fn rolled_out(settings: &Settings) -> RollOut {
    let top = (code("CAS"), None);
    RollOut::new((1, Timestamp::UNIX_EPOCH, "anna"), settings, top, &sites())
}

#[track_caller]
fn refused(changes: &[&str], part: &str) {
    let settings = set(changes);
    let checked = settings.check();
    let checked = checked.and_then(|()| settings.check_sites(&Settings::default(), &sites()));
    let told = checked.unwrap_err().to_string();
    assert!(told.contains(part), "{told}");
}

#[test]
fn limits_are_told() {
    refused(
        &["content.parallel-downloads=0"],
        "the setting content.parallel-downloads: 0 downloads: use 1 to 32",
    );
    refused(
        &["content.maximum-transfer-rate=100000001"],
        "use 1 to 100000000, or 0",
    );
    refused(
        &["site.PR1.content.parallel-downloads=33"],
        "the setting site.PR1.content.parallel-downloads: 33",
    );
}

#[test]
fn a_site_has_what_its_parent_has_or_less() {
    refused(
        &["site.PR1.content.download=immediate"],
        "the setting site.PR1.content.download: its parent CAS has the files later or not at all (deferred)",
    );
    refused(
        &["site.SE1.content.express=true"],
        "its parent PR1 does not have them",
    );
    refused(
        &["site.CAS.content.download=never"],
        "CAS is the top-level site",
    );
    refused(&["site.XXX.content.download=never"], "there is no site XXX");
    let settings = set(&[
        "content.download=immediate",
        "site.PR1.content.download=deferred",
    ]);
    assert_eq!(settings.check_sites(&Settings::default(), &sites()), Ok(()));
    let made = rolled_out(&settings);
    let of = |site: &str, parent: Option<&str>| made.content(code(site), parent.map(code)).download;
    assert_eq!(of("CAS", None), ContentDownload::Immediate);
    assert_eq!(of("PR1", Some("CAS")), ContentDownload::Deferred);
    assert_eq!(of("SE1", Some("PR1")), ContentDownload::Deferred);
    assert_eq!(of("SE9", Some("PR1")), ContentDownload::Deferred);
    let read = RollOut::from_content(&made.to_content().unwrap()).unwrap();
    assert_eq!(read, made);
}

#[test]
fn what_is_in_effect_says_where_it_comes_from() {
    let made = rolled_out(&set(&[
        "content.maximum-transfer-rate=8000",
        "site.PR1.content.download=never",
        "site.PR1.content.window-from=22:00",
    ]));
    let told = |site: &str, parent: &str, name: &str| {
        let effective = made.effective(code(site), Some(code(parent)));
        let found = effective.into_iter().find(|shown| shown.name == name);
        let shown = found.unwrap();
        format!("{} ({})", crate::change::plain(&shown.value), shown.because)
    };
    assert_eq!(
        told("PR1", "CAS", "content.download"),
        "never (site.PR1.content.download)"
    );
    assert_eq!(
        told("SE1", "PR1", "content.download"),
        "never (what its parent PR1 has)"
    );
    assert_eq!(
        told("PR1", "CAS", "content.window-from"),
        "22:00:00 (site.PR1.content.window-from)"
    );
    assert_eq!(
        told("SE1", "PR1", "content.maximum-transfer-rate"),
        "8000 (set for the hierarchy at CAS)"
    );
}

#[test]
fn a_window_may_pass_midnight() {
    let time = |text: &str| text.parse::<Time>().unwrap();
    let content = set(&["content.window-from=22:00", "content.window-to=05:30"]).content;
    for (at, open) in [
        ("22:00", true),
        ("00:00", true),
        ("05:29", true),
        ("05:30", false),
    ] {
        assert_eq!(content.is_open(time(at)), open, "{at}");
    }
    let content = set(&["content.window-from=01:00", "content.window-to=02:00"]).content;
    assert!(content.is_open(time("01:30")) && !content.is_open(time("02:00")));
    assert!(Content::default().is_open(time("13:00")));
    assert_eq!(Content::default().window(), None);
}

#[test]
fn a_rate_is_told_in_bytes_too() {
    assert_eq!(Content::default().bytes_per_second(), None);
    let content = set(&["content.maximum-transfer-rate=8"]).content;
    assert_eq!(content.bytes_per_second(), Some(1_000));
}

#[test]
fn a_section_that_says_nothing_is_not_there() {
    let settings = set(&["site.PR1.update-files=de"]);
    assert!(!settings.to_json().contains("SiteContent"));
    assert!(
        !settings
            .by_name()
            .keys()
            .any(|name| name.starts_with("site.PR1.content"))
    );
}

proptest! {
    #[test]
    fn a_child_never_downloads_more_than_its_parent(
        words in prop::array::uniform3(select(&["never", "deferred", "immediate"][..])),
        express in prop::array::uniform3(any::<bool>()),
    ) {
        let mut changes = Vec::new();
        for (place, section) in ["content", "site.PR1.content", "site.SE1.content"].iter().enumerate() {
            changes.push(format!("{section}.download={}", words[place]));
            changes.push(format!("{section}.express={}", express[place]));
        }
        let settings = with(&changes);
        let made = rolled_out(&settings);
        let top = made.content(code("CAS"), None);
        let middle = made.content(code("PR1"), Some(code("CAS")));
        let low = made.content(code("SE1"), Some(code("PR1")));
        prop_assert!(middle.download <= top.download && low.download <= middle.download);
        prop_assert!(top.express || !middle.express);
        prop_assert!(middle.express || !low.express);
        // What is refused nowhere is in effect as it was chosen.
        if settings.check_sites(&Settings::default(), &sites()).is_ok() {
            prop_assert_eq!(&middle, &settings.site[&code("PR1")].content.over(&settings.content));
            prop_assert_eq!(&low, &settings.site[&code("SE1")].content.over(&settings.content));
        }
    }
}
