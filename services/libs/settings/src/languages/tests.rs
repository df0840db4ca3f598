use super::*;
use catalog::language::TAGS;
use proptest::prelude::*;
use proptest::sample::select;

fn code(text: &str) -> SiteCode {
    text.parse().unwrap()
}

fn language(tag: &str) -> Language {
    tag.parse().unwrap()
}

/// CAS, PR1 below it with a French locale, SE1 below that with one that is not known.
fn sites() -> Sites {
    let place = |parent: Option<&str>, locale: Option<&str>| Place {
        parent: parent.map(code),
        locale: locale.map(language),
    };
    BTreeMap::from([
        (code("CAS"), place(None, Some("de"))),
        (code("PR1"), place(Some("CAS"), Some("fr"))),
        (code("SE1"), place(Some("PR1"), None)),
    ])
}

fn with(changes: &[&str]) -> Settings {
    let changes: Vec<_> = changes.iter().map(|text| text.parse().unwrap()).collect();
    Settings::default().with(&changes).unwrap()
}

fn effective(settings: &Settings, site: &str) -> String {
    settings.update_files(code(site), &sites()).to_string()
}

#[test]
fn a_choice_is_written_in_every_way_that_people_write_it() {
    for (written, read) in [
        ("languages.update-files=all", LanguageChoice::All),
        (
            "languages.update-files=server-locale",
            LanguageChoice::ServerLocale,
        ),
        (
            "languages.update-files=de, FR,de",
            LanguageChoice::Chosen(vec![language("de"), language("fr")]),
        ),
        (
            r#"languages.update-files=["pt-br"]"#,
            LanguageChoice::Chosen(vec![language("pt-br")]),
        ),
    ] {
        assert_eq!(with(&[written]).languages.update_files, read, "{written}");
    }
    let list = with(&["languages.update-files=de", "languages.update-files+=fr"]);
    assert_eq!(effective(&list, "CAS"), "de, en, fr");
    let text = toml::to_string(&list).unwrap();
    assert_eq!(toml::from_str::<Settings>(&text).unwrap(), list);
    assert_eq!(Settings::from_json(&list.to_json()).unwrap(), list);
    let change = "site.PR1.update-files=dutch".parse().unwrap();
    let error = Settings::default().with(&[change]).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "the setting site.PR1.update-files: \"dutch\" is not a language of WSUS: use ar, bg,"
        ),
        "{error}"
    );
}

#[test]
fn each_site_has_a_part_of_what_its_parent_has() {
    let settings = with(&[]);
    assert_eq!(effective(&settings, "SE1"), "all");
    let settings = with(&[
        "languages.update-files=de,fr,it",
        "site.PR1.update-files=fr",
    ]);
    assert_eq!(effective(&settings, "CAS"), "de, en, fr, it");
    assert_eq!(effective(&settings, "PR1"), "en, fr");
    assert_eq!(effective(&settings, "SE1"), "en, fr");
    // All at a child is all of its parent's.
    let settings = with(&["languages.update-files=de", "site.SE1.update-files=all"]);
    assert_eq!(effective(&settings, "SE1"), "de, en");
    // The locale counts only where the parent has it, and one that is not known stands for English.
    let locale = "site.PR1.update-files=server-locale";
    assert_eq!(effective(&with(&[locale]), "PR1"), "en, fr");
    let settings = with(&[locale, "languages.update-files=de"]);
    assert_eq!(effective(&settings, "PR1"), "en");
    assert_eq!(
        effective(&with(&["site.SE1.update-files=server-locale"]), "SE1"),
        "en"
    );
}

#[track_caller]
fn refused(changes: &[&str], expected: &str) {
    let error = with(changes)
        .check_sites(&Settings::default(), &sites())
        .unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn more_than_the_parent_has_is_refused_and_named() {
    refused(
        &[
            "languages.update-files=de",
            "site.PR1.update-files=de,fr,it",
        ],
        "the setting site.PR1.update-files: fr, it are not among the languages of its parent CAS (de, en): \
         choose a part of those, or give CAS more first",
    );
    // The parent may itself have a part only.
    refused(
        &["site.PR1.update-files=fr", "site.SE1.update-files=de"],
        "the setting site.SE1.update-files: de is not among the languages of its parent PR1 (en, fr): \
         choose a part of those, or give PR1 more first",
    );
    refused(
        &[
            "languages.update-files=de",
            "site.PR1.update-files=server-locale",
        ],
        "the setting site.PR1.update-files: fr is not among the languages of its parent CAS (de, en): \
         choose a part of those, or give CAS more first",
    );
    let fine = with(&["site.PR1.update-files=fr,de", "site.SE1.update-files=all"]);
    assert_eq!(fine.check_sites(&Settings::default(), &sites()), Ok(()));
}

#[test]
fn a_site_that_is_not_there_or_is_the_top_has_no_section() {
    refused(
        &["site.PR9.update-files=fr"],
        "the setting site.PR9.update-files: there is no site PR9 in the hierarchy (headwater site list): take \
         it out with headwater settings reset site.PR9",
    );
    refused(
        &["site.CAS.update-files=fr"],
        "the setting site.CAS.update-files: CAS is the top-level site, and what holds there is \
         languages.update-files: set that",
    );
    let change = "site.pr1.update-files=fr".parse().unwrap();
    let error = Settings::default().with(&[change]).unwrap_err().to_string();
    assert!(error.contains("\"pr1\" is not a site code"), "{error}");
}

proptest! {
    #[test]
    fn no_site_ever_has_more_than_its_parent(
        top in prop::collection::vec(select(&TAGS[..]), 0..5),
        primary in prop::collection::vec(select(&TAGS[..]), 0..5),
        secondary in prop::collection::vec(select(&TAGS[..]), 0..5),
    ) {
        let list = |tags: &[&str]| serde_json::to_string(tags).unwrap();
        let settings = with(&[
            &format!("languages.update-files={}", list(&top)),
            &format!("site.PR1.update-files={}", list(&primary)),
            &format!("site.SE1.update-files={}", list(&secondary)),
        ]);
        let sites = sites();
        let of = |site: &str| settings.update_files(code(site), &sites);
        prop_assert!(of("PR1").beyond(&of("CAS")).is_empty());
        prop_assert!(of("SE1").beyond(&of("PR1")).is_empty());
        // What is not refused is in effect as it was chosen.
        if settings.check_sites(&Settings::default(), &sites).is_ok() {
            let chosen = |tags: &[&str]| Wanted::only(tags.iter().map(|tag| language(tag)));
            prop_assert_eq!(of("PR1"), chosen(&primary));
            prop_assert_eq!(of("SE1"), chosen(&secondary));
        }
    }
}
