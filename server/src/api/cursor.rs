//! Positions in a channel's events: `height.index.event`, the id of every delivered event. A position is parsed
//! strictly, because one that is misread loses or repeats events.

use crate::problem::{ApiError, Kind};
use std::{fmt, str::FromStr};

/// The place of an event: block, receipt in the block, event in the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The block.
    pub height: u64,
    /// The receipt.
    pub index: u32,
    /// The event.
    pub event: u32,
}

/// Not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl From<CursorError> for ApiError {
    fn from(_: CursorError) -> Self {
        Kind::MalformedCursor.into()
    }
}

impl Cursor {
    /// Behind every event up to and including a block's.
    pub const fn end_of(height: u64) -> Self {
        Self { height, index: u32::MAX, event: u32::MAX }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.height, self.index, self.event)
    }
}

/// A number in its one form: digits, no sign, no leading zero.
fn number<T: FromStr>(text: &str) -> Result<T, CursorError> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return Err(CursorError);
    }
    text.parse().map_err(|_| CursorError)
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            [height, index, event] => {
                Ok(Self { height: number(height)?, index: number(index)?, event: number(event)? })
            }
            _ => Err(CursorError),
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is committed from now on.
    Now,
    /// With a block's first event.
    Height(u64),
    /// With the first event behind this one.
    After(Cursor),
}

impl Start {
    /// `Last-Event-ID` is where the subscriber is; `from` only where it once began.
    pub fn parse(from: Option<&str>, last_event_id: Option<&str>) -> Result<Self, CursorError> {
        match (last_event_id, from) {
            // An empty id is what a browser sends before the first event.
            (Some(id), _) if !id.is_empty() => id.parse().map(Self::After),
            (_, Some(from)) if from.contains('.') => from.parse().map(Self::After),
            (_, Some(from)) => number(from).map(Self::Height),
            (_, None) => Ok(Self::Now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_form() {
        for (text, expected) in [
            ("0.0.0", Some((0, 0, 0))),
            ("12.3.4", Some((12, 3, 4))),
            ("18446744073709551615.4294967295.4294967295", Some((u64::MAX, u32::MAX, u32::MAX))),
            ("18446744073709551616.0.0", None),
            ("0.4294967296.0", None),
            ("", None),
            ("1", None),
            ("1.2", None),
            ("1.2.3.4", None),
            ("1.2.", None),
            (".1.2", None),
            ("01.2.3", None),
            ("1.+2.3", None),
            ("1.-2.3", None),
            ("1. 2.3", None),
            ("1.2.3 ", None),
            ("1.2.a", None),
            ("1.2.\u{663}", None),
        ] {
            let parsed = text.parse::<Cursor>().ok().map(|cursor| (cursor.height, cursor.index, cursor.event));
            assert_eq!(parsed, expected, "{text:?}");
            if let Ok(cursor) = text.parse::<Cursor>() {
                assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn the_last_event_id_wins_over_from() {
        let after = |height, index, event| Ok(Start::After(Cursor { height, index, event }));
        for (from, id, start) in [
            (None, None, Ok(Start::Now)),
            (Some("7"), None, Ok(Start::Height(7))),
            (Some("7.0.1"), None, after(7, 0, 1)),
            (Some("7"), Some("9.1.2"), after(9, 1, 2)),
            (Some("7"), Some(""), Ok(Start::Height(7))),
            (None, Some("9"), Err(CursorError)),
            (Some("x"), Some("9.1.2"), after(9, 1, 2)),
            (Some("07"), None, Err(CursorError)),
            (Some("-1"), None, Err(CursorError)),
            (Some(""), None, Err(CursorError)),
        ] {
            assert_eq!(Start::parse(from, id), start, "{from:?} {id:?}");
        }
    }
}
