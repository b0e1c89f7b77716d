//! One test binary for everything that needs more than one module: a real daemon, its doors, its client, and
//! what they leave on disk.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod canonical;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod examples;
// Builds without debug assertions have no fail points.
#[cfg(test)]
mod executors;
#[cfg(all(test, debug_assertions))]
#[cfg(test)]
mod failpoints;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod http;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod rmcp;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod waits;
