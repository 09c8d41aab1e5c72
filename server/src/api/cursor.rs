//! Where a subscription begins. A cursor is the id of an event that was delivered before.

use crate::problem::{ApiError, Kind};
use client::api::{ParseCursorError, plain_number};

pub use client::api::Cursor;

/// Not a place to begin at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartError;

impl From<StartError> for ApiError {
    fn from(_: StartError) -> Self {
        Kind::MalformedCursor.into()
    }
}

impl From<ParseCursorError> for StartError {
    fn from(_: ParseCursorError) -> Self {
        Self
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
    pub fn parse(from: Option<&str>, last_event_id: Option<&str>) -> Result<Self, StartError> {
        match (last_event_id, from) {
            // An empty id is what a browser sends before the first frame.
            (Some(id), _) if !id.is_empty() => Ok(Self::After(id.parse()?)),
            (_, Some(from)) if from.contains('.') => Ok(Self::After(from.parse()?)),
            (_, Some(from)) => plain_number(from).map(Self::Height).ok_or(StartError),
            (_, None) => Ok(Self::Now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_classes::primitives::hash::Hash;

    #[test]
    fn the_last_event_id_wins_over_from() {
        let tag = "0909090909090909";
        let after = |height, index, event| Ok(Start::After(Cursor::new(height, index, event, &Hash([9; 32]))));
        let (seven, nine) = (format!("7.0.1.{tag}"), format!("9.1.2.{tag}"));
        for (from, id, start) in [
            (None, None, Ok(Start::Now)),
            (Some("7"), None, Ok(Start::Height(7))),
            (Some(&*seven), None, after(7, 0, 1)),
            (Some("7"), Some(&*nine), after(9, 1, 2)),
            (Some("7"), Some(""), Ok(Start::Height(7))),
            (None, Some("9"), Err(StartError)),
            (Some("7.0.1"), None, Err(StartError)),
            (Some("x"), Some(&*nine), after(9, 1, 2)),
            (Some("07"), None, Err(StartError)),
            (Some("-1"), None, Err(StartError)),
            (Some(""), None, Err(StartError)),
        ] {
            assert_eq!(Start::parse(from, id), start, "{from:?} {id:?}");
        }
    }
}
