//! A write-ahead log beside the log of a channel (docs/formats/store.md). Its checks are made right first, as only who
//! has its key could: without that hardly any bytes would come far.

use bytes::Bytes;
use channel_actors::store::{BlockRecord, ChannelStore, StoreError, StoreOptions};
use ledger_classes::merkle::{CompactRange, leaf_hash};
use ledger_classes::primitives::hash::{Hash, Tag};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;
use twox_hash::XxHash3_64;

const SECTOR: usize = 512;
/// Version, key, length, check.
const HEAD: usize = 1 + 32 + 4 + 8;
/// Version, height, two hashes, two lengths with checks, check.
const RECORD: usize = 1 + 8 + 2 * 32 + 2 * (4 + 8) + 8;
/// Blocks of the log beside it.
const BLOCKS: u64 = 3;

fn check(key: &[u8], bytes: &[u8]) -> [u8; 8] {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key), bytes).to_le_bytes()
}

fn under(secret: &[u8], bytes: &[u8]) -> [u8; 8] {
    *Hash::tagged(Tag::Content, &[secret, bytes]).0.first_chunk().expect("32 bytes")
}

fn number(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
}

fn block(height: u64) -> BlockRecord {
    let text = |what: &str| Bytes::from(format!("{what} {height}"));
    BlockRecord {
        height,
        header_hash: Hash::plain(&[&height.to_le_bytes()]),
        block: text("block"),
        receipts: text("receipts"),
    }
}

/// Makes the checks of the head and of what begins as a record does right, and the place of one whose height is the next.
fn made_right(bytes: &mut [u8]) {
    let Some(head) = bytes.get_mut(..HEAD) else { return };
    let (content, sum) = head.split_at_mut(HEAD - 8);
    sum.copy_from_slice(&check(b"wal", content));
    let key = content[1..33].to_vec();
    let mut history = CompactRange::new();
    (0..BLOCKS).for_each(|height| drop(history.append(leaf_hash(&block(height).header_hash.0))));
    let (mut at, mut last) = (SECTOR, None);
    while let Some((head, rest)) = bytes.get_mut(at..).and_then(|bytes| bytes.split_at_mut_checked(RECORD)) {
        at += SECTOR;
        if head[0] != 2 {
            continue;
        }
        let (block, receipts) = (number(&head[73..77]), number(&head[85..89]));
        let Some(contents) = block.checked_add(receipts).and_then(|both| rest.get(..both)) else { continue };
        head[77..85].copy_from_slice(&check(&key, &contents[..block]));
        head[89..97].copy_from_slice(&check(&key, &contents[block..]));
        let height = head[1..9].to_vec();
        if height == history.size().to_le_bytes() {
            last = Some((height.clone(), history.root()));
            history.append(leaf_hash(head[41..73].try_into().expect("32 bytes")));
        }
        // The second copy of a record is as the first.
        if let Some((_, root)) = last.as_ref().filter(|(of, _)| *of == height) {
            head[9..41].copy_from_slice(&root.0);
        }
        let (content, sum) = head.split_at_mut(RECORD - 8);
        sum.copy_from_slice(&under(&key, content));
    }
}

fn beside() -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let store = ChannelStore::create(home.path(), StoreOptions::default()).expect("creates");
    (0..BLOCKS).for_each(|height| store.append(&block(height)).expect("appends"));
    store.close().expect("closes");
    home
}

/// A store with this write-ahead log is opened, or it says what is wrong with it; and then all of it can be read.
///
/// # Panics
/// If that does not hold.
pub fn wal(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let _ = opened(&bytes);
    made_right(&mut bytes);
    let _ = opened(&bytes);
}

/// The height of the last block; what the store says otherwise.
fn opened(bytes: &[u8]) -> Result<u64, String> {
    static HOME: Mutex<Option<TempDir>> = Mutex::new(None);
    let mut home = HOME.lock().unwrap_or_else(PoisonError::into_inner);
    let home = home.get_or_insert_with(beside).path();
    std::fs::write(home.join("wal"), bytes).expect("writes");
    // Which changes no file.
    let (store, broken) = match ChannelStore::inspect(home, StoreOptions::default()) {
        Ok(opened) => opened,
        // A panic would be called a page that does not make sense.
        Err(StoreError::Corrupt(why)) if why.contains("wal") => return Err(why),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(broken, None);
    let tip = store.log_tip().expect("there are blocks");
    assert!(tip + 1 >= BLOCKS);
    for height in 0..=tip {
        let found = store.block(height).expect("readable").expect("there");
        let receipts = store.receipts(height).expect("readable").expect("there");
        let hash = store.header_hash(height).expect("readable").expect("there");
        if height < BLOCKS {
            assert_eq!(BlockRecord { height, header_hash: hash, block: found, receipts }, block(height));
        }
    }
    store.history_root(tip + 1).expect("readable");
    Ok(tip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// What is made right is what the store takes for right.
    #[test]
    fn the_corpus_says_by_its_names_what_is_found() {
        for (name, expected) in [
            ("empty", Ok(2)),
            ("only-head", Ok(2)),
            ("left-over", Ok(3)),
            ("large-block", Ok(3)),
            ("three-blocks", Ok(5)),
            ("cut-off", Err("cut off")),
            ("gap", Err("neither it nor the log 4")),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/wal").join(name);
            let mut bytes = std::fs::read(path).expect("readable");
            made_right(&mut bytes);
            match (opened(&bytes), expected) {
                (found, Ok(tip)) => assert_eq!(found, Ok(tip), "{name}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{name}: {why}"),
                (Ok(tip), Err(_)) => panic!("{name}: {tip}"),
            }
        }
    }
}
