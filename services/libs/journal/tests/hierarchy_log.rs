//! The merged log of a top-level site: every message once, whatever happens to the process, and no more on the disk
//! than was agreed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use daemon::Ambient;
use jiff::Timestamp;
use journal::log_file::MIN_MAX_BYTES;
use journal::{Journal, JournalSettings, StatusId};
use std::fs;
use std::path::Path;
use store::status::StatusRow;
use store::{Location, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

fn settings(folder: &Path, max_log_bytes: u64) -> JournalSettings {
    JournalSettings {
        site: "CAS".parse().unwrap(),
        has_parent: false,
        server: "cas".to_owned(),
        directory: folder.join("logs"),
        max_log_bytes,
        json_lines: true,
        merges: true,
    }
}

async fn store(folder: &Path) -> Store {
    let location = Location::Directory(folder.to_owned());
    Store::open(&location).await.unwrap()
}

fn message(site: &str, number: u64, cause: &str) -> StatusRow {
    StatusRow {
        site: site.parse().unwrap(),
        number,
        time: Timestamp::from_second(1_000_000 - number.cast_signed()).unwrap(),
        status_id: StatusId::SyncFailed.number(),
        run: None,
        inserts: vec!["Client".to_owned(), cause.to_owned()],
    }
}

/// Writes all that waits.
async fn write(folder: &Path, max_log_bytes: u64) {
    let settings = settings(folder, max_log_bytes);
    let journal = Journal::open(store(folder).await, settings, Ambient::system()).unwrap();
    write_with(&journal).await;
}

async fn write_with(journal: &Journal) {
    // One that is told to stop writes what waits first.
    let stop = CancellationToken::new();
    stop.cancel();
    journal.hierarchy_log().unwrap().keep(stop).await;
}

fn read(folder: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join("logs").join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A folder in which messages wait for the log: `count` of two sites, in the order in which they arrived.
async fn waiting(count: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let journal = Journal::open(
        store.clone(),
        settings(folder.path(), u64::MAX),
        Ambient::system(),
    );
    let journal = journal.unwrap();
    for number in 1..=count {
        let site = if number % 2 == 0 { "PR1" } else { "SE1-2" };
        let row = message(site, number, &format!("cause {number}"));
        assert_eq!(journal.relay(std::slice::from_ref(&row)).await.unwrap(), 1);
        // A child that missed our answer sends it again.
        assert_eq!(journal.relay(&[row]).await.unwrap(), 0);
    }
    store.tidy().await.unwrap();
    folder
}

/// The causes that stand in lines, in their order.
fn causes(lines: &[String]) -> Vec<u64> {
    let cause = |line: &String| {
        let (_, rest) = line.split_once("cause ")?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    };
    lines.iter().filter_map(cause).collect()
}

fn up_to(count: u64) -> Vec<u64> {
    (1..=count).collect()
}

#[tokio::test]
async fn every_message_is_written_once_as_it_arrived_with_its_own_time() {
    let folder = waiting(5).await;
    write(folder.path(), u64::MAX).await;
    write(folder.path(), u64::MAX).await;
    let lines = read(folder.path(), "hierarchy.log");
    assert_eq!(causes(&lines), up_to(5));
    assert_eq!(
        lines[0],
        "Error 6703: synchronization failed: cause 1 (source: Client)  \
         $$<SE1-2><01-12-1970 13:46:39.000+000><thread=1 (0x1)>"
    );
    let json = read(folder.path(), "hierarchy.jsonl");
    assert_eq!(causes(&json), up_to(5));
    let first: serde_json::Value = serde_json::from_str(&json[1]).unwrap();
    assert_eq!(
        (&first["site"], &first["severity"]),
        (&"PR1".into(), &"error".into())
    );
    assert_eq!(first["time"], "1970-01-12T13:46:38.000Z");
}

#[tokio::test]
async fn what_the_site_itself_says_is_in_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), u64::MAX);
    let store = store(folder.path()).await;
    let journal = Journal::open(store.clone(), settings, Ambient::system()).unwrap();
    let mut followed = journal.follow_merged();
    let inserts = vec!["Server".to_owned(), "cause 1\r\ncause 2".to_owned()];
    journal.record(StatusId::SyncFailed, None, inserts).await;
    write_with(&journal).await;
    let lines = read(folder.path(), "hierarchy.log");
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("cause 1~cause 2 (source: Server)  $$<CAS>"),
        "{lines:?}"
    );
    assert_eq!(*followed.recv().await.unwrap(), *lines[0]);
    assert_eq!(journal.tail_merged(9).unwrap(), lines);
    let mut read_store = store.read().await.unwrap();
    assert_eq!(read_store.outbox_length().await.unwrap(), 0);
    // The site's own log has the sentence and its echo; as JSON it is one object.
    assert_eq!(read(folder.path(), "wsyncmgr.log").len(), 2);
    let json = read(folder.path(), "wsyncmgr.jsonl");
    assert_eq!(json.len(), 1);
    let object: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!(object["inserts"][1], "cause 1\r\ncause 2");
    assert_eq!(object["status_id"], 6703);
}

