//! `chancery log`: append-only records.

use super::failure::Failure;
use super::session::{OnChannel, Paging, Session, Signing, ToChannel, digest_of, read_file};
use clap::Subcommand;
use ledger_classes::action::{Action, logs};
use ledger_classes::execution::logs::is_topic;
use ledger_classes::limits::LOG_BODY_BYTES_MAX;
use ledger_classes::primitives::hash::Hash;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Append a record
    #[command(after_help = "\
Example:
  $ chancery log append shipments.arrived --body 'container 7, seal intact' --digest-of photo.jpg --channel trade")]
    Append {
        /// Labels of a-z, 0-9 and hyphen, joined by dots
        topic: String,
        /// Text, at most 16 KiB
        #[arg(long, default_value = "", conflicts_with = "body_file")]
        body: String,
        /// File whose text is the body
        #[arg(long, value_name = "FILE")]
        body_file: Option<PathBuf>,
        /// SHA-256 of what the record is evidence of
        #[arg(long, value_name = "HEX", conflicts_with = "digest_of")]
        digest: Option<Hash>,
        /// File whose SHA-256 is the digest; the file itself stays here
        #[arg(long, value_name = "FILE")]
        digest_of: Option<PathBuf>,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Box<Signing>,
    },
    /// List records by topic, of each topic oldest first
    #[command(after_help = "\
Example:
  $ chancery log list --topic shipments.arrived --limit 20")]
    List {
        /// One topic only
        #[arg(long)]
        topic: Option<String>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Append { topic, body, body_file, digest, digest_of: file, on, signing } => {
                let body = match body_file {
                    None => body,
                    Some(path) => String::from_utf8(read_file(&path, LOG_BODY_BYTES_MAX as u64)?)
                        .map_err(|_| Failure::usage(format!("{} is not UTF-8", path.display())))?,
                };
                let digest = match file {
                    Some(path) => Some(digest_of(&path)?),
                    None => digest,
                };
                if !is_topic(&topic) {
                    return Err(Failure::usage(format!(
                        "{topic:?} is no topic: labels of a-z, 0-9 and hyphen, joined by dots"
                    )));
                }
                let append = Action::LogAppend(logs::Append { topic, digest, body });
                session.act(&on.channel, append, &signing).await
            }
            Self::List { topic, paging, on } => {
                let page = session.connection.logs(&on.channel, topic.as_deref(), paging.part()).await?;
                session.output.page(&page, &["time", "topic", "author", "body", "digest", "transaction"])
            }
        }
    }
}
