//! Making and opening a channel's store: genesis, and replay of the blocks after the last checkpoint. Blocking.
//!
//! Replay gives each block to [`ledger_classes::chain`], as one that somebody else made: a block that is no valid one, or a
//! state that would differ, stops the channel at the block where that begins (Promise 3).
//! Signatures are verified again, too, though this peer verified them before it wrote the block: only verification makes a
//! `VerifiedTransaction`, there is no second way to one, and what is replayed is what came after the last checkpoint.

use crate::block::encoding::{decode_receipts, encode_receipts};
use crate::block::error::{ChannelError, in_full};
use crate::block::execute::Ids;
use crate::block::key_cache::with_keys;
use crate::block::tip::Tip;
use crate::runtime::life::{Life, LifeCycle};
use crate::store::{BlockRecord, ChannelStore, Pressure, StoreFiles, StoreOptions};
use ledger_classes::chain::{Above, Given, Parent};
use ledger_classes::execution::ConfigRecord;
use ledger_classes::formats::block::Block;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::merkle::CompactRange;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::CertificatePaths;
use ledger_classes::state::tree::StateTree;
use ledger_classes::{chain, execution, merkle};
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

impl Opened {
    /// What the next block follows.
    pub(crate) fn parent(&self) -> Parent {
        let Tip { height, hash, time } = self.tip;
        let (history_root, orderers_root) = (self.store.history().root(), self.config.config.orderers().root());
        Parent { channel: self.channel, height, hash, time, history_root, orderers_root }
    }
}

/// Makes the store of a new channel and puts its genesis block in. Returns the channel's id.
pub(crate) fn create(
    files: &dyn StoreFiles,
    options: StoreOptions,
    config: &ChannelConfig,
) -> Result<Hash, ChannelError> {
    let (block, writes) = chain::genesis(config)?;
    let hash = block.header.hash();
    let store = ChannelStore::create_on(files, options)?;
    let record = BlockRecord {
        height: 0,
        header_hash: hash,
        block: codec::encode(&block).into(),
        receipts: encode_receipts(&[]).into(),
    };
    store.append(&record)?;
    let _ = store.apply(0, &writes, &[], &StateTree::of(&writes))?;
    store.close()?;
    Ok(hash)
}

/// A channel whose store is open and whose state may be behind the log.
pub(crate) struct Opening {
    store: ChannelStore,
    /// Whether the state is made in memory alone, since no file may change.
    in_memory: bool,
    channel: Hash,
    /// The block below the next one that replay does, and the tree over all headers up to it; none below genesis.
    parent: Option<(Parent, CompactRange)>,
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
) -> Result<Step, ChannelError> {
    if !life.set(LifeCycle::Opening) {
        return Ok(Step::Abandoned);
    }
    let store = match ChannelStore::open_on(files, options) {
        Ok(store) => store,
        Err(error) if error.out_of_files() => return Ok(Step::NotNow(in_full(error))),
        Err(error) => return Err(error.into()),
    };
    let tip = store.log_tip().ok_or(ChannelError::NoGenesis)?;
    let first = store.state_height().map_or(0, |height| height + 1);
    if first > 0 {
        // Before any block is decoded: of later rules they may have another form.
        chain::check_rules(&store.view()?)?;
    }
    let channel = stored_block(&store, 0)?.header.hash();
    let parent = match first.checked_sub(1) {
        Some(below) if below < tip => Some(parent_at(&store, below)?),
        // Nothing is replayed, or all.
        _ => None,
    };
    let opening = Opening { store, in_memory, channel, parent, first, next: first, tip };
    opening.go_on(certificates, life, slice)
}

