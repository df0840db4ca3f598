//! Headwater among others: served to what speaks MS-WSUSSS, and measured by what is published about it.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

mod chain;
mod chain_files;
mod doors;
mod downstream;
mod paced;
mod replica;
mod restarts;
mod schemas;
