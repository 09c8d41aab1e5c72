//! `chancery channel fetch`: a channel's blocks in plain files, for whoever may read all of it, such as an auditor.

use crate::cli::{
    ca::in_full,
    failure::Failure,
    output::{clean, pairs},
    progress::Progress,
    session::Session,
};
use channel_actors::block::folder::{BlockFolderError, BlockWriter};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

impl From<BlockFolderError> for Failure {
    fn from(error: BlockFolderError) -> Self {
        match &error {
            BlockFolderError::Block { .. } => Self::refused(in_full(&error)),
            _ => Self::usage(in_full(&error)),
        }
    }
}

/// Fetch a channel's blocks into a folder, or those that it does not hold yet
#[derive(Args, Debug)]
#[command(after_help = "\
Needs the right to read every class of the channel. `chancery verify --blocks FOLDER` checks them on any machine, without
a peer. Run it again to go on, also after it was interrupted; blocks that are in the folder are never changed: a peer that
shows another history is refused.

Example:
  $ chancery channel fetch trade --out trade")]
pub(in crate::cli) struct Fetch {
    /// Channel, by name or by id
    channel: String,
    /// Folder to make or to go on with
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Fetch {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = &session.connection;
        let view = connection.channel(&self.channel).await?;
        let name = view.id.to_string();
        let mut writer = BlockWriter::open(&self.out, &view.name, view.id)?;
        let before = writer.next();
        if let Some(kept) = writer.kept() {
            let theirs = match kept.height <= view.height {
                true => Some(connection.block(&name, kept.height).await?.header.hash()),
                false => None,
            };
            if theirs != Some(kept.tip) {
                return Err(Failure::refused(format!(
                    "the peer's history is not the one in {}, which ends with block {} {}: keep that folder, it is \
                     evidence, and fetch into another one",
                    self.out.display(),
                    kept.height,
                    kept.tip
                )));
            }
        }
        let mut progress = Progress::new(session.output);
        while writer.next() <= view.height {
            let blocks = connection.encoded_blocks(&name, writer.next()).await?;
            if blocks.is_empty() {
                return Err(Failure::unavailable(format!("the peer gives no block {}", writer.next())));
            }
            for block in &blocks {
                writer.append(block)?;
            }
            progress.show(&view.name, writer.next() - 1, view.height);
        }
        drop(progress);
        let kept = writer.commit()?.ok_or_else(|| Failure::refused("the channel has no blocks"))?;
        let document = json!({
            "name": kept.name, "channel": kept.channel, "height": kept.height, "tip": kept.tip,
            "blocks_added": kept.height + 1 - before, "folder": self.out,
        });
        session.output.show(&document, |_| {
            pairs(&[
                ("channel", clean(&kept.name)),
                ("id", kept.channel.to_string()),
                ("height", kept.height.to_string()),
                ("tip", kept.tip.to_string()),
                ("fetched", format!("{} blocks", kept.height + 1 - before)),
            ])
        })
    }
}
