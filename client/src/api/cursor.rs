//! Positions in a channel's events: `height.index.event.TAG`, the id of every delivered event. TAG is the beginning of
//! that block's header hash, so that a position of another history of the channel is noticed. A position is parsed
//! strictly, because one that is misread loses or repeats events.

use ledger_classes::primitives::hash::Hash;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Bytes of a header's hash that a cursor holds.
const TAG_BYTES: usize = 8;

/// The place of an event on its channel. Ordered by place; of one place there is one tag in one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The block.
    pub height: u64,
    /// The receipt in the block.
    pub index: u32,
    /// The event in the receipt.
    pub event: u32,
    /// The beginning of the hash of the block's header.
    pub tag: [u8; TAG_BYTES],
}

/// Not a cursor.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a cursor reads height.index.event.TAG, not {0:?}")]
pub struct ParseCursorError(pub String);

impl Cursor {
    /// The place of an event in a block with this header.
    pub fn new(height: u64, index: u32, event: u32, header: &Hash) -> Self {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&header.0[..TAG_BYTES]);
        Self { height, index, event, tag }
    }

    /// Behind every event up to and including a block's.
    pub fn end_of(height: u64, header: &Hash) -> Self {
        Self::new(height, u32::MAX, u32::MAX, header)
    }

    /// Whether it is behind every event of its block.
    pub const fn is_end(&self) -> bool {
        self.index == u32::MAX && self.event == u32::MAX
    }

    /// Block, receipt and event.
    pub const fn place(&self) -> (u64, u32, u32) {
        (self.height, self.index, self.event)
    }

    /// Whether the block has a header of this hash, as far as the tag tells.
    pub fn is_of(&self, header: &Hash) -> bool {
        header.0.starts_with(&self.tag)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.height, self.index, self.event, hex::encode(self.tag))
    }
}

/// A number in its one form: digits, no sign, no leading zero.
pub fn plain_number<T: FromStr>(text: &str) -> Option<T> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// A tag in its one form: lower case.
fn tag(text: &str) -> Option<[u8; TAG_BYTES]> {
    let mut tag = [0; TAG_BYTES];
    hex::decode_to_slice(text, &mut tag).ok()?;
    (hex::encode(tag) == text).then_some(tag)
}

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let parse = || {
            let mut parts = text.split('.');
            let mut next = || parts.next();
            let (height, index, event, its_tag) = (next()?, next()?, next()?, next()?);
            let (height, index, event) = (plain_number(height)?, plain_number(index)?, plain_number(event)?);
            let cursor = Self { height, index, event, tag: tag(its_tag)? };
            next().is_none().then_some(cursor)
        };
        parse().ok_or_else(|| ParseCursorError(text.chars().take(64).collect()))
    }
}

/// What a frame named `position` says beside its id: everything up to the id was delivered, or holds nothing for the
/// subscriber. A stream begins with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The channel's last block on this peer.
    pub tip: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_form() {
        const TAG: &str = "00a1b2c3d4e5f607";
        let most = format!("18446744073709551615.4294967295.4294967295.{TAG}");
        for (text, expected) in [
            (&*format!("0.0.0.{TAG}"), Some((0, 0, 0))),
            (&*format!("12.3.4.{TAG}"), Some((12, 3, 4))),
            (&*most, Some((u64::MAX, u32::MAX, u32::MAX))),
            (&*format!("18446744073709551616.0.0.{TAG}"), None),
            (&*format!("0.4294967296.0.{TAG}"), None),
            ("", None),
            ("1", None),
            ("1.2.3", None),
            ("1.2.3.", None),
            ("1.2.3.00a1b2c3d4e5f60", None),
            ("1.2.3.00a1b2c3d4e5f6070", None),
            ("1.2.3.00A1B2C3D4E5F607", None),
            ("1.2.3.00a1b2c3d4e5f60g", None),
            (&*format!("1.2.3.4.{TAG}"), None),
            (&*format!("1.2.3.{TAG}.5"), None),
            (&*format!("1.2..{TAG}"), None),
            (&*format!(".1.2.{TAG}"), None),
            (&*format!("01.2.3.{TAG}"), None),
            (&*format!("1.+2.3.{TAG}"), None),
            (&*format!("1.-2.3.{TAG}"), None),
            (&*format!("1. 2.3.{TAG}"), None),
            (&*format!("1.2.3.{TAG} "), None),
            (&*format!("1.2.a.{TAG}"), None),
            (&*format!("1.2.\u{663}.{TAG}"), None),
        ] {
            let parsed = text.parse::<Cursor>().ok();
            assert_eq!(parsed.map(|cursor| cursor.place()), expected, "{text:?}");
            assert!(parsed.is_none_or(|cursor| cursor.to_string() == text), "{text:?}");
        }
    }

    #[test]
    fn a_cursor_knows_its_block() {
        let (header, other) = (Hash([7; 32]), Hash([8; 32]));
        let cursor = Cursor::new(4, 0, 1, &header);
        assert_eq!((cursor.is_of(&header), cursor.is_of(&other), cursor.is_end()), (true, false, false));
        let end = Cursor::end_of(4, &header);
        assert!(end.is_end() && cursor < end && end < Cursor::new(5, 0, 0, &other));
    }
}
