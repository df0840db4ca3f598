//! A database that takes no messages for a while: they are stored when it does again, each once.

use daemon::Ambient;
use journal::{Journal, JournalSettings, StatusId};
use store::{Location, Store};
use testkit::Database;

/// Makes the database refuse every further message, as a full disk does.
const REFUSE: &str = "create trigger refuse before insert on status_message \
                      begin select raise(abort, 'the disk is full'); end";

#[tokio::test]
async fn messages_that_were_not_stored_go_before_the_next_ones_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_owned();
    let store = Store::open(&Location::Directory(directory.clone()))
        .await
        .unwrap();
    let settings = JournalSettings {
        site: "SE1".parse().unwrap(),
        has_parent: true,
        server: "here".to_owned(),
        directory: directory.join("logs"),
        max_log_bytes: 1 << 20,
        json_lines: false,
        merges: false,
    };
    let journal = Journal::open(store.clone(), settings, Ambient::system()).unwrap();
    let say = async |what: &str| {
        let inserts = vec!["PR1".to_owned(), what.to_owned()];
        journal.record(StatusId::LinkDown, None, inserts).await;
    };
    say("one").await;
    Database::damage(&directory, REFUSE).await;
    say("two").await;
    say("three").await;
    Database::damage(&directory, "drop trigger refuse").await;
    say("four").await;
    say("five").await;

    let mut read = store.read().await.unwrap();
    let mut messages = read.status_messages(None, 10).await.unwrap();
    messages.sort_by_key(|message| message.number);
    let told: Vec<&str> = messages
        .iter()
        .map(|message| &*message.inserts[1])
        .collect();
    assert_eq!(told, ["one", "two", "three", "four", "five"]);
    let dense = |one: u64, next: u64| next == one + 1;
    assert!(messages.is_sorted_by(|one, next| dense(one.number, next.number)));
    assert_eq!(read.outbox_length().await.unwrap(), 5);
}
