//! A real child site in this process, and what it shows.

use daemon::Ambient;
use link::Site;
use link::dial::TcpConnector;
use std::sync::Arc;
use store::Store;
use store::access::AccessTokenRow;
use store::query::RevisionRow;
use tempfile::TempDir;
use testkit::patience::LONG;
use testkit::until;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::{AccessToken, AuthorityPin, Role};

/// A site that runs until it is dropped.
pub struct Child {
    pub site: Site,
    _stop: DropGuard,
    folder: TempDir,
}

impl Child {
    /// Starts a site with these settings, which joins; with a listener it takes children in.
    pub async fn start(
        settings: impl FnOnce(&std::path::Path) -> agent::Settings,
        listener: Option<TcpListener>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let stop = CancellationToken::new();
        let listener = listener.map(|listener| {
            let address = listener.local_addr().unwrap();
            (listener, address)
        });
        let connector = Arc::new(TcpConnector);
        let ambient = Ambient::system();
        let agent = agent::run(&settings, listener, connector, ambient, stop.clone());
        let agent = Box::pin(agent).await.unwrap();
        Self {
            site: agent.site,
            _stop: stop.drop_guard(),
            folder,
        }
    }

    /// The token with which the verbs work on its machine.
    pub fn local_credential(&self) -> AccessToken {
        let text = std::fs::read_to_string(self.folder.path().join("admin-credential.json"));
        let credential: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
        AccessToken::decode(credential["token"].as_str().unwrap()).unwrap()
    }

    /// A new access token, as it is sent.
    pub async fn token(&self, pin: AuthorityPin, role: Role) -> String {
        use secrecy::ExposeSecret as _;
        let ambient = &self.site.ambient;
        let token = AccessToken::new(self.site.code, pin, &mut ambient.new_rng());
        let mut tx = self.site.store.begin().await.unwrap();
        let (hash, name) = (token.hash(), role.name());
        let row = AccessTokenRow::new(name, name, ambient.now());
        tx.put_access_token(hash.as_bytes(), &row).await.unwrap();
        tx.commit().await.unwrap();
        format!("Bearer {}", token.encode().expose_secret())
    }

    /// Waits until the site has verified a position.
    pub async fn reaches(&self, position: u64) {
        until(&format!("position {position} is verified"), LONG, || {
            let verified = self.site.store.positions().verified;
            let state = self.site.engine.state();
            let there = (verified == position).then_some(());
            std::future::ready(there.ok_or_else(|| format!("it is {verified}: {state:?}")))
        })
        .await;
    }

    /// Texts of the site's own status messages of one kind, the oldest first.
    pub async fn messages(&self, id: u32) -> Vec<String> {
        let mut read = self.site.store.read().await.unwrap();
        let mut rows = read
            .status_messages(Some(self.site.code), 10_000)
            .await
            .unwrap();
        rows.retain(|row| row.status_id == id);
        let texts = rows
            .into_iter()
            .rev()
            .map(|row| journal::journal::message_of(row).text());
        texts.collect()
    }
}

/// Everything that a site shows: each revision with header and document.
pub async fn shown(store: &Store) -> Vec<RevisionRow> {
    let mut read = store.read().await.unwrap();
    let mut shown = Vec::new();
    for row in read.revisions_after(0, 100_000).await.unwrap() {
        shown.push(read.revision(row.id).await.unwrap().unwrap());
    }
    shown
}
