//! The next certificate of a CA, and the next root of the consortium.

use super::{NewKey, directory::Directory};
use crate::{
    cli::{
        failure::Failure,
        output::{Output, note, table, when},
    },
    clock,
};
use ca::office::{
    record::CertificateRecord,
    rollover::{RolloverError, RolloverStage, RolloverStatus},
};
use clap::{Args, Subcommand};

/// Certify an organization's CA again, before its certificate expires
#[derive(Args, Debug)]
#[command(after_help = "\
Key and name stay, so everything that the CA has signed holds under both certificates, and nobody has to act at once.
Certificates that are issued or renewed from now on carry the new one in their path. Channels that list the old one
should be given the new one before the old one expires.

Example:
  $ chancery ca reissue bank --dir peer-1")]
pub(super) struct Reissue {
    /// Organization whose CA is certified
    organization: String,
}

impl Reissue {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let made = directory.open()?.authorities().reissue(&self.organization, clock::now())?;
        output.show(&made, |made| {
            format!("the CA of {} has serial {} now, valid until {}\n", made.name, made.serial, when(made.not_after))
        })
    }
}

/// Replace the consortium's root, with nobody refused on the way
#[derive(Args, Debug)]
#[command(after_help = "\
Three steps: `start` makes a new root and has both trusted, `switch` lets the new one certify, `retire` ends the trust
in the old one. Each may be repeated. Between them everybody renews once (`chancery ca renew`); `status` says for whom
the next step waits. It knows what was handed to whom, not whether it is in use.

Example:
  $ chancery ca rollover status --dir peer-1")]
pub(super) struct Rollover {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Make a new root beside the old one: both are trusted, the old one certifies
    #[command(after_help = "Example:\n  $ chancery ca rollover start --dir peer-1")]
    Start {
        #[command(flatten)]
        key: NewKey,
    },
    /// Let the new root certify, and every issuing CA under it
    #[command(after_help = "Example:\n  $ chancery ca rollover switch --dir peer-1")]
    Switch {
        /// Do it although some may not trust the new root yet: they cannot connect until they do
        #[arg(long)]
        force: bool,
    },
    /// End the trust in the old root
    #[command(after_help = "Example:\n  $ chancery ca rollover retire --dir peer-1")]
    Retire {
        /// Do it although some may still use a path under the old root: they are refused until they renew
        #[arg(long)]
        force: bool,
    },
    /// Where the rollover is, and for whom the next step waits
    #[command(after_help = "Example:\n  $ chancery ca rollover status --dir peer-1")]
    Status,
}

impl Rollover {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        let now = clock::now();
        let done = match self.step {
            Step::Start { key } => folder.rollover().start(key.place()?, now),
            Step::Switch { force } => folder.rollover().switch(force, now),
            Step::Retire { force } => folder.rollover().retire(force, now),
            Step::Status => Ok(folder.records()?.rollover_status(now)),
        };
        match done {
            Ok(status) => output.show(&status, text),
            // The list is the answer; that nothing was done is in the exit code and on standard error.
            Err(error @ RolloverError::Waiting(_)) => {
                output.show(&folder.records()?.rollover_status(now), text)?;
                note(&format!("nothing was done: {error}"));
                Err(Failure::Reported)
            }
            Err(error) => Err(Failure::refused(super::in_full(&error))),
        }
    }
}

/// Where it is, who is waited for, and what to do next.
fn text(status: &RolloverStatus) -> String {
    let root = &status.root;
    let beside = status.beside.as_deref().unwrap_or_default();
    let (standing, missing, next) = match status.stage {
        RolloverStage::None => {
            return format!("{root} certifies, and no other root is trusted\nnext: nothing\n");
        }
        RolloverStage::Started => (
            format!("{root} certifies; {root} and {beside} are trusted"),
            format!("were handed nothing since {beside} was made, and may not trust it"),
            "`chancery ca rollover switch`",
        ),
        RolloverStage::Switched => (
            format!("{root} certifies; {root} and {beside} are trusted"),
            format!("were handed a path under {beside} last, and may still use it"),
            "`chancery ca rollover retire`",
        ),
    };
    if status.waiting.is_empty() {
        return format!("{standing}\nnext: {next}\n");
    }
    let row = |of: &CertificateRecord| {
        vec![of.serial.to_string(), of.identity.to_string(), when(of.not_after), when(of.handed_out)]
    };
    let rows: Vec<Vec<String>> = status.waiting.iter().map(row).collect();
    let rows = table(&["serial", "identity", "not after", "handed out"], &rows);
    format!(
        "{standing}\n{} certificates {missing}:\n{rows}next: renew or revoke these, then {next}\n",
        status.waiting.len()
    )
}
