//! What can still be read of a channel that cannot be opened: enough to tell who had a right on it, so that they, and
//! nobody else, see that it has halted and why. Blocking; no file changes.
//!
//! Always: a configuration counts only if nothing that can be read says that there was a later one. Where none counts,
//! nobody's rights are guessed.

use crate::block::encoding::decode_receipts;
use crate::block::error::ChannelError;
use crate::block::tip::Tip;
use crate::channel::summary::Summary;
use crate::store::{ChannelStore, StoreOptions, read_left_state};
use ledger_classes::chain;
use ledger_classes::chain::Invalid;
use ledger_classes::execution::{self, ConfigRecord, Mark};
use ledger_classes::formats::block::Block;
use ledger_classes::formats::event::Event;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::view::ReadView;
use std::path::Path;
use std::sync::Arc;

/// What is left of a channel.
pub(crate) struct Remains {
    /// Its id, where it can be told.
    pub(crate) id: Option<Hash>,
    /// Its last block, where it can be told.
    pub(crate) tip: Option<Tip>,
    /// Its last configuration.
    pub(crate) config: Arc<ConfigRecord>,
    /// Under what it has ended certificates, as far as that can be told.
    pub(crate) ended: Arc<[Mark]>,
}

/// Remains, and the height up to which they speak.
type RemainsAt = (u64, Remains);

/// Looks at state and log, and at the summary that was beside them.
pub(crate) fn read(directory: &Path, options: StoreOptions, summary: Option<Summary>) -> Option<Remains> {
    let (log_tip, found) = match ChannelStore::inspect(directory, options) {
        Ok((store, _)) => of_store(&store),
        Err(_) => (None, of_state(directory, options)),
    };
    let summary = summary.filter(|summary| log_tip.is_none_or(|tip| summary.tip.height >= tip)).map(|summary| {
        let Summary { channel, tip, config, ended, .. } = summary;
        let (config, ended) = (Arc::new(config), ended.into());
        (tip.height, Remains { id: Some(channel), tip: Some(tip), config, ended })
    });
    // Of two that speak up to the same height the summary says more.
    let newest = summary.into_iter().chain(found).reduce(|first, other| if other.0 > first.0 { other } else { first });
    newest.map(|(_, remains)| remains)
}

/// From a log that can be read: its last height, and what it says with its state.
fn of_store(store: &ChannelStore) -> (Option<u64>, Option<RemainsAt>) {
    let tip = store.log_tip();
    (tip, tip.and_then(|height| of_log(store, height).ok().flatten()))
}

fn of_log(store: &ChannelStore, height: u64) -> Result<Option<RemainsAt>, ChannelError> {
    let block = |height| {
        let bytes = store.block(height)?.ok_or(ChannelError::BlockMissing)?;
        Block::decode(&bytes).map_err(|_| ChannelError::Invalid(Invalid::Malformed))
    };
    let (first, last) = (block(0)?, block(height)?);
    let (reflects, config) = match store.state_height() {
        Some(reflects) => (reflects, execution::config_of(&store.view()?)?),
        None => (0, ConfigRecord::first(first.genesis_config()?)),
    };
    let changed_last = || {
        let receipts = store.receipts(height)?.ok_or(ChannelError::ReceiptsMissing)?;
        decode_receipts(&receipts)?.iter().try_fold(false, |changed, receipt| {
            let events = receipt.decoded_events().map_err(ChannelError::Receipts)?;
            let configured = events.iter().any(|event| matches!(event, Event::ChannelConfigured { .. }));
            Ok::<bool, ChannelError>(changed || configured)
        })
    };
    let is_last = reflects == height || (last.header.config_height == config.height && !changed_last()?);
    let tip = Tip { height, hash: last.header.hash(), time: last.header.time };
    // Who is not to see it any more would else see it again.
    let ended = ended(&store.view()?).ok_or(ChannelError::NoMarks)?;
    let remains = Remains { id: Some(first.header.hash()), tip: Some(tip), config: Arc::new(config), ended };
    Ok(is_last.then_some((height, remains)))
}

fn ended(view: &dyn ReadView) -> Option<Arc<[Mark]>> {
    Some(execution::marks_in(view).ok()?.into_iter().collect())
}

