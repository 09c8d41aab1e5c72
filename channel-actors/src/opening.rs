//! Making and opening a channel's store: genesis, and replay of the blocks after the last checkpoint. Blocking.
//!
//! Replay executes blocks again and compares every root with the sealed header: a state that would differ stops the
//! channel at the block where the difference begins (Promise 3).

use crate::halt::{Life, LifeCycle};
use crate::production::decode_receipts;
use crate::production::{encode_receipts, in_full};
use crate::shared::Tip;
use crate::store::{BlockRecord, ChannelStore, Pressure, StoreFiles, StoreOptions};
use ledger_classes::block::{self, Block, Header};
use ledger_classes::codec;
use ledger_classes::config::{ChannelConfig, Limits};
use ledger_classes::execution::{self, BlockInput, ConfigRecord, Executed};
use ledger_classes::hash::Hash;
use ledger_classes::keys::KeyCache;
use ledger_classes::limits;
use ledger_classes::merkle;
use ledger_classes::participant::CertificatePaths;
use ledger_classes::state::ReadView;
use ledger_classes::time::Time;
use ledger_classes::transaction::{self, ENVELOPE_BYTES_MAX, Envelope, VerifiedTransaction};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A channel whose store is open and whose state is at its tip.
pub(crate) struct Opened {
    pub(crate) store: ChannelStore,
    pub(crate) channel: Hash,
    pub(crate) tip: Tip,
    pub(crate) config: Arc<ConfigRecord>,
    pub(crate) next_timer: Option<Time>,
}

/// Makes the store of a new channel and puts its genesis block in. Returns the channel's id.
pub(crate) fn create(files: &dyn StoreFiles, options: StoreOptions, config: &ChannelConfig) -> Result<Hash, String> {
    let (block, writes) = block::genesis(config).map_err(in_full)?;
    let hash = block.header.hash();
    let store = ChannelStore::create_on(files, options).map_err(in_full)?;
    let record = BlockRecord {
        height: 0,
        header_hash: hash,
        block: codec::encode(&block).into(),
        receipts: encode_receipts(&[]).into(),
    };
    store.append(&record).map_err(in_full)?;
    let _ = store.apply(0, &writes, &[]).map_err(in_full)?;
    store.close().map_err(in_full)?;
    Ok(hash)
}

/// A channel whose store is open and whose state may be behind the log.
pub(crate) struct Opening {
    store: ChannelStore,
    /// Whether the state is made in memory alone, since no file may change.
    in_memory: bool,
    channel: Hash,
    genesis: ChannelConfig,
    /// Heights: where replay began, what it does next, the last one.
    first: u64,
    next: u64,
    tip: u64,
}

/// Where an opening is after some work.
pub(crate) enum Step {
    /// There is more to replay.
    More(Box<Opening>),
    /// The state is at the tip.
    Done(Box<Opened>),
    /// The channel was told to drain: its files are free again.
    Abandoned,
    /// The peer has no file descriptors left: nothing is wrong with the channel.
    NotNow(String),
}

/// Opens a channel's store, then replays for up to `slice`. `in_memory`: no checkpoint is written, since the files are
/// only looked at.
pub(crate) fn begin(
    files: &dyn StoreFiles,
    options: StoreOptions,
    in_memory: bool,
    certificates: &dyn CertificatePaths,
    life: &Life,
    slice: Duration,
) -> Result<Step, String> {
    if !life.set(LifeCycle::Opening) {
        return Ok(Step::Abandoned);
    }
    let store = match ChannelStore::open_on(files, options) {
        Ok(store) => store,
        Err(error) if error.out_of_files() => return Ok(Step::NotNow(in_full(error))),
        Err(error) => return Err(in_full(error)),
    };
    let tip = store.log_tip().ok_or("the log holds no genesis block")?;
    let block = stored_block(&store, 0)?;
    let genesis = block.genesis_config().map_err(in_full)?;
    let first = store.state_height().map_or(0, |height| height + 1);
    let opening = Opening { store, in_memory, channel: block.header.hash(), genesis, first, next: first, tip };
    opening.go_on(certificates, life, slice)
}

impl Opening {
    /// Replays for up to `slice`, at least one block: then another channel has its turn.
    pub(crate) fn go_on(
        mut self,
        certificates: &dyn CertificatePaths,
        life: &Life,
        slice: Duration,
    ) -> Result<Step, String> {
        let began = Instant::now();
        while self.next <= self.tip {
            let progress = LifeCycle::Replaying { done: self.next - self.first, of: self.tip + 1 - self.first };
            if !life.set(progress) {
                return Ok(Step::Abandoned);
            }
            let pressure = if self.next == 0 {
                let (_, writes) = block::genesis(&self.genesis).map_err(in_full)?;
                self.store.apply(0, &writes, &[]).map_err(in_full)?
            } else {
                replay(&self.store, self.channel, self.next, certificates)?
            };
            if self.in_memory {
                if pressure == Pressure::Wait {
                    let behind = "its state is further behind its log than memory may be used for";
                    return Err(format!("{behind}, and the disk is read-only: have it opened once on one that is not"));
                }
            } else if pressure != Pressure::None {
                self.store.checkpoint().map_err(in_full)?;
            }
            self.next += 1;
            if self.next <= self.tip && began.elapsed() >= slice {
                return Ok(Step::More(Box::new(self)));
            }
        }
        Ok(Step::Done(Box::new(self.opened()?)))
    }

