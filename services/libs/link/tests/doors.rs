//! Bad settings files of sites, and bad batches of changes: each is refused with one short line.

use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId};
use link::settings::{SiteFlags, load};
use prost::Message as _;
use std::fs;
use store::log::{ChangeRow, LogSlice};
use testkit::Door;
use testkit::door::{sentence, unfit};
use testkit::mutate::{Mutant, cuts, damage, encodings};
use wire::convert;
use wire::v1::pull_response::Message;
use wire::v1::{Change, ChangeBatch, PullPlan, PullResponse};

const SETTINGS: &str = "site-code = 'CAS'\nlisten = '127.0.0.1:8540'\ndata-dir = 'data'\n\
    tombstones-kept = '90d'\nretry-first = '15s'\nretry-most = '1h'\nmax-log-size = '2560KiB'\n\
    database = 'postgres://headwater:hunter2@db.example:5432/headwater'\n\
    upstream = 'https://wsus.example:8531'\nupstream-parallel = 4\nnames = ['cas.example', '10.0.0.1']\n\
    statement-validity = '7d'\ncertificate-validity = '30d'\npoll = '10m'\n\
    [telemetry]\nformat = 'json'\nfilter = 'info,link=debug'\n";

const DATABASE: &str = "\ndatabase = 'postgres://headwater:hunter2@db.example:5432/headwater'\n";

#[test]
fn bad_settings_files_of_sites_are_refused_and_repeat_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    let flags = SiteFlags {
        config: Some(file.clone()),
        ..SiteFlags::default()
    };
    let open = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let (settings, rest) = load(&flags).map_err(|error| {
            // Where a test puts its files says nothing about the sentence.
            format!("{error:#}").replace(&file.display().to_string(), "site.toml")
        })?;
        let shown = format!("{settings:?} {rest:?}");
        // Damage may make another value of it; in its place it is never shown.
        let text = String::from_utf8_lossy(bytes);
        assert!(
            !text.contains(DATABASE) || !shown.contains("hunter2"),
            "{shown}"
        );
        rest.refuse_child_keys()
            .map_err(|error| format!("{error:#}"))
    };
    // It has a key that means nothing for a central site.
    assert!(open(SETTINGS.as_bytes()).unwrap_err().contains("poll"));
    open(SETTINGS.replace("poll = '10m'\n", "").as_bytes()).unwrap();
    let mut door = Door::new("settings of sites");
    door.knock_all(cuts(SETTINGS.as_bytes()), open);
    door.knock_all(encodings(SETTINGS), open);
    for mutant in damage(SETTINGS.as_bytes(), 1, 3_000) {
        door.knock(&mutant, |bytes| {
            open(bytes).inspect_err(|told| {
                let text = String::from_utf8_lossy(bytes);
                assert!(
                    !text.contains(DATABASE) || !told.contains("hunter2"),
                    "{told}"
                );
            })
        });
    }
    door.close(3_000);
}

fn batch() -> ChangeBatch {
    let change = |position: u64| Change {
        position,
        key: ItemKey::Revision(RevisionId::new(UpdateId::from_u128(position.into()), 200))
            .to_bytes()
            .into(),
        header: vec![8; 40].into(),
        document: vec![1; 60].into(),
        removed: false,
    };
    let removal = Change {
        position: 4,
        key: change(4).key,
        removed: true,
        ..Change::default()
    };
    ChangeBatch {
        changes: vec![change(1), change(2), change(3), removal],
    }
}

/// What a child does with an answer of its parent before it touches its database.
fn pulled(bytes: &[u8]) -> Result<(), String> {
    let response = PullResponse::decode(bytes).map_err(|error| sentence(&error))?;
    match response.message {
        None => Err("an empty message".to_owned()),
        Some(Message::Plan(plan)) => convert::optional_uuid("epoch", &plan.epoch)
            .map(drop)
            .map_err(|error| sentence(&error)),
        Some(Message::Batch(batch)) => changes(&batch),
        Some(Message::Statement(statement)) => trust::SignedStatement::from_bytes(&statement)
            .map(drop)
            .map_err(|error| sentence(&error)),
    }
}

