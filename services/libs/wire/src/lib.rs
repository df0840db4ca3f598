//! The contract between processes: code generated from `/proto`, and checked conversion to our types.
//!
//! Nothing that arrives from another process is used before it went through [`convert`].

pub mod convert;
pub mod text;

/// The messages and services of the package `headwater.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::cast_possible_truncation,
    clippy::large_futures,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("headwater.v1");
}

/// Encoded descriptors of all our messages and services, for gRPC reflection and for tests that walk them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
