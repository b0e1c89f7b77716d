//! toolctl: see the modules; the crate documentation comes with the daemon.

pub mod api;
pub mod domain;
pub mod guard;
pub mod pipeline;
pub mod store;
pub mod tool;
