//! `chancery serve`: runs a peer until SIGTERM or SIGINT.

use super::ca::in_full;
use super::failure::{Failure, Message};
use super::output::{Output, promptly};
use crate::{
    peer::{self, Process},
    setup::config::Config,
    telemetry::logging,
};
use channel_actors::runtime::tasks::Tasks;
use clap::Args;
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// Run the peer in a directory that `chancery init` made; SIGTERM drains, SIGHUP reads again what can be
#[derive(Args, Debug)]
#[command(after_help = "\
Prints its addresses once it takes connections; logs go to standard error.

A peer whose channels are not where they were, as in a copy of its directory, seals and issues nothing: it only reads.

Examples:
  $ chancery serve --dir peer-1
  $ chancery serve --dir peer-1 --moved")]
pub(super) struct Serve {
    /// The peer's directory, with chancery.toml
    #[arg(long, value_name = "DIR", env = "CHANCERY_DIR", default_value = ".")]
    dir: PathBuf,
    /// The directory was moved here, and no other peer seals or issues with its keys: begins a new incarnation. For one start
    #[arg(long)]
    moved: bool,
}

impl Serve {
    /// Runs the command. `variables` are those that commands read.
    pub(super) fn run(self, variables: &BTreeSet<String>, output: Output) -> Result<(), Failure> {
        let config = Config::load(&self.dir).map_err(|error| Failure::usage(in_full(&error)))?;
        if !self.dir.join(&config.certificate_dir).exists() {
            return Err(Failure::usage(format!(
                "{} is no peer's directory, since {} is not there: `chancery init --dir DIR` makes one, and --dir names it",
                self.dir.display(),
                self.dir.join(&config.certificate_dir).display()
            )));
        }
        let tasks = Tasks::default();
        let logs = logging::start(&config.log, &tasks).map_err(|error| Failure::usage(in_full(&error)))?;
        for remark in Config::remarks(&self.dir, variables) {
            tracing::warn!("{remark}");
        }
        let logs = Arc::new(logs);
        let announce = |peer: &peer::Peer| {
            let (api, metrics) = (format!("https://{}", peer.address()), peer.metrics_address());
            let document = json!({ "api": api, "metrics": metrics.map(|address| format!("http://{address}/metrics")) });
            // The log has the address, too: a peer serves, whether or not anybody reads its standard output.
            match promptly(move || output.show(&document, |_| format!("serving {api}\n"))) {
                Some(Ok(())) => {}
                Some(Err(failure)) => {
                    let error = failure.message();
                    let error = error.as_ref().map_or("", Message::as_str);
                    tracing::warn!(error, "the address cannot be written to standard output");
                }
                None => tracing::warn!("nobody reads the address on standard output"),
            }
        };
        let process = Process { tasks, logs: Some(Arc::clone(&logs)), moved: self.moved };
        let system = actix_rt::System::new();
        let served = system.block_on(peer::serve(&self.dir, config, process, announce));
        served.map_err(|error| Failure::unavailable(in_full(&error)))
    }
}
