//! Files that a downstream server wishes to have (`DownloadFiles` of MS-WSUSSS).

use crate::plane::Content;

impl Content {
    /// Has files fetched, by their SHA-1, before all others. Those that the verified catalog does not name are let
    /// go by. What fails is told in the log: who wished asks again.
    pub async fn wish(self, files: Vec<[u8; 20]>) {
        if let Err(error) = self.want(&files).await {
            tracing::error!(%error, "files that a downstream server asked for cannot be noted");
        }
    }

    async fn want(&self, files: &[[u8; 20]]) -> Result<(), store::Error> {
        let now = self.inner.parts.ambient.now();
        let mut tx = self.store().begin().await?;
        tx.ask_for_content(files, now).await?;
        tx.commit().await?;
        self.nudge();
        Ok(())
    }
}
