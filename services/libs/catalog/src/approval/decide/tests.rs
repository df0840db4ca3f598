use super::*;
use crate::document::CategoryType;

const TERMS: Uuid = Uuid::from_u128(0xE01A);

fn now() -> Timestamp {
    "2024-05-14T17:00:00.1234567Z".parse().unwrap()
}

fn subject() -> Subject {
    Subject {
        id: RevisionId::new(UpdateId::from_u128(7), 200),
        update_type: UpdateType::Software,
        explicitly_deployable: true,
        is_uninstallable: true,
        expired: None,
        licence: Licence::None,
        record: None,
    }
}

const INSTALL: Approval = Approval::Install { deadline: None };
const REMOVAL: Approval = Approval::Removal { deadline: None };
const ALL: [Approval; 5] = [
    Approval::NotApproved,
    Approval::Detection,
    INSTALL,
    REMOVAL,
    Approval::Declined,
];

fn by_anna() -> Cause {
    Cause::Person("anna".to_owned())
}

fn try_it(subject: &Subject, wanted: Approval) -> Result<Option<Record>, Refusal> {
    decide(subject, wanted, by_anna(), now())
}

/// The subject after a decision, which has to be one.
#[track_caller]
fn decided(subject: &Subject, wanted: Approval) -> Subject {
    let record = try_it(subject, wanted).unwrap().expect("a change");
    Subject {
        record: Some(record),
        ..subject.clone()
    }
}

#[test]
fn deciding_twice_changes_nothing() {
    let deadline = Some(now());
    for wanted in ALL.into_iter().chain([Approval::Install { deadline }]) {
        let before = decided(&subject(), Approval::Detection);
        let after = match try_it(&before, wanted).unwrap() {
            Some(record) => {
                let stored = Record::from_bytes(&record.to_bytes()).unwrap();
                assert_eq!(stored, record);
                Subject {
                    record: Some(stored),
                    ..before
                }
            }
            None => before,
        };
        assert_eq!(try_it(&after, wanted), Ok(None), "{wanted}");
    }
    assert_eq!(try_it(&subject(), Approval::NotApproved), Ok(None));
}

#[test]
fn a_decision_says_who_made_it_and_when() {
    let record = try_it(&subject(), INSTALL).unwrap().unwrap();
    assert_eq!(record.cause, by_anna());
    assert_eq!(record.changed_at.to_string(), "2024-05-14T17:00:00.123Z");
    assert_eq!(record.revision, 200);
}

#[test]
fn a_deadline_in_the_past_is_kept_as_given() {
    let deadline = Some("2001-01-01T00:00:00Z".parse().unwrap());
    let after = decided(&subject(), Approval::Install { deadline });
    assert_eq!(after.record.unwrap().approval.deadline(), deadline);
}

#[test]
fn categories_detectoids_and_parts_of_bundles_are_not_decided_about() {
    for kind in [
        UpdateType::Category(CategoryType::Product),
        UpdateType::Detectoid,
    ] {
        let subject = Subject {
            update_type: kind,
            ..subject()
        };
        for wanted in &ALL[1..] {
            let id = subject.id.update_id;
            let refusal = Refusal::NotAnUpdate { id, kind };
            assert_eq!(try_it(&subject, *wanted), Err(refusal), "{wanted}");
        }
        assert_eq!(try_it(&subject, Approval::NotApproved), Ok(None));
    }
    let part = Subject {
        explicitly_deployable: false,
        ..subject()
    };
    for wanted in &ALL[1..] {
        let refusal = Refusal::PartOfOthers(part.id.update_id);
        assert_eq!(try_it(&part, *wanted), Err(refusal), "{wanted}");
    }
}

#[test]
fn an_expired_update_is_not_approved_for_install() {
    for (expired, refusal) in [
        (
            Expired::ByPublisher,
            Refusal::ExpiredByPublisher(subject().id.update_id),
        ),
        (
            Expired::BySupersedence,
            Refusal::ExpiredBySupersedence(subject().id.update_id),
        ),
    ] {
        let fresh = Subject {
            expired: Some(expired),
            ..subject()
        };
        assert_eq!(try_it(&fresh, INSTALL), Err(refusal));
        for wanted in [Approval::Detection, REMOVAL, Approval::Declined] {
            assert!(try_it(&fresh, wanted).is_ok(), "{wanted}");
        }
        // What was approved before it expired stays so, and saying it again is not refused.
        let approved = Subject {
            expired: Some(expired),
            ..decided(&subject(), INSTALL)
        };
        assert_eq!(try_it(&approved, INSTALL), Ok(None));
        let later = Approval::Install {
            deadline: Some(now()),
        };
        assert_eq!(try_it(&approved, later), Err(refusal));
    }
}

