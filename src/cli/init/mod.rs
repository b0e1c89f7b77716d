//! Setting up MCP clients: each gets one entry in its own config file that starts `toolctl mcp`, and one key of
//! its own, so that the log names it. The file belongs to the person: nothing in it changes but our entry, what
//! will change is shown first, and the old file is kept.
//!
//! A key is never written there: the entry names a stored key (`--as NAME`), whose file only its owner can read.

pub mod client;
pub mod diff;
pub mod edit;
pub mod entry;
pub mod file;
pub mod foreign;
pub mod key;
pub mod place;
pub mod plan;
