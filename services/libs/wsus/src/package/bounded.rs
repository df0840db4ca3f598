//! A reader that lets no piece of its input become longer than memory should hold.

use std::io::{self, BufRead, Read};

/// Gives up to a number of bytes, then an error, until it is told that a new piece begins.
pub(super) struct Bounded<R> {
    inner: R,
    limit: usize,
    left: usize,
}

impl<R> Bounded<R> {
    pub fn new(inner: R, limit: usize) -> Self {
        Self {
            inner,
            limit,
            left: limit,
        }
    }

    /// A new piece begins.
    pub fn begin(&mut self) {
        self.left = self.limit;
    }

    /// Whether the piece was longer than the limit.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let buffer = self.inner.fill_buf()?;
        Ok(&buffer[..buffer.len().min(self.left)])
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
