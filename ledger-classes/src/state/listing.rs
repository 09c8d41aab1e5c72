//! Lists over ranges of the state: what lies under a prefix of keys, in the order of the keys, a page at a time.
//!
//! A page costs what it holds, whatever the length of the list, and a list goes on behind the last key that a page
//! gave, so that what is added or removed meanwhile neither repeats nor hides what stays.
//! A page ends by its items or by the bytes that were read for it, whichever comes first, and has one item at least.

use crate::limits::STATE_KEY_BYTES_MAX;
use crate::state::view::{ReadError, ReadView, Value, prefix_end};
use std::cell::Cell;

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where the part before ended ([`Listed::next`]); the beginning if absent.
    pub after: Option<Vec<u8>>,
    /// Most items.
    pub limit: usize,
    /// Bytes of the state that are read for it, after which it ends.
    pub bytes: usize,
}

impl Span {
    /// The first `limit` items, of whatever size.
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit, bytes: usize::MAX }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The items, in the order of their keys.
    pub items: Vec<T>,
    /// Each item's key behind the list's prefix: a shorter part would go on behind its last one.
    pub places: Vec<Vec<u8>>,
    /// Where the part after this one begins, if there is one: the last item's key behind the list's prefix.
    pub next: Option<Vec<u8>>,
}

/// A view that counts the bytes that are read.
struct Counted<'a> {
    view: &'a dyn ReadView,
    bytes: Cell<usize>,
}

impl Counted<'_> {
    fn read(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }
}

impl ReadView for Counted<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        let value = self.view.get(key)?;
        self.read(key.len() + value.as_ref().map_or(0, |value| value.len()));
        Ok(value)
    }

    fn first_in(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
        let entry = self.view.first_in(from, end)?;
        self.read(entry.as_ref().map_or(0, |(key, value)| key.len() + value.len()));
        Ok(entry)
    }
}

/// Lists what lies under `prefix`. `item` makes an item of the rest of its key and its value; what else it needs it reads
/// from the view that it is given.
pub fn list<T>(
    view: &dyn ReadView,
    prefix: &[u8],
    span: &Span,
    item: impl Fn(&dyn ReadView, &[u8], &Value) -> Result<T, ReadError>,
) -> Result<Listed<T>, ReadError> {
    list_without(view, prefix, span, None, item)
}

/// [`list`], passing over the keys from the first to before the second of `without`.
pub fn list_without<T>(
    view: &dyn ReadView,
    prefix: &[u8],
    span: &Span,
    without: Option<(&[u8], &[u8])>,
    item: impl Fn(&dyn ReadView, &[u8], &Value) -> Result<T, ReadError>,
) -> Result<Listed<T>, ReadError> {
    let mut listed = Listed { items: Vec::new(), places: Vec::new(), next: None };
    let mut from = match &span.after {
        // No key is as long: nothing lies behind it.
        Some(after) if prefix.len() + after.len() > STATE_KEY_BYTES_MAX => return Ok(listed),
        // The smallest key above the last one.
        Some(after) => [prefix, after, &[0]].concat(),
        None => prefix.to_vec(),
    };
    let (counted, end) = (Counted { view, bytes: Cell::new(0) }, prefix_end(prefix));
    loop {
        let full = listed.items.len() >= span.limit || counted.bytes.get() >= span.bytes && !listed.items.is_empty();
        let Some((key, value)) = counted.first_in(&from, &end)? else { break };
        if let Some((_, behind)) =
            without.filter(|(first, behind)| *first <= key.as_slice() && key.as_slice() < *behind)
        {
            from = behind.to_vec();
            continue;
        }
        if full {
            listed.next = listed.places.last().cloned();
            break;
        }
        listed.items.push(item(&counted, &key[prefix.len()..], &value)?);
        listed.places.push(key[prefix.len()..].to_vec());
        from = key;
        from.push(0);
    }
    Ok(listed)
}

/// The rest of a key as the text that it was made of.
pub fn text(rest: &[u8]) -> Result<String, ReadError> {
    String::from_utf8(rest.to_vec()).map_err(|_| ReadError("a listed key is not text".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::view::{MemoryState, Writes};

    fn state(keys: &[&str]) -> MemoryState {
        let mut state = MemoryState::default();
        let entry = |key: &&str| (key.as_bytes().to_vec(), Some(Value::from([1u8].as_slice())));
        state.apply(&keys.iter().map(entry).collect::<Writes>());
        state
    }

    fn page(state: &MemoryState, after: Option<&str>, limit: usize) -> (String, Option<String>) {
        let span = Span { after: after.map(|after| after.as_bytes().to_vec()), ..Span::first(limit) };
        let listed = list(state, b"x", &span, |_, rest, _| text(rest)).unwrap();
        assert_eq!(listed.places.len(), listed.items.len());
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

    /// A thousand records of 16 KiB and what each refers to were one page.
    #[test]
    fn a_part_ends_by_the_bytes_that_were_read_for_it_and_has_one_item_at_least() {
        let mut state = MemoryState::default();
        let large = |key: &str| (key.as_bytes().to_vec(), Some(Value::from([7u8; 1_000].as_slice())));
        state.apply(&["x1", "x2", "x3", "x4", "y1", "y2", "y3", "y4"].map(large).into_iter().collect());
        let part = |bytes: usize, after: Option<&str>| {
            let span = Span { after: after.map(|after| after.into()), limit: 10, bytes };
            // Each item needs another record.
            let listed = list(&state, b"x", &span, |view, rest, _| {
                view.get(&[b"y", rest].concat())?;
                text(rest)
            });
            let listed = listed.unwrap();
            (listed.items.join(" "), listed.next.map(|next| text(&next).unwrap()))
        };
        assert_eq!(part(usize::MAX, None), ("1 2 3 4".into(), None));
        assert_eq!(part(3_000, None), ("1 2".into(), Some("2".into())));
        assert_eq!(part(3_000, Some("2")), ("3 4".into(), None));
        assert_eq!(part(1, None), ("1".into(), Some("1".into())), "paging goes on");
    }
}
