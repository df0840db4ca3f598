//! What a parent may say to a child that is attached: what cannot be meant ends the conversation with a
//! sentence, and a new one begins; what cannot be true changes nothing.

use crate::child::{Child, shown};
use crate::parent::{Parent, encoded};
use std::path::Path;
use std::time::Duration;
use testkit::door::unfit;
use testkit::patience::LONG;
use testkit::until;
use wire::v1::attach_response::Message;
use wire::v1::{
    CancelRequest, LogRequest, Removed, StatusAcknowledgement, SyncRequest, VerifyRequest, Welcome,
};

const LINK_DOWN: u32 = journal::StatusId::LinkDown.number();
/// Shortest waits before the second and the third dial.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

async fn child_of(parent: &Parent) -> Child {
    let child = Child::start(|folder: &Path| parent.child_settings("PR1", folder), None).await;
    child.reaches(parent.positions().verified).await;
    child
}

/// Waits for the n-th conversation.
async fn conversation(parent: &Parent, number: usize) {
    until(&format!("conversation {number} began"), LONG, || {
        let began = parent.attached().len();
        let there = (began >= number).then_some(());
        std::future::ready(there.ok_or_else(|| format!("there were {began}")))
    })
    .await;
}

/// The child follows its parent as ever.
async fn follows(parent: &Parent, child: &Child) {
    parent.publish().await;
    until("the parent can ask for a synchronization", LONG, || {
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            parent.request_sync();
        }));
        std::future::ready(asked.map_err(|_| "it is not attached".to_owned()))
    })
    .await;
    child.reaches(parent.positions().verified).await;
    assert!(shown(&child.site.store).await == shown(parent.store()).await);
}

/// What cannot be meant, and what is said of it.
fn nonsense() -> Vec<(Vec<u8>, &'static str)> {
    let sync = SyncRequest {
        run: vec![9; 16],
        epoch: vec![7; 16],
        target_position: 3,
        full: false,
        span: Vec::new(),
    };
    vec![
        (b"\x12\xFF\xFF\xFF\xFF\x7F".to_vec(), "decode"),
        (vec![7; 300 * 1024], "too large"),
        (
            encoded(Message::Sync(SyncRequest {
                run: vec![9; 3],
                ..sync.clone()
            })),
            "a sync request that cannot be used: the field run",
        ),
        (
            encoded(Message::Sync(SyncRequest {
                target_position: u64::MAX,
                ..sync
            })),
            "it names a position that there is not",
        ),
        (
            encoded(Message::Cancel(CancelRequest { run: vec![1; 5] })),
            "a cancel request that cannot be used",
        ),
        (
            encoded(Message::Removed(Removed {
                site_code: "../PR1".to_owned(),
            })),
            "a removal that cannot be used",
        ),
        (
            encoded(Message::Verify(VerifyRequest {
                run: vec![],
                site_code: "PR1".to_owned(),
            })),
            "a request to verify that cannot be used",
        ),
        (
            encoded(Message::Welcome(Welcome {
                epoch: vec![1; 15],
                ..Welcome::default()
            })),
            "a welcome that cannot be used",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_parent_that_cannot_be_meant_end_the_conversation_and_a_new_one_begins() {
    let cases = nonsense().into_iter().map(|(bytes, says)| async move {
        let parent = Parent::start().await;
        let child = child_of(&parent).await;
        let before = shown(&child.site.store).await;
        parent.say(bytes);
        conversation(&parent, 2).await;
        let told = child.messages(LINK_DOWN).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(says), "{says:?}: {told:?}");
        assert_eq!(unfit(&told[0]), None);
        assert!(shown(&child.site.store).await == before);
        follows(&parent, &child).await;
    });
    futures::future::join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_without_a_usable_welcome_is_dialled_again_after_longer_and_longer_waits() {
    let parent = Parent::start().await;
    parent.greet(Some(encoded(Message::Welcome(Welcome {
        epoch: vec![1; 16],
        position: 1 << 63,
        ..Welcome::default()
    }))));
    let child = Child::start(|folder: &Path| parent.child_settings("PR1", folder), None).await;
    conversation(&parent, 3).await;
    parent.greet(None);
    let began = parent.attached();
    for (gap, least) in began.windows(2).zip(WAITS) {
        let waited = gap[1] - gap[0];
        assert!(waited >= least, "{waited:?}");
    }
    // The same reason is told once.
    let told = child.messages(LINK_DOWN).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("it names a position that there is not"));
    child.reaches(parent.positions().verified).await;
    assert!(shown(&child.site.store).await == shown(parent.store()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_parent_that_are_not_true_change_nothing() {
    let parent = Parent::start().await;
    let child = child_of(&parent).await;
    let before = shown(&child.site.store).await;
    let removed = |site: &str| {
        Message::Removed(Removed {
            site_code: site.to_owned(),
        })
    };
    let log = |request| {
        Message::LogRequest(LogRequest {
            request,
            site_code: "ZZ9".to_owned(),
            last: u32::MAX,
            follow: true,
            stop: false,
        })
    };
    let mut lies = vec![
        Message::Acknowledgement(StatusAcknowledgement { through: u64::MAX }),
        removed("ZZ9"),
        removed("CAS"),
        Message::Verify(VerifyRequest {
            run: vec![4; 16],
            site_code: "ZZ9".to_owned(),
        }),
        Message::Cancel(CancelRequest { run: vec![5; 16] }),
    ];
    lies.extend((0..100).map(log));
    lies.push(Message::Sync(SyncRequest {
        run: vec![6; 16],
        epoch: vec![7; 16],
        target_position: 1 << 62,
        full: false,
        span: vec![0xFF; 100_000],
    }));
    for lie in lies {
        parent.send(lie);
    }
    // The run for what there is not ends, too.
    until("the run has ended", LONG, || {
        let state = child.site.engine.state();
        let asked = state
            .run
            .as_ref()
            .is_some_and(|run| run.id.as_bytes() == &[6; 16]);
        let ended = asked && !state.running();
        std::future::ready(ended.then_some(()).ok_or_else(|| format!("{state:?}")))
    })
    .await;
    assert!(shown(&child.site.store).await == before);
    assert_eq!(parent.attached().len(), 1);
    assert_eq!(child.messages(LINK_DOWN).await, [""; 0]);
    follows(&parent, &child).await;
}