fn changes(bytes: &[u8]) -> Result<(), String> {
    let batch = ChangeBatch::decode(bytes).map_err(|error| sentence(&error))?;
    let through = batch.changes.last().map_or(0, |change| change.position);
    let changes = batch.changes.into_iter().map(|change| ChangeRow {
        position: change.position,
        key: change.key.into(),
        header: change.header.into(),
        document: change.document.into(),
        removed: change.removed,
    });
    let changes = changes.collect();
    let slice = LogSlice { changes, through };
    slice.check().map(drop).map_err(|error| sentence(&error))
}

#[test]
fn bad_answers_to_a_pull_are_refused() {
    let plan = PullPlan {
        epoch: vec![7; 16],
        target_position: 4,
        changes: 4,
        ..PullPlan::default()
    };
    let messages = [
        Message::Plan(plan),
        Message::Batch(batch().encode_to_vec().into()),
        Message::Statement(vec![1; 216].into()),
    ];
    let mut door = Door::new("answers to a pull");
    for (seed, message) in (0..).zip(messages) {
        let good = PullResponse {
            message: Some(message),
        }
        .encode_to_vec();
        door.knock_all(cuts(&good), pulled);
        door.knock_all(damage(&good, seed, 1_000), pulled);
    }
    // Batches on their own, where the length in front does not hide the damage.
    let good = batch().encode_to_vec();
    changes(&good).unwrap();
    door.knock_all(cuts(&good), changes);
    door.knock_all(damage(&good, 9, 3_000), changes);
    for (what, bytes) in [
        ("groups in each other", [0x0B].repeat(100_000)),
        ("empty changes without end", b"\x0A\0".repeat(100_000)),
        (
            "a length beyond all memory",
            b"\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F".to_vec(),
        ),
    ] {
        assert!(changes(&bytes).is_err(), "{what}");
        door.knock(&Mutant::new(what, bytes), changes);
    }
    door.close(5_000);
}

#[test]
fn bad_fields_are_refused_by_name() {
    let mut door = Door::new("fields of messages");
    let told = |error: convert::Error| {
        let told = sentence(&error);
        assert!(told.contains("the field it "), "{told}");
        told
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for mutant in damage(b"PR1", 1, 400).chain(damage(b"primary", 2, 400)) {
        door.knock(&mutant, |bytes| {
            let site = convert::site_code("it", &text(bytes)).map(drop);
            let kind = convert::site_kind("it", &text(bytes)).map(drop);
            site.or(kind).map_err(told)
        });
        door.knock(&mutant, |bytes| {
            let read = convert::text("it", text(bytes), 8).map_err(told)?;
            assert_eq!(unfit(&format!("x{read}")), None);
            Ok(())
        });
    }
    for mutant in cuts(&[7; 40]).chain(damage(&[7; 16], 3, 800)) {
        door.knock(&mutant, |bytes| {
            let id = convert::uuid("it", bytes).map_err(told)?;
            assert_eq!(id.as_bytes(), bytes);
            Ok(())
        });
        door.knock(&mutant, |bytes| {
            let digest = convert::array::<32>("it", bytes).map_err(told)?;
            assert_eq!(digest, bytes);
            Ok(())
        });
    }
    for seconds in [i64::MIN, -377_705_116_800, -1, 0, 253_402_300_800, i64::MAX] {
        for nanos in [
            i32::MIN,
            -1_000_000_000,
            -1,
            0,
            999_999_999,
            1_000_000_000,
            i32::MAX,
        ] {
            let value = prost_types::Timestamp { seconds, nanos };
            let what = format!("{seconds} s and {nanos} ns");
            door.knock(&Mutant::new(what, ""), |_| {
                let time = convert::timestamp("it", &value).map_err(told)?;
                let again = convert::timestamp("it", &convert::from_timestamp(time));
                assert_eq!(again.unwrap(), time);
                Ok(())
            });
        }
    }
    door.close(3_000);
}
