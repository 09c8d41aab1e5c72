//! `chancery init`: makes a peer's directory.

use super::ca::{NewKey, PassphraseFile};
use super::failure::Failure;
use super::output::Output;
use super::status::access as access_text;
use crate::setup::{
    config::parse_listen,
    init::{InitOptions, init},
};
use clap::Args;
use pki::AlternativeName;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Make a consortium's authorities, this peer's certificate, the first administrator's profile, and the channel main
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  $ chancery init --dir peer-1 --consortium harbour.example --org bank")]
pub(super) struct Init {
    /// Directory to make; it must not exist
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Trust domain: a-z, 0-9, dot, hyphen and underscore
    #[arg(long, value_name = "NAME")]
    consortium: String,
    /// First member organization, which owns this peer
    #[arg(long, value_name = "NAME")]
    org: String,
    /// Where the peer will listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7100", value_parser = parse_listen)]
    listen: SocketAddr,
    /// Where metrics will be answered, in plain HTTP; empty or `off` for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7101")]
    metrics: String,
    /// Name or address under which clients reach the peer; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<AlternativeName>,
    /// Let anybody read the channel main and post to it, without a certificate; otherwise members only. `channel update
    /// main` changes it later
    #[arg(long)]
    public: bool,
    #[command(flatten)]
    passphrase: PassphraseFile,
    #[command(flatten)]
    key: NewKey,
}

impl Init {
    /// Runs the command.
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let mut options = InitOptions::new(&self.dir, &self.consortium, &self.org);
        options.listen = self.listen;
        options.metrics_listen = self.metrics;
        options.names = self.host;
        options.public = self.public;
        options.passphrase_file = self.passphrase.passphrase_file;
        options.authority_keys = self.key.place()?;
        let made = init(&options)?;
        let document = json!({
            "dir": made.dir, "peer": made.peer, "admin": made.admin, "profile": made.profile, "main": made.main,
            "public": made.public, "next_steps": made.next_steps,
        });
        output.show(&document, |_| {
            let (peer, admin, main) = (&made.peer, &made.admin, made.main);
            let access = access_text(made.public, made.public);
            let mut text = format!("peer   {peer}\nadmin  {admin}\nmain   {main}: {access}\n\nNext:\n");
            made.next_steps.iter().for_each(|step| text.push_str(&format!("  {step}\n")));
            text
        })
    }
}
