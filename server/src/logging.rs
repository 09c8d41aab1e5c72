//! Logs: text for people or one JSON object a line, to standard error, so that standard output stays the command's.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not parse.
    #[error("log.level: {0}")]
    Level(String),
    /// Somebody has set a subscriber already.
    #[error("logs are set up already")]
    Twice,
}

/// Sets up the process's logs, once.
pub fn start(log: &Log) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| LoggingError::Level(error.to_string()))?;
    // Colours are for terminals; in a file or a journal they are noise.
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| LoggingError::Twice)
}
