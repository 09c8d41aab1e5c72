//! Logs: text for people or one JSON object a line, to standard error, so that standard output stays the command's.
//!
//! Logging never panics and never blocks (decision 0016): a line is handed to a queue with a bound
//! ([`crate::telemetry::log_lines`]) and written by a thread of its own. What finds no room there, and what could not
//! be written, is lost and counted.

use crate::{
    setup::config::{Log, LogFormat},
    telemetry::log_lines::LogLines,
};
use channel_actors::runtime::tasks::Tasks;
use std::{backtrace, io, io::IsTerminal as _, panic, thread};
use tracing_subscriber::{
    Layer as _, Registry,
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not parse.
    #[error("log.level: {0}")]
    Level(String),
    /// Somebody has set a subscriber already.
    #[error("logs are set up already")]
    Twice,
    /// No thread can be started.
    #[error("the log's thread")]
    Thread(#[source] io::Error),
}

/// The process's logs. Dropping this writes what waits, for a second at most.
#[derive(Debug)]
pub struct Logs {
    lines: LogLines,
    filter: reload::Handle<Targets, Registry>,
}

/// Sets up the process's logs, once. What panics is a line of them, too: the standard library's own way of saying it
/// would wait for whoever reads standard error.
pub fn start(log: &Log, tasks: &Tasks) -> Result<Logs, LoggingError> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let lines = LogLines::start(tasks, io::stderr).map_err(LoggingError::Thread)?;
    let writer = lines.clone();
    // Colours are for terminals; in a file or a journal they are noise.
    let layer = fmt::layer()
        .with_writer(move || writer.clone())
        .with_ansi(io::stderr().is_terminal())
        // It would write them to standard error, and panic if it cannot.
        .log_internal_errors(false);
    let layer = match log.format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(layer).try_init();
    started.map_err(|_| LoggingError::Twice)?;
    panic::set_hook(Box::new(say_panic));
    Ok(Logs { lines, filter: handle })
}

/// The library under HTTP calls every malformed request an error of its own; `connections.rs` says the same, at info.
const UNDER_HTTP: &str = "actix_http::h1::dispatcher";

fn filter(level: &str) -> Result<Targets, LoggingError> {
    let quiet = format!("{UNDER_HTTP}=off,{level}");
    // Its own words decide if there are some.
    let text = if level.contains("actix_http") { level } else { &quiet };
    text.parse().map_err(|error: ParseError| LoggingError::Level(error.to_string()))
}

fn say_panic(panic: &panic::PanicHookInfo<'_>) {
    let (thread, place) = (thread::current(), panic.location().map(ToString::to_string));
    let (thread, place) = (thread.name().unwrap_or("?"), place.as_deref().unwrap_or("?"));
    let message = panic.payload_as_str().unwrap_or_default();
    let trace = backtrace::Backtrace::capture();
    match trace.status() {
        backtrace::BacktraceStatus::Captured => tracing::error!(thread, place, %trace, "panicked: {message}"),
        _ => tracing::error!(thread, place, "panicked: {message}"),
    }
}

impl Logs {
    /// Lines that were lost since the start.
    pub fn lines(&self) -> &LogLines {
        &self.lines
    }

    /// From now on another filter.
    pub fn set_level(&self, level: &str) -> Result<(), LoggingError> {
        // It lives as long as the process.
        self.filter.reload(filter(level)?).map_err(|error| LoggingError::Level(error.to_string()))
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.lines.flush();
    }
}
