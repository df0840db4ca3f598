//! Sites without a network of their own, and files that look like updates.

use super::origin::Origin;
use bytes::Bytes;
use content::digest::Digests;
use content::source::{HttpSource, Source};
use content::{Content, ContentFile, ContentStore, Files, Parts};
use daemon::Ambient;
use daemon::ambient::Disk;
use jiff::{SignedDuration, Timestamp};
use journal::{Journal, JournalSettings};
use link::content::ContentState;
use std::path::PathBuf;
use std::sync::Arc;
use store::content::{ContentRow, PRIORITY_APPROVED};
use store::{Location, Store};
use testkit::StillClock;
use testkit::patience::LONG;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A file of some length, and its bytes.
pub fn update(number: u64, size: usize) -> (ContentFile, Bytes) {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes: Bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(size)
    .collect();
    (described(number, &bytes), bytes)
}

/// The file that some bytes are.
pub fn described(number: u64, bytes: &[u8]) -> ContentFile {
    let (sha1, sha256) = Digests::of(bytes);
    ContentFile {
        sha1,
        sha256: Some(sha256),
        size: bytes.len() as u64,
        name: format!("Windows-KB{number}.cab"),
        url: None,
    }
}

/// A file that an origin has.
pub fn at(origin: &Origin, number: u64, size: usize) -> (ContentFile, Bytes) {
    let (file, bytes) = update(number, size);
    let url = origin.put(&number.to_string(), bytes.clone());
    let url = Some(url);
    (ContentFile { url, ..file }, bytes)
}

/// A site that has nothing but content.
pub struct Site {
    pub folder: Arc<tempfile::TempDir>,
    pub store: Store,
    pub journal: Journal,
    pub clock: Arc<StillClock>,
    pub content: Content,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Site {
    /// A site that fetches from the addresses of the catalog.
    pub async fn top() -> Self {
        Self::new(vec![Arc::new(HttpSource::new(None).unwrap())]).await
    }

    pub async fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        Self::within(Arc::new(tempfile::tempdir().unwrap()), sources).await
    }

    /// The site that was in a folder before.
    pub async fn within(folder: Arc<tempfile::TempDir>, sources: Vec<Arc<dyn Source>>) -> Self {
        let place = ContentStore::Directory(folder.path().join("WsusContent"));
        Self::keeping(folder, &place, sources).await
    }

    /// The site that was in a folder before, with its files elsewhere.
    pub async fn keeping(
        folder: Arc<tempfile::TempDir>,
        place: &ContentStore,
        sources: Vec<Arc<dyn Source>>,
    ) -> Self {
        Self::on_disk(folder, place, sources, None).await
    }

    /// The same, on a disk that says how much room it has.
    pub async fn on_disk(
        folder: Arc<tempfile::TempDir>,
        place: &ContentStore,
        sources: Vec<Arc<dyn Source>>,
        disk: Option<Disk>,
    ) -> Self {
        let location = Location::Directory(folder.path().to_owned());
        let store = Store::open(&location).await.unwrap();
        let clock = Arc::new(StillClock::at("2026-03-01T12:00:00Z".parse().unwrap()));
        let ambient = Ambient::seeded(Arc::clone(&clock) as _, 7);
        let ambient = match disk {
            Some(disk) => ambient.with_disk(disk),
            None => ambient,
        };
        let settings = JournalSettings {
            site: "CAS".parse().unwrap(),
            has_parent: false,
            server: "cas".to_owned(),
            directory: folder.path().join("logs"),
            max_log_bytes: 1 << 20,
            json_lines: false,
            merges: false,
        };
        let journal = Journal::open(store.clone(), settings, ambient.clone()).unwrap();
        let content = Content::new(Parts {
            store: store.clone(),
            files: Files::open(place).unwrap(),
            journal: journal.clone(),
            ambient,
            sources,
        });
        Self {
            folder,
            store,
            journal,
            clock,
            content,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Begins to fetch what is wanted.
    pub fn begin(&self) {
        self.tasks
            .spawn(self.content.clone().work(self.stop.clone()));
    }

    /// Ends at once, in the middle of whatever it does.
    pub async fn kill(self) -> Arc<tempfile::TempDir> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let folder = Arc::clone(&self.folder);
        drop(self.content);
        self.store.close().await;
        folder
    }

    pub fn now(&self) -> Timestamp {
        use daemon::Clock as _;
        self.clock.now()
    }

    pub async fn want(&self, files: &[ContentFile]) {
        let mut tx = self.store.begin().await.unwrap();
        tx.want_content(files, PRIORITY_APPROVED, self.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.content.nudge();
    }

    pub async fn row(&self, file: &ContentFile) -> ContentRow {
        let mut read = self.store.read().await.unwrap();
        read.content(&file.sha1).await.unwrap().unwrap()
    }

    /// Lets some time pass, so that what failed is tried again.
    pub fn later(&self) {
        self.clock.advance(SignedDuration::from_hours(2));
        self.content.nudge();
    }

    /// Waits until the state is as it should be.
    pub async fn until(&self, what: &str, is: impl Fn(&ContentState) -> bool) -> ContentState {
        let mut state = self.content.watch_state();
        let reached = tokio::time::timeout(LONG, state.wait_for(|state| is(state))).await;
        match reached {
            Ok(state) => state.unwrap().clone(),
            Err(_) => panic!("not {what}: {:?}", self.content.watch_state().borrow()),
        }
    }

    /// Waits until all is there.
    pub async fn until_done(&self, files: usize) {
        let all = |state: &ContentState| state.files == files as u64 && state.files_to_go == 0;
        self.until("all there", all).await;
    }

    /// Checks that a file lies where WSUS would have it, byte for byte, and nothing else does.
    pub async fn check(&self, file: &ContentFile, bytes: &Bytes) {
        let path = self.path(file);
        assert!(std::fs::read(&path).unwrap() == **bytes, "{path:?}");
        assert!(self.row(file).await.present_since.is_some());
    }

    pub fn path(&self, file: &ContentFile) -> PathBuf {
        let root = self.folder.path().join("WsusContent");
        root.join(file.folder()).join(file.stored_name())
    }

    /// The same in a store that lies elsewhere.
    pub fn path_in(&self, root: &tempfile::TempDir, file: &ContentFile) -> PathBuf {
        root.path().join(file.folder()).join(file.stored_name())
    }

    pub fn log(&self) -> String {
        self.journal.tail(1000).unwrap().join("\n")
    }
}
