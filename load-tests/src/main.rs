//! `load-tests <scenario>`: measures, prints a table, writes JSON.

use clap::Parser as _;
use ledger_classes::primitives::causes::in_a_sentence;
use load_tests::error::LoadError;
use load_tests::options::Options;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "load-tests: {}", in_a_sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), LoadError> {
    let report = load_tests::run(options)?;
    println!("{}", report.table());
    if let Some(path) = &options.json {
        let mut text = serde_json::to_string_pretty(&report).expect("a report is JSON");
        text.push('\n');
        std::fs::write(path, text).map_err(|source| LoadError::file(path, source))?;
    }
    Ok(())
}
