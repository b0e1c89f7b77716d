//! `/mcp`: the Model Context Protocol, revisions 2025-03-26 to 2026-07-28, side by side and decided per message.
//!
//! The door takes messages from two framings, Streamable HTTP (`http`) and one message a line (`lines`),
//! answers what is about the conversation itself ([`talk`]) and hands the rest to a [`service::Service`]: the
//! governed tools (`governed`), or the fixtures of the conformance suite (`fixtures`).

pub mod exchange;
pub mod lines;
pub mod message;
pub mod seal;
pub mod service;
pub mod talk;
