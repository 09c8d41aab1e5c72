//! What certificates say, to whoever asks: nothing here knows which peer this is or whom it trusts.

pub mod authority_keys;
pub mod paths;
