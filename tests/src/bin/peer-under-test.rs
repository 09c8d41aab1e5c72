//! The program `chancery` as the tests of this room start it: the same code under another name, so that it is always
//! built with them.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::cli::main()
}
