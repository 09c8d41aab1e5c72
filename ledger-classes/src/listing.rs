//! Lists over ranges of the state: what lies under a prefix of keys, in the order of the keys, a page at a time.
//!
//! A page costs what it holds, whatever the length of the list, and a list goes on behind the last key that a page
//! gave, so that what is added or removed meanwhile neither repeats nor hides what stays.

use crate::limits::STATE_KEY_BYTES_MAX;
use crate::state::{ReadError, ReadView, Value, scan};

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where the part before ended ([`Listed::next`]); the beginning if absent.
    pub after: Option<Vec<u8>>,
    /// Most items.
    pub limit: usize,
}

impl Span {
    /// The first `limit` items.
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The items, in the order of their keys.
    pub items: Vec<T>,
    /// Where the part after this one begins, if there is one: the last item's key behind the list's prefix.
    pub next: Option<Vec<u8>>,
}

/// Lists what lies under `prefix`. `item` makes an item of the rest of its key and its value.
pub fn list<T>(
    view: &dyn ReadView,
    prefix: &[u8],
    span: &Span,
    item: impl Fn(&[u8], &Value) -> Result<T, ReadError>,
) -> Result<Listed<T>, ReadError> {
    let from = match &span.after {
        // No key is as long: nothing lies behind it.
        Some(after) if prefix.len() + after.len() > STATE_KEY_BYTES_MAX => {
            return Ok(Listed { items: Vec::new(), next: None });
        }
        // The smallest key above the last one.
        Some(after) => [prefix, after, &[0]].concat(),
        None => prefix.to_vec(),
    };
    let mut entries = scan(view, prefix, &from, span.limit.saturating_add(1))?;
    let more = entries.len() > span.limit;
    entries.truncate(span.limit);
    let next = entries.last().filter(|_| more).map(|(key, _)| key[prefix.len()..].to_vec());
    let items: Result<Vec<T>, ReadError> =
        entries.iter().map(|(key, value)| item(&key[prefix.len()..], value)).collect();
    Ok(Listed { items: items?, next })
}

/// The rest of a key as the text that it was made of.
pub fn text(rest: &[u8]) -> Result<String, ReadError> {
    String::from_utf8(rest.to_vec()).map_err(|_| ReadError("a listed key is not text".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::{MemoryState, Writes};

    fn state(keys: &[&str]) -> MemoryState {
        let mut state = MemoryState::default();
        let entry = |key: &&str| (key.as_bytes().to_vec(), Some(Value::from([1u8].as_slice())));
        state.apply(&keys.iter().map(entry).collect::<Writes>());
        state
    }

    fn page(state: &MemoryState, after: Option<&str>, limit: usize) -> (String, Option<String>) {
        let span = Span { after: after.map(|after| after.as_bytes().to_vec()), limit };
        let listed = list(state, b"x", &span, |rest, _| text(rest)).unwrap();
        (listed.items.join(" "), listed.next.map(|next| text(&next).unwrap()))
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let mut state = state(&["w9", "xa", "xaa", "xb", "xc", "y"]);
        assert_eq!(page(&state, None, 2), ("a aa".into(), Some("aa".into())));
        assert_eq!(page(&state, Some("aa"), 2), ("b c".into(), None));
        assert_eq!(page(&state, None, 4), ("a aa b c".into(), None), "the last page names no other");
        assert_eq!(page(&state, Some("c"), 4), (String::new(), None));
        assert_eq!(page(&state, Some("zz"), 4), (String::new(), None), "a list does not go on in the next one");
        let long = "z".repeat(STATE_KEY_BYTES_MAX);
        assert_eq!(page(&state, Some(&long), 4), (String::new(), None));
        // The item that a page ended with may go before the next page is asked for.
        state.apply(&Writes::from([(b"xaa".to_vec(), None)]));
        assert_eq!(page(&state, Some("aa"), 2), ("b c".into(), None));
    }
}