impl Opening {
    /// Replays for up to `slice`, at least one block: then another channel has its turn.
    pub(crate) fn go_on(
        mut self,
        certificates: &dyn CertificatePaths,
        life: &Life,
        slice: Duration,
    ) -> Result<Step, ChannelError> {
        let began = Instant::now();
        while self.next <= self.tip {
            let progress = LifeCycle::Replaying { done: self.next - self.first, of: self.tip + 1 - self.first };
            if !life.set(progress) {
                return Ok(Step::Abandoned);
            }
            let block = stored_block(&self.store, self.next)?;
            let pressure = self.replay(block, certificates).map_err(|error| error.at(self.next))?;
            if self.in_memory {
                if pressure == Pressure::Wait {
                    return Err(ChannelError::BehindOnReadOnly);
                }
            } else if pressure != Pressure::None {
                self.store.checkpoint()?;
            }
            self.next += 1;
            if self.next <= self.tip && began.elapsed() >= slice {
                return Ok(Step::More(Box::new(self)));
            }
        }
        Ok(Step::Done(Box::new(self.opened()?)))
    }

    /// Does the next block.
    fn replay(&mut self, block: Block, certificates: &dyn CertificatePaths) -> Result<Pressure, ChannelError> {
        let (store, height) = (&self.store, self.next);
        let stored = store.receipts(height)?.ok_or(ChannelError::ReceiptsMissing)?;
        let receipts = decode_receipts(&stored)?;
        let (header, hash, pressure, mut history) = match self.parent.take() {
            None => {
                let genesis = chain::check_genesis(&block)?;
                let pressure = store.apply(0, &genesis.writes, &[], &genesis.tree)?;
                (block.header, genesis.channel, pressure, CompactRange::new())
            }
            Some((parent, history)) => {
                let random = crate::runtime::random::random_seed();
                let transactions =
                    with_keys(|keys| chain::verify_transactions(&block.transactions, parent.channel, random, keys))?;
                let Block { header, batches, seed, seal, .. } = &block;
                let (seed, seal, receipts) = (*seed, Some(seal), Some(receipts.as_slice()));
                let given = Given { header, seed, seal, batches, transactions, receipts };
                let view = store.view()?;
                let ids = Ids { store, above: &[] };
                let above =
                    Above { parent: &parent, view: &view, tree: view.tree(), pages: &view, ids: &ids, certificates };
                let own = with_keys(|keys| chain::check(&above, given, keys))?;
                drop(view);
                let pressure = store.apply(height, &own.writes, &own.ids, &own.tree)?;
                if own.config.is_some() {
                    // Above these rules this build could neither read nor make a block.
                    chain::check_rules(&store.view()?)?;
                }
                (own.header, own.hash, pressure, history)
            }
        };
        let _ = history.append(merkle::leaf_hash(&hash.0));
        self.parent = Some((Parent::of(&header, hash, &history), history));
        Ok(pressure)
    }

    fn opened(self) -> Result<Opened, ChannelError> {
        let Self { store, channel, tip, .. } = self;
        chain::check_rules(&store.view()?)?;
        let last = stored_block(&store, tip)?;
        last.check_body()?;
        let last = last.header;
        if last.height != tip || store.header_hash(tip)? != Some(last.hash()) {
            return Err(ChannelError::OtherHash.at(tip));
        }
        let view = store.view()?;
        let config = execution::config_of(&view)?;
        let next_timer = execution::next_timer(&view)?;
        drop(view);
        let tip = Tip { height: tip, hash: last.hash(), time: last.time };
        Ok(Opened { store, channel, tip, config: Arc::new(config), next_timer })
    }
}

fn stored_block(store: &ChannelStore, height: u64) -> Result<Block, ChannelError> {
    let bytes = store.block(height)?.ok_or_else(|| ChannelError::BlockMissing.at(height))?;
    chain::decode(&bytes).map_err(|invalid| ChannelError::Invalid(invalid).at(height))
}

/// The block at `height` as a parent, with the tree over all headers up to it.
fn parent_at(store: &ChannelStore, height: u64) -> Result<(Parent, CompactRange), ChannelError> {
    let header = stored_block(store, height)?.header;
    let history = store.history_at(height + 1)?;
    Ok((Parent::of(&header, header.hash(), &history), history))
}

#[cfg(test)]
pub(crate) mod tests;