/// A process that was killed after it had written so many bytes of the log and before it had taken anything out of
/// the outbox: the next one writes what is missing and nothing else.
#[tokio::test]
async fn a_killed_process_doubles_and_loses_nothing() {
    let before = waiting(6).await;
    let whole = tempfile::tempdir().unwrap();
    copy(before.path(), whole.path());
    write(whole.path(), u64::MAX).await;
    let text = fs::read_to_string(whole.path().join("logs/hierarchy.log")).unwrap();
    let line = text.len() / 6;
    for written in [
        0,
        1,
        line / 2,
        line - 1,
        line,
        line + 1,
        3 * line + 7,
        text.len(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copy(before.path(), folder.path());
        // Something stood there before.
        let log = format!("before\r\n{}", &text[..written]);
        fs::write(folder.path().join("logs/hierarchy.log"), log).unwrap();
        write(folder.path(), u64::MAX).await;
        let lines = read(folder.path(), "hierarchy.log");
        let full: Vec<String> = lines
            .iter()
            .filter(|line| line.ends_with(')') || line.ends_with('>'))
            .filter(|line| line.contains("><thread="))
            .cloned()
            .collect();
        assert_eq!(
            causes(&full),
            up_to(6),
            "{written} bytes were written: {lines:#?}"
        );
        assert_eq!(lines[0], "before");
        // The other form did not have a line yet.
        assert_eq!(causes(&read(folder.path(), "hierarchy.jsonl")), up_to(6));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[tokio::test]
async fn the_log_turns_over_and_its_size_is_bounded() {
    let count = 300;
    let folder = waiting(count).await;
    write(folder.path(), MIN_MAX_BYTES).await;
    for (newer, older) in [
        ("hierarchy.log", "hierarchy.lo_"),
        ("hierarchy.jsonl", "hierarchy.json_"),
    ] {
        let size = |name| {
            fs::metadata(folder.path().join("logs").join(name))
                .unwrap()
                .len()
        };
        assert!(size(newer) <= MIN_MAX_BYTES && size(older) <= MIN_MAX_BYTES);
        let mut lines = read(folder.path(), older);
        lines.extend(read(folder.path(), newer));
        let kept = causes(&lines);
        let first = count + 1 - kept.len() as u64;
        assert!(kept.len() > 40, "{}", kept.len());
        assert_eq!(kept, (first..=count).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_written_later() {
    let folder = waiting(3).await;
    let store = store(folder.path()).await;
    let settings = settings(folder.path(), MIN_MAX_BYTES);
    let journal = Journal::open(store.clone(), settings, Ambient::system()).unwrap();
    let log = folder.path().join("logs/hierarchy.log");
    let hierarchy_log = journal.hierarchy_log().unwrap();
    // A folder in its place: it cannot be opened again.
    fs::remove_file(&log).unwrap();
    fs::create_dir_all(folder.path().join("logs/hierarchy.log/x")).unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    hierarchy_log.keep(stop).await;
    let waits = store.read().await.unwrap().outbox_length().await.unwrap();
    let there = read(folder.path(), "hierarchy.log").len() as u64;
    assert_eq!(
        waits + there,
        3,
        "nothing is taken out that was not written"
    );
    fs::remove_dir_all(&log).unwrap();
    write_with(&journal).await;
    assert_eq!(causes(&read(folder.path(), "hierarchy.log")), up_to(3));
    assert_eq!(causes(&read(folder.path(), "hierarchy.jsonl")), up_to(3));
}
