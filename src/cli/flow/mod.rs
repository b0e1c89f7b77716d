//! Workflows: files of steps that call tools, pass data on and wait for people. Running one is a client's work:
//! everything that must survive is in the daemon already, as the calls that were made and the keys they were made
//! with.
//!
//! ```text
//!  file ──tree──▶ places kept ──decode──▶ Workflow ──check──▶ names, order ──arguments──▶ fits the tools
//!                                            │
//!  run:  engine ── scope, template ──▶ work: calls with keys ──▶ caller ──▶ the daemon
//! ```

pub mod arguments;
mod caller;
mod check;
pub mod decode;
pub mod definition;
mod detach;
mod draw;
mod engine;
pub mod inputs;
pub mod load;
mod plan;
mod progress;
mod queue;
mod record;
mod report;
mod run;
mod running;
mod scope;
mod template;
mod tree;
mod work;

pub use run::{Drive, Order, drawn, plan, run, sketched, sound};
