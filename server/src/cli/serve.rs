//! `chancery serve`: runs a peer until SIGTERM or SIGINT.

use super::ca::in_full;
use super::failure::Failure;
use super::output::Output;
use crate::{logging, peer};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Run the peer in a directory that `chancery init` made; SIGTERM drains
#[derive(Args, Debug)]
#[command(after_help = "\
Prints its addresses once it takes connections; logs go to standard error.

Example:
  $ chancery serve --dir peer-1")]
pub(super) struct Serve {
    /// The peer's directory, with chancery.toml
    #[arg(long, value_name = "DIR", env = "CHANCERY_DIR", default_value = ".")]
    dir: PathBuf,
}

impl Serve {
    /// Runs the command.
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let config = crate::config::Config::load(&self.dir).map_err(|error| Failure::usage(in_full(&error)))?;
        logging::start(&config.log).map_err(|error| Failure::usage(in_full(&error)))?;
        let announce = |peer: &peer::Peer| {
            let (api, metrics) = (format!("https://{}", peer.address()), peer.metrics_address());
            let document = json!({ "api": api, "metrics": metrics.map(|address| format!("http://{address}/metrics")) });
            output.show(&document, |_| format!("serving {api}\n")).map_err(|_| ())
        };
        let system = actix_rt::System::new();
        let served = system.block_on(peer::serve(&self.dir, config, announce));
        served.map_err(|error| Failure::unavailable(in_full(&error)))
    }
}
