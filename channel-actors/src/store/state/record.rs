//! Records of `state.redb`. Each ends with a check over its key and itself: a bit that rots makes an error, not a wrong
//! balance that the next block would be built on.
//! Ours (decision 15): redb looks at its own checksums only after a crash.

use crate::store::file::check::{CHECK_BYTES, check, check_of};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::tree::StateTree;
use ledger_classes::state::view::{ReadError, Value};

/// First byte of every record of this file.
pub(in crate::store) const STATE_FORMAT: u8 = 5;
/// Version, height, header hash, state root, keys, check.
const REFLECTS_BYTES: usize = 1 + 8 + 32 + 32 + 8 + CHECK_BYTES;

/// What a file of the state reflects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Reflects {
    pub(in crate::store) height: u64,
    pub(in crate::store) header_hash: Hash,
    /// In the pages of the file.
    pub(in crate::store) tree: StateTree,
}

/// Puts the record of a value into `record`, whatever was in it.
pub(in crate::store) fn encode_value(key: &[u8], value: &[u8], record: &mut Vec<u8>) {
    record.clear();
    record.push(STATE_FORMAT);
    record.extend_from_slice(value);
    let check = check(key, record);
    record.extend_from_slice(&check);
}

pub(in crate::store) fn decode_value(key: &[u8], record: &[u8]) -> Result<Value, ReadError> {
    sound_value(key, record).map(Value::from)
}

/// The value in a record.
pub(in crate::store) fn sound_value<'a>(key: &[u8], record: &'a [u8]) -> Result<&'a [u8], ReadError> {
    let sound = record.split_last_chunk().filter(|(content, found)| check(key, content) == **found);
    match sound {
        Some(([STATE_FORMAT, value @ ..], _)) => Ok(value),
        _ => {
            let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            Err(ReadError(format!("the state record of key {digits} does not match its check")))
        }
    }
}

/// What the file reflects; the check keeps rot in it from being taken for a log that lost blocks.
pub(in crate::store) fn encode_reflects(reflects: &Reflects) -> [u8; REFLECTS_BYTES] {
    const CONTENT: usize = REFLECTS_BYTES - CHECK_BYTES;
    let mut bytes = [STATE_FORMAT; REFLECTS_BYTES];
    bytes[1..9].copy_from_slice(&reflects.height.to_le_bytes());
    bytes[9..41].copy_from_slice(&reflects.header_hash.0);
    bytes[41..73].copy_from_slice(&reflects.tree.root().0);
    bytes[73..CONTENT].copy_from_slice(&reflects.tree.keys().to_le_bytes());
    let check = check_of(&bytes[..CONTENT]);
    bytes[CONTENT..].copy_from_slice(&check);
    bytes
}

pub(in crate::store) fn decode_reflects(bytes: &[u8]) -> Option<Reflects> {
    let (content, check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    let (&version, rest) = content.split_first()?;
    let (height, rest) = rest.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (root, keys) = rest.split_first_chunk()?;
    let tree = StateTree::stored(Hash(*root), u64::from_le_bytes(keys.try_into().ok()?));
    let sound = version == STATE_FORMAT && check_of(content) == *check;
    sound.then_some(Reflects { height: u64::from_le_bytes(*height), header_hash: Hash(*hash), tree })
}
