//! Records of the state: a format version byte, then the binary encoding.

use crate::limits::STATE_VALUE_BYTES_MAX;
use crate::primitives::codec;
use crate::primitives::codec::{Decode, Encode};
use crate::state::view::{ReadError, ReadView, Value};

/// A type that is stored in the state.
pub trait Record: Encode + Decode<()> {
    /// Format version of this build's encoding; the first byte of the value.
    const VERSION: u8 = 1;
}

/// Encodes a record as a state value.
pub fn to_value<R: Record>(record: &R) -> Value {
    let mut bytes = Vec::with_capacity(64);
    bytes.push(R::VERSION);
    codec::encode_into(record, &mut bytes);
    bytes.into()
}

/// Decodes a state value. Damaged or unknown bytes are a [`ReadError`]: the channel halts rather than guess.
pub fn from_value<R: Record>(value: &[u8]) -> Result<R, ReadError> {
    match value.split_first() {
        Some((version, bytes)) if *version == R::VERSION => codec::decode(bytes, STATE_VALUE_BYTES_MAX)
            .map_err(|error| ReadError(format!("a {} record does not decode: {error}", std::any::type_name::<R>()))),
        Some((version, _)) => {
            Err(ReadError(format!("a {} record has unknown version {version}", std::any::type_name::<R>())))
        }
        None => Err(ReadError("an empty record".into())),
    }
}

/// Reads a record through a view: for queries.
pub fn read<R: Record>(view: &dyn ReadView, key: &[u8]) -> Result<Option<R>, ReadError> {
    view.get(key)?.map(|value| from_value(&value)).transpose()
}
