//! Logs that were damaged, and status messages of anybody: what is read back is bounded and can be shown.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use journal::log_file::{LogFile, MAX_LINE, MAX_TAIL_LINES, tail};
use journal::log_line::{CUT, LogLine, MAX_TEXT, SYNC_MANAGER};
use journal::status_message::{MAX_INSERT, MAX_INSERTS, StatusMessage};
use std::fs;
use testkit::Door;
use testkit::door::unfit;
use testkit::mutate::{Mutant, cuts, damage, encodings};

fn lines(count: usize) -> String {
    let line = |n: usize| {
        LogLine {
            component: SYNC_MANAGER,
            text: &format!("Synchronizing update {n} of {count}, äöü"),
            time: "2026-10-04T16:33:26.654Z".parse().unwrap(),
            thread: 3404,
        }
        .format()
    };
    (0..count).map(line).collect()
}

#[test]
fn a_damaged_log_is_read_and_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wsyncmgr.log");
    let good = lines(40);
    let mut door = Door::new("logs read back");
    let mut mutants: Vec<Mutant> = cuts(good.as_bytes()).collect();
    mutants.extend(damage(good.as_bytes(), 1, 1_000));
    mutants.extend(encodings(&good));
    mutants.push(Mutant::new("one endless line", vec![b'x'; 6 << 20]));
    mutants.push(Mutant::new("NUL without end", vec![0; 6 << 20]));
    mutants.push(Mutant::new("no UTF-8 without end", vec![0xFF; 6 << 20]));
    mutants.push(Mutant::new("nothing but line ends", vec![b'\n'; 6 << 20]));
    for mutant in mutants {
        door.knock(&mutant, |bytes| {
            fs::write(&path, bytes).unwrap();
            let mut log = LogFile::open(folder.path(), "wsyncmgr", 1 << 30).unwrap();
            log.append("one more\r\n").unwrap();
            let read = tail(folder.path(), "wsyncmgr", usize::MAX).unwrap();
            assert!(read.len() <= MAX_TAIL_LINES);
            assert_eq!(read.last().unwrap(), "one more");
            for line in &read {
                assert!(line.len() <= MAX_LINE + CUT.len(), "{} bytes", line.len());
                assert!(!line.chars().any(|c| c.is_control() && c != '\t'));
            }
            // Nothing is refused: a log is for reading, whatever became of it.
            if read.len() == bytes.iter().filter(|byte| **byte == b'\n').count() + 1 {
                Ok(())
            } else {
                Err("a log with fewer or more lines".to_owned())
            }
        });
    }
    door.close(1_200);
}

#[test]
fn what_was_written_here_is_read_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let written = lines(100);
    let mut log = LogFile::open(folder.path(), "wsyncmgr", 1 << 20).unwrap();
    for line in written.split_inclusive('\n') {
        log.append(line).unwrap();
    }
    let longest = LogLine {
        component: SYNC_MANAGER,
        text: &"ä".repeat(MAX_TEXT),
        time: "2026-10-04T16:33:26.654Z".parse().unwrap(),
        thread: 1,
    };
    log.append(&longest.format()).unwrap();
    let read = tail(folder.path(), "wsyncmgr", 101).unwrap().join("\r\n") + "\r\n";
    assert_eq!(read, written + &longest.format());
}

#[test]
fn a_line_of_anything_is_one_line() {
    let mut door = Door::new("texts of log lines");
    let good = "Done synchronizing SMS with WSUS Server upstream.example";
    for mutant in damage(good.as_bytes(), 2, 2_000) {
        door.knock(&mutant, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let line = LogLine {
                component: &text,
                text: &text,
                time: jiff::Timestamp::MAX,
                thread: u32::MAX,
            }
            .format();
            let line = line.strip_suffix("\r\n").unwrap();
            assert_eq!(unfit(line), None);
            assert_eq!(line.matches("$$<").count(), 1);
            if line.contains(good) {
                Ok(())
            } else {
                Err("another text".to_owned())
            }
        });
    }
    door.close(2_000);
}

#[test]
fn a_status_message_of_anybody_is_one_bounded_line() {
    let mut door = Door::new("status messages");
    let good = "the catalog that parent CAS sent was refused: {1} {0}";
    for (number, mutant) in (0_u32..).zip(damage(good.as_bytes(), 3, 2_000)) {
        door.knock(&mutant, |bytes| {
            let insert = String::from_utf8_lossy(bytes).repeat(100);
            let message = StatusMessage {
                site: "PR1".parse().unwrap(),
                number: u64::MAX,
                time: jiff::Timestamp::MIN,
                id: if number % 3 == 0 {
                    number
                } else {
                    9000 + number % 30
                },
                severity: journal::Severity::Error,
                run: None,
                component: insert.clone(),
                inserts: vec![insert; 30],
            }
            .bounded();
            assert_eq!(message.inserts.len(), MAX_INSERTS);
            assert!(
                message
                    .inserts
                    .iter()
                    .all(|insert| insert.len() <= MAX_INSERT)
            );
            let text = message.text();
            assert!(text.len() <= MAX_TEXT + CUT.len());
            assert!(!text.chars().any(char::is_control), "{text:?}");
            if message.known().is_some() {
                Ok(())
            } else {
                Err("unknown here".to_owned())
            }
        });
    }
    door.close(2_000);
}
