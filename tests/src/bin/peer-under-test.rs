//! The program `chancery` as the tests of this room start it: the same code under another name, so that it is always
//! built with them. Only here can its background tasks be broken: `PEER_UNDER_TEST_BREAKS=trust=1,disk=2` makes the task
//! `trust` panic once and `disk` twice.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Ok(breaks) = std::env::var("PEER_UNDER_TEST_BREAKS") {
        let times = breaks.split(',').map(|part| {
            let (name, times) = part.split_once('=').expect("name=times");
            (name.to_owned(), times.parse().expect("a number"))
        });
        channel_actors::runtime::tasks::break_for_tests(times.collect());
    }
    server::cli::main()
}