#[test]
fn licence_terms_are_accepted_before_an_install() {
    let fresh = Subject {
        licence: Licence::NotAccepted(TERMS),
        ..subject()
    };
    let refusal = try_it(&fresh, INSTALL).unwrap_err();
    assert!(refusal.to_string().contains("accept the licence terms"));
    assert!(try_it(&fresh, Approval::Detection).is_ok());

    let record = accept_licence(&fresh, "bert", now()).unwrap().unwrap();
    assert_eq!(record.approval, Approval::NotApproved);
    let accepted = Subject {
        licence: Licence::Accepted(TERMS),
        record: Some(record),
        ..fresh
    };
    assert_eq!(accept_licence(&accepted, "bert", now()), Ok(None));
    // The acceptance outlives every decision.
    let after = decided(&decided(&accepted, INSTALL), Approval::Declined);
    assert_eq!(after.record.unwrap().accepted_licence.unwrap().terms, TERMS);
}

#[test]
fn accepting_licence_terms_leaves_the_approval_at_its_revision() {
    let mut approved = decided(&subject(), INSTALL);
    approved.id.revision = 201;
    approved.licence = Licence::NotAccepted(TERMS);
    let record = accept_licence(&approved, "bert", now()).unwrap().unwrap();
    assert_eq!((record.approval, record.revision), (INSTALL, 200));
    assert_eq!(record.cause, by_anna());
    assert_eq!(record.accepted_licence.unwrap().person, "bert");
    let none = accept_licence(&subject(), "bert", now());
    assert_eq!(none, Err(Refusal::NoLicence(subject().id.update_id)));
}

#[test]
fn what_cannot_be_uninstalled_is_not_approved_for_removal() {
    let fixed = Subject {
        is_uninstallable: false,
        ..subject()
    };
    let refusal = Refusal::NotUninstallable(fixed.id.update_id);
    assert_eq!(try_it(&fixed, REMOVAL), Err(refusal));
    decided(&subject(), REMOVAL);
}

#[test]
fn a_declined_update_can_be_approved_again() {
    let declined = decided(&subject(), Approval::Declined);
    decided(&declined, INSTALL);
    decided(&declined, Approval::NotApproved);
}

#[test]
fn an_approval_is_repeated_for_a_newer_revision() {
    let mut approved = decided(&subject(), INSTALL);
    approved.id.revision = 201;
    let again = decided(&approved, INSTALL);
    assert_eq!(again.record.unwrap().revision, 201);
    // Declined is declined in every revision.
    let mut declined = decided(&subject(), Approval::Declined);
    declined.id.revision = 201;
    assert_eq!(try_it(&declined, Approval::Declined), Ok(None));
}

#[test]
fn a_document_says_what_a_decision_goes_by() {
    let document = concat!(
        r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update">"#,
        r#"<UpdateIdentity UpdateID="00000000-0000-4000-8000-000000000300" RevisionNumber="200"/>"#,
        r#"<Properties UpdateType="Software" CreationDate="2024-05-14T10:00:00Z" DefaultPropertiesLanguage="en" "#,
        r#"PublicationState="Expired" ExplicitlyDeployable="true" "#,
        r#"EulaID="6407468e-edc7-4ecd-8c32-521f64cee65e"><UninstallationBehavior/></Properties></Update>"#
    );
    let update = crate::document::parse(document).unwrap();
    let terms = update.eula_id.unwrap();
    let fresh = Subject::new(&update, None);
    assert_eq!(fresh.licence, Licence::NotAccepted(terms));
    assert_eq!(fresh.expired, Some(Expired::ByPublisher));
    assert!(fresh.is_uninstallable && fresh.explicitly_deployable);

    let record = accept_licence(&fresh, "bert", now()).unwrap();
    let accepted = Subject::new(&update, record);
    assert_eq!(accepted.licence, Licence::Accepted(terms));
}
