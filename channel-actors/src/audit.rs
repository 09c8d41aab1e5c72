//! Offline verification of a channel's store, from genesis to its tip: every hash, signature, seal and root, and every
//! transaction executed again above an empty state, which must end equal to the stored one. Trusts nothing that the
//! peer has written, its checkpoint included.

use crate::opening::{execute_again, verified};
use crate::production::{decode_receipts, in_full};
use crate::store::{ChannelStore, StoreOptions};
use ledger_classes::block::{self, Block};
use ledger_classes::execution;
use ledger_classes::hash::Hash;
use ledger_classes::merkle::{self, CompactRange};
use ledger_classes::participant::CertificatePaths;
use ledger_classes::receipt::Receipt;
use ledger_classes::state::{MemoryState, ReadView};
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

/// What has been verified so far.
struct Walk<'a> {
    store: &'a ChannelStore,
    certificates: &'a dyn CertificatePaths,
    state: MemoryState,
    history: CompactRange,
    previous: Option<block::Header>,
    report: AuditReport,
}

fn walk(
    store: &ChannelStore,
    certificates: &dyn CertificatePaths,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<AuditReport, String> {
    let tip = store.log_tip().ok_or("the log holds no genesis block")?;
    let report = AuditReport {
        name: String::new(),
        channel: Hash::ZERO,
        height: 0,
        tip: Hash::ZERO,
        transactions: 0,
        receipts: 0,
        entries: 0,
        state_height: store.state_height(),
    };
    let (state, history) = (MemoryState::default(), CompactRange::new());
    let mut walk = Walk { store, certificates, state, history, previous: None, report };
    for height in 0..=tip {
        progress(height, tip);
        walk.block(height).map_err(|error| {
            // Some of them name it already.
            let named = format!("block {height}: ");
            if error.starts_with(&named) { error } else { named + &error }
        })?;
        if store.state_height() == Some(height) {
            compare(store, &walk.state, height)?;
        }
    }
    walk.report.entries = walk.state.entries().count() as u64;
    Ok(walk.report)
}

impl Walk<'_> {
    fn block(&mut self, height: u64) -> Result<(), String> {
        let bytes = self.store.block(height).map_err(in_full)?.ok_or("it is missing")?;
        let block = Block::decode(&bytes).map_err(|error| error.to_string())?;
        let header = &block.header;
        let hash = header.hash();
        let stored = self.store.receipts(height).map_err(in_full)?.ok_or("its receipts are missing")?;
        let stored = decode_receipts(&stored)?;
        if header.height != height {
            return Err("it says another height".into());
        }
        if self.store.header_hash(height).map_err(in_full)? != Some(hash) {
            return Err("the index of header hashes has another hash".into());
        }
        if header.history_root != self.history.root() {
            return Err("the history root is not that of the headers before".into());
        }
        match &self.previous {
            None => {
                let config = block.genesis_config().map_err(in_full)?;
                block.check_body().map_err(in_full)?;
                let (again, writes) = block::genesis(&config).map_err(in_full)?;
                if again != block || !stored.is_empty() {
                    return Err("it is not the genesis block of the configuration that it holds".into());
                }
                self.state.apply(&writes);
                self.report.name = config.name;
                self.report.channel = hash;
            }
            Some(before) => {
                if header.previous != before.hash() || header.channel != self.report.channel {
                    return Err("it does not follow the block before".into());
                }
                if header.time < before.time {
                    return Err("its time goes back".into());
                }
                self.execute(&block, &stored)?;
            }
        }
        self.report.height = height;
        self.report.tip = hash;
        // Proofs are made of the stored nodes.
        for node in self.history.append(merkle::leaf_hash(&hash.0)) {
            if self.store.history_node(node.level, node.index).map_err(in_full)? != node.hash {
                return Err(format!("history node {}/{} does not follow from the headers", node.level, node.index));
            }
        }
        self.previous = Some(block.header);
        Ok(())
    }

    fn execute(&mut self, block: &Block, stored: &[Receipt]) -> Result<(), String> {
        let (header, channel) = (&block.header, self.report.channel);
        let config = execution::config_of(&self.state).map_err(in_full)?;
        block.seal.check(header, &config.config).map_err(|error| error.to_string())?;
        let transactions = verified(block, channel)?;
        let executed = execute_again(&self.state, header, channel, self.certificates, &transactions)?;
        if stored != executed.receipts {
            return Err("the stored receipts differ from those of executing it again".into());
        }
        let applied = self.store.state_height().is_some_and(|applied| applied >= header.height);
        for (transaction, index) in transactions.iter().zip(executed.timers..).filter(|_| applied) {
            let place = self.store.transaction(&transaction.id()).map_err(in_full)?;
            if place != Some((header.height, index)) {
                return Err("the index does not find one of its transactions there".into());
            }
        }
        self.report.transactions += transactions.len() as u64;
        self.report.receipts += executed.receipts.len() as u64;
        self.state.apply(&executed.writes);
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
