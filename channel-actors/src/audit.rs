//! Offline verification, from genesis to a tip: every hash, signature, seal and root, and every transaction executed
//! again above an empty state. Of a channel's store ([`audit`]), whose state must end equal, or of blocks in plain files
//! ([`audit_blocks`]), from which a store can be made again ([`rebuild`]). Trusts nothing that a peer has written, its
//! checkpoint included.

use crate::block_folder::BlockReader;
use crate::opening::{execute_again, verified};
use crate::production::{decode_receipts, encode_receipts, in_full};
use crate::store::{BlockRecord, ChannelStore, Pressure, StoreOptions};
use ledger_classes::block::{self, Block};
use ledger_classes::execution;
use ledger_classes::hash::Hash;
use ledger_classes::merkle::{self, CompactRange, Node};
use ledger_classes::participant::CertificatePaths;
use ledger_classes::receipt::Receipt;
use ledger_classes::state::{MemoryState, ReadView, Writes};
use std::path::Path;
use std::sync::Arc;

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

/// What disagrees, where.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct AuditError(pub String);

/// Verifies the store in `directory`; `progress` is called with height and tip. The peer must not be running.
///
/// # Errors
/// The first disagreement, with the height where it begins.
pub fn audit(
    directory: &Path,
    certificates: &dyn CertificatePaths,
    mut progress: impl FnMut(u64, u64),
) -> Result<AuditReport, AuditError> {
    let opened = ChannelStore::inspect(directory, StoreOptions::default());
    let (store, broken) = opened.map_err(|error| AuditError(in_full(error)))?;
    let report = walk(&store, certificates, &mut progress).map_err(AuditError)?;
    drop(store);
    match broken {
        None => Ok(report),
        Some(why) => Err(AuditError(format!(
            "the log is sound up to height {}, but the state is not: {why}; it is rebuilt when the peer starts",
            report.height
        ))),
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
) -> Result<AuditReport, AuditError> {
    let tip = blocks.kept().height;
    let (mut state, mut chain) = (MemoryState::default(), Chain::new(certificates));
    while let Some((block, _)) = blocks.next_block().map_err(|error| AuditError(in_full(error)))? {
        progress(block.header.height, tip);
        let checked = chain.check_at(&block, &state)?;
        state.apply(&checked.writes);
        chain.advance(block.header, checked.hash);
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
) -> Result<AuditReport, AuditError> {
    let failed = |error| AuditError(in_full(error));
    let store = ChannelStore::create(directory, StoreOptions::default()).map_err(failed)?;
    let mut chain = Chain::new(certificates);
    for at in 0..=height {
        progress(at, height);
        let next = blocks.next_block().map_err(|error| AuditError(in_full(error)))?;
        let (block, bytes) = next.ok_or_else(|| AuditError(format!("block {at} is missing")))?;
        let checked = chain.check_at(&block, &store.view().map_err(failed)?)?;
        let record = BlockRecord {
            height: at,
            header_hash: checked.hash,
            block: bytes.into(),
            receipts: encode_receipts(&checked.receipts).into(),
        };
        store.append(&record).map_err(failed)?;
        if store.apply(at, &checked.writes, &checked.ids).map_err(failed)? != Pressure::None {
            store.checkpoint().map_err(failed)?;
        }
        chain.advance(block.header, checked.hash);
    }
    chain.report.state_height = store.state_height();
    store.close().map_err(failed)?;
    chain.ends_as(blocks.kept().name.as_str())
}

/// Blocks that follow each other, checked one by one.
struct Chain<'a> {
    certificates: &'a dyn CertificatePaths,
    history: CompactRange,
    previous: Option<block::Header>,
    report: AuditReport,
}

/// What came of checking a block.
struct Checked {
    hash: Hash,
    receipts: Vec<Arc<Receipt>>,
    writes: Writes,
    /// Ids of its transactions with their receipts' positions.
    ids: Vec<(Hash, u32)>,
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
        Self { certificates, history: CompactRange::new(), previous: None, report }
    }

    /// Checks the next block above a state, which is that of the blocks before.
    fn check(&mut self, block: &Block, state: &dyn ReadView) -> Result<Checked, String> {
        let header = &block.header;
        let hash = header.hash();
        if header.height != self.previous.as_ref().map_or(0, |before| before.height + 1) {
            return Err("it says another height".into());
        }
        if header.history_root != self.history.root() {
            return Err("the history root is not that of the headers before".into());
        }
        let Some(before) = &self.previous else {
            let config = block.genesis_config().map_err(in_full)?;
            block.check_body().map_err(in_full)?;
            let (again, writes) = block::genesis(&config).map_err(in_full)?;
            if again != *block {
                return Err("it is not the genesis block of the configuration that it holds".into());
            }
            self.report.name = config.name;
            self.report.channel = hash;
            return Ok(Checked { hash, receipts: Vec::new(), writes, ids: Vec::new() });
        };
        if header.previous != before.hash() || header.channel != self.report.channel {
            return Err("it does not follow the block before".into());
        }
        if header.time < before.time {
            return Err("its time goes back".into());
        }
        let config = execution::config_of(state).map_err(in_full)?;
        block.seal.check(header, config.config.engine, &config.config.peers).map_err(|error| error.to_string())?;
        let transactions = verified(block, self.report.channel)?;
        let executed = execute_again(state, header, self.report.channel, self.certificates, &transactions)?;
        self.report.transactions += transactions.len() as u64;
        self.report.receipts += executed.receipts.len() as u64;
        let ids = transactions.iter().zip(executed.timers..).map(|(transaction, index)| (transaction.id(), index));
        let receipts = executed.receipts.into_iter().map(Arc::new).collect();
        Ok(Checked { hash, receipts, writes: executed.writes, ids: ids.collect() })
    }

    /// [`Self::check`] with the height in what is wrong.
    fn check_at(&mut self, block: &Block, state: &dyn ReadView) -> Result<Checked, AuditError> {
        let height = block.header.height;
        self.check(block, state).map_err(|error| AuditError(at(height, error)))
    }

    /// Takes a checked block as the last one; returns the nodes of the history tree that it completes.
    fn advance(&mut self, header: block::Header, hash: Hash) -> Vec<Node> {
        self.report.height = header.height;
        self.report.tip = hash;
        self.previous = Some(header);
        self.history.append(merkle::leaf_hash(&hash.0))
    }

    /// The report, if the blocks are of the channel that they were kept as.
    fn ends_as(self, name: &str) -> Result<AuditReport, AuditError> {
        match self.report.name == name {
            true => Ok(self.report),
            false => Err(AuditError(format!("these are blocks of the channel {}, not of {name}", self.report.name))),
        }
    }
}

