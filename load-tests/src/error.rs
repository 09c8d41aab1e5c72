//! Why a measurement has no result.

use client::connection::{OpenError, RequestError};
use client::profile::ProfileError;
use client::submit::SubmitError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a measurement has no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such scenario.
    #[error("no scenario {given:?}: there are {known}")]
    Scenario {
        /// What was asked for.
        given: String,
        /// What there is.
        known: String,
    },
    /// The program under test is not there.
    #[error("{} is not there: cargo build --release -p server, or name it with --chancery PATH", .0.display())]
    Chancery(PathBuf),
    /// A file.
    #[error("{}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A command of the program under test failed.
    #[error("chancery {command} failed: {output}")]
    Command {
        /// Its arguments.
        command: String,
        /// What it said.
        output: String,
    },
    /// The program given by `--yardstick` does not measure.
    #[error("{} does not measure the limit: {output}", program.display())]
    Yardstick {
        /// The program.
        program: PathBuf,
        /// What it said.
        output: String,
    },
    /// The peer ended, or does not come up.
    #[error("the peer {what}; the end of its log:\n{log}")]
    Peer {
        /// What happened.
        what: &'static str,
        /// The end of its log.
        log: String,
    },
    /// The profile that `chancery init` made.
    #[error("the administrator's profile")]
    Profile(#[from] ProfileError),
    /// No connection from the profile.
    #[error("a connection")]
    Open(#[from] OpenError),
    /// A request.
    #[error("a request")]
    Request(#[from] RequestError),
    /// A submission.
    #[error("a submission")]
    Submit(#[from] SubmitError),
    /// A connection that the generator made by itself.
    #[error("a connection of the generator")]
    Wire(#[from] io::Error),
    /// What the accounts under load need was not committed.
    #[error("preparing the accounts: {0}")]
    Setup(String),
    /// A task of the generator ended by a panic.
    #[error("the generator failed")]
    Generator(#[from] tokio::task::JoinError),
}

impl LoadError {
    /// A file that cannot be read or written.
    pub fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}
