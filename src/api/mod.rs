//! L1, the wire contract that server and client share: each operation is a type with its method, path,
//! request and reply. There is no second list of paths.

pub mod admin;
pub mod approvals;
pub mod audit;
pub mod calls;
pub mod desk;
pub mod endpoint;
pub mod mcp;
pub mod problem;
pub mod runs;
pub mod tools;
pub mod upstreams;
