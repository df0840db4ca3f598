//! A connection on which nothing is taken any more: what was to be sent on it does not stay in memory, and keeps
//! nobody's place.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a connection may take nothing of what is to be sent on it.
pub const SLOWEST_PART: Duration = Duration::from_secs(120);

/// A stream that fails where nothing is taken of what is written to it for [`SLOWEST_PART`].
pub struct Stalling<S> {
    stream: S,
    /// Runs while nothing is taken.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    /// The stream, watched over.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            until: None,
        }
    }

    /// What a write came to, unless it has come to nothing for too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until = None;
            return written;
        }
        let until = &mut self.until;
        let until = until.get_or_insert_with(|| Box::pin(tokio::time::sleep(SLOWEST_PART)));
        until.as_mut().poll(context).map(|()| {
            let text = "nothing was taken for too long";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watched(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    /// What a connection between two holds.
    const HELD: usize = 64;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_two_minutes_is_cut_off() {
        let (ours, _theirs) = tokio::io::duplex(HELD);
        let mut ours = Stalling::new(ours);
        ours.write_all(&[1; HELD]).await.unwrap();
        // Waiting for a request is no stall.
        tokio::time::sleep(SLOWEST_PART * 10).await;
        let began = Instant::now();
        let cut_off = ours.write_all(&[1; HELD]).await.unwrap_err();
        assert_eq!(cut_off.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), SLOWEST_PART.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_slowly_gets_everything() {
        let (ours, mut theirs) = tokio::io::duplex(HELD);
        let mut ours = Stalling::new(ours);
        let write = async {
            ours.write_all(&[1; HELD * 5]).await.unwrap();
            ours.shutdown().await.unwrap();
        };
        let read = async {
            let mut came = 0;
            for _ in 0..5 {
                tokio::time::sleep(SLOWEST_PART / 2).await;
                let mut part = [0; HELD];
                came += theirs.read(&mut part).await.unwrap();
            }
            came
        };
        let ((), came) = tokio::join!(write, read);
        assert_eq!(came, HELD * 5);
    }
}
