use super::*;
use crate::UpdateId;
use crate::document;
use crate::header::FileLocation;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const NEVER: Policy = policy(Download::Never, false);
const DEFERRED: Policy = policy(Download::Deferred, false);
const IMMEDIATE: Policy = policy(Download::Immediate, false);

const fn policy(download: Download, express: bool) -> Policy {
    Policy {
        download,
        terms: true,
        express,
    }
}

fn update(number: u128) -> UpdateId {
    UpdateId::from_u128(number)
}

fn revision(number: u128, revision: u32) -> RevisionId {
    RevisionId::new(update(number), revision)
}

fn base64(digest: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// What one document of these tests says.
#[derive(Debug, Clone, Default)]
struct Document {
    languages: Vec<&'static str>,
    /// Number, and whether it is an express file.
    files: Vec<(u8, bool)>,
    /// Number and language of a licence text.
    terms: Vec<(u8, &'static str)>,
    bundled: Vec<RevisionId>,
}

impl Document {
    fn parsed(&self, id: RevisionId) -> Update {
        let mut languages = String::new();
        for language in &self.languages {
            write!(languages, "<Language>{language}</Language>").unwrap();
        }
        let mut terms = String::new();
        for (number, language) in &self.terms {
            let digest = base64(&[*number; 20]);
            write!(
                terms,
                r#"<EulaFile Digest="{digest}" DigestAlgorithm="SHA1" FileName="eula.txt" Size="3" Modified="2026-01-01T00:00:00Z" Language="{language}"/>"#
            )
            .unwrap();
        }
        let mut files = String::new();
        for (number, express) in &self.files {
            let digest = base64(&[*number; 20]);
            let kind = if *express { "Express" } else { "SelfContained" };
            write!(
                files,
                r#"<File Digest="{digest}" DigestAlgorithm="SHA1" FileName="a.cab" Size="7" Modified="2026-01-01T00:00:00Z" PatchingType="{kind}"/>"#
            )
            .unwrap();
        }
        let mut bundled = String::new();
        for id in &self.bundled {
            write!(
                bundled,
                r#"<UpdateIdentity UpdateID="{}" RevisionNumber="{}"/>"#,
                id.update_id, id.revision
            )
            .unwrap();
        }
        if !bundled.is_empty() {
            bundled = format!(
                "<Relationships><BundledUpdates>{bundled}</BundledUpdates></Relationships>"
            );
        }
        if !files.is_empty() {
            files = format!("<Files>{files}</Files>");
        }
        let text = format!(
            r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update"><UpdateIdentity UpdateID="{}" RevisionNumber="{}"/><Properties UpdateType="Software" CreationDate="2026-01-01T00:00:00Z" DefaultPropertiesLanguage="en" ExplicitlyDeployable="true">{languages}</Properties><LocalizedPropertiesCollection><LocalizedProperties><Language>en</Language><Title>t</Title></LocalizedProperties>{terms}</LocalizedPropertiesCollection>{bundled}{files}</Update>"#,
            id.update_id, id.revision
        );
        document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

type Catalog = BTreeMap<RevisionId, Document>;

fn plan(catalog: &Catalog, subject: &Subject, policy: Policy, languages: &Wanted) -> Plan {
    let wants = Wants {
        policy,
        languages: languages.clone(),
    };
    let mut walk = Walk::new(subject, &wants);
    while let Some(id) = walk.next_revision() {
        let found = catalog.get(&id).map(|document| document.parsed(id));
        let locations: Vec<FileLocation> = Vec::new();
        walk.take(found.as_ref().map(|update| (update, locations.as_slice())));
    }
    walk.finish()
}

/// The numbers of the files that a plan wants, and why.
fn told(plan: &Plan) -> Vec<(u8, Reason)> {
    let files = plan.files.iter();
    files
        .map(|(sha1, (_, reason))| (sha1[0], *reason))
        .collect()
}

fn subject(approval: Approval, of: u32, newest: u32) -> Subject {
    Subject {
        newest: revision(1, newest),
        explicitly_deployable: true,
        is_expired: false,
        approval,
        revision: of,
    }
}

const INSTALL: Approval = Approval::Install { deadline: None };

/// Update 1 in two revisions, each with a file and licence terms.
fn two_revisions() -> Catalog {
    let document = |number: u8| Document {
        files: vec![(number, false)],
        terms: vec![(number + 100, "en"), (number + 150, "de")],
        ..Document::default()
    };
    BTreeMap::from([(revision(1, 1), document(1)), (revision(1, 2), document(2))])
}

#[test]
fn a_site_needs_the_files_of_the_revision_that_is_approved() {
    let english = Wanted::only([]);
    let catalog = two_revisions();
    let of = |approval, policy| told(&plan(&catalog, &subject(approval, 1, 2), policy, &english));
    let (terms, approved, immediate) = (Reason::LicenceTerms, Reason::Approved, Reason::Immediate);
    assert_eq!(
        of(INSTALL, DEFERRED),
        [(1, approved), (101, terms), (102, terms)]
    );
    assert_eq!(of(INSTALL, NEVER), [(101, terms), (102, terms)]);
    assert_eq!(
        of(INSTALL, IMMEDIATE),
        [(1, approved), (2, immediate), (101, terms), (102, terms)]
    );
    for undecided in [
        Approval::NotApproved,
        Approval::Detection,
        Approval::Removal { deadline: None },
    ] {
        assert_eq!(of(undecided, DEFERRED), [(102, terms)]);
        assert_eq!(of(undecided, IMMEDIATE), [(2, immediate), (102, terms)]);
    }
    assert_eq!(of(Approval::Declined, IMMEDIATE), []);
}

#[test]
fn licence_terms_are_needed_only_where_they_are_wanted() {
    let quiet = Policy {
        terms: false,
        ..IMMEDIATE
    };
    let found = plan(
        &two_revisions(),
        &subject(INSTALL, 1, 2),
        quiet,
        &Wanted::All,
    );
    assert_eq!(
        told(&found),
        [(1, Reason::Approved), (2, Reason::Immediate)]
    );
}

#[test]
fn what_is_expired_is_needed_only_where_it_is_approved() {
    let catalog = two_revisions();
    let of = |approval| {
        let subject = Subject {
            is_expired: true,
            ..subject(approval, 2, 2)
        };
        told(&plan(&catalog, &subject, IMMEDIATE, &Wanted::only([])))
    };
    assert_eq!(of(Approval::NotApproved), []);
    assert_eq!(
        of(INSTALL),
        [(2, Reason::Approved), (102, Reason::LicenceTerms)]
    );
}

#[test]
fn what_is_a_part_of_something_is_needed_only_as_a_part() {
    let catalog = two_revisions();
    let part = Subject {
        explicitly_deployable: false,
        ..subject(Approval::NotApproved, 0, 2)
    };
    assert_eq!(told(&plan(&catalog, &part, IMMEDIATE, &Wanted::All)), []);
}

#[test]
fn a_bundle_needs_the_files_of_its_members_in_the_languages_of_the_site() {
    let member = |number: u8, languages: &[&'static str]| Document {
        languages: languages.to_vec(),
        files: vec![(number, false), (number + 100, true)],
        ..Document::default()
    };
    let catalog = BTreeMap::from([
        (
            revision(1, 1),
            Document {
                bundled: vec![
                    revision(2, 7),
                    revision(3, 1),
                    revision(4, 1),
                    revision(9, 9),
                ],
                ..Document::default()
            },
        ),
        (revision(2, 7), member(2, &["de"])),
        // Not the revision that is bundled.
        (revision(2, 8), member(8, &[])),
        (revision(3, 1), member(3, &["fr"])),
        (revision(4, 1), member(4, &[])),
    ]);
    let german = Wanted::only(["de".parse().unwrap()]);
    let subject = subject(INSTALL, 1, 1);
    let found = plan(&catalog, &subject, DEFERRED, &german);
    assert_eq!(told(&found), [(2, Reason::Approved), (4, Reason::Approved)]);
    assert_eq!(found.awaited, [revision(9, 9)]);
    let express = policy(Download::Deferred, true);
    let found = plan(&catalog, &subject, express, &german);
    let numbers: Vec<u8> = told(&found).into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [2, 4, 102, 104]);
}

#[test]
fn bundles_that_bundle_each_other_come_to_an_end() {
    let catalog = BTreeMap::from([
        (
            revision(1, 1),
            Document {
                bundled: vec![revision(2, 1)],
                files: vec![(1, false)],
                ..Document::default()
            },
        ),
        (
            revision(2, 1),
            Document {
                bundled: vec![revision(1, 1), revision(2, 1)],
                files: vec![(2, false)],
                ..Document::default()
            },
        ),
    ]);
    let found = plan(&catalog, &subject(INSTALL, 1, 1), DEFERRED, &Wanted::All);
    assert_eq!(told(&found), [(1, Reason::Approved), (2, Reason::Approved)]);
}

#[test]
fn a_file_that_is_not_needed_says_why() {
    let document = Document {
        languages: vec!["fr"],
        files: vec![(1, true)],
        ..Document::default()
    };
    let update = document.parsed(revision(1, 1));
    let said = |express| of_file(&update, &update.files[0], &Wanted::only([]), express).to_string();
    assert_eq!(
        said(false),
        "an express installation file, and only full files are wanted here"
    );
    assert_eq!(said(true), "for fr, which is not among the languages here");
}

fn any_document() -> impl Strategy<Value = Document> {
    (
        prop::collection::vec(select(&["en", "de", "fr"][..]), 0..2),
        prop::collection::vec((0_u8..40, any::<bool>()), 0..3),
        prop::collection::vec((40_u8..60, select(&["en", "de"][..])), 0..2),
        prop::collection::vec((1_u128..6, 1_u32..3), 0..3),
    )
        .prop_map(|(languages, files, terms, bundled)| Document {
            languages,
            files,
            terms,
            bundled: bundled
                .into_iter()
                .map(|(id, at)| revision(id, at))
                .collect(),
        })
}

fn any_catalog() -> impl Strategy<Value = Catalog> {
    prop::collection::btree_map(
        (1_u128..6, 1_u32..3).prop_map(|(id, at)| revision(id, at)),
        any_document(),
        1..8,
    )
}

fn any_approval() -> impl Strategy<Value = Approval> {
    select(vec![
        Approval::NotApproved,
        Approval::Detection,
        INSTALL,
        Approval::Declined,
    ])
}

/// The files of everything that some revisions reach, told in another way than the walk goes: by growing the set
/// until it does not grow.
fn reached(catalog: &Catalog, from: RevisionId) -> BTreeSet<RevisionId> {
    let mut all = BTreeSet::from([from]);
    loop {
        let more = all.iter().filter_map(|id| catalog.get(id));
        let more: BTreeSet<_> = more.flat_map(|document| document.bundled.clone()).collect();
        let before = all.len();
        all.extend(more);
        if all.len() == before {
            return all;
        }
    }
}

proptest! {
    #[test]
    fn a_plan_has_the_files_of_all_that_is_reached_and_no_others(
        catalog in any_catalog(),
        approval in any_approval(),
        of in 1_u32..3,
        (express, german, expired) in any::<(bool, bool, bool)>(),
        download in select(&[Download::Never, Download::Deferred, Download::Immediate][..]),
    ) {
        let languages = match german {
            true => Wanted::only(["de".parse().unwrap()]),
            false => Wanted::only([]),
        };
        let subject = Subject { is_expired: expired, ..subject(approval, of, 2) };
        let found = plan(&catalog, &subject, policy(download, express), &languages);
        let mut expected = BTreeSet::new();
        let install = approval == INSTALL;
        let declined = approval == Approval::Declined;
        let files = |id: RevisionId| {
            let all = reached(&catalog, id).into_iter();
            let all = all.filter_map(|id| catalog.get(&id)).filter(|document| {
                document.languages.is_empty() || document.languages.iter().any(|tag| languages.takes(tag))
            });
            let files: Vec<u8> = all
                .flat_map(|document| document.files.iter())
                .filter(|(_, is_express)| express || !is_express)
                .map(|(number, _)| *number)
                .collect();
            files
        };
        let terms = |id: RevisionId| {
            let all = reached(&catalog, id).into_iter().filter_map(|id| catalog.get(&id));
            let terms: Vec<u8> = all
                .flat_map(|document| document.terms.iter())
                .filter(|(_, tag)| languages.takes(tag))
                .map(|(number, _)| *number)
                .collect();
            terms
        };
        if install {
            expected.extend(terms(revision(1, of)));
            if download != Download::Never {
                expected.extend(files(revision(1, of)));
            }
        }
        if !declined && !expired {
            expected.extend(terms(revision(1, 2)));
            if download == Download::Immediate {
                expected.extend(files(revision(1, 2)));
            }
        }
        let numbers: BTreeSet<u8> = told(&found).into_iter().map(|(number, _)| number).collect();
        prop_assert_eq!(numbers, expected);
        for (file, reason) in told(&found) {
            // Licence terms have numbers of their own.
            prop_assert_eq!(reason == Reason::LicenceTerms, file >= 40);
        }
        for id in &found.awaited {
            prop_assert!(!catalog.contains_key(id));
        }
    }

    #[test]
    fn more_is_needed_the_earlier_files_are_downloaded(catalog in any_catalog(), approval in any_approval()) {
        let of = |download| {
            let found = plan(&catalog, &subject(approval, 1, 2), policy(download, true), &Wanted::All);
            found.files.into_keys().collect::<BTreeSet<_>>()
        };
        let (never, deferred, immediate) =
            (of(Download::Never), of(Download::Deferred), of(Download::Immediate));
        prop_assert!(never.is_subset(&deferred) && deferred.is_subset(&immediate));
    }
}
