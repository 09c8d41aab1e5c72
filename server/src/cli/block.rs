//! `chancery block`: a channel's blocks for other programs.

use super::failure::Failure;
use super::output::{clean, pairs};
use super::progress::Progress;
use super::session::Session;
use channel_actors::block::file::{BlockFileError, BlockFileWriter};
use clap::Subcommand;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a channel's blocks into one file, for other programs
    #[command(after_help = "\
Needs the right to read every class of the channel. The file begins with its version (16 bits), then come the blocks from
genesis on, each with its length (64 bits) before it; both are little-endian, and blocks are as the log has them. To keep
blocks, and to add new ones later, there is `chancery channel fetch`.

Example:
  $ chancery block export trade --file trade.blocks")]
    Export {
        /// Channel, by name or by id
        channel: String,
        /// File to make; one that is there stays as it is
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::Export { channel, file } = self;
        let cannot = |error: &io::Error| Failure::usage(format!("{}: {error}", file.display()));
        let view = session.connection.channel(&channel).await?;
        let mut create = OpenOptions::new();
        let made = files::private(&mut create).write(true).create_new(true).open(&file);
        let out = made.map_err(|error| cannot(&error))?;
        let written = export(session, &view.id.to_string(), view.height, &view.name, out, &file).await;
        if written.is_err() {
            // It was made a moment ago, and is not what its name says.
            let _ = std::fs::remove_file(&file);
        }
        let (height, tip) = written?;
        let document = json!({ "name": view.name, "channel": view.id, "height": height, "tip": tip, "file": file });
        session.output.show(&document, |_| {
            pairs(&[
                ("channel", clean(&view.name)),
                ("id", view.id.to_string()),
                ("height", height.to_string()),
                ("tip", tip.to_string()),
            ])
        })
    }
}

/// Writes the blocks up to `height`. Gives the height of the last one and its header's hash.
async fn export(
    session: &Session,
    id: &str,
    height: u64,
    name: &str,
    out: std::fs::File,
    file: &Path,
) -> Result<(u64, ledger_classes::primitives::hash::Hash), Failure> {
    let cannot = |error: io::Error| Failure::usage(format!("{}: {error}", file.display()));
    let refused = |error| match error {
        BlockFileError::File(error) => cannot(error),
        BlockFileError::Block(error) => Failure::from(error),
    };
    let channel = id.parse().map_err(|_| Failure::refused("the peer names the channel by no id"))?;
    let mut writer = BlockFileWriter::new(BufWriter::with_capacity(1 << 16, out), channel).map_err(cannot)?;
    let mut progress = Progress::new(session.output);
    while writer.next() <= height {
        let blocks = session.connection.encoded_blocks(id, writer.next()).await?;
        if blocks.is_empty() {
            return Err(Failure::unavailable(format!("the peer gives no block {}", writer.next())));
        }
        for block in &blocks {
            writer.append(block).map_err(refused)?;
        }
        progress.show(name, writer.next() - 1, height.max(writer.next() - 1));
    }
    drop(progress);
    let (last, tip) = (writer.next() - 1, writer.tip().unwrap_or_default());
    let out = writer.finish().map_err(cannot)?.into_inner().map_err(|error| cannot(error.into_error()))?;
    out.sync_all().map_err(cannot)?;
    Ok((last, tip))
}