/// Names the height in an error; some of them name it already.
fn at(height: u64, error: String) -> String {
    let named = format!("block {height}: ");
    if error.starts_with(&named) { error } else { named + &error }
}

/// What has been verified so far of a store.
struct Walk<'a> {
    store: &'a ChannelStore,
    state: MemoryState,
    chain: Chain<'a>,
}

fn walk(
    store: &ChannelStore,
    certificates: &dyn CertificatePaths,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<AuditReport, String> {
    let tip = store.log_tip().ok_or("the log holds no genesis block")?;
    let mut chain = Chain::new(certificates);
    chain.report.state_height = store.state_height();
    let mut walk = Walk { store, state: MemoryState::default(), chain };
    for height in 0..=tip {
        progress(height, tip);
        walk.block(height).map_err(|error| at(height, error))?;
        if store.state_height() == Some(height) {
            compare(store, &walk.state, height)?;
        }
    }
    walk.chain.report.entries = walk.state.entries().count() as u64;
    Ok(walk.chain.report)
}

impl Walk<'_> {
    fn block(&mut self, height: u64) -> Result<(), String> {
        let bytes = self.store.block(height).map_err(in_full)?.ok_or("it is missing")?;
        let block = Block::decode(&bytes).map_err(|error| error.to_string())?;
        let stored = self.store.receipts(height).map_err(in_full)?.ok_or("its receipts are missing")?;
        let stored = decode_receipts(&stored)?;
        if block.header.height != height {
            return Err("it says another height".into());
        }
        if self.store.header_hash(height).map_err(in_full)? != Some(block.header.hash()) {
            return Err("the index of header hashes has another hash".into());
        }
        let checked = self.chain.check(&block, &self.state)?;
        if !stored.iter().eq(checked.receipts.iter().map(|receipt| &**receipt)) {
            return Err("the stored receipts differ from those of executing it again".into());
        }
        if self.store.state_height().is_some_and(|applied| applied >= height) {
            for (id, index) in &checked.ids {
                if self.store.transaction(id).map_err(in_full)? != Some((height, *index)) {
                    return Err("the index does not find one of its transactions there".into());
                }
            }
        }
        self.state.apply(&checked.writes);
        // Proofs are made of the stored nodes.
        for node in self.chain.advance(block.header, checked.hash) {
            if self.store.history_node(node.level, node.index).map_err(in_full)? != node.hash {
                return Err(format!("history node {}/{} does not follow from the headers", node.level, node.index));
            }
        }
        Ok(())
    }
}

/// The stored state must be equal to the one of executing every block.
fn compare(store: &ChannelStore, state: &MemoryState, height: u64) -> Result<(), String> {
    let broken = |error: String| format!("the state at height {height}: {error}");
    let view = store.view().map_err(|error| broken(in_full(error)))?;
    let differs = |key: &[u8]| {
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(format!("the state at height {height} differs from that of executing every block, at key {digits}"))
    };
    let end = [0xff; 1];
    let mut from = Vec::new();
    let mut entries = state.entries();
    loop {
        let stored = view.first_in(&from, &end).map_err(|error| broken(in_full(error)))?;
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
