//! What is known of a channel that is suspended without opening its files: enough to list it, to judge who may see it, to
//! answer its tip and configuration, and to resume it in time. The log is the truth: a resuming channel compares.

use crate::block::error::{ChannelError, in_full};
use crate::block::tip::Tip;
use crate::delivery::shared::Shared;
use crate::store::{ChannelStore, StoreFiles, left_summary};
use ledger_classes::execution::{self, ConfigRecord, Mark};
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::path::Path;

/// Bytes of a summary's content.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is known of a channel that is suspended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) channel: Hash,
    pub(crate) tip: Tip,
    pub(crate) config: ConfigRecord,
    /// [`Shared::ended`].
    pub(crate) ended: Vec<Mark>,
    pub(crate) next_timer: Option<Time>,
}

type Fields = (Hash, (u64, Hash, Time), ConfigRecord, Vec<Mark>, Option<Time>);

impl Summary {
    fn encode(&self) -> Vec<u8> {
        let tip = (self.tip.height, self.tip.hash, self.tip.time);
        let fields: Fields = (self.channel, tip, self.config.clone(), self.ended.clone(), self.next_timer);
        codec::encode(&fields)
    }

    fn decode(bytes: &[u8]) -> Result<Self, codec::DecodeError> {
        let (channel, (height, hash, time), config, ended, next_timer): Fields = codec::decode(bytes, BYTES_MAX)?;
        Ok(Self { channel, tip: Tip { height, hash, time }, config, ended, next_timer })
    }

    /// A summary that is whole, whatever has become of the log that it was kept beside: of a channel that cannot be
    /// opened it may be the last that is known.
    pub(crate) fn left(directory: &Path) -> Option<Self> {
        Self::decode(&left_summary(directory)?).ok()
    }

    /// The summary beside a store, if there is one that can be believed.
    pub(crate) fn read(files: &dyn StoreFiles) -> Option<Self> {
        let content = files.summary().map_err(in_full);
        match content.and_then(|bytes| bytes.map(|bytes| Self::decode(&bytes).map_err(in_full)).transpose()) {
            Ok(summary) => summary,
            Err(reason) => {
                tracing::warn!(reason, "the summary of a channel is not used");
                None
            }
        }
    }
}

/// Checkpoints and closes a store and leaves a summary beside it, so that it need not be opened to be known. Blocking.
/// Returns when the next timer is due. A summary that cannot be written only costs the next start an opening.
pub(crate) fn close_for_suspension(
    store: &ChannelStore,
    files: &dyn StoreFiles,
    channel: Hash,
    shared: &Shared,
) -> Result<Option<Time>, ChannelError> {
    let view = store.view()?;
    let next_timer = execution::next_timer(&view)?;
    drop(view);
    store.close()?;
    let (tip, config, ended) = (shared.tip(), shared.config().as_ref().clone(), shared.ended().to_vec());
    // Nothing can be appended any more. What was cut off on its way is in the log alone: the next start finds it there.
    if (store.log_tip(), store.checkpoint_height()) == (Some(tip.height), Some(tip.height)) {
        let summary = Summary { channel, tip, config, ended, next_timer };
        if let Err(error) = files.keep_summary(&summary.encode()) {
            tracing::warn!(reason = in_full(error), "the summary of a channel is not written");
        }
    }
    Ok(next_timer)
}
