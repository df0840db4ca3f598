//! What people and scripts ask of any site: who may ask, and everything that only reads. A site shows its own
//! verified catalog, itself and what is below it.
//!
//! The top-level site adds what changes anything; at every other site [`Replica`] refuses that and says where to
//! do it.

pub mod access;
pub mod content_admin;

pub mod credential;
pub mod decisions_shown;
pub mod json;
pub mod messages;
pub mod openapi;
pub mod reading;
pub mod replica;
pub mod runs;
pub mod updates;

pub use access::Access;
pub use content_admin::ContentAdmin;

pub use reading::{Caller, Reading, internal};
pub use replica::Replica;
pub use updates::Catalog;

/// The services of the admin API by themselves, for what calls them in this process: `add` is what adds them to the
/// site's own router, too.
pub fn services(add: impl FnOnce(&mut tonic::service::RoutesBuilder)) -> tonic::service::Routes {
    let mut routes = tonic::service::RoutesBuilder::default();
    add(&mut routes);
    routes.routes()
}