/// From the state alone.
fn of_state(directory: &Path, options: StoreOptions) -> Option<RemainsAt> {
    let found = read_left_state(directory, options, |view| {
        let (height, config) = (view.height()?, execution::config_of(view).ok()?);
        let genesis = (config.height == 0).then(|| chain::genesis(&config.config).ok()).flatten();
        let id = genesis.map(|(block, _)| block.header.hash());
        Some((height, Remains { id, tip: None, config: Arc::new(config), ended: ended(view)? }))
    });
    found.ok().flatten().flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::block::encoding::encode_receipts;
    use crate::block::replay;
    use crate::channel::summary::close_for_suspension;
    use crate::delivery::shared::Shared;
    use crate::runtime::life::{Life, LifeCycle};
    use crate::store::{BlockRecord, Directory};
    use crate::test_support::config;
    use ledger_classes::formats::block::Header;
    use ledger_classes::formats::detail::Detail;
    use ledger_classes::formats::outcome::ResultCode;
    use ledger_classes::formats::receipt::Receipt;
    use ledger_classes::primitives::amount::Amount;
    use ledger_classes::primitives::codec;
    use ledger_classes::state::participant::NoCertificates;
    use std::fs;
    use std::time::Duration;

    /// A suspended channel, with a summary.
    fn at_rest() -> (tempfile::TempDir, Hash) {
        let folder = tempfile::tempdir().unwrap();
        let files = Directory(folder.path().to_owned());
        let id = replay::create(&files, StoreOptions::default(), &config()).unwrap();
        let life = Life::new(LifeCycle::Opening);
        let step = replay::begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::MAX);
        let replay::Step::Done(opened) = step.unwrap() else { panic!("there is time") };
        close_for_suspension(
            &opened.store,
            &files,
            id,
            &Shared::new(opened.tip, opened.config.clone(), Arc::default(), Arc::default()),
        )
        .unwrap();
        (folder, id)
    }

    fn break_head(folder: &Path, name: &str) {
        let path = folder.join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[..8192].fill(0xa5);
        fs::write(path, bytes).unwrap();
    }

    /// What breaks, and what is still told: id, tip, configuration.
    #[test]
    fn what_is_whole_tells_of_the_channel() {
        for (broken, kept, told) in [
            (&["log.redb"][..], false, Some((true, false))),
            (&["log.redb"], true, Some((true, true))),
            (&["log.redb", "state.redb"], true, Some((true, true))),
            (&["log.redb", "state.redb"], false, None),
            // Nothing has changed the configuration since the genesis block.
            (&["state.redb"], false, Some((true, true))),
            (&[], false, Some((true, true))),
        ] {
            let (folder, id) = at_rest();
            broken.iter().for_each(|name| break_head(folder.path(), name));
            let summary = Summary::left(folder.path()).filter(|_| kept);
            assert_eq!(summary.is_some(), kept, "{broken:?}");
            let before: Vec<Vec<u8>> =
                ["log.redb", "state.redb"].iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
            let found = read(folder.path(), StoreOptions::default(), summary);
            let seen = found.as_ref().map(|found| (found.id == Some(id), found.tip.is_some()));
            assert_eq!(seen, told, "{broken:?} with a summary: {kept}");
            assert!(found.is_none_or(|found| found.config.config == config()), "{broken:?}");
            let after: Vec<Vec<u8>> =
                ["log.redb", "state.redb"].iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
            assert!(before == after, "{broken:?}: files stay as they are");
        }
    }

    /// A state that is behind its log may show somebody who was a member then.
    #[test]
    fn a_configuration_that_a_later_block_changed_tells_nothing() {
        let configured = Event::ChannelConfigured { proposal: Hash::ZERO, height: 2, configuration: Hash([1; 32]) };
        let other = Event::AssetPaused { asset: "coin".into() };
        // The configuration in force at the last block, what that block did, and whether the genesis block's still counts.
        for (config_height, event, counts) in [(0, &other, true), (0, &configured, false), (1, &other, false)] {
            let (folder, _) = at_rest();
            let files = Directory(folder.path().to_owned());
            let store = ChannelStore::open_on(&files, StoreOptions::default()).unwrap();
            let genesis = Block::decode(&store.block(0).unwrap().unwrap()).unwrap();
            let header = Header { height: 1, previous: genesis.header.hash(), config_height, ..genesis.header.clone() };
            let events = std::slice::from_ref(event);
            let receipt = Receipt::new(Hash::ZERO, 1, 0, ResultCode::Done, Detail::PLAIN, Amount::ZERO, events);
            let record = BlockRecord {
                height: 1,
                header_hash: header.hash(),
                block: codec::encode(&Block { header, ..genesis }).into(),
                receipts: encode_receipts(&[receipt.into()]).into(),
            };
            store.append(&record).unwrap();
            // As a crash leaves it.
            drop(store);
            let found = read(folder.path(), StoreOptions::default(), None);
            assert_eq!(found.is_some(), counts, "{config_height} {}", event.kind());
            assert!(found.is_none_or(|found| found.tip.is_some_and(|tip| tip.height == 1)));
        }
    }
}
