use super::*;
use journal::StatusId;
use prost_reflect::prost_types;
use store::Location;
use tempfile::TempDir;

/// A journal with messages about two sites, a second between them, the oldest first: every third is an error, and
/// every fifth belongs to a run.
async fn journal(count: u64) -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Directory(folder.path().into());
    let store = Store::open(&location).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for number in 1..=count {
        let failed = number % 3 == 0;
        let row = StatusRow {
            site: if number % 2 == 0 { "SE1" } else { "PR1" }.parse().unwrap(),
            number,
            time: Timestamp::from_second(number.cast_signed()).unwrap(),
            status_id: match failed {
                true => StatusId::SyncFailed.number(),
                false => StatusId::SyncDone.number(),
            },
            run: (number % 5 == 0).then(|| Uuid::from_u128(5)),
            inserts: vec!["Ärger".to_owned(), format!("cause {number}")],
        };
        tx.relay_status(&row, false).await.unwrap();
    }
    tx.commit().await.unwrap();
    (folder, store)
}

fn at(second: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: second,
        nanos: 0,
    })
}

/// The numbers of all pages, and how many calls that took.
async fn all(store: &Store, request: ListStatusMessagesRequest) -> (Vec<u64>, usize) {
    let (mut numbers, mut calls, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let page = ListStatusMessagesRequest {
            page_token: page_token.clone(),
            ..request.clone()
        };
        let page = list(store, page).await.unwrap();
        calls += 1;
        let messages = page.messages.into_iter();
        numbers.extend(messages.map(|entry| entry.message.unwrap().number));
        if page.next_page_token.is_empty() {
            return (numbers, calls);
        }
        assert_ne!(page.next_page_token, page_token, "it does not go on");
        page_token = page.next_page_token;
    }
}

/// Checks that a request finds the messages that `wanted` names, whatever the size of its pages.
async fn check(store: &Store, request: ListStatusMessagesRequest, wanted: impl Fn(u64) -> bool) {
    let expected: Vec<u64> = (1..=60).rev().filter(|number| wanted(*number)).collect();
    for limit in [1, 7, 60, 0] {
        let request = ListStatusMessagesRequest {
            limit,
            ..request.clone()
        };
        let (found, _) = all(store, request.clone()).await;
        assert_eq!(found, expected, "{request:?}");
    }
}

#[tokio::test]
async fn every_filter_finds_what_it_says_page_by_page() {
    let (_folder, store) = journal(60).await;
    let any = ListStatusMessagesRequest::default;
    check(&store, any(), |_| true).await;
    let request = ListStatusMessagesRequest {
        severity: "error".to_owned(),
        ..any()
    };
    check(&store, request.clone(), |number| number % 3 == 0).await;
    let request = ListStatusMessagesRequest {
        site_code: "SE1".to_owned(),
        ..request
    };
    check(&store, request.clone(), |number| number % 6 == 0).await;
    let request = ListStatusMessagesRequest {
        after: at(12),
        before: at(48),
        ..request
    };
    check(&store, request, |number| {
        number % 6 == 0 && (12..48).contains(&number)
    })
    .await;
    let request = ListStatusMessagesRequest {
        run: Uuid::from_u128(5).to_string(),
        before: at(30),
        ..any()
    };
    check(&store, request, |number| number % 5 == 0 && number < 30).await;
    // Only what failed names a cause; the number of the message is found, too.
    let request = ListStatusMessagesRequest {
        text: "ÄRGER".to_owned(),
        ..any()
    };
    check(&store, request, |number| number % 3 == 0).await;
    let request = ListStatusMessagesRequest {
        text: StatusId::SyncFailed.number().to_string(),
        ..any()
    };
    check(&store, request, |number| number % 3 == 0).await;
}

#[tokio::test]
async fn the_last_page_says_that_it_is_the_last() {
    let (_folder, store) = journal(60).await;
    for (limit, calls) in [(60, 1), (61, 1), (30, 2), (59, 2)] {
        let request = ListStatusMessagesRequest {
            limit,
            ..ListStatusMessagesRequest::default()
        };
        let (found, made) = all(&store, request).await;
        assert_eq!((found.len(), made), (60, calls), "{limit} a page");
    }
}

#[tokio::test]
async fn a_call_looks_at_so_many_messages_and_no_more() {
    let count = MOST_LOOKED_AT as u64 + 700;
    let (_folder, store) = journal(count).await;
    let rare = ListStatusMessagesRequest {
        text: "nothing says this".to_owned(),
        ..ListStatusMessagesRequest::default()
    };
    let first = list(&store, rare.clone()).await.unwrap();
    assert!(first.messages.is_empty());
    assert_eq!(first.next_page_token, "701000.PR1.701");
    assert_eq!(all(&store, rare).await, (vec![], 2));
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let (_folder, store) = journal(1).await;
    let any = ListStatusMessagesRequest::default;
    let bad = [
        ListStatusMessagesRequest {
            severity: "fatal".to_owned(),
            ..any()
        },
        ListStatusMessagesRequest {
            run: "x".to_owned(),
            ..any()
        },
        ListStatusMessagesRequest {
            text: "x".repeat(MAX_TEXT + 1),
            ..any()
        },
        ListStatusMessagesRequest {
            page_token: "1.PR1".to_owned(),
            ..any()
        },
        // Of a walk by number.
        ListStatusMessagesRequest {
            page_token: "7".to_owned(),
            ..any()
        },
        ListStatusMessagesRequest {
            page_token: format!("1.PR1.{}", u64::MAX),
            ..any()
        },
        ListStatusMessagesRequest {
            site_code: "PR1".to_owned(),
            page_token: "1.PR1.1".to_owned(),
            ..any()
        },
    ];
    for request in bad {
        let shown = format!("{request:?}");
        let refused = list(&store, request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{shown}");
    }
}
