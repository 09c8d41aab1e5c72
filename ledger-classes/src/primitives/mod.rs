//! What everything else is made of: hashes, the one encoding, amounts, times, identities, JSON.
//! Never here: knowledge of a ledger.

pub mod amount;
pub mod causes;
pub mod codec;
pub mod hash;
pub mod identity;
pub mod json;
pub mod pause;
pub mod time;
pub mod words;
