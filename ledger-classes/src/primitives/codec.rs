//! The one place that knows the binary encoding: bincode 2 in its `legacy()` configuration (fixed-width,
//! little-endian), which has one form for each value.
//!
//! Decoding is strict: a byte limit, no trailing bytes. Signed and stored types hold no maps, floats, `usize`
//! or zero-size items, so the form is unique and a length prefix cannot ask for more items than bytes.

#[doc(hidden)]
pub use bincode;
pub use bincode::{Decode, Encode};

/// Why bytes were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// More bytes than the caller allows for this type.
    #[error("{bytes} bytes, at most {bytes_max} are allowed")]
    Oversize {
        /// Bytes that came.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// Bytes are left over after the value.
    #[error("{0} trailing bytes")]
    Trailing(usize),
    /// The bytes are not an encoding of the type.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// No single decode may claim more memory than this, whatever its length prefixes say.
const CLAIM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same for input of more than half of that, which only our own store holds: the receipts of a block may be many
/// times as large as the block, and what was persisted must be readable.
const LARGE_CLAIM_BYTES_MAX: usize = 1 << 31;

/// Encodes a value. Encoding into memory cannot fail for our types: they hold no types bincode refuses.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, bincode::config::legacy()).expect("our types encode without fault")
}

/// Appends a value's encoding to `out`.
pub fn encode_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    bincode::encode_into_std_write(value, out, bincode::config::legacy()).expect("our types encode without fault");
}

/// Decodes the value that `bytes` begin with; what is behind it is not looked at.
pub fn decode_first<T: Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let configuration = bincode::config::legacy().with_limit::<CLAIM_BYTES_MAX>();
    let decoded = bincode::decode_from_slice(bytes, configuration);
    decoded.map(|(value, _)| value).map_err(|error| DecodeError::Malformed(error.to_string()))
}

/// Decodes a value from all of `bytes`, at most `bytes_max` of them.
pub fn decode<T: Decode<()>>(bytes: &[u8], bytes_max: usize) -> Result<T, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::Oversize { bytes: bytes.len(), bytes_max });
    }
    let configuration = bincode::config::legacy();
    let decoded = if bytes.len() <= CLAIM_BYTES_MAX / 2 {
        bincode::decode_from_slice(bytes, configuration.with_limit::<CLAIM_BYTES_MAX>())
    } else {
        bincode::decode_from_slice(bytes, configuration.with_limit::<LARGE_CLAIM_BYTES_MAX>())
    };
    let (value, consumed) = decoded.map_err(|error| DecodeError::Malformed(words(&error)))?;
    match bytes.len() - consumed {
        0 => Ok(value),
        trailing => Err(DecodeError::Trailing(trailing)),
    }
}

/// What is wrong with bytes, for whoever sent them: the library names types of ours, which are nobody's matter.
fn words(error: &bincode::error::DecodeError) -> String {
    use bincode::error::DecodeError as Error;
    match error {
        Error::UnexpectedEnd { .. } | Error::Io { .. } => "the bytes end in the middle of a value".into(),
        Error::LimitExceeded | Error::OutsideUsizeRange(_) => "a length is larger than all there may be".into(),
        Error::UnexpectedVariant { found, .. } => format!("{found} is the number of nothing that may stand there"),
        Error::InvalidBooleanValue(byte) => format!("{byte} is neither 0 nor 1"),
        Error::Utf8 { .. } => "a text is not UTF-8".into(),
        Error::Other(what) => (*what).into(),
        Error::OtherString(what) => what.clone(),
        _ => "a value is none of its kind".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever posted a binary batch was told of `UnexpectedVariant`, with the path of a type in the program.
    #[test]
    fn what_does_not_decode_is_told_in_words() {
        #[derive(Debug, PartialEq, Decode)]
        enum Either {
            One(bool),
            Other(String),
        }
        for (bytes, told) in [
            (&[1, 0, 0][..], "the bytes end in the middle of a value"),
            (&[7, 0, 0, 0], "7 is the number of nothing that may stand there"),
            (&[0, 0, 0, 0, 2], "2 is neither 0 nor 1"),
            (&[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xFF], "a text is not UTF-8"),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "a length is larger than all there may be"),
        ] {
            assert_eq!(decode::<Either>(bytes, 100), Err(DecodeError::Malformed(told.into())), "{bytes:?}");
        }
    }

    #[test]
    fn trailing_and_oversize_bytes_are_refused() {
        let bytes = encode(&(7u64, vec![1u8, 2]));
        assert_eq!(decode::<(u64, Vec<u8>)>(&bytes, 100), Ok((7, vec![1, 2])));
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode::<(u64, Vec<u8>)>(&longer, 100), Err(DecodeError::Trailing(1)));
        assert!(matches!(decode::<(u64, Vec<u8>)>(&bytes, 5), Err(DecodeError::Oversize { .. })));
        assert!(matches!(decode::<(u64, Vec<u8>)>(&bytes[..9], 100), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn a_length_prefix_claims_no_memory_it_cannot_fill() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend([0; 16]);
        assert!(matches!(decode::<Vec<u64>>(&bytes, 100), Err(DecodeError::Malformed(_))));
    }

    /// A full block of the largest size whose transactions each caused many events had receipts that could be written
    /// and never be read again.
    #[test]
    fn what_is_larger_than_the_usual_claim_decodes_if_its_limit_allows() {
        let value = vec![vec![7u8; CLAIM_BYTES_MAX / 2]; 3];
        let bytes = encode(&value);
        assert!(decode::<Vec<Vec<u8>>>(&bytes, 1 << 30).is_ok_and(|decoded| decoded == value));
        assert!(matches!(decode::<Vec<Vec<u8>>>(&bytes, CLAIM_BYTES_MAX), Err(DecodeError::Oversize { .. })));
    }
}
