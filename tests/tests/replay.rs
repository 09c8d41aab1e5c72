//! A history with real certificates is executed again, block by block, and gives what it gave: hashes, codes and details.
//!
//! Its blocks are kept in a file, so this is the test that fails where another release of a library for certificates, or
//! another rule of ours, judges what is already in blocks in another way. Where all words are others, it gives the same.
#![allow(clippy::unwrap_used)]

use ledger_classes::chain::History;
use ledger_classes::formats::block::Block;
use ledger_classes::formats::detail::Detail;
use ledger_classes::limits::DETAIL_BYTES_MAX;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::tree::NoPages;
use ledger_classes::state::view::MemoryState;
use serde::Deserialize;
use server::certificates::paths::ParticipantPaths;
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct Kept {
    block: String,
    hash: Hash,
    receipts: Vec<KeptReceipt>,
}

#[derive(Deserialize)]
struct KeptReceipt {
    code: u16,
    detail: String,
    message: String,
}

#[test]
fn a_history_with_certificates_gives_the_same_hashes_whatever_the_words_are() {
    let kept: Vec<Kept> = ledger_classes::primitives::json::from_str(&format!(
        "{{\"all\":{}}}",
        include_str!("../fixtures/certificates/history.json")
    ))
    .map(|file: File| file.all)
    .unwrap();
    replay(&kept, true);
    // The only test of its program: whatever it does from here on has other words.
    ledger_classes::primitives::words::reword();
    replay(&kept, false);
}

/// Executes all of it, where the words are those that were kept, or are not.
fn replay(kept: &[Kept], same_words: bool) {
    let (mut history, mut state) = (History::new(), MemoryState::default());
    let (mut faults, mut bytes) = (BTreeSet::new(), Vec::new());
    for kept in kept {
        let block = hex::decode(&kept.block).unwrap();
        let block = Block::decode(&block).unwrap();
        let height = block.header.height;
        let checked = history.check(&block, None, &state, &NoPages, &ParticipantPaths, [7; 32]);
        let checked = checked.unwrap_or_else(|error| panic!("block {height}: {error}"));
        assert_eq!((checked.hash, checked.receipts.len()), (kept.hash, kept.receipts.len()), "block {height}");
        for (receipt, was) in checked.receipts.iter().zip(&kept.receipts) {
            let detail: Detail = codec::decode(&hex::decode(&was.detail).unwrap(), DETAIL_BYTES_MAX).unwrap();
            assert_eq!((receipt.head.code, &receipt.detail), (was.code, &detail), "block {height}: {}", was.message);
            if let Detail::Path { refusal } = &detail {
                faults.insert(refusal.fault.name());
            }
            if !was.message.is_empty() {
                assert_eq!(receipt.message() == was.message, same_words, "{}", was.message);
            }
            bytes.extend(codec::encode(&**receipt));
        }
        bytes.extend(checked.writes.values().flatten().flat_map(|value| value.iter().copied()));
        state.apply(&checked.writes);
        let _ = history.advance(&checked);
    }
    // A history that asks about little would show little.
    assert!(faults.len() >= 8, "{faults:?}");
    // Nothing that is kept holds a sentence.
    for message in kept.iter().flat_map(|kept| &kept.receipts).map(|receipt| &receipt.message) {
        let found = message.len() > 12 && bytes.windows(message.len()).any(|window| window == message.as_bytes());
        assert!(!found, "{message}");
    }
}

#[derive(Deserialize)]
struct File {
    all: Vec<Kept>,
}
