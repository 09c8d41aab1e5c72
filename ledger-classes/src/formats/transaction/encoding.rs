//! How a transaction's payload is written.

use crate::primitives::codec::{Decode, Encode};

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// The genesis configuration: block 0 only, unsigned.
    Genesis = 0,
    /// Our binary encoding.
    Binary = 1,
    /// JSON text.
    Json = 2,
}

impl Encode for Encoding {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        (*self as u8).encode(encoder)
    }
}

impl<C> Decode<C> for Encoding {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
        match u8::decode(decoder)? {
            0 => Ok(Self::Genesis),
            1 => Ok(Self::Binary),
            2 => Ok(Self::Json),
            _ => Err(bincode::error::DecodeError::Other("unknown payload encoding")),
        }
    }
}

bincode::impl_borrow_decode!(Encoding);
