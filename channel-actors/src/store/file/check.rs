//! Checks: eight bytes that tell bits that rotted from those that were written. They are XXH3, which costs a twentieth of
//! SHA-256, and every byte that is written passes through two of them.
//!
//! They keep out no forger, and need not: what a block is its header's hash says, and what a state is its root. Where bytes
//! that others choose must not be taken for something else, they are under a secret ([`under`]).

use ledger_classes::primitives::hash::{Hash, Tag};
use twox_hash::XxHash3_64;

pub(in crate::store) const CHECK_BYTES: usize = 8;
pub(in crate::store) type Check = [u8; CHECK_BYTES];

/// The check of bytes.
pub(in crate::store) fn check_of(bytes: &[u8]) -> Check {
    XxHash3_64::oneshot(bytes).to_le_bytes()
}

/// The check of bytes in the place that a key names: in another place they have another one.
pub(in crate::store) fn check(key: &[u8], bytes: &[u8]) -> Check {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key), bytes).to_le_bytes()
}

/// The check of bytes under a secret: nobody who does not know it makes bytes that have theirs. SHA-256.
pub(in crate::store) fn under(secret: &[u8; 32], bytes: &[u8]) -> Check {
    *Hash::tagged(Tag::Content, &[secret, bytes]).0.first_chunk().expect("a hash is longer than a check")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the vectors of the `xxHash` project: `XXH3_64bits` of nothing, and of what its sanity buffer begins with.
    #[test]
    fn checks_are_xxh3() {
        assert_eq!(check_of(b""), 0x2D06_8005_38D3_94C2_u64.to_le_bytes());
        let (mut generator, mut buffer) = (2_654_435_761_u64, Vec::new());
        for _ in 0..2367 {
            buffer.push((generator >> 56) as u8);
            generator = generator.wrapping_mul(11_400_714_785_074_694_797);
        }
        for (length, checksum) in
            [(1, 0xC44B_DFF4_074E_ECDB_u64), (48, 0x397D_A259_ECBA_1F11), (403, 0xCDEB_804D_65C6_DEA4)]
        {
            assert_eq!(check_of(&buffer[..length]), checksum.to_le_bytes(), "{length}");
        }
    }

    #[test]
    fn any_bit_another_place_and_another_secret_give_another_check() {
        for length in [1, 8, 40, 200, 4096] {
            let mut bytes: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            let sound = (check_of(&bytes), check(b"key", &bytes), under(&[1; 32], &bytes));
            assert_ne!(sound.1, check(b"kez", &bytes));
            assert_ne!(sound.2, under(&[2; 32], &bytes));
            for bit in (0..8 * length).step_by(if length > 300 { 61 } else { 1 }) {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let rotten = (check_of(&bytes), check(b"key", &bytes), under(&[1; 32], &bytes));
                assert!(sound.0 != rotten.0 && sound.1 != rotten.1 && sound.2 != rotten.2, "{length}, bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}
