//! `chancery demo`: everything at work on this machine.

use super::failure::Failure;
use super::output::Output;
use crate::setup::init::{InitOptions, init, write_profile};
use crate::setup::operator;
use ca::Cause;
use clap::Args;
use demo::{DemoError, DemoOptions, NewPeer, Setup, run};
use std::io;
use std::path::{Path, PathBuf};

/// Show a whole consortium at work on this machine, and check it
#[derive(Args, Debug)]
#[command(after_help = "\
Makes three organizations, a peer, two private channels, a loan and an auction by client processes, subscribers, an
outsider, a revocation, a proof and a verified ledger. Stays up to look around unless --exit; then the exit code is 0
only if every step held.

Example:
  $ chancery demo
  $ chancery demo --exit --dir demonstration")]
pub(super) struct Demo {
    /// Make everything here and keep it; the directory is new or empty. A temporary one if absent
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// End after the last step
    #[arg(long)]
    exit: bool,
}

impl Demo {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let options = DemoOptions { dir: self.dir, exit: self.exit, quiet: output.json };
        let mut printed = Ok(());
        // Programs get the document when the last step is made, not when somebody ends the demonstration.
        let played = run(&options, Box::new(Maker), |report| {
            if output.json {
                printed = output.line(&report.document);
            }
        });
        match played {
            Err(error @ DemoError::NotEmpty(_)) => Err(Failure::usage(error.to_string())),
            Err(error) => Err(Failure::refused(ledger_classes::primitives::causes::in_one_line(&error))),
            Ok(report) if report.held && !report.stopped => printed,
            Ok(_) => printed.and(Err(Failure::Reported)),
        }
    }
}

/// Makes the demonstration's peer as `chancery init` makes one.
#[derive(Debug)]
struct Maker;

impl Setup for Maker {
    fn make_peer(&self, peer: &NewPeer<'_>) -> io::Result<PathBuf> {
        let mut options = InitOptions::new(peer.dir, peer.consortium, peer.organization);
        options.admin = peer.admin.to_owned();
        options.listen = peer.listen;
        options.metrics_listen = peer.metrics_listen.to_string();
        Ok(init(&options).map_err(io::Error::other)?.profile)
    }

    fn make_profile(&self, folder: &Path, address: &str, consortium: &str) -> io::Result<()> {
        write_profile(folder, address, consortium, None).map_err(io::Error::other)
    }

    fn cause(&self) -> Cause {
        operator::cause("chancery demo")
    }
}
