//! The pages, one a module.

pub mod alerts;
pub mod downstream;
pub mod hierarchy;
pub mod log;
pub mod login;
pub mod run;
pub mod runs;
pub mod settings;
pub mod site;
pub mod sites;
pub mod status;
pub mod sync;
pub mod update;
pub mod updates;
