//! Offline verification, from genesis to a tip: every hash, signature, seal and root, and every transaction executed
//! again above an empty state. Of a channel's store ([`audit`]), whose state must end equal, or of blocks in plain files
//! ([`audit_blocks`]), from which a store can be made again ([`rebuild`]). Trusts nothing that a peer has written, its
//! checkpoint included.

use crate::block::encoding::{decode_receipts, encode_receipts};
use crate::block::error::ChannelError;
use crate::block::folder::BlockReader;
use crate::runtime::random::random_seed;
use crate::store::{BlockRecord, ChannelStore, Pressure, StoreOptions};
use ledger_classes::chain;
use ledger_classes::chain::{Checked, History};
use ledger_classes::formats::block::Block;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::merkle::Node;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::participant::CertificatePaths;
use ledger_classes::state::tree::{NoPages, Pages, StateTree};
use ledger_classes::state::view::{MemoryState, ReadView};
use std::path::Path;

/// What a verified channel holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// The channel's name.
    pub name: String,
    /// Its id.
    pub channel: Hash,
    /// Height of its last block.
    pub height: u64,
    /// Hash of that block's header.
    pub tip: Hash,
    /// Transactions in all blocks.
    pub transactions: u64,
    /// Receipts, those of timers included.
    pub receipts: u64,
    /// Entries of the state.
    pub entries: u64,
    /// Height that the stored state reflects; the rest would be replayed on opening.
    pub state_height: Option<u64>,
}

/// Verifies the store in `directory`; `progress` is called with height and tip. The peer must not be running.
///
/// # Errors
/// The first disagreement, with the height where it begins.
pub fn audit(
    directory: &Path,
    certificates: &dyn CertificatePaths,
    mut progress: impl FnMut(u64, u64),
) -> Result<AuditReport, ChannelError> {
    let opened = ChannelStore::inspect(directory, StoreOptions::default());
    let (store, broken) = opened?;
    let report = walk(&store, certificates, &mut progress)?;
    drop(store);
    match broken {
        None => Ok(report),
        Some(why) => Err(ChannelError::StateBroken { height: report.height, why }),
    }
}

/// Verifies blocks in plain files, all that they say they hold; `progress` as for [`audit`].
///
/// # Errors
/// The first disagreement, with the height where it begins.
pub fn audit_blocks(
    mut blocks: BlockReader,
    certificates: &dyn CertificatePaths,
    mut progress: impl FnMut(u64, u64),
) -> Result<AuditReport, ChannelError> {
    let tip = blocks.kept().height;
    let (mut state, mut chain) = (MemoryState::default(), Chain::new(certificates));
    loop {
        let next = blocks.next_block();
        if !matches!(next, Ok(None)) {
            chain.check_rules(&state).map_err(|error| error.at(chain.history.next()))?;
        }
        let Some((block, _)) = next? else { break };
        progress(block.header.height, tip);
        let checked = chain.check_at(&block, &state, &NoPages)?;
        state.apply(&checked.writes);
        chain.advance(&checked);
    }
    chain.report.entries = state.entries().count() as u64;
    chain.ends_as(blocks.kept().name.as_str())
}

/// Makes a store of blocks in plain files, up to `height`, in a directory that holds none; verifies them as
/// [`audit_blocks`] does. The state is that of the store: memory is bounded.
///
/// # Errors
/// The first disagreement, with the height where it begins; or the store cannot be written. What was made so far stays.
pub fn rebuild(
    mut blocks: BlockReader,
    height: u64,
    directory: &Path,
    certificates: &dyn CertificatePaths,
    mut progress: impl FnMut(u64, u64),
) -> Result<AuditReport, ChannelError> {
    let store = ChannelStore::create(directory, StoreOptions::default())?;
    let mut chain = Chain::new(certificates);
    for at in 0..=height {
        progress(at, height);
        let view = store.view()?;
        chain.check_rules(&view).map_err(|error| error.at(at))?;
        let next = blocks.next_block()?;
        let (block, bytes) = next.ok_or_else(|| ChannelError::BlockMissing.at(at))?;
        let checked = chain.check_at(&block, &view, &view)?;
        drop(view);
        let record = BlockRecord {
            height: at,
            header_hash: checked.hash,
            block: bytes.into(),
            receipts: encode_receipts(&checked.receipts).into(),
        };
        store.append(&record)?;
        chain.advance(&checked);
        if store.apply(at, &checked.writes, &checked.ids, &checked.tree)? != Pressure::None {
            store.checkpoint()?;
            chain.history.without_saved();
        }
    }
    chain.report.state_height = store.state_height();
    store.close()?;
    chain.ends_as(blocks.kept().name.as_str())
}

/// Blocks that follow each other, checked one by one.
struct Chain<'a> {
    certificates: &'a dyn CertificatePaths,
    history: History,
    report: AuditReport,
}

impl<'a> Chain<'a> {
    fn new(certificates: &'a dyn CertificatePaths) -> Self {
        let report = AuditReport {
            name: String::new(),
            channel: Hash::ZERO,
            height: 0,
            tip: Hash::ZERO,
            transactions: 0,
            receipts: 0,
            entries: 0,
            state_height: None,
        };
        Self { certificates, history: History::new(), report }
    }

    /// Whether this build knows what is valid above a state: to be asked before the next block is decoded.
    fn check_rules(&self, state: &dyn ReadView) -> Result<(), ChannelError> {
        self.history.last().map_or(Ok(()), |_| chain::check_rules(state).map_err(ChannelError::from))
    }

