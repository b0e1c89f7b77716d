//! The program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    toolctl::cli::main(std::env::args_os())
}
