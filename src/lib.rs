//! toolctl puts operational tools behind guards: a daemon that lets agents and scripts call them, and the client for
//! it. The library exists for the binary and its tests.
//!
//! # The one idea
//!
//! A call is a state machine, and its history is the audit log. Idempotency, approval and audit are three views of the
//! life of a [`Call`](domain::call::Call); [`Call::apply`](domain::call::Call::apply) is its law.
//!
//! # The path
//!
//! [`Pipeline::submit`](pipeline::Pipeline::submit) is the whole of it, a guard a line:
//!
//! ```text
//! who is it        authn            -> Principal
//! how fast         guard::quota     -> QuotaState
//! is there one     rulebook         -> Tool
//! well-formed      guard::schema    -> Arguments   (canonical bytes, two digests)
//! may they         guard::policy    -> Permit      (rules, requirements)
//! done before,     Ledger::open     -> one transaction: the call, its approval, its record
//! must people agree
//! run it           Executor         <- Cleared     (exists only once the dispatch is durable)
//! record it        Ledger::advance  -> the outcome is durable before anybody sees it
//! ```
//!
//! # The layers
//!
//! Each may name only those above it in this list; a test holds them to it.
//!
//! | layer | modules |
//! | --- | --- |
//! | L0, pure | [`domain`] |
//! | L1, pure | [`guard`], [`api`] |
//! | L2 | [`pipeline`] and its ports |
//! | L3, the world | [`store`], [`tool`], [`authn`], [`runner`], [`transport`], [`config`], [`clock`]: none names another, but `runner` starts processes by `transport` |
//! | L4 | [`server`]; [`client`] |
//! | L5 | [`daemon`] puts it together |
//! | L6 | [`cli`] |
//!
//! # The laws
//!
//! 1. No effect without a record, and no answer before the outcome is durable.
//! 2. Below the adapters nothing touches the world.
//! 3. Parse once, carry proof: a permit, arguments or a cleared call cannot be forged from outside.
//! 4. Time never makes an unsafe thing safe.
//! 5. Errors mean no.
//! 6. The order of the guards stands in one place.

pub mod api;
pub mod authn;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod guard;
pub mod pipeline;
pub mod runner;
pub mod server;
pub mod store;
pub mod tool;
pub mod transport;