    /// Checks the next block above a state, which is that of the blocks before; also its receipts, where they are kept.
    fn check(
        &self,
        block: &Block,
        receipts: Option<&[Receipt]>,
        state: &dyn ReadView,
        pages: &dyn Pages,
    ) -> Result<Checked, ChannelError> {
        self.history.check(block, receipts, state, pages, self.certificates, random_seed()).map_err(ChannelError::from)
    }

    /// [`Self::check`] with the height in what is wrong.
    fn check_at(&self, block: &Block, state: &dyn ReadView, pages: &dyn Pages) -> Result<Checked, ChannelError> {
        self.check(block, None, state, pages).map_err(|error| error.at(self.history.next()))
    }

    /// Takes a checked block as the last one; returns the nodes of the history tree that it completes.
    fn advance(&mut self, checked: &Checked) -> Vec<Node> {
        self.report.height = checked.header.height;
        self.report.tip = checked.hash;
        self.report.transactions += checked.ids.len() as u64;
        self.report.receipts += checked.receipts.len() as u64;
        if let Some(genesis) = &checked.genesis {
            self.report.name.clone_from(&genesis.config.name);
            self.report.channel = genesis.channel;
        }
        self.history.advance(checked)
    }

    /// The report, if the blocks are of the channel that they were kept as.
    fn ends_as(self, name: &str) -> Result<AuditReport, ChannelError> {
        match self.report.name == name {
            true => Ok(self.report),
            false => Err(ChannelError::OtherChannel { is: self.report.name, expected: name.into() }),
        }
    }
}

/// What has been verified so far of a store.
struct Walk<'a> {
    store: &'a ChannelStore,
    state: MemoryState,
    tree: StateTree,
    chain: Chain<'a>,
}

fn walk(
    store: &ChannelStore,
    certificates: &dyn CertificatePaths,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<AuditReport, ChannelError> {
    let tip = store.log_tip().ok_or(ChannelError::NoGenesis)?;
    let mut chain = Chain::new(certificates);
    chain.report.state_height = store.state_height();
    let mut walk = Walk { store, state: MemoryState::default(), tree: StateTree::default(), chain };
    for height in 0..=tip {
        progress(height, tip);
        walk.block(height).map_err(|error| error.at(height))?;
        if store.state_height() == Some(height) {
            compare(store, &walk.state, height)?;
            compare_tree(store, &walk.tree, height)?;
        }
    }
    walk.chain.report.entries = walk.state.entries().count() as u64;
    Ok(walk.chain.report)
}

impl Walk<'_> {
    fn block(&mut self, height: u64) -> Result<(), ChannelError> {
        let bytes = self.store.block(height)?.ok_or(ChannelError::BlockMissing)?;
        self.chain.check_rules(&self.state)?;
        let block = chain::decode(&bytes)?;
        let stored = self.store.receipts(height)?.ok_or(ChannelError::ReceiptsMissing)?;
        let stored = decode_receipts(&stored)?;
        if self.store.header_hash(height)? != Some(block.header.hash()) {
            return Err(ChannelError::OtherHash);
        }
        let checked = self.chain.check(&block, Some(&stored), &self.state, &NoPages)?;
        self.tree = checked.tree.clone();
        if self.store.state_height().is_some_and(|applied| applied >= height) {
            for (id, index) in &checked.ids {
                if self.store.transaction(id)? != Some((height, *index)) {
                    return Err(ChannelError::NotIndexed(*id));
                }
            }
        }
        self.state.apply(&checked.writes);
        // Proofs are made of the stored nodes.
        for node in self.chain.advance(&checked) {
            if self.store.history_node(node.level, node.index)? != node.hash {
                return Err(ChannelError::HistoryNode { level: node.level, index: node.index });
            }
        }
        Ok(())
    }
}

/// The stored tree must be equal to the one of executing every block, in each page.
fn compare_tree(store: &ChannelStore, tree: &StateTree, height: u64) -> Result<(), ChannelError> {
    let broken = |error: ChannelError| ChannelError::TreeAt(height, Box::new(error));
    let view = store.view().map_err(|error| broken(error.into()))?;
    if view.tree() != tree {
        return Err(broken(ChannelError::TreeDiffers));
    }
    view.tree().check(&view).map_err(|error| broken(error.into()))
}

/// The stored state must be equal to the one of executing every block.
fn compare(store: &ChannelStore, state: &MemoryState, height: u64) -> Result<(), ChannelError> {
    let broken = |error: ChannelError| ChannelError::StateAt(height, Box::new(error));
    let view = store.view().map_err(|error| broken(error.into()))?;
    let differs = |key: &[u8]| Err(broken(ChannelError::StateDiffers(key.to_vec())));
    let end = [0xff; 1];
    let mut from = Vec::new();
    let mut entries = state.entries();
    loop {
        let stored = view.first_in(&from, &end).map_err(|error| broken(error.into()))?;
        match (entries.next(), stored) {
            (None, None) => return Ok(()),
            (Some((key, value)), Some((stored_key, stored_value))) => {
                if key != stored_key || *value != stored_value {
                    return differs(key);
                }
                from = stored_key;
                from.push(0);
            }
            (Some((key, _)), None) => return differs(key),
            (None, Some((key, _))) => return differs(&key),
        }
    }
}

#[cfg(test)]
mod tests;