    fn opened(self) -> Result<Opened, String> {
        let Self { store, channel, tip, .. } = self;
        let last = stored_block(&store, tip)?;
        last.check_body().map_err(in_full)?;
        let last = last.header;
        if last.height != tip || store.header_hash(tip).map_err(in_full)? != Some(last.hash()) {
            return Err(format!("block {tip} is not the one that the log's index names"));
        }
        let view = store.view().map_err(in_full)?;
        let config = execution::config_of(&view).map_err(in_full)?;
        let next_timer = execution::next_timer(&view).map_err(in_full)?;
        drop(view);
        let tip = Tip { height: tip, hash: last.hash(), time: last.time };
        Ok(Opened { store, channel, tip, config: Arc::new(config), next_timer })
    }
}

fn stored_block(store: &ChannelStore, height: u64) -> Result<Block, String> {
    let bytes = store.block(height).map_err(in_full)?.ok_or_else(|| format!("block {height} is missing"))?;
    Block::decode(&bytes).map_err(|error| format!("block {height}: {error}"))
}

fn replay(
    store: &ChannelStore,
    channel: Hash,
    height: u64,
    certificates: &dyn CertificatePaths,
) -> Result<Pressure, String> {
    let block = stored_block(store, height)?;
    let transactions = verified(&block, channel)?;
    let view = store.view().map_err(in_full)?;
    let executed = execute_again(&view, &block.header, channel, certificates, &transactions)?;
    drop(view);
    let stored = store.receipts(height).map_err(in_full)?.ok_or_else(|| format!("receipts {height} are missing"))?;
    if decode_receipts(&stored)? != executed.receipts {
        return Err(format!("block {height}: the stored receipts differ from those of executing it again"));
    }
    let ids: Vec<(Hash, u32)> =
        transactions.iter().zip(executed.timers..).map(|(transaction, index)| (transaction.id(), index)).collect();
    store.apply(height, &executed.writes, &ids).map_err(in_full)
}

/// Decodes and verifies the transactions of a block again.
pub(crate) fn verified(block: &Block, channel: Hash) -> Result<Vec<VerifiedTransaction>, String> {
    let height = block.header.height;
    block.check_body().map_err(in_full)?;
    // The channel's own limits may have been other ones at that height: the protocol's hold for all.
    let widest = Limits {
        payload_bytes_max: u32::try_from(limits::PAYLOAD_BYTES_MAX).unwrap_or(u32::MAX),
        actions_max: u32::try_from(limits::ACTIONS_MAX).unwrap_or(u32::MAX),
        ..Limits::default()
    };
    let mut parsed = Vec::with_capacity(block.transactions.len());
    for bytes in block.transactions.iter() {
        let envelope: Envelope =
            codec::decode(bytes, ENVELOPE_BYTES_MAX).map_err(|error| format!("block {height}: {error}"))?;
        parsed.push(
            transaction::parse(envelope, channel, &widest)
                .map_err(|(id, error)| format!("block {height}: transaction {id} does not parse: {error}"))?,
        );
    }
    transaction::verify_all(parsed, crate::group::random_seed(), &mut KeyCache::default())
        .into_iter()
        .map(|verdict| verdict.map_err(|(id, error)| format!("block {height}: transaction {id}: {error}")))
        .collect()
}

/// Executes a block again and compares every root with its header.
pub(crate) fn execute_again(
    view: &dyn ReadView,
    header: &Header,
    channel: Hash,
    certificates: &dyn CertificatePaths,
    transactions: &[VerifiedTransaction],
) -> Result<Executed, String> {
    let height = header.height;
    let input = BlockInput { channel, height, time: header.time, certificates, transactions };
    let executed = execution::execute(view, &input).map_err(in_full)?;
    let differs = |what: &str| Err(format!("block {height}: the {what} differs from that of executing it again"));
    if merkle::root(&block::receipt_leaves(&executed.receipts)) != header.receipt_root {
        return differs("receipt root");
    }
    if block::writes_root(&executed.writes) != header.writes_root {
        return differs("writes root");
    }
    if executed.config_height != header.config_height || executed.receipts.len() != header.receipts as usize {
        return differs("configuration height or number of receipts");
    }
    Ok(executed)
}

#[cfg(test)]
pub(crate) mod tests;
