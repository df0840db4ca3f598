//! What downstream servers wish for.

use crate::Content;
use catalog::content::ContentId;
use std::collections::HashSet;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Is told the SHA-1 of the files that downstream servers wish to have.
pub type Wishes = Arc<dyn Fn(&[[u8; 20]]) + Send + Sync>;

impl Content {
    /// Has files fetched that a downstream server asks for (`DownloadFiles` of MS-WSUSSS), before all others, and keeps
    /// them for 30 days after it asked last, whatever else needs them. Those that the verified catalog does not
    /// name, which are not fetched. May be repeated.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wish(&self, ids: &[ContentId]) -> Result<Vec<ContentId>, store::Error> {
        let wishes: Vec<[u8; 20]> = ids.iter().map(|id| id.0).collect();
        let now = self.inner.parts.ambient.now();
        let mut tx = self.store().begin().await?;
        let unknown = tx.ask_for_content(&wishes, now).await?;
        tx.commit().await?;
        self.nudge();
        let unknown: HashSet<[u8; 20]> = unknown.into_iter().collect();
        let told = ids.iter().copied();
        Ok(told.filter(|id| unknown.contains(&id.0)).collect())
    }

    /// The same as a call that returns at once and is done in `tasks`: what fails is told in the log, and who wished
    /// asks again.
    pub fn wishes(&self, tasks: &TaskTracker) -> Wishes {
        let (content, tasks) = (self.clone(), tasks.clone());
        Arc::new(move |files| {
            let (content, ids) = (content.clone(), files.iter().copied().map(ContentId));
            let ids: Vec<ContentId> = ids.collect();
            tasks.spawn(async move {
                if let Err(error) = content.wish(&ids).await {
                    tracing::error!(%error, "files that a downstream server asked for cannot be noted");
                }
            });
        })
    }
}
