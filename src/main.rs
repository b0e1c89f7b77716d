//! The program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    toolctl::tool::command::entered(&args).unwrap_or_else(|| toolctl::cli::main(args))
}
