//! What tests are made with: the real program as processes, a network that can be slowed and cut,
//! databases that are looked into, a clock that stands still, bad input made from good. For tests and
//! benchmarks and nothing else: it panics where a test has to fail.
//!
//! Nothing here waits for a length of time: [`patience::until`] looks for an event and has a deadline.

pub mod clock;
pub mod database;
pub mod door;
pub mod hierarchy;
pub mod mutate;
pub mod patience;
pub mod postgres;
pub mod process;
pub mod program;
pub mod promtool;
pub mod proxy;
pub mod shared_data;
pub mod skip;
pub mod tinyproxy;
pub mod tls;

pub use clock::StillClock;
pub use database::Database;
pub use door::Door;
pub use hierarchy::{Hierarchy, Spoken};
pub use patience::until;
pub use postgres::Postgres;
pub use process::Process;
pub use proxy::Proxy;
pub use tinyproxy::Tinyproxy;
