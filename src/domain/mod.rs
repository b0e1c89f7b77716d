//! L0, the words: every term of toolctl as a type that is parsed once. Pure: no I/O, no async, no
//! clock and no randomness; time, ids and salts come in as arguments.

pub mod approval;
pub mod audit;
pub mod call;
pub mod denial;
pub mod digest;
pub mod id;
pub mod json;
pub mod merkle;
pub mod outcome;
pub mod preview;
pub mod principal;
pub mod run;
pub mod text;
pub mod time;
pub mod tool;
