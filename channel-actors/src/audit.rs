//! Offline verification of a channel's store, from genesis to its tip: every hash, signature, seal and root, and every
//! transaction executed again above an empty state, which must end equal to the stored one. Trusts nothing that the
//! peer has written, its checkpoint included.

use crate::opening::{execute_again, verified};
use crate::production::in_full;
use crate::store::{ChannelStore, StoreOptions};
use crate::verifier::decode_receipts;
use ledger_classes::block::{self, Block};
use ledger_classes::execution;
use ledger_classes::hash::Hash;
use ledger_classes::merkle::{self, CompactRange};
use ledger_classes::participant::CertificatePaths;
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
    let store = ChannelStore::open(directory, StoreOptions::default()).map_err(|error| AuditError(in_full(error)))?;
    let result = walk(&store, certificates, &mut progress).map_err(AuditError);
    // Nothing was written, so closing has nothing to do but release the files.
    drop(store);
    result
}

fn walk(
    store: &ChannelStore,
    certificates: &dyn CertificatePaths,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<AuditReport, String> {
    let tip = store.log_tip().ok_or("the log holds no genesis block")?;
    let mut state = MemoryState::default();
    let mut history = CompactRange::new();
    let mut report: Option<AuditReport> = None;
    let mut previous: Option<block::Header> = None;
    for height in 0..=tip {
        progress(height, tip);
        let bytes = store.block(height).map_err(in_full)?.ok_or_else(|| format!("block {height} is missing"))?;
        let block = Block::decode(&bytes).map_err(|error| format!("block {height}: {error}"))?;
        let header = &block.header;
        let hash = header.hash();
        let fail = |what: &str| Err(format!("block {height}: {what}"));
        if header.height != height {
            return fail("it says another height");
        }
        if store.header_hash(height).map_err(in_full)? != Some(hash) {
            return fail("the index of header hashes has another hash");
        }
        if header.history_root != history.root() {
            return fail("the history root is not that of the headers before");
        }
        match &previous {
            None => {
                let config = block.genesis_config().map_err(in_full)?;
                block.check_body().map_err(in_full)?;
                let (again, writes) = block::genesis(&config).map_err(in_full)?;
                if again != block {
                    return fail("it is not the genesis block of the configuration that it holds");
                }
                state.apply(&writes);
                report = Some(AuditReport {
                    name: config.name,
                    channel: hash,
                    height: 0,
                    tip: hash,
                    transactions: 0,
                    receipts: 0,
                    entries: 0,
                    state_height: store.state_height(),
                });
            }
            Some(before) => {
                let Some(report) = &mut report else { return fail("there is no genesis block") };
                if header.previous != before.hash() || header.channel != report.channel {
                    return fail("it does not follow the block before");
                }
                if header.time < before.time {
                    return fail("its time goes back");
                }
                let config = execution::config_of(&state).map_err(in_full)?;
                block.seal.check(header, &config.config).map_err(|error| format!("block {height}: {error}"))?;
                let transactions = verified(&block, report.channel)?;
                let executed = execute_again(&state, header, report.channel, certificates, &transactions)?;
                let stored = store.receipts(height).map_err(in_full)?;
                let stored = stored.ok_or_else(|| format!("block {height}: its receipts are missing"))?;
                if decode_receipts(&stored)? != executed.receipts {
                    return fail("the stored receipts differ from those of executing it again");
                }
                for (transaction, index) in transactions.iter().zip(executed.timers..) {
                    let place = store.transaction(&transaction.id()).map_err(in_full)?;
                    let applied = store.state_height().is_some_and(|applied| applied >= height);
                    if applied && place != Some((height, index)) {
                        return fail("the index does not find one of its transactions there");
                    }
                }
                report.transactions += transactions.len() as u64;
                report.receipts += executed.receipts.len() as u64;
                report.height = height;
                report.tip = hash;
                state.apply(&executed.writes);
            }
        }
        let _ = history.append(merkle::leaf_hash(&hash.0));
        previous = Some(block.header);
        if store.state_height() == Some(height) {
            compare(store, &state, height)?;
        }
    }
    let mut report = report.ok_or("the log holds no genesis block")?;
    report.entries = state.entries().count() as u64;
    Ok(report)
}

/// The stored state must be equal to the one of executing every block.
fn compare(store: &ChannelStore, state: &MemoryState, height: u64) -> Result<(), String> {
    let view = store.view().map_err(in_full)?;
    let differs = |key: &[u8]| {
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(format!("the state at height {height} differs from that of executing every block, at key {digits}"))
    };
    let end = [0xff; 1];
    let mut from = Vec::new();
    let mut entries = state.entries();
    loop {
        let stored = view.first_in(&from, &end).map_err(in_full)?;
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
