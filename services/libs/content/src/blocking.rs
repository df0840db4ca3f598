//! Work with files, which the system may let wait.

use std::io;

/// Does it on a thread where waiting holds nobody up.
#[cfg(not(feature = "simulation"))]
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}

/// Does it here: simulated time stands still meanwhile.
#[cfg(feature = "simulation")]
#[expect(clippy::unused_async, reason = "its other form waits for a thread")]
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    work()
}
