//! What is set for single sites: their languages of update files.

use super::asked::{Asked, Pairs, Wrong, value};
use settings::Settings;
use settings::change::plain;

/// Sites that the form shows. More are set by the verbs.
const MOST_SITES: usize = 200;
/// The name of the fields for a site that has nothing of its own yet.
const NEW: &str = "new-site";

/// A site with languages of its own.
pub struct SiteRow {
    pub code: String,
    /// Name of the field.
    pub name: String,
    pub languages: String,
    pub problem: Option<String>,
}

/// The form.
pub struct Form {
    pub rows: Vec<SiteRow>,
    /// Sites that are not shown.
    pub more: usize,
    pub new_code: String,
    pub new_languages: String,
    pub new_problem: Option<String>,
}

fn field(code: &str) -> String {
    format!("site.{code}.update-files")
}

/// Codes of the sites that have languages of their own, and those.
fn held(settings: &Settings) -> Vec<(String, String)> {
    let sites = settings.site.iter();
    let sites = sites.filter_map(|(code, section)| {
        let languages = serde_json::to_value(section.update_files.as_ref()?).ok()?;
        Some((code.to_string(), plain(&languages)))
    });
    sites.collect()
}

impl Form {
    /// The form of what is set; of what was typed where there is something.
    pub fn new(settings: &Settings, typed: Option<&Pairs>, wrong: &[Wrong]) -> Self {
        let held = held(settings);
        let rows = held.iter().take(MOST_SITES).map(|(code, languages)| {
            let name = field(code);
            SiteRow {
                languages: typed
                    .map_or(languages.as_str(), |pairs| value(pairs, &name))
                    .to_owned(),
                problem: Wrong::of(wrong, &format!("site.{code}")),
                code: code.clone(),
                name,
            }
        });
        let text = |part: &str| {
            let typed = typed.map(|pairs| value(pairs, &format!("{NEW}.{part}")));
            typed.unwrap_or_default().to_owned()
        };
        let new_code = text("code");
        let known = held.iter().any(|(code, _)| *code == new_code);
        let of_code = Wrong::of(wrong, &format!("site.{new_code}"));
        Self {
            rows: rows.collect(),
            more: held.len().saturating_sub(MOST_SITES),
            new_problem: Wrong::of(wrong, NEW).or(of_code.filter(|_| !known)),
            new_languages: text("languages"),
            new_code,
        }
    }
}

/// What the form asks for.
pub fn asked(settings: &Settings, pairs: &Pairs) -> Asked {
    let mut asked = Asked::default();
    for (code, languages) in held(settings).into_iter().take(MOST_SITES) {
        let name = field(&code);
        // A field that the form did not have is not given up.
        if !pairs.iter().any(|(held, _)| *held == name) {
            continue;
        }
        match value(pairs, &name) {
            "" => asked.reset.push(format!("site.{code}")),
            typed if typed == languages => {}
            typed => asked.set.push(format!("{name}={typed}")),
        }
    }
    let code = value(pairs, &format!("{NEW}.code")).to_ascii_uppercase();
    let languages = value(pairs, &format!("{NEW}.languages"));
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match (code.is_empty(), languages.is_empty()) {
        (true, true) => {}
        (false, false) if is_code => asked.set.push(format!("{}={languages}", field(&code))),
        (false, true) => asked
            .wrong
            .push(Wrong::new(NEW, "say which languages the site has")),
        (_, false) => {
            let why = "a site code has three letters or digits";
            asked.wrong.push(Wrong::new(NEW, why));
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::change::Assignment;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn held_here() -> Settings {
        let set: Vec<Assignment> = ["site.PR1.update-files=de,fr", "site.SE1.update-files=de"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        Settings::default().with(&set).unwrap()
    }

    #[test]
    fn sites_get_languages_and_give_them_up() {
        let settings = held_here();
        let form = Form::new(&settings, None, &[]);
        let shown: Vec<_> = form
            .rows
            .iter()
            .map(|row| (&*row.code, &*row.languages))
            .collect();
        assert_eq!(shown, [("PR1", "de, fr"), ("SE1", "de")]);
        let untouched = pairs(&[
            ("site.PR1.update-files", "de, fr"),
            ("site.SE1.update-files", "de"),
            ("new-site.code", ""),
            ("new-site.languages", ""),
        ]);
        assert!(asked(&settings, &untouched).is_empty());
        let typed = pairs(&[
            ("site.PR1.update-files", "de"),
            ("site.SE1.update-files", ""),
            ("new-site.code", "pr2"),
            ("new-site.languages", "server-locale"),
        ]);
        let asked = asked(&settings, &typed);
        assert_eq!(
            asked.set,
            [
                "site.PR1.update-files=de",
                "site.PR2.update-files=server-locale"
            ]
        );
        assert_eq!(asked.reset, ["site.SE1"]);
        let mut changes: Vec<Assignment> =
            asked.set.iter().map(|text| text.parse().unwrap()).collect();
        changes.extend(asked.reset.iter().map(|name| Assignment::reset(name)));
        let after = settings.with(&changes).unwrap();
        let codes: Vec<String> = after.site.keys().map(ToString::to_string).collect();
        assert_eq!(codes, ["PR1", "PR2"]);
    }

    #[test]
    fn a_site_that_is_none_stays_typed_with_the_reason() {
        let settings = held_here();
        for (code, languages) in [("PR", "de"), ("", "de"), ("PR2", "")] {
            let typed = pairs(&[("new-site.code", code), ("new-site.languages", languages)]);
            let refused = asked(&settings, &typed);
            assert_eq!(refused.wrong.len(), 1, "{code} {languages}");
            let form = Form::new(&settings, Some(&typed), &refused.wrong);
            assert_eq!((&*form.new_code, &*form.new_languages), (code, languages));
            assert!(form.new_problem.is_some());
        }
        // What the site says of it stands there, too.
        let told = Wrong::told("the setting site.XX9: there is no site XX9 in the hierarchy");
        let typed = pairs(&[("new-site.code", "XX9"), ("new-site.languages", "de")]);
        assert!(
            Form::new(&settings, Some(&typed), &told)
                .new_problem
                .is_some()
        );
    }
}
