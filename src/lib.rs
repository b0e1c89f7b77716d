//! toolctl: see the modules; the crate documentation comes with the daemon.

pub mod api;
pub mod authn;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod guard;
pub mod pipeline;
pub mod server;
pub mod store;
pub mod tool;
pub mod transport;
