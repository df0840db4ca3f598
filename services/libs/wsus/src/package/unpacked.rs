//! A limit on what a member unpacks to, by the size of the package: genuine ones unpack to some tens of times
//! their size.

use super::Error;
use std::io::{self, Read};
use std::path::Path;

/// What may always be unpacked.
const ALWAYS: u64 = 64 << 20;
/// How many times its size a package may unpack to beyond that.
const MOST_TIMES: u64 = 200;

/// Bytes that a member of a package may unpack to.
pub(super) fn room(path: &Path) -> Result<u64, Error> {
    let file = std::fs::metadata(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok(file.len().saturating_mul(MOST_TIMES).saturating_add(ALWAYS))
}

/// Gives up to a number of bytes, then an error.
pub(super) struct Unpacked<R> {
    inner: R,
    left: u64,
}

impl<R> Unpacked<R> {
    pub fn new(inner: R, room: u64) -> Self {
        Self { inner, left: room }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!(
                "it unpacks to more than {MOST_TIMES} times the size of the package, as no catalog does"
            ))
        })?;
        Ok(read)
    }
}
