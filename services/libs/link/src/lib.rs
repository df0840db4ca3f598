//! Site to site: the gRPC link over mutual TLS, from both ends.
//!
//! A child dials its parent ([`attachment`]) and pulls from it ([`pull`]); a parent listens ([`listen`]),
//! keeps a conversation with each child ([`children`]) and serves pulls ([`serve_pull`]). A
//! child whose catalog differs compares it ([`compare`], [`serve_compare`]). Who the peer is
//! comes from its certificate ([`peer`]), never from a message.

pub mod address;
pub mod attachment;
pub mod children;
pub mod compare;
pub mod condition;
pub mod content;
pub mod cut_off;
pub mod dial;
pub mod enrollment;
pub mod listen;
pub mod log_route;
pub mod metrics;
pub mod moved;
pub mod peer;
pub mod pull;
pub mod refusals;
pub mod reporter;
pub mod reports;
mod rewound;
pub mod router;
pub mod serve_compare;
pub mod serve_pull;
pub mod settings;
pub mod site;
pub mod verdict;
pub mod ways;

pub use peer::Peer;
pub use site::{Admission, Site};

/// Version of this program, as sites tell it to each other.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
