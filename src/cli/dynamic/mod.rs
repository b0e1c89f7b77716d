//! Flags from a tool's JSON Schema. Pure functions: schema to properties, properties to a command, what was
//! typed to a JSON object. What flags cannot express is given as JSON; the daemon's schema guard is the judge.

pub mod build;
pub mod collect;
pub mod complete;
pub mod convert;
pub mod help;
pub mod schema;
pub mod split;

#[cfg(test)]
pub mod sample;
