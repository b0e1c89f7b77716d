//! L1, the rules: one file per guard, each a pure decision and its proof type.

pub mod address;
pub mod approval;
pub mod policy;
pub mod quota;
pub mod schema;
